"""Do two trainings find the same dictionary? Directions matched one to one by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_mean
from isthmus.metrics.coherence import unit_rows
from isthmus.metrics.matching import best_cosines, paired

__all__ = ["Matching", "Stability", "match_decoders", "random_like", "seed_stability"]


@dataclass(frozen=True, eq=False)
class Matching:
    """The directions of dictionary A (N, D) matched one to one with those of B (M, D)."""

    a: NDArray[np.int64]
    """Matched rows of A, rising; min(N, M) of them but for rows of zeros."""
    b: NDArray[np.int64]
    """The row of B that each of them is matched with."""
    cosine: Floats
    """Cosine of each pair, sign kept unless `signed` is False."""
    mean: float
    """Mean of `cosine`: the stability of Hungarian matching."""
    mmcs: float
    """Mean over A of the largest cosine to any of B, and over B to any of A, averaged: rows may
    share a partner, so it is never below `mean` where N = M."""
    method: str
    """"hungarian" (the best one-to-one matching), or "greedy" (pairs that are each other's best
    first, the rest by Hungarian matching once it is small enough): at most the best."""

    def share_above(self, threshold: float) -> float:
        """Return the share of pairs whose cosine is at least ``threshold``."""
        return float((self.cosine >= threshold).mean())


def match_decoders(
    a_ND: Array, b_MD: Array, *, signed: bool = True, limit: int = 6000, block: int = 2048
) -> Matching:
    """Match the directions of two dictionaries one to one so that the mean cosine is largest.

    Parameters
    ----------
    a_ND, b_MD
        Two decoders, a direction a row, of any lengths.
    signed
        Whether opposite directions differ, as they do where activations are never negative; False
        matches by magnitude (PCA, ICA). Default True.
    limit
        The matching is Hungarian (scipy's ``linear_sum_assignment``) up to N M = limit^2: memory
        8 limit^2 bytes, time up to limit^3. Larger dictionaries are matched greedily down to that
        size, block by block, and `Matching.method` says so. Default 6000.
    block
        Rows of a block of cosines. Default 2048.

    Raises
    ------
    ConfigError
        If ``limit`` or ``block`` is below 1.
    DataError
        If the widths differ, a side has no direction, or a value is not finite.

    Examples
    --------
    >>> found = match_decoders(np.eye(2), np.array([[0.0, 3.0], [1.0, 0.0]]))
    >>> found.b.tolist(), found.mean
    ([1, 0], 1.0)
    """
    if limit < 1 or block < 1:
        raise ConfigError("limit and block must be at least 1", why=f"got {limit} and {block}")
    (first, a_rows), (second, b_rows) = unit_rows(a_ND, "A"), unit_rows(b_MD, "B")
    if first.shape[1] != second.shape[1]:
        raise DataError(
            "two dictionaries of different widths can't be matched",
            why=f"{first.shape[1]} and {second.shape[1]} dimensions",
        )
    if not len(first) or not len(second):
        raise DataError("a dictionary of zeros has no direction to match")
    forth, back = best_cosines(first, second, signed=signed, block=block)
    pairing = paired(first, second, signed=signed, limit=limit, block=block)
    return Matching(
        a=a_rows[pairing.a],
        b=b_rows[pairing.b],
        cosine=pairing.cosine,
        mean=float(pairing.cosine.mean()),
        mmcs=float(forth.cosine.mean() + back.cosine.mean()) / 2,
        method="hungarian" if pairing.exact else "greedy",
    )


@dataclass(frozen=True, eq=False)
class Stability:
    """How much of a dictionary every training finds, over all pairs of trainings."""

    mean: float
    """Mean cosine of matched directions, over all pairs of dictionaries."""
    interval: BootstrapInterval
    """The same of one dictionary's latents with its bootstrap interval over latents, each latent
    by its mean over the other dictionaries."""
    shares: dict[float, float]
    """Share of matched directions with a cosine of at least each threshold."""
    mmcs: float
    """Mean largest cosine without matching, over all pairs of dictionaries."""
    chance: float
    """What `mean` is between the first dictionary and random directions of the same mean and
    covariance as the second's."""
    chance_mmcs: float
    """The same of `mmcs`."""
    per_latent: Floats
    """Mean cosine of each latent of the first dictionary with its matches (N,); NaN where it was
    never matched."""
    pairs: int
    """Pairs of dictionaries."""
    method: str
    """"hungarian", or "greedy" where any pair was too large; see `Matching`."""


def seed_stability(
    decoders: Sequence[Array],
    *,
    thresholds: Sequence[float] = (0.5, 0.7, 0.9),
    signed: bool = True,
    limit: int = 6000,
    seed: int = 0,
) -> Stability:
    """Match every pair of decoders that were trained with different seeds.

    Parameters
    ----------
    decoders
        Two or more decoders (N, D).
    thresholds
        Cosines from which a direction counts as found again. Default .5, .7 and .9.
    signed, limit
        As in `match_decoders`.
    seed
        Seed of the random directions and of the bootstrap.

    Raises
    ------
    ConfigError
        If there are fewer than two decoders.
    DataError
        As `match_decoders`.
    """
    if len(decoders) < 2:
        raise ConfigError(
            "stability needs two dictionaries or more",
            why=f"{len(decoders)} given",
            fix="train the same settings with another seed",
        )
    pairs = list(combinations(range(len(decoders)), 2))
    found = [match_decoders(decoders[i], decoders[j], signed=signed, limit=limit) for i, j in pairs]
    like = random_like(decoders[1], seed)
    chance = match_decoders(decoders[0], like, signed=signed, limit=limit)
    sums, counts = np.zeros(len(decoders[0])), np.zeros(len(decoders[0]))
    for (i, _), matching in zip(pairs, found, strict=True):
        if i == 0:
            sums[matching.a] += matching.cosine
            counts[matching.a] += 1
    per_latent = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    every = np.concatenate([matching.cosine for matching in found])
    return Stability(
        mean=float(np.mean([matching.mean for matching in found])),
        interval=bootstrap_mean(per_latent[counts > 0], seed=seed),
        shares={float(t): float((every >= t).mean()) for t in thresholds},
        mmcs=float(np.mean([matching.mmcs for matching in found])),
        chance=chance.mean,
        chance_mmcs=chance.mmcs,
        per_latent=per_latent,
        pairs=len(pairs),
        method="greedy" if any(m.method == "greedy" for m in found) else "hungarian",
    )


def random_like(decoder_ND: Array, seed: int = 0) -> NDArray[np.float32]:
    """Draw normal directions with the mean and covariance of a decoder's, at length 1 (N, D).

    The baseline of matching: what two dictionaries share because they live in the same part of
    the space, and not because they found the same directions.
    """
    units, _ = unit_rows(decoder_ND, "the decoder")
    if not len(units):
        raise DataError("a dictionary of zeros has no direction to imitate")
    mean = units.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(
        np.cov(units.T.astype(np.float64), bias=True).reshape(units.shape[1], units.shape[1])
    )
    draws = np.random.default_rng(seed).normal(size=(len(decoder_ND), units.shape[1]))
    drawn = mean + (draws * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    return unit_rows(drawn, "the draws")[0]
