"""`isthmus demo`: six autoencoders, concept search over texts, one space of three modalities."""

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
    from isthmus.demo.space import SpaceDemo
    from isthmus.demo.texts import TextDemo
    from isthmus.training import Watch

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    help=help_text(
        "isthmus demo",
        "isthmus demo --out /tmp/demo",
        "Train dense, convolutional, sparse and variational autoencoders on the digits that come "
        "with scikit-learn, compare them with PCA, and write the runs, the figures and one "
        "report to look at. Then index the documentation of the installed Python packages and "
        "show named concepts, a search with reasons, the same search steered, and an answer made "
        "of quotations. Last, join pictures, sounds and words in one latent space and cross it. It "
        "needs no network, and some three minutes. An earlier demo in the folder is made anew; a "
        "folder that holds anything else is left alone.",
    )
)
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where it all goes.")
    ] = Path("demo"),
    documents: Annotated[
        int | None,
        typer.Option(
            "--documents",
            min=0,
            metavar="INT",
            help="Documents of the second part; 0 leaves it out.  [default: 1500]",
            show_default=False,
        ),
    ] = None,
    no_pairs: Annotated[
        bool, typer.Option("--no-pairs", metavar=" ", help="Leave the third part out.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train and compare six autoencoders, index and search texts, cross modalities."""
    from isthmus.cli.progress import watching
    from isthmus.cli.stages import staging
    from isthmus.demo import demo as shown
    from isthmus.demo.space import EPOCHS
    from isthmus.demo.texts import DOCUMENTS

    screen = Screen(as_json=as_json, quiet=quiet)
    screen.say("Training six autoencoders on digits (1,797 images of 8 x 8), offline.")

    @contextlib.contextmanager
    def watched(name: str) -> Iterator[Watch | None]:
        with watching(screen, name, few=True) as watch:
            yield watch

    wanted = DOCUMENTS if documents is None else documents
    try:
        with staging(screen) as tell:
            found = shown(
                out,
                watched=watched,
                documents=wanted,
                stage=tell,
                space_epochs=0 if no_pairs else EPOCHS,
            )
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"the demo was stopped; what was trained so far is in {out}",
            f"start it anew with: isthmus demo --out {shlex.quote(str(out))}",
        ) from stop
    if as_json:
        screen.json(found.as_json())
        return
    _show(found, screen)
    if found.texts is not None:
        _show_texts(found.texts, screen)
    if found.space is not None:
        _show_space(found.space, screen)


def _show_space(found: SpaceDemo, screen: Screen) -> None:
    """Write what the third part made."""
    from isthmus.demo.space import WORD

    run = shlex.quote(str(found.run))
    screen.line()
    screen.line("Pictures, sounds and words of digits: one latent space", style="bold")
    screen.table(
        ("from -> to", "retrieval mAP", "chance", "translated into the right class"),
        [(way, f"{a:.3f}", f"{b:.3f}", percent(c)) for way, (a, b, c) in found.scores.items()],
    )
    screen.line()
    screen.line(
        f"$ isthmus retrieve {run} --from image {found.given} --to audio --top {len(found.hits)}",
        style="bold",
    )
    screen.table(
        ("rank", "similarity", "item", "class"),
        [
            (str(rank), f"{hit.score:.4f}", hit.name, hit.label or "–")
            for rank, hit in enumerate(found.hits, 1)
        ],
        left=1,
    )
    for given, to, out in (
        (f"text {WORD}", "image", found.drawn),
        (f"image {found.given}", "audio", found.spoken),
    ):
        screen.line(f"$ isthmus translate {run} --from {given} --to {to} --out {out}", style="bold")
    screen.words(
        [
            ("wrote", f"{found.drawn}, {found.spoken}"),
            (WORD, f"so the joint mixture says of the sound, with probability {found.certain:.3f}"),
            ("page", f"{found.page}  (open it in a browser: its sounds can be played)"),
        ]
    )


def _show_texts(found: TextDemo, screen: Screen) -> None:
    """Write what the second part made."""
    from isthmus.cli.hits import show_results
    from isthmus.cli.plain_text import line_of
    from isthmus.demo.texts import QUERY
    from isthmus.search.index.index import Index

    named, scored, precision, shuffled = found.named
    screen.line()
    screen.line("Texts: the documentation of the installed packages", style="bold")
    screen.words(
        [
            ("indexed", f"{found.documents:,} documents, {found.passages:,} passages"),
            ("embedder", found.embedder),
            (
                "concepts",
                f"{named} of {scored} could be named. On passages that the names were not made "
                f"from, their average precision is {precision:.2f}, that of shuffled names "
                f"{shuffled:.3f}. Ten of them:",
            ),
        ]
    )
    screen.table(
        ("concept", "passages", "precision", "its words"),
        [
            (
                line_of(f"#{c.id} {c.name}", 60),
                number(c.statistics.passages),
                f"{c.score.precision:.2f}" if c.score is not None else "–",
                line_of(", ".join(word.text for word in c.words[:5]), 60),
            )
            for c in found.concepts
        ],
    )
    with Index(found.index) as index:
        for title, results in (
            (f'isthmus search {found.index} "{QUERY}"', found.plain),
            (f'isthmus search {found.index} "{QUERY}" --less "{found.less}"', found.steered),
        ):
            screen.line()
            screen.line(f"$ {title}", style="bold")
            show_results(screen, index, results)
    screen.line()
    screen.line(f'$ isthmus ask {found.index} "{found.answer.question}"', style="bold")
    for line in found.answer.show().splitlines():
        screen.line(line)


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
