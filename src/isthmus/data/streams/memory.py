"""Vectors that are in memory already, and chosen rows of any other source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.streams.source import (
    Floats,
    Ints,
    VectorSource,
    check_dtype_and_shape,
    fingerprint_of,
    prepared,
    to_float32,
)
from isthmus.errors import DataError

__all__ = ["ArraySource", "ChosenRows", "from_array", "from_tensor"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An array of vectors; nothing is copied before it is read."""

    values: Array
    """Shape (N, D), any real type; bits as uint16 with ``bfloat16``."""
    name: str = "the array"
    """What to call it in messages."""
    bfloat16: bool = False
    """Whether the values are the bits of bfloat16 numbers."""
    in_memory: bool = True
    """False for a memory map, whose rows are better read in order."""
    pieces: Ints | None = None
    """None: any rows can be read."""

    def __post_init__(self) -> None:
        check_dtype_and_shape(self.values.shape, self.values.dtype, self.name)

    @property
    def rows(self) -> int:
        """Vectors there are."""
        return len(self.values)

    @property
    def dim(self) -> int:
        """Values of a vector."""
        return int(self.values.shape[1])

    def read(self, start: int, stop: int, out: Floats | None = None) -> Floats:
        """Copy a range of rows, shape (n, D)."""
        out = prepared(stop - start, self.dim, out)
        to_float32(self.values[start:stop], out, bfloat16=self.bfloat16)
        return out

    def take(self, rows: Ints, out: Floats | None = None) -> Floats:
        """Copy rows by number, in any order, shape (n, D)."""
        out = prepared(len(rows), self.dim, out)
        flags, dtype = self.values.flags, self.values.dtype
        if flags.c_contiguous and flags.aligned and dtype == np.float32 and dtype.isnative:
            np.take(self.values, rows, axis=0, out=out, mode="clip")  # "raise" would copy twice
        else:
            to_float32(self.values[rows], out, bfloat16=self.bfloat16)
        return out

    def where(self, row: int, column: int | None = None) -> str:
        """Name a row, and a column of it."""
        return f"{self.name}, row {row}" + ("" if column is None else f", column {column}")

    def fingerprint(self) -> str:
        """Return a digest of the size and of a few rows."""
        return fingerprint_of(self)

    def describe(self) -> str:
        """Say what is read."""
        kind = "bfloat16" if self.bfloat16 else self.values.dtype
        return f"{self.name}: {self.rows:,} x {self.dim:,} {kind}"


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Some rows of a source, in the order given, such as a split."""

    base: VectorSource
    """The source they are rows of."""
    chosen: Ints
    """Their numbers in it, shape (n,)."""
    pieces: Ints | None = None
    """None: pieces of the base are not followed."""

    def __post_init__(self) -> None:
        if len(self.chosen) and not 0 <= self.chosen.min() <= self.chosen.max() < self.base.rows:
            raise DataError(
                "a row number lies outside the data",
                where=self.base.describe(),
                why=f"rows {self.chosen.min()} to {self.chosen.max()} were asked for",
            )

    @property
    def rows(self) -> int:
        """Vectors there are."""
        return len(self.chosen)

    @property
    def dim(self) -> int:
        """Values of a vector."""
        return self.base.dim

    @property
    def in_memory(self) -> bool:
        """Whether the base is in memory."""
        return self.base.in_memory

    def read(self, start: int, stop: int, out: Floats | None = None) -> Floats:
        """Copy a range of the chosen rows, shape (n, D)."""
        return self._taken(self.chosen[start:stop], out)

    def take(self, rows: Ints, out: Floats | None = None) -> Floats:
        """Copy chosen rows by their position among the chosen, shape (n, D)."""
        return self._taken(self.chosen[rows], out)

    def _taken(self, wanted: Ints, out: Floats | None) -> Floats:
        if self.in_memory or bool((wanted[1:] >= wanted[:-1]).all()):
            return self.base.take(wanted, out)
        order = np.argsort(wanted, kind="stable")
        out = prepared(len(wanted), self.dim, out)
        out[order] = self.base.take(wanted[order])
        return out

    def where(self, row: int, column: int | None = None) -> str:
        """Name a row as the base does."""
        return self.base.where(int(self.chosen[row]), column)

    def fingerprint(self) -> str:
        """Return a digest of the size and of a few rows."""
        return fingerprint_of(self)

    def describe(self) -> str:
        """Say what is read."""
        return f"{self.rows:,} rows of {self.base.describe()}"


def from_array(values: Array, name: str = "the array") -> ArraySource:
    """Wrap an array.

    Raises
    ------
    DataError
        If it does not hold vectors of real numbers, or masks some.
    """
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise DataError(
                "the array masks some of its values",
                where=name,
                fix="fill them first, for example with values.filled(0)",
            )
        values = np.asarray(values)
    return ArraySource(values, name, in_memory=not isinstance(values, np.memmap))


def from_tensor(tensor: Any) -> ArraySource:
    """Wrap a torch tensor; one on another device is copied to the CPU, none other is.

    Raises
    ------
    DataError
        If it does not hold vectors of real numbers.
    """
    import torch

    if tensor.layout != torch.strided:
        raise DataError(
            "a sparse tensor can't be read as vectors", where="the tensor", fix="use to_dense()"
        )
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    is_bfloat16 = plain.dtype == torch.bfloat16
    try:
        values = (plain.view(torch.int16) if is_bfloat16 else plain).numpy()
    except TypeError as error:  # 8-bit floats and the like, which NumPy lacks
        raise DataError(
            f"tensors of type {plain.dtype} can't be read as vectors",
            where="the tensor",
            fix="convert it with tensor.float()",
        ) from error
    values = values.view(np.uint16) if is_bfloat16 else values
    return ArraySource(values, "the tensor", bfloat16=is_bfloat16)
