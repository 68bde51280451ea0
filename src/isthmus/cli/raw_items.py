"""Raw items as they are typed: a file, a text, or an item of the run's own data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.errors import ConfigError, DataError, MissingDataError, RunError

if TYPE_CHECKING:
    from isthmus.cli.screen import Screen
    from isthmus.runs.multimodal import MultimodalRun

__all__ = [
    "ENDINGS",
    "And",
    "From",
    "Resize",
    "To",
    "files_of",
    "item_of",
    "items_of",
    "multimodal_run",
]

From = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--from",
        metavar="MODALITY ITEM",
        help="A modality and an item of it: a file (PNG, WAV, .npy), a text, or the number or "
        "name of an item of the run's own data.",
        show_default=False,
    ),
]
And = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--and",
        metavar="MODALITY ITEM",
        help="Another item that belongs to the same: the two are joined.",
        show_default=False,
    ),
]
To = Annotated[str, typer.Option("--to", metavar="MODALITY", help="The modality wanted.")]

Resize = Annotated[
    bool,
    typer.Option(
        "--resize", metavar=" ", help="Resize pictures of another size instead of refusing them."
    ),
]

TEXTS = frozenset({"text", "sentence"})
ENDINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image": (".png", ".jpg", ".jpeg", ".npy"),
        "audio": (".wav", ".wave", ".flac", ".ogg", ".mp3", ".aif", ".aiff"),
        "text": (".txt",),
        "sentence": (".txt",),
        "vector": (".npy",),
    }
)
"""The endings of files by kind of modality; the first is the one that is written."""


def multimodal_run(folder: Path, *, resize: bool = False) -> MultimodalRun:
    """Open a run of several modalities.

    Parameters
    ----------
    resize
        Whether pictures of another size are resized from now on.

    Raises
    ------
    ConfigError
        If it has a single one.
    RunError
        If it is no run.
    """
    import dataclasses

    from isthmus.data.modalities import ImageAdapter
    from isthmus.runs import open_run
    from isthmus.runs.multimodal import MultimodalRun

    run = open_run(folder)
    if not isinstance(run, MultimodalRun):
        raise ConfigError(
            "this run has a single modality",
            where=str(folder),
            why=f"it is of the preset {run.preset}",
            fix="train one of several: isthmus train digits-words --model aligned",
        )
    for name, adapter in run.adapters.items():
        if resize and isinstance(adapter, ImageAdapter):
            run.adapters[name] = dataclasses.replace(adapter, resize=True)
    return run


def items_of(
    run: MultimodalRun, given: Iterable[tuple[str, str] | None], screen: Screen
) -> dict[str, Any]:
    """Return the raw items that were typed, by modality; what a reader should know is said.

    Raises
    ------
    ConfigError
        If a modality is not the run's or comes twice, or nothing is given.
    """
    found: dict[str, Any] = {}
    for pair in given:
        if pair is None:
            continue
        name, item = pair
        if name in found:
            raise ConfigError(f"{name!r} is given twice", fix="give each modality once")
        found[name] = item_of(run, name, item)
        for note in getattr(found[name], "notes", ()):
            screen.say(f"note  {item}: {note}")
    if not found:
        raise ConfigError(
            "no item is given",
            fix=f"add --from MODALITY ITEM; the run has: {', '.join(run.adapters)}",
        )
    return found


def item_of(run: MultimodalRun, name: str, item: str) -> Any:
    """Return the raw item that a word stands for.

    Raises
    ------
    ConfigError
        If the run never saw the modality.
    MissingDataError, DataError
        If there is no such item, or it doesn't fit the modality.
    """
    adapter = run.adapter(name)
    if adapter.kind in TEXTS or Path(item).expanduser().is_file():
        return adapter.read(item)
    if Path(item).is_dir():
        raise DataError("this is a folder, not an item", where=item, fix="name a file in it")
    number = _number(run, name, item)
    return adapter.read(item) if number is None else run.item(name, number)


def _number(run: MultimodalRun, name: str, item: str) -> int | None:
    """Return the number of an item of the run's data by its number or name; None for a file."""
    if Path(item).suffix or "/" in item:
        return None
    try:
        data = run.data[name]
    except (RunError, MissingDataError):
        return None
    if item.isdecimal():
        if int(item) >= len(data):
            raise MissingDataError(
                f"there is no item {item} of {name!r} in the run's data",
                where=run.origin.name,
                why=f"there are {len(data):,}, counted from 0",
            )
        return int(item)
    return data.names.index(item) if item in data.names else None


def files_of(run: MultimodalRun, name: str, folder: Path) -> list[Path]:
    """Return the files of a modality in a folder, sorted by name.

    Raises
    ------
    DataError
        If there are none.
    """
    endings = ENDINGS[run.adapter(name).kind]
    found = sorted(
        path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in endings
    )
    if not found:
        raise DataError(
            f"the folder holds no items of {name!r}",
            where=str(folder),
            why=f"they are files that end in {', '.join(endings)}",
        )
    return found
