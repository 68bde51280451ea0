"""`isthmus sweep`: a grid of runs, its table and its trade-off figure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.failures import Interrupted
from isthmus.cli.multimodal_options import (
    helped,
    measuring_options,
    several_data,
    several_training,
)
from isthmus.cli.options import (
    Debug,
    Json,
    Quiet,
    data_options,
    dictionary_options,
    evaluation_options,
    help_text,
    load_options,
    model_options,
    taking,
    training_options,
)
from isthmus.cli.screen import Screen, number
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from isthmus.models import Preset
    from isthmus.models.dictionary.presets import DictionaryPreset
    from isthmus.models.multimodal.presets import MultimodalPreset
    from isthmus.runs.sweep import Sweep, SweepProgress

    AnyPreset = Preset | DictionaryPreset | MultimodalPreset

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus sweep mnist --vary latent=16,32,64 --seeds 0,1,2 --out sweeps/width",
        "isthmus sweep vectors.npy --model topk --vary k=16,32,64 --out sweeps/k",
        "Train every combination of the values given by --vary with every seed. Runs that are "
        "there already are not trained again, so an interrupted sweep goes on when the same "
        "command is typed. A run that fails is a row with its error, and the exit code is then 1. "
        "A value that is a list itself is joined by dashes: "
        "--vary hidden=512-256,256. Presets of several modalities are swept too: "
        "DATA is digit-trio, digits-words, or a CSV file of pairs, and the judges that measure "
        "the runs are trained once.",
    )
)
@taking(
    *helped(
        (
            *(option for option in training_options() if option.name != "seed"),
            *dictionary_options(),
            *data_options(),
            *evaluation_options("nll_samples", "nll_rows", "refined_rows"),
        ),
        *several_training(),
        *several_data(),
        *(option for option in measuring_options() if option.name != "judge_steps"),
    )
)
def sweep(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A named set, a file or a folder.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the runs and tables go.")
    ],
    vary: Annotated[
        list[str],
        typer.Option("--vary", metavar="NAME=V1,V2", help="A setting and its values; repeatable."),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="PRESET", help="The preset to start from.")
    ] = "dense",
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="INT,..", help="Seeds of each combination.")
    ] = "0",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="INT", help="Runs at a time, a process each.")
    ] = 1,
    hold: Annotated[
        str | None,
        typer.Option(
            "--hold",
            metavar="WHAT",
            help="What stays fixed while another setting moves: effective beta, L0 or the number "
            "of parameters.",
            show_default=False,
        ),
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", metavar=" ", help="Draw each run's own figures too.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Train a grid of settings."""
    from isthmus.runs.sweep import sweep as swept

    screen = Screen(as_json=as_json, quiet=quiet)
    meant = _meant(data, model, vary, given)
    try:
        found = swept(
            data,
            meant.preset,
            _grid(meant.preset, vary),
            seeds=_seeds(seeds),
            settings=meant.settings,
            load_options=meant.load_options,
            out=out,
            jobs=jobs,
            hold=hold,
            progress=_tell(screen),
            evaluation=meant.evaluation,
            figures=figures,
        )
    except KeyboardInterrupt as stop:
        again = "type the same command again, and it goes on"
        raise Interrupted(
            str(stop) or f"the sweep was stopped; what is done stays in {out}", again
        ) from stop
    if as_json:
        screen.json(found.as_json())
    else:
        _show(found, out, screen)
    if found.failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Meant:
    """What was typed, but for what is varied."""

    preset: AnyPreset
    settings: dict[str, Any]
    load_options: dict[str, Any]
    evaluation: Any


