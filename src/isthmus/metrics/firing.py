"""How often the latents of a sparse code fire, streamed over batches that stay sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Floats
from isthmus.metrics.histogram import Histogram
from isthmus.metrics.sparse_codes import Codes, as_csr, column_sums
from isthmus.metrics.sparsity import rate_histogram

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Firing", "FiringSums"]

_LEVELS = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True, eq=False)
class Firing:
    """How the N latents of a dictionary fire over a whole split; what is not zero is active."""

    samples: int
    """Samples that were counted."""
    l0: float
    """Active latents a sample, mean over samples."""
    l0_quantiles: tuple[int, int, int, int, int]
    """Least, 5 %, median, 95 % and largest number of active latents of a sample."""
    silent_fraction: float
    """Share of samples on which no latent is active."""
    hoyer: float | None
    """Hoyer's sparseness, mean over samples that are not silent; None without any, or if N = 1."""
    mean_activation: float
    """Mean of all activations, zeros included."""
    dead_fraction: float
    """Share of latents that are active on no sample; the fewer samples, the more they are."""
    dense_10: float
    """Share of latents that are active on more than 10 % of the samples."""
    dense_25: float
    """Share of latents that are active on more than 25 % of the samples."""
    max_firing_rate: float
    """The largest of `firing_rate`."""
    firing_rate: Floats
    """Share of samples on which each latent is active (N,)."""
    mean_activation_per_latent: Floats
    """Mean activation of each latent over all samples (N,)."""
    mean_when_active: Floats
    """Mean activation of each latent over the samples on which it is active (N,); NaN if dead."""
    rate_decades: Histogram
    """Latents by decade of firing rate; the dead ones are its zeros."""


class FiringSums:
    """Firing accumulated over batches of sparse codes of any size; no batch is made dense.

    Parameters
    ----------
    latents
        Number of latents N.

    Raises
    ------
    ConfigError
        If there is no latent.
    """

    def __init__(self, latents: int) -> None:
        if latents < 1:
            raise ConfigError("a dictionary needs at least one latent", why=f"got {latents}")
        self.samples = 0
        self._shaped, self._hoyer = 0, 0.0
        self._counts: NDArray[np.int64] = np.zeros(latents + 1, dtype=np.int64)
        self._fired: NDArray[np.int64] = np.zeros(latents, dtype=np.int64)
        self._activation: Floats = np.zeros(latents)

    @property
    def latents(self) -> int:
        """Number of latents N."""
        return self._fired.size

    def update(self, codes: Codes) -> None:
        """Add a batch of codes (B, N), sparse or dense.

        Raises
        ------
        DataError
            If the width differs from N or a value is not finite.
        """
        rows = as_csr(codes, latents=self.latents)
        active = np.diff(rows.indptr)
        self.samples += rows.shape[0]
        self._counts += np.bincount(active, minlength=self._counts.size)
        self._fired += np.bincount(rows.indices, minlength=self.latents)
        self._activation += column_sums(rows)
        if self.latents > 1 and rows.nnz:
            shapes = _hoyer(rows)
            self._hoyer += float(shapes.sum())
            self._shaped += shapes.size

    def result(self) -> Firing:
        """Return the numbers over everything added so far.

        Raises
        ------
        DataError
            If no sample was added.
        """
        if not self.samples:
            raise DataError("no code was given, so there are no firing rates")
        rate = self._fired / self.samples
        alive = self._fired > 0
        when_active = np.full(self.latents, np.nan)
        np.divide(self._activation, self._fired, out=when_active, where=alive)
        return Firing(
            samples=self.samples,
            l0=float(self._fired.sum()) / self.samples,
            l0_quantiles=self._quantiles(),
            silent_fraction=int(self._counts[0]) / self.samples,
            hoyer=self._hoyer / self._shaped if self._shaped else None,
            mean_activation=float(self._activation.mean()) / self.samples,
            dead_fraction=float((~alive).mean()),
            dense_10=float((rate > 0.1).mean()),
            dense_25=float((rate > 0.25).mean()),
            max_firing_rate=float(rate.max()),
            firing_rate=rate,
            mean_activation_per_latent=self._activation / self.samples,
            mean_when_active=when_active,
            rate_decades=rate_histogram(rate, bins_per_decade=1),
        )

    def _quantiles(self) -> tuple[int, int, int, int, int]:
        """Return quantiles of L0 that are the L0 of some sample."""
        places = np.ceil(np.array(_LEVELS) * self.samples - 1e-9).clip(1)
        a, b, c, d, e = (int(v) for v in np.searchsorted(np.cumsum(self._counts), places))
        return a, b, c, d, e


def _hoyer(rows: csr_array) -> Floats:
    """Hoyer's sparseness of the rows that are not empty, as `isthmus.metrics.hoyer` has it."""
    active = np.diff(rows.indptr)
    starts, active = rows.indptr[:-1][active > 0], active[active > 0]
    magnitude = np.abs(rows.data.astype(np.float64))
    # A common factor changes nothing here, and keeps squares of tiny or huge codes in range.
    magnitude /= np.repeat(np.maximum.reduceat(magnitude, starts), active)
    l1, l2 = np.add.reduceat(magnitude, starts), np.sqrt(np.add.reduceat(magnitude**2, starts))
    root = np.sqrt(rows.shape[1])
    return np.asarray((root - l1 / l2) / (root - 1))
