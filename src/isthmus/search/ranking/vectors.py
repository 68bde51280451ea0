"""Ranking by vectors: cosine, taken apart into concepts, and by what their codes keep of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.search.filters import Condition
from isthmus.search.ranking.base import Explained, Found, Query, Scores, best_of, near_best, scored

if TYPE_CHECKING:
    from isthmus.search.index.index import Index
    from isthmus.search.index.segment import Segment

__all__ = ["DenseRanking", "ReconstructionRanking"]

_BLOCK = 1 << 14


class DenseRanking:
    """Cosine of the query's vector with the passages' own.

    With x = codes @ decoder + pre_bias + residual, the cosine is a sum over the passage's
    concepts, a part that all passages share ("shared"), and one for what the code leaves out
    ("residual").

    Parameters
    ----------
    index
        The index.
    query
        The query.
    """

    def __init__(self, index: Index, query: Query) -> None:
        self.index = index
        size = float(np.linalg.norm(query.vector)) or 1.0
        self.vector = query.vector / size
        self.weights = index.decoder @ self.vector
        self.shared = float(index.pre_bias @ self.vector)

    def search(self, limit: int, where: Sequence[Condition]) -> list[Found]:
        """Return the best passages."""
        # screened in float32, scored in float64
        near = near_best(self.scores(None, where), limit, self.slack)
        return best_of([self.exact(part) for part in near], limit)

    def scores(self, limit: int | None, where: Sequence[Condition]) -> list[Scores]:
        """Return the scores of all rows, in float32 arithmetic."""
        vector, found = self.vector.astype(np.float32), []
        for segment in self.index.segments:
            values = _products(segment, vector)
            allowed = segment.allowed(where)
            count = segment.entry.passages
            rows = np.arange(count) if allowed is None else np.flatnonzero(allowed)
            found.append(Scores(segment, rows, values[rows].astype(np.float64)))
        return found

    @property
    def slack(self) -> float:
        """How far `scores` may be off: float32 sums of D products of unit vectors."""
        return (len(self.vector) + 8) * 2.0**-23

    def exact(self, part: Scores) -> Scores:
        """Return scores of the same rows in float64: one score does not depend on the others."""
        scores = np.empty(len(part.rows))
        for start in range(0, len(scores), _BLOCK):
            rows = part.rows[start : start + _BLOCK]
            products = part.segment.vectors[rows].astype(np.float64) * self.vector
            scores[start : start + _BLOCK] = products.sum(axis=1)
        return Scores(part.segment, part.rows, scores)

    def exactly(self, segment: Segment, row: int) -> float:
        """Return one score in float64."""
        one = Scores(segment, np.array([row]), np.empty(1))
        return float(self.exact(one).scores[0])

    def explain(self, found: Found) -> Explained:
        """Take a cosine apart."""
        code = found.segment.concepts.codes([found.row])
        parts = code.data.astype(np.float64) * self.weights[code.indices]
        rest = found.score - float(parts.sum()) - self.shared
        return Explained(
            code.indices.astype(np.int64), parts, {"shared": self.shared, "residual": rest}
        )


def _products(segment: Segment, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the products of all vectors with one, in float32."""
    if segment.wide_vectors is not None:
        return segment.wide_vectors @ vector
    found = np.empty(segment.entry.passages, np.float32)
    for start in range(0, len(found), _BLOCK):
        part = slice(start, start + _BLOCK)
        found[part] = segment.vectors[part].astype(np.float32) @ vector
    return found


class ReconstructionRanking:
    """Cosine of the query's vector with the passages as their codes alone rebuild them.

    With x_hat = codes @ decoder + pre_bias, cos(q, x_hat) = (sum over the passage's concepts of
    activation * <q, direction>, + <q, pre_bias>) / |x_hat|. The last part is the same thing for
    all passages but for the length ("shared").

    Parameters
    ----------
    index
        The index.
    query
        The query.
    """

    def __init__(self, index: Index, query: Query) -> None:
        self.dense = DenseRanking(index, query)
        self.index = index
        self.terms = np.arange(len(self.dense.weights))

    def search(self, limit: int, where: Sequence[Condition]) -> list[Found]:
        """Return the best passages."""
        return best_of(self.scores(limit, where), limit)

    def scores(self, limit: int | None, where: Sequence[Condition]) -> list[Scores]:
        """Return the best rows of each segment, or all with any concept."""
        found = []
        for segment in self.index.segments:
            options = {
                "allowed": segment.allowed(where),
                "scaling": self.index.reconstruction_scaling(segment),
                "constant": self.dense.shared,
                "threads": self.index.threads,
            }
            rows, scores = scored(segment.concepts, self.terms, self.dense.weights, limit, options)
            found.append(Scores(segment, rows, scores))
        return found

    def explain(self, found: Found) -> Explained:
        """Return what each of the passage's concepts added."""
        scaling = self.index.reconstruction_scaling(found.segment)
        terms, parts = found.segment.concepts.contributions(
            found.row, self.terms, self.dense.weights, scaling=scaling
        )
        shared = self.dense.shared * float(scaling[found.row])
        return Explained(terms, parts, {"shared": shared})
