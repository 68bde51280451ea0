"""Fetch files over HTTP: resumable, checked, and put in place whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import DataError, MissingDataError, RunError

__all__ = ["Checksum", "Progress", "RemoteFile", "fetch_file"]

Progress = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes that are here, and the bytes in all where known."""

_BLOCK = 1 << 18
_NETWORK = (urllib.error.URLError, http.client.HTTPException, OSError)


@dataclass(frozen=True)
class Checksum:
    """What the bytes of a file must add up to."""

    algorithm: str
    """``md5`` or ``sha256``."""
    digest: str
    """The checksum in hexadecimal."""
    unpacked: bool = False
    """Whether it is of the content after gzip, so that any compressor's file passes."""

    def of(self, path: Path) -> str:
        """Return the checksum of the file at ``path``; a broken gzip file gives ``damaged``."""
        found = hashlib.new(self.algorithm, usedforsecurity=False)
        unpack = zlib.decompressobj(wbits=31) if self.unpacked else None
        with path.open("rb") as handle:
            while block := handle.read(_BLOCK):
                while unpack is not None and block:
                    try:
                        found.update(unpack.decompress(block, _BLOCK))
                    except zlib.error:
                        return "damaged"
                    block = unpack.unconsumed_tail
                found.update(block)
        return found.hexdigest() if unpack is None or unpack.eof else "damaged"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a named set, as its official addresses serve it."""

    name: str
    """The file's name, added to the base address and kept in the cache."""
    checksum: Checksum
    """What it must add up to."""
    most: int = 1 << 27
    """Bytes that it may have at most; more is refused."""


def fetch_file(
    file: RemoteFile,
    bases: tuple[str, ...],
    folder: Path,
    *,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> Path:
    """Fetch one file into ``folder``, from the first base address that serves it right.

    What arrives is kept in ``NAME.part``, which a later call continues; it becomes ``NAME`` only
    when its checksum is right. Proxies are taken from the environment, as urllib does.

    Parameters
    ----------
    file
        What to fetch.
    bases
        Addresses to try in order, each ending in a slash.
    folder
        Where it goes; made if missing.
    progress
        Called as bytes arrive; None: nobody wants to know.
    timeout
        Seconds without any byte after which an address is given up.

    Returns
    -------
    pathlib.Path
        The file in its place.

    Raises
    ------
    MissingDataError
        If no address could be reached or served the file.
    DataError
        If the file is larger than it may be, or its checksum is wrong (it is deleted then).
    """
    failures: list[str] = []
    wrong: DataError | None = None
    for base in bases:
        try:
            return _from_one(file, base + file.name, folder, progress, timeout)
        except RunError:
            raise  # our own disk, not the server
        except DataError as error:
            wrong = error
            failures.append(f"{base}: {error.what}")
        except _NETWORK as error:
            failures.append(f"{base}: {_reason(error)}")
    if wrong is not None:
        raise wrong
    partial = folder / f"{file.name}.part"
    begun = partial.stat().st_size if partial.exists() else 0
    raise MissingDataError(
        f"{file.name} could not be fetched",
        where="; ".join(failures),
        why=f"{begun:,} bytes of it are kept" if begun else "",
        fix="check the connection and try again; what has arrived is not fetched twice",
    )


def _reason(error: BaseException) -> str:
    """Say in a few words why an address failed."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"not reachable ({error.reason})"
    return str(error) or type(error).__name__


def _from_one(
    file: RemoteFile, url: str, folder: Path, progress: Progress | None, timeout: float
) -> Path:
    """Fetch from one address; continue what is there; check; rename."""
    partial, target = folder / f"{file.name}.part", folder / file.name
    try:
        _download(file, url, partial, progress, timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the part is as long as the file, or longer: judge it as it is
            raise
    found = file.checksum.of(partial)
    if found != file.checksum.digest:
        partial.unlink()
        raise DataError(
            f"{file.name} has the wrong checksum and was deleted",
            where=url,
            why=f"{file.checksum.algorithm} is {found}, not {file.checksum.digest}",
            fix="try again; if it happens twice, the server or something on the way changes it",
        )
    partial.replace(target)
    return target


def _download(
    file: RemoteFile, url: str, partial: Path, progress: Progress | None, timeout: float
) -> None:
    """Append to ``partial`` what is missing, or start again where the server can't continue."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "isthmus", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        continues = answer.status == 206 and _starts_at(answer.headers["Content-Range"], have)
        if have and answer.status == 206 and not continues:
            raise http.client.HTTPException("the server continued at another byte than asked")
        done = have if continues else 0
        length = answer.headers["Content-Length"]
        total = done + int(length) if length and length.isdecimal() else None
        if total is not None and total > file.most:
            raise _too_large(file, url, total)
        with _appending(partial, fresh=not continues) as append:
            while block := answer.read(_BLOCK):
                done += len(block)
                if done > file.most:
                    partial.unlink()
                    raise _too_large(file, url, done)
                append(block)
                if progress is not None:
                    progress(file.name, done, total)
    if total is not None and done < total:
        raise http.client.HTTPException(
            f"the connection ended after {done:,} of {total:,} bytes; they are kept"
        )


@contextlib.contextmanager
def _appending(partial: Path, *, fresh: bool) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that writes to ``partial``; a full disk is told from a lost connection."""

    def failed(error: OSError) -> RunError:
        return RunError(
            "what was fetched could not be written",
            where=str(partial),
            why=error.strerror or str(error),
            fix="make room on the disk, or choose another cache with ISTHMUS_HOME",
        )

    def append(block: bytes) -> None:
        try:
            handle.write(block)
        except OSError as error:
            raise failed(error) from error

    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        handle = partial.open("wb" if fresh else "ab", buffering=0)
    except OSError as error:
        raise failed(error) from error
    with handle:
        yield append


def _starts_at(content_range: str | None, have: int) -> bool:
    """Say whether a Content-Range header begins at byte ``have``."""
    return bool(content_range) and str(content_range).startswith(f"bytes {have}-")


def _too_large(file: RemoteFile, url: str, size: int) -> DataError:
    return DataError(
        f"{file.name} is larger than it may be",
        where=url,
        why=f"{size:,} bytes or more; at most {file.most:,} were expected",
        fix="the address may serve something else; nothing was kept",
    )
