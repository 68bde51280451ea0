"""Bootstrap intervals over samples, for means and for ratios of sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_float64, check_finite

__all__ = ["BootstrapInterval", "bootstrap_mean", "bootstrap_ratio"]

_DRAWS = 1 << 22
"""Draws held at once (32 MB of row numbers)."""


@dataclass(frozen=True)
class BootstrapInterval:
    """A number with its percentile interval over resampled samples.

    It speaks for the samples, not for the training: another seed may differ by more, which
    `isthmus.metrics.mean_interval` over seeds tells.
    """

    value: float
    """The number over all samples."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    confidence: float
    """Coverage of the interval."""
    samples: int
    """Samples that were resampled."""


def bootstrap_ratio(
    above: Array,
    below: Array,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    population: int | None = None,
) -> BootstrapInterval:
    """Bootstrap the ratio of two sums over the same samples, sum(above) / sum(below).

    Numerator and denominator of a sample are drawn together: a ratio of sums (an FVU) is not the
    mean of ratios, and its interval must not be that of one.

    Parameters
    ----------
    above, below
        The two terms of each sample (N,).
    resamples
        Times that N samples are drawn with replacement. Default 1000.
    confidence
        Coverage. Default 0.95.
    seed
        Seed of the draws.
    population
        Samples that the N given ones were drawn from at random; the interval is then as narrow as
        for all of them (scaled by sqrt(N / population) about the ratio). None: the N are all.

    Raises
    ------
    ConfigError
        If ``resamples`` is below 100, ``confidence`` is not between 0 and 1, or ``population`` is
        below N.
    DataError
        If the lengths differ, there is no sample, a value is not finite, or ``below`` sums to 0.
    """
    upper, lower = as_float64(above).ravel(), as_float64(below).ravel()
    if upper.size != lower.size or not upper.size:
        raise DataError(
            "a ratio needs both terms of at least one sample",
            why=f"{upper.size} and {lower.size} values",
        )
    check_finite(upper, "the upper terms")
    check_finite(lower, "the lower terms")
    if resamples < 100 or not 0 < confidence < 1:
        raise ConfigError(
            "at least 100 resamples and a confidence between 0 and 1 are needed",
            why=f"got {resamples} and {confidence}",
        )
    everyone = upper.size if population is None else population
    if everyone < upper.size:
        raise ConfigError(
            "a population can't be smaller than what was drawn from it",
            why=f"{everyone} and {upper.size} samples",
        )
    if not lower.sum():
        raise DataError("the lower terms sum to zero, so there is no ratio")
    value = float(upper.sum() / lower.sum())
    drawn = _resampled(upper, lower, resamples, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    ends = value + (np.quantile(drawn, [tail, 1 - tail]) - value) * np.sqrt(upper.size / everyone)
    return BootstrapInterval(value, float(ends[0]), float(ends[1]), confidence, upper.size)


def bootstrap_mean(
    values: Array, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> BootstrapInterval:
    """Bootstrap the mean of one number a sample (N,); see `bootstrap_ratio`."""
    numbers = as_float64(values).ravel()
    return bootstrap_ratio(
        numbers, np.ones_like(numbers), resamples=resamples, confidence=confidence, seed=seed
    )


def _resampled(upper: Floats, lower: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Ratios of resampled sums (resamples,); a resample without a denominator is left out."""
    found = np.empty(resamples)
    step = max(1, _DRAWS // upper.size)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = rng.integers(0, upper.size, (stop - start, upper.size))
        below = lower[drawn].sum(axis=1)
        found[start:stop] = np.nan
        np.divide(upper[drawn].sum(axis=1), below, out=found[start:stop], where=below != 0)
    return found[~np.isnan(found)]
