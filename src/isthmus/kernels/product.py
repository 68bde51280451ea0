"""The encoder's dense product, ``inputs @ encoder.T + bias``, by the fastest float32 there is.

torch's CPU build carries oneDNN, whose float32 product runs at the full width of the vector
units where the BLAS libraries reach half of it on some processors (benchmarks/README.md). The
operator that leads to it is torch's own and not promised to stay, so that numpy's BLAS stands in
wherever it is missing or doesn't agree.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Product", "fastest_product"]

Array = NDArray[Any]


class Product(Protocol):
    """One version of the encoder, ready to multiply blocks of rows."""

    def __call__(self, inputs_RD: Array, room: Array) -> Array:
        """Return the pre-activations (R, N), in ``room`` or in memory of their own."""


class _BLAS:
    """numpy's BLAS."""

    def __init__(self, encoder_ND: Array, bias_N: Array, rows: int) -> None:
        self.encoder, self.bias = encoder_ND, bias_N

    def __call__(self, inputs_RD: Array, room: Array) -> Array:
        pre = room.reshape(len(inputs_RD), len(self.encoder))
        np.matmul(inputs_RD, self.encoder.T, out=pre)
        pre += self.bias
        return pre


class _OneDNN:
    """oneDNN, the encoder laid out anew once for all blocks."""

    def __init__(self, encoder_ND: Array, bias_N: Array, rows: int) -> None:
        ops = torch.ops.mkldnn
        self.bias = torch.from_numpy(bias_N)
        self.encoder = ops._reorder_linear_weight(torch.from_numpy(encoder_ND), rows)

    def __call__(self, inputs_RD: Array, room: Array) -> Array:
        x = torch.from_numpy(inputs_RD)
        pre = torch.ops.mkldnn._linear_pointwise(x, self.encoder, self.bias, "none", [], "")
        out: Array = pre.numpy()
        return out


@functools.cache
def fastest_product() -> Any:
    """Return the class of product to use here; the same on every call of a process.

    A fixed rule and no timing: the choice may not differ from run to run, for the last bits of
    a product do.
    """
    draws = np.random.default_rng(0)
    x, w = (draws.standard_normal((n, 40)).astype(np.float32) for n in (9, 33))
    bias = draws.standard_normal(33).astype(np.float32)
    try:
        with torch.no_grad():
            found = _OneDNN(w, bias, 9)(x, np.empty(0, np.float32))
    except (AttributeError, RuntimeError):
        return _BLAS
    agrees = found.shape == (9, 33) and np.allclose(found, x @ w.T + bias, rtol=1e-5, atol=1e-5)
    return _OneDNN if agrees else _BLAS
