"""Readers hold the folders that they read: a writer removes them only when nobody does."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

from isthmus.errors import RunError

try:
    import fcntl
except ImportError:  # not a POSIX system: an open file can't be removed there anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["Hold", "unheld"]


class Hold:
    """Shared locks on folders, until it is closed or forgotten.

    Parameters
    ----------
    folders
        What is to stay.

    Raises
    ------
    RunError
        If one is missing, or being removed.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        handles: list[int] = []
        self._end = weakref.finalize(self, _closed, handles)
        try:
            for folder in folders if fcntl is not None else ():
                handles.append(os.open(folder, os.O_RDONLY))
                _shared(handles[-1])
        except OSError as error:
            self.close()
            raise RunError(
                "a part of the index is missing",
                where=str(folder),
                why=error.strerror or str(error),
                fix="make the index again",
            ) from error

    def close(self) -> None:
        """Let go of the folders."""
        self._end()


@contextlib.contextmanager
def unheld(folder: Path) -> Iterator[bool]:
    """Keep readers away from a folder, and say whether none holds it."""
    if fcntl is None:
        yield True
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _alone(handle)
    finally:
        os.close(handle)


def _shared(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return


def _alone(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _closed(handles: list[int]) -> None:
    while handles:
        os.close(handles.pop())
