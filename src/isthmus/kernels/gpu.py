"""The sparse step on a GPU: matrix products by torch, all that is sparse by Triton kernels.

The plan is that of :mod:`isthmus.kernels.cpu`. The encoder's product runs over blocks of rows, so
that no (batch x latents) tensor is kept; decoding and slopes touch the active latents alone; the
hits are sorted by latent, so that each row of the gradients is summed by one program, in the
order of samples: no atomics, and the same bytes every time. float32 throughout; whether a
product may use TF32 is torch's setting (by default it may not).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isthmus.errors import ConfigError
from isthmus.kernels.gpu_codes import (
    adam_bias,
    blocks,
    indptr_of,
    largest,
    launch,
    level_of,
    piece,
    power,
    product,
    sorted_rows,
)
from isthmus.kernels.gpu_tensors import (
    TensorBackward,
    TensorCode,
    TensorInputs,
    TensorMoments,
    TensorWeights,
)
from isthmus.kernels.rules import BatchTopK, Levels, Revival, RowTopK, Rule

if TYPE_CHECKING:
    from isthmus.kernels.optimiser import Knobs

__all__ = ["GPUKernels"]

_HITS = 16  # entries that a program takes at once


class GPUKernels(TensorInputs):
    """Selection, decoding, gradients and the optimiser's step on tensors of a CUDA device.

    Raises
    ------
    ConfigError
        If Triton is not installed.
    """

    def __init__(self) -> None:
        from isthmus.kernels import gpu_rows

        if not gpu_rows.available:
            raise ConfigError(
                "the GPU kernels need Triton, which is not installed",
                fix="pip install 'isthmus[gpu]'",
            )
        self._rows: Any = gpu_rows

    # --- encoding ---------------------------------------------------------------------------

    @torch.no_grad()
    def select(self, inputs_BD: Tensor, weights: TensorWeights, rule: Rule) -> TensorCode:
        """Encode inputs that stand about the pre-bias, and keep what the rule keeps."""
        if isinstance(rule, RowTopK):
            return self._row_top_k(inputs_BD, weights, rule.k)
        if isinstance(rule, BatchTopK):
            return self._batch_top_k(inputs_BD, weights, rule.k)
        threshold_N = torch.as_tensor(rule.threshold_N).to(weights.bias_N).contiguous()
        return self._above(inputs_BD, weights, threshold_N)

    def _row_top_k(self, inputs_BD: Tensor, weights: TensorWeights, k: int) -> TensorCode:
        batch, latents = len(inputs_BD), len(weights.bias_N)
        if not 1 <= k <= latents:
            raise ConfigError(f"k = {k} is not between 1 and the number of latents, {latents}")
        indices = torch.empty((batch, k), dtype=torch.int32, device=inputs_BD.device)
        values = torch.empty((batch, k), device=inputs_BD.device)
        for rows in blocks(batch, latents):
            pre = product(inputs_BD[rows], weights)
            held = pre, indices[rows], values[rows]
            launch(self._rows.top_entries, (len(pre),), *held, latents, k, BLOCK=piece(latents))
        return TensorCode.fixed(indices, values, latents)

    def _above(self, inputs_BD: Tensor, weights: TensorWeights, threshold_N: Tensor) -> TensorCode:
        latents, device = len(weights.bias_N), inputs_BD.device
        counts = torch.zeros(len(inputs_BD), dtype=torch.int64, device=device)
        indices = [torch.empty(0, dtype=torch.int32, device=device)]
        values = [torch.empty(0, device=device)]
        for rows in blocks(len(inputs_BD), latents):
            pre = product(inputs_BD[rows], weights)
            grid, block = (len(pre),), piece(latents)
            bounds = pre, threshold_N
            launch(self._rows.above_counts, grid, *bounds, counts[rows], latents, BLOCK=block)
            indptr = indptr_of(counts[rows])
            found = int(indptr[-1])
            indices.append(torch.empty(found, dtype=torch.int32, device=device))
            values.append(torch.empty(found, device=device))
            places = indptr, indices[-1], values[-1]
            launch(self._rows.above_entries, grid, *bounds, *places, latents, BLOCK=block)
        return TensorCode(indptr_of(counts), torch.cat(indices), torch.cat(values), latents)

    def _batch_top_k(self, inputs_BD: Tensor, weights: TensorWeights, k: int) -> TensorCode:
        """Keep the k x B largest: collect above a guess from a few rows, then cut exactly.

        The guess bounds how much is collected; where too little is found it is lowered, at last
        to 0, so that the result does not depend on it.
        """
        wanted = k * len(inputs_BD)
        few = product(inputs_BD[:: max(1, len(inputs_BD) // 128)][:128], weights).reshape(-1)
        share = min(len(few), 3 * k * len(few) // (2 * len(weights.bias_N)) + 1)
        guess = float(few.topk(share).values[-1]) if wanted else 0.0
        for lowered in (guess, guess / 2, guess / 8, 0.0):
            # a guess that is infinite, negative or no number is no guess
            bound = lowered if 0 < lowered < float("inf") else 0.0
            found = self._above(inputs_BD, weights, torch.full_like(weights.bias_N, bound))
            if len(found.values) >= wanted or bound == 0:
                break
        return largest(found, wanted)

    # --- decoding ---------------------------------------------------------------------------

    @torch.no_grad()
    def decode(self, code: TensorCode, decoder_ND: Tensor, pre_bias_D: Tensor) -> Tensor:
        """Return ``codes @ decoder + pre_bias``, (B, D)."""
        return self._sums(code.indptr, code.indices, code.values, decoder_ND) + pre_bias_D

    def _sums(self, indptr: Tensor, numbers: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        """Weighted sums of rows, one for each segment."""
        segments, width = len(indptr) - 1, rows.shape[1]
        out = torch.empty((segments, width), device=rows.device)
        block = piece(width, 128)
        grid = (segments, -(-width // block))
        held = indptr, numbers, weights, rows, out
        launch(self._rows.sum_rows, grid, *held, width, HITS=_HITS, BLOCK=block)
        return out

    def _slopes(self, indptr: Tensor, code: TensorCode, pulls: Tensor, decoder: Tensor) -> Tensor:
        """Return the derivatives of half the squared residuals by each activation.

        Where the activation is 0 the rectifier is closed and the slope is 0.
        """
        out = torch.empty_like(code.values)
        width = decoder.shape[1]
        held = indptr, code.indices, pulls, decoder, out
        grid = (len(indptr) - 1,)
        launch(self._rows.dot_entries, grid, *held, width, HITS=_HITS, BLOCK=piece(width, 128))
        return torch.where(code.values <= 0, 0, out)

    # --- gradients --------------------------------------------------------------------------

    @torch.no_grad()
    def backward(
        self,
        inputs_BD: Tensor,
        code: TensorCode,
        weights: TensorWeights,
        scale: float,
        levels: Levels | None = None,
        revival: Revival | None = None,
        *,
        total: int | None = None,
        add_up: Callable[[Tensor], Tensor] = lambda sums: sums,
    ) -> TensorBackward:
        """Reconstruct, and find what each activation and each decoder row is asked for.

        Parameters
        ----------
        inputs_BD
            Inputs about the pre-bias: also what ``values @ decoder`` is to equal.
        scale
            The loss is ``scale`` times the mean over samples of the squared error.
        total
            Samples of the whole batch, where other processes hold the rest of it.
        add_up
            Adds sums over those processes.
        """
        scale = scale / (total or max(len(inputs_BD), 1))
        inputs_BD = inputs_BD.contiguous()
        if levels is None:
            levels = Levels((len(weights.bias_N),), (1.0,), by_rank=False)
            found, whole_BD = self._levels(inputs_BD, code, weights, scale, levels)
            del found.losses["whole"]
        else:
            code = sorted_rows(code, levels)
            found, whole_BD = self._levels(inputs_BD, code, weights, scale, levels)
        if revival is None or not len(revival.dead):
            return found
        return self._revived(found, -whole_BD[revival.rows], weights, revival, add_up)

    def _levels(
        self,
        inputs_BD: Tensor,
        code: TensorCode,
        weights: TensorWeights,
        scale: float,
        levels: Levels,
    ) -> tuple[TensorBackward, Tensor]:
        """Partial sums, one segment of entries for each sample and level; and the last residual.

        Level l reconstructs with the segments 0 to l of a sample; an entry of segment m is pulled
        at by the weighted residuals of all levels from m on.
        """
        (batch, width), count = inputs_BD.shape, len(levels.ends)
        sample = code.rows
        segment = sample * count + level_of(code, levels)
        indptr = indptr_of(torch.bincount(segment, minlength=batch * count))
        parts = self._sums(indptr, code.indices, code.values, weights.decoder_ND)
        # not cumsum, which may add in any order on a GPU
        residual_BLD = parts.reshape(batch, count, width)
        residual_BLD[:, 0] -= inputs_BD
        for level in range(1, count):
            residual_BLD[:, level] += residual_BLD[:, level - 1]
        whole_BD = residual_BLD[:, -1].clone()
        squares_L = residual_BLD.square().sum((0, 2), dtype=torch.float64) * scale
        weight_L = torch.tensor(levels.weights, device=inputs_BD.device)
        pulls_BLD = residual_BLD.mul_(weight_L[:, None])
        for level in range(count - 1, 0, -1):
            pulls_BLD[:, level - 1] += pulls_BLD[:, level]
        pulls_PD = pulls_BLD.reshape(batch * count, width)
        factor = 2 * scale
        found = TensorBackward(
            code.indices,
            sample,
            segment,
            code.values * factor,
            self._slopes(indptr, code, pulls_PD, weights.decoder_ND) * factor,
            inputs_BD,
            pulls_PD,
            (pulls_BLD[:, 0].sum(0, dtype=torch.float64) * factor).float(),
            {"distortion": squares_L @ weight_L.double(), "whole": squares_L[-1]},
        )
        return found, whole_BD

    def _revived(
        self,
        found: TensorBackward,
        error_RD: Tensor,
        weights: TensorWeights,
        revival: Revival,
        add_up: Callable[[Tensor], Tensor],
    ) -> TensorBackward:
        """Append the dead latents' entries: see :mod:`isthmus.kernels.revival`.

        Whether anything is left to explain is not asked, for that would wait for the device:
        where nothing is, the term and what it asks for are 0.
        """
        device = error_RD.device
        dead = torch.as_tensor(revival.dead, device=device)
        small = TensorWeights(
            weights.encoder_ND[dead],
            weights.bias_N[dead],
            weights.decoder_ND[dead],
            weights.pre_bias_D,
        )
        inputs_RD = found.inputs_BD[revival.rows].contiguous()
        code = self._row_top_k(inputs_RD, small, min(revival.k, len(dead)))
        gap_RD = self._sums(code.indptr, code.indices, code.values, small.decoder_ND) - error_RD
        count = torch.tensor([float(len(error_RD))], dtype=torch.float64, device=device)
        wide_RD = error_RD.double()
        sums = add_up(torch.cat([count, wide_RD.square().sum()[None], wide_RD.sum(0)]))
        spread = sums[1] - sums[2:].square().sum() / sums[0].clamp(min=1)
        share = torch.where(spread > 1e-9 * sums[1], revival.weight / spread, 0)
        factor = (2 * share).float()
        slopes = self._slopes(code.indptr, code, gap_RD, small.decoder_ND)
        numbers = torch.arange(len(found.inputs_BD), device=device)[revival.rows]
        term = share * gap_RD.square().sum(dtype=torch.float64)
        return TensorBackward(
            torch.cat([found.latent, dead[code.indices.long()].int()]),
            torch.cat([found.sample, numbers[code.rows]]),
            torch.cat([found.pull_row, len(found.pulls_PD) + code.rows]),
            torch.cat([found.values, code.values * factor]),
            torch.cat([found.slopes, slopes * factor]),
            found.inputs_BD,
            torch.cat([found.pulls_PD, gap_RD]),
            found.pull_sum_D,
            found.losses | {"revival": term},
        )

    @torch.no_grad()
    def gradients(self, found: TensorBackward, weights: TensorWeights) -> TensorWeights:
        """Sum what a batch asks by latent; returns the gradients of all weights."""
        latents = len(weights.bias_N)
        latent, order = found.latent.sort(stable=True)
        starts = torch.searchsorted(
            latent, torch.arange(latents + 1, dtype=latent.dtype, device=latent.device)
        )
        slopes = found.slopes[order]
        bias_N = torch.empty_like(weights.bias_N)
        launch(self._rows.sum_values, (latents,), starts, slopes, bias_N, HITS=128)
        return TensorWeights(
            self._sums(starts, found.sample[order], slopes, found.inputs_BD),
            bias_N,
            self._sums(starts, found.pull_row[order], found.values[order], found.pulls_PD),
            found.pull_sum_D - bias_N @ weights.encoder_ND,
        )

    # --- the optimiser ----------------------------------------------------------------------

    @torch.no_grad()
    def apply(
        self,
        gradients: TensorWeights,
        weights: TensorWeights,
        moments: TensorMoments,
        knobs: Knobs,
    ) -> None:
        """Take Adam's step: decoder gradients lose their part along the rows, rows stay unit."""
        latents, width = weights.encoder_ND.shape
        weights.encoder_ND.mul_(1 - knobs.rate * knobs.decay)
        settings = (
            knobs.rate / (1 - knobs.beta1**knobs.step),
            knobs.beta1,
            1 - knobs.beta1,
            knobs.beta2,
            1 - knobs.beta2,
            (1 - knobs.beta2**knobs.step) ** -0.5,
            knobs.epsilon,
        )
        block = power(width)
        warps = min(max(block // 512, 1), 16)

        def held(name: str) -> tuple[Tensor, ...]:
            return tuple(
                getattr(of, name) for of in (weights, gradients, moments.mean, moments.square)
            )

        for name, sphere in (("encoder_ND", False), ("decoder_ND", True)):
            meta = {"SPHERE": sphere, "BLOCK": block, "num_warps": warps}
            launch(self._rows.step_rows, (latents,), *held(name), width, *settings, **meta)
        for name in ("bias_N", "pre_bias_D"):
            adam_bias(held(name), settings)

    def step(
        self,
        found: TensorBackward,
        weights: TensorWeights,
        moments: TensorMoments,
        knobs: Knobs,
    ) -> None:
        """Gradients and Adam's step, one after another."""
        self.apply(self.gradients(found, weights), weights, moments, knobs)
