"""What every source of vectors can do, and what all of them share."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isthmus.data.layout import check_real
from isthmus.errors import DataError

__all__ = [
    "MOST_COLUMNS",
    "MOST_ROWS",
    "Floats",
    "Ints",
    "VectorSource",
    "bad_value",
    "check_dtype_and_shape",
    "fingerprint_of",
    "prepared",
    "rows_with_bad_values",
    "to_float32",
]

Array = NDArray[Any]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

MOST_ROWS = 1 << 34
"""The most rows that a source may have."""
MOST_COLUMNS = 1 << 20
"""The most values that a row may have."""
_PROBES, _PROBE_ROWS = 16, 16


class VectorSource(Protocol):
    """Rows of equal length, read as float32; reading changes nothing and holds nothing open.

    Any number of threads may read at once.
    """

    @property
    def rows(self) -> int:
        """How many vectors there are, N."""

    @property
    def dim(self) -> int:
        """How many values a vector has, D."""

    @property
    def in_memory(self) -> bool:
        """Whether rows can be taken in any order at no extra cost."""

    @property
    def pieces(self) -> Ints | None:
        """First rows of the pieces that can only be decoded whole; None: rows are free."""

    def read(self, start: int, stop: int, out: Floats | None = None) -> Floats:
        """Return rows ``start`` to ``stop - 1``, shape (n, D), float32, C-contiguous.

        Parameters
        ----------
        start, stop
            The range of rows, 0 <= start <= stop <= N.
        out
            Where to put them, shape (n, D); None: a new array.

        Raises
        ------
        DataError
            If a file disappeared, changed its length or is damaged.
        """

    def take(self, rows: Ints, out: Floats | None = None) -> Floats:
        """Return the rows of these numbers, shape (n, D), float32, C-contiguous.

        Parameters
        ----------
        rows
            Row numbers, ascending (in any order where :attr:`in_memory` is true), shape (n,).
        out
            Where to put them, shape (n, D); None: a new array.

        Raises
        ------
        DataError
            As :meth:`read`.
        """

    def where(self, row: int, column: int | None = None) -> str:
        """Name a row, and a column of it, as messages do."""

    def fingerprint(self) -> str:
        """Return a digest of the size and of rows spread over the source; see `fingerprint_of`."""

    def describe(self) -> str:
        """Say in one line what is read."""


def check_dtype_and_shape(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Refuse what is not N vectors of D real numbers.

    Raises
    ------
    DataError
        If the type is no real number, or the shape is not (N, D) within the limits.
    """
    check_real(dtype, where)
    if len(shape) != 2:
        raise DataError(
            "the array does not hold vectors",
            where=where,
            why=f"its shape is {shape}; vectors need two axes, (rows, values)",
            fix="reshape it; a single column needs reshape(-1, 1), images reshape(len(x), -1)",
        )
    if shape[1] == 0:
        raise DataError("the vectors are empty", where=where, why=f"the shape is {shape}")
    if shape[0] > MOST_ROWS or shape[1] > MOST_COLUMNS:
        raise DataError(
            "the vectors are beyond the sizes that are read",
            where=where,
            why=f"the shape is {shape}; at most {MOST_ROWS:,} rows of {MOST_COLUMNS:,} values",
        )


def prepared(rows: int, dim: int, out: Floats | None) -> Floats:
    """Return ``out`` if it was given, else a new array (rows, dim).

    Raises
    ------
    ValueError
        If ``out`` has another shape or type, or is not C-contiguous.
    """
    if out is None:
        return np.empty((rows, dim), np.float32)
    if out.shape != (rows, dim) or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out must be a C-contiguous float32 array of shape {(rows, dim)}")
    return out


def to_float32(raw: Array, out: Floats, *, bfloat16: bool = False) -> None:
    """Write values of any real type into ``out``; those beyond float32 become infinite.

    Parameters
    ----------
    raw
        Values, shape as ``out``; with ``bfloat16``, their bits as uint16.
    """
    if bfloat16:
        bits = out.view(np.uint32)
        bits[...] = raw
        np.left_shift(bits, 16, out=bits)
        return
    with np.errstate(over="ignore"):
        np.copyto(out, raw, casting="unsafe")


def rows_with_bad_values(values: Floats) -> Ints:
    """Return the positions of rows that hold a NaN or an infinite value.

    >>> rows_with_bad_values(np.array([[1, 2], [np.nan, 0], [0, np.inf]], np.float32))
    array([1, 2])
    """
    if not values.size:
        return np.empty(0, np.int64)
    with np.errstate(invalid="ignore"):
        low, high = values.min(), values.max()  # NaN carries through both
    if np.isfinite(low) and np.isfinite(high):
        return np.empty(0, np.int64)
    return np.flatnonzero(~np.isfinite(values).all(axis=1))


def bad_value(source: VectorSource, row: int, vector: Floats, more: str = "") -> DataError:
    """Return the error that names the first NaN or infinite value of a row.

    Parameters
    ----------
    row
        The number of the row in ``source``.
    vector
        Its values, shape (D,).
    more
        What else to say, such as how many rows are so.
    """
    column = int((~np.isfinite(vector)).argmax())
    word = "NaN" if np.isnan(vector[column]) else "infinite in float32"
    return DataError(
        f"a vector holds a NaN or infinite value{more}",
        where=f"{source.where(row, column)}: {word}",
        why="one such value would make every loss NaN",
        fix="fill or remove such rows, or leave them out with drop_bad=True",
    )


def fingerprint_of(source: VectorSource) -> str:
    """Return a digest of the size and of 16 short runs of rows, whatever they are stored in.

    It costs a few reads however large the data are, and so misses changes elsewhere.
    """
    digest = hashlib.sha256(f"{source.rows} {source.dim}".encode())
    last = max(source.rows - _PROBE_ROWS, 0)
    for start in np.unique(np.linspace(0, last, _PROBES).astype(np.int64)):
        stop = min(int(start) + _PROBE_ROWS, source.rows)
        digest.update(source.read(int(start), stop).astype("<f4", copy=False).tobytes())
    return digest.hexdigest()[:16]
