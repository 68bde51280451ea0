"""The file of kept vectors: SQLite, which survives being killed and has many readers."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Half", "KeptVectors"]

_FILE = "vectors-1.sqlite"
_ASKED = 500
_CHECK = 8
_PATIENCE = 60.0
Half = NDArray[np.float16]


class KeptVectors:
    """Vectors by key, in one file of a folder, for a ``with`` block.

    What can't be read counts as not there, with a message; a damaged file is put aside under
    another name and a new one begun. Nothing here stops an embedding.

    Parameters
    ----------
    folder
        Made if missing.
    dim
        Numbers in a vector.
    notify
        Told, in a line, what is wrong.
    """

    def __init__(self, folder: Path, dim: int, notify: Callable[[str], None]) -> None:
        self._path, self._dim, self._notify = folder / _FILE, dim, notify
        self._base: sqlite3.Connection | None = None

    def __enter__(self) -> KeptVectors:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self._path, timeout=_PATIENCE)
            with self._base as base:
                base.execute(
                    "CREATE TABLE IF NOT EXISTS vectors"
                    " (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
                )
        except (OSError, sqlite3.Error) as error:
            self._failed(error)

    def _close(self) -> None:
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                self._base.close()
            self._base = None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Half]:
        """Return the vectors of those keys that are there and whole."""
        found: dict[bytes, Half] = {}
        broken = 0
        try:
            for first in range(0, len(keys) if self._base is not None else 0, _ASKED):
                for key, value in self._rows(keys[first : first + _ASKED]):
                    vector = _unpacked(key, value, self._dim)
                    if vector is None:
                        broken += 1
                    else:
                        found[key] = vector
        except sqlite3.Error as error:
            self._failed(error)
        if broken:
            self._notify(f"{self._path}: {broken} kept vectors are damaged and are made anew")
        return found

    def _rows(self, keys: Sequence[bytes]) -> list[tuple[bytes, Any]]:
        marks = ",".join("?" * len(keys))
        asked = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
        return [] if self._base is None else self._base.execute(asked, keys).fetchall()

    def put(self, vectors: Mapping[bytes, Half]) -> None:
        """Keep vectors, all of them or none."""
        if self._base is None:
            return
        rows = [(key, _packed(key, vector)) for key, vector in vectors.items()]
        try:
            with self._base as base:
                base.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Go on without the file, or with a new one where it was damaged."""
        self._close()
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        if not damaged:
            self._notify(f"{self._path}: vectors can't be kept there ({error})")
            return
        aside = self._path.with_name(f"{self._path.name}.damaged-{secrets.token_hex(4)}")
        self._notify(f"{self._path}: damaged ({error}); put aside as {aside.name}, begun anew")
        try:
            self._path.replace(aside)
            self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
        except OSError:
            return
        self._open()


def _check(key: bytes, content: bytes) -> bytes:
    return hashlib.blake2b(key + content, digest_size=_CHECK).digest()


def _packed(key: bytes, vector: Half) -> bytes:
    content = vector.astype("<f2").tobytes()
    return _check(key, content) + content


def _unpacked(key: bytes, value: Any, dim: int) -> Half | None:
    """Return the vector in a row, or None where the row is not what was written."""
    if not isinstance(value, bytes) or len(value) != _CHECK + 2 * dim:
        return None
    check, content = value[:_CHECK], value[_CHECK:]
    if check != _check(key, content):
        return None
    return np.frombuffer(content, dtype="<f2").astype(np.float16)
