"""Scores of one ranked list of documents against judgements, as trec_eval defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

__all__ = ["RankedScores", "ranked_scores"]

_NEAR, _DEPTH = 10, 100


@dataclass(frozen=True)
class RankedScores:
    """How good one ranked list is."""

    ndcg_10: float
    """nDCG@10: the grade as gain, log2(rank + 1) as discount, over the best order's."""
    recall_100: float
    """Share of the relevant documents among the first 100."""
    mrr_10: float
    """1 / rank of the first relevant document, 0 beyond the tenth."""


def ranked_scores(
    ranking: Sequence[str | int], grades: Mapping[str, int] | Mapping[int, int]
) -> RankedScores:
    """Score a ranked list.

    Parameters
    ----------
    ranking
        Documents, the best first, each once.
    grades
        Judged documents with their grades; above 0 is relevant, what is not judged is not.

    Raises
    ------
    DataError
        If no document is relevant, or one is ranked twice.

    Examples
    --------
    >>> found = ranked_scores(["a", "b", "c"], {"b": 1, "d": 1})
    >>> round(found.ndcg_10, 4), found.recall_100, found.mrr_10
    (0.3869, 0.5, 0.5)
    """
    relevant = {document: grade for document, grade in grades.items() if grade > 0}
    if not relevant:
        raise DataError("no document is relevant, so there is nothing to score")
    if len(set(ranking)) != len(ranking):
        raise DataError("a document is ranked twice")
    given: Mapping[str | int, int] = dict(relevant)
    gains = np.array([given.get(document, 0) for document in ranking[:_DEPTH]], np.float64)
    near = gains[:_NEAR]
    best = np.sort(np.array(list(relevant.values()), np.float64))[::-1][:_NEAR]
    first = np.flatnonzero(near)
    return RankedScores(
        ndcg_10=_dcg(near) / _dcg(best),
        recall_100=float((gains > 0).sum()) / len(relevant),
        mrr_10=1 / (int(first[0]) + 1) if first.size else 0.0,
    )


def _dcg(gains: NDArray[np.float64]) -> float:
    return float((gains / np.log2(np.arange(2, gains.size + 2))).sum())
