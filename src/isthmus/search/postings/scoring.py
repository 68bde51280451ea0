"""Compiled scoring: postings of the query's terms added up block by block, the best rows kept.

A block's sums are float64 and stay in the cache. They start at -0.0, which no addition of a
non-zero product can give: a row that shares a term with the query is told from one that does not
even where its score is 0. Terms are added in rising order, so that the sums are the scores by
definition, not an estimate of them.

No bounds skip terms or blocks: on codes of embeddings (k = 64 of 3,072) the largest values bound so
loosely that exact max-score could leave out 16 % of the postings, for some 200 rows to be scored
again, which takes about as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.search.postings.strict import strict

__all__ = ["decoded", "search_blocks"]

Array = NDArray[Any]
_GROUP = 64
_MANY, _SHORT = 512, 128
_WIDE = 65_536
_UNTOUCHED = np.iinfo(np.int64).min  # the bits of -0.0


@strict
def decoded(word: int, base: int) -> float:  # pragma: no cover - compiled
    """Return the value of a 16-bit word; ``base`` holds the lowest exponent."""
    return np.uint64((np.uint64(word) << np.uint64(41)) + np.uint64(base)).view(np.float64)


@strict
def _add(
    first: int,
    last: int,
    weight: float,
    start: int,
    low: Array,
    words: Array,
    base: int,
    floats: Array,
    norms: Array,
    sums: Array,
) -> None:  # pragma: no cover - compiled
    """Add one term's postings ``first`` to ``last``, all in the block that begins at ``start``."""
    mask = np.uint64(sums.size - 1)  # a damaged row number stays inside the block
    begin, end = np.uint64(first), np.uint64(last)  # unsigned: no look at negative places
    if norms.size:
        edge, zero = np.uint64(norms.size - 1), np.uint64(start)
        for p in range(begin, end):
            i = np.uint64(low[p]) & mask
            value = decoded(words[p], base) if words.size else np.float64(floats[p])
            sums[i] += (weight * value) / (value + norms[min(zero + i, edge)])
    elif words.size:
        for p in range(begin, end):
            sums[np.uint64(low[p]) & mask] += weight * decoded(words[p], base)
    else:
        for p in range(begin, end):
            sums[np.uint64(low[p]) & mask] += weight * np.float64(floats[p])


@strict
def _worse(score: float, row: int, other: float, other_row: int) -> bool:  # pragma: no cover
    """Whether a row stands behind another: a lower score, or the same and a higher number."""
    return score < other or (score == other and row > other_row)


@strict
def _keep(
    score: float, row: int, count: int, scores: Array, rows: Array
) -> int:  # pragma: no cover - compiled
    """Put a row into the heap whose root is the worst; return how many it holds."""
    size = scores.size
    if count < size:
        place = count
        while place > 0:
            parent = (place - 1) >> 1
            if not _worse(score, row, scores[parent], rows[parent]):
                break
            scores[place], rows[place] = scores[parent], rows[parent]
            place = parent
        scores[place], rows[place] = score, row
        return count + 1
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _worse(scores[right], rows[right], scores[child], rows[child]):
            child = right
        if not _worse(scores[child], rows[child], score, row):
            break
        scores[place], rows[place] = scores[child], rows[child]
        place = child
    scores[place], rows[place] = score, row
    return count


@strict
def _above(
    sums: Array, first: int, last: int, start: int, constant: float, scaling: Array, bar: float
) -> int:  # pragma: no cover - compiled
    """Count the scores above the bar; simple enough to be done several at a time."""
    count = np.uint64(0)
    begin, end, zero = np.uint64(first), np.uint64(last), np.uint64(start)
    if scaling.size:
        for i in range(begin, end):
            count += np.uint64((sums[i] + constant) * scaling[zero + i] > bar)
    else:
        for i in range(begin, end):
            count += np.uint64(sums[i] + constant > bar)
    return int(count)


