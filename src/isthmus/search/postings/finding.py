"""Compiled look-ups: where the postings of rows stand in the lists of terms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.search.postings.scoring import decoded
from isthmus.search.postings.strict import strict

__all__ = ["count_rows", "place_rows", "places_of", "sum_rows"]

Array = NDArray[Any]


@strict
def _find(
    row: int,
    term: int,
    block: int,
    term_start: Array,
    piece_start: Array,
    piece_block: Array,
    piece_end: Array,
    low: Array,
) -> int:  # pragma: no cover - compiled
    """Return where the posting of a row stands in a term's list, -1 where there is none."""
    b = row // block
    first, last = piece_start[term], piece_start[term + 1]
    while first < last:
        middle = (first + last) >> 1
        if piece_block[middle] < b:
            first = middle + 1
        else:
            last = middle
    if first == piece_start[term + 1] or piece_block[first] != b:
        return -1
    begin = term_start[term]
    left = begin + (piece_end[first - 1] if first > piece_start[term] else 0)
    right = end = begin + piece_end[first]
    wanted = row - b * block
    while left < right:
        middle = (left + right) >> 1
        if low[middle] < wanted:
            left = middle + 1
        else:
            right = middle
    return left if left < end and low[left] == wanted else -1


@strict
def places_of(
    rows: Array,
    terms: Array,
    block: int,
    term_start: Array,
    piece_start: Array,
    piece_block: Array,
    piece_end: Array,
    low: Array,
    places_RT: Array,
) -> None:  # pragma: no cover - compiled
    """Write where the posting of each row and term stands, -1 where there is none."""
    for k in range(terms.size):
        for r in range(rows.size):
            places_RT[r, k] = _find(
                rows[r], terms[k], block, term_start, piece_start, piece_block, piece_end, low
            )


@strict
def count_rows(
    block: int,
    row_count: int,
    term_start: Array,
    piece_start: Array,
    piece_block: Array,
    piece_end: Array,
    low: Array,
    counts_R: Array,
) -> bool:  # pragma: no cover - compiled
    """Count the postings of each row; say whether the rows of every term rise, as they must."""
    for term in range(term_start.size - 1):
        before = -1
        place = term_start[term]
        for piece in range(piece_start[term], piece_start[term + 1]):
            start = np.int64(piece_block[piece]) * block
            end = term_start[term] + piece_end[piece]
            while place < end:
                row = start + low[place]
                if row <= before or row >= row_count or low[place] >= block:
                    return False
                before = row
                counts_R[row] += 1
                place += 1
    return True


@strict
def place_rows(
    block: int,
    term_start: Array,
    piece_start: Array,
    piece_block: Array,
    piece_end: Array,
    low: Array,
    indptr: Array,
    indices: Array,
    places: Array,
) -> None:  # pragma: no cover - compiled
    """Write each row's terms, rising, and where its postings stand; ``count_rows`` was content."""
    next_R = indptr[:-1].copy()
    for term in range(term_start.size - 1):
        place = term_start[term]
        for piece in range(piece_start[term], piece_start[term + 1]):
            start = np.int64(piece_block[piece]) * block
            end = term_start[term] + piece_end[piece]
            while place < end:
                row = start + low[place]
                indices[next_R[row]], places[next_R[row]] = term, place
                next_R[row] += 1
                place += 1


@strict
def sum_rows(
    block: int,
    term_start: Array,
    piece_start: Array,
    piece_block: Array,
    piece_end: Array,
    low: Array,
    words: Array,
    base: int,
    floats: Array,
    squared: bool,
    sums_R: Array,
) -> None:  # pragma: no cover - compiled
    """Add up each row's values, or their squares, in rising order of terms."""
    last_row = sums_R.size - 1
    for term in range(term_start.size - 1):
        place = term_start[term]
        for piece in range(piece_start[term], piece_start[term + 1]):
            start = np.int64(piece_block[piece]) * block
            end = term_start[term] + piece_end[piece]
            while place < end:
                value = decoded(words[place], base) if words.size else np.float64(floats[place])
                row = min(start + low[place], last_row)  # a damaged file stays inside the array
                sums_R[row] += value * value if squared else value
                place += 1
