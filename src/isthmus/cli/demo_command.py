"""`isthmus demo`: six autoencoders on digits, offline."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.failures import Interrupted
from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.screen import Screen, number, percent

if TYPE_CHECKING:
    from isthmus.demo import Demo
    from isthmus.training import Watch

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus demo",
        "isthmus demo --out /tmp/demo",
        "Train dense, convolutional, sparse and variational autoencoders on the digits that come "
        "with scikit-learn, compare them with PCA, and write the runs, the figures and one "
        "report to look at. It needs no network, and a minute or two. An earlier demo in the "
        "folder is made anew; a folder that holds anything else is left alone.",
    )
)
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where it all goes.")
    ] = Path("demo"),
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train and compare six autoencoders on digits."""
    from isthmus.cli.progress import watching
    from isthmus.demo import demo as shown

    screen = Screen(as_json=as_json, quiet=quiet)
    screen.say("Training six autoencoders on digits (1,797 images of 8 x 8), offline.")

    @contextlib.contextmanager
    def watched(name: str) -> Iterator[Watch | None]:
        with watching(screen, name, few=True) as watch:
            yield watch

    try:
        found = shown(out, watched=watched)
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"the demo was stopped; what was trained so far is in {out}",
            f"start it anew with: isthmus demo --out {shlex.quote(str(out))}",
        ) from stop
    if as_json:
        screen.json(found.as_json())
        return
    _show(found, screen)


def _show(found: Demo, screen: Screen) -> None:
    from isthmus.demo.report import asked, next_steps

    rows = [
        (
            str(row["name"]),
            number(row["latent"]),
            number(row["l0"]),
            percent(row["dead_fraction"]),
            number(row["mse"]),
            f"{row['times_pca']:.2f}",
            percent(row["knn_accuracy"]),
            f"{row['seconds']:.1f} s" if row["seconds"] is not None else "–",
        )
        for row in found.rows
    ]
    head = ("model", "latents", "active", "dead", "mse", "/ PCA", "5-NN", "trained in")
    screen.table(head, rows)
    screen.line()
    steps = next_steps(found.folder)
    screen.words(
        [
            (
                "mse",
                "squared error per pixel of the test images; / PCA: over that of PCA with 8 "
                "dimensions, the best linear code of 8 numbers",
            ),
            (
                "active",
                "latents in use in an image (L0; sigmoid codes: above 0.1); dead: latents that "
                "no test image uses",
            ),
            *asked(found.rows),
            ("5-NN", "test digits named right by the 5 nearest training codes"),
            ("report", f"{found.report}  (open it in a browser)"),
            ("runs", f"{found.folder / 'runs'}  (made in {found.seconds:.0f} s)"),
            *(("next" if i == 0 else "", step) for i, step in enumerate(steps)),
        ]
    )
