"""Non-negative matrix factorisation: parts that add up, for data without negative values."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.errors import DataError
from isthmus.models.classical.base import (
    ClassicalDictionary,
    Floats,
    as_samples,
    at_least_one,
    to_fit,
    unit_decoder,
)
from isthmus.models.classical.nonnegative import nonnegative_codes

__all__ = ["NMF", "NonnegativeDictionary"]


@dataclass(frozen=True)
class NMF:
    """Non-negative matrix factorisation by scikit-learn (Lee and Seung, 1999; squared error).

    Images and counts are non-negative; embeddings are not: for those there is `SemiNMF`.
    """

    latent: int = 64
    """Number of parts, at most the number of rows."""
    iterations: int = 200
    """Most iterations of the coordinate descent."""
    seed: int = 0
    """Seed of the start."""

    def __post_init__(self) -> None:
        at_least_one(latent=self.latent, iterations=self.iterations)

    def fit(self, x: Any) -> NonnegativeDictionary:
        """Learn from non-negative samples (R, D).

        Raises
        ------
        ConfigError
            If there are more latents than rows.
        DataError
            If a value is negative or not finite, or there are fewer than two samples.
        """
        from sklearn.decomposition import NMF as Factorisation
        from sklearn.exceptions import ConvergenceWarning

        samples = not_negative(to_fit(x, self.latent))
        start = "nndsvda" if self.latent <= min(samples.shape) else "random"
        model = Factorisation(
            self.latent, init=start, max_iter=self.iterations, random_state=self.seed
        )
        with warnings.catch_warnings():
            # An early end gives a worse dictionary, and its error shows that.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(samples.astype(np.float64))
        decoder, _ = unit_decoder(model.components_)
        return NonnegativeDictionary(decoder, np.zeros(samples.shape[1]), nonnegative_data=True)


class NonnegativeDictionary(ClassicalDictionary):
    """Codes that are never negative, each the best of its sample for the directions.

    Parameters
    ----------
    decoder
        A direction a row (N, D).
    pre_bias
        What is taken off first (D,).
    nonnegative_data
        Whether samples with negative values are refused.
    """

    def __init__(self, decoder: Any, pre_bias: Any, *, nonnegative_data: bool = False) -> None:
        super().__init__(decoder, pre_bias, signed=False)
        self.nonnegative_data = nonnegative_data

    def _encoded(self, x: Floats) -> Any:
        if self.nonnegative_data:
            not_negative(x)
        return nonnegative_codes(x - self.pre_bias, self.decoder)


def not_negative(x: Any) -> Floats:
    """Return samples without a negative value.

    Raises
    ------
    DataError
        Naming the first row with one.
    """
    samples = as_samples(x, "the samples")
    wrong = np.flatnonzero((samples < 0).any(axis=1))
    if wrong.size:
        raise DataError(
            "NMF needs data without negative values",
            where=f"row {wrong[0]}, and {wrong.size} of {len(samples)} rows in all",
            fix="use SemiNMF, whose directions may be negative, or another method",
        )
    return samples
