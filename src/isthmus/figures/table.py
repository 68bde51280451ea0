"""The numbers behind a picture, as named columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.errors import DataError
from isthmus.files import written_whole

__all__ = ["Column", "Table", "stacked"]

Column = np.ndarray | list[Any]


@dataclass(frozen=True)
class Table:
    """Named columns of one length.

    Raises
    ------
    DataError
        If the columns differ in length or one of them isn't one-dimensional.

    Examples
    --------
    >>> table = Table({"epoch": [1, 2], "loss": np.array([0.5, 0.25])})
    >>> len(table), list(table.rows())[1]
    (2, (2, np.float64(0.25)))
    >>> print(table.csv(), end="")
    epoch,loss
    1,0.5
    2,0.25
    """

    columns: Mapping[str, Column]
    """Column name to its values; arrays are one-dimensional."""

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError("the columns of a table differ in length", why=f"lengths {lengths}")
        for name, values in self.columns.items():
            if isinstance(values, np.ndarray) and values.ndim != 1:
                raise DataError("a column must have one dimension", where=f"column {name!r}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Give the rows in order, each a tuple in the order of the columns."""
        return zip(*self.columns.values(), strict=True)

    def csv(self) -> str:
        """Give the table as CSV: a header, then a row a line, full precision, empty for None."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in row] for row in self.rows())
        return out.getvalue()

    def to_csv(self, path: Path | str) -> Path:
        """Write the table as CSV (UTF-8), whole or not at all, and return the path.

        Raises
        ------
        RunError
            If the file can't be written.
        """
        path = Path(path)
        with written_whole(path) as temporary:
            temporary.write_text(self.csv(), encoding="utf-8", newline="")
        return path


def _cell(value: Any) -> str:
    """Write one value so that reading it back gives the same number."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float) and not isinstance(value, np.generic):
        return repr(value)
    return str(value)


def stacked(tables: Mapping[str, Table], by: str = "panel") -> Table:
    """Put tables under one another; the first column ``by`` says which each row came from.

    A column that a table lacks is empty (None) in its rows.
    """
    names = list(dict.fromkeys(name for table in tables.values() for name in table.columns))
    columns: dict[str, Column] = {by: [key for key, t in tables.items() for _ in range(len(t))]}
    for name in names:
        columns[name] = [
            value
            for table in tables.values()
            for value in (table.columns[name] if name in table.columns else [None] * len(table))
        ]
    return Table(columns)
