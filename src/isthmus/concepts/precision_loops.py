"""Compiled loops that rank passages by words and measure the precision; one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.compiled import compiled

__all__ = ["grown_names", "name_precisions"]

Array = NDArray[Any]


@compiled
def _group(
    before: int, found: int, size: int, relevant: int, harmonic: Array
) -> float:  # pragma: no cover - compiled
    """Return the expected sum of precisions at the relevant ones of a group of equals.

    ``before`` rows stand above it, ``found`` of them relevant.
    """
    if relevant == 0:
        return 0.0
    reciprocal = harmonic[before + size] - harmonic[before]
    inner = (found + 1) * reciprocal
    if size > 1:
        inner += (relevant - 1) / (size - 1) * (size - (before + 1) * reciprocal)
    expected: float = relevant / size * inner
    return expected


@compiled
def _gathered(
    chosen: Array,
    indptr_V: Array,
    rows: Array,
    weights: Array,
    score_P: Array,
    touched_P: Array,
) -> int:  # pragma: no cover - compiled
    """Add up the weights of the chosen words on each row; return how many rows hold any."""
    found = 0
    for w in chosen:
        if w < 0:
            continue
        for h in range(indptr_V[w], indptr_V[w + 1]):
            row = rows[h]
            if score_P[row] == 0:
                touched_P[found] = row
                found += 1
            score_P[row] += weights[h]
    return found


@compiled
def _precision(
    chosen: Array,
    indptr_V: Array,
    rows: Array,
    weights: Array,
    mark_P: Array,
    positives: int,
    score_P: Array,
    touched_P: Array,
    size_B: Array,
    hits_B: Array,
    harmonic: Array,
) -> float:  # pragma: no cover - compiled
    """Average precision of the ranking by some words, scores rounded to as many levels as B."""
    found = _gathered(chosen, indptr_V, rows, weights, score_P, touched_P)
    levels, passages = size_B.size, score_P.size
    largest = 0.0
    for t in range(found):
        largest = max(largest, score_P[touched_P[t]])
    for b in range(levels):
        size_B[b], hits_B[b] = 0, 0
    for t in range(found):
        row = touched_P[t]
        b = int(score_P[row] / largest * (levels - 1))
        size_B[b] += 1
        hits_B[b] += mark_P[row]
        score_P[row] = 0
    total, before, above = 0.0, 0, 0
    for b in range(levels - 1, -1, -1):
        if size_B[b]:
            total += _group(before, above, size_B[b], hits_B[b], harmonic)
            before += size_B[b]
            above += hits_B[b]
    total += _group(before, above, passages - before, positives - above, harmonic)
    mean: float = total / positives
    return mean


@compiled
def _pruned(
    words_W: Array,
    best: float,
    gain: float,
    indptr_V: Array,
    rows: Array,
    weights: Array,
    mark_P: Array,
    positives: int,
    score_P: Array,
    touched_P: Array,
    size_B: Array,
    hits_B: Array,
    harmonic: Array,
) -> None:  # pragma: no cover - compiled
    """Take out words that later ones made needless: without them the precision hardly falls."""
    left = (words_W >= 0).sum()
    for w in range(words_W.size):
        word = words_W[w]
        if word < 0 or left < 2:
            continue
        words_W[w] = -1
        without = _precision(
            words_W,
            indptr_V,
            rows,
            weights,
            mark_P,
            positives,
            score_P,
            touched_P,
            size_B,
            hits_B,
            harmonic,
        )
        if without * gain >= best:
            best = max(best, without)
            left -= 1
        else:
            words_W[w] = word


@compiled
def grown_names(
    candidates_NC: Array,
    strong_indptr: Array,
    strong_rows: Array,
    indptr_V: Array,
    rows: Array,
    weights: Array,
    passages: int,
    gain: float,
    levels: int,
    harmonic: Array,
    chosen_NW: Array,
) -> None:  # pragma: no cover - compiled
    """Grow each name word by word while its average precision rises by the factor ``gain``."""
    mark = np.zeros(passages, np.int64)
    score, touched = np.zeros(passages, np.float32), np.empty(passages, np.int64)
    size, hits = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    for j in range(candidates_NC.shape[0]):
        first, last = strong_indptr[j], strong_indptr[j + 1]
        if first == last:
            continue
        for h in range(first, last):
            mark[strong_rows[h]] = 1
        best = 0.0
        for step in range(chosen_NW.shape[1]):
            winner, reached = -1, best * gain
            for w in candidates_NC[j]:
                if w < 0 or (chosen_NW[j, :step] == w).any():
                    continue
                chosen_NW[j, step] = w
                found = _precision(
                    chosen_NW[j, : step + 1],
                    indptr_V,
                    rows,
                    weights,
                    mark,
                    last - first,
                    score,
                    touched,
                    size,
                    hits,
                    harmonic,
                )
                if found > reached * (1 + 1e-9):  # of equals the first
                    winner, reached = w, found
            chosen_NW[j, step] = winner
            if winner < 0:
                break
            best = reached
        _pruned(
            chosen_NW[j],
            best,
            gain,
            indptr_V,
            rows,
            weights,
            mark,
            last - first,
            score,
            touched,
            size,
            hits,
            harmonic,
        )
        for h in range(first, last):
            mark[strong_rows[h]] = 0


@compiled
def name_precisions(
    name_indptr: Array,
    name_words: Array,
    pair_indptr: Array,
    pair_concepts: Array,
    strong_indptr: Array,
    strong_rows: Array,
    indptr_V: Array,
    rows: Array,
    weights: Array,
    passages: int,
    harmonic: Array,
    out: Array,
) -> None:  # pragma: no cover - compiled
    """Average precision of names for concepts, ties in expectation; pairs grouped by name."""
    mark = np.zeros(passages, np.int64)
    score, touched = np.zeros(passages, np.float32), np.empty(passages, np.int64)
    for n in range(name_indptr.size - 1):
        if pair_indptr[n] == pair_indptr[n + 1]:
            continue
        words = name_words[name_indptr[n] : name_indptr[n + 1]]
        found = _gathered(words, indptr_V, rows, weights, score, touched)
        fallen = np.empty(found, np.float32)
        for t in range(found):
            fallen[t] = -score[touched[t]]
        order = np.argsort(fallen)
        for pair in range(pair_indptr[n], pair_indptr[n + 1]):
            first = strong_indptr[pair_concepts[pair]]
            last = strong_indptr[pair_concepts[pair] + 1]
            for h in range(first, last):
                mark[strong_rows[h]] = 1
            total, before, above = 0.0, 0, 0
            start = 0
            while start < found:
                stop, hits = start, 0
                level = fallen[order[start]]
                # sums of the same weights in another order may differ in the last digit
                while stop < found and fallen[order[stop]] - level <= np.float32(1e-5):
                    hits += mark[touched[order[stop]]]
                    stop += 1
                total += _group(before, above, stop - start, hits, harmonic)
                before += stop - start
                above += hits
                start = stop
            total += _group(before, above, passages - before, last - first - above, harmonic)
            out[pair] = total / (last - first) if last > first else 0.0
            for h in range(first, last):
                mark[strong_rows[h]] = 0
        for t in range(found):
            score[touched[t]] = 0
