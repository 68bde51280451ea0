"""The encoder's product in bfloat16, as a screen for exact float32 scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.kernels.rules import Weights
from isthmus.kernels.screen_rows import leftover_rows, screened_rows
from isthmus.kernels.select_rows import lanes_for
from isthmus.kernels.team import Team

__all__ = ["Screen"]

Array = NDArray[Any]


class Screen:
    """One version of the encoder, rounded, with what bounds the rounding's effect.

    See :mod:`isthmus.kernels.screen_rows` for the bound.
    """

    def __init__(self, weights: Weights, team: Team, held: tuple[torch.Tensor, ...] = ()) -> None:
        self.weights = weights
        latents, width = weights.encoder_ND.shape
        fits = len(held) == 2 and held[0].shape == (latents, width)
        self.encoder = held[0] if fits else torch.empty(latents, width, dtype=torch.bfloat16)
        self.bias = torch.from_numpy(weights.bias_N).to(torch.bfloat16)
        step = -(-latents // (4 * team.threads))

        def work(begin: int) -> tuple[float, float]:
            part = slice(begin, begin + step)
            rows = weights.encoder_ND[part]
            left, norm = _rounded(rows, self.encoder[part])
            return float(left.max()), float(norm.max())

        found = team.map(work, range(0, latents, step))
        self.most_left = max(f[0] for f in found)
        self.most_norm = max(f[1] for f in found)
        self.most_bias = float(np.abs(weights.bias_N - self.bias.float().numpy()).max(initial=0))
        # the sum with the bias is rounded once more, by at most 2^-8 of the bias
        self.most_bias += float(np.abs(weights.bias_N).max(initial=0)) * 2.0**-8

    def top_rows(
        self, inputs_RD: Array, k: int, keys_RN: torch.Tensor, index_RK: Array, value_RK: Array
    ) -> int:
        """Select each row's k largest; returns how many values were rescored.

        Parameters
        ----------
        keys_RN
            Room for the screened values, bfloat16.
        """
        inputs = torch.empty(inputs_RD.shape, dtype=torch.bfloat16)
        left, norm = _rounded(inputs_RD, inputs)
        torch.addmm(self.bias, inputs, self.encoder.T, out=keys_RN)
        tops = np.empty(lanes_for(len(self.weights.bias_N), k), np.int16)
        rescored: int = screened_rows(
            keys_RN.view(torch.int16).numpy(),
            inputs_RD,
            self.weights.encoder_ND,
            self.weights.bias_N,
            left,
            norm,
            np.float32(self.most_left),
            np.float32(self.most_norm),
            np.float32(self.most_bias),
            k,
            tops,
            index_RK,
            value_RK,
        )
        return rescored


def _rounded(rows: Array, out: torch.Tensor) -> tuple[Array, Array]:
    """Round rows into ``out``; return norms of what is left over, and of the rounded rows."""
    left, norm = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    out.copy_(torch.from_numpy(rows))
    leftover_rows(rows, out.view(torch.int16).numpy().view(np.uint16), left, norm)
    return left, norm
