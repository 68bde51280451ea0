"""The sparse step on the CPU: BLAS for the encoder, compiled loops for all that is sparse.

Work is split over rows of the batch, then over latents, in blocks whose size does not depend on
the number of threads: any number gives the same bytes. No (batch x latents) array exists; each
thread holds the pre-activations of one block of rows at a time.

Source of the plan of a step: the arithmetic of a TopK dictionary needs the dense encoder product
(2DN a sample) and 8DK for everything else, where automatic differentiation of the dense form
takes 10DN (Gao et al., arXiv:2406.04093, appendix D).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels import code_rows, weight_rows
from isthmus.kernels.code import SparseCode
from isthmus.kernels.rules import Above, Levels, Revival, RowTopK, Rule, Weights
from isthmus.kernels.select_rows import above_rows, lanes_for, top_rows
from isthmus.kernels.team import Team

__all__ = ["Backward", "CPUKernels", "Knobs", "Moments"]

Array = NDArray[Any]
_BLOCK_BYTES = 3 << 20  # of pre-activations: what two cores keep in their shared cache


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


@dataclass(frozen=True, eq=False)
class Moments:
    """Adam's running means of gradients and of their squares."""

    mean: Weights
    """Of the gradients."""
    square: Weights
    """Of their squares."""


@dataclass(frozen=True)
class Knobs:
    """Adam's settings at one step (Kingma and Ba, arXiv:1412.6980)."""

    rate: float
    """Learning rate."""
    step: int
    """Number of the step, from 1."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.999
    """Decay of the mean of their squares."""
    epsilon: float = 6.25e-10
    """Added to the root of the mean square (Gao et al.'s value)."""

    def array(self) -> Array:
        """Return what the compiled loops read."""
        return np.array(
            [
                self.rate / (1 - self.beta1**self.step),
                self.beta1,
                self.beta2,
                (1 - self.beta2**self.step) ** -0.5,
                self.epsilon,
            ],
            dtype=np.float32,
        )


class CPUKernels:
    """Selection, decoding, gradients and the optimiser's step on arrays in memory.

    Parameters
    ----------
    threads
        Threads that share each step.
    """

    def __init__(self, threads: int = 1) -> None:
        self.team = Team(threads)
        self._scratch: SimpleQueue[Array] = SimpleQueue()
        for _ in range(threads):
            self._scratch.put(np.empty(0, np.float32))
        self._spaces: dict[str, Array] = {}

    def centred(self, x_BD: Array, factor: float, pre_bias_D: Array) -> Array:
        """Return ``factor * x - pre_bias``, (B, D), in an array that the next call reuses."""
        out = self.space("inputs", x_BD.shape)

        def work(rows: slice) -> None:
            code_rows.centred_rows(x_BD[rows], np.float32(factor), pre_bias_D, out[rows])

        self.team.map(work, self._blocks(len(x_BD), 3072))
        return out

    def add_noise(self, inputs_BD: Array, noise_PD: Array, first: int, sizes_B: Array) -> None:
        """Add ``sizes[b]`` times row ``first + b`` of the noise (wrapping around) to each row."""

        def work(rows: slice) -> None:
            code_rows.noisy_rows(inputs_BD[rows], noise_PD, first + rows.start, sizes_B[rows])

        self.team.map(work, self._blocks(len(inputs_BD), 3072))

    # --- encoding ---------------------------------------------------------------------------

    def select(self, inputs_BD: Array, weights: Weights, rule: Rule) -> SparseCode:
        """Encode inputs that stand about the pre-bias, and keep what the rule keeps.

        The arrays of the result are the caller's own.
        """
        with self.team.at_work():
            if isinstance(rule, RowTopK):
                return self._row_top_k(inputs_BD, weights, rule.k)
            if isinstance(rule, Above):
                return self._above(inputs_BD, weights, rule.threshold_N, 64)
            return self._batch_top_k(inputs_BD, weights, rule.k)

    def _row_top_k(self, inputs_BD: Array, weights: Weights, k: int) -> SparseCode:
        latents = len(weights.bias_N)
        indices = np.empty((len(inputs_BD), k), np.int32)
        values = np.empty((len(inputs_BD), k), np.float32)
        lanes = lanes_for(latents, k)

        def work(rows: slice) -> None:
            with self._product(inputs_BD[rows], weights.encoder_ND) as pre:
                tops = np.empty(lanes, np.float32)
                top_rows(pre, weights.bias_N, k, tops, indices[rows], values[rows])

        self.team.map(work, self._blocks(len(inputs_BD), latents))
        return SparseCode.fixed(indices, values, latents)

    def _above(
        self, inputs_BD: Array, weights: Weights, threshold_N: Array, expected: int
    ) -> SparseCode:
        """Collect everything above thresholds; ``expected`` entries a row are room to begin."""
        threshold_N = np.ascontiguousarray(threshold_N, np.float32)

        def work(rows: slice) -> tuple[Array, Array, Array]:
            with self._product(inputs_BD[rows], weights.encoder_ND) as pre:
                counts = np.empty(len(pre), np.int64)
                room = expected * len(pre)
                while True:
                    indices, values = np.empty(room, np.int32), np.empty(room, np.float32)
                    found = above_rows(pre, weights.bias_N, threshold_N, counts, indices, values)
                    if found <= room:
                        return counts, indices[:found], values[:found]
                    room = found

        parts = self.team.map(work, self._blocks(len(inputs_BD), len(weights.bias_N)))
        indptr = np.zeros(len(inputs_BD) + 1, np.int64)
        if parts:
            np.cumsum(np.concatenate([p[0] for p in parts]), out=indptr[1:])
        join = [np.concatenate([p[i] for p in parts]) if parts else np.empty(0) for i in (1, 2)]
        return SparseCode(
            indptr, join[0].astype(np.int32), join[1].astype(np.float32), len(weights.bias_N)
        )

    def _batch_top_k(self, inputs_BD: Array, weights: Weights, k: int) -> SparseCode:
        """Keep the k x B largest: collect above a guess from a few rows, then cut exactly.

        The guess only bounds how much is collected; where it is too high, it is lowered until
        enough is found, so that the result does not depend on it.
        """
        rows, latents = len(inputs_BD), len(weights.bias_N)
        wanted = k * rows
        few = inputs_BD[:: max(1, rows // 128)][:128]
        pre = few @ weights.encoder_ND.T + weights.bias_N
        share = min(pre.size - 1, 3 * k * len(few) // 2)
        guess = max(0.0, float(np.partition(pre, -share - 1, axis=None)[-share - 1]))
        if not np.isfinite(guess):  # halving it would never end
            guess = np.float32(0)
        while True:
            found = self._above(inputs_BD, weights, np.full(latents, guess, np.float32), 2 * k)
            if len(found.values) >= wanted or guess <= 0:
                break
            guess = guess / 2 if guess > 1e-6 else 0.0
        return _largest(found, wanted)

    @contextlib.contextmanager
    def _product(self, inputs_RD: Array, encoder_ND: Array) -> Iterator[Array]:
        """Lend a thread's scratch, filled with ``inputs @ encoder.T``."""
        size = len(inputs_RD) * len(encoder_ND)
        scratch = self._scratch.get()
        if scratch.size < size:
            scratch = np.empty(size, np.float32)
        try:
            pre = scratch[:size].reshape(len(inputs_RD), len(encoder_ND))
            yield np.matmul(inputs_RD, encoder_ND.T, out=pre)
        finally:
            self._scratch.put(scratch)

    def _blocks(self, rows: int, width: int) -> list[slice]:
        """Split rows into blocks whose pre-activations stay in cache."""
        size = int(min(max(_BLOCK_BYTES // (4 * width) // 16 * 16, 32), 512))
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]

    # --- decoding ---------------------------------------------------------------------------

    def decode(self, code: SparseCode, decoder_ND: Array, pre_bias_D: Array) -> Array:
        """Return ``codes @ decoder + pre_bias``, (B, D)."""
        out = np.empty((len(code), decoder_ND.shape[1]), np.float32)

        def work(rows: slice) -> None:
            indptr = code.indptr[rows.start : rows.stop + 1]
            code_rows.decode_rows(
                indptr, code.indices, code.values, decoder_ND, pre_bias_D, out[rows]
            )

        self.team.map(work, self._blocks(len(code), 3072))
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
            return revived(self, found, weights, revival, add_up)

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

        parts = self.team.map(work, self._blocks(len(inputs_BD), 3072))
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
            level[inside] = np.searchsorted(first_L, place, side="right")
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

        squares_L = np.sum(self.team.map(work, self._blocks(batch, 3072)), axis=0) / total * scale
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
                _rows_of(moments),
                read,
            )

        self.team.map(work, range(0, latents, step))
        _small_steps(gradients, weights, moments, read)

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
                _rows_of(moments),
                read,
            )

        self.team.map(work, self._spans(starts))
        small.pre_bias_D[:] = found.pull_sum_D - encoder_before
        _small_steps(small, weights, moments, read)

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
        return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]

    def space(self, name: str, shape: tuple[int, ...], kind: type = np.float32) -> Array:
        """Return an array that is kept from step to step; its contents are anything."""
        held = self._spaces.get(name)
        size = int(np.prod(shape))
        if held is None or held.size < size or held.dtype != kind:
            held = self._spaces[name] = np.empty(size, kind)
        return held[:size].reshape(shape)

    def close(self) -> None:
        """End the threads."""
        self.team.close()


def _rows_of(moments: Moments) -> tuple[Array, Array, Array, Array]:
    mean, square = moments.mean, moments.square
    return mean.encoder_ND, square.encoder_ND, mean.decoder_ND, square.decoder_ND


def _encoder_part(found: Backward, weights: Weights) -> Array:
    """What the pre-bias gets through the encoder, before the encoder moves."""
    bias_gradient = np.bincount(
        found.code.indices, weights=found.slopes, minlength=len(weights.bias_N)
    ).astype(np.float32)
    part: Array = bias_gradient @ weights.encoder_ND
    return part


def _small_steps(gradients: Weights, weights: Weights, moments: Moments, knobs: Array) -> None:
    """Adam on the two biases."""
    rate, beta1, beta2, correction, epsilon = knobs
    small: tuple[Callable[[Weights], Array], ...] = (
        lambda w: w.bias_N,
        lambda w: w.pre_bias_D,
    )
    for of in small:
        g, m, v = of(gradients), of(moments.mean), of(moments.square)
        m[:] = beta1 * m + (1 - beta1) * g
        v[:] = beta2 * v + (1 - beta2) * g * g
        of(weights)[:] -= rate * m / (np.sqrt(v) * correction + epsilon)


def _largest(code: SparseCode, wanted: int) -> SparseCode:
    """Keep the ``wanted`` largest entries; of equals those that come first."""
    if len(code.values) <= wanted:
        return code
    cut = np.partition(code.values, -wanted)[-wanted]
    keep = code.values > cut
    equal = np.flatnonzero(code.values == cut)
    keep[equal[: wanted - int(keep.sum())]] = True
    counts = np.add.reduceat(np.append(keep, False), code.indptr[:-1], dtype=np.int64)
    counts[np.diff(code.indptr) == 0] = 0
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return SparseCode(indptr, code.indices[keep], code.values[keep], code.latents)
