"""Postings from rows of codes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.search.postings.layout import BLOCKS, MOST_BLOCKS, Layout
from isthmus.search.postings.values import dequantised, lowest_for, quantised

__all__ = ["Kept", "facts", "laid_out"]

Array = NDArray[Any]
Kept = Literal["rounded", "float32"]

_PIECES_SHARE = 40  # postings a piece should have, on the average: its 6 bytes stay under 4 %
_STEP = 1 << 22


def laid_out(codes: Any, values: Kept, block: int | None) -> Layout:
    """Lay out the postings of ``codes`` (R, T), sparse or dense."""
    from isthmus.search.postings.building import fill

    indptr, indices, given, (rows, terms) = _checked(codes, values)
    chosen, pieces = _chosen_block(indptr, indices, rows, terms, block)
    lowest = lowest_for(float(given.max(initial=0.0)))
    kept = _quantised(given, lowest) if values == "rounded" else given
    term_start = _starts(np.bincount(indices, minlength=terms))
    piece_start = _starts(pieces)
    piece_block = np.empty(piece_start[-1], np.uint16)
    piece_end = np.empty(piece_start[-1], np.uint32)
    low, out = np.empty(len(given), np.uint16), np.empty(len(given), kept.dtype)
    lists = (term_start, piece_start, piece_block, piece_end, low)
    fill(indptr, indices, kept, chosen, *lists, out)
    maxima, sums = facts(term_start, out, lowest)
    arrays = (term_start, piece_start, piece_block, piece_end, low, out, maxima, sums)
    for array in arrays:
        array.setflags(write=False)
    signed = bool(len(given)) and float(given.min()) < 0
    return Layout(rows, chosen, lowest, signed, *arrays)


def _checked(codes: Any, values: Kept) -> tuple[Array, Array, Array, tuple[int, int]]:
    """Return the parts of a CSR array without zeros and duplicates, whatever came."""
    from scipy.sparse import csr_array, issparse

    found = csr_array(codes if issparse(codes) else np.atleast_2d(np.asarray(codes)))
    if found.dtype.kind not in "biuf":
        raise DataError(f"codes of type {found.dtype} are no numbers")
    try:
        found.check_format(full_check=True)  # an index out of range would be written anywhere
    except ValueError as error:
        raise DataError("the codes are no sound sparse array", why=str(error)) from error
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        data = np.ascontiguousarray(found.data, np.float32)
    if data.size and not data.all():
        found = csr_array((data, found.indices, found.indptr), found.shape, copy=True)
        found.eliminate_zeros()
        data = found.data
    if data.size and not np.isfinite(data).all():
        raise _bad_value(found, ~np.isfinite(data), "codes must be finite float32 numbers")
    if values == "rounded" and data.size and data.min() < 0:
        raise _bad_value(found, data < 0, "codes must not be negative", 'keep values="float32"')
    rows, terms = found.shape
    return (
        np.ascontiguousarray(found.indptr, np.int64),
        np.ascontiguousarray(found.indices, np.int64 if terms >= 1 << 31 else np.int32),
        data,
        (int(rows), int(terms)),
    )


def _bad_value(codes: Any, bad: Array, what: str, fix: str = "") -> DataError:
    """Return the error that names the first bad value."""
    place = int(np.flatnonzero(bad)[0])
    row = int(np.searchsorted(codes.indptr, place, "right")) - 1
    where = f"row {row}, term {int(codes.indices[place])}"
    return DataError(what, where=where, why=f"it is {codes.data[place]}", fix=fix)


def _chosen_block(
    indptr: Array, indices: Array, rows: int, terms: int, block: int | None
) -> tuple[int, Array]:
    """Return rows a block and each term's pieces: the smallest block with pieces long enough."""
    from isthmus.search.postings.building import count_pieces

    if block is not None and block not in BLOCKS:
        raise ConfigError(f"blocks of {block} rows", fix=f"one of {', '.join(map(str, BLOCKS))}")
    choices = [each for each in BLOCKS if rows <= each * MOST_BLOCKS]
    if not choices:
        raise ConfigError(f"{rows} rows are too many for one index", fix="make several")
    for each in choices if block is None else (block,):
        counts = np.zeros(terms, np.int64)
        count_pieces(indptr, indices, each, counts)
        if counts.sum() * _PIECES_SHARE <= len(indices):
            break
    return each, counts


def _starts(counts: Array) -> Array:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _quantised(values: Array, lowest: int) -> Array:
    """Quantise in steps, for the way there takes eight times the room."""
    out = np.empty(len(values), np.uint16)
    for start in range(0, len(values), _STEP):
        out[start : start + _STEP] = quantised(values[start : start + _STEP], lowest)
    return out


def facts(term_start: Array, kept: Array, lowest: int) -> tuple[Array, Array]:
    """Return the largest value and the sum of each term."""
    terms = len(term_start) - 1
    maxima, sums = np.zeros(terms, np.float32), np.zeros(terms, np.float64)
    held = np.flatnonzero(np.diff(term_start))
    if len(held) == 0:
        return maxima, sums
    values = dequantised(kept, lowest) if kept.dtype == np.uint16 else kept
    maxima[held] = np.maximum.reduceat(values, term_start[held])
    sums[held] = np.add.reduceat(values, term_start[held], dtype=np.float64)
    return maxima, sums
