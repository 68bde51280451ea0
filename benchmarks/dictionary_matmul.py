"""How fast torch can do the encoder's matrix product: (B, D) by (D, N), float32.

That product is the one dense piece of work that a training step cannot avoid; its best rate is
the yardstick for whole steps. Which way of asking is fastest differs between processors: ``mm``
goes to MKL, which uses half of an AMD core's width, ``onednn`` to oneDNN.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Work = Callable[[], object]


def _blocks(x_BD: Tensor, weight_DN: Tensor, rows: int) -> Work:
    """Multiply block by block into one buffer that stays in cache."""
    buffer = torch.empty(rows, weight_DN.shape[1])

    def work() -> None:
        for block in x_BD.split(rows):
            torch.mm(block, weight_DN, out=buffer[: len(block)])

    return work


def _onednn(x_BD: Tensor, weight_ND: Tensor, rows: int) -> Work:
    """Multiply block by block with oneDNN, the weights packed once before."""
    multiply = torch.ops.mkldnn._linear_pointwise
    packed = torch.ops.mkldnn._reorder_linear_weight(weight_ND, rows)

    def work() -> None:
        for block in x_BD.split(rows):
            multiply(block, packed, None, "none", [], "")

    return work


def ways(x_BD: Tensor, latents: int) -> dict[str, Work]:
    """Return the ways to multiply, by name."""
    weight_ND = torch.randn(latents, x_BD.shape[1])
    weight_DN = weight_ND.T.contiguous()
    out_BN, out_NB = torch.empty(len(x_BD), latents), torch.empty(latents, len(x_BD))
    found: dict[str, Work] = {
        "linear": lambda: F.linear(x_BD, weight_ND),
        "mm, N x D": lambda: torch.mm(x_BD, weight_ND.T, out=out_BN),
        "mm, D x N": lambda: torch.mm(x_BD, weight_DN, out=out_BN),
        "mm, transposed": lambda: torch.mm(weight_ND, x_BD.T, out=out_NB),
        "mm, blocks of 256": _blocks(x_BD, weight_DN, 256),
        "mm, blocks of 1024": _blocks(x_BD, weight_DN, 1024),
    }
    for rows in (256, 1024):
        try:
            found[f"onednn, blocks of {rows}"] = _onednn(x_BD, weight_ND, rows)
        except (AttributeError, RuntimeError):  # a private name of torch, or a build without it
            break
    return found


def best(work: dict[str, Work], clock: Callable[[], float], repeats: int = 2) -> dict[str, float]:
    """Return the least seconds of every way."""
    least: dict[str, float] = {}
    with torch.no_grad():
        for name, call in work.items():
            call()
            for _ in range(repeats):
                start = clock()
                call()
                took = clock() - start
                least[name] = min(took, least.get(name, took))
    return least
