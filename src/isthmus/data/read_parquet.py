"""Parquet tables: columns of numbers, or one column of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.guards import check_size
from isthmus.data.options import WHOLE, LoadOptions, Part, Raw
from isthmus.data.tables import label_position, label_values
from isthmus.errors import DataError, in_a_line

__all__ = ["Parquet"]

Array = NDArray[Any]
_BATCH = 16384


def _pyarrow() -> Any:
    """Import pyarrow, or say how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            "reading Parquet needs pyarrow, which is not installed",
            fix="pip install 'isthmus[parquet]'",
        ) from error
    return pyarrow


class Parquet:
    """A Parquet file."""

    name = "a Parquet file"
    settings = frozenset({"label_column"})

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a .parquet file by name."""
        if not isinstance(source, Path) or source.suffix.lower() not in (".parquet", ".pq"):
            return False
        return source.is_file()

    def read(self, source: Path, options: LoadOptions) -> Raw:
        """Read the table in batches into one float32 array."""
        arrow = _pyarrow()
        try:
            with arrow.parquet.ParquetFile(source, memory_map=True) as file:
                return _read(arrow, file, source, options)
        except (arrow.ArrowException, OSError) as error:
            raise DataError(
                "the Parquet file is damaged",
                where=str(source),
                why=in_a_line(error),
                fix="copy or write it again",
            ) from error


def _read(arrow: Any, file: Any, source: Path, options: LoadOptions) -> Raw:
    where, schema, n = str(source), file.schema_arrow, file.metadata.num_rows
    names = list(schema.names)
    label = label_position(options.label_column, names, where)
    kept = [i for i in range(len(names)) if i != label]
    lists = [i for i in kept if _is_list(arrow, schema.field(i).type)]
    if n < 2 or not kept:
        raise DataError("there are fewer than 2 samples", where=where, why=f"{n} rows")
    if lists and len(kept) > 1:
        others = ", ".join(names[i] for i in kept if i != lists[0])
        raise DataError(
            "a column of vectors stands beside other columns",
            where=f"{where}, column {names[lists[0]]}; others: {others}",
            fix="keep the vectors alone, with at most one label column, label_column=...",
        )
    for i in kept:
        _check_numeric(arrow, schema.field(i), where)
    columns = [names[i] for i in kept]
    width = _vector_width(file, columns[0], where) if lists else len(columns)
    check_size(4 * n * width, options.limit, where=where)
    values = np.empty((n, width), np.float32)
    start = 0
    for batch in file.iter_batches(_BATCH, columns=columns):
        stop = start + batch.num_rows
        fill = _fill_vectors if lists else _fill_columns
        fill(values[start:stop], batch, f"{where}, rows {start} to {stop - 1}")
        start = stop
    labels = None
    if label is not None:
        texts = [str(cell) if cell is not None else "" for cell in _column(file, names[label])]
        labels = label_values(texts, where)
    return Raw(
        source.stem,
        f"file {source}",
        {WHOLE: Part(values, labels, where)},
        kind="vector" if lists else "table",
        feature_names=None if lists else tuple(columns),
    )


def _is_list(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _check_numeric(arrow: Any, field: Any, where: str) -> None:
    """Refuse a column that does not hold numbers."""
    types = arrow.types
    kind = field.type.value_type if _is_list(arrow, field.type) else field.type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise DataError(
            f"the column {field.name!r} does not hold numbers",
            where=where,
            why=f"its type is {field.type}",
            fix=f"if it holds the labels, choose it with label_column={field.name!r}; otherwise "
            "remove it",
        )


def _column(file: Any, name: str) -> Iterator[Any]:
    """Yield the cells of one column."""
    for batch in file.iter_batches(_BATCH, columns=[name]):
        yield from batch.column(0).to_pylist()


def _vector_width(file: Any, name: str, where: str) -> int:
    """Return the length of the first vector."""
    first = next(file.iter_batches(1, columns=[name])).column(0)[0].as_py()
    if not first:
        raise DataError("the first vector is empty", where=f"{where}, column {name}, row 0")
    return len(first)


def _fill_columns(target: Array, batch: Any, where: str) -> None:
    """Copy a batch of number columns; missing cells become NaN."""
    for i, column in enumerate(batch.columns):
        target[:, i] = column.cast("float32", safe=False).to_numpy(zero_copy_only=False)


def _fill_vectors(target: Array, batch: Any, where: str) -> None:
    """Copy a batch of vectors; all must be as long as the first."""
    column = batch.column(0)
    flat = column.flatten()
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(~(lengths == target.shape[1]))
    if len(odd) or len(flat) != target.size:
        raise DataError(
            "the vectors differ in length",
            where=f"{where}: vector {int(odd[0]) if len(odd) else 0} of these",
            why=f"the first vector has {target.shape[1]} values",
        )
    target[:] = (
        flat.cast("float32", safe=False).to_numpy(zero_copy_only=False).reshape(target.shape)
    )
