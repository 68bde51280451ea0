"""The files of a folder, in the order of their names; what can't be followed is named."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from isthmus.data.corpora.documents import Skipped

__all__ = ["files_under", "reason"]


def files_under(root: Path, patterns: Sequence[str]) -> Iterator[tuple[Path, str] | Skipped]:
    """Walk a folder, going into its folders as their names come up.

    Hidden files and folders are left out. Links are not followed to places outside; of a link
    to a file inside, the file is read where it is, or under the link's name if it would not be
    read there (it is hidden, or no pattern matches it). Links to folders inside lead nowhere new.

    Parameters
    ----------
    root
        The folder.
    patterns
        What names must match; one with a slash is held against the whole relative path.

    Yields
    ------
    (path, source) or Skipped
        A file with its name relative to ``root``, forward slashes; or what could not be read.
    """
    wanted = [pattern.lower() for pattern in patterns]
    real = root.resolve()
    stack = [("", iter(_entries(root, "")))]
    while stack:
        folder, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        if isinstance(entry, Skipped):
            yield entry
            continue
        source = f"{folder}{entry.name}"
        if _is_folder(entry):
            stack.append((f"{source}/", iter(_entries(Path(entry.path), source))))
        elif (found := _file(entry, source, real, wanted)) is not None:
            yield found


def reason(error: BaseException) -> str:
    """Say in a few words why a file can't be read."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _entries(folder: Path, source: str) -> list[os.DirEntry[str] | Skipped]:
    """List a folder by name; a folder that can't be listed is one entry that says so."""
    try:
        with os.scandir(folder) as found:
            shown = [entry for entry in found if entry.name[0] != "."]
    except OSError as error:
        return [Skipped(_shown(source) or ".", f"the folder can't be listed: {reason(error)}")]
    return [*sorted(shown, key=lambda entry: entry.name)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _matches(source: str, patterns: Sequence[str]) -> bool:
    whole, name = source.lower(), PurePosixPath(source).name.lower()
    return any(fnmatchcase(whole if "/" in p else name, p) for p in patterns)


def _file(
    entry: os.DirEntry[str], source: str, root: Path, patterns: Sequence[str]
) -> tuple[Path, str] | Skipped | None:
    """Return a file that is to be read, why it can't be, or None where it is not wanted."""
    path = Path(entry.path)
    try:
        if entry.is_symlink():
            return _link(path, source, root, patterns)
        if not _matches(source, patterns):
            return None
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            return Skipped(_shown(source), "not a plain file")
    except OSError as error:
        return Skipped(_shown(source), reason(error))
    return _named(path, source)


def _link(
    path: Path, source: str, root: Path, patterns: Sequence[str]
) -> tuple[Path, str] | Skipped | None:
    """Decide about a link."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        broken = Skipped(_shown(source), "a link that leads nowhere")
        return broken if _matches(source, patterns) else None
    if target.is_dir():
        outside = not target.is_relative_to(root)
        why = "a link to a folder outside, which is not followed"
        return Skipped(_shown(source), why) if outside else None
    if not _matches(source, patterns):
        return None
    if not target.is_relative_to(root):
        return Skipped(_shown(source), "a link to a file outside, which is not followed")
    inside = target.relative_to(root).as_posix()
    hidden = any(part.startswith(".") for part in inside.split("/"))
    return _named(path, source) if hidden or not _matches(inside, patterns) else None


def _named(path: Path, source: str) -> tuple[Path, str] | Skipped:
    try:
        source.encode()
    except UnicodeEncodeError:
        return Skipped(_shown(source), "the file's name is not UTF-8")
    return path, source


def _shown(source: str) -> str:
    """Return a file's name as text that can be written anywhere."""
    return os.fsencode(source).decode("utf-8", "backslashreplace")
