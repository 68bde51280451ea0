"""Ranking by several things at once: concepts, vectors and words, with stated weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isthmus.errors import ConfigError
from isthmus.search.filters import Condition
from isthmus.search.ranking.base import (
    Explained,
    Floats,
    Found,
    Query,
    Scores,
    best_of,
    near_best,
)
from isthmus.search.ranking.concepts import ConceptRanking, Weighting
from isthmus.search.ranking.vectors import DenseRanking
from isthmus.search.ranking.words import WordRanking

if TYPE_CHECKING:
    from isthmus.search.index.index import Index
    from isthmus.search.index.segment import Segment

__all__ = ["HybridRanking", "HybridWeights"]


@dataclass(frozen=True)
class HybridWeights:
    """What each part counts for; concepts and words are first divided by their largest score."""

    concepts: float = 0.15
    """Concepts, whose best passage of a query has 1; of a steered one perhaps -1 the worst."""
    dense: float = 1.0
    """Cosine of the vectors, as it is."""
    words: float = 0.3
    """Words, whose best passage of a query has 1."""

    def __post_init__(self) -> None:
        values = (self.concepts, self.dense, self.words)
        if not all(np.isfinite(v) and v >= 0 for v in values) or not any(values):
            raise ConfigError(
                "weights of a hybrid search are 0 or more, and one is above 0",
                why=f"concepts {self.concepts}, dense {self.dense}, words {self.words}",
            )


class HybridRanking:
    """A weighted sum of three scores.

        w_c * concepts / largest + w_d * cosine + w_w * BM25 of words / largest

    where the largest is that of the query's scores, in size, over all passages that may be found.

    Parameters
    ----------
    index
        The index.
    query
        The query.
    weights
        The weights.
    weighting
        How concepts are weighed among each other.
    """

    def __init__(
        self, index: Index, query: Query, weights: HybridWeights, weighting: Weighting
    ) -> None:
        self.index, self.asked = index, weights
        self.concepts = ConceptRanking(index, query, weighting)
        self.dense = DenseRanking(index, query)
        self.words = WordRanking(index, query)
        self.factors = {"concepts": weights.concepts, "words": weights.words}

    def search(self, limit: int, where: Sequence[Condition]) -> list[Found]:
        """Return the best passages."""
        dense = self.dense.scores(None, where)
        named = {
            "concepts": self.concepts.scores(None, where) if self.asked.concepts else [],
            "words": self.words.scores(None, where) if self.asked.words else [],
        }
        sums = {part.segment: np.zeros(part.segment.entry.passages) for part in dense}
        for name, parts in named.items():
            largest = max((float(np.abs(p.scores).max(initial=0.0)) for p in parts), default=0.0)
            self.factors[name] = getattr(self.asked, name) / largest if largest > 0 else 0.0
            for part in parts:
                sums[part.segment][part.rows] += self.factors[name] * part.scores
        near = near_best(
            [self._with(part, sums) for part in dense], limit, self.asked.dense * self.dense.slack
        )
        # the cosine was taken in float32: what is near is added up again in float64
        return best_of([self._with(self.dense.exact(part), sums) for part in near], limit)

    def _with(self, dense: Scores, sums: Mapping[Segment, Floats]) -> Scores:
        """Add weighed cosines to the other parts of the same rows."""
        rest = sums[dense.segment][dense.rows]
        return Scores(dense.segment, dense.rows, self.asked.dense * dense.scores + rest)

    def explain(self, found: Found) -> Explained:
        """Return what concepts, vector and words added."""
        shared = self.concepts.explain(found)
        parts = shared.parts * self.factors["concepts"]
        dense = self.asked.dense * self.dense.exactly(found.segment, found.row)
        words = found.score - dense - float(parts.sum())
        return Explained(shared.concepts, parts, {"dense": dense, "words": words})
