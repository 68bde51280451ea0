"""`isthmus sweep`: a grid of runs, its table and its trade-off figure."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.failures import Interrupted
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
    from isthmus.runs.sweep import Sweep, SweepProgress

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus sweep mnist --vary latent=16,32,64 --seeds 0,1,2 --out sweeps/width",
        "isthmus sweep vectors.npy --model topk --vary k=16,32,64 --out sweeps/k",
        "Train every combination of the values given by --vary with every seed. Runs that are "
        "there already are not trained again, so an interrupted sweep goes on when the same "
        "command is typed. A run that fails is a row with its error, and the exit code is then 1. "
        "A value that is a list itself is joined by dashes: "
        "--vary hidden=512-256,256.",
    )
)
@taking(
    *(option for option in training_options() if option.name != "seed"),
    *dictionary_options(),
    *data_options(),
    *evaluation_options("nll_samples", "nll_rows", "refined_rows"),
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
    base, settings, options = _meant(data, model, vary, given)
    try:
        found = swept(
            data,
            base,
            _grid(base, vary),
            seeds=_seeds(seeds),
            settings=settings,
            load_options=load_options(given),
            out=out,
            jobs=jobs,
            hold=hold,
            progress=_tell(screen),
            evaluation=options,
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


def _meant(
    data: str, model: str, vary: list[str], given: dict[str, Any]
) -> tuple[Preset | DictionaryPreset, dict[str, Any], Any]:
    """Return the preset, its fixed settings as values, and how to measure."""
    from isthmus.cli.presets import is_multimodal
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
        raise ConfigError(
            "a sweep trains models of one modality",
            where=f"--model {model}",
            fix=f"train each setting by itself: isthmus train DATA --model {model}",
        )
    names = {option.name for option in (*model_options(), *dictionary_options())}
    typed = {k: v for k, v in given.items() if k in names}
    varied = {split_settings(text)[0] for text in vary}
    found = dictionary_for(model, data, load_options(given), varied | set(typed))
    if found is not None and isinstance(found[0], DictionaryPreset):
        base = found[0]
        measured = dictionary_evaluation(given) if "refined_rows" in given else None
        return base, dictionary_settings(base, typed), measured
    preset, settings = chosen(model, typed)
    asked = {"nll_samples", "nll_rows"} & set(given)
    return preset, settings, evaluation(given, "no") if asked else None


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


def _grid(base: Preset | DictionaryPreset, vary: list[str]) -> dict[str, list[Any]]:
    """Read what was given with --vary."""
    from isthmus.cli.values import kind_of, split_settings, split_values

    grid: dict[str, list[Any]] = {}
    for text in vary:
        name, values = split_settings(text)
        kind = kind_of(base, "latent" if name == "latents" else name)
        found = list(split_values(kind, values))
        if not name or not found or name in grid:
            raise ConfigError(
                f"--vary can't be {text!r}",
                why="a setting was given twice" if name in grid else "",
                fix="give a setting and its values: --vary latent=16,32,64",
            )
        grid[name] = found
    return grid


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
        if row.get("mse") is not None:
            words.append(f"test mse {number(row['mse'])}")
        if row.get("error"):
            words.append(f"failed: {row['error']}")
        if progress.seconds_left is not None and progress.done < progress.total:
            words.append(f"{progress.seconds_left:.0f} s left")
        screen.say("  ".join(words))

    return tell
