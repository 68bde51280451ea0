"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isthmus.errors import RunError

try:
    import fcntl
except ImportError:  # not a POSIX system: abandoned files stay
    fcntl = None  # type: ignore[assignment]

__all__ = ["read_json", "write_json", "write_text", "written_whole"]


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; sync it and rename it there at the end.

    When the block raises, or the disk fills, ``path`` keeps what it held before and the
    temporary file is removed. A temporary file that a killed process left behind is removed by
    the next write to the same ``path``.

    Raises
    ------
    RunError
        If the file can't be written (no room, no permission, a missing folder).
    """
    path = Path(path)
    temporary = path
    lock = None
    try:
        _remove_abandoned(path)
        temporary, lock = _temporary_beside(path)
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers make files that only their owner can read
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except Exception as error:
        if not _is_about_files(error):
            raise
        raise RunError(
            "the file could not be written; what was there before is unchanged",
            where=str(path),
            why=getattr(error, "strerror", None) or str(error),
            fix="make room on the disk, or choose another folder with --out",
        ) from error
    finally:
        if lock is not None:
            temporary.unlink(missing_ok=True)
            os.close(lock)


def _temporary_beside(path: Path) -> tuple[Path, int]:
    """Create a temporary file for ``path`` and hold a lock on it: the sign that it is in use."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        lock = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _locked(lock) and os.fstat(lock).st_nlink:
            return temporary, lock
        os.close(lock)  # another process took it for abandoned before the lock was held


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of ``path`` whose writer was killed: nobody holds their lock."""
    if fcntl is None:
        return
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        with contextlib.suppress(OSError):
            lock = os.open(left, os.O_RDWR)
            if _locked(lock):
                left.unlink(missing_ok=True)
            os.close(lock)


def _locked(handle: int) -> bool:
    """Take the lock of an open file if nobody holds it; without locks, every file is ours."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_about_files(error: Exception) -> bool:
    """Tell errors of writing from others; safetensors wraps a full disk in its own class."""
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError"


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable, where the system allows a folder to be synced."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, limit: int = 64 << 20) -> dict[str, Any]:
    """Read a JSON object of at most ``limit`` bytes.

    Raises
    ------
    RunError
        If the file is missing, too large, not JSON, or not an object.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > limit:
            raise RunError("the file is too large", where=str(path), why=f"{size} bytes > {limit}")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError("the file is missing", where=str(path)) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError(
            "the file is damaged: it is not JSON", where=str(path), why=str(error)
        ) from error
    if not isinstance(value, dict):
        raise RunError("the file is damaged: it holds no JSON object", where=str(path))
    return value
