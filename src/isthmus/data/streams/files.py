"""Vectors in .npy and safetensors files, read with ordinary reads.

A memory map of a file that another program cuts short kills the process with SIGBUS; a read of
it comes back short, which is an error that can be explained.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.guards import gigabytes
from isthmus.data.keys import chosen_keys
from isthmus.data.options import WHOLE
from isthmus.data.read_npy import map_npy
from isthmus.data.read_safetensors import TENSOR_TYPES, entries_of
from isthmus.data.streams.source import (
    Floats,
    Ints,
    check_dtype_and_shape,
    fingerprint_of,
    prepared,
    to_float32,
)
from isthmus.errors import DataError

__all__ = ["RawFile", "changed", "open_memmap", "open_npy", "open_safetensors", "unreadable"]

Array = NDArray[Any]
_WINDOW_BYTES, _GAP_BYTES = 1 << 22, 1 << 14


@dataclass(frozen=True)
class RawFile:
    """Rows that lie in a file as they lie in memory."""

    path: Path
    """The file."""
    begin: int
    """The byte where the first row begins."""
    dtype: np.dtype[Any]
    """The type of a value; uint16 with ``bfloat16``."""
    rows: int
    """Vectors there are."""
    dim: int
    """Values of a vector."""
    size: int
    """Bytes of the whole file when it was opened."""
    fortran: bool = False
    """Whether columns are contiguous instead of rows; reading is then slow."""
    bfloat16: bool = False
    """Whether the values are the bits of bfloat16 numbers."""
    name: str = ""
    """The name of the tensor in the file, if it has one."""
    in_memory: bool = False
    """Rows are better read in order."""
    pieces: Ints | None = None
    """None: any rows can be read."""

    @property
    def _row_bytes(self) -> int:
        return self.dim * self.dtype.itemsize

    def read(self, start: int, stop: int, out: Floats | None = None) -> Floats:
        """Read a range of rows, shape (n, D)."""
        out = prepared(stop - start, self.dim, out)
        with self._opened() as handle:
            self._read(handle, start, stop, out)
        return out

    def take(self, rows: Ints, out: Floats | None = None) -> Floats:
        """Read ascending rows by number, shape (n, D); neighbours come with one read."""
        out = prepared(len(rows), self.dim, out)
        window = max(1, _WINDOW_BYTES // self._row_bytes)
        gap = 1 + _GAP_BYTES // self._row_bytes
        breaks = np.flatnonzero(np.diff(rows) > gap) + 1
        with self._opened() as handle:
            first = 0
            for last in (*breaks.tolist(), len(rows)):
                while first < last:  # a span without wide gaps, a window at a time
                    low = int(rows[first])
                    end = min(last, first + int(np.searchsorted(rows[first:], low + window)))
                    high = int(rows[end - 1]) + 1
                    if high - low == end - first:
                        self._read(handle, low, high, out[first:end])
                    else:
                        span = np.empty((high - low, self.dim), np.float32)
                        self._read(handle, low, high, span)
                        np.take(span, rows[first:end] - low, axis=0, out=out[first:end])
                    first = end
        return out

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        """Open the file for one read, and refuse it if it is no longer as long as it was."""
        try:
            with self.path.open("rb", buffering=0) as handle:
                size = os.fstat(handle.fileno()).st_size
                if size != self.size:
                    raise changed(self.path, self.size, size)
                yield handle
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _read(self, handle: FileIO, start: int, stop: int, out: Floats) -> None:
        """Fill ``out`` with rows; other types than float32 by way of a small window."""
        if self.fortran:
            self._read_columns(handle, start, stop, out)
            return
        if self.dtype == np.float32 and self.dtype.isnative:
            self._fill(handle, self.begin + start * self._row_bytes, out)
            return
        step = max(1, _WINDOW_BYTES // self._row_bytes)
        raw = np.empty((min(step, stop - start), self.dim), self.dtype)
        for low in range(start, stop, step):
            part = raw[: min(step, stop - low)]
            self._fill(handle, self.begin + low * self._row_bytes, part)
            to_float32(part, out[low - start : low - start + len(part)], bfloat16=self.bfloat16)

    def _read_columns(self, handle: FileIO, start: int, stop: int, out: Floats) -> None:
        raw = np.empty(stop - start, self.dtype)
        for column in range(self.dim):
            self._fill(handle, self.begin + (column * self.rows + start) * self.dtype.itemsize, raw)
            out[:, column] = raw.astype(np.float32)

    def _fill(self, handle: FileIO, at: int, target: Array) -> None:
        """Read exactly the bytes of ``target``, from byte ``at`` on."""
        if not target.size:
            return
        room = target.reshape(-1).view(np.uint8).data
        handle.seek(at)
        done = 0
        while done < len(room):
            count = handle.readinto(room[done:])
            if not count:
                raise changed(self.path, self.size, at + done)
            done += count

    def where(self, row: int, column: int | None = None) -> str:
        """Name a row, and a column of it."""
        within = f", {self.name}" if self.name else ""
        return f"{self.path}{within}, row {row}" + ("" if column is None else f", column {column}")

    def fingerprint(self) -> str:
        """Return a digest of the size and of a few rows."""
        return fingerprint_of(self)

    def describe(self) -> str:
        """Say what is read."""
        kind = "bfloat16" if self.bfloat16 else self.dtype
        slow = ", stored column by column, which is slow to read" if self.fortran else ""
        return (
            f"{self.path}: {self.rows:,} x {self.dim:,} {kind}, "
            f"{gigabytes(self.rows * self._row_bytes)}{slow}"
        )


def changed(path: Path, before: int, now: int) -> DataError:
    """Return the error for a file whose length is not what it was."""
    word = "shrank" if now < before else "grew"
    return DataError(
        f"the file {word} while it was being read",
        where=str(path),
        why=f"it had {before:,} bytes when it was opened and ends at byte {now:,} now",
        fix="put the whole file back, let nothing write to it, and resume",
    )


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error for a file that the system will not read."""
    gone = isinstance(error, FileNotFoundError)
    return DataError(
        "the file has disappeared" if gone else "the file can't be read",
        where=str(path),
        why=error.strerror or str(error),
        fix="put it back and resume" if gone else "check the disk and the permissions",
    )


