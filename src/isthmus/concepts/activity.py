"""Where the concepts of two dictionaries are active, on the same passages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats
from isthmus.metrics.sparse_codes import Codes, as_csr

__all__ = ["Activity"]


@dataclass(frozen=True, eq=False)
class Activity:
    """Where the concepts of two dictionaries are active, on the same passages."""

    a: Any
    """Codes of A by latent (P, N), scipy CSC."""
    b: Any
    """Codes of B by latent (P, M), scipy CSC."""

    @classmethod
    def of(cls, codes_a: Codes, codes_b: Codes, latents_a: int, latents_b: int) -> Activity:
        """Check codes and turn them to columns."""
        first = as_csr(codes_a, "the codes of A", latents_a)
        second = as_csr(codes_b, "the codes of B", latents_b)
        if first.shape[0] != second.shape[0] or not first.shape[0]:
            raise DataError(
                "the codes of two dictionaries must be of the same passages",
                why=f"{first.shape[0]} and {second.shape[0]} rows",
            )
        return cls(first.astype(np.float64).tocsc(), second.astype(np.float64).tocsc())

    def pairs(self, a: Array, b: Array) -> tuple[Floats, Floats]:
        """Return correlation and Jaccard index of pairs of latents (X,) and (X,)."""
        passages = self.a.shape[0]
        first, second = self.a[:, a], self.b[:, b]
        product = np.asarray(first.multiply(second).sum(axis=0)).ravel()
        both = np.asarray(((first != 0).multiply(second != 0)).sum(axis=0)).ravel()
        (mean_a, spread_a, n_a), (mean_b, spread_b, n_b) = _moments(first), _moments(second)
        joint, spread = product / passages - mean_a * mean_b, spread_a * spread_b
        correlation = np.divide(joint, spread, out=np.zeros(len(a)), where=spread > 0)
        either = np.maximum(n_a + n_b - both, 1)
        return correlation.clip(-1, 1), both / either

    def coverage(self, whole: int, parts: tuple[int, ...]) -> tuple[float, float]:
        """Say how well the passages of parts (of B) are those of a whole (of A).

        Returns
        -------
        tuple
            The share of the whole's passages on which a part is active; and the lesser of that
            and the mean share of a part's passages on which the whole is, both beyond chance.
        """
        mine = self._active(self.a, whole)
        theirs = [self._active(self.b, part) for part in parts]
        covered = np.logical_or.reduce(theirs)
        if not mine.any() or not covered.any():
            return 0.0, 0.0
        share = float(covered[mine].mean())
        inside = [_beyond(float(mine[rows].mean()), mine) for rows in theirs if rows.any()]
        return share, min(_beyond(share, covered), float(np.mean(inside)))

    def _active(self, columns: Any, latent: int) -> NDArray[np.bool_]:
        found = np.zeros(columns.shape[0], dtype=np.bool_)
        found[columns.indices[columns.indptr[latent] : columns.indptr[latent + 1]]] = True
        return found


def _beyond(share: float, active: NDArray[np.bool_]) -> float:
    """Return a share less what independence gives, over the most that could be left."""
    rate = float(active.mean())
    return (share - rate) / (1 - rate) if rate < 1 else 0.0


def _moments(columns: Any) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Mean, standard deviation and number of active passages of sparse columns."""
    passages = columns.shape[0]
    mean = np.asarray(columns.sum(axis=0)).ravel() / passages
    square = np.asarray(columns.multiply(columns).sum(axis=0)).ravel() / passages
    count = np.asarray((columns != 0).sum(axis=0)).ravel().astype(np.int64)
    return mean, np.sqrt(np.maximum(square - mean**2, 0)), count
