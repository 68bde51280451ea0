"""The arithmetic of normals of which a part is given: tables, factors, conditionals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

__all__ = [
    "Blocks",
    "Conditional",
    "Values",
    "drawn",
    "factor_of",
    "gain_of",
    "log_sum",
    "patterns",
    "table_of",
]

Values = NDArray[np.float64]
Blocks = Mapping[str, NDArray[Any]]
Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Conditional:
    """What some blocks say of others: for each of n rows a mixture of K normals."""

    weights: Values
    """Weight of each component in each row, (n, K)."""
    means: Values
    """Its mean, (n, K, d)."""
    covariances: Values
    """Its covariance, the same in every row, (K, d, d)."""
    blocks: Mapping[str, slice]
    """Where each block stands among the d coordinates."""

    def mean(self) -> dict[str, Values]:
        """Return the mean of each block, (n, d_b)."""
        return self._split(np.einsum("nk,nkd->nd", self.weights, self.means))

    def best(self) -> dict[str, Values]:
        """Return the mean of each row's likeliest component, (n, d_b): no average of classes."""
        chosen = self.weights.argmax(1)
        return self._split(self.means[np.arange(len(chosen)), chosen])

    def deviation(self) -> dict[str, Values]:
        """Return the standard deviation of each coordinate, (n, d_b)."""
        within = np.einsum("kdd->kd", self.covariances)[None] + self.means**2
        mean = np.einsum("nk,nkd->nd", self.weights, self.means)
        variance = np.einsum("nk,nkd->nd", self.weights, within) - mean**2
        return self._split(np.sqrt(np.maximum(variance, 0)))

    def entropy(self) -> Values:
        """Return how unsure each row is of its component, in nats, (n,)."""
        w = self.weights
        found: Values = -(w * np.log(np.maximum(w, 1e-300))).sum(1)
        return found

    def sample(self, count: int, generator: np.random.Generator) -> dict[str, Values]:
        """Draw ``count`` values a row, by block: (n, count, d_b)."""
        return self.draw(drawn(self.weights, count, generator), generator)

    def draw(self, picks: NDArray[np.int64], generator: np.random.Generator) -> dict[str, Values]:
        """Draw values of given components: ``picks`` (n, count), values (n, count, d_b)."""
        n, count = picks.shape
        d = self.means.shape[2]
        noise = generator.standard_normal((n, count, d))
        out = np.empty((n, count, d))
        for component in np.unique(picks):
            rows, columns = np.nonzero(picks == component)
            factor = factor_of(self.covariances[component]) if d else np.zeros((0, 0))
            out[rows, columns] = self.means[rows, component] + noise[rows, columns] @ factor.T
        return self._split(out)

    def take(self, rows: NDArray[np.intp]) -> Conditional:
        """Return some of the rows."""
        return replace(self, weights=self.weights[rows], means=self.means[rows])

    def _split(self, values: Values) -> dict[str, Values]:
        return {name: values[..., place] for name, place in self.blocks.items()}


def table_of(
    widths: Mapping[str, int], given: Blocks, mask: Masks | None
) -> tuple[Values, NDArray[np.bool_]]:
    """Return blocks side by side, (n, D), zeros where missing, and which coordinates are there.

    Raises
    ------
    DataError
        If a block has another width or number of rows, or values that are there aren't finite.
    """
    count = len(next(iter(given.values()))) if given else 1
    x = np.zeros((count, sum(widths.values())))
    there = np.zeros(x.shape, bool)
    at = 0
    for name, width in widths.items():
        if name in given:
            values = np.asarray(given[name], np.float64)
            if values.shape != (count, width):
                raise DataError(
                    f"the block {name!r} has the shape {values.shape}, not {(count, width)}"
                )
            rows = np.ones(count, bool) if mask is None or name not in mask else mask[name]
            if not np.isfinite(values[rows]).all():
                raise DataError(f"the block {name!r} holds NaN or infinite values")
            x[:, at : at + width] = np.where(rows[:, None], values, 0)
            there[:, at : at + width] = rows[:, None]
        at += width
    return x, there


def patterns(
    there: NDArray[np.bool_],
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the rows of each pattern of what is there, and the coordinates that it has."""
    kinds, index = np.unique(there, axis=0, return_inverse=True)
    return [
        (np.flatnonzero(index.ravel() == i), np.flatnonzero(kind)) for i, kind in enumerate(kinds)
    ]


def gain_of(
    covariance: Values, seen: NDArray[np.int64], want: NDArray[np.int64]
) -> tuple[Values, Values]:
    """Return ``Sigma_MO Sigma_OO^-1`` and the conditional covariance."""
    own = covariance[np.ix_(want, want)]
    if not len(seen) or not len(want):
        return np.zeros((len(want), len(seen))), own
    from scipy.linalg import cho_solve

    cross = covariance[np.ix_(seen, want)]
    gain = cho_solve((factor_of(covariance[np.ix_(seen, seen)]), True), cross).T
    left = own - gain @ cross
    return gain, (left + left.T) / 2


def factor_of(covariance: Values) -> Values:
    """Return the lower Cholesky factor; a covariance that rounding broke is mended."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        floor = max(float(values.max()), 1e-12) * 1e-9
        mended = (vectors * np.maximum(values, floor)) @ vectors.T
        return np.asarray(np.linalg.cholesky(mended + floor * np.eye(len(mended))), np.float64)


def log_sum(logs: Values) -> Values:
    """Return log-sum-exp over the second axis, (n,)."""
    top = logs.max(1)
    found: Values = top + np.log(np.exp(logs - top[:, None]).sum(1))
    return found


def drawn(weights: Values, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return ``count`` component numbers for each row of weights, (n, count)."""
    edges = np.cumsum(weights, axis=1)
    edges /= edges[:, -1:]
    draws = generator.random((len(weights), count))
    found: NDArray[np.int64] = (draws[:, :, None] > edges[:, None, :]).sum(2).astype(np.int64)
    return found
