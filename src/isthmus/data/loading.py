"""`load`: from a name, a path or an array to a data set with splits."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from isthmus.data.assemble import assemble
from isthmus.data.catalogue import CATALOGUE, entry_called, read_named
from isthmus.data.dataset import Dataset
from isthmus.data.fetch import Progress
from isthmus.data.options import LoadOptions, Raw, Reader
from isthmus.data.read_idx import IdxFile, IdxFolder
from isthmus.data.read_memory import Memory
from isthmus.errors import ConfigError, DataError, MissingDataError

__all__ = ["READERS", "load"]

_ALWAYS = frozenset(
    {"validation", "test", "seed", "limit", "drop_bad_rows", "range", "name"}
)


class NamedSet:
    """A set of the catalogue, by name."""

    name = "a named data set"
    settings: frozenset[str] = frozenset()

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a name in the catalogue."""
        return isinstance(source, str) and any(entry.name == source for entry in CATALOGUE)

    def read(self, source: str, options: LoadOptions) -> Raw:
        """Find or fetch the set, and read it."""
        return read_named(entry_called(source), options)


READERS: tuple[Reader, ...] = (
    NamedSet(),
    IdxFolder(),
    IdxFile(),
    Memory(),
)
"""Every kind of source, in the order in which they are asked; add a reader here."""


def load(
    source: object,
    *,
    resize: int | tuple[int, int] | None = None,
    **choices: Any,
) -> Dataset:
    """Load."""
    side = (resize, resize) if isinstance(resize, int) else resize
    options = LoadOptions(resize=side, **choices)
    if isinstance(source, Dataset):
        return source
    for reader in READERS:
        if reader.accepts(source):
            return assemble(reader.read(source, options), options)
    raise DataError(f"{source}")
