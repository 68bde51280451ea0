"""The head of an index: what belongs together, in one small file that is replaced in one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from isthmus._version import __version__
from isthmus.errors import RunError
from isthmus.files import read_json, write_json

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
    write_json(folder / HEAD, {"format": FORMAT, "isthmus": __version__, **asdict(manifest)})


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
    said = read_json(path)
    form = said.get("format")
    if isinstance(form, int) and form > FORMAT:
        raise RunError(
            f"the index is of format {form}, this program reads up to {FORMAT}",
            where=str(path),
            fix="update isthmus",
        )
    known = {f.name for f in fields(Manifest)}
    try:
        if form != FORMAT:
            raise ValueError(f"format {form!r}")
        parts = {key: value for key, value in said.items() if key in known}
        parts["segments"] = tuple(_entry(entry) for entry in parts["segments"])
        parts["skipped"] = tuple(parts["skipped"])
        manifest = Manifest(**parts)
        numbers = (manifest.next_id, manifest.generation, manifest.skipped_count)
        if not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise ValueError("a number is none")
        for mapping in (manifest.embedder, manifest.dictionary, manifest.cutting, manifest.words):
            if not isinstance(mapping, dict):
                raise TypeError("a part is no mapping")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            "the head of the index is damaged",
            where=str(path),
            why=str(error),
            fix="make the index again",
        ) from error
    return manifest


def _entry(said: Mapping[str, Any]) -> SegmentEntry:
    entry = SegmentEntry(**said)
    for name in (entry.folder, entry.alive or "all"):
        if not name or Path(name).name != name or name in (".", ".."):
            raise ValueError(f"{name!r} is no plain name")
    counts = (entry.passages, entry.living, entry.documents)
    if not all(isinstance(n, int) and n >= 0 for n in counts) or entry.living > entry.passages:
        raise ValueError(f"the counts of segment {entry.folder} are impossible")
    return entry
