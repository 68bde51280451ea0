"""Intervals over seeds, paired comparisons over samples, and which differences exceed noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_float64, check_finite

__all__ = [
    "Comparison",
    "Difference",
    "Interval",
    "PairedDifference",
    "compare_all",
    "differs",
    "mean_interval",
    "paired_bootstrap",
    "permutation_test",
]


@dataclass(frozen=True)
class Interval:
    """Mean over seeds with its t interval."""

    mean: float
    """Mean of the values."""
    half: float | None
    """Half the width of the interval, so mean +- half; None for a single value."""
    spread: float | None
    """Standard deviation of the values (n - 1); None for a single value."""
    confidence: float
    """Probability with which such intervals cover the true mean, for normal values."""
    count: int
    """Number of values."""


def mean_interval(values: Sequence[float] | Array, confidence: float = 0.95) -> Interval:
    """Return the mean and Student's t interval of a number measured with several seeds.

    Raises
    ------
    ConfigError
        If ``confidence`` is not between 0 and 1.
    DataError
        If there is no value or one is not finite.
    """
    from scipy.stats import t

    numbers = _numbers(values)
    if not 0 < confidence < 1:
        raise ConfigError("confidence must be between 0 and 1", why=f"got {confidence}")
    mean, count = float(numbers.mean()), numbers.size
    if count == 1:
        return Interval(mean, None, None, confidence, 1)
    spread = float(numbers.std(ddof=1))
    half = float(t.ppf(0.5 + confidence / 2, count - 1)) * spread / np.sqrt(count)
    return Interval(mean, float(half), spread, confidence, count)


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over the same samples, with a bootstrap interval."""

    mean: float
    """Mean of a - b."""
    low: float
    """Lower end of the percentile interval."""
    high: float
    """Upper end of the percentile interval."""
    confidence: float
    """Coverage of the interval."""
    differs: bool
    """Whether the interval leaves out zero."""
    samples: int
    """Pairs."""


