"""Principal components: the best linear code of its size, and dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.errors import ConfigError
from isthmus.models.classical.base import (
    ClassicalDictionary,
    Floats,
    as_samples,
    at_least_one,
    largest,
    to_fit,
)

__all__ = ["PCA", "LinearDictionary"]


@dataclass(frozen=True)
class PCA:
    """Principal component analysis by scikit-learn.

    Directions are orthonormal, so keeping a sample's ``k`` largest coordinates is its best code of
    that size in this basis.
    """

    latent: int = 64
    """Number of components, at most D and the number of rows."""
    k: int = 0
    """Coordinates that each sample keeps, the largest in magnitude; 0 for all."""
    seed: int = 0
    """Seed of the randomised solver, which scikit-learn takes for large data."""

    def __post_init__(self) -> None:
        at_least_one(latent=self.latent)
        check_k(self.k, self.latent)

    def fit(self, x: Any) -> LinearDictionary:
        """Learn from samples (R, D).

        Raises
        ------
        ConfigError
            If there are more components than rows or dimensions.
        DataError
            If there are fewer than two samples or a value is not finite.
        """
        from sklearn.decomposition import PCA as Principal

        samples = as_samples(x, "the samples")
        samples = to_fit(samples, self.latent, min(samples.shape), "rows or dimensions")
        found = Principal(self.latent, random_state=self.seed).fit(samples.astype(np.float64))
        return LinearDictionary(found.components_, found.components_, found.mean_, self.k)


class LinearDictionary(ClassicalDictionary):
    """Codes (x - pre_bias) @ encoder.T, of which each sample keeps the k largest.

    Parameters
    ----------
    encoder, decoder
        A direction a row (N, D); the decoder's have length 1.
    pre_bias
        Mean of the training samples (D,).
    k
        Coordinates that each sample keeps; 0 for all.
    """

    def __init__(self, encoder: Any, decoder: Any, pre_bias: Any, k: int = 0) -> None:
        super().__init__(decoder, pre_bias, signed=True)
        self.encoder = as_samples(encoder, "the encoder", self.dim)
        self.k = k

    def _encoded(self, x: Floats) -> Floats:
        return largest((x - self.pre_bias) @ self.encoder.T, self.k)


def check_k(k: int, latent: int) -> None:
    """Refuse a number of kept coordinates outside 0 to N.

    Raises
    ------
    ConfigError
        If it is.
    """
    if not 0 <= k <= latent:
        raise ConfigError("k must lie between 0 (all) and the number of latents", why=f"k = {k}")
