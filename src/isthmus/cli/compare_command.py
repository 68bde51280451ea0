"""`isthmus compare`: several runs in one table and one figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.runs.compare import Comparison
    from isthmus.runs.multimodal.comparing import MultimodalComparison

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus compare runs/mnist-dense runs/mnist-conv",
        "isthmus compare runs/seed-* --out comparison",
        "Put runs side by side as they were measured when they were trained. Runs that differ "
        "only in their seed are taken together, and what differs by more than seed noise is "
        "said. With --out the table, the figures and their numbers are written.",
    )
)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Where to write the comparison.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="The split whose numbers are compared.")
    ] = "test",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Put several runs side by side."""
    screen = Screen(as_json=as_json, quiet=quiet)
    found = _compared(runs, split)
    written = found.save(out) if out is not None else []
    if as_json:
        screen.json(found.as_json() | {"files": [str(path) for path in written]})
        return
    screen.line(found.text().rstrip("\n"))
    for path in written:
        screen.say(f"wrote {path}")


def _compared(runs: list[Path], split: str) -> Comparison | MultimodalComparison:
    """Compare runs by their kind: those of several modalities among themselves."""
    from isthmus.runs.compare import compare as compared
    from isthmus.runs.multimodal import MultimodalRun
    from isthmus.runs.multimodal.comparing import compare_multimodal
    from isthmus.runs.run import open_run

    opened = [open_run(run) for run in runs]
    several = [run for run in opened if isinstance(run, MultimodalRun)]
    if not several:
        return compared([run for run in opened if not isinstance(run, MultimodalRun)], split)
    if split != "test":
        raise ConfigError(
            f"--split {split} means nothing for runs of several modalities",
            fix="leave it out: they are measured on test items",
        )
    return compare_multimodal(opened)
