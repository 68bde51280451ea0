"""The folder of the demonstration: its own may be made anew, anything else is left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from isthmus._version import __version__
from isthmus.demo.members import MEMBERS
from isthmus.errors import RunError
from isthmus.files import read_json, write_json

__all__ = ["COMPARISON", "CROSSED", "INDEX", "MARKER", "REPORT", "SPACE", "prepared"]

MARKER = "isthmus-demo.json"
"""The file by which the demonstration knows its own folder."""
REPORT = "report.html"
COMPARISON = "comparison"
INDEX = "docstrings.index"
SPACE = "digits-words"
CROSSED = "crossed"
_KIND = "isthmus demo"


def prepared(folder: Path) -> Path:
    """Make the folder, or clear what an earlier demonstration wrote into it.

    Only the demonstration's own runs, comparison, index, crossings and report go, and only from
    a folder that it has marked; whatever else lies there stays.

    Raises
    ------
    RunError
        If the folder holds something and is not the demonstration's, or can't be written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise RunError("there is a file where the demo should go", where=str(folder))
        if folder.is_dir() and any(folder.iterdir()):
            _check_ours(folder)
            _clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except RunError:
        raise
    except OSError as error:
        raise RunError(
            "the demo's folder can't be prepared",
            where=str(error.filename or folder),
            why=error.strerror or str(error),
            fix="give another --out",
        ) from error
    write_json(folder / MARKER, {"kind": _KIND, "isthmus": __version__})
    return folder


def _check_ours(folder: Path) -> None:
    marker = folder / MARKER
    if marker.is_file() and not marker.is_symlink() and read_json(marker).get("kind") == _KIND:
        return
    raise RunError(
        "the folder is not empty and was not made by the demo; nothing in it was changed",
        where=str(folder),
        fix="give another --out",
    )


def _clear(folder: Path) -> None:
    for name in (*(member.name for member in MEMBERS), SPACE):
        _remove(folder / "runs" / name)
    _remove(folder / COMPARISON)
    _remove(folder / INDEX)
    _remove(folder / CROSSED)
    (folder / REPORT).unlink(missing_ok=True)


def _remove(path: Path) -> None:
    # a link is taken away itself; what it points to is not ours
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
