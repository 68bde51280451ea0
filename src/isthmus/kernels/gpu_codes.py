"""Small steps around the Triton kernels: launching, blocks, sorting and cutting codes."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from isthmus.kernels.gpu_tensors import TensorCode, TensorWeights
from isthmus.kernels.rules import Levels

__all__ = [
    "adam_bias",
    "blocks",
    "indptr_of",
    "largest",
    "launch",
    "level_of",
    "piece",
    "power",
    "product",
    "sorted_rows",
]

_BLOCK_NUMBERS = 1 << 26  # of pre-activations at a time: 256 MiB


def launch(kernel: Any, grid: tuple[int, ...], *tensors_and_sizes: Any, **meta: Any) -> None:
    """Start a kernel on the device of its first tensor; an empty grid is nothing to do."""
    if 0 in grid:
        return
    device = tensors_and_sizes[0].device
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[grid](*tensors_and_sizes, **meta)


def product(inputs_RD: Tensor, weights: TensorWeights) -> Tensor:
    """Return the pre-activations of some rows, (R, N)."""
    return torch.addmm(weights.bias_N, inputs_RD, weights.encoder_ND.T)


def blocks(rows: int, latents: int) -> list[slice]:
    """Split rows into blocks whose pre-activations take 256 MiB at most."""
    size = max(1, _BLOCK_NUMBERS // latents)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def power(size: int) -> int:
    """Return the smallest power of two that is at least ``size``: what Triton's blocks must be.

    Examples
    --------
    >>> [power(size) for size in (1, 2, 3, 384)]
    [1, 2, 4, 512]
    """
    return 1 << max(size - 1, 0).bit_length()


def piece(size: int, most: int = 2048) -> int:
    """Return the numbers of a row that a program takes at once."""
    return min(power(size), most)


def indptr_of(counts: Tensor) -> Tensor:
    """Return where rows of these lengths begin and end, (rows + 1,)."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def largest(code: TensorCode, wanted: int) -> TensorCode:
    """Keep the ``wanted`` largest entries; of equals those that come first."""
    if len(code.values) <= wanted:
        return code
    cut = code.values.topk(wanted).values[-1]
    above, equal = code.values > cut, code.values == cut
    keep = above | (equal & (equal.cumsum(0) <= wanted - above.sum()))
    counts = torch.bincount(code.rows[keep], minlength=len(code))
    return TensorCode(indptr_of(counts), code.indices[keep], code.values[keep], code.latents)


def sorted_rows(code: TensorCode, levels: Levels) -> TensorCode:
    """Order each row's entries so that those of one level stand together."""
    order = code.indices.sort(stable=True).indices
    if levels.by_rank:
        order = order[code.values[order].sort(descending=True, stable=True).indices]
    order = order[code.rows[order].sort(stable=True).indices]
    return TensorCode(code.indptr, code.indices[order], code.values[order], code.latents)


def level_of(code: TensorCode, levels: Levels) -> Tensor:
    """Return the first level that holds each entry of a sorted code, (nnz,), int64."""
    ends = torch.tensor(levels.ends, device=code.indices.device)
    place = code.indices.long()
    if levels.by_rank:
        place = torch.arange(len(place), device=ends.device) - code.indptr[code.rows]
    return torch.searchsorted(ends, place, right=True).clamp(max=len(ends) - 1)


def adam_bias(held: tuple[Tensor, ...], settings: tuple[float, ...]) -> None:
    """Take Adam's step on a bias.

    Parameters
    ----------
    held
        The bias, its gradient and its two moments.
    settings
        What the kernel ``step_rows`` reads from ``rate`` on.
    """
    weight, gradient, mean, square = held
    rate, beta1, rest1, beta2, rest2, correction, epsilon = settings
    mean.mul_(beta1).add_(gradient, alpha=rest1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=rest2)
    weight.addcdiv_(mean, square.sqrt().mul_(correction).add_(epsilon), value=-rate)
