"""Orthogonal matching pursuit on a learned dictionary: what a better encoder could reach."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.errors import ConfigError
from isthmus.models.classical.base import (
    ClassicalDictionary,
    Floats,
    at_least_one,
    to_fit,
    unit_decoder,
)

__all__ = ["Pursuit", "PursuitDictionary"]


@dataclass(frozen=True)
class Pursuit:
    """A dictionary learned online by scikit-learn, read by orthogonal matching pursuit.

    Sources: Mairal et al., "Online dictionary learning for sparse coding", 2009; Pati et al.,
    "Orthogonal matching pursuit", 1993. Coefficients may be negative.
    """

    latent: int = 64
    """Number of directions, at most the number of rows."""
    k: int = 8
    """Directions that each sample is written in."""
    penalty: float = 0.1
    """Weight of the L1 norm while the dictionary is learned, samples being scaled to a root mean
    square length of 1."""
    batch_size: int = 256
    """Samples of a step."""
    passes: int = 5
    """Passes over the samples."""
    rows: int = 20_000
    """Samples that are learned from at most, drawn with ``seed``; 0 for all."""
    seed: int = 0
    """Seed of the start, the order and the draw."""

    def __post_init__(self) -> None:
        at_least_one(latent=self.latent, k=self.k, batch_size=self.batch_size, passes=self.passes)
        if self.k > self.latent:
            raise ConfigError(f"k = {self.k} is larger than the number of latents, {self.latent}")
        if not self.penalty > 0 or self.rows < 0:
            raise ConfigError(
                "penalty must be above 0 and rows not negative",
                why=f"got {self.penalty} and {self.rows}",
            )

    def fit(self, x: Any) -> PursuitDictionary:
        """Learn from samples (R, D).

        Raises
        ------
        ConfigError
            If there are more latents than rows.
        DataError
            If there are fewer than two samples or a value is not finite.
        """
        from sklearn.decomposition import MiniBatchDictionaryLearning
        from sklearn.exceptions import ConvergenceWarning

        samples = to_fit(x, self.latent)
        rng = np.random.default_rng(self.seed)
        if 0 < self.rows < len(samples):
            drawn = rng.choice(len(samples), max(self.rows, self.latent), replace=False)
            samples = samples[np.sort(drawn)]
        wide = samples.astype(np.float64)
        mean = wide.mean(axis=0)
        centred = wide - mean
        scale = float(np.sqrt((centred**2).sum() / len(centred))) or 1.0
        model = MiniBatchDictionaryLearning(
            self.latent,
            alpha=self.penalty,
            batch_size=min(self.batch_size, len(centred)),
            max_iter=self.passes,
            fit_algorithm="cd",
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            # The inner lasso may stop early: the pursuit that reads the dictionary does not care.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(centred / scale)
        return PursuitDictionary(model.components_, mean, self.k)


class PursuitDictionary(ClassicalDictionary):
    """A sample is written in k directions, picked one by one, coefficients refitted each time.

    Parameters
    ----------
    decoder
        A direction a row (N, D); they are scaled to length 1, and rows of zeros are never picked.
    pre_bias
        What is taken off first (D,).
    k
        Directions of a sample; fewer where these already leave no error.

    Raises
    ------
    ConfigError
        If ``k`` is below 1 or above N.
    """

    block = 512

    def __init__(self, decoder: Any, pre_bias: Any, k: int) -> None:
        plain = np.asarray(decoder.detach().cpu() if hasattr(decoder, "detach") else decoder)
        super().__init__(unit_decoder(plain)[0], _plain(pre_bias), signed=True)
        if not 1 <= k <= self.latent:
            raise ConfigError("k must lie between 1 and the number of latents", why=f"k = {k}")
        self.k = k
        self._columns = np.asfortranarray(self.decoder.T.astype(np.float64))

    @classmethod
    def of(cls, dictionary: Any, k: int) -> PursuitDictionary:
        """Read another dictionary (with ``decoder`` and ``pre_bias``) by pursuit."""
        return cls(dictionary.decoder, dictionary.pre_bias, k)

    def _encoded(self, x: Floats) -> Any:
        from sklearn.linear_model import orthogonal_mp

        centred = (x - self.pre_bias).astype(np.float64)
        with warnings.catch_warnings():
            # It warns where the picks so far leave no error, and stops there: as it should.
            warnings.simplefilter("ignore", RuntimeWarning)
            # Without the Gram matrix, of which scikit-learn would make a copy for every sample.
            codes = orthogonal_mp(self._columns, centred.T, n_nonzero_coefs=self.k)
        return codes.T.reshape(len(x), self.latent)


def _plain(values: Any) -> Any:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values