def _meant(data: str, model: str, vary: list[str], given: dict[str, Any]) -> _Meant:
    """Return the preset, its fixed settings as values, and how to load and measure."""
    from isthmus.cli.presets import is_multimodal
    from isthmus.cli.train_multimodal import refuse_own
    from isthmus.cli.values import (
        chosen,
        dictionary_evaluation,
        dictionary_settings,
        evaluation,
        split_settings,
    )
    from isthmus.models.dictionary.presets import DictionaryPreset
    from isthmus.models.preset_names import unknown_preset
    from isthmus.runs.dictionary.routing import dictionary_for

    unknown = unknown_preset(model)
    if unknown is not None:
        raise unknown
    if is_multimodal(model):
        return _meant_several(model, given)
    refuse_own(given)
    names = {option.name for option in (*model_options(), *dictionary_options())}
    typed = {k: v for k, v in given.items() if k in names}
    varied = {split_settings(text)[0] for text in vary}
    loading = load_options(given)
    found = dictionary_for(model, data, loading, varied | set(typed))
    if found is not None and isinstance(found[0], DictionaryPreset):
        base = found[0]
        measured = dictionary_evaluation(given) if "refined_rows" in given else None
        return _Meant(base, dictionary_settings(base, typed), loading, measured)
    preset, settings = chosen(model, typed)
    asked = {"nll_samples", "nll_rows"} & set(given)
    return _Meant(preset, settings, loading, evaluation(given, "no") if asked else None)


def _meant_several(model: str, given: dict[str, Any]) -> _Meant:
    """Return the same for several modalities."""
    from isthmus.cli.multimodal_data import several_options
    from isthmus.cli.multimodal_values import measuring, settings_of
    from isthmus.cli.train_multimodal import model_and_training, refuse_others
    from isthmus.models.multimodal import multimodal_preset

    refuse_others(given)
    preset = multimodal_preset(model)
    settings = settings_of(preset.objective, model_and_training(given))
    loading = load_options(given) | several_options(given)
    return _Meant(preset, settings, loading, measuring(given)[0])


def _show(found: Sweep, out: Path, screen: Screen) -> None:
    screen.line(found.text().rstrip("\n"))
    figure = out / "figures" / "tradeoff.png"
    screen.words(
        [
            ("sweep", str(out)),
            *([("figure", str(figure))] if figure.exists() else []),
            ("next", f"isthmus compare {shlex.quote(str(out / 'runs'))}/*"),
        ]
    )


def _grid(base: AnyPreset, vary: list[str]) -> dict[str, list[Any]]:
    """Read what was given with --vary."""
    from isthmus.cli.values import split_settings

    grid: dict[str, list[Any]] = {}
    for text in vary:
        name, values = split_settings(text)
        found = _values(base, name, values)
        if not name or not found or name in grid:
            raise ConfigError(
                f"--vary can't be {text!r}",
                why="a setting was given twice" if name in grid else "",
                fix="give a setting and its values: --vary latent=16,32,64",
            )
        grid[name] = found
    return grid


def _values(base: AnyPreset, name: str, text: str) -> list[Any]:
    """Read the values of one setting as its type says."""
    from isthmus.cli.values import kind_of, split_values
    from isthmus.models.multimodal.presets import MultimodalPreset

    if not isinstance(base, MultimodalPreset):
        return [*split_values(kind_of(base, "latent" if name == "latents" else name), text)]
    from isthmus.cli.multimodal_values import kinds_of, settings_of

    found = split_values(kinds_of(base.objective).get(name, ""), text)
    return [settings_of(base.objective, {name: value})[name] for value in found]


def _seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--seeds can't be {text!r}", fix="give whole numbers: --seeds 0,1,2")
    return [int(part) for part in parts]


def _tell(screen: Screen) -> Callable[[SweepProgress], None] | None:
    """Return what writes a line a run to standard error."""
    if screen.quiet:
        return None

    def tell(progress: SweepProgress) -> None:
        words = [f"{progress.done}/{progress.total} runs"]
        if progress.failed:
            words.append(f"{progress.failed} failed")
        if progress.name:
            words.append(progress.name)
        row = progress.row or {}
        if row.get(progress.measure) is not None:
            words.append(f"test {progress.measure} {number(row[progress.measure])}")
        if row.get("error"):
            words.append(f"failed: {row['error']}")
        if progress.seconds_left is not None and progress.done < progress.total:
            words.append(f"{progress.seconds_left:.0f} s left")
        screen.say("  ".join(words))

    return tell
