"""What CSV and Parquet share: choosing the label column, labels from texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

__all__ = ["label_position", "label_values", "not_a_number"]


def label_position(
    chosen: str | int | None, names: Sequence[str], where: str, *, named: bool = True
) -> int | None:
    """Return the position of the label column, or None.

    Parameters
    ----------
    chosen
        A name, or a position from 0 (negative: from the end), also written as a text.
    names
        The column names.
    where
        The file, for messages.
    named
        Whether the names come from the file.

    Raises
    ------
    DataError
        If there is no such column.
    """
    if chosen is None:
        return None
    if isinstance(chosen, str) and chosen in names:
        if list(names).count(chosen) > 1:
            raise DataError(f"two columns are called {chosen!r}", where=where)
        return list(names).index(chosen)
    try:
        position = int(chosen)
    except ValueError:
        position = len(names)
    if not -len(names) <= position < len(names):
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise DataError(
            f"there is no column {chosen!r}",
            where=where,
            why=f"the columns are {shown}" if named else f"it has {len(names)} columns, unnamed",
            fix="choose one of them, or a position from 0",
        )
    return position % len(names)


def label_values(
    texts: Sequence[str], where: str, rows: Sequence[int] | None = None
) -> NDArray[Any]:
    """Return labels as whole numbers where all are, else as texts.

    Raises
    ------
    DataError
        If one is empty.
    """
    for i, text in enumerate(texts):
        if not text.strip():
            raise DataError(
                "a label is missing",
                where=f"{where}, row {i if rows is None else rows[i]}",
                fix="fill it, or remove the row",
            )
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return np.array([text.strip() for text in texts])
    whole = np.isfinite(numbers).all() and np.array_equal(numbers, np.round(numbers))
    return numbers.astype(np.int64) if whole else numbers


def not_a_number(cell: str, where: str, row: int, column: int, name: str) -> DataError:
    """Return the error for a cell that should hold a number."""
    shown = cell if len(cell) <= 40 else f"{cell[:37]}..."
    return DataError(
        f"the cell {shown!r} is not a number",
        where=f"{where}, row {row}, column {column + 1} ({name})",
        why="every column but the label column must hold numbers",
        fix=f"if it holds the labels, choose it with label_column={name!r}; otherwise remove the "
        "column, or replace its texts by numbers (a decimal comma must become a point)",
    )
