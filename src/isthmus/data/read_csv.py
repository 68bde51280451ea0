"""CSV tables of numbers, with or without a header, and a label column by choice."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isthmus.data.guards import check_size
from isthmus.data.options import WHOLE, LoadOptions, Part, Raw
from isthmus.data.tables import label_position, label_values, not_a_number
from isthmus.errors import DataError

__all__ = ["Csv"]

_DELIMITERS = ",;\t|"
_MISSING = frozenset({"", "na", "n/a", "null", "none", "?"})
_CHECK_EVERY = 4096


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in _MISSING - {""}
    return True


def _delimiter(path: Path, first: str) -> str:
    """Return the delimiter that occurs most in the first line; a tab for .tsv."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(_DELIMITERS, key=first.count)


def _has_header(first: list[str], second: list[str]) -> bool:
    """Say whether the first row names the columns.

    It does if some cell is a text above a number, if no cell is a number, or if it just counts
    the columns from 0 or 1, as tables written without names have it.
    """
    cells = [cell.strip() for cell in first]
    texts = [bool(cell) and not _is_number(cell) for cell in cells]
    if all(text or not cell for text, cell in zip(texts, cells, strict=True)):
        return True
    if any(is_text and _is_number(below) for is_text, below in zip(texts, second, strict=False)):
        return True
    counted = cells[0 if cells[0] else 1 :]  # an unnamed first column is pandas' row number
    return len(counted) > 2 and counted in (
        [str(i) for i in range(len(counted))],
        [str(i + 1) for i in range(len(counted))],
    )


class Csv:
    """A table of numbers as text."""

    name = "a CSV file"
    settings = frozenset({"label_column", "header"})

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a .csv or .tsv file by name."""
        if not isinstance(source, Path) or source.suffix.lower() not in (".csv", ".tsv"):
            return False
        return source.is_file()

    def read(self, source: Path, options: LoadOptions) -> Raw:
        """Read the table row by row into float32."""
        try:
            return _read(source, options)
        except UnicodeDecodeError as error:
            raise DataError(
                "the CSV file is not UTF-8 text",
                where=f"{source}, byte {error.start} of a block",
                why=error.reason,
                fix="save it again as UTF-8",
            ) from error
        except csv.Error as error:
            raise DataError("the CSV file is damaged", where=str(source), why=str(error)) from error


def _rows(source: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every line that is not empty."""
    with source.open(encoding="utf-8-sig", newline="") as handle:
        first = handle.readline(1 << 20)
        handle.seek(0)
        table = csv.reader(handle, delimiter=_delimiter(source, first), strict=True)
        for cells in table:
            if any(cell.strip() for cell in cells):
                yield table.line_num, cells


@dataclass(frozen=True)
class _Head:
    """What the first lines say about a table."""

    names: list[str]
    """The name of each column."""
    header: bool
    """Whether the first line names the columns."""
    counted: bool
    """Whether the first column has no name in a header, as the row numbers of pandas have."""


def _head(first: list[str], second: list[str], header: bool | None) -> _Head:
    """Decide what the first line is, and name the columns."""
    named = _has_header(first, second) if header is None else header
    names = [(cell.strip() if named else "") or f"column {i + 1}" for i, cell in enumerate(first)]
    return _Head(names, named, named and not first[0].strip())


def _read(source: Path, options: LoadOptions) -> Raw:
    where, rows = str(source), _rows(source)
    start = list(islice(rows, 2))
    if len(start) < 2:
        raise DataError("there are fewer than 2 samples", where=where, why="the table is empty")
    head = _head(start[0][1], start[1][1], options.header)
    label = label_position(options.label_column, head.names, where, named=head.header)
    kept = [i for i in range(len(head.names)) if i != label]
    if not kept:
        raise DataError("the table holds no column but the label column", where=where)
    body = chain(start[1:] if head.header else start, rows)
    values, labels, lines = _cells(body, head.names, kept, where, options.limit)
    features = [head.names[i] for i in kept]
    notes = []
    if options.header is None:
        notes.append(f"The first line was taken as {'column names' if head.header else 'data'}.")
    if head.counted and kept[0] == 0 and np.array_equal(values[:, 0], np.arange(len(values))):
        values, features = values[:, 1:], features[1:]
        notes.append("The first column, unnamed and counting rows from 0, was left out.")
    classes = None if label is None else label_values(labels, where, lines)
    return Raw(
        source.stem,
        f"file {source}",
        {WHOLE: Part(values, classes, where, row_names=np.frombuffer(lines, np.int64))},
        kind="table",
        feature_names=tuple(features),
        notes=tuple(notes),
    )


def _cells(
    body: Iterable[tuple[int, list[str]]], names: list[str], kept: list[int], where: str, limit: int
) -> tuple[NDArray[np.float32], list[str], array[int]]:
    """Return the numbers (N, D), the label texts, and the line of each row."""
    label = next((i for i in range(len(names)) if i not in kept), None)
    cells, labels, lines = array("f"), list[str](), array("q")
    for line, row in body:
        if len(row) != len(names):
            raise DataError(
                f"a row has {len(row)} cells where {len(names)} were expected",
                where=f"{where}, row {line}",
                fix="check for a missing or unquoted delimiter",
            )
        if label is not None:
            labels.append(row.pop(label))
        try:
            cells.extend(map(float, row))
        except ValueError:
            del cells[len(lines) * len(kept) :]
            cells.extend(_numbers(row, kept, names, where, line))
        lines.append(line)
        if len(lines) % _CHECK_EVERY == 0:
            check_size(len(cells) * 4, limit, where=f"{where}, row {line}")
    return np.frombuffer(cells, np.float32).reshape(len(lines), len(kept)), labels, lines


def _numbers(
    row: list[str], kept: list[int], names: list[str], where: str, number: int
) -> list[float]:
    """Convert a row in which some cell is no plain number; missing ones become NaN."""
    converted = []
    for column, cell in zip(kept, row, strict=True):
        try:
            converted.append(float(cell))
        except ValueError:
            if cell.strip().lower() not in _MISSING:
                raise not_a_number(cell, where, number, column, names[column]) from None
            converted.append(float("nan"))
    return converted
