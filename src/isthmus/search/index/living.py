"""How many living rows hold each term of postings some of whose rows are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.search.postings import Postings
from isthmus.search.postings.strict import strict

__all__ = ["living_frequency"]

Array = NDArray[Any]


def living_frequency(
    postings: Postings, alive: NDArray[np.bool_] | None, terms: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """Return in how many living rows each of some terms stands.

    Parameters
    ----------
    postings
        The lists of rows.
    alive
        Which rows are not deleted (R,); None: all.
    terms
        Numbers of terms; None: all of them, in order.
    """
    if alive is None:
        frequency = postings.frequency
        return frequency if terms is None else frequency[np.asarray(terms, np.int64)]
    chosen = np.arange(postings.terms) if terms is None else np.asarray(terms, np.int64)
    found = np.zeros(len(chosen), np.int64)
    layout = postings.layout
    _count(chosen, layout.block, *layout.lists(), np.array(alive), found)
    return found


@strict
def _count(
    terms: Array,
    block: int,
    term_start: Array,
    piece_start: Array,
    piece_block: Array,
    piece_end: Array,
    low: Array,
    alive: Array,
    found: Array,
) -> None:  # pragma: no cover - compiled
    last = np.uint64(alive.size - 1)
    for k in range(terms.size):
        term, count = terms[k], np.int64(0)
        place = term_start[term]
        for piece in range(piece_start[term], piece_start[term + 1]):
            start = np.uint64(np.int64(piece_block[piece]) * block)
            end = term_start[term] + piece_end[piece]
            while place < end:
                # a damaged file stays inside the array
                count += np.int64(alive[min(start + np.uint64(low[place]), last)])
                place += 1
        found[k] = count
