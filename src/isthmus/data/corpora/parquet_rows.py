"""Parquet tables: a document a row, read in batches that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from isthmus.data.corpora.bytes_in import too_large
from isthmus.data.corpora.choices import Choices, Found
from isthmus.data.corpora.documents import Skipped
from isthmus.data.corpora.fields import document_of
from isthmus.data.corpora.text_tables import check_columns
from isthmus.errors import ConfigError, DataError, in_a_line

__all__ = ["column_names", "read_parquet_rows"]

_BATCH_BYTES, _MOST_ROWS = 8 << 20, 4096
_MOST_RATIO, _RATIO_FREE = 300, 1 << 28


def _pyarrow() -> Any:
    """Import pyarrow, or say how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "reading Parquet needs pyarrow, which is not installed",
            fix="pip install 'isthmus[parquet]'",
        ) from error
    return pyarrow


def read_parquet_rows(path: Path, source: str, choices: Choices) -> Iterator[Found]:
    """Yield a document for each row; columns of vectors and other nested values are not read."""
    arrow = _pyarrow()
    try:
        with arrow.parquet.ParquetFile(path, buffer_size=1 << 20) as file:
            yield from _rows(arrow, file, path, source, choices)
    except arrow.ArrowException as error:
        raise DataError(f"damaged Parquet: {in_a_line(error)}") from error


def column_names(path: Path) -> list[str]:
    """Return the names of the columns that hold texts.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    arrow = _pyarrow()
    try:
        with arrow.parquet.ParquetFile(path) as file:
            return [f.name for f in file.schema_arrow if _is_text(arrow.types, f.type)]
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"damaged Parquet: {in_a_line(error)}", where=str(path)) from error


def _rows(arrow: Any, file: Any, path: Path, source: str, choices: Choices) -> Iterator[Found]:
    kinds = {field.name: field.type for field in file.schema_arrow}
    names = [name for name, kind in kinds.items() if _is_single(arrow.types, kind)]
    check_columns(names, choices)
    row, batch_rows = 0, _batch_rows(file, path, names)
    for batch in file.iter_batches(batch_rows, columns=names):
        columns = [_cells(column) for column in batch.columns]
        for values in zip(*columns, strict=True):
            row += 1
            longest = max((len(v) for v in values if isinstance(v, str | bytes)), default=0)
            if longest > choices.largest:
                yield Skipped(source, f"a cell: {too_large(longest, choices.largest)}", row)
                continue
            record = {name: _plain(v) for name, v in zip(batch.schema.names, values, strict=True)}
            yield document_of(record, source, row, choices)


def _batch_rows(file: Any, path: Path, names: list[str]) -> int:
    """Return rows that take some 8 MiB; refuse what unpacks to far more than the file holds.

    Raises
    ------
    DataError
        If the columns announce more than 300 times the size of the file, beyond 256 MiB.
    """
    facts, total = file.metadata, 0
    wanted = set(names)
    for group in range(facts.num_row_groups):
        parts = facts.row_group(group)
        for i in range(parts.num_columns):
            column = parts.column(i)
            if column.path_in_schema in wanted:
                total += column.total_uncompressed_size
    if total > max(_RATIO_FREE, _MOST_RATIO * path.stat().st_size):
        raise DataError(f"it unpacks to more than {_MOST_RATIO} times its size")
    return max(1, min(_MOST_ROWS, _BATCH_BYTES * int(facts.num_rows) // max(total, 1)))


def _is_text(types: Any, kind: Any) -> bool:
    if types.is_dictionary(kind):
        return _is_text(types, kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_single(types: Any, kind: Any) -> bool:
    """Say whether a column holds texts (as bytes perhaps), numbers, truths or dates."""
    if types.is_dictionary(kind):
        return _is_single(types, kind.value_type)
    checks = (
        *(types.is_binary, types.is_large_binary, types.is_integer, types.is_floating),
        *(types.is_boolean, types.is_decimal, types.is_temporal),
    )
    return _is_text(types, kind) or any(check(kind) for check in checks)


def _cells(column: Any) -> list[Any]:
    """Return a column's values; texts that are not UTF-8 come as bytes."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        whole = column.dictionary_decode() if hasattr(column, "dictionary_decode") else column
        return list(whole.cast("binary").to_pylist())


def _plain(value: Any) -> Any:
    """Return a cell as a value of JSON; None for what is none."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date | time):  # datetime among them
        return value.isoformat()
    return value
