"""PCA of the same size: the baseline that every autoencoder is held against.

One fit serves every number of dimensions up to the largest asked for. The encoder, the decoder,
the expected error and the likelihood of probabilistic PCA all come from the same eigenvalues.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix
from isthmus.metrics.gaussian import ppca_nll
from isthmus.metrics.moments import CovarianceSums, MomentSums
from isthmus.metrics.reconstruction import Reconstruction, ReconstructionSums

__all__ = ["PCABaseline", "pca_reconstruction"]


@dataclass(frozen=True, eq=False)
class PCABaseline:
    """Principal components of a training split of samples with D elements each."""

    mean: Floats
    """Mean of the training split, of the shape of one sample."""
    components: Floats
    """Orthonormal directions as rows (d, D), by falling variance."""
    eigenvalues: Floats
    """Variances along directions, falling: all D of them where `exact`, else the first d."""
    total_variance: float
    """Sum of the variances of all D elements (dividing by the number of samples)."""
    samples: int
    """Training samples."""
    exact: bool
    """Whether the components come from the full covariance (D up to `exact_limit`)."""

    @classmethod
    def fit(
        cls,
        samples: Array | Iterable[Array],
        dims: int,
        *,
        exact_limit: int = 4096,
        memory: int = 256 << 20,
        seed: int = 0,
    ) -> PCABaseline:
        """Learn up to ``dims`` components in one pass over the samples.

        Parameters
        ----------
        samples
            An array (N, *shape), or batches (B, *shape) of any sizes, as often as they come.
        dims
            Most components that will be asked for; no more than D are kept.
        exact_limit
            Largest D whose covariance (D^2 float64) is formed. Default 4096. Beyond it, mean and
            total variance are still exact; the components come from a randomized decomposition
            of a seeded random subset of the samples.
        memory
            Bytes that this subset may take as float32. Default 256 MiB.
        seed
            Seed of the subset and of the decomposition.

        Raises
        ------
        ConfigError
            If ``dims`` is below 1.
        DataError
            If there is no sample, shapes differ, or a value is not finite.
        """
        if dims < 1:
            raise ConfigError("PCA needs at least one dimension", why=f"got {dims}")
        batches = iter(_batches(samples))
        first = next(batches, None)
        if first is None or not len(first):
            raise DataError("no sample was given, so there is no PCA")
        shape = tuple(first.shape[1:])
        width = int(np.prod(shape))
        sums = (
            _ExactSums(width)
            if width <= exact_limit
            else _SubsetSums(width, max(dims + 1, memory // (4 * width)), seed)
        )
        sums.update(first)
        for batch in batches:
            sums.update(batch)
        mean, components, eigenvalues, total = sums.components(min(dims, width))
        return cls(
            mean=mean.reshape(shape),
            components=components,
            eigenvalues=eigenvalues,
            total_variance=total,
            samples=sums.count,
            exact=isinstance(sums, _ExactSums),
        )

    @property
    def dims(self) -> int:
        """Most dimensions that can be asked for."""
        return len(self.components)

    def encode(self, x: Array, dims: int | None = None) -> Floats:
        """Return codes (N, dims) of samples (N, *shape); ``dims`` None means all that are kept.

        Raises
        ------
        ConfigError
            If more dimensions are asked for than are kept.
        DataError
            If the samples have another size than those of the fit.
        """
        return (self._matrix(x) - self.mean.reshape(-1)) @ self._rows(dims).T

    def decode(self, codes: Array) -> Floats:
        """Return samples (N, *shape) of codes (N, d) with any d up to `dims`."""
        points = as_matrix(codes, "the code")
        flat = points @ self._rows(points.shape[1]) + self.mean.reshape(-1)
        return flat.reshape(len(points), *self.mean.shape)

    def reconstruct(self, x: Array, dims: int | None = None) -> Floats:
        """Return what ``dims`` components keep of samples (N, *shape)."""
        return self.decode(self.encode(x, dims))

    def noise_variance(self, dims: int) -> float:
        """Noise variance of probabilistic PCA: mean variance of the D - dims left directions.

        Its maximum-likelihood value (Tipping and Bishop, 1999), hence the variance that a linear
        variational autoencoder should learn. 0 where ``dims`` is D.
        """
        kept = float(self.eigenvalues[: len(self._rows(dims))].sum())
        rest = self.mean.size - dims
        return max(self.total_variance - kept, 0.0) / rest if rest else 0.0

    def train_mse(self, dims: int) -> float:
        """Return the MSE per element on the training split itself, from the eigenvalues."""
        return self.noise_variance(dims) * (self.mean.size - dims) / self.mean.size

    def explained(self, dims: int) -> float:
        """Return the share of the training variance that ``dims`` components keep (1 if none)."""
        kept = float(self.eigenvalues[: len(self._rows(dims))].sum())
        return kept / self.total_variance if self.total_variance else 1.0

    def eigenvalues_above(self, variance: float) -> int:
        """Count directions with more than ``variance``: latents that a linear VAE keeps alive.

        Raises
        ------
        ConfigError
            If the fit is not exact and every eigenvalue it kept is above ``variance``.
        """
        above = int((self.eigenvalues > variance).sum())
        if not self.exact and above == len(self.eigenvalues):
            raise ConfigError("this PCA kept too few eigenvalues to count", why=f"{above} kept")
        return above

    def nll(self, x: Array, dims: int) -> Floats:
        """Exact NLL of each sample under probabilistic PCA with ``dims`` latents, nats (N,).

        Raises
        ------
        ConfigError
            If the data leave no variance for the noise (``dims`` at or above their rank).
        """
        rows = self._rows(dims)
        scales = self.eigenvalues[: len(rows)]
        noise = self.noise_variance(dims)
        # Below this a "variance" is what rounding left of a zero.
        least = float(scales[-1]) if len(rows) == self.mean.size else min(float(scales[-1]), noise)
        if least <= 1e-13 * self.total_variance:
            raise ConfigError(
                "probabilistic PCA needs noise, and these data leave none",
                why=f"noise variance {noise:.3g} at {dims} dimensions",
                fix="ask for fewer dimensions than the rank of the data",
            )
        return ppca_nll(self._matrix(x), self.mean, rows, scales, noise)

    def _rows(self, dims: int | None) -> Floats:
        if dims is None:
            return self.components
        if not 1 <= dims <= self.dims:
            raise ConfigError(
                "this PCA does not hold so many dimensions",
                why=f"asked for {dims}, kept {self.dims}",
                fix="fit with a larger dims; no more exist than a sample has elements",
            )
        return self.components[:dims]

    def _matrix(self, x: Array) -> Floats:
        matrix = as_matrix(x, "the sample")
        if matrix.shape[1] != self.mean.size:
            raise DataError(
                "samples have another size than those of the PCA",
                why=f"{matrix.shape[1]} and {self.mean.size} elements",
            )
        return matrix


def pca_reconstruction(
    baseline: PCABaseline,
    samples: Array | Iterable[Array],
    dims: int,
    *,
    clip: tuple[float, float] | None = None,
) -> Reconstruction:
    """Return PCA's own reconstruction errors on a split; its `mse` is the number `pca_mse`.

    Parameters
    ----------
    samples
        An array (N, *shape) or batches of it.
    dims
        Dimensions; for codes wider than PCA can be, the baseline's own `dims` are used.
    clip
        As in `ReconstructionSums`.

    Raises
    ------
    DataError
        If there is no sample.
    """
    sums = ReconstructionSums(baseline.mean, clip)
    for batch in _batches(samples):
        flat = as_matrix(batch, "the sample").reshape(-1, *baseline.mean.shape)
        sums.update(flat, baseline.reconstruct(flat, min(dims, baseline.dims)))
    return sums.result()


class _ExactSums:
    """Components from the full covariance."""

    def __init__(self, width: int) -> None:
        self._sums = CovarianceSums(width)

    @property
    def count(self) -> int:
        return self._sums.count

    def update(self, batch: Array) -> None:
        self._sums.update(batch)

    def components(self, dims: int) -> tuple[Floats, Floats, Floats, float]:
        covariance = self._sums.covariance
        values, vectors = np.linalg.eigh(covariance)
        falling = np.clip(values[::-1], 0.0, None)
        rows = np.ascontiguousarray(vectors[:, ::-1][:, :dims].T)
        return self._sums.mean, _signed(rows), falling, float(np.trace(covariance))


class _SubsetSums:
    """Components from a random subset, for samples too wide for a covariance matrix.

    Each sample draws a number, in order; those with the least numbers are kept. So the subset
    depends on the seed and the order of samples, and not on the batches.
    """

    def __init__(self, width: int, rows: int, seed: int) -> None:
        self._sums = MomentSums(width)
        self._rows, self._seed = rows, seed
        self._draw = np.random.default_rng(seed)
        # Filled as samples come: memory that is never reached is never taken.
        self._keys: Floats = np.full(rows, np.inf)
        self._kept = np.empty((rows, width), dtype=np.float32)

    @property
    def count(self) -> int:
        return self._sums.count

    def update(self, batch: Array) -> None:
        self._sums.update(batch)
        keys = np.concatenate([self._keys, self._draw.random(len(batch))])
        order = np.argsort(keys, kind="stable")
        entering, leaving = order[: self._rows], order[self._rows :]
        entering = entering[entering >= self._rows]
        free = leaving[leaving < self._rows]
        self._keys[free] = keys[entering]
        self._kept[free] = as_matrix(batch, "the sample")[entering - self._rows]

    def components(self, dims: int) -> tuple[Floats, Floats, Floats, float]:
        from sklearn.utils.extmath import randomized_svd

        kept = self._kept[np.isfinite(self._keys)]
        centred = kept - self._sums.mean.astype(np.float32)
        _, singular, rows = randomized_svd(
            centred, min(dims, len(centred)), n_iter=6, random_state=self._seed
        )
        values = singular.astype(np.float64) ** 2 / len(centred)
        # Orthonormal in float64: float32 rows are so only to seven digits.
        rows = np.linalg.qr(rows.T.astype(np.float64))[0].T
        return self._sums.mean, _signed(rows), values, float(self._sums.variance.sum())


def _signed(rows: Floats) -> Floats:
    """Make the largest entry of each row positive, so that equal fits have equal signs."""
    peak = np.abs(rows).argmax(axis=1)
    return rows * np.where(rows[np.arange(len(rows)), peak] < 0, -1.0, 1.0)[:, None]


def _batches(samples: Array | Iterable[Array]) -> Iterable[Array]:
    """Cut one array into batches; pass batches on as they are."""
    if isinstance(samples, np.ndarray) or hasattr(samples, "detach"):
        whole = cast("Array", samples)
        return (whole[start : start + 4096] for start in range(0, len(whole), 4096))
    return samples
