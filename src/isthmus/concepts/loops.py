"""Compiled loops over columns of codes and postings of words; one thread, no randomness."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.compiled import compiled

__all__ = [
    "co_firing_rows",
    "distinctive_words",
    "fall",
    "strong_levels",
]

Array = NDArray[Any]


@compiled
def fall(indptr: Array, rows: Array, values: Array) -> None:  # pragma: no cover - compiled
    """Sort every column by falling value in place; equal values by rising row."""
    for j in range(indptr.size - 1):
        first, last = indptr[j], indptr[j + 1]
        order = np.argsort(-values[first:last], kind="mergesort")
        values[first:last] = values[first:last][order]
        rows[first:last] = rows[first:last][order]


@compiled
def strong_levels(
    indptr: Array, rows: Array, values: Array, part_P: Array, top: int, out_N: Array
) -> None:  # pragma: no cover - compiled
    """Write the mean of each column's ``top`` largest values among the rows of a part."""
    for j in range(indptr.size - 1):
        total, count = 0.0, 0
        for h in range(indptr[j], indptr[j + 1]):
            if part_P[rows[h]]:
                total += values[h]
                count += 1
                if count == top:
                    break
        out_N[j] = total / count if count else np.inf


@compiled
def co_firing_rows(
    first: int,
    last: int,
    indptr_N: Array,
    rows: Array,
    values: Array,
    indptr_P: Array,
    latents: Array,
    activations: Array,
    counts: Array,
    products: Array,
) -> None:  # pragma: no cover - compiled
    """Count, for latents ``first`` to ``last``, the rows shared with every other; sum products."""
    for j in range(first, last):
        count, product = counts[j - first], products[j - first]
        for h in range(indptr_N[j], indptr_N[j + 1]):
            value = values[h]
            for i in range(indptr_P[rows[h]], indptr_P[rows[h] + 1]):
                count[latents[i]] += 1
                product[latents[i]] += value * activations[i]


@compiled
def distinctive_words(
    strong_indptr: Array,
    strong_rows: Array,
    strong_weights: Array,
    indptr_P: Array,
    words: Array,
    counts: Array,
    total_V: Array,
    prior_V: Array,
    strength: float,
    least: int,
    share: float,
    out_words: Array,
    out_scores: Array,
    out_passages: Array,
) -> None:  # pragma: no cover - compiled
    """Write each concept's words by falling log-odds; see `isthmus.concepts.keywords`.

    Words whose ``prior_V`` is not positive are left out.
    """
    inside = np.zeros(total_V.size)
    holders = np.zeros(total_V.size, np.int64)
    touched = np.empty(total_V.size, np.int64)
    everything = total_V.sum()
    keep = out_words.shape[1]
    for j in range(strong_indptr.size - 1):
        found, size = 0, 0.0
        positives = strong_indptr[j + 1] - strong_indptr[j]
        for h in range(strong_indptr[j], strong_indptr[j + 1]):
            row, weight = strong_rows[h], strong_weights[h]
            for i in range(indptr_P[row], indptr_P[row + 1]):
                w = words[i]
                size += weight * counts[i]
                if prior_V[w] <= 0:
                    continue
                if holders[w] == 0:
                    touched[found] = w
                    found += 1
                holders[w] += 1
                inside[w] += weight * counts[i]
        enough = max(least, share * positives)
        kept = 0
        for t in range(found):
            w = touched[t]
            a, y, rest = prior_V[w], inside[w], total_V[w] - inside[w]
            # a word that is all there is sets nothing apart
            if holders[w] >= enough and total_V[w] < everything:
                here = np.log((y + a) / (size + strength - y - a))
                there = np.log((rest + a) / (everything - size + strength - rest - a))
                score = (here - there) / np.sqrt(1 / (y + a) + 1 / (rest + a))
                if score > 0 and (kept < keep or score > out_scores[j, keep - 1]):
                    at = min(kept, keep - 1)
                    while at > 0 and out_scores[j, at - 1] < score:
                        out_scores[j, at] = out_scores[j, at - 1]
                        out_words[j, at] = out_words[j, at - 1]
                        out_passages[j, at] = out_passages[j, at - 1]
                        at -= 1
                    out_scores[j, at], out_words[j, at] = score, w
                    out_passages[j, at] = holders[w]
                    kept = min(kept + 1, keep)
            holders[w], inside[w] = 0, 0.0
