"""k-means: the sparsest code there is, one latent a sample."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError
from isthmus.models.classical.base import ClassicalDictionary, Floats, at_least_one, to_fit

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["KMeans", "KMeansDictionary"]


@dataclass(frozen=True)
class KMeans:
    """k-means by scikit-learn: a sample's code is 1 at its nearest centroid and 0 elsewhere."""

    latent: int = 64
    """Number of centroids, at most the number of rows."""
    batch_size: int = 4096
    """Samples of a step (mini-batch k-means); 0 takes all at every step (Lloyd)."""
    iterations: int = 100
    """Most passes over the samples."""
    starts: int = 1
    """Starts (k-means++), of which the best is kept."""
    seed: int = 0
    """Seed of the starts and batches."""

    def __post_init__(self) -> None:
        at_least_one(latent=self.latent, iterations=self.iterations, starts=self.starts)
        if self.batch_size < 0:
            raise ConfigError("batch_size can't be negative", why=f"got {self.batch_size}")

    def fit(self, x: Any) -> KMeansDictionary:
        """Learn from samples (R, D).

        Raises
        ------
        ConfigError
            If there are more centroids than rows.
        DataError
            If there are fewer than two samples or a value is not finite.
        """
        from sklearn.cluster import KMeans as Lloyd
        from sklearn.cluster import MiniBatchKMeans
        from sklearn.exceptions import ConvergenceWarning

        samples = to_fit(x, self.latent)
        settings = {
            "n_clusters": self.latent,
            "max_iter": self.iterations,
            "n_init": self.starts,
            "random_state": self.seed,
        }
        batched = 0 < self.batch_size < len(samples)
        if batched:
            model = MiniBatchKMeans(batch_size=self.batch_size, **settings)
        else:
            model = Lloyd(**settings)
        with warnings.catch_warnings():
            # Fewer different rows than centroids leave some of these equal: that is all.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(samples)
        return KMeansDictionary(model.cluster_centers_)


class KMeansDictionary(ClassicalDictionary):
    """One latent a sample: that of the nearest centroid, the first of equals.

    Parameters
    ----------
    centroids
        The centroids (N, D).
    """

    def __init__(self, centroids: Any) -> None:
        super().__init__(centroids, np.zeros(np.shape(centroids)[1]), signed=False)
        self._half = 0.5 * (self.decoder.astype(np.float64) ** 2).sum(axis=1)

    def _encoded(self, x: Floats) -> csr_array:
        from scipy.sparse import csr_array

        # |x - c|^2 / 2 less |x|^2 / 2, which is the same for every centroid.
        scores = x.astype(np.float64) @ self.decoder.T.astype(np.float64) - self._half
        ones = np.ones(len(x), dtype=np.float32)
        places = (ones, scores.argmax(axis=1), np.arange(len(x) + 1))
        return csr_array(places, shape=(len(x), self.latent))