@strict
def _pick(
    sums: Array,
    start: int,
    size: int,
    constant: float,
    scaling: Array,
    allowed: Array,
    count: int,
    scores: Array,
    rows: Array,
) -> int:  # pragma: no cover - compiled
    """Put the block's best rows into the heap; return how many it holds."""
    bits = sums.view(np.int64)
    bar = scores[0] if count == scores.size else -np.inf
    for first in range(0, size, _GROUP):
        last = min(first + _GROUP, size)
        if _above(sums, first, last, start, constant, scaling, bar) == 0:
            continue
        for i in range(first, last):
            score = sums[i] + constant
            if scaling.size:
                score *= scaling[start + i]
            if not score > bar or bits[i] == _UNTOUCHED:
                continue
            if allowed.size and not allowed[start + i]:
                continue
            count = _keep(score, start + i, count, scores, rows)
            if count == scores.size:
                bar = scores[0]
    return count


@strict
def _take(
    sums: Array,
    start: int,
    size: int,
    constant: float,
    scaling: Array,
    allowed: Array,
    count: int,
    scores: Array,
    rows: Array,
) -> int:  # pragma: no cover - compiled
    """Add all of the block's rows that share a term, in order; return how many there are now."""
    bits = sums.view(np.int64)
    for i in range(size):
        if bits[i] != _UNTOUCHED and (allowed.size == 0 or allowed[start + i]):
            score = sums[i] + constant
            if scaling.size:
                score *= scaling[start + i]
            scores[count], rows[count] = score, start + i
            count += 1
    return count


@strict
def _places(
    terms: Array, piece_start: Array, piece_block: Array, block: int
) -> Array:  # pragma: no cover - compiled
    """Return for each term its first piece in ``block`` or after it."""
    found = np.empty(terms.size, np.int64)
    for k in range(terms.size):
        low, high = piece_start[terms[k]], piece_start[terms[k] + 1]
        while low < high:
            middle = (low + high) >> 1
            if piece_block[middle] < block:
                low = middle + 1
            else:
                high = middle
        found[k] = low
    return found


@strict
def _blocks_at_a_time(
    terms: int, postings: int, pieces: int, block: int
) -> int:  # pragma: no cover - compiled
    """Return how many blocks to sum up at once.

    One, so that the sums stay in the nearest cache; several where most terms of a large dictionary
    are asked for, each with little in a block: going from list to list costs more then.
    """
    return _WIDE // block if terms >= _MANY and postings < _SHORT * pieces else 1


@strict
def search_blocks(
    first_block: int,
    last_block: int,
    block: int,
    row_count: int,
    term_start: Array,
    piece_start: Array,
    piece_block: Array,
    piece_end: Array,
    low: Array,
    words: Array,
    base: int,
    floats: Array,
    terms: Array,
    weights: Array,
    norms: Array,
    constant: float,
    scaling: Array,
    allowed: Array,
    scores: Array,
    rows: Array,
) -> int:  # pragma: no cover - compiled
    """Find the best rows of some blocks; fill ``scores`` and ``rows`` and return how many.

    ``norms``, ``scaling`` and ``allowed`` are empty where they are not asked for. Rows come in no
    order, but where there is room for all of them: then they rise.
    """
    width = 64  # a power of two, and no more than the rows there are ask for
    while width < min(block, row_count):
        width *= 2
    group = _blocks_at_a_time(terms.size, low.size, piece_block.size, block)
    sums = np.empty(width * min(group, last_block - first_block), np.float64)
    place = _places(terms, piece_start, piece_block, first_block)
    count = 0
    for b in range(first_block, last_block, group):
        sums[:] = -0.0
        start, stop, touched = b * block, min(b + group, last_block), False
        for k in range(terms.size):
            term, piece, begin = terms[k], place[k], term_start[terms[k]]
            first = begin + (piece_end[piece - 1] if piece > piece_start[term] else 0)
            while piece < piece_start[term + 1] and piece_block[piece] < stop:
                last, offset = begin + piece_end[piece], (piece_block[piece] - b) * width
                part = sums[offset : offset + width]
                zero = start + offset
                _add(first, last, weights[k], zero, low, words, base, floats, norms, part)
                first, piece, touched = last, piece + 1, True
            place[k] = piece
        if touched:
            size = min((stop - b) * block, row_count - start)
            rest = (constant, scaling, allowed, count, scores, rows)
            if scores.size >= row_count:
                count = _take(sums, start, size, *rest)
            else:
                count = _pick(sums, start, size, *rest)
    return count
