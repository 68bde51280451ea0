"""Compiled selection from pre-activations in bfloat16, rescored in float32.

A bfloat16 product is several times faster than a float32 one, and wrong by a little: with
x = x~ + dx and w = w~ + dw (what rounding leaves over),

    |x.w - x~.w~| <= |dx| |w~| + |x| |dw|        (Cauchy and Schwarz),

to which come the rounding of the result, 2^-8 of it at most, and of the sums. Call the whole u.
The candidates that screen highest are rescored exactly; their k-th largest value T is a lower
bound of the true k-th largest. Whatever screens below T - u can't be among the k largest; what
screens above it is rescored too. So the picks are those of float32, for every row, whatever the
data. Where T is not above u, the row is scored exactly from the beginning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.compiled import compiled
from isthmus.kernels.select_rows import _kept, lane_tops

__all__ = ["leftover_rows", "screened_rows"]

Array = NDArray[Any]


@compiled
def leftover_rows(
    values_RD: Array, bits_RD: Array, left_R: Array, norm_R: Array
) -> None:  # pragma: no cover - compiled
    """Norms of what rounding left over, ``|v - v~|``, and of the rounded rows, ``|v~|``.

    ``bits_RD`` are the rounded values' upper halves as uint16; rounding a float32 to its upper
    half changes it by at most 2^-8 of its magnitude, whose sign and size are found from the bits.
    """
    one = np.empty(1, np.uint32)
    value = one.view(np.float32)
    for r in range(values_RD.shape[0]):
        left = norm = np.float32(0)
        for i in range(values_RD.shape[1]):
            one[0] = np.uint32(bits_RD[r, i]) << np.uint32(16)
            rounded = value[0]
            gap = values_RD[r, i] - rounded
            left += gap * gap
            norm += rounded * rounded
        left_R[r] = np.sqrt(left)
        norm_R[r] = np.sqrt(norm)


@compiled
def _bound(tops: Array, k: int) -> np.int64:  # pragma: no cover - compiled
    """Return the k-th largest lane maximum, or 0 where it is negative."""
    low, high = np.int64(0), np.int64(32767)
    while low < high:
        middle = (low + high + 1) // 2
        count = np.int32(0)
        for g in range(tops.size):
            count += np.int32(tops[g] >= middle)
        if count >= k:
            low = middle
            if count <= k + k // 16:
                break
        else:
            high = middle - 1
    return low


@compiled
def _score(
    x_D: Array,
    encoder_ND: Array,
    bias_N: Array,
    indices: Array,
    values: Array,
    first: int,
    last: int,
) -> None:  # pragma: no cover - compiled
    """Score candidates ``first`` to ``last`` in float32, four at a time."""
    width = x_D.size
    c = first
    while c + 4 <= last:
        a, b, e, f = indices[c], indices[c + 1], indices[c + 2], indices[c + 3]
        p = q = r = s = np.float32(0)
        for i in range(width):
            v = x_D[i]
            p += v * encoder_ND[a, i]
            q += v * encoder_ND[b, i]
            r += v * encoder_ND[e, i]
            s += v * encoder_ND[f, i]
        values[c], values[c + 1] = p + bias_N[a], q + bias_N[b]
        values[c + 2], values[c + 3] = r + bias_N[e], s + bias_N[f]
        c += 4
    for rest in range(c, last):
        a = indices[rest]
        p = np.float32(0)
        for i in range(width):
            p += x_D[i] * encoder_ND[a, i]
        values[rest] = p + bias_N[a]


@compiled
def _collect(
    row: Array, tops: Array, low: np.int64, high: np.int64, indices: Array, count: int
) -> int:  # pragma: no cover - compiled
    """Append the latents whose keys lie in [low, high)."""
    lanes = tops.size
    for g in range(lanes):
        if tops[g] >= low:
            j = g
            while j < row.size:  # without a branch, which would be mispredicted
                indices[count] = j
                count += int(low <= row[j] < high)
                j += lanes
    return count


@compiled
def _row(
    keys_N: Array,
    x_D: Array,
    encoder_ND: Array,
    bias_N: Array,
    slack: np.float32,
    k: int,
    tops: Array,
    indices: Array,
    values: Array,
    key: Array,
) -> int:  # pragma: no cover - compiled
    """Move one row's k largest to the front; returns how many were rescored."""
    latents = keys_N.size
    lane_tops(keys_N, tops, np.int16(-32768))
    bound = _bound(tops, k)
    count = 0
    if bound > 0:
        count = _collect(keys_N, tops, bound, np.int64(32768), indices, 0)
        _score(x_D, encoder_ND, bias_N, indices, values, 0, count)
        scored = count
        _shrunk(values, indices, count, k)
        worst = values[0]
        for c in range(1, k):
            worst = min(worst, values[c])
        # (T - u) over the largest rounding of the result, and down to a key
        least = (worst - slack) * np.float32(1 - 2.0**-7)
        if least > 0:
            key.view(np.float32)[0] = least
            low = np.int64(key[0] >> np.uint32(16))
            count = _collect(keys_N, tops, low, bound, indices, k)
            _score(x_D, encoder_ND, bias_N, indices, values, k, count)
            _shrunk(values, indices, count, k)
            return int(scored + count - k)
    for j in range(latents):
        indices[j] = j
    _score(x_D, encoder_ND, bias_N, indices, values, 0, latents)
    _shrunk(values, indices, latents, k)
    return latents


@compiled
def _shrunk(values: Array, indices: Array, count: int, k: int) -> None:  # pragma: no cover
    """Move the k largest to the front: a cut first, where there are many."""
    if count > 4 * k + 64:
        cut = np.partition(values[:count], count - k)[count - k]
        kept = 0
        for c in range(count):
            if values[c] >= cut:
                values[kept], indices[kept] = values[c], indices[c]
                kept += 1
        count = kept
    _kept(values, indices, count, k)


@compiled
def screened_rows(
    keys_RN: Array,
    inputs_RD: Array,
    encoder_ND: Array,
    bias_N: Array,
    left_R: Array,
    norm_R: Array,
    most_left: np.float32,
    most_norm: np.float32,
    most_bias: np.float32,
    k: int,
    tops_G: Array,
    out_index_RK: Array,
    out_value_RK: Array,
) -> int:  # pragma: no cover - compiled
    """Select the k largest of each row, unordered, negative ones as 0.

    ``keys_RN`` are the screened pre-activations' bfloat16 bits as int16: for positive numbers
    their order is the numbers' order. ``left``, ``norm``: norms of what rounding left over of the
    inputs and of the rounded inputs; ``most_*``: the largest of the encoder rows, and of what
    rounding left over of the biases. Returns how many values were rescored.
    """
    rows, latents = keys_RN.shape
    indices = np.empty(latents + 1, np.int32)  # one more: a rejected candidate is overwritten
    values = np.empty(latents + 1, np.float32)
    key = np.empty(1, np.uint32)
    scored = 0
    width = np.float32(inputs_RD.shape[1])
    for r in range(rows):
        whole = norm_R[r] + left_R[r]
        slack = left_R[r] * most_norm + whole * most_left + most_bias
        # sums of D products in float32, here and in the screen, in any order
        slack += width * np.float32(2.0**-22) * whole * (most_norm + most_left)
        scored += _row(
            keys_RN[r],
            inputs_RD[r],
            encoder_ND,
            bias_N,
            slack,
            k,
            tops_G,
            indices,
            values,
            key,
        )
        for c in range(k):
            out_index_RK[r, c] = indices[c]
            out_value_RK[r, c] = values[c] if values[c] > 0 else np.float32(0)
    return scored
