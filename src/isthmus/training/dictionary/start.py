"""How a dictionary starts: scale, pre-bias, directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.models.dictionary import SparseDictionary

__all__ = ["geometric_median", "started"]

Array = NDArray[Any]


def geometric_median(rows_BD: Array, steps: int = 100, tolerance: float = 1e-6) -> Array:
    """Return the point with the least summed distance to all rows, (D,), float64.

    Source: Weiszfeld, "Sur le point pour lequel la somme des distances de n points donnés est
    minimum", 1937; as pre-bias: Gao et al., arXiv:2406.04093, A.1.

    Examples
    --------
    >>> geometric_median(np.array([[0.0], [1.0], [100.0]])).round(3)
    array([1.])
    """
    rows = np.asarray(rows_BD)
    blocks = [rows[start : start + 1024] for start in range(0, len(rows), 1024)]
    middle: Array = rows.mean(0, dtype=np.float64)
    for _ in range(steps):
        distance = np.concatenate([np.linalg.norm(block - middle, axis=1) for block in blocks])
        # a row that the estimate sits on would have infinite weight
        least = 1e-12 + 1e-9 * float(distance.max())
        weight = 1 / np.maximum(distance, least)
        moved = np.zeros_like(middle)
        for block, part in zip(blocks, np.split(weight, range(1024, len(rows), 1024)), strict=True):
            moved += part @ block.astype(np.float64)
        moved /= weight.sum()
        done = np.linalg.norm(moved - middle) <= tolerance * max(
            float(np.linalg.norm(moved)), 1e-12
        )
        middle = moved
        if done:
            break
    return middle


def started(model: SparseDictionary, sample_BD: Array, seed: int, *, warm: bool = False) -> float:
    """Initialise a dictionary from a sample of rows; return the scale of the data.

    The scale is the root of the total variance, a single number: training runs on ``x / scale``,
    where a reconstruction by the mean costs 1. Pre-bias: the geometric median. Encoder rows equal
    decoder rows, of unit norm; biases are zero. A ``warm`` start keeps the weights that are there
    and only brings them into these units.

    Raises
    ------
    DataError
        If there are no rows, or all are the same.
    """
    if not len(sample_BD):
        raise DataError("there are no rows to learn from")
    sample = model.prepared(torch.from_numpy(np.ascontiguousarray(sample_BD, np.float32)))[0]
    rows = sample.numpy()
    mean = rows.mean(0, dtype=np.float64)
    blocks = (rows[start : start + 1024] for start in range(0, len(rows), 1024))
    scale = float(np.sqrt(sum(float(np.square(b - mean).sum()) for b in blocks) / len(rows)))
    if not scale > 0:
        raise DataError("all rows are the same: there is nothing to learn")
    if warm:
        model.rescale(1 / scale)
        return scale
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        directions = torch.randn(model.latent, model.dim, generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        model.decoder.copy_(directions)
        model.encoder.copy_(directions)
        model.bias.zero_()
        model.pre_bias.copy_(torch.from_numpy(geometric_median(rows) / scale))
        model.objective.begin(model, sample / scale)
    return scale
