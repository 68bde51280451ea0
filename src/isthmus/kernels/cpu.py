"""The sparse step on the CPU: BLAS for the encoder, compiled loops for all that is sparse.

Work is split over rows of the batch, then over latents, in blocks whose size does not depend on
the number of threads: any number gives the same bytes. No (batch x latents) array exists; each
thread holds the pre-activations of one block of rows at a time.

Source of the plan of a step: the arithmetic of a TopK dictionary needs the dense encoder product
(2DN a sample) and 8DK for everything else, where automatic differentiation of the dense form
takes 10DN (Gao et al., arXiv:2406.04093, appendix D).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels import code_rows, weight_rows
from isthmus.kernels.code import SparseCode
from isthmus.kernels.optimiser import Knobs, Moments, rows_of, small_steps
from isthmus.kernels.rules import Levels, Revival, Weights
from isthmus.kernels.selecting import Selecting

__all__ = ["Backward", "CPUKernels", "Knobs", "Moments"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Backward:
    """What one batch asks of the weights, not yet summed by latent."""

    code: SparseCode
    """The batch's code; with revival, the dead latents' entries follow those of the code."""
    sample: Array
    """The row of ``inputs_BD`` of each entry, (nnz,), int32."""
    pull_row: Array
    """The row of ``pulls_PD`` of each entry, (nnz,), int32."""
    values: Array
    """Activation of each entry, times its loss' scale, (nnz,)."""
    slopes: Array
    """Derivative of the loss by each entry's activation, (nnz,)."""
    inputs_BD: Array
    """Inputs about the pre-bias."""
    pulls_PD: Array
    """Residuals that pull at the decoder."""
    pull_sum_D: Array
    """Derivative of the loss by the output's bias, (D,)."""
    losses: dict[str, float]
    """Per-sample means of the loss' terms."""


