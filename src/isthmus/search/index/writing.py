"""One writer at a time: new segments, then a new head, then the old things are removed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from isthmus.errors import RunError
from isthmus.search.index.manifest import HEAD, Manifest, read_manifest, write_manifest

try:
    import fcntl
except ImportError:  # not a POSIX system: nobody else is kept out
    fcntl = None  # type: ignore[assignment]

__all__ = ["commit", "new_folder", "swept", "writing"]

_LOCK, _SEGMENTS = ".writing", "segments"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the right to write an index; readers are never kept out.

    Raises
    ------
    RunError
        If another process is writing, or the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise RunError(
            "the index can't be written", where=str(folder), why=error.strerror or str(error)
        ) from error
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(
                    "another process is writing this index",
                    where=str(folder),
                    fix="wait until it is done, or choose another folder with --out",
                ) from error
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def new_folder(index: Path, kind: str) -> Iterator[Path]:
    """Make a folder in ``index/kind`` that stays if the block succeeds, and goes if it fails.

    It is no part of the index before a head names it.
    """
    place = index / kind / secrets.token_hex(6)
    try:
        place.mkdir(parents=True)
        yield place
        _synced(place)
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, RunError):
            raise RunError(
                "the index could not be written; what was there before is unchanged",
                where=str(place),
                why=error.strerror or str(error),
                fix="make room on the disk, or choose another folder with --out",
            ) from error
        raise


def commit(index: Path, manifest: Manifest) -> None:
    """Make ``manifest`` the index' head, and remove what no head names any more.

    Raises
    ------
    RunError
        If it can't be written: the index is as it was.
    """
    write_manifest(index, manifest)
    swept(index)


def swept(index: Path) -> None:
    """Remove what killed or failed writers, and older heads, left behind."""
    if not (index / HEAD).exists():
        return
    manifest = read_manifest(index)
    kept = {
        _SEGMENTS: {entry.folder for entry in manifest.segments},
        "dictionaries": {str(manifest.dictionary.get("folder"))},
        "concepts": {str(manifest.concepts)},
        "embedder": {str(manifest.embedder.get("state"))},
    }
    for kind, names in kept.items():
        for found in (index / kind).glob("*"):
            if found.name not in names:
                shutil.rmtree(found, ignore_errors=True)
    for entry in manifest.segments:
        for mask in (index / _SEGMENTS / entry.folder).glob("alive-*.npy"):
            if mask.name != entry.alive:
                mask.unlink(missing_ok=True)


def _synced(folder: Path) -> None:
    """Sync a folder and those in it, so that a head never names what a crash has taken."""
    if os.name != "posix":
        return
    for place in (*(p for p in folder.rglob("*") if p.is_dir()), folder, folder.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
