"""Compiled work on the rows of the weights: gradients by latent and the optimiser's step.

The (sample, latent) hits of a batch are sorted by latent, so that each latent's rows of encoder
and decoder are owned by one thread: no atomics, and the sums run in the order of samples whatever
the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.compiled import compiled

__all__ = ["adam_rows", "gradient_rows", "hits_by_latent", "stepped_rows"]

Array = NDArray[Any]


@compiled
def hits_by_latent(indices: Array, starts_N1: Array, order: Array) -> None:  # pragma: no cover
    """Sort entries by latent: those of n are ``order[starts[n]:starts[n + 1]]``, in order."""
    starts_N1[:] = 0
    for h in range(indices.size):
        starts_N1[indices[h] + 1] += 1
    for n in range(starts_N1.size - 1):
        starts_N1[n + 1] += starts_N1[n]
    place = starts_N1[:-1].copy()
    for h in range(indices.size):
        n = indices[h]
        order[place[n]] = h
        place[n] += 1


@compiled
def _weighted_sum(
    out_D: Array, vectors: Array, rows: Array, weights: Array, order: Array, first: int, last: int
) -> None:  # pragma: no cover - compiled
    """Add ``weights[h] * vectors[rows[h]]`` over hits h of ``order[first:last]``."""
    width = out_D.size
    at = first
    while at + 4 <= last:
        g, h, j, k = order[at], order[at + 1], order[at + 2], order[at + 3]
        a, b, c, d = rows[g], rows[h], rows[j], rows[k]
        p, q, r, s = weights[g], weights[h], weights[j], weights[k]
        for i in range(width):
            out_D[i] += (p * vectors[a, i] + q * vectors[b, i]) + (
                r * vectors[c, i] + s * vectors[d, i]
            )
        at += 4
    for rest in range(at, last):
        g = order[rest]
        a, p = rows[g], weights[g]
        for i in range(width):
            out_D[i] += p * vectors[a, i]


@compiled
def _gradient(
    n: int,
    starts_N1: Array,
    order: Array,
    sample: Array,
    pull_row: Array,
    values: Array,
    slopes: Array,
    inputs_BD: Array,
    pulls_PD: Array,
    encoder_D: Array,
    decoder_D: Array,
) -> float:  # pragma: no cover - compiled
    """Gradients of one latent's encoder and decoder rows into the last two; returns its bias's."""
    first, last = starts_N1[n], starts_N1[n + 1]
    encoder_D[:] = np.float32(0)
    decoder_D[:] = np.float32(0)
    _weighted_sum(decoder_D, pulls_PD, pull_row, values, order, first, last)
    _weighted_sum(encoder_D, inputs_BD, sample, slopes, order, first, last)
    total = 0.0
    for at in range(first, last):
        total += slopes[order[at]]
    return total


@compiled
def gradient_rows(
    begin: int,
    end: int,
    starts_N1: Array,
    order: Array,
    sample: Array,
    pull_row: Array,
    values: Array,
    slopes: Array,
    inputs_BD: Array,
    pulls_PD: Array,
    encoder_ND: Array,
    bias_N: Array,
    decoder_ND: Array,
) -> None:  # pragma: no cover - compiled
    """Write the gradients of latents ``begin`` to ``end`` into the last three.

    Each entry h belongs to ``sample[h]``; its activation ``values[h]`` multiplies row
    ``pull_row[h]`` of ``pulls_PD`` for the decoder, its slope ``slopes[h]`` the sample's input
    for the encoder.
    """
    for n in range(begin, end):
        bias_N[n] = _gradient(
            n,
            starts_N1,
            order,
            sample,
            pull_row,
            values,
            slopes,
            inputs_BD,
            pulls_PD,
            encoder_ND[n],
            decoder_ND[n],
        )


@compiled
def _adam_row(
    weight_D: Array, gradient_D: Array, mean_D: Array, square_D: Array, knobs: Array
) -> None:  # pragma: no cover - compiled
    rate, beta1, beta2, correction, epsilon = knobs[0], knobs[1], knobs[2], knobs[3], knobs[4]
    new1, new2 = knobs[6], knobs[7]
    for i in range(weight_D.size):
        g = gradient_D[i]
        m = beta1 * mean_D[i] + new1 * g
        v = beta2 * square_D[i] + new2 * g * g
        mean_D[i] = m
        square_D[i] = v
        weight_D[i] -= rate * m / (np.sqrt(v) * correction + epsilon)


@compiled
def _without_parallel(gradient_D: Array, row_D: Array) -> None:  # pragma: no cover - compiled
    """Remove from a gradient its component along a unit row."""
    along = np.float32(0)
    for i in range(row_D.size):
        along += gradient_D[i] * row_D[i]
    for i in range(row_D.size):
        gradient_D[i] -= along * row_D[i]


@compiled
def _to_unit_norm(row_D: Array) -> None:  # pragma: no cover - compiled
    square = np.float32(0)
    for i in range(row_D.size):
        square += row_D[i] * row_D[i]
    if square > 0:
        scale = np.float32(1) / np.sqrt(square)
        for i in range(row_D.size):
            row_D[i] *= scale


@compiled
def _step(
    n: int,
    encoder_ND: Array,
    decoder_ND: Array,
    encoder_gradient_D: Array,
    decoder_gradient_D: Array,
    moments: tuple[Array, Array, Array, Array],
    knobs: Array,
) -> None:  # pragma: no cover - compiled
    """Adam on one latent's rows: the decoder's stays on the unit sphere."""
    mean_e, square_e, mean_d, square_d = moments
    for i in range(encoder_gradient_D.size):
        encoder_ND[n, i] *= knobs[5]
    _adam_row(encoder_ND[n], encoder_gradient_D, mean_e[n], square_e[n], knobs)
    _without_parallel(decoder_gradient_D, decoder_ND[n])
    _adam_row(decoder_ND[n], decoder_gradient_D, mean_d[n], square_d[n], knobs)
    _to_unit_norm(decoder_ND[n])


@compiled
def adam_rows(
    begin: int,
    end: int,
    encoder_ND: Array,
    decoder_ND: Array,
    encoder_gradient_ND: Array,
    decoder_gradient_ND: Array,
    moments: tuple[Array, Array, Array, Array],
    knobs: Array,
) -> None:  # pragma: no cover - compiled
    """Take Adam's step on latents ``begin`` to ``end``, given their gradients.

    ``knobs``: rate over the first moment's bias correction, beta1, beta2, one over the root of
    the second moment's bias correction, epsilon, what the encoder shrinks by,
    one minus beta1, one minus beta2; float32.
    """
    for n in range(begin, end):
        _step(
            n,
            encoder_ND,
            decoder_ND,
            encoder_gradient_ND[n],
            decoder_gradient_ND[n],
            moments,
            knobs,
        )


@compiled
def stepped_rows(
    begin: int,
    end: int,
    starts_N1: Array,
    order: Array,
    sample: Array,
    pull_row: Array,
    values: Array,
    slopes: Array,
    inputs_BD: Array,
    pulls_PD: Array,
    encoder_ND: Array,
    bias_gradient_N: Array,
    decoder_ND: Array,
    moments: tuple[Array, Array, Array, Array],
    knobs: Array,
) -> None:  # pragma: no cover - compiled
    """Gradient and Adam's step together, a latent at a time: no gradient is kept in memory."""
    width = encoder_ND.shape[1]
    encoder_gradient = np.empty(width, np.float32)
    decoder_gradient = np.empty(width, np.float32)
    for n in range(begin, end):
        bias_gradient_N[n] = _gradient(
            n,
            starts_N1,
            order,
            sample,
            pull_row,
            values,
            slopes,
            inputs_BD,
            pulls_PD,
            encoder_gradient,
            decoder_gradient,
        )
        _step(
            n,
            encoder_ND,
            decoder_ND,
            encoder_gradient,
            decoder_gradient,
            moments,
            knobs,
        )
