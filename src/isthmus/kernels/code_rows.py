"""Compiled work on the rows of sparse codes: decoding, residuals, and what each activation gets.

Everything here touches only the active latents of a row: 2 x D x K multiply-adds instead of
2 x D x N. Rows are independent, so any split over threads gives the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.compiled import compiled

__all__ = [
    "centred_rows",
    "decode_rows",
    "dots_rows",
    "level_rows",
    "noisy_rows",
    "residual_rows",
    "sort_rows",
]

Array = NDArray[Any]


@compiled
def _add_latents(
    out_D: Array, decoder_ND: Array, indices: Array, values: Array, first: int, last: int
) -> None:  # pragma: no cover - compiled
    """Add entries ``first`` to ``last`` of a code, decoded, to ``out_D``; four at a time."""
    width = out_D.size
    h = first
    while h + 4 <= last:
        a, b, c, d = indices[h], indices[h + 1], indices[h + 2], indices[h + 3]
        p, q, r, s = values[h], values[h + 1], values[h + 2], values[h + 3]
        for i in range(width):
            out_D[i] += (p * decoder_ND[a, i] + q * decoder_ND[b, i]) + (
                r * decoder_ND[c, i] + s * decoder_ND[d, i]
            )
        h += 4
    for rest in range(h, last):
        a, p = indices[rest], values[rest]
        for i in range(width):
            out_D[i] += p * decoder_ND[a, i]


@compiled
def _dots(
    vector_D: Array, rows_ND: Array, indices: Array, out: Array, first: int, last: int
) -> None:  # pragma: no cover - compiled
    """Inner products of a vector with the rows of entries ``first`` to ``last``; four at a time."""
    width = vector_D.size
    h = first
    while h + 4 <= last:
        a, b, c, d = indices[h], indices[h + 1], indices[h + 2], indices[h + 3]
        p = q = r = s = np.float32(0)
        for i in range(width):
            v = vector_D[i]
            p += v * rows_ND[a, i]
            q += v * rows_ND[b, i]
            r += v * rows_ND[c, i]
            s += v * rows_ND[d, i]
        out[h], out[h + 1], out[h + 2], out[h + 3] = p, q, r, s
        h += 4
    for rest in range(h, last):
        a = indices[rest]
        p = np.float32(0)
        for i in range(width):
            p += vector_D[i] * rows_ND[a, i]
        out[rest] = p


@compiled
def centred_rows(
    x_RD: Array, factor: np.float32, middle_D: Array, out_RD: Array
) -> None:  # pragma: no cover - compiled
    """Write ``factor * x - middle``."""
    for r in range(x_RD.shape[0]):
        for i in range(middle_D.size):
            out_RD[r, i] = factor * x_RD[r, i] - middle_D[i]


@compiled
def noisy_rows(
    inputs_RD: Array, noise_PD: Array, first: int, shift: int, sizes_R: Array
) -> None:  # pragma: no cover - compiled
    """Add to row r ``sizes[r]`` times row ``first + r`` of the noise, turned by ``shift``.

    Rows and coordinates of the noise wrap around.
    """
    rest = inputs_RD.shape[1] - shift
    for r in range(inputs_RD.shape[0]):
        drawn, size = noise_PD[(first + r) % noise_PD.shape[0]], sizes_R[r]
        head, tail = inputs_RD[r, :rest], inputs_RD[r, rest:]
        for i in range(rest):
            head[i] += size * drawn[shift + i]
        for i in range(shift):
            tail[i] += size * drawn[i]


@compiled
def decode_rows(
    indptr: Array, indices: Array, values: Array, decoder_ND: Array, start_D: Array, out_RD: Array
) -> None:  # pragma: no cover - compiled
    """Decode rows of a code: ``out = start + values @ decoder``."""
    for r in range(out_RD.shape[0]):
        out = out_RD[r]
        out[:] = start_D
        _add_latents(out, decoder_ND, indices, values, indptr[r], indptr[r + 1])


@compiled
def dots_rows(
    indptr: Array, indices: Array, vectors_RD: Array, rows_ND: Array, out: Array
) -> None:  # pragma: no cover - compiled
    """Inner product of each entry's row of ``rows_ND`` with its sample's vector."""
    for r in range(vectors_RD.shape[0]):
        _dots(vectors_RD[r], rows_ND, indices, out, indptr[r], indptr[r + 1])


@compiled
def residual_rows(
    indptr: Array,
    indices: Array,
    values: Array,
    decoder_ND: Array,
    target_RD: Array,
    residual_RD: Array,
    slopes: Array,
) -> float:  # pragma: no cover - compiled
    """Residual ``values @ decoder - target`` and its inner product with each active latent.

    ``slopes`` is the derivative of half the squared residual by each activation; where the
    activation is 0 the rectifier is closed and the slope is 0. Returns the summed squares.
    """
    total = 0.0
    for r in range(target_RD.shape[0]):
        residual = residual_RD[r]
        target = target_RD[r]
        for i in range(residual.size):
            residual[i] = -target[i]
        first, last = indptr[r], indptr[r + 1]
        _add_latents(residual, decoder_ND, indices, values, first, last)
        square = np.float32(0)
        for i in range(residual.size):
            square += residual[i] * residual[i]
        total += float(square)
        _dots(residual, decoder_ND, indices, slopes, first, last)
        for h in range(first, last):
            if values[h] <= 0:
                slopes[h] = 0
    return total


@compiled
def sort_rows(
    indptr: Array, indices: Array, values: Array, by_value: bool
) -> None:  # pragma: no cover - compiled
    """Sort the entries of each row in place: by falling activation, or by latent."""
    for r in range(indptr.size - 1):
        for h in range(indptr[r] + 1, indptr[r + 1]):
            index, value = indices[h], values[h]
            place = h
            while place > indptr[r]:
                other = place - 1
                if by_value:
                    ahead = value > values[other] or (
                        value == values[other] and index < indices[other]
                    )
                else:
                    ahead = index < indices[other]
                if not ahead:
                    break
                indices[place], values[place] = indices[other], values[other]
                place = other
            indices[place], values[place] = index, value


@compiled
def level_rows(
    indptr: Array,
    indices: Array,
    values: Array,
    level: Array,
    weight_L: Array,
    decoder_ND: Array,
    target_RD: Array,
    pull_RLD: Array,
    slopes: Array,
    squares_L: Array,
) -> None:  # pragma: no cover - compiled
    """Partial reconstructions of growing size and what they ask of each active latent.

    The entries of a row are sorted so that ``level`` (nnz,) never falls. Level l reconstructs
    with the entries of levels 0 to l; its residual r_l counts with ``weight_L[l]``. An entry of
    level m is part of all levels from m on: what pulls at it is ``pull[m]``, the sum of
    weight[l] * r_l over l >= m. One pass up and one down, instead of a decode for each level.
    ``squares_L`` gains the summed squares of each level.
    """
    levels = weight_L.size
    for r in range(target_RD.shape[0]):
        pull = pull_RLD[r]
        target = target_RD[r]
        first, last = indptr[r], indptr[r + 1]
        h = first
        for m in range(levels):
            partial = pull[m]
            if m == 0:
                for i in range(partial.size):
                    partial[i] = -target[i]
            else:
                partial[:] = pull[m - 1]
            end = h
            while end < last and level[end] == m:
                end += 1
            _add_latents(partial, decoder_ND, indices, values, h, end)
            h = end
            square = np.float32(0)
            for i in range(partial.size):
                square += partial[i] * partial[i]
            squares_L[m] += square
        end = last
        for m in range(levels - 1, -1, -1):
            for i in range(target.size):
                pull[m, i] *= weight_L[m]
            if m < levels - 1:
                for i in range(target.size):
                    pull[m, i] += pull[m + 1, i]
            begin = end
            while begin > first and level[begin - 1] == m:
                begin -= 1
            _dots(pull[m], decoder_ND, indices, slopes, begin, end)
            end = begin
        for h in range(first, last):
            if values[h] <= 0:
                slopes[h] = 0
