"""A histogram of values whose range is not known beforehand, exact in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.metrics.arrays import Array, Floats, as_float64, check_finite

__all__ = ["Histogram", "ValueHistogram"]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts between edges, with exact zeros apart."""

    edges: Floats
    """Edges (bins + 1,), rising; a bin holds left <= value < right."""
    counts: NDArray[np.int64]
    """Values in each bin (bins,), exact zeros left out."""
    zeros: int
    """Values that are exactly zero."""

    @property
    def total(self) -> int:
        """All values, zeros included."""
        return int(self.counts.sum()) + self.zeros


class ValueHistogram:
    """Histogram over batches whose bin width is a power of two and doubles when needed.

    Because edges are whole multiples of the width, two neighbouring bins join into one without
    looking at the values again. So the outcome depends on the values alone, not on how they were
    cut into batches: the width is the smallest power of two for which the largest magnitude fits.

    Parameters
    ----------
    bins
        Bins on each side of zero; an even number. Default 64.

    Raises
    ------
    ConfigError
        If ``bins`` is odd or below 2.
    """

    def __init__(self, bins: int = 64) -> None:
        if bins < 2 or bins % 2:
            raise ConfigError("bins must be an even number of at least 2", why=f"got {bins}")
        self._bins = bins
        self._exponent: int | None = None
        self._counts: NDArray[np.int64] = np.zeros(2 * bins, dtype=np.int64)
        self._zeros = 0

    def update(self, values: Array) -> None:
        """Count the values of an array of any shape.

        Raises
        ------
        DataError
            If a value is not finite.
        """
        everything = as_float64(values).ravel()
        check_finite(everything, "the values")
        flat = everything[everything != 0]
        self._zeros += everything.size - flat.size
        if not flat.size:
            return
        exponent = self._widen(self._needed(float(np.abs(flat).max())))
        index = np.floor(np.ldexp(flat, -exponent)).astype(np.int64)
        # Beside huge values a tiny negative one underflows to -0; it still is left of zero.
        index[flat < 0] = np.minimum(index[flat < 0], -1)
        self._counts += np.bincount(index + self._bins, minlength=2 * self._bins)

    def _needed(self, largest: float) -> int:
        """Return the least e with largest < bins * 2^e (and, at the edge, -bins * 2^e too)."""
        exponent = math.frexp(largest / self._bins)[1]
        while largest < self._bins * math.ldexp(1.0, exponent - 1):
            exponent -= 1
        return max(exponent, -1000)

    def _widen(self, exponent: int) -> int:
        """Double the width until it is at least 2^``exponent``; return its exponent."""
        if self._exponent is None:
            self._exponent = exponent
        half = self._bins // 2
        while self._exponent < exponent:
            pairs = self._counts.reshape(self._bins, 2).sum(axis=1)
            self._counts = np.zeros_like(self._counts)
            self._counts[self._bins - half : self._bins + half] = pairs
            self._exponent += 1
        return self._exponent

    def result(self) -> Histogram:
        """Return the counts so far, without the empty bins at either end."""
        filled = np.flatnonzero(self._counts)
        if not filled.size:
            empty = np.zeros(1, dtype=np.int64)
            return Histogram(np.array([0.0, 1.0]), empty, self._zeros)
        first, last = int(filled[0]), int(filled[-1]) + 1
        steps = np.arange(first - self._bins, last + 1 - self._bins, dtype=np.float64)
        with np.errstate(over="ignore"):  # the last edge may be the infinity that it means
            edges = np.asarray(np.ldexp(steps, self._exponent or 0))
        return Histogram(edges, self._counts[first:last].copy(), self._zeros)
