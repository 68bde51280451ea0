"""The auxiliary loss that brings dead latents back, on the dead columns alone.

Gao et al., arXiv:2406.04093, A.2: with the residual e = x - x_hat held constant, the k_aux
largest pre-activations among the dead latents reconstruct e without any bias,

    L_aux = alpha * sum ||e - e_hat||^2 / sum ||e - mean e||^2,

whose gradient reaches encoder and decoder of the dead latents and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels import code_rows
from isthmus.kernels.rules import Revival, RowTopK, Weights

if TYPE_CHECKING:
    from isthmus.kernels.cpu import Backward, CPUKernels

__all__ = ["revived"]

Array = NDArray[Any]


def revived(
    kernels: CPUKernels,
    found: Backward,
    weights: Weights,
    revival: Revival,
    add_up: Callable[[Array], Array],
    *,
    partial: bool = False,
) -> Backward:
    """Append the dead latents' entries to what a batch asks of the weights.

    Parameters
    ----------
    add_up
        Adds sums over the processes that share the batch.
    partial
        Whether the pulls are those of partial reconstructions, not the residual itself.
    """
    from isthmus.kernels.code import SparseCode
    from isthmus.kernels.cpu import Backward

    dead = revival.dead
    inputs = np.ascontiguousarray(found.inputs_BD[revival.rows])
    if partial:
        code = found.code
        whole = kernels.decode(code, weights.decoder_ND, np.zeros_like(weights.pre_bias_D))
        error = inputs - whole[revival.rows]
    else:
        error = -found.pulls_PD[revival.rows]
    # sum ||e - mean e||^2 = sum ||e||^2 - ||sum e||^2 / rows, added up over processes
    sums = np.empty(error.shape[1] + 2)
    sums[0], sums[1] = len(error), np.square(error, dtype=np.float64).sum()
    sums[2:] = error.sum(0, dtype=np.float64)
    sums = add_up(sums)
    spread = float(sums[1] - np.square(sums[2:]).sum() / max(sums[0], 1))
    if spread <= 1e-9 * sums[1]:  # rows that are alike: what differs is rounding
        return found
    small = Weights(
        np.ascontiguousarray(weights.encoder_ND[dead]),
        weights.bias_N[dead],
        np.ascontiguousarray(weights.decoder_ND[dead]),
        weights.pre_bias_D,
    )
    code = kernels.select(inputs, small, RowTopK(min(revival.k, len(dead))))
    gap = np.empty_like(error)
    slopes = np.empty_like(code.values)
    square = code_rows.residual_rows(
        code.indptr, code.indices, code.values, small.decoder_ND, error, gap, slopes
    )
    factor = np.float32(2 * revival.weight / spread)
    sample = np.arange(len(found.inputs_BD), dtype=np.int32)[revival.rows][code.rows]
    used = code.values > 0
    entries = SparseCode(
        found.code.indptr,
        np.concatenate([found.code.indices, dead[code.indices[used]].astype(np.int32)]),
        np.concatenate([found.code.values, code.values[used]]),
        found.code.latents,
    )
    return Backward(
        entries,
        np.concatenate([found.sample, sample[used]]),
        np.concatenate([found.pull_row, (len(found.pulls_PD) + code.rows[used]).astype(np.int32)]),
        np.concatenate([found.values, factor * code.values[used]]),
        np.concatenate([found.slopes, factor * slopes[used]]),
        found.inputs_BD,
        np.concatenate([found.pulls_PD, gap]),
        found.pull_sum_D,
        found.losses | {"revival": revival.weight * square / spread},
    )
