"""Compiled selection: the k largest pre-activations of each row, or all above a threshold.

A row is read once to take the largest of each of G interleaved lanes. At
least k lanes hold a value no smaller than the k-th largest lane maximum, so that this is a lower
bound for the k-th largest value; only lanes that reach it are looked into. That takes a few
microseconds a row while it is in cache, where a general top-k takes several passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.compiled import compiled

__all__ = ["above_rows", "lane_tops", "lanes_for", "top_rows"]

Array = NDArray[Any]


def lanes_for(latents: int, k: int) -> int:
    """Return the number of lanes: about 12k, a multiple of 16, at most the number of latents.

    More lanes make the bound tighter and the search for it longer.
    """
    return int(min(max(64, -(-12 * k // 16) * 16), latents))


@compiled
def _bound(tops: Array, k: int) -> Any:  # pragma: no cover - compiled
    """Return a value that at least ``k`` entries reach, within 1/4096 of the largest such."""
    low, high = tops[0], tops[0]
    for g in range(tops.size):
        low = tops[g] if tops[g] < low else low
        high = tops[g] if tops[g] > high else high
    for _ in range(12):
        middle = np.float32(0.5) * (low + high)
        count = np.int32(0)
        for g in range(tops.size):
            count += np.int32(tops[g] >= middle)
        if count >= k:
            low = middle
            if count <= k + k // 16:
                break
        else:
            high = middle
    return low


@compiled
def lane_tops(row: Array, tops: Array, least: Any) -> None:  # pragma: no cover - compiled
    """Take the largest value of each lane; ``least`` is no larger than any, and of their type."""
    lanes = tops.size
    four = row.size // (4 * lanes) * (4 * lanes)
    tops[:] = least
    for s in range(0, four, 4 * lanes):  # four strides at once: the maxima are stored less often
        # slices of their own: the compiler then knows that it may take many lanes at once
        one, two = row[s : s + lanes], row[s + lanes : s + 2 * lanes]
        three, last = row[s + 2 * lanes : s + 3 * lanes], row[s + 3 * lanes : s + 4 * lanes]
        for g in range(lanes):
            a, b, c, d, top = one[g], two[g], three[g], last[g], tops[g]
            a = a if a > b else b
            c = c if c > d else d
            a = a if a > c else c
            tops[g] = a if a > top else top
    for s in range(four, row.size, lanes):
        one = row[s : min(s + lanes, row.size)]
        for g in range(one.size):
            a, top = one[g], tops[g]
            tops[g] = a if a > top else top


@compiled
def _kept(values: Array, indices: Array, count: int, k: int) -> None:  # pragma: no cover
    """Move the ``k`` largest of ``count`` candidates to the front; of equals the lower index.

    Hoare's selection: about two comparisons a candidate.
    """
    low, high = 0, count - 1
    if count <= k:
        return
    while low < high:
        value, index = values[(low + high) // 2], indices[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > value or (values[i] == value and indices[i] < index):
                i += 1
            while values[j] < value or (values[j] == value and indices[j] > index):
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                indices[i], indices[j] = indices[j], indices[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break


@compiled
def top_rows(
    pre_RN: Array, k: int, tops_G: Array, out_index_RK: Array, out_value_RK: Array
) -> None:  # pragma: no cover - compiled
    """Select the ``k`` largest of each row of ``pre``, unordered, negative ones as 0."""
    rows, latents = pre_RN.shape
    lanes = tops_G.size
    indices = np.empty(latents + 1, np.int32)  # one more: a rejected candidate is overwritten
    values = np.empty(latents + 1, np.float32)
    live = np.empty(lanes + 1, np.int32)
    for r in range(rows):
        row = pre_RN[r]
        lane_tops(row, tops_G, np.float32(-np.inf))
        bound = _bound(tops_G, k)
        hits = np.int32(0)
        for g in range(lanes):  # no branches here and below: they would be mispredicted
            live[hits] = g
            hits += np.int32(tops_G[g] >= bound)
        count: Any = np.int32(0)
        for h in range(hits):
            j = live[h]
            while j < latents:
                value = row[j]
                indices[count], values[count] = j, value
                count += np.int32(value >= bound)
                j += lanes
        if count > 4 * k + 64:  # many equals: narrow the candidates down first
            cut = np.partition(values[:count], count - k)[count - k]
            kept = 0
            for c in range(count):
                if values[c] > cut:
                    values[kept], indices[kept] = values[c], indices[c]
                    kept += 1
            for j in range(latents):  # equals of the cut in the order of latents
                if kept == k:
                    break
                if row[j] == cut:
                    values[kept], indices[kept] = cut, j
                    kept += 1
            count = kept
        _kept(values, indices, count, k)
        count = min(count, k)
        for j in range(latents):  # a row of fewer than k numbers: NaN, so that the loss shows it
            if count >= k:
                break
            if row[j] != row[j]:
                indices[count], values[count] = j, np.float32(np.nan)
                count += 1
        for c in range(k):
            out_index_RK[r, c] = indices[c]
            out_value_RK[r, c] = np.float32(0) if values[c] <= 0 else values[c]


@compiled
def above_rows(
    pre_RN: Array,
    threshold_N: Array,
    out_count_R: Array,
    out_index: Array,
    out_value: Array,
) -> int:  # pragma: no cover - compiled
    """Collect the entries of ``pre`` above the thresholds, row after row.

    Returns the number of entries found, which may exceed the room in ``out_index``; those beyond
    it are only counted.
    """
    rows, latents = pre_RN.shape
    room = out_index.size
    found = 0
    for r in range(rows):
        before = found
        for start in range(0, latents, 64):
            end = min(start + 64, latents)
            row, least = pre_RN[r, start:end], threshold_N[start:end]
            hits = np.int32(0)
            for j in range(row.size):
                hits += np.int32(row[j] > least[j])
            if hits:
                for j in range(row.size):
                    value = row[j]
                    if value > least[j]:
                        if found < room:
                            out_index[found] = start + j
                            out_value[found] = value
                        found += 1
        out_count_R[r] = found - before
    return found
