"""Retrieval between modalities by class: mAP over the whole gallery, with chance beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.metrics.arrays import (
    Array,
    Floats,
    as_float64,
    as_labels,
    as_matrix,
    check_finite,
    unit_rows,
)
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_ratio
from isthmus.metrics.multimodal.expected_ranks import (
    RankedRows,
    chance_map,
    chance_rank,
    ranked_rows,
)

__all__ = ["CrossRetrieval", "cosines", "cross_retrieval", "scored_retrieval"]

_DIGITS = 12  # cosines that differ by rounding alone are ties
_CELLS = 1 << 20  # scores ranked at once


@dataclass(frozen=True)
class CrossRetrieval:
    """How well items of one modality find those of another of the same class."""

    map: float
    """Mean over queries of the average precision over the whole gallery."""
    p1: float
    """Share of queries whose first hit is of their class."""
    p10: float
    """Mean share of the first ten that are of the query's class."""
    r_precision: float
    """Mean share of the first R, R being the number of relevant items."""
    median_rank: float
    """Median over queries of the rank of the first hit, from 1."""
    interval: BootstrapInterval
    """`map` with its bootstrap interval over queries, or over groups of them."""
    chance: float
    """Expected mAP of a random order of this gallery."""
    chance_p1: float
    """Expected P@1 of a random order."""
    chance_rank: float
    """Median over queries of the expected rank of the first hit in a random order."""
    queries: int
    """Queries that were scored."""
    gallery: int
    """Items that were ranked."""
    left_out: int
    """Queries without a class, or with none of their class in the gallery."""
    average_precision: Floats = field(repr=False, compare=False)
    """Of each scored query, for paired comparisons."""

    def as_json(self) -> dict[str, float | int | list[float]]:
        """Return the numbers under their usual names."""
        return {
            "map": self.map,
            "p@1": self.p1,
            "p@10": self.p10,
            "r_precision": self.r_precision,
            "median_rank": self.median_rank,
            "interval": [self.interval.low, self.interval.high],
            "chance": self.chance,
            "chance_p@1": self.chance_p1,
            "queries": self.queries,
            "gallery": self.gallery,
        }


def cosines(left: Array, right: Array) -> Floats:
    """Return the cosines of rows (Q, Z) with rows (G, Z), (Q, G); a row of zeros has 0.

    Rounded to 12 digits, so that codes that are equal but for rounding tie.
    """
    a, b = as_matrix(left, "the codes"), as_matrix(right, "the codes")
    if a.shape[1] != b.shape[1]:
        raise DataError(
            "codes of the two modalities differ in width", why=f"{a.shape[1]} and {b.shape[1]}"
        )
    return np.round(unit_rows(a) @ unit_rows(b).T, _DIGITS)


def cross_retrieval(
    queries: Array,
    gallery: Array,
    query_labels: Array,
    gallery_labels: Array,
    *,
    groups: Array | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> CrossRetrieval:
    """Rank a gallery by the cosine of codes with each query, and score the rankings by class.

    Ties count with their expectation over random orders.

    Parameters
    ----------
    queries, gallery
        Codes (Q, Z) and (G, Z).
    query_labels, gallery_labels
        Classes (Q,) and (G,); -1: unknown, which is left out of the queries and relevant to
        none in the gallery.
    groups
        What is resampled for the interval, such as the speaker of each query (Q,); default: each
        query by itself.
    resamples, seed
        Of the bootstrap.

    Raises
    ------
    DataError
        If shapes don't fit, values aren't finite, or no query has anything to find.

    Examples
    --------
    >>> found = cross_retrieval(np.eye(2), np.eye(2), np.array([0, 1]), np.array([0, 1]))
    >>> found.map, found.chance
    (1.0, 0.75)
    """
    return scored_retrieval(
        cosines(queries, gallery),
        query_labels,
        gallery_labels,
        groups=groups,
        resamples=resamples,
        seed=seed,
    )


def scored_retrieval(
    scores: Array,
    query_labels: Array,
    gallery_labels: Array,
    *,
    groups: Array | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> CrossRetrieval:
    """Score rankings by any similarity (Q, G); see :func:`cross_retrieval`."""
    values = as_float64(scores)
    if values.ndim != 2 or not values.size:
        raise DataError(
            "similarities must be (queries, gallery), both above 0", why=f"{values.shape}"
        )
    check_finite(values, "the similarities")
    asked = as_labels(query_labels, values.shape[0], "the queries' labels")
    held = as_labels(gallery_labels, values.shape[1], "the gallery's labels")
    counts = {int(c): int((held == c).sum()) for c in np.unique(asked) if c >= 0}
    kept = np.flatnonzero(np.isin(asked, [c for c, count in counts.items() if count]))
    if not len(kept):
        raise DataError("no query has an item of its class in the gallery")
    found = _in_blocks(values[kept], asked[kept], held)
    relevant = np.array([counts[int(c)] for c in asked[kept]], np.float64)
    size = values.shape[1]
    return CrossRetrieval(
        map=float(found.average_precision.mean()),
        p1=float(found.p1.mean()),
        p10=float(found.p10.mean()),
        r_precision=float(found.r_precision.mean()),
        median_rank=float(np.median(found.first)),
        interval=_interval(found.average_precision, groups, kept, resamples, seed),
        chance=float(np.mean([chance_map(r, size) for r in relevant])),
        chance_p1=float((relevant / size).mean()),
        chance_rank=float(np.median([chance_rank(r, size) for r in relevant])),
        queries=len(kept),
        gallery=size,
        left_out=len(asked) - len(kept),
        average_precision=found.average_precision,
    )


def _in_blocks(values: Floats, asked: NDArray[np.int64], held: NDArray[np.int64]) -> RankedRows:
    step = max(1, _CELLS // values.shape[1])
    parts = [
        ranked_rows(values[i : i + step], asked[i : i + step, None] == held)
        for i in range(0, len(values), step)
    ]
    names = ("average_precision", "p1", "p10", "r_precision", "first")
    return RankedRows(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _interval(
    values: Floats, groups: Array | None, kept: NDArray[np.int64], resamples: int, seed: int
) -> BootstrapInterval:
    """Resample queries, or whole groups of queries, each group with all of its own."""
    ones = np.ones_like(values)
    if groups is not None:
        numbers = as_float64(groups)
        if numbers.ndim != 1 or len(numbers) <= kept[-1]:
            raise DataError("there must be one group a query", why=f"{numbers.shape}")
        _, index = np.unique(numbers[kept], return_inverse=True)
        above, below = np.bincount(index, values), np.bincount(index, ones)
        return bootstrap_ratio(above, below, resamples=resamples, seed=seed)
    return bootstrap_ratio(values, ones, resamples=resamples, seed=seed)
