"""Vectors in a Parquet file, decoded row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.guards import check_size, gigabytes
from isthmus.data.options import default_limit
from isthmus.data.streams.files import changed, unreadable
from isthmus.data.streams.source import (
    Floats,
    Ints,
    check_dtype_and_shape,
    fingerprint_of,
    prepared,
)
from isthmus.errors import DataError, in_a_line

__all__ = ["ParquetSource", "open_parquet"]

Array = NDArray[Any]
_BATCH_BYTES = 1 << 22


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


@dataclass(frozen=True, eq=False)
class ParquetSource:
    """A column of vectors, or the columns of numbers, of a Parquet file."""

    path: Path
    """The file."""
    size: int
    """Its bytes when it was opened."""
    metadata: Any
    """What its footer says, so that it is read once only."""
    columns: tuple[str, ...]
    """The columns read: one of vectors, or several of numbers."""
    is_vector: bool
    """Whether the one column holds vectors."""
    dim: int
    """Values of a vector."""
    starts: Ints
    """First rows of the row groups, and the number of rows at the end."""
    in_memory: bool = False
    """Rows are better read in order."""

    @property
    def rows(self) -> int:
        """Vectors there are."""
        return int(self.starts[-1])

    @property
    def pieces(self) -> Ints:
        """First rows of the row groups that hold any."""
        return np.unique(self.starts[:-1][np.diff(self.starts) > 0])

    def read(self, start: int, stop: int, out: Floats | None = None) -> Floats:
        """Read a range of rows, shape (n, D); the row groups they are in are decoded."""
        return self.take(np.arange(start, stop), out)

    def take(self, rows: Ints, out: Floats | None = None) -> Floats:
        """Read ascending rows by number, shape (n, D)."""
        out = prepared(len(rows), self.dim, out)
        groups = np.unique(np.searchsorted(self.starts, rows, "right") - 1)
        if not len(groups):
            return out
        with _opened(self.path, self.size, self.metadata) as file:
            for group in groups.tolist():
                low, high = np.searchsorted(rows, self.starts[group : group + 2])
                self._take_from(file, group, rows[low:high], out[low:high])
        return out

    def _take_from(self, file: Any, group: int, rows: Ints, out: Floats) -> None:
        """Decode a row group as far as needed, and keep the rows asked for."""
        at, done = int(self.starts[group]), 0
        batch_rows = max(1, _BATCH_BYTES // (4 * self.dim))
        batches = file.iter_batches(
            batch_rows, row_groups=[group], columns=list(self.columns), use_threads=False
        )
        for batch in batches:
            stop = at + batch.num_rows
            end = int(np.searchsorted(rows, stop))
            if end > done:
                values = self._values(batch, at)
                out[done:end] = values[rows[done:end] - at]
            at, done = stop, end
            if done == len(rows):
                return
        raise DataError(
            "the Parquet file is damaged",
            where=f"{self.path}, row group {group}",
            why=f"its rows end before row {at}; the footer announces more",
            fix="copy or write it again",
        )

    def _values(self, batch: Any, at: int) -> Floats:
        """Turn decoded columns into vectors; what is missing becomes NaN."""
        if batch.schema.names != list(self.columns):
            raise DataError(
                "the columns can't be read",
                where=str(self.path),
                why=f"asked for {', '.join(self.columns)}, Parquet gave {batch.schema.names}",
                fix="rename columns that have a point in their names",
            )
        out = np.empty((batch.num_rows, self.dim), np.float32)
        if self.is_vector:
            self._fill_vectors(batch.column(0), out, at)
        else:
            for i, column in enumerate(batch.columns):
                out[:, i] = _numbers(column)
        return out

    def _fill_vectors(self, column: Any, out: Floats, at: int) -> None:
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        there = ~np.isnan(lengths.astype(np.float64))
        odd = np.flatnonzero(there & (lengths != self.dim))
        if len(odd):
            raise DataError(
                "the vectors differ in length",
                where=self.where(at + int(odd[0])),
                why=f"it has {int(lengths[odd[0]])} values, the first one {self.dim}",
                fix="remove it, or embed its text again",
            )
        out[~there] = np.nan
        out[there] = _numbers(column.flatten()).reshape(-1, self.dim)

    def where(self, row: int, column: int | None = None) -> str:
        """Name a row, and a column of it."""
        name = "" if self.is_vector or column is None else f" ({self.columns[column]})"
        within = f", {self.columns[0]}" if self.is_vector else ""
        place = f"{self.path}{within}, row {row}"
        return place if column is None else f"{place}, column {column}{name}"

    def fingerprint(self) -> str:
        """Return a digest of the size and of a few rows."""
        return fingerprint_of(self)

    def describe(self) -> str:
        """Say what is read, and which columns are not."""
        what = f"column {self.columns[0]}" if self.is_vector else f"{self.dim:,} columns"
        rest = len(self.metadata.schema.to_arrow_schema().names) - len(self.columns)
        left = f", {rest:,} other column{'s' * (rest != 1)} left out" if rest else ""
        groups = len(self.starts) - 1
        return (
            f"{self.path}, {what}: {self.rows:,} x {self.dim:,} in {groups:,} row "
            f"group{'s' * (groups != 1)}, {gigabytes(self.size)}{left}"
        )


def open_parquet(path: Path, key: str | None = None) -> ParquetSource:
    """Open a Parquet file.

    Parameters
    ----------
    key
        The column of vectors; None: the only one, or where there is none, all columns of
        numbers as the values of one vector a row.

    Raises
    ------
    DataError
        If pyarrow is missing, the file is damaged, or holds no vectors.
    """
    arrow = _pyarrow()
    try:
        size = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
    with _opened(path, size) as file:
        metadata, schema = file.metadata, file.schema_arrow
        columns, is_vector = _chosen(arrow, schema, key, str(path))
        counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        starts = np.cumsum([0, *counts], dtype=np.int64)
        if min(counts, default=0) < 0 or starts[-1] != metadata.num_rows:
            raise DataError(
                "the Parquet file is damaged",
                where=str(path),
                why="the rows of its row groups do not add up",
                fix="copy or write it again",
            )
        largest = max(
            (metadata.row_group(i).total_byte_size for i in range(len(counts))), default=0
        )
        check_size(largest, default_limit(), where=str(path), what="the largest row group")
        dim = _width(file, schema, columns[0], str(path)) if is_vector else len(columns)
    check_dtype_and_shape((int(starts[-1]), dim), np.dtype(np.float32), str(path))
    return ParquetSource(path, size, metadata, columns, is_vector, dim, starts)


@contextmanager
def _opened(path: Path, size: int, metadata: Any = None) -> Iterator[Any]:
    """Open the file with plain reads; what goes wrong inside becomes a DataError."""
    arrow = _pyarrow()
    try:
        now = path.stat().st_size
        if now != size:
            raise changed(path, size, now)
        with arrow.parquet.ParquetFile(
            path, metadata=metadata, memory_map=False, pre_buffer=False, buffer_size=1 << 20
        ) as file:
            yield file
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from error
        raise DataError(
            "the Parquet file is damaged",
            where=str(path),
            why=in_a_line(error),
            fix="copy or write it again",
        ) from error


def _chosen(arrow: Any, schema: Any, key: str | None, where: str) -> tuple[tuple[str, ...], bool]:
    """Decide which columns are read, and whether it is one column of vectors."""
    names = list(schema.names)
    listing = ", ".join(f"{field.name} ({field.type})" for field in list(schema)[:20])
    vectors = [field.name for field in schema if _is_vector(arrow, field.type)]
    numbers = [field.name for field in schema if _is_number(arrow, field.type)]
    if key is not None and key not in vectors:
        raise DataError(
            f"there is no column of vectors called {key!r}",
            where=where,
            why=f"the columns are {listing}",
        )
    if key is None and len(vectors) > 1:
        raise DataError(
            "it is not clear which column holds the vectors",
            where=where,
            why=f"the columns are {listing}",
            fix="choose one with key=...",
        )
    chosen = ([key] if key is not None else vectors) or numbers
    if not chosen:
        raise DataError(
            "no column holds vectors or numbers", where=where, why=f"the columns are {listing}"
        )
    if len(set(chosen)) < len(chosen) or any(names.count(name) > 1 for name in chosen):
        raise DataError("two columns have the same name", where=where, why=listing)
    return tuple(chosen), bool(vectors)


def _is_number(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _is_vector(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list) and _is_number(arrow, kind.value_type)


def _width(file: Any, schema: Any, name: str, where: str) -> int:
    """Return the length of the vectors: from the type, or that of the first one there is."""
    fixed = getattr(schema.field(name).type, "list_size", None)
    if fixed is not None:
        return int(fixed)
    for batch in file.iter_batches(256, columns=[name], use_threads=False):
        lengths = batch.column(0).value_lengths().drop_null()
        if len(lengths):
            return int(lengths[0].as_py())
    raise DataError("there are no vectors", where=f"{where}, column {name}")


def _numbers(column: Any) -> Array:
    """Return a column as float32; missing cells become NaN."""
    kind = str(column.type)
    floats = column if kind in ("halffloat", "float", "double") else column.cast("float64")
    values = floats.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)
