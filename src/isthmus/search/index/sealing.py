"""Folders that never change again: sizes and digests of their files, written last."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from isthmus.errors import RunError
from isthmus.files import read_json, write_json

__all__ = ["SEAL", "check_digests", "check_sizes", "digest_of", "file_digest", "seal"]

SEAL = "files.json"
"""The list of a folder's files."""
_AGAIN = "make the index again, or bring back a copy of it"


def seal(folder: Path) -> None:
    """Write down size and SHA-256 of every file below a folder.

    Raises
    ------
    RunError
        If a file can't be read, or the list not written.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    said: dict[str, Any] = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": file_digest(path),
        }
        for path in files
    }
    write_json(folder / SEAL, {"files": said, "sha256": digest_of({"files": said})})


def check_sizes(folder: Path) -> None:
    """Make sure that every file of a sealed folder is there, and as long as it was.

    Raises
    ------
    RunError
        If one is not; names it.
    """
    for path, entry in _listed(folder):
        with _as_damage(path):
            size = path.stat().st_size
            if size != entry["bytes"]:
                raise ValueError(f"it has {size} bytes, not {entry['bytes']}")


def check_digests(folder: Path, *names: str) -> None:
    """Hold the files of a sealed folder, all or only those named, against their digests.

    Raises
    ------
    RunError
        If one differs or is missing; names it.
    """
    found = dict(_listed(folder))
    for name in names:
        if folder / name not in found:
            raise _damaged(folder / SEAL, f"it does not name {name}")
    for path, entry in found.items():
        if names and path.relative_to(folder).as_posix() not in names:
            continue
        with _as_damage(path):
            if file_digest(path) != entry["sha256"]:
                raise ValueError("its SHA-256 is not the one that was written down")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(said: Mapping[str, Any]) -> str:
    """Return the SHA-256 of JSON values, an entry "sha256" left out.

    Examples
    --------
    >>> digest_of({"a": 1}) == digest_of({"sha256": "?", "a": 1})
    True
    """
    held = {key: value for key, value in said.items() if key != "sha256"}
    text = json.dumps(held, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the files of a folder and what is said of them."""
    path = folder / SEAL
    with _as_damage(path):
        said = read_json(path)
        if said["sha256"] != digest_of(said):
            raise ValueError("its own SHA-256 is another one")
        files = said["files"]
        if not isinstance(files, dict):
            raise TypeError("it lists no files")
        for name in files:
            parts = PurePosixPath(name).parts
            if not parts or ".." in parts or parts[0] == "/":
                raise ValueError(f"{name!r} leads out of the folder")
    for name, entry in files.items():
        yield folder / name, entry


@contextlib.contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into an error that names it."""
    try:
        yield
    except RunError as error:
        raise _damaged(path, error.what) from error
    except FileNotFoundError as error:
        raise _damaged(path, "the file is missing") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"an entry is missing or of the wrong kind: {error}") from error
    except (ValueError, OSError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> RunError:
    return RunError("the index is damaged", where=str(path), why=why, fix=_AGAIN)
