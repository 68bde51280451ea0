"""A synthetic set whose true directions are known, and how many of them a dictionary finds.

More features than dimensions, each a direction of its own, few of them active in a sample: the
setting that sparse dictionaries are made for (Elhage et al., "Toy models of superposition", 2022;
Sharkey et al., 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.metrics.arrays import Floats

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Superposition", "superposition"]

_ENTRIES = 1 << 22
"""Draws held at once (32 MB)."""


@dataclass(frozen=True, eq=False)
class Superposition:
    """Samples with the truth behind them: rows R, dimensions D, features F."""

    data_RD: NDArray[np.float32]
    """The samples: activations times directions, and the noise (R, D)."""
    directions_FD: NDArray[np.float32]
    """The true directions, unit length, not orthogonal (F, D)."""
    activations: csr_array
    """The true activations, not negative (R, F), float32."""
    rates: Floats
    """Probability with which each feature is active, falling (F,)."""


def superposition(
    dim: int,
    features: int,
    rows: int,
    active: float,
    seed: int,
    *,
    zipf: float = 1.0,
    most: float = 0.2,
    sigma: float = 0.5,
    correlated: float = 0.0,
    group: int = 8,
    noise: float = 0.0,
) -> Superposition:
    """Draw a synthetic set in superposition; the same seed gives the same set.

    Parameters
    ----------
    dim
        Dimensions D.
    features
        True features F; more than D is what makes it superposition.
    rows
        Samples R.
    active
        Features active in a sample, mean.
    seed
        Seed of everything.
    zipf
        Exponent of the frequencies: feature i is active with probability about i^-zipf; 0 makes
        all equal. Default 1.
    most
        The highest probability of a feature; what the first would exceed goes to the others.
        Default 0.2.
    sigma
        Spread of the log-normal activations, whose mean is 1. Default 0.5.
    correlated
        From 0, independent, to 1: how much the features of a group are active together (the
        correlation of the normal variables behind them). Each feature's own rate stays.
    group
        Features of a group; groups hold features of every frequency. Default 8.
    noise
        Standard deviation of normal noise on each element. Default 0.

    Raises
    ------
    ConfigError
        If a size is below 1, ``active`` can't be reached with ``most``, or a setting is out of
        range.

    Examples
    --------
    >>> made = superposition(dim=16, features=32, rows=100, active=3, seed=0)
    >>> made.data_RD.shape, made.directions_FD.shape, made.activations.shape
    ((100, 16), (32, 16), (100, 32))
    """
    if min(dim, features, rows, group) < 1:
        raise ConfigError(
            "dim, features, rows and group must be at least 1",
            why=f"got {dim}, {features}, {rows} and {group}",
        )
    if not (0 <= correlated <= 1 and 0 < most <= 1 and min(zipf, sigma, noise) >= 0):
        raise ConfigError(
            "a setting is out of range",
            why=f"correlated = {correlated}, most = {most}, zipf = {zipf}, sigma = {sigma}, "
            f"noise = {noise}",
            fix="correlated lies in [0, 1], most in (0, 1], the others are not negative",
        )
    rng = np.random.default_rng(seed)
    rates = _rates(features, active, zipf, most)
    directions = rng.normal(size=(features, dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    member = rng.permutation(features) // group
    activations = _activations(rng, rates, member, rows, sigma, correlated)
    data = activations @ directions + noise * rng.normal(size=(rows, dim))
    return Superposition(
        data.astype(np.float32),
        directions.astype(np.float32),
        activations.astype(np.float32),
        rates,
    )


def _rates(features: int, active: float, zipf: float, most: float) -> Floats:
    """Zipf frequencies that sum to ``active``, none above ``most``."""
    if not 0 < active <= most * features:
        raise ConfigError(
            "so many active features can't be reached",
            why=f"active = {active}, but {features} features of rate {most} give "
            f"{most * features:.4g} at most",
            fix="raise most or the number of features, or lower active",
        )
    weights = np.arange(1, features + 1, dtype=np.float64) ** -zipf
    # The features at the cap are the first ones; find how many, the rest share what is left.
    capped = 0
    while True:
        rest = weights[capped:]
        rates = np.concatenate(
            [np.full(capped, most), rest * ((active - most * capped) / max(rest.sum(), 1e-300))]
        )
        if capped == features or rates[capped] <= most * (1 + 1e-12):
            return np.asarray(np.minimum(rates, most))
        capped += 1


def _activations(
    rng: np.random.Generator,
    rates: Floats,
    member: NDArray[np.int64],
    rows: int,
    sigma: float,
    correlated: float,
) -> csr_array:
    """Draw which features are active, block by block, and how strongly."""
    from scipy.sparse import csr_array
    from scipy.stats import norm

    needed = norm.isf(rates)
    step = max(1, _ENTRIES // len(rates))
    places, counts = [], []
    for start in range(0, rows, step):
        size = min(step, rows - start)
        drawn = rng.normal(size=(size, len(rates)))
        if correlated:
            common = rng.normal(size=(size, int(member.max()) + 1))
            drawn = np.sqrt(correlated) * common[:, member] + np.sqrt(1 - correlated) * drawn
        fires = drawn > needed
        places.append(np.nonzero(fires)[1])
        counts.append(fires.sum(axis=1))
    indices = np.concatenate(places)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    values = np.exp(sigma * rng.normal(size=indices.size) - sigma**2 / 2)
    return csr_array((values, indices, indptr), shape=(rows, len(rates)))
