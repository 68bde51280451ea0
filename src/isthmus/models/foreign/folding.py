"""Differences between conventions, folded into the weights: each keeps every output the same.

All take and return an :class:`~isthmus.models.foreign.record.Imported`. Vectors are computed in
float64 and rounded once to float32; matrices are scaled in float32, one rounding a value.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.models.foreign.record import Floats, Imported

__all__ = [
    "gate_threshold",
    "non_negative",
    "of_sample_variance",
    "of_scaled_input",
    "of_unshifted_input",
    "of_whitened_input",
    "reaching",
    "with_scaled_latents",
]

_ROWS = 4096


def of_unshifted_input(model: Imported) -> Imported:
    """Fold an encoder that reads n, not n - pre_bias: the bias grows by encoder @ pre_bias."""
    shift = _product(model.encoder_ND, model.pre_bias_D)
    return replace(model, bias_N=(model.bias_N + shift).astype(np.float32))


def of_scaled_input(model: Imported, factor: float) -> Imported:
    """Fold a model of ``factor * n`` whose output was divided by ``factor`` again.

    ``(factor n - b) E' + c = (n - b / factor) (factor E)' + c``, and what is decoded is divided.
    """
    scale = np.float32(factor)
    return replace(
        model,
        encoder_ND=model.encoder_ND * scale,
        decoder_ND=model.decoder_ND / scale,
        pre_bias_D=(model.pre_bias_D.astype(np.float64) / factor).astype(np.float32),
    )


def of_sample_variance(model: Imported, epsilon: float) -> Imported:
    """Fold a model of ``(x - mean) / (std + epsilon)``, undone by ``* std + mean``, into ``layer``.

    There std is the root of the variance over D - 1, here over D: they differ by a factor, which
    is a scale of the input.
    """
    factor = math.sqrt((model.dim - 1) / model.dim)
    if not factor:
        return replace(model, normalise="layer")  # refused there: one dimension has no variance
    return replace(of_scaled_input(model, factor), normalise="layer", epsilon=factor * epsilon)


def of_whitened_input(
    model: Imported, mean_D: NDArray[Any], whiten_DD: NDArray[Any], undo_DD: NDArray[Any]
) -> Imported:
    """Fold a model of ``(n - mean) @ whiten`` whose output y was turned into y @ undo + mean.

    Exact as far as ``undo`` is the inverse of ``whiten``: then
    ``(n - mean) W - b = (n - (b undo + mean)) W``.
    """
    pre = model.pre_bias_D.astype(np.float64) @ undo_DD + mean_D
    # with an inverse that is not perfect, the difference goes into the bias
    left = (pre - mean_D) @ whiten_DD - model.pre_bias_D
    return replace(
        model,
        encoder_ND=_mapped(model.encoder_ND, np.asarray(whiten_DD).T),
        decoder_ND=_mapped(model.decoder_ND, np.asarray(undo_DD)),
        bias_N=(model.bias_N + _product(model.encoder_ND, left)).astype(np.float32),
        pre_bias_D=pre.astype(np.float32),
    )


def with_scaled_latents(model: Imported, factor_N: NDArray[Any]) -> Imported:
    """Multiply every activation by a positive factor, and divide the decoder's rows by it.

    A choice by rank then ranks the scaled activations; a threshold scales along.
    """
    column = factor_N.astype(np.float32)[:, None]
    threshold = model.threshold_N
    return replace(
        model,
        encoder_ND=model.encoder_ND * column,
        decoder_ND=model.decoder_ND / column,
        bias_N=(model.bias_N * factor_N.astype(np.float64)).astype(np.float32),
        threshold_N=None
        if threshold is None
        else (threshold * factor_N.astype(np.float64)).astype(np.float32),
    )


def gate_threshold(factor_N: NDArray[Any], gate_N: NDArray[Any], size_N: NDArray[Any]) -> Floats:
    """Return the threshold that is the same as a gate w.x + gate > 0 on factor * w.x + size."""
    edge = size_N.astype(np.float64) - factor_N.astype(np.float64) * gate_N.astype(np.float64)
    return non_negative(edge)


def non_negative(threshold_N: NDArray[Any]) -> Floats:
    """Raise thresholds to 0: rectified activations below 0 are nothing anyway."""
    raised: Floats = np.maximum(threshold_N, 0).astype(np.float32)
    return raised


def reaching(threshold_N: NDArray[Any]) -> Floats:
    """Turn "active where it reaches the threshold" into "where it exceeds": one step of float32.

    Thresholds at 0 or below stay at 0: rectified activations of 0 are nothing anyway.
    """
    below = np.nextafter(threshold_N.astype(np.float32), np.float32(-np.inf))
    return non_negative(below)


def _product(matrix_ND: Floats, vector_D: NDArray[Any]) -> NDArray[np.float64]:
    """Multiply in float64, a few rows at a time: no float64 copy of the matrix."""
    wide = vector_D.astype(np.float64)
    parts = [
        matrix_ND[start : start + _ROWS].astype(np.float64) @ wide
        for start in range(0, len(matrix_ND), _ROWS)
    ]
    return np.concatenate(parts)


def _mapped(matrix_ND: Floats, map_DD: NDArray[Any]) -> Floats:
    """Multiply by a square matrix in float64, a few rows at a time."""
    out = np.empty_like(matrix_ND)
    for start in range(0, len(matrix_ND), _ROWS):
        rows = slice(start, start + _ROWS)
        out[rows] = matrix_ND[rows].astype(np.float64) @ map_DD
    return out
