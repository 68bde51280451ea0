"""A line of the catalogue of named data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus.data.fetching import RemoteFile
from isthmus.data.options import LoadOptions, Raw
from isthmus.data.read_idx import find_idx

__all__ = ["Entry"]


@dataclass(frozen=True)
class Entry:
    """A named data set."""

    name: str
    """What it is called."""
    title: str
    """What it holds, in one line."""
    licence: str
    """Under what terms it is given."""
    read: Callable[[Path, LoadOptions], Raw] | None = None
    """Reads the set from the folder that holds its files; None: these are texts."""
    files: tuple[RemoteFile, ...] = ()
    """The files that make it up, where each is fetched."""
    bases: tuple[str, ...] = ()
    """Official addresses of the files, each ending in a slash, tried in order."""
    comes_with: str = ""
    """The package that brings it; empty: it lies in a folder."""
    kind: str = "samples"
    """``samples``, ``vectors`` or ``corpus``."""
    folder: str = ""
    """Its folder in the places where it is looked for; empty: the same as its name."""
    holds: tuple[str, ...] = ()
    """Further files that make it up, relative to its folder; each may be packed (.gz)."""
    archive: RemoteFile | None = None
    """The .zip that is fetched and unpacked instead of single files."""
    by_hand: str = ""
    """Where to get it, where it can't be fetched."""

    def missing(self, folder: Path) -> list[str]:
        """Return the names of files that ``folder`` lacks; plain counts for gzip-compressed."""
        wanted = [file.name.removesuffix(".gz") for file in self.files]
        return [name for name in (*wanted, *self.holds) if find_idx(folder, name) is None]
