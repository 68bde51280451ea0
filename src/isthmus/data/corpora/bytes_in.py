"""Bytes of files: opened with care, unpacked with a limit, cut into lines, decoded."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from isthmus.data.guards import gigabytes
from isthmus.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["decoded", "decoded_line", "lines", "opened", "too_large"]

_BLOCK = 1 << 16
_MOST_RATIO, _RATIO_FREE = 300, 1 << 28
# the longer marks first: that of UTF-16 begins that of UTF-32
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-16", "utf-32")


@contextmanager
def opened(path: Path, unpacked: int) -> Iterator[IO[bytes]]:
    """Open a plain file for reading, unpacking one that ends in .gz as it is read.

    Parameters
    ----------
    path
        The file.
    unpacked
        Bytes that it may unpack to.

    Raises
    ------
    DataError
        If it is no plain file (a pipe, a device); while reading, if it unpacks to more than it
        may, or to more than 300 times its size beyond 256 MiB.
    OSError
        If it can't be opened or read.
    """
    # without O_NONBLOCK, opening a pipe would wait for somebody to write into it
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise DataError("not a plain file")
        if path.suffix.lower() != ".gz":
            yield file
            return
        with io.BufferedReader(_Unpacked(file, unpacked), _BLOCK) as inner:
            yield inner


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, counted as it comes out."""

    def __init__(self, packed: IO[bytes], most: int) -> None:
        self._inner = gzip.GzipFile(fileobj=packed, mode="rb")
        self._size, self._most, self._done = os.fstat(packed.fileno()).st_size, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._inner.readinto(buffer)
        self._done += count
        if self._done > self._most:
            raise DataError(f"it unpacks to more than {gigabytes(self._most)}")
        if self._done > max(_RATIO_FREE, _MOST_RATIO * self._size):
            raise DataError(f"it unpacks to more than {_MOST_RATIO} times its size")
        return count


def too_large(size: int, largest: int) -> str:
    """Say that a text is larger than it may be."""
    return f"{gigabytes(size)} is more than {gigabytes(largest)} (raise it with largest=...)"


def decoded(data: bytes, encoding: str | None = None) -> tuple[str, int | None]:
    r"""Decode a whole file.

    A byte order mark decides; without one it must be UTF-8, or it is decoded by ``encoding``.

    Returns
    -------
    text : str
        The text without the mark, line ends as they are.
    offset : int or None
        The byte at which the text begins in UTF-8; None: it is another encoding.

    Raises
    ------
    DataError
        If it is binary, or in another encoding than expected.

    Examples
    --------
    >>> decoded(b"\xef\xbb\xbfa\r\n"), decoded("a".encode("utf-16"))
    (('a\r\n', 3), ('a', None))
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            text = _strictly(data[len(mark) :], name)
            return text, len(mark) if name == "utf-8" else None
    binary = b"\0" in data
    if encoding is not None and (binary or not _is_utf8(data)):
        return _strictly(data, encoding), None
    if binary:
        raise DataError("binary, not text")
    return _strictly(data, "utf-8"), 0


def decoded_line(line: bytes, encoding: str | None = None) -> str:
    """Decode a line: UTF-8, or else by ``encoding``.

    Raises
    ------
    DataError
        If that fails.
    """
    try:
        return line.decode()
    except UnicodeDecodeError:
        return _strictly(line, encoding or "utf-8")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _strictly(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        hint = "; choose its encoding=..." if encoding == "utf-8" else ""
        raise DataError(
            f"not {encoding.upper()} text: byte {start:,} can't be decoded{hint}"
        ) from (error)
    if "\0" in text:
        raise DataError("binary, not text")
    return text


def lines(
    handle: IO[bytes], largest: int, encoding: str | None = None
) -> Iterator[tuple[int, bytes | None]]:
    r"""Yield the lines of a file as UTF-8 with their ends, numbered from 1.

    A file that begins with the mark of UTF-16 or UTF-32 is turned into UTF-8 on the way. Of a
    line that is too long no more than ``largest`` bytes are ever held.

    Yields
    ------
    row : int
        The number of the line.
    line : bytes or None
        The line; None: it is longer than ``largest``.

    Examples
    --------
    >>> list(lines(io.BytesIO(b"a\nbcdef\ng"), 3))
    [(1, b'a\n'), (2, None), (3, b'g')]
    """
    handle, row = _as_utf8(handle, encoding), 0
    while line := handle.readline(largest + 2):
        row += 1
        if len(line.rstrip(b"\r\n")) <= largest:
            yield row, line
            continue
        while line and not line.endswith(b"\n"):
            line = handle.readline(_BLOCK)
        yield row, None


def _as_utf8(handle: IO[bytes], encoding: str | None) -> IO[bytes]:
    """Return the file without its mark, as UTF-8 where its characters are 2 or 4 bytes wide."""
    buffered = handle if isinstance(handle, io.BufferedReader) else io.BufferedReader(handle)  # type: ignore[type-var]
    start = buffered.peek(4)[:4]
    for mark, name in _MARKS:
        if start.startswith(mark):
            buffered.read(len(mark))
            return buffered if name == "utf-8" else io.BufferedReader(_Recoded(buffered, name))
    if encoding is not None and codecs.lookup(encoding).name.startswith(_WIDE):
        return io.BufferedReader(_Recoded(buffered, encoding))
    return buffered


class _Recoded(io.RawIOBase):
    """A file in another encoding, as UTF-8."""

    def __init__(self, inner: IO[bytes], encoding: str) -> None:
        self._inner, self._left = inner, b""
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer)
        while not self._left:
            block = self._inner.read(_BLOCK)
            self._left = self._decoder.decode(block, final=not block).encode()
            if not block:
                break
        count = min(len(self._left), len(target))
        target[:count], self._left = self._left[:count], self._left[count:]
        return count
