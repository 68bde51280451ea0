"""Postings in a folder: one ``.npy`` file an array, and a manifest that says what they must be."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import secrets
import shutil
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import RunError
from isthmus.files import read_json, write_json
from isthmus.search.postings.layout import BLOCKS, MOST_BLOCKS, Layout, fault

try:
    import fcntl
except ImportError:  # not a POSIX system: abandoned folders stay
    fcntl = None  # type: ignore[assignment]

__all__ = ["FORMAT", "MADE_AGAIN", "MANIFEST", "digest_of", "opened", "verified", "written"]

Array = NDArray[Any]

FORMAT = 1
"""Version of the layout on the disk."""
MANIFEST = "postings.json"
"""The file that says what the others must be; written last."""
MADE_AGAIN = "make the index again from its texts or codes"
_OTHER_BYTES = "its SHA-256 is not the one in the manifest"
_NUMBERS = ("rows", "block", "lowest")
_LEAST, _MOST = -126, 96  # every 16-bit value is a float32
_PIECE = 1 << 22
_LARGE = ("low", "values")  # their digests wait for ``verified``: opening takes milliseconds


def written(folder: Path, layout: Layout) -> None:
    """Write postings to a new folder, whole or not at all.

    What a killed process left of an attempt to write the same folder is removed.

    Raises
    ------
    RunError
        If the folder is there already, or can't be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise RunError(
            "there is something in that place already",
            where=str(folder),
            fix="remove it first, or choose another name",
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_beside(folder) as temporary:
            arrays = {name: _written_array(temporary, name, a) for name, a in layout.arrays()}
            numbers = {key: getattr(layout, key) for key in (*_NUMBERS, "signed")}
            manifest = {"format": FORMAT, **numbers, "arrays": arrays}
            write_json(temporary / MANIFEST, manifest | {"sha256": digest_of(manifest)})
            _synced(temporary)
            temporary.rename(folder)
            _synced(folder.parent)
    except OSError as error:
        if isinstance(error, RunError):
            raise
        raise RunError(
            "the postings could not be written; nothing was changed",
            where=str(folder),
            why=error.strerror or str(error),
            fix="make room on the disk, or choose another folder",
        ) from error


@contextlib.contextmanager
def _temporary_beside(folder: Path) -> Iterator[Path]:
    """Make a folder to write in, locked while it is in use; remove it if it was not renamed."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.????????.tmp"):
        with contextlib.suppress(OSError), _held(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        with _held(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder; say whether it was free. Without locks, none is."""
    if fcntl is None:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except OSError:
        free = False
    try:
        yield free
    finally:
        os.close(handle)


def _written_array(folder: Path, name: str, array: Array) -> dict[str, Any]:
    """Write one array; return its entry in the manifest."""
    path = folder / f"{name}.npy"
    with path.open("wb") as handle:
        np.lib.format.write_array(handle, np.asarray(array), (1, 0), allow_pickle=False)
        handle.flush()
        os.fsync(handle.fileno())
    return {
        "dtype": array.dtype.str,
        "length": len(array),
        "bytes": path.stat().st_size,
        "sha256": _digest(path),
    }


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def digest_of(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest, its own entry left out."""
    held = {key: value for key, value in manifest.items() if key != "sha256"}
    text = json.dumps(held, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _synced(folder: Path) -> None:
    """Make what happened to the names in a folder durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def opened(folder: Path) -> Layout:
    """Open postings, memory-mapped; nothing is used that contradicts the manifest.

    Raises
    ------
    RunError
        If a file is missing, damaged, cut short, or not what the manifest says.
    """
    folder = Path(folder)
    manifest = read_json(folder / MANIFEST)
    with _as_damage(folder / MANIFEST):
        if manifest["format"] != FORMAT:
            raise RunError(
                "the postings are of another format",
                where=str(folder),
                why=f"format {manifest['format']!r}; this version reads {FORMAT}",
                fix="use the version that wrote them, or " + MADE_AGAIN,
            )
        if manifest["sha256"] != digest_of(manifest):
            raise ValueError("its own SHA-256 is another one")
        rows, block, lowest = (_number(manifest, key) for key in _NUMBERS)
        entries, signed = manifest["arrays"], manifest["signed"]
        if set(entries) != set(Layout.names()) or not isinstance(signed, bool):
            raise ValueError("unknown arrays or settings")
        if block not in BLOCKS or not 0 <= rows <= block * MOST_BLOCKS:
            raise ValueError(f"{rows} rows in blocks of {block}")
        if not _LEAST <= lowest <= _MOST:
            raise ValueError(f"values from 2**{lowest}")
    arrays = {name: _opened_array(folder, name, entries[name]) for name in Layout.names()}
    layout = Layout(rows, block, lowest, signed, **arrays)
    found = fault(layout)
    if found is not None:
        raise _damaged(folder / f"{found[0]}.npy", found[1])
    return layout


def _number(manifest: dict[str, Any], key: str) -> int:
    value = manifest[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}")
    return value


def _opened_array(folder: Path, name: str, entry: dict[str, Any]) -> Array:
    """Map one array after its size, type and length were held against the manifest."""
    path = folder / f"{name}.npy"
    with _as_damage(path):
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise ValueError(f"it has {size} bytes, not {entry['bytes']}")
        if entry["dtype"] not in Layout.dtypes(name):
            raise ValueError(f"the manifest says it is of type {entry['dtype']!r}")
        with path.open("rb") as handle:
            version = np.lib.format.read_magic(handle)
            if version != (1, 0):
                raise ValueError(f"version {version} of the .npy format")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(handle)
            start = handle.tell()
        if fortran or dtype.str != entry["dtype"] or shape != (entry["length"],):
            raise ValueError(f"it holds {dtype.str} {shape}, not what the manifest says")
        if start + dtype.itemsize * shape[0] != size:
            raise ValueError(f"{size} bytes do not hold {shape[0]} entries")
        if name not in _LARGE and _digest(path) != entry["sha256"]:
            raise ValueError(_OTHER_BYTES)
        if shape[0] == 0:
            found: Array = np.empty(0, dtype)
        else:
            found = np.asarray(np.memmap(path, dtype, "r", start, shape))
    found.setflags(write=False)
    return found


@contextlib.contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into an error that names it."""
    try:
        yield
    except RunError:
        raise
    except FileNotFoundError as error:
        raise RunError(
            "a file of the postings is missing", where=str(path), fix=MADE_AGAIN
        ) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"an entry is missing or of the wrong kind: {error}") from error
    except (ValueError, OSError, SyntaxError, RecursionError, tokenize.TokenError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> RunError:
    return RunError("the postings are damaged", where=str(path), why=why, fix=MADE_AGAIN)


def verified(folder: Path) -> None:
    """Hold every file against its digest.

    Raises
    ------
    RunError
        If one differs.
    """
    folder = Path(folder)
    entries = read_json(folder / MANIFEST)["arrays"]
    for name in Layout.names():
        path = folder / f"{name}.npy"
        with _as_damage(path):
            if _digest(path) != entries[name]["sha256"]:
                raise ValueError(_OTHER_BYTES)
