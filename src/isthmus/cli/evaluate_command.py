"""`isthmus evaluate`: the numbers of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli.options import (
    Debug,
    Json,
    Quiet,
    data_options,
    evaluation_options,
    help_text,
    load_options,
    taking,
)
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus evaluate runs/mnist-conv",
        "isthmus evaluate runs/mnist-vae --data other.npy --nll-samples 1000",
        "Measure a trained model again, on the splits of its own data or, with --data, on all of "
        "other data as one split, beside PCA of the same size fitted on its training split. The "
        "run's folder is not changed.",
    )
)
@taking(
    *(option for option in data_options(splits=False) if option.name != "range"),
    *evaluation_options("nll_samples", "nll_rows"),
)
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="A named set, a file or a folder to measure on.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Measure a trained model."""
    from isthmus.cli.numbers import show_metrics
    from isthmus.cli.samples import loaded_for
    from isthmus.cli.values import evaluation
    from isthmus.runs import open_run

    screen = Screen(as_json=as_json, quiet=quiet)
    opened = open_run(run)
    screen.say(f"measuring {opened.preset} on {data or opened.origin.name}")
    if data is None and load_options(given):
        raise ConfigError("options of loading need data to load", fix="give them with --data DATA")
    shown: Any = data
    # images are resized as the run's own were by the run itself; everything else is said here
    if data is not None and not {"resize", "colour"} & set(opened.origin.options):
        shown = loaded_for(opened, data, load_options(given))
    metrics = opened.evaluate(shown, evaluation(given, opened.training.binarise))
    if as_json:
        found = {split: numbers.as_json() for split, numbers in metrics.items()}
        screen.json({"run": str(run), "metrics": found})
        return
    screen.line(f"{opened.preset} on {data or opened.origin.name}", style="bold")
    show_metrics(screen, metrics)
