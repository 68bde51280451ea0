"""Codes column by column: the passages of each latent, the strongest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.concept import Example, Statistics
from isthmus.concepts.loops import fall
from isthmus.errors import DataError
from isthmus.metrics.sparse_codes import Codes, as_csr

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Columns", "columns_of", "examples_of", "statistics_of", "tidy"]

Array = NDArray[Any]
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Columns:
    """The positive entries of codes (P, N), by latent and by falling activation."""

    indptr: NDArray[np.int64]
    """Where each latent's entries begin (N + 1,)."""
    rows: NDArray[np.int32]
    """Passages (nnz,)."""
    values: NDArray[np.float32]
    """Activations (nnz,), falling within a latent; equal ones by rising passage."""
    passages: int
    """Number P of passages."""
    csr: csr_array
    """The same codes by passage."""

    @property
    def latents(self) -> int:
        """Number N of latents."""
        return self.indptr.size - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Passages on which each latent is active (N,)."""
        return np.diff(self.indptr)


def columns_of(codes: Codes, latents: int | None = None) -> Columns:
    """Return codes by latent; what is not above zero counts as not active.

    Raises
    ------
    DataError
        If there is no passage, or as `isthmus.metrics.sparse_codes.as_csr`.
    """
    rows = as_csr(codes, "the codes", latents)
    if not rows.shape[0]:
        raise DataError("there are no passages, so there is nothing to know of concepts")
    if rows.nnz and rows.data.min() <= 0:
        rows = rows.copy()
        rows.data[rows.data <= 0] = 0
        rows.eliminate_zeros()
    columns = rows.tocsc()
    indptr = columns.indptr.astype(np.int64)
    places, values = columns.indices.astype(np.int32), columns.data.astype(np.float32)
    fall(indptr, places, values)
    return Columns(indptr, places, values, rows.shape[0], rows)


def tidy(values: Array, digits: int = 6) -> NDArray[np.float64]:
    """Round to significant digits: what float32 knows, in few characters of JSON.

    Examples
    --------
    >>> tidy(np.array([0.12345678, 0.0, 12345678.0])).tolist()
    [0.123457, 0.0, 12345700.0]
    """
    numbers = np.asarray(values, np.float64)
    size = np.abs(numbers)
    power = np.floor(np.log10(np.where(size > 0, size, 1.0))) - (digits - 1)
    # a power of ten with a negative exponent is not exact, one with a positive exponent is
    shift = 10.0 ** np.abs(power)
    rounded = np.where(
        power < 0, np.round(numbers * shift) / shift, np.round(numbers / shift) * shift
    )
    return np.asarray(np.where(size > 0, rounded, 0.0))


def statistics_of(columns: Columns, bins: int) -> list[Statistics]:
    """Return how each latent is active; see `Statistics`."""
    counts, indptr, values = columns.counts, columns.indptr, columns.values
    alive = counts > 0
    largest = np.zeros(columns.latents)
    largest[alive] = values[indptr[:-1][alive]]
    owner = np.repeat(np.arange(columns.latents), counts)
    sums = np.bincount(owner, values, minlength=columns.latents)
    mean = np.divide(sums, counts, out=np.zeros(columns.latents), where=alive)
    # the columns fall, so that a quantile is read from their end; linear between entries
    quantiles = np.zeros((columns.latents, len(_LEVELS)))
    for q, level in enumerate(_LEVELS):
        place = (1 - level) * np.maximum(counts - 1, 0)
        under = np.floor(place).astype(np.int64)
        over = np.minimum(under + 1, np.maximum(counts - 1, 0))
        first = indptr[:-1][alive]
        a, b = values[first + under[alive]], values[first + over[alive]]
        quantiles[alive, q] = a + (place - under)[alive] * (b.astype(np.float64) - a)
    inside = np.minimum((values / largest[owner] * bins).astype(np.int64), bins - 1)
    histogram = np.bincount(owner * bins + inside, minlength=columns.latents * bins)
    parts = zip(
        counts.tolist(),
        tidy(counts / columns.passages).tolist(),
        tidy(mean).tolist(),
        tidy(largest).tolist(),
        tidy(quantiles).tolist(),
        histogram.reshape(columns.latents, bins).tolist(),
        strict=True,
    )
    return [
        Statistics(count, rate, middle, most, (q[0], q[1], q[2], q[3], q[4]), tuple(bars))
        for count, rate, middle, most, q, bars in parts
    ]


def examples_of(columns: Columns, each: int) -> list[tuple[Sequence[Example], ...]]:
    """Return each latent's examples from the top, about the median, and about the 10 % quantile.

    No passage is in two of the three; a latent with few passages has fewer of the lower ones.
    """
    found: list[tuple[Sequence[Example], ...]] = []
    rows, values = columns.rows.tolist(), tidy(columns.values).tolist()
    for first, last in zip(columns.indptr[:-1].tolist(), columns.indptr[1:].tolist(), strict=True):
        taken, parts = first, []
        for level in (0.0, 0.5, 0.9):
            start = max(taken, first + round(level * (last - first)) - (each // 2 if level else 0))
            taken = max(taken, min(start + each, last))
            parts.append(tuple(Example(rows[h], values[h]) for h in range(start, taken)))
        found.append(tuple(parts))
    return found
