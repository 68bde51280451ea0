"""How sparse a code is: L0, dead and dense latents, Hoyer, Treves-Rolls, Gini, firing rates.

What counts as *active* decides most of these numbers, so there is one rule for all of them: a
latent is active on a sample when the magnitude of its activation exceeds a threshold.

- `EXACT` (0) is for codes with true zeros (ReLU, TopK, BatchTopK, JumpReLU, ...).
- `SIGMOID` (0.1) is for sigmoid codes, which never reach zero: a tenth of the code's own range
  [0, 1]. A latent that rests at a target activation of .05 is then silent, as it should be.
  (|sigmoid(z) - 0.5| > 0.4, met in the wild, counts the latents that are *off* as active.)
- `relative_threshold` ties the threshold to the scale of any other code.

A code that is dense by nature (plain, variational) has L0 = its width with threshold 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix
from isthmus.metrics.histogram import Histogram, ValueHistogram

__all__ = [
    "EXACT",
    "SIGMOID",
    "CodeSums",
    "Sparsity",
    "gini",
    "hoyer",
    "population_sparseness",
    "rate_histogram",
    "relative_threshold",
]

EXACT = 0.0
SIGMOID = 0.1


@dataclass(frozen=True, eq=False)
class Sparsity:
    """Sparsity of the codes of a whole split; N is the number of latents."""

    l0: float
    """Active latents a sample, mean over samples."""
    mean_activation: float
    """Mean of all activations, signs kept (the quantity that a KL target speaks of)."""
    mean_activation_per_latent: Floats
    """Mean activation of each latent (N,)."""
    dead_fraction: float
    """Share of latents that are active on no sample of the split."""
    firing_rate: Floats
    """Share of samples on which each latent is active (N,)."""
    max_firing_rate: float
    """The largest of `firing_rate`."""
    dense_fraction: float
    """Share of latents that are active on more than `dense_rate` of the samples."""
    dense_rate: float
    """The firing rate above which a latent counts as dense."""
    hoyer: float | None
    """Hoyer's sparseness, mean over samples whose code is not all zero: 0 where all magnitudes
    are equal, 1 for one active latent. None where it is undefined: every code zero, or N = 1."""
    gini: float | None
    """Gini index of the magnitudes, mean over the same samples; None where every code is zero."""
    population_sparseness: float | None
    """Treves-Rolls sparseness over the latents of a sample, mean over the same samples; None
    where `hoyer` is."""
    lifetime_sparseness: float | None
    """Treves-Rolls sparseness over the samples, mean over latents that are not always zero; None
    with fewer than two samples or where every code is zero."""
    lifetime_sparseness_per_latent: Floats
    """The same of each latent (N,); NaN for a latent that is always zero."""
    silent_fraction: float
    """Share of samples on which no latent is active."""
    threshold: float
    """The magnitude that an activation must exceed to be active."""
    values: Histogram
    """Histogram of all activations, exact zeros apart."""
    samples: int
    """Samples that were counted."""


class CodeSums:
    """Sparsity accumulated in float64 over batches of codes of any size.

    Parameters
    ----------
    latents
        Number of latents N.
    threshold
        The magnitude that an activation must exceed to be active; see the module.
    dense_rate
        The firing rate above which a latent is dense. Default 0.5.
    bins
        Bins on each side of zero of the histogram of values. Default 64.

    Raises
    ------
    ConfigError
        If there is no latent, or the threshold is negative or not finite.
    """

    def __init__(
        self, latents: int, threshold: float = EXACT, *, dense_rate: float = 0.5, bins: int = 64
    ) -> None:
        if latents < 1:
            raise ConfigError("a code needs at least one latent", why=f"got {latents}")
        if not 0 <= threshold < np.inf:
            raise ConfigError("the threshold must be finite and not negative", why=f"{threshold}")
        self._threshold, self._dense_rate = threshold, dense_rate
        self._samples = self._active = self._silent = 0
        self._shaped = 0
        self._hoyer = self._gini = self._population = 0.0
        self._sum: Floats = np.zeros(latents)
        self._magnitude: Floats = np.zeros(latents)
        self._squares: Floats = np.zeros(latents)
        self._fired: NDArray[np.int64] = np.zeros(latents, dtype=np.int64)
        self._values = ValueHistogram(bins)

    def update(self, codes: Array) -> None:
        """Add a batch of codes (B, N).

        Raises
        ------
        DataError
            If the width differs from N or a value is not finite.
        """
        batch = as_matrix(codes, "the code")
        if batch.shape[1] != self._sum.size:
            raise DataError(
                "the code has another width than expected",
                why=f"{batch.shape[1]} instead of {self._sum.size} latents",
            )
        magnitude = np.abs(batch)
        active = magnitude > self._threshold
        shaped = magnitude[magnitude.any(axis=1)]
        self._samples += len(batch)
        self._active += int(active.sum())
        self._silent += int((~active.any(axis=1)).sum())
        self._fired += active.sum(axis=0)
        self._sum += batch.sum(axis=0)
        self._magnitude += magnitude.sum(axis=0)
        self._squares += np.einsum("nd,nd->d", batch, batch)
        self._values.update(batch)
        self._shaped += len(shaped)
        self._gini += float(gini(shaped).sum())
        if batch.shape[1] > 1:
            self._hoyer += float(hoyer(shaped).sum())
            self._population += float(population_sparseness(shaped).sum())

    def result(self) -> Sparsity:
        """Return the sparsity over everything added so far.

        Raises
        ------
        DataError
            If no sample was added.
        """
        if not self._samples:
            raise DataError("no code was given, so there is no sparsity")
        rate = self._fired / self._samples
        several = self._shaped and self._sum.size > 1
        lifetime = self._lifetime()
        lived = lifetime[~np.isnan(lifetime)]
        return Sparsity(
            l0=self._active / self._samples,
            mean_activation=float(self._sum.mean()) / self._samples,
            mean_activation_per_latent=self._sum / self._samples,
            dead_fraction=float((self._fired == 0).mean()),
            firing_rate=rate,
            max_firing_rate=float(rate.max()),
            dense_fraction=float((rate > self._dense_rate).mean()),
            dense_rate=self._dense_rate,
            hoyer=self._hoyer / self._shaped if several else None,
            gini=self._gini / self._shaped if self._shaped else None,
            population_sparseness=self._population / self._shaped if several else None,
            lifetime_sparseness=float(lived.mean()) if lived.size else None,
            lifetime_sparseness_per_latent=lifetime,
            silent_fraction=self._silent / self._samples,
            threshold=self._threshold,
            values=self._values.result(),
            samples=self._samples,
        )

    def _lifetime(self) -> Floats:
        """Treves-Rolls sparseness of each latent over samples; NaN where it has none."""
        lifetime = np.full(self._sum.size, np.nan)
        lived = self._squares > 0
        if self._samples < 2:
            return lifetime
        spread = self._magnitude[lived] ** 2 / self._squares[lived] / self._samples
        lifetime[lived] = (1 - spread) / (1 - 1 / self._samples)
        return lifetime


def hoyer(codes: Array) -> Floats:
    """Hoyer's sparseness of each row, (sqrt N - l1 / l2) / (sqrt N - 1): (B,).

    1 where one entry is active, 0 where all magnitudes are equal; NaN for a row of zeros.
    Source: Hoyer, "Non-negative matrix factorization with sparseness constraints", 2004.

    Raises
    ------
    DataError
        If the code has one latent only: the measure then divides by zero.
    """
    magnitude = _magnitudes(codes, several=True)
    root = np.sqrt(magnitude.shape[1])
    l1, l2 = magnitude.sum(axis=1), np.sqrt((magnitude**2).sum(axis=1))
    return np.asarray((root - l1 / l2) / (root - 1))


def population_sparseness(codes: Array) -> Floats:
    """Treves-Rolls sparseness of each row, (1 - mean(|a|)^2 / mean(a^2)) / (1 - 1/N): (B,).

    1 where one latent is active, 0 where all are equal; NaN for a row of zeros. The form scaled
    to [0, 1] is that of Vinje and Gallant, 2000. For the lifetime sparseness of latents pass the
    codes transposed.

    Raises
    ------
    DataError
        If there is one latent only.
    """
    magnitude = _magnitudes(codes, several=True)
    spread = magnitude.mean(axis=1) ** 2 / (magnitude**2).mean(axis=1)
    return np.asarray((1 - spread) / (1 - 1 / magnitude.shape[1]))


def gini(codes: Array) -> Floats:
    """Gini index of the magnitudes of each row: (B,), 0 (all equal) to 1 - 1/N (one active).

    1 - 2 sum_k (|a|_(k) / l1) (N - k + 1/2) / N with magnitudes rising; NaN for a row of zeros.
    Source: Hurley and Rickard, "Comparing measures of sparsity", 2009.
    """
    magnitude = np.sort(_magnitudes(codes, several=False), axis=1)
    width = magnitude.shape[1]
    weights = (width - np.arange(1, width + 1) + 0.5) / width
    return np.asarray(1 - 2 * (magnitude @ weights) / magnitude.sum(axis=1))


def relative_threshold(codes: Array, fraction: float = 0.1) -> float:
    """Return ``fraction`` of the largest magnitude in ``codes``: a threshold on the code's scale.

    Take it once from training codes, then use it for every split. Default 0.1, which for a
    sigmoid code that uses its range is `SIGMOID`.

    Raises
    ------
    ConfigError
        If ``fraction`` is not in [0, 1).
    DataError
        If there are no codes.
    """
    if not 0 <= fraction < 1:
        raise ConfigError("fraction must be in [0, 1)", why=f"got {fraction}")
    magnitude = np.abs(as_matrix(codes, "the code"))
    if not len(magnitude):
        raise DataError("no code was given, so there is no threshold")
    return fraction * float(magnitude.max())


def rate_histogram(rates: Array, bins_per_decade: int = 4) -> Histogram:
    """Histogram of firing rates with logarithmic bins; latents that never fire are apart.

    Parameters
    ----------
    rates
        Firing rates (N,) in [0, 1], such as `Sparsity.firing_rate`.
    bins_per_decade
        Bins for each factor of ten. Default 4.

    Returns
    -------
    Histogram
        Edges from at or below the smallest positive rate to 1; a rate of exactly 1 is in the last
        bin; dead latents are its `zeros`.

    Raises
    ------
    DataError
        If a rate lies outside [0, 1].
    """
    values = as_matrix(rates, "the firing rates").ravel()
    if values.size and (values.min() < 0 or values.max() > 1):
        raise DataError("firing rates must lie in [0, 1]", why=f"found up to {values.max():.4g}")
    alive = values[values > 0]
    lowest = float(np.log10(alive.min())) if alive.size else -1.0
    bins = max(1, int(np.ceil(-lowest * bins_per_decade - 1e-9)))
    edges = 10.0 ** (np.arange(-bins, 1) / bins_per_decade)
    inside = np.maximum(alive, edges[0])
    return Histogram(
        edges, np.histogram(inside, edges)[0].astype(np.int64), values.size - alive.size
    )


def _magnitudes(codes: Array, *, several: bool) -> Floats:
    """Magnitudes (B, N) with rows of zeros turned to NaN, so that their measures are NaN."""
    magnitude = np.abs(as_matrix(codes, "the code"))
    if several and magnitude.shape[1] < 2:
        raise DataError("this measure of sparseness needs at least two latents")
    # A common factor changes no measure here, and keeps squares of tiny or huge codes in range.
    peak = magnitude.max(axis=1, keepdims=True)
    scaled = np.full_like(magnitude, np.nan)
    np.divide(magnitude, peak, out=scaled, where=peak > 0)
    return scaled
