"""Compiled making of postings from rows of codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.search.postings.strict import strict

__all__ = ["count_pieces", "fill"]

Array = NDArray[Any]


@strict
def count_pieces(
    indptr: Array, indices: Array, block: int, counts_T: Array
) -> None:  # pragma: no cover - compiled
    """Count for each term the blocks of rows in which it occurs."""
    last_T = np.full(counts_T.size, -1, np.int64)
    for row in range(indptr.size - 1):
        b = row // block
        for h in range(indptr[row], indptr[row + 1]):
            term = indices[h]
            if last_T[term] != b:
                last_T[term] = b
                counts_T[term] += 1


@strict
def fill(
    indptr: Array,
    indices: Array,
    values: Array,
    block: int,
    term_start: Array,
    piece_start: Array,
    piece_block: Array,
    piece_end: Array,
    low: Array,
    out: Array,
) -> None:  # pragma: no cover - compiled
    """Write the postings of all rows, each term's in rising order of rows."""
    place_T, piece_T = term_start[:-1].copy(), piece_start[:-1] - 1
    last_T = np.full(place_T.size, -1, np.int64)
    for row in range(indptr.size - 1):
        b = row // block
        for h in range(indptr[row], indptr[row + 1]):
            term = indices[h]
            if last_T[term] != b:
                last_T[term] = b
                piece_T[term] += 1
                piece_block[piece_T[term]] = b
            place = place_T[term]
            low[place], out[place] = row - b * block, values[h]
            place_T[term] = place + 1
            piece_end[piece_T[term]] = place + 1 - term_start[term]
