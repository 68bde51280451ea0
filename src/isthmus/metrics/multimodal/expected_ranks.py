"""Scores of ranked lists whose ties are in random order: exact expectations, never luck.

Sources: McSherry and Najork, "Computing information retrieval performance measures efficiently
in the presence of tied scores", ECIR 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.metrics.arrays import Floats

__all__ = ["RankedRows", "chance_map", "chance_rank", "ranked_rows"]


@dataclass(frozen=True, eq=False)
class RankedRows:
    """Expected scores of each query, each (Q,) float64."""

    average_precision: Floats
    """Mean over relevant items of the precision at their rank."""
    p1: Floats
    """Share of relevant items at rank 1."""
    p10: Floats
    """Share of relevant items among the first 10 (of all, where there are fewer)."""
    r_precision: Floats
    """Share of relevant items among the first R, R being the number of relevant items."""
    first: Floats
    """Rank of the first relevant item, from 1."""


def ranked_rows(scores: Floats, relevant: NDArray[np.bool_]) -> RankedRows:
    """Score ranked lists, the highest score first.

    Within a group of n tied items with r relevant ones, after t items with R relevant ones, the
    j-th is relevant with probability r / n, and then (j - 1)(r - 1)/(n - 1) relevant ones of the
    group are expected before it; the first relevant one stands at t + (n + 1)/(r + 1).

    Parameters
    ----------
    scores
        (Q, G), finite.
    relevant
        (Q, G); every row has at least one.

    Examples
    --------
    >>> found = ranked_rows(np.array([[3.0, 2.0, 1.0]]), np.array([[False, True, True]]))
    >>> round(float(found.average_precision[0]), 4), found.first.tolist()
    (0.5833, [2.0])
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    hits = np.take_along_axis(relevant, order, axis=1)
    count, size = hits.shape
    place = np.arange(size)
    change = ranked[:, 1:] != ranked[:, :-1]
    begins = np.concatenate([np.ones((count, 1), bool), change], axis=1)
    start = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    ends = np.concatenate([change, np.ones((count, 1), bool)], axis=1)
    stop = np.minimum.accumulate(np.where(ends, place + 1, size)[:, ::-1], axis=1)[:, ::-1]
    held = np.concatenate([np.zeros((count, 1)), np.cumsum(hits, axis=1)], axis=1)
    before = np.take_along_axis(held, start, axis=1)
    inside = np.take_along_axis(held, stop, axis=1) - before
    width = (stop - start).astype(np.float64)
    share = inside / width
    along = (place - start) * (inside - 1) / np.maximum(width - 1, 1)
    total = held[:, -1]
    precision = (share * (before + 1 + along) / (place + 1)).sum(axis=1) / total
    lead = np.concatenate([np.zeros((count, 1)), np.cumsum(share, axis=1)], axis=1)
    near, rows = min(10, size), np.arange(count)
    group = np.argmax(inside > 0, axis=1)  # the first group that holds a relevant item
    first = start[rows, group] + (width[rows, group] + 1) / (inside[rows, group] + 1)
    return RankedRows(
        precision,
        lead[:, 1],
        lead[:, near] / near,
        lead[rows, total.astype(np.int64)] / total,
        first,
    )


def chance_map(relevant: float, gallery: int) -> float:
    """Return the expected average precision of a random order, in closed form.

    ``1/G [H_G + (R - 1)/(G - 1) (G - H_G)]`` with the harmonic number ``H_G``.

    Parameters
    ----------
    relevant
        R, relevant items.
    gallery
        G, items in all.

    Examples
    --------
    >>> round(chance_map(30, 300), 3), round(chance_map(1, 10), 3)
    (0.116, 0.293)
    """
    if gallery == 1:
        return 1.0
    harmonic = float((1 / np.arange(1, gallery + 1)).sum())
    return (harmonic + (relevant - 1) / (gallery - 1) * (gallery - harmonic)) / gallery


def chance_rank(relevant: float, gallery: int) -> float:
    """Return the expected rank of the first relevant item in a random order: (G+1)/(R+1)."""
    return (gallery + 1) / (relevant + 1)