class CPUKernels(Selecting):
    """Selection, decoding, gradients and the optimiser's step on arrays in memory.

    Parameters as of :class:`~isthmus.kernels.selecting.Selecting`.
    """

    def centred(self, x_BD: Array, factor: float, pre_bias_D: Array) -> Array:
        """Return ``factor * x - pre_bias``, (B, D), in an array that the next call reuses."""
        out = self.space("inputs", x_BD.shape)

        def work(rows: slice) -> None:
            code_rows.centred_rows(x_BD[rows], np.float32(factor), pre_bias_D, out[rows])

        self.team.map(work, self.blocks(len(x_BD), 3072))
        return out

    def add_noise(
        self, inputs_BD: Array, noise_PD: Array, first: int, shift: int, sizes_B: Array
    ) -> None:
        """Add ``sizes[b]`` times row ``first + b`` of the noise to each row.

        The noise's rows wrap around, and so do its coordinates, which begin at ``shift``.
        """

        def work(rows: slice) -> None:
            code_rows.noisy_rows(
                inputs_BD[rows], noise_PD, first + rows.start, shift, sizes_B[rows]
            )

        self.team.map(work, self.blocks(len(inputs_BD), 3072))

    # --- decoding ---------------------------------------------------------------------------

    def decode(self, code: SparseCode, decoder_ND: Array, pre_bias_D: Array) -> Array:
        """Return ``codes @ decoder + pre_bias``, (B, D)."""
        out = np.empty((len(code), decoder_ND.shape[1]), np.float32)

        def work(rows: slice) -> None:
            indptr = code.indptr[rows.start : rows.stop + 1]
            code_rows.decode_rows(
                indptr, code.indices, code.values, decoder_ND, pre_bias_D, out[rows]
            )

        self.team.map(work, self.blocks(len(code), 3072))
        return out

    # --- gradients --------------------------------------------------------------------------

    def backward(
        self,
        inputs_BD: Array,
        code: SparseCode,
        weights: Weights,
        scale: float,
        levels: Levels | None = None,
        revival: Revival | None = None,
        *,
        total: int | None = None,
        add_up: Callable[[Array], Array] = lambda sums: sums,
    ) -> Backward:
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
        from isthmus.kernels.revival import revived

        with self.team.at_work():
            found = (
                self._plain(inputs_BD, code, weights, scale, total or len(inputs_BD))
                if levels is None
                else self._levels(inputs_BD, code, weights, scale, total or len(inputs_BD), levels)
            )
            if revival is None or not len(revival.dead):
                return found
            return revived(self, found, weights, revival, add_up, partial=levels is not None)

    def _plain(
        self, inputs_BD: Array, code: SparseCode, weights: Weights, scale: float, total: int
    ) -> Backward:
        residual = self.space("residual", inputs_BD.shape)
        slopes = self.space("slopes", code.values.shape)

        def work(rows: slice) -> tuple[float, Array]:
            part = residual[rows]
            squares = code_rows.residual_rows(
                code.indptr[rows.start : rows.stop + 1],
                code.indices,
                code.values,
                weights.decoder_ND,
                inputs_BD[rows],
                part,
                slopes,
            )
            return squares, part.sum(0, dtype=np.float64)

        parts = self.team.map(work, self.blocks(len(inputs_BD), 3072))
        factor = np.float32(2 * scale / total)
        slopes *= factor
        rows = self._sample_of(code)
        return Backward(
            code,
            rows,
            rows,
            np.multiply(code.values, factor, out=self.space("values", slopes.shape)),
            slopes,
            inputs_BD,
            residual,
            (factor * np.sum([p[1] for p in parts], axis=0)).astype(np.float32),
            {"distortion": scale / total * sum(p[0] for p in parts)},
        )

    def _levels(
        self,
        inputs_BD: Array,
        code: SparseCode,
        weights: Weights,
        scale: float,
        total: int,
        levels: Levels,
    ) -> Backward:
        (batch, width), count = inputs_BD.shape, len(levels.ends)
        pulls = self.space("pulls", (batch, count, width))
        slopes = self.space("slopes", code.values.shape)
        level = np.empty(len(code.indices), np.int32)
        weight_L = np.asarray(levels.weights, np.float32)
        first_L = np.asarray(levels.ends)

        def work(rows: slice) -> Array:
            indptr = code.indptr[rows.start : rows.stop + 1]
            inside = slice(indptr[0], indptr[-1])
            code_rows.sort_rows(indptr, code.indices, code.values, levels.by_rank)
            place = code.indices[inside]
            if levels.by_rank:
                place = np.arange(inside.start, inside.stop) - np.repeat(
                    indptr[:-1], np.diff(indptr)
                )
            found = np.searchsorted(first_L, place, side="right")
            level[inside] = np.minimum(found, count - 1)  # what is beyond counts with the last
            squares = np.zeros(count)
            code_rows.level_rows(
                indptr,
                code.indices,
                code.values,
                level,
                weight_L,
                weights.decoder_ND,
                inputs_BD[rows],
                pulls[rows],
                slopes,
                squares,
            )
            return squares

        parts = self.team.map(work, self.blocks(batch, 3072))
        squares_L = np.sum([np.zeros(count), *parts], axis=0) * (scale / total)
        factor = np.float32(2 * scale / total)
        slopes *= factor
        sample = self._sample_of(code)
        return Backward(
            code,
            sample,
            sample * np.int32(count) + level,
            np.multiply(code.values, factor, out=self.space("values", slopes.shape)),
            slopes,
            inputs_BD,
            pulls.reshape(batch * count, width),
            (factor * pulls[:, 0].sum(0, dtype=np.float64)).astype(np.float32),
            {
                "distortion": float(squares_L @ weight_L.astype(np.float64)),
                "whole": float(squares_L[-1]),
            },
        )

    def _sample_of(self, code: SparseCode) -> Array:
        rows = np.arange(len(code), dtype=np.int32)
        return np.repeat(rows, np.diff(code.indptr))

    def gradients(self, found: Backward, weights: Weights) -> Weights:
        """Sum what a batch asks by latent; returns the gradients of all weights."""
        starts, order = self._hits(found, len(weights.bias_N))
        out = Weights(
            np.empty_like(weights.encoder_ND),
            np.empty_like(weights.bias_N),
            np.empty_like(weights.decoder_ND),
            np.empty_like(weights.pre_bias_D),
        )

        def work(span: tuple[int, int]) -> None:
            weight_rows.gradient_rows(
                *span,
                starts,
                order,
                found.sample,
                found.pull_row,
                found.values,
                found.slopes,
                found.inputs_BD,
                found.pulls_PD,
                out.encoder_ND,
                out.bias_N,
                out.decoder_ND,
            )

        self.team.map(work, self._spans(starts))
        out.pre_bias_D[:] = found.pull_sum_D - out.bias_N @ weights.encoder_ND
        return out

    # --- the optimiser ----------------------------------------------------------------------

    def apply(self, gradients: Weights, weights: Weights, moments: Moments, knobs: Knobs) -> None:
        """Take Adam's step: decoder gradients lose their part along the rows, rows stay unit."""
        read = knobs.array()
        latents = len(weights.bias_N)
        step = -(-latents // (8 * self.team.threads))

        def work(begin: int) -> None:
            weight_rows.adam_rows(
                begin,
                min(begin + step, latents),
                weights.encoder_ND,
                weights.decoder_ND,
                gradients.encoder_ND,
                gradients.decoder_ND,
                rows_of(moments),
                read,
            )

        self.team.map(work, range(0, latents, step))
        small_steps(gradients, weights, moments, read)

    def step(self, found: Backward, weights: Weights, moments: Moments, knobs: Knobs) -> None:
        """Gradients and Adam's step in one pass over the weights: the same as one after another."""
        starts, order = self._hits(found, len(weights.bias_N))
        read = knobs.array()
        small = Weights(
            weights.encoder_ND[:0],
            np.empty_like(weights.bias_N),
            weights.decoder_ND[:0],
            np.empty_like(weights.pre_bias_D),
        )
        encoder_before = _encoder_part(found, weights)

        def work(span: tuple[int, int]) -> None:
            weight_rows.stepped_rows(
                *span,
                starts,
                order,
                found.sample,
                found.pull_row,
                found.values,
                found.slopes,
                found.inputs_BD,
                found.pulls_PD,
                weights.encoder_ND,
                small.bias_N,
                weights.decoder_ND,
                rows_of(moments),
                read,
            )

        self.team.map(work, self._spans(starts))
        small.pre_bias_D[:] = found.pull_sum_D - encoder_before
        small_steps(small, weights, moments, read)

    def _hits(self, found: Backward, latents: int) -> tuple[Array, Array]:
        starts = self.space("starts", (latents + 1,), np.int64)
        order = self.space("order", found.code.indices.shape, np.int32)
        weight_rows.hits_by_latent(found.code.indices, starts, order)
        return starts, order

    def _spans(self, starts_N1: Array) -> list[tuple[int, int]]:
        """Split the latents into spans of about equal work: hits, and the rows themselves."""
        latents = len(starts_N1) - 1
        cost = starts_N1 + 4 * np.arange(latents + 1)
        parts = 8 * self.team.threads if self.team.threads > 1 else 1
        cuts = np.searchsorted(cost, np.linspace(0, cost[-1], parts + 1)[1:-1])
        edges = [0, *(int(c) for c in cuts), latents]
        return [(a, b) for a, b in pairwise(edges) if a < b]


def _encoder_part(found: Backward, weights: Weights) -> Array:
    """Return what the pre-bias gets through the encoder, before the encoder moves."""
    bias_gradient = np.bincount(
        found.code.indices, weights=found.slopes, minlength=len(weights.bias_N)
    ).astype(np.float32)
    part: Array = bias_gradient @ weights.encoder_ND
    return part
