"""Weights of a query's terms and of rows: idf, BM25, cosine.

BM25 here is ``sum over terms of idf * (k1 + 1) * tf / (tf + k1 * (1 - b + b * length / mean))``
(Robertson and Zaragoza, 2009), with a concept's activation, or a word's count, as tf. For the
codes of sparse dictionaries: Latent Terms, arXiv 2605.29384.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.errors import ConfigError

__all__ = ["BM25", "Saturation", "idf"]

Array = NDArray[Any]


def idf(frequency: ArrayLike, rows: int) -> NDArray[np.float64]:
    """Return ``log(1 + (rows - frequency + 0.5) / (frequency + 0.5))``, above 0 for every term.

    ``frequency`` (T,) is the number of rows with each term. The form that Lucene uses: a term in
    more than half of the rows keeps a small positive weight.

    Examples
    --------
    >>> idf([1, 50, 100], 100).round(3)
    array([4.21 , 0.693, 0.005])
    """
    counts = np.asarray(frequency, np.float64)
    return np.log1p((rows - counts + 0.5) / (counts + 0.5))


@dataclass(frozen=True, eq=False)
class Saturation:
    """Large values do not count in full: a value v of row r counts ``v / (v + norms[r])``."""

    norms: Array
    """The value (R,), float32, 0 or above, at which a row's term counts half of the most it can."""

    def __post_init__(self) -> None:
        if self.norms.dtype != np.float32 or self.norms.ndim != 1:
            raise ConfigError(
                "norms of a saturation are float32, one a row",
                why=f"{self.norms.dtype} of shape {self.norms.shape}",
            )
        if not (np.isfinite(self.norms) & (self.norms >= 0)).all():
            raise ConfigError("norms of a saturation must be finite and not negative")


@dataclass(frozen=True)
class BM25:
    """Robertson's weighting."""

    k1: float = 0.9
    """How late large values stop to count; 0: only that a term is there."""
    b: float = 0.4
    """How much long rows are held back: 0 not at all, 1 in full."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.k1) and self.k1 >= 0 and 0 <= self.b <= 1):
            raise ConfigError(
                f"BM25 with k1 = {self.k1}, b = {self.b}", fix="k1 from 0, b from 0 to 1"
            )

    def saturation(self, lengths: ArrayLike, mean: float | None = None) -> Saturation:
        """Return the norms for rows of these ``lengths`` (R,): words, or summed activations.

        ``mean`` is the average that counts, by default that of ``lengths`` (all segments of an
        index must share one).
        """
        held = np.asarray(lengths, np.float64)
        middle = float(held.mean()) if mean is None and held.size else float(mean or 0.0)
        if not np.isfinite(held).all() or (held < 0).any():
            raise ConfigError("lengths of rows must be finite and not negative")
        share = held / middle if middle > 0 else np.ones_like(held)
        norms = (self.k1 * (1 - self.b + self.b * share)).astype(np.float32)
        norms.setflags(write=False)
        return Saturation(norms)

    def weights(self, weights: ArrayLike, frequency: ArrayLike, rows: int) -> NDArray[np.float64]:
        """Return ``(k1 + 1) * idf * weights`` for the query's terms: what postings multiply.

        ``weights`` (K,) are the query's own (1 for a word that occurs once), ``frequency`` (K,)
        counts the rows with each of its terms.
        """
        return (self.k1 + 1) * idf(frequency, rows) * np.asarray(weights, np.float64)
