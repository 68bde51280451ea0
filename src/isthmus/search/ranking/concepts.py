"""Ranking by concepts: the query's few against the passages' few, every score a sum over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isthmus.search.filters import Condition
from isthmus.search.postings import BM25, Saturation, idf
from isthmus.search.ranking.base import Explained, Found, Query, Scores, best_of, scored

if TYPE_CHECKING:
    from isthmus.search.index.index import Index
    from isthmus.search.index.segment import Segment

__all__ = ["ConceptRanking", "Weighting"]


@dataclass(frozen=True)
class Weighting:
    """How shared concepts are weighed: score = sum of weight of the query's times value."""

    rare: bool = True
    """Whether concepts count by how rare they are (idf)."""
    bm25: BM25 | None = BM25(1.0, 0.75)  # noqa: RUF009 - frozen
    """Robertson's saturation of the passages' activations; None: they count as they are."""

    @classmethod
    def named(cls, name: str) -> Weighting:
        """Return "dot", "idf" or "bm25"."""
        from isthmus.errors import ConfigError

        known = {"dot": cls(False, None), "idf": cls(True, None), "bm25": cls()}
        if name not in known:
            raise ConfigError(f"unknown scoring {name!r}", fix=f"one of {', '.join(known)}")
        return known[name]


class ConceptRanking:
    """Scores are sums over the concepts that query and passage share.

    With BM25, a concept j with activation q of the query and v of the passage adds

        q * idf_j * (k1 + 1) * v' / (v' + k1 * (1 - b + b * length / mean length)),

    with v' = v over the mean activation and the length the sum of a passage's activations; the
    form and the constants' meaning are Robertson's (`isthmus.search.postings.weighting`), concepts
    in place of words are "Latent Terms"' (arXiv 2605.29384). "idf" adds q * idf_j * v, "dot" q * v.

    Parameters
    ----------
    index
        The index.
    query
        The query; its activations are made relative to the largest.
    weighting
        How concepts are weighed.
    """

    def __init__(self, index: Index, query: Query, weighting: Weighting) -> None:
        self.index, self.weighting = index, weighting
        self.terms = query.concepts
        largest = float(np.abs(query.activations).max(initial=0.0)) or 1.0
        weights = query.activations / largest
        if weighting.rare:
            weights = weights * idf(index.concept_frequency[self.terms], index.living)
        if weighting.bm25 is not None:
            weights = weights * (weighting.bm25.k1 + 1)
        self.weights = weights

    def search(self, limit: int, where: Sequence[Condition]) -> list[Found]:
        """Return the best passages."""
        return best_of(self.scores(limit, where), limit)

    def scores(self, limit: int | None, where: Sequence[Condition]) -> list[Scores]:
        """Return the best rows of each segment, or all that share a concept with the query."""
        found = []
        for segment in self.index.segments if len(self.terms) else ():
            options = {
                "allowed": segment.allowed(where),
                "saturation": self._saturation(segment),
                "threads": self.index.threads,
            }
            rows, scores = scored(segment.concepts, self.terms, self.weights, limit, options)
            found.append(Scores(segment, rows, scores))
        return found

    def explain(self, found: Found) -> Explained:
        """Return what each shared concept added."""
        terms, parts = found.segment.concepts.contributions(
            found.row, self.terms, self.weights, saturation=self._saturation(found.segment)
        )
        return Explained(terms, parts, {})

    def _saturation(self, segment: Segment) -> Saturation | None:
        if self.weighting.bm25 is None:
            return None
        return self.index.concept_saturation(segment, self.weighting.bm25)
