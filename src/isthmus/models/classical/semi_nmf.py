"""Semi-NMF: codes that are never negative, directions of any sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.models.classical.base import Wide, at_least_one, to_fit, unit_decoder
from isthmus.models.classical.kmeans import KMeans
from isthmus.models.classical.nmf import NonnegativeDictionary

__all__ = ["SemiNMF", "factorise"]

_TINY = 1e-12


@dataclass(frozen=True)
class SemiNMF:
    """Samples as non-negative sums of directions of any sign.

    Source: Ding, Li and Jordan, "Convex and semi-nonnegative matrix factorizations", 2010: least
    squares for the directions and a multiplicative update for the codes take turns, and the error
    never rises. Not in scikit-learn. With as many latents as dimensions or more, codes lose next to
    nothing and are not sparse.
    """

    latent: int = 64
    """Number of directions, at most the number of rows."""
    centre: bool = True
    """Whether the mean of the samples is taken off first, and added to reconstructions."""
    iterations: int = 200
    """Most turns."""
    tolerance: float = 1e-5
    """Relative fall of the error over a turn below which it stops."""
    seed: int = 0
    """Seed of the k-means that gives the first codes."""

    def __post_init__(self) -> None:
        at_least_one(latent=self.latent, iterations=self.iterations)

    def fit(self, x: Any) -> NonnegativeDictionary:
        """Learn from samples (R, D).

        Raises
        ------
        ConfigError
            If there are more latents than rows.
        DataError
            If there are fewer than two samples or a value is not finite.
        """
        samples = to_fit(x, self.latent).astype(np.float64)
        mean = samples.mean(axis=0) if self.centre else np.zeros(samples.shape[1])
        start = KMeans(self.latent, batch_size=0, iterations=20, seed=self.seed).fit(samples - mean)
        # The paper's start: the indicator of the cluster, plus .2 so that nothing is stuck at 0.
        codes = start.encode(samples - mean, dense=True).astype(np.float64) + 0.2
        directions, _, _ = factorise(
            samples - mean, codes, iterations=self.iterations, tolerance=self.tolerance
        )
        return NonnegativeDictionary(unit_decoder(directions)[0], mean)


def factorise(
    x: Wide, codes: Wide, *, iterations: int, tolerance: float
) -> tuple[Wide, Wide, list[float]]:
    """Take turns from given codes (R, N); return directions (N, D), codes and the errors.

    With F the directions as columns and G the codes: F = X G (G'G)^-1, and G <- G sqrt(
    ((X'F)+ + G (F'F)-) / ((X'F)- + G (F'F)+)), A+ and A- being the positive and negative parts.
    """
    errors: list[float] = []
    directions = _least_squares(x, codes)
    for _ in range(iterations):
        along, gram = x @ directions.T, directions @ directions.T
        above = np.maximum(along, 0) + codes @ np.maximum(-gram, 0)
        below = np.maximum(-along, 0) + codes @ np.maximum(gram, 0)
        codes = codes * np.sqrt(above / np.maximum(below, _TINY))
        directions = _least_squares(x, codes)
        errors.append(float(np.linalg.norm(x - codes @ directions) ** 2))
        if len(errors) > 1 and errors[-2] - errors[-1] <= tolerance * errors[-2]:
            break
    return directions, codes, errors


def _least_squares(x: Wide, codes: Wide) -> Wide:
    """Return the directions (N, D) that are best for given codes, the shortest of several."""
    return np.asarray(np.linalg.pinv(codes.T @ codes, hermitian=True) @ (codes.T @ x))
