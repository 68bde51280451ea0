"""Ranking by concepts with the codes in a store elsewhere; the index explains what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from isthmus.errors import DataError
from isthmus.search.filters import Condition
from isthmus.search.ranking.base import Explained, Found
from isthmus.search.ranking.concepts import ConceptRanking

if TYPE_CHECKING:
    from isthmus.search.stores import Store

__all__ = ["StoreRanking"]

_SPARE = 16


class StoreRanking:
    """A store finds passages, the index' own postings score and explain them.

    A store keeps values in float32: a few more passages than asked for are fetched, and put in
    order by the scores of the index, so that both give the same.

    Parameters
    ----------
    ranking
        The query, held against the index.
    store
        What `isthmus.search.filling.fill_store` filled, for the same scoring.
    """

    def __init__(self, ranking: ConceptRanking, store: Store) -> None:
        self.ranking, self.store = ranking, store

    def search(self, limit: int, where: Sequence[Condition]) -> list[Found]:
        """Return the best passages.

        Raises
        ------
        DataError
            If the store holds a passage that the index does not.
        """
        if not len(self.ranking.terms):
            return []
        near = self.store.search(
            self.ranking.terms, self.ranking.weights, limit=limit + _SPARE, where=where
        )
        found = [self._found(int(id_)) for id_ in near.ids]
        return sorted(found, key=lambda each: (-each.score, each.id))[:limit]

    def explain(self, found: Found) -> Explained:
        """Return what each shared concept added."""
        return self.ranking.explain(found)

    def _found(self, id_: int) -> Found:
        for segment in self.ranking.index.segments:
            row = int(np.searchsorted(segment.ids, id_))
            if row < len(segment.ids) and segment.ids[row] == id_:
                if segment.alive is not None and not segment.alive[row]:
                    break
                parts = self.ranking.explain(Found(segment, row, id_, 0.0)).parts
                score = 0.0
                for part in parts.tolist():  # in the order in which postings add them up
                    score += part
                return Found(segment, row, id_, score)
        raise DataError(
            f"the store holds passage {id_}, which is not in the index",
            fix="fill it again from this index",
        )
