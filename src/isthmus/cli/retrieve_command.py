"""`isthmus retrieve`: the items of a modality that match an item of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.raw_items import And, From, Resize, To, files_of, items_of, multimodal_run
from isthmus.cli.screen import NOTHING, Screen
from isthmus.errors import ConfigError, MissingDataError

if TYPE_CHECKING:
    from isthmus.runs.multimodal import MultimodalRun, RetrievedItem

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_SPLITS = {"train": "train", "validation": "validation", "test": "test", "all": None}


@app.command(
    help=help_text(
        "isthmus retrieve runs/trio --from image 7.png --to audio --top 5",
        "isthmus retrieve runs/trio --from text seven --to image --gallery photos/",
        "Find the items of a modality that match an item of another, by the cosine of their "
        "shared codes: in the test split of the run's data, in another split, or among the files "
        "of a folder.",
    )
)
def retrieve(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of several modalities.")],
    to: To,
    from_: From = None,
    and_: And = None,
    top: Annotated[int, typer.Option("--top", "-n", metavar="INT", help="How many items.")] = 5,
    gallery: Annotated[
        str,
        typer.Option(
            "--gallery",
            metavar="WHERE",
            help="Where to look: train, validation, test or all of the run's data; or a folder.",
        ),
    ] = "test",
    resize: Resize = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find what matches an item."""
    screen = Screen(as_json=as_json, quiet=quiet)
    opened = multimodal_run(run, resize=resize)
    opened.adapter(to)
    raw = items_of(opened, (from_, and_), screen)
    hits = _found(opened, raw, to, top, gallery)
    if as_json:
        screen.json(
            {
                "run": str(run),
                "from": dict(filter(None, (from_, and_))),
                "to": to,
                "gallery": gallery,
                "hits": [{"rank": i} | hit.as_json() for i, hit in enumerate(hits, 1)],
            }
        )
        return
    rows = [
        (str(rank), f"{hit.score:.4f}", hit.name, hit.label or NOTHING)
        for rank, hit in enumerate(hits, 1)
    ]
    screen.table(("rank", "similarity", "item", "class"), rows, left=1)


def _found(
    run: MultimodalRun, raw: dict[str, Any], to: str, top: int, gallery: str
) -> list[RetrievedItem]:
    """Look in a split of the run's data, or among the files of a folder."""
    from isthmus.runs.multimodal.verbs import retrieved

    if top < 1:
        raise ConfigError(f"--top can't be {top}", fix="ask for one item or more")
    if gallery in _SPLITS:
        return retrieved(run, raw, to, top, _SPLITS[gallery])
    folder = Path(gallery).expanduser()
    if not folder.is_dir():
        raise MissingDataError(
            "there is no such gallery",
            where=gallery,
            fix="give train, validation, test, all, or a folder of files",
        )
    files = files_of(run, to, folder)
    items = [run.adapter(to).read(path) for path in files]
    return retrieved(run, raw, to, top, among=items, names=[str(path) for path in files])
