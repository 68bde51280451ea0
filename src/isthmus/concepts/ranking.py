"""Passages ranked by the words of a name, and how precise such a ranking is.

Ties are the rule here, since most passages hold no word of a name: precision is always the mean
over all orders of equal passages, in closed form, and never the luck of one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.precision_loops import grown_names, name_precisions
from isthmus.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Postings", "Strong", "average_precision", "chance_precision", "postings_of"]

Array = NDArray[Any]
_SATURATION, _LENGTH = 1.2, 0.75
"""BM25's usual k1 and b."""
_LEVELS = 1024


@dataclass(frozen=True, eq=False)
class Strong:
    """The strong passages of each concept, as rows of a part of the corpus."""

    indptr: NDArray[np.int64]
    """Where each concept's passages begin (N + 1,)."""
    rows: NDArray[np.int64]
    """Their rows in the part."""
    weights: NDArray[np.float64]
    """Their activations over the level at which the concept counts as fully active, at most 1."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Strong passages of each concept (N,)."""
        return np.diff(self.indptr)

    def first(self, concept: int, most: int) -> NDArray[np.int64]:
        """Return the passages on which a concept is strongest."""
        return self.rows[self.indptr[concept] : self.indptr[concept + 1]][:most]


@dataclass(frozen=True, eq=False)
class Postings:
    """BM25 weights of the words (V) in the passages (P) of a part, word by word.

    ``idf tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length))`` with ``idf = ln(1 + (P - n +
    1/2) / (n + 1/2))``, k1 = 1.2, b = 0.75. Source: Robertson and Zaragoza, "The probabilistic
    relevance framework: BM25 and beyond", 2009, idf as in Lucene.
    """

    indptr: NDArray[np.int64]
    """Where each word's passages begin (V + 1,)."""
    rows: NDArray[np.int32]
    """The passages."""
    weights: NDArray[np.float32]
    """Their weights."""
    passages: int
    """Number P of passages."""
    harmonic: NDArray[np.float64]
    """Sums of reciprocals: 0, 1, 1 + 1/2, ... (P + 1,)."""

    def grown(self, candidates_NC: Array, strong: Strong, most: int, gain: float) -> Array:
        """Choose up to ``most`` of each concept's candidates (-1: none), word by word.

        In each step the word is added with which the ranking by all words chosen so far has the
        highest average precision, as long as that rises by the factor ``gain``.

        Returns
        -------
        ndarray
            The words chosen (N, most); -1 for none.
        """
        chosen = np.full((len(candidates_NC), most), -1, dtype=np.int64)
        grown_names(
            np.ascontiguousarray(candidates_NC, np.int64),
            strong.indptr,
            strong.rows,
            self.indptr,
            self.rows,
            self.weights,
            self.passages,
            gain,
            _LEVELS,
            self.harmonic,
            chosen,
        )
        return chosen

    def precisions(
        self, names: list[tuple[int, ...]], strong: Strong, pairs_X2: Array
    ) -> NDArray[np.float64]:
        """Return the average precision with which names find the strong passages of concepts.

        Parameters
        ----------
        names
            The words of each name.
        strong
            The passages to be found.
        pairs_X2
            Name and concept of each pair that is wanted; a concept without strong passages has 0.
        """
        order = np.argsort(pairs_X2[:, 0], kind="stable")
        indptr = np.searchsorted(pairs_X2[order, 0], np.arange(len(names) + 1))
        out, found = np.zeros(len(order)), np.zeros(len(order))
        name_precisions(
            np.cumsum([0, *map(len, names)]).astype(np.int64),
            np.array([w for name in names for w in name], dtype=np.int64),
            indptr.astype(np.int64),
            pairs_X2[order, 1].astype(np.int64),
            strong.indptr,
            strong.rows,
            self.indptr,
            self.rows,
            self.weights,
            self.passages,
            self.harmonic,
            out,
        )
        found[order] = out
        return found

    def share_of(self, words: tuple[int, ...], rows: Array) -> float:
        """Return the share of some passages that hold any of the words."""
        held = np.zeros(len(rows), dtype=np.bool_)
        for word in words:
            held |= self.hold(word, rows)
        return float(held.mean()) if held.size else 0.0

    def holders(self, word: int) -> NDArray[np.int32]:
        """Return the passages that hold a word, rising."""
        return self.rows[self.indptr[word] : self.indptr[word + 1]]

    def hold(self, word: int, rows: Array) -> NDArray[np.bool_]:
        """Say which of some passages hold a word."""
        own = self.holders(word)
        if not own.size:
            return np.zeros(len(rows), dtype=np.bool_)
        place = np.minimum(np.searchsorted(own, rows), own.size - 1)
        return np.asarray(own[place] == rows)

    def chance(self, strong: Strong) -> NDArray[np.float64]:
        """Return the average precision of a ranking by lot (N,)."""
        return _by_lot(strong.counts, self.passages, float(self.harmonic[-1]))


