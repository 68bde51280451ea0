"""How much the directions of a dictionary overlap: cosines between its rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix

__all__ = ["Coherence", "decoder_coherence", "unit_rows"]


@dataclass(frozen=True, eq=False)
class Coherence:
    """Cosines between the directions of a dictionary, each pair once."""

    max: float
    """Largest magnitude of a cosine between two directions (the mutual coherence)."""
    mean: float
    """Mean magnitude of the cosines of all pairs."""
    random_mean: float
    """What `mean` would be for random directions in as many dimensions."""
    welch_bound: float
    """What `max` can't be below for so many directions (Welch, 1974); 0 for N up to D."""
    high: float
    """The magnitude above which a pair counts as near."""
    high_share: float
    """Share of pairs whose cosine exceeds `high` in magnitude."""
    nearest: Floats
    """Largest cosine of each direction to another, sign kept (N,); NaN for a row of zeros."""
    nearest_index: NDArray[np.int64]
    """Which direction that is (N,); -1 for a row of zeros."""
    zero_rows: int
    """Rows of zeros, which have no direction and are left out."""


def decoder_coherence(decoder_ND: Array, *, high: float = 0.9, block: int = 2048) -> Coherence:
    """Measure the overlap of the directions of a decoder.

    Cosines are taken a block at a time in float32 (exact to about 1e-6) and summed in float64, so
    that memory is block^2 and not N^2.

    Parameters
    ----------
    decoder_ND
        A direction a row (N, D), of any length.
    high
        The magnitude above which a pair counts as near. Default 0.9.
    block
        Rows of a block. Default 2048 (16 MB of cosines).

    Raises
    ------
    ConfigError
        If ``high`` is not in [0, 1) or ``block`` is below 1.
    DataError
        If fewer than two rows have a direction, or a value is not finite.

    Examples
    --------
    >>> found = decoder_coherence(np.array([[1.0, 0.0], [0.0, 2.0], [0.6, 0.8]]))
    >>> round(found.max, 6), round(found.mean, 6), found.high_share
    (0.8, 0.466667, 0.0)
    """
    if not 0 <= high < 1 or block < 1:
        raise ConfigError(
            "high must be in [0, 1) and a block at least one row", why=f"got {high} and {block}"
        )
    units, where = unit_rows(decoder_ND, "the decoder")
    if len(where) < 2:
        raise DataError(
            "coherence needs at least two directions", why=f"{len(where)} rows are not all zero"
        )
    sums = _Pairs(units, high, block)
    count, width = units.shape
    pairs = count * (count - 1) / 2
    nearest = np.full(len(decoder_ND), np.nan)
    index = np.full(len(decoder_ND), -1, dtype=np.int64)
    nearest[where], index[where] = sums.nearest, where[sums.index]
    return Coherence(
        max=sums.largest,
        mean=sums.total / pairs,
        random_mean=math.exp(math.lgamma(width / 2) - math.lgamma((width + 1) / 2))
        / math.sqrt(math.pi),
        welch_bound=math.sqrt(max(count - width, 0) / (width * (count - 1))),
        high=high,
        high_share=sums.near / pairs,
        nearest=nearest,
        nearest_index=index,
        zero_rows=len(decoder_ND) - count,
    )


def unit_rows(rows: Array, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the rows that are not all zero at length 1 (R, D), and which ones they are (R,).

    Raises
    ------
    DataError
        If ``rows`` is not a finite matrix.
    """
    if len(rows.shape) != 2:
        raise DataError(f"{name} must be a matrix", why=f"its shape is {tuple(rows.shape)}")
    matrix = as_matrix(rows, name)
    # Divided by the peak first: the squares of tiny or huge rows would leave the range.
    peak = np.abs(matrix).max(axis=1)
    where = np.flatnonzero(peak > 0)
    scaled = matrix[where] / peak[where, None]
    return (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32), where


class _Pairs:
    """Sums over all pairs of unit rows, from blocks of the upper triangle."""

    def __init__(self, units: NDArray[np.float32], high: float, block: int) -> None:
        count = len(units)
        self.total, self.near, self.largest = 0.0, 0, 0.0
        self.nearest: Floats = np.full(count, -np.inf)
        self.index: NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        for start in range(0, count, block):
            rows = slice(start, min(start + block, count))
            for begin in range(start, count, block):
                columns = slice(begin, min(begin + block, count))
                cosines = np.clip(units[rows] @ units[columns].T, -1, 1)
                self._take(rows, columns, cosines, high)

    def _take(self, rows: slice, columns: slice, cosines: NDArray[np.float32], high: float) -> None:
        own = rows == columns
        if own:
            np.fill_diagonal(cosines, 0)
        size = np.abs(cosines)
        # On the diagonal each pair stands twice.
        self.total += float(size.sum(dtype=np.float64)) / (2 if own else 1)
        self.near += int((size > high).sum()) // (2 if own else 1)
        self.largest = max(self.largest, float(size.max()))
        if own:
            np.fill_diagonal(cosines, -np.inf)
        self._nearer(rows, columns.start, cosines)
        if not own:
            self._nearer(columns, rows.start, cosines.T)

    def _nearer(self, rows: slice, offset: int, cosines: NDArray[np.float32]) -> None:
        best = cosines.argmax(axis=1)
        value = cosines[np.arange(len(best)), best]
        better = value > self.nearest[rows]
        self.nearest[rows][better] = value[better]
        self.index[rows][better] = best[better] + offset
