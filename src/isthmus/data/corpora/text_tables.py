"""Tables as text, CSV and TSV: a document a record."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from isthmus.data.corpora.bytes_in import decoded_line, lines, opened
from isthmus.data.corpora.choices import Choices, Found
from isthmus.data.corpora.documents import Skipped
from isthmus.data.corpora.fields import IDS, TEXTS, TITLES, document_of, field_called
from isthmus.data.corpora.fields import number_or_text as as_value
from isthmus.data.corpora.records import records
from isthmus.errors import DataError

__all__ = ["check_columns", "header_of", "read_text_table"]

_DELIMITERS = ",;\t|"
_SHOWN = 12


def read_text_table(path: Path, source: str, choices: Choices) -> Iterator[Found]:
    """Yield a document for each record of a table whose first line names the columns.

    Cells of metadata that are written as numbers become numbers.
    """
    with opened(path, choices.unpacked) as handle:
        rows = lines(handle, choices.largest, choices.encoding)
        first = next(rows, None)
        if first is None:
            raise DataError("the file is empty")
        if first[1] is None:
            raise DataError("the first line is too long to name columns")
        delimiter = _delimiter(source, decoded_line(first[1], choices.encoding))
        table = records(chain([first], rows), delimiter, choices.largest, choices.encoding)
        _, names = next(table, (1, "the file is empty"))
        if isinstance(names, str):
            raise DataError(names)
        whole = check_columns([name.strip() for name in names], choices)
        for row, cells in table:
            if isinstance(cells, str):
                yield Skipped(source, cells, row)
            elif len(cells) != len(names):
                why = f"{len(cells)} cells where {len(names)} were expected"
                yield Skipped(source, why, row)
            else:
                yield document_of(_record(names, cells, whole), source, row, choices)


def _record(names: list[str], cells: list[str], whole: frozenset[str]) -> dict[str, Any]:
    return {
        name.strip(): cell if name.strip() in whole else as_value(cell)
        for name, cell in zip(names, cells, strict=True)
    }


def _delimiter(source: str, first: str) -> str:
    """Return the delimiter that occurs most in the first line; a tab for .tsv."""
    if source.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    return max(_DELIMITERS, key=first.count)


def header_of(path: Path, choices: Choices) -> list[str]:
    """Return the names of the columns, read from the first line alone.

    Raises
    ------
    DataError, OSError
        If the file has no such line.
    """
    with opened(path, choices.unpacked) as handle:
        row, line = next(lines(handle, choices.largest, choices.encoding), (0, b""))
    if not line:
        raise DataError("the first line names no columns")
    delimiter = _delimiter(path.name, decoded_line(line, choices.encoding))
    _, names = next(records([(row, line)], delimiter, choices.largest, choices.encoding), (1, ""))
    return [] if isinstance(names, str) else [name.strip() for name in names]


def check_columns(names: list[str], choices: Choices) -> frozenset[str]:
    """Check the names of a table's columns; return those of the text, title and id.

    Raises
    ------
    DataError
        If two are the same, one that was chosen is missing, or none is called like a text.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two columns are called {twice[0]!r}")
    shown = ", ".join(repr(name[:40]) for name in names[:_SHOWN])
    shown += ", ..." if len(names) > _SHOWN else ""
    wanted = (choices.text, choices.title, choices.id, *(choices.metadata or ()))
    for name in wanted:
        if name is not None and name not in names:
            raise DataError(f"there is no column {name!r}; the columns are {shown}")
    text = choices.text if choices.text is not None else field_called(names, TEXTS)
    if text is None:
        raise DataError(
            f"no column is called like a text; the columns are {shown}; choose one with text=..."
        )
    title = choices.title if choices.title is not None else field_called(names, TITLES)
    name = choices.id if choices.id is not None else field_called(names, IDS)
    return frozenset(part for part in (text, title, name) if part is not None)