def postings_of(counts: csr_array) -> Postings:
    """Weigh word counts (P, V) as BM25 does, within these passages alone."""
    passages, words = counts.shape
    holders = np.bincount(counts.indices, minlength=words)
    idf = np.log1p((passages - holders + 0.5) / (holders + 0.5))
    owner = np.repeat(np.arange(passages), np.diff(counts.indptr))
    length = np.bincount(owner, counts.data, minlength=passages)
    relative = length / max(float(length.mean()), 1e-9) if passages else length
    tf = counts.data.astype(np.float64)
    damped = tf + _SATURATION * (1 - _LENGTH + _LENGTH * relative[owner])
    weighted = counts.astype(np.float32)
    weighted.data = (idf[counts.indices] * tf * (_SATURATION + 1) / damped).astype(np.float32)
    columns = weighted.tocsc()
    return Postings(
        columns.indptr.astype(np.int64),
        columns.indices.astype(np.int32),
        columns.data,
        passages,
        np.concatenate([[0.0], np.cumsum(1 / np.arange(1, passages + 1))]),
    )


def average_precision(scores: Array, relevant: Array) -> float:
    """Return the average precision of a ranking by falling score, equal scores in any order.

    The mean of the precisions at the relevant items, in expectation over all orders of items with
    equal scores. Source: McSherry and Najork, "Computing information retrieval performance
    measures efficiently in the presence of tied scores", 2008.

    Raises
    ------
    DataError
        If the lengths differ, or nothing is relevant.

    Examples
    --------
    >>> round(average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True])), 6)
    0.833333
    >>> average_precision(np.zeros(2), np.array([True, False]))  # first or second: 1 or 1/2
    0.75
    """
    score, wanted = np.asarray(scores), np.asarray(relevant, bool)
    if score.shape != wanted.shape or not wanted.any():
        raise DataError("a precision needs a score for every item, and a relevant one")
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, score.size + 1))])
    _, group = np.unique(-score, return_inverse=True)
    sizes, hits = np.bincount(group), np.bincount(group, wanted)
    before, above = np.cumsum(sizes) - sizes, np.cumsum(hits) - hits
    reciprocal = harmonic[before + sizes] - harmonic[before]
    others = np.maximum(sizes - 1, 1)
    inner = (above + 1) * reciprocal + (hits - 1) / others * (sizes - (before + 1) * reciprocal)
    return float((hits / sizes * inner).sum() / wanted.sum())


def chance_precision(relevant: int, items: int) -> float:
    """Return the expected average precision of an order by lot; 0 where nothing is relevant.

    Examples
    --------
    >>> chance_precision(1, 2), chance_precision(2, 2)
    (0.75, 1.0)
    """
    harmonic = float((1 / np.arange(1, items + 1)).sum())
    return float(_by_lot(np.array(relevant), items, harmonic))


def _by_lot(relevant: Array, items: int, harmonic: float) -> NDArray[np.float64]:
    rest = (relevant - 1) / max(items - 1, 1) * (items - harmonic)
    return np.where(relevant > 0, (harmonic + rest) / max(items, 1), 0.0)