def open_npy(path: Path) -> RawFile:
    """Open a .npy file of shape (N, D).

    Raises
    ------
    DataError
        If the header is damaged or lies, or the array does not hold vectors of real numbers.
    """
    mapped = map_npy(path)  # checks header and length; no page of it is touched
    check_dtype_and_shape(mapped.shape, mapped.dtype, str(path))
    begin = mapped.offset if isinstance(mapped, np.memmap) else 0
    fortran = mapped.flags.f_contiguous and not mapped.flags.c_contiguous
    rows, dim = mapped.shape
    return RawFile(path, begin, mapped.dtype, rows, dim, path.stat().st_size, fortran)


def open_memmap(values: np.memmap[Any, Any]) -> RawFile | None:
    """Return the file behind a memory map, to be read in its stead; None for parts of one."""
    whole = isinstance(values.base, mmap.mmap) and values.flags.c_contiguous
    if not whole or values.filename is None or values.mode == "c" or not values.size:
        return None
    path = Path(values.filename)
    check_dtype_and_shape(values.shape, values.dtype, str(path))
    try:
        size = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
    rows, dim = values.shape
    return RawFile(path, values.offset, values.dtype, rows, dim, size)


def open_safetensors(path: Path, key: str | None = None) -> RawFile:
    """Open a tensor of shape (N, D) of a safetensors file.

    Parameters
    ----------
    key
        The name of the tensor; None: the only one, or the one with a usual name such as
        ``embeddings``.

    Raises
    ------
    DataError
        If the header is damaged, the tensor is not there or not clear, or holds no vectors.
    """
    tensors = entries_of(path)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    keys = chosen_keys(shapes, key, str(path))
    name = keys[WHOLE if WHOLE in keys else "train"][0]
    tensor, where = tensors[name], f"{path}, {name}"
    dtype = np.dtype(TENSOR_TYPES[tensor.kind])
    check_dtype_and_shape(tensor.shape, dtype, where)
    rows, dim = tensor.shape
    size = path.stat().st_size
    is_bfloat16 = tensor.kind == "BF16"
    return RawFile(path, tensor.begin, dtype, rows, dim, size, bfloat16=is_bfloat16, name=name)
