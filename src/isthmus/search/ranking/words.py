"""Ranking by words: Okapi's BM25, as a search engine would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isthmus.search.filters import Condition
from isthmus.search.postings import BM25
from isthmus.search.ranking.base import Explained, Found, Query, Scores, best_of, scored

if TYPE_CHECKING:
    from isthmus.search.index.index import Index

__all__ = ["WordRanking"]

_NONE = np.empty(0, np.int64)


class WordRanking:
    """BM25 over stems (Robertson and Zaragoza, 2009); stop words are left out.

    Parameters
    ----------
    index
        The index.
    query
        The query; its text counts, steering has no part in it.
    bm25
        The constants; k1 = 0.9 and b = 0.4 by default, as Lucene's reproductions have them.
    """

    def __init__(self, index: Index, query: Query, bm25: BM25 | None = None) -> None:
        self.index, self.bm25 = index, bm25 or BM25()
        self.counts = Counter(index.words.tokens(query.text))
        self.terms = [segment.terms(list(self.counts)) for segment in index.segments]
        frequency: Counter[str] = Counter()
        for segment, known in zip(index.segments, self.terms, strict=True):
            found = segment.word_frequency(list(known.values()))
            frequency.update(dict(zip(known, found, strict=True)))
        words = list(self.counts)
        weights = self.bm25.weights(
            [self.counts[word] for word in words],
            [frequency[word] for word in words],
            max(index.living, 1),
        )
        self.weights = dict(zip(words, weights.tolist(), strict=True))

    def search(self, limit: int, where: Sequence[Condition]) -> list[Found]:
        """Return the best passages."""
        return best_of(self.scores(limit, where), limit)

    def scores(self, limit: int | None, where: Sequence[Condition]) -> list[Scores]:
        """Return the best rows of each segment, or all that share a word with the query."""
        found = []
        for segment, known in zip(self.index.segments, self.terms, strict=True):
            if not known:
                continue
            terms = np.fromiter(known.values(), np.int64, len(known))
            weights = np.array([self.weights[word] for word in known])
            options = {
                "allowed": segment.allowed(where),
                "saturation": self.index.word_saturation(segment, self.bm25),
                "threads": self.index.threads,
            }
            rows, scores = scored(segment.words, terms, weights, limit, options)
            found.append(Scores(segment, rows, scores))
        return found

    def explain(self, found: Found) -> Explained:
        """Return the score as the part of the words: no concept has one."""
        return Explained(_NONE, np.empty(0), {"words": found.score})
