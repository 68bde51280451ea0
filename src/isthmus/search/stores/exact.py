"""Exact scores from stored codes, and how what a server found in float32 is made exact.

A sum of n products in float32, in any order and with weights rounded to float32, differs from
the exact one by at most gamma(n + 1) times the sum of the products' sizes, where gamma(m) =
m u / (1 - m u) and u = 2**-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
chapters 3 and 4); the sizes are at most those of the weights times the largest value stored.

Some engines leave out scores of exactly zero, though concepts are shared and only cancel: Qdrant's
does. Then the query is put a second time with every weight raised by d = 4 gamma times the largest
weight, and both answers are taken together. Nothing is left out of both: values are positive, so
raising adds d times the sum S of the shared values to a score; zero in both would need
d S <= gamma S (2 largest + d), and d is more than that. What was raised scores no less than before,
so that the second answer, too, bounds what it kept back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.search.stores.checks import Query

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "Candidates",
    "Found",
    "Screen",
    "Screened",
    "best",
    "can_cancel",
    "error_bound",
    "scored",
    "settled",
    "shares",
]

MARGIN, GROWTH = 16, 4
"""Candidates fetched beyond the limit at first, and by what factor more are asked for."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found, the best first."""

    ids: NDArray[np.int64]
    """Ids of the passages (H,), at most ``limit``."""
    scores: NDArray[np.float64]
    """Their scores (H,), falling; ids rise where they are equal."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Passages with their codes."""

    ids: NDArray[np.int64]
    """Ids (n,)."""
    codes: csr_array
    """Codes (n, N), float32, indices ascending."""


@dataclass(frozen=True, eq=False)
class Screened:
    """What a back end found best for some weights by its own arithmetic."""

    candidates: Candidates
    """Passages that meet the conditions."""
    last: float
    """The lowest of the scores that it gave: what it kept back scores no more, in float32."""
    complete: bool
    """It kept nothing back, but for scores of zero if it is silent about them."""
    peak: float
    """An upper bound of all stored values."""


Screen = Callable[[Sequence[NDArray[np.float32]], int], Sequence[Screened]]
"""Returns, for each of some lists of weights (K,), the best so many by the back end."""


def scored(query: Query, codes: csr_array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return exact scores (n,), and whether a concept is shared at all (n,).

    Products are added in the order in which they stand, which is that of the concepts.
    """
    rows, _, parts = _parts(query, codes)
    count = codes.shape[0]
    sums = np.bincount(rows, parts, minlength=count)
    return sums.astype(np.float64, copy=False), np.bincount(rows, minlength=count) > 0


def shares(query: Query, code: csr_array) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the shared concepts of one code (1, N), ascending, and what each adds."""
    _, concepts, parts = _parts(query, code)
    return concepts.astype(np.int32), parts


def _parts(
    query: Query, codes: csr_array
) -> tuple[NDArray[np.intp], NDArray[np.integer], NDArray[np.float64]]:
    """Return row, concept and product of every entry that the query shares."""
    place = np.searchsorted(query.concepts, codes.indices)
    place[place == len(query.concepts)] = 0
    shared = np.flatnonzero(query.concepts[place] == codes.indices)
    rows = np.searchsorted(codes.indptr, shared, side="right") - 1
    parts = query.weights[place[shared]] * codes.data[shared].astype(np.float64)
    return rows, codes.indices[shared], parts


def best(query: Query, candidates: Candidates, limit: int) -> Found:
    """Return the best of the candidates that share a concept, exactly scored and ordered."""
    scores, shared = scored(query, candidates.codes)
    ids, scores = candidates.ids[shared], scores[shared]
    order = np.lexsort((ids, -scores))[:limit]
    return Found(ids[order], scores[order])


def error_bound(weights: NDArray[Any], peak: float) -> float:
    """Return by how much a score in float32 may be off, with values up to ``peak``.

    Examples
    --------
    >>> f"{error_bound(np.array([2.0, -1.0]), 0.5):.2e}"
    '5.36e-07'
    """
    return _gamma(len(weights)) * float(np.abs(weights).sum()) * peak


def _gamma(products: int) -> float:
    # Three more than n + 1: room for the rounding of the exact sum, of a printed score, of this.
    share = (products + 4) * 2.0**-24
    return share / (1 - share)


def can_cancel(query: Query) -> bool:
    """Say whether shared concepts may add up to zero: values are positive, so signs must differ."""
    return bool(query.weights.min() < 0 < query.weights.max())


def settled(query: Query, limit: int, screen: Screen, *, silent: bool) -> Found:
    """Ask a back end for candidates until the best of them are the best of all.

    Parameters
    ----------
    query
        What is asked.
    limit
        How many are wanted.
    screen
        Asks the back end.
    silent
        Whether it may leave out passages whose score in float32 is exactly zero.
    """
    exponent = int(np.frexp(np.abs(query.weights).max())[1])
    unit = Query(query.concepts, np.ldexp(query.weights, -exponent))  # exact; the largest is < 1
    asked = [unit.weights]
    if silent and can_cancel(query):
        asked.append(_raised(unit.weights))
    count = limit + MARGIN
    while True:
        answers = screen([weights.astype(np.float32) for weights in asked], count)
        found = best(unit, _together(answers), limit)
        hidden = max(map(_most_hidden, asked, answers))
        full = len(found) == limit
        if hidden == -np.inf or (full and found.scores[-1] > hidden):
            return Found(found.ids, np.ldexp(found.scores, exponent))
        count *= GROWTH


def _raised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    by = 4 * _gamma(len(weights)) * float(np.abs(weights).max())
    return np.asarray(weights + by, np.float64)


def _most_hidden(weights: NDArray[np.float64], answer: Screened) -> float:
    """Return the most that anything kept back can score."""
    return -np.inf if answer.complete else answer.last + error_bound(weights, answer.peak)


def _together(answers: Sequence[Screened]) -> Candidates:
    """Return the candidates of all answers, each once."""
    if len(answers) == 1:
        return answers[0].candidates
    from scipy.sparse import vstack

    ids, first = np.unique(
        np.concatenate([answer.candidates.ids for answer in answers]), return_index=True
    )
    codes = vstack([answer.candidates.codes for answer in answers], format="csr")
    return Candidates(ids, codes[first])
