"""Directions that are sums of others: non-negative, of a few parts, and better than by chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.metrics.arrays import Array
from isthmus.metrics.coherence import unit_rows
from isthmus.metrics.stability import random_like

if TYPE_CHECKING:
    from isthmus.concepts.diffing import Diffing

__all__ = ["Pieces", "assembled"]

Units = NDArray[np.float32]
_TRIED, _ROUNDS = 1024, 8


@dataclass(frozen=True, eq=False)
class Pieces:
    """Wholes that are sums of parts."""

    found: list[tuple[int, tuple[int, ...], float]]
    """Number of each whole, numbers of its parts by falling share, cosine with their sum."""
    threshold: float
    """The cosine that was asked for."""


def assembled(
    wholes_ND: Array,
    parts_MD: Array,
    whole_rows: NDArray[np.int64],
    part_rows: NDArray[np.int64],
    config: Diffing,
    threshold: float,
) -> Pieces:
    """Find the wholes that are sums of parts.

    The ``parts`` directions with the largest cosine (at least ``part``) are fitted with
    non-negative least squares; parts with less than a tenth of the largest share are dropped.
    The threshold is raised to the 99.9 % quantile of what the same gives with as many random
    directions like those of the whole dictionary of the parts.
    """
    if len(whole_rows) == 0 or len(part_rows) < 2:
        return Pieces([], threshold)
    wholes, _ = unit_rows(np.asarray(wholes_ND)[whole_rows], "the wholes")
    parts, _ = unit_rows(np.asarray(parts_MD)[part_rows], "the parts")
    threshold = max(threshold, _lucky(wholes, parts_MD, len(parts), config))
    found = [
        (int(whole_rows[i]), tuple(int(part_rows[j]) for j in chosen), cosine)
        for i, chosen, cosine in _sums(wholes, parts, config)
        if cosine >= threshold
    ]
    return Pieces(found, threshold)


def _lucky(wholes: Units, parts_MD: Array, count: int, config: Diffing) -> float:
    """Return the 99.9 % quantile of the cosines that sums of random directions reach."""
    rng = np.random.default_rng([config.seed, 2])
    tried = wholes[rng.permutation(len(wholes))[:_TRIED]]
    every = np.zeros((min(_ROUNDS, -(-_TRIED // len(tried))), len(tried)))
    for number, reached in enumerate(every):
        like = random_like(parts_MD, config.seed + number)[:count]
        for i, _, cosine in _sums(tried, like, config):
            reached[i] = cosine  # those with fewer than two parts reach nothing
    return float(np.quantile(every, 0.999))


def _sums(wholes: Units, parts: Units, config: Diffing) -> list[tuple[int, tuple[int, ...], float]]:
    """Fit each whole; those with fewer than two parts are left out."""
    from scipy.optimize import nnls

    found = []
    for i, (whole, cosines) in enumerate(zip(wholes, _cosines(wholes, parts), strict=True)):
        near = np.argsort(-cosines, kind="stable")[: config.parts]
        near = near[cosines[near] >= config.part]
        if len(near) < 2:
            continue
        shares, _ = nnls(parts[near].T.astype(np.float64), whole.astype(np.float64))
        chosen = np.flatnonzero(shares >= 0.1 * shares.max())
        total = shares[chosen] @ parts[near[chosen]]
        norm = float(np.linalg.norm(total))
        if len(chosen) < 2 or not norm > 0:
            continue
        order = chosen[np.argsort(-shares[chosen], kind="stable")]
        cosine = min(float(total @ whole) / norm, 1.0)
        found.append((i, tuple(near[order].tolist()), cosine))
    return found


def _cosines(wholes: Units, parts: Units) -> Iterator[Units]:
    for start in range(0, len(wholes), _TRIED):
        yield from wholes[start : start + _TRIED] @ parts.T
