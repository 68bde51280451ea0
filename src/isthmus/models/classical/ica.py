"""Independent components: directions along which the data are least normal."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.errors import ConfigError
from isthmus.models.classical.base import as_samples, at_least_one, to_fit, unit_decoder
from isthmus.models.classical.pca import LinearDictionary, check_k

__all__ = ["ICA"]


@dataclass(frozen=True)
class ICA:
    """FastICA by scikit-learn (Hyvarinen and Oja, 2000).

    No more components than dimensions; with all of them, codes lose nothing.
    """

    latent: int = 64
    """Number of components, at most D and the number of rows less one."""
    k: int = 0
    """Coordinates that each sample keeps, the largest in magnitude; 0 for all."""
    iterations: int = 500
    """Most iterations of FastICA."""
    tolerance: float = 1e-4
    """Change of the directions below which it stops."""
    seed: int = 0
    """Seed of the first directions."""

    def __post_init__(self) -> None:
        at_least_one(latent=self.latent, iterations=self.iterations)
        check_k(self.k, self.latent)

    def fit(self, x: Any) -> LinearDictionary:
        """Learn from samples (R, D).

        The dictionary's ``converged`` says whether the directions came to rest.

        Raises
        ------
        ConfigError
            If there are more components than rows less one, dimensions, or directions in which
            the samples vary.
        DataError
            If there are fewer than two samples or a value is not finite.
        """
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        samples = as_samples(x, "the samples")
        most = min(len(samples) - 1, samples.shape[1])
        samples = to_fit(samples, self.latent, most, "rows less one, or dimensions")
        wide = samples.astype(np.float64)
        variances = np.linalg.eigvalsh(np.atleast_2d(np.cov(wide.T)))
        # Whitening divides by these: a direction without variance has no independent component.
        varying = int((variances > 1e-12 * variances[-1]).sum())
        if self.latent > varying:
            raise ConfigError(
                f"the samples vary in {varying} directions only, and ICA was to find {self.latent}",
                fix="ask for fewer latents",
            )
        model = FastICA(
            self.latent,
            whiten="unit-variance",
            max_iter=self.iterations,
            tol=self.tolerance,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            # Not converging is reported in the dictionary instead.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(wide)
        decoder, length = unit_decoder(model.mixing_.T)
        found = LinearICA(model.components_ * length[:, None], decoder, model.mean_, self.k)
        found.converged = bool(model.n_iter_ < self.iterations)
        return found


class LinearICA(LinearDictionary):
    """A linear dictionary that says whether its directions came to rest."""

    converged: bool = False
    """Whether FastICA stopped before its last iteration."""
