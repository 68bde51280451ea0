"""The head of an index: what belongs together, in one small file that is replaced in one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from isthmus._version import __version__
from isthmus.errors import RunError
from isthmus.files import read_json, write_json
from isthmus.search.index.checking import check_head
from isthmus.search.index.sealing import digest_of

__all__ = ["FORMAT", "HEAD", "Manifest", "SegmentEntry", "read_manifest", "write_manifest"]

FORMAT = 1
"""Version of what is written."""
HEAD = "index.json"
"""The file that says what an index is; what it does not name is not a part of it."""


@dataclass(frozen=True)
class SegmentEntry:
    """One part of the index, which never changes but for what is deleted of it."""

    folder: str
    """Its folder's name, below ``segments``."""
    passages: int
    """Passages that were written to it."""
    living: int
    """Those that are not deleted."""
    documents: int
    """Documents that live in it."""
    alive: str | None = None
    """The file that says which live, in that folder; None: all."""


@dataclass(frozen=True)
class Manifest:
    """All that an index is made of."""

    name: str
    """The corpus' name."""
    corpus: Mapping[str, Any]
    """Where the texts came from, and how they were read; empty: from memory."""
    embedder: Mapping[str, Any]
    """Configuration, name, description, digest and width of the embedder."""
    cutting: Mapping[str, Any]
    """How documents were cut, and what was cut."""
    words: Mapping[str, Any]
    """How words were counted."""
    dictionary: Mapping[str, Any]
    """Folder, latents, active latents and training of the dictionary."""
    concepts: str | None
    """Folder of the concepts; None: they were not described."""
    segments: tuple[SegmentEntry, ...] = ()
    """The parts."""
    next_id: int = 0
    """The number that the next passage gets; numbers are never used again."""
    generation: int = 1
    """Goes up with every commit."""
    skipped: tuple[Mapping[str, Any], ...] = ()
    """Files and rows that could not be read (at most 1,000 of them)."""
    skipped_count: int = 0
    """How many there were."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the index was asked for, beyond the above."""

    @property
    def passages(self) -> int:
        """Living passages."""
        return sum(segment.living for segment in self.segments)

    @property
    def documents(self) -> int:
        """Living documents."""
        return sum(segment.documents for segment in self.segments)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make a manifest the valid one: the moment at which a change takes place.

    Raises
    ------
    RunError
        If it can't be written; the index is unchanged then.
    """
    said = {"format": FORMAT, "isthmus": __version__, **asdict(manifest)}
    write_json(folder / HEAD, said | {"sha256": digest_of(said)})


def read_manifest(folder: Path) -> Manifest:
    """Read the head of an index.

    Raises
    ------
    RunError
        If there is no index, or its head is damaged or of a newer format.
    """
    path = folder / HEAD
    if not folder.is_dir():
        raise RunError("there is no such index", where=str(folder), fix="make one: isthmus index")
    if not path.exists():
        raise RunError(
            "this folder is no index",
            where=str(folder),
            why=f"it holds no {HEAD}",
            fix="name the folder that `isthmus index` made",
        )
    try:
        said = read_json(path)
        form = said.get("format")
        if isinstance(form, int) and form > FORMAT:
            raise RunError(
                f"the index is of format {form}, this program reads up to {FORMAT}",
                where=str(path),
                fix="update isthmus",
            )
        if form != FORMAT:
            raise ValueError(f"its format is {form!r}")
        if said.get("sha256") != digest_of(said):
            raise ValueError("its own SHA-256 is another one")
        return _manifest(said)
    except RunError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError) as error:
        raise RunError(
            "the head of the index is damaged",
            where=str(path),
            why=str(error),
            fix="bring back a copy of it, or remove the folder and make the index again",
        ) from error


def _manifest(said: Mapping[str, Any]) -> Manifest:
    check_head(said)
    parts = {f.name: said[f.name] for f in fields(Manifest)}
    parts["segments"] = tuple(SegmentEntry(**entry) for entry in parts["segments"])
    parts["skipped"] = tuple(parts["skipped"])
    return Manifest(**parts)
