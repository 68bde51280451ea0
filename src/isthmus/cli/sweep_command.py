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
    evaluation_options,
    help_text,
    load_options,
    model_options,
    taking,
)
from isthmus.cli.screen import Screen, number
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from isthmus.models import Preset
    from isthmus.runs.sweep import Sweep, SweepProgress

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus sweep mnist --vary latent=16,32,64 --seeds 0,1,2 --out sweeps/width",
        "isthmus sweep digits --model sparse-l1 --vary weight=1e-4,0.01,1 --out sweeps",
        "Train every combination of the values given by --vary with every seed. Runs that are "
        "there already are not trained again, so an interrupted sweep goes on when the same "
        "command is typed. A run that fails is a row with its error, and the exit code is then 1. "
        "A value that is a list itself is joined by dashes: "
        "--vary hidden=512-256,256.",
    )
)
@taking(
    *(option for option in model_options() if option.name != "seed"),
    *data_options(),
    *evaluation_options("nll_samples", "nll_rows"),
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
    from isthmus.cli.values import chosen, evaluation
    from isthmus.runs.sweep import sweep as swept

    screen = Screen(as_json=as_json, quiet=quiet)
    names = {option.name for option in model_options()}
    base, settings = chosen(model, {k: v for k, v in given.items() if k in names})
    options = evaluation(given, "no") if {"nll_samples", "nll_rows"} & set(given) else None
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


def _grid(base: Preset, vary: list[str]) -> dict[str, list[Any]]:
    """Read what was given with --vary."""
    from isthmus.cli.values import kind_of, split_settings, split_values

    grid: dict[str, list[Any]] = {}
    for text in vary:
        name, values = split_settings(text)
        found = list(split_values(kind_of(base, name), values))
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