def paired_bootstrap(
    a: Array, b: Array, *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Bootstrap the mean difference of two per-sample measures of the same samples (N,).

    Speaks for the samples, not for the training: another seed may differ by more.

    Raises
    ------
    ConfigError
        If ``resamples`` is below 100 or ``confidence`` is not between 0 and 1.
    DataError
        If the lengths differ, there is no sample, or a value is not finite.
    """
    first, second = _numbers(a), _numbers(b)
    if first.size != second.size:
        raise DataError("pairs need equal lengths", why=f"{first.size} and {second.size} values")
    if resamples < 100 or not 0 < confidence < 1:
        raise ConfigError(
            "at least 100 resamples and a confidence between 0 and 1 are needed",
            why=f"got {resamples} and {confidence}",
        )
    gap = first - second
    rng = np.random.default_rng(seed)
    step = max(1, (1 << 22) // gap.size)
    means = np.empty(resamples)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        means[start:stop] = gap[rng.integers(0, gap.size, (stop - start, gap.size))].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = (float(end) for end in np.quantile(means, [tail, 1 - tail]))
    return PairedDifference(float(gap.mean()), low, high, confidence, low > 0 or high < 0, gap.size)


@dataclass(frozen=True)
class Difference:
    """Whether two sets of seeds differ by more than seeds do among themselves."""

    gap: float
    """Mean of a less mean of b."""
    low: float | None
    """Lower end of Welch's interval of the gap; None with a single seed on either side."""
    high: float | None
    """Upper end of the same."""
    p_value: float | None
    """Two-sided probability of such a gap where there is no difference; None as above."""
    differs: bool | None
    """Whether the gap exceeds seed noise; None where one seed cannot tell."""


def differs(
    a: Sequence[float] | Array, b: Sequence[float] | Array, confidence: float = 0.95
) -> Difference:
    """Compare a number over seeds of two settings by Welch's t test (unequal variances).

    Raises
    ------
    ConfigError
        If ``confidence`` is not between 0 and 1.
    DataError
        If a side has no value or one that is not finite.
    """
    from scipy.stats import t

    if not 0 < confidence < 1:
        raise ConfigError("confidence must be between 0 and 1", why=f"got {confidence}")
    first, second = _numbers(a), _numbers(b)
    gap = float(first.mean() - second.mean())
    if min(first.size, second.size) < 2:
        return Difference(gap, None, None, None, None)
    parts = np.array([first.var(ddof=1) / first.size, second.var(ddof=1) / second.size])
    variance = float(parts.sum())
    # Seeds that agree to the last digit: the arrays' rounding is then all the noise there is.
    if variance <= (1e-12 * max(np.abs(first).max(), np.abs(second).max())) ** 2:
        same = abs(gap) <= 1e-12 * float(np.abs(first).max())
        return Difference(gap, gap, gap, 1.0 if same else 0.0, not same)
    # Shares of the variance, whose squares can't underflow as those of variances can.
    freedom = 1 / float(((parts / variance) ** 2 / [first.size - 1, second.size - 1]).sum())
    error = float(np.sqrt(variance))
    half = float(t.ppf(0.5 + confidence / 2, freedom)) * error
    p_value = float(2 * t.sf(abs(gap) / error, freedom))
    return Difference(gap, gap - half, gap + half, p_value, p_value < 1 - confidence)


def permutation_test(
    a: Sequence[float] | Array, b: Sequence[float] | Array, *, limit: int = 20000, seed: int = 0
) -> float:
    """Two-sided permutation p-value of the gap between two means; assumes no distribution.

    Exact over all ways to split the values while there are at most ``limit``, else from ``limit``
    random ones. Three seeds a side can't get below 0.1: use `differs` for so few.

    Raises
    ------
    DataError
        If a side has no value or one that is not finite.
    """
    from math import comb

    first, second = _numbers(a), _numbers(b)
    pool = np.concatenate([first, second])
    size, total = first.size, pool.size
    observed = abs(first.mean() - second.mean())
    exact = comb(total, size) <= limit
    if exact:
        chosen = np.array(list(combinations(range(total), size)))
    else:
        draws = np.random.default_rng(seed).random((limit, total))
        chosen = np.argsort(draws, axis=1)[:, :size]
    sums = pool[chosen].sum(axis=1)
    gaps = np.abs(sums / size - (pool.sum() - sums) / second.size)
    extreme = int((gaps >= observed * (1 - 1e-9) - 1e-300).sum())
    # Of random splits the observed one is counted as well, so that p is never 0.
    return extreme / len(gaps) if exact else (extreme + 1) / (len(gaps) + 1)


@dataclass(frozen=True)
class Comparison:
    """One pair out of several settings."""

    a: str
    """Name of the first setting."""
    b: str
    """Name of the second setting."""
    difference: Difference
    """The two by themselves."""
    differs: bool | None
    """Whether they still differ when all pairs are taken together (Holm); None: can't tell."""


def compare_all(
    values: Mapping[str, Sequence[float] | Array], confidence: float = 0.95
) -> tuple[Comparison, ...]:
    """Compare every pair of settings; the chance of *any* false difference is 1 - confidence.

    Parameters
    ----------
    values
        For each setting's name, one number over its seeds.
    confidence
        As in `differs`; pairs are corrected by Holm's step-down rule.

    Returns
    -------
    tuple of Comparison
        In the order of names.
    """
    pairs = list(combinations(values, 2))
    found = [differs(values[a], values[b], confidence) for a, b in pairs]
    told = [(d.p_value, i) for i, d in enumerate(found) if d.p_value is not None]
    verdicts: list[bool | None] = [None] * len(pairs)
    open_still = True
    for rank, (p_value, i) in enumerate(sorted(told)):
        open_still = open_still and p_value < (1 - confidence) / (len(told) - rank)
        verdicts[i] = open_still
    return tuple(
        Comparison(a, b, difference, verdict)
        for (a, b), difference, verdict in zip(pairs, found, verdicts, strict=True)
    )


def _numbers(values: Sequence[float] | Array) -> Floats:
    numbers = as_float64(np.asarray(values) if isinstance(values, Sequence) else values).ravel()
    if not numbers.size:
        raise DataError("no value was given, so there is nothing to compare")
    check_finite(numbers, "the values")
    return numbers
