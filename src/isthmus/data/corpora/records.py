"""CSV as records: like Python's csv module, with line numbers and a limit of one's own choice.

Python's module has one limit for all its readers in a process, 128 KiB, which documents pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from isthmus.data.corpora.bytes_in import decoded_line
from isthmus.errors import DataError

__all__ = ["records"]


class _Record:
    """A record under way: cells that are complete, and a quoted one that may be open."""

    def __init__(self, row: int, delimiter: str) -> None:
        self.row, self.delimiter = row, delimiter
        self.cells: list[str] = []
        self.size = 0
        self.fault = ""
        self.open: list[str] | None = None

    def take(self, line: str) -> bool:
        """Read a line with its end; say whether the record is complete."""
        at, cell = 0, ""
        while True:
            if self.open is not None:
                end = line.find('"', at)
                self.open.append(line[at:] if end < 0 else line[at:end])
                if end < 0:
                    return False
                at = end + 1
                if line.startswith('"', at):  # a doubled quote is one that belongs to the cell
                    self.open.append('"')
                    at += 1
                    continue
                cell, self.open = "".join(self.open), None
            elif line.startswith('"', at):
                self.open, at = [], at + 1
                continue
            end = line.find(self.delimiter, at)
            if end < 0:
                self.cells.append(cell + line[at:].removesuffix("\n").removesuffix("\r"))
                return True
            self.cells.append(cell + line[at:end])
            at, cell = end + 1, ""


def records(
    lines: Iterable[tuple[int, bytes | None]],
    delimiter: str,
    largest: int,
    encoding: str | None = None,
) -> Iterator[tuple[int, list[str] | str]]:
    r"""Yield (row of its first line, cells) of every record but empty lines.

    Parameters
    ----------
    lines
        Numbered lines with their ends, as :func:`isthmus.data.corpora.bytes_in.lines` yields them.
    delimiter
        The character between cells.
    largest
        Bytes that a record may have.
    encoding
        How to decode what is not UTF-8.

    Yields
    ------
    row : int
        The number of the record's first line.
    cells : list of str, or str
        The cells; a text says why the record can't be read.

    Examples
    --------
    >>> list(records([(1, b'a,"b\n'), (2, b'""c"\n')], ",", 99))
    [(1, ['a', 'b\n"c'])]
    """
    record: _Record | None = None
    for row, line in lines:
        if record is None:
            if line is not None and not line.strip(b"\r\n"):
                continue
            record = _Record(row, delimiter)
        complete = _taken(record, line, largest, encoding)
        if complete:
            yield record.row, record.fault or record.cells
            record = None
    if record is not None:
        yield record.row, "a quote is opened here and never closed; nothing after it was read"


def _taken(record: _Record, line: bytes | None, largest: int, encoding: str | None) -> bool:
    """Hand a line to a record, which keeps nothing more once it is at fault."""
    record.size += largest + 1 if line is None else len(line)
    if line is None or record.size > largest:
        record.fault = "the record is longer than it may be (raise it with largest=...)"
        if record.open is not None:
            record.open.clear()
        if line is None:
            return record.open is None
    try:
        text = decoded_line(line, encoding)
    except DataError as error:
        record.fault = record.fault or error.what
        text = line.decode("utf-8", "replace")
    return record.take(text)
