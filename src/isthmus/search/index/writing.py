"""One writer at a time: new segments, then a new head, then the old things are removed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from isthmus.errors import RunError
from isthmus.search.index.holding import unheld
from isthmus.search.index.manifest import HEAD, Manifest, read_manifest, write_manifest
from isthmus.search.index.sealing import seal

try:
    import fcntl
except ImportError:  # not a POSIX system: nobody else is kept out
    fcntl = None  # type: ignore[assignment]

__all__ = ["KINDS", "LOCK", "commit", "new_folder", "swept", "writing"]

LOCK = ".writing"
"""The file that a writer holds; an index that was never finished is known by it."""
KINDS = ("segments", "dictionaries", "concepts", "embedder")
"""Folders of an index that hold folders which never change."""


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
        handle = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise RunError(
            "the index can't be written", where=str(folder), why=error.strerror or str(error)
        ) from error
    try:
        if not _taken(handle):
            raise RunError(
                "another process is writing this index",
                where=str(folder),
                fix="wait until it is done, or choose another folder with --out",
            )
        try:
            yield
        finally:
            _tidied(folder)
    finally:
        os.close(handle)


def _tidied(folder: Path) -> None:
    """Remove a folder in which nothing was written, while its lock is still held."""
    with contextlib.suppress(OSError):
        if [path.name for path in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            folder.rmdir()


def _taken(handle: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


@contextlib.contextmanager
def new_folder(index: Path, kind: str) -> Iterator[Path]:
    """Make a folder in ``index/kind`` that stays if the block succeeds, and goes if it fails.

    It is sealed at the end, and no part of the index before a head names it.
    """
    place = index / kind / secrets.token_hex(6)
    try:
        place.mkdir(parents=True)
        yield place
        seal(place)
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
    """Remove what killed or failed writers, and older heads, left behind.

    What a reader still holds stays until the next time. Without a head, all goes but the log of
    edits.

    Raises
    ------
    RunError
        If the head is damaged.
    """
    named: dict[str, set[str]] = {kind: set() for kind in KINDS}
    manifest = read_manifest(index) if (index / HEAD).exists() else None
    if manifest is not None:
        named = {
            "segments": {entry.folder for entry in manifest.segments},
            "dictionaries": {str(manifest.dictionary.get("folder"))},
            "concepts": {str(manifest.concepts)},
            "embedder": {str(manifest.embedder.get("state"))},
        }
    for kind, names in named.items():
        for found in (index / kind).glob("*"):
            if found.name not in names:
                with unheld(found) as free:
                    if free:
                        shutil.rmtree(found, ignore_errors=True)
    for entry in manifest.segments if manifest is not None else ():
        _without_old_masks(index / "segments" / entry.folder, entry.alive)


def _without_old_masks(segment: Path, current: str | None) -> None:
    old = [mask for mask in segment.glob("alive-*.npy") if mask.name != current]
    if old:
        with unheld(segment) as free, contextlib.suppress(OSError):
            for mask in old if free else ():
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
