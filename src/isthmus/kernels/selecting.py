"""Encoding and selection on the CPU, a block of rows at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.kernels.code import SparseCode
from isthmus.kernels.product import Product, fastest_product
from isthmus.kernels.rules import Above, RowTopK, Rule, Weights
from isthmus.kernels.select_rows import above_rows, lanes_for, top_rows
from isthmus.kernels.team import Team, one_torch_thread

__all__ = ["Selecting"]

Array = NDArray[Any]
_BLOCK_BYTES = 3 << 20  # of pre-activations: what two cores keep in their shared cache


class Selecting:
    """Encodes and keeps what a rule keeps; holds the threads and the arrays that are reused.

    Parameters
    ----------
    threads
        Threads that share each step.
    fast
        Screen in bfloat16 and rescore in float32 where a rule asks for the k largest: the same
        picks (see :mod:`isthmus.kernels.screen_rows`), sooner.
    """

    def __init__(self, threads: int = 1, *, fast: bool = False) -> None:
        self.team, self.fast = Team(threads), fast
        self._scratch: SimpleQueue[Array] = SimpleQueue()
        for _ in range(threads):
            self._scratch.put(np.empty(0, np.float32))
        self._spaces: dict[str, Array] = {}

    def select(
        self,
        inputs_BD: Array,
        weights: Weights,
        rule: Rule,
        *,
        total: int | None = None,
        add_up: Callable[[Array], Array] = lambda sums: sums,
    ) -> SparseCode:
        """Encode inputs that stand about the pre-bias, and keep what the rule keeps.

        The arrays of the result are the caller's own.

        Parameters
        ----------
        total
            Samples of the whole batch, where other processes hold the rest of it.
        add_up
            Adds sums over those processes, for what is chosen over the batch.
        """
        if isinstance(rule, RowTopK) and not 1 <= rule.k <= len(weights.bias_N):
            raise ConfigError(f"k = {rule.k} is not between 1 and {len(weights.bias_N)} latents")
        with self.team.at_work(), one_torch_thread():
            if isinstance(rule, RowTopK) and self.fast:
                return self._screened_top_k(inputs_BD, weights, rule.k)
            if isinstance(rule, RowTopK):
                return self._row_top_k(inputs_BD, weights, rule.k)
            if isinstance(rule, Above):
                return self._above(inputs_BD, weights, rule.threshold_N, 64)
            return self._batch_top_k(inputs_BD, weights, rule.k, total, add_up)

    def _row_top_k(self, inputs_BD: Array, weights: Weights, k: int) -> SparseCode:
        latents = len(weights.bias_N)
        indices = np.empty((len(inputs_BD), k), np.int32)
        values = np.empty((len(inputs_BD), k), np.float32)
        lanes = lanes_for(latents, k)
        product = self._product(weights)

        def work(rows: slice) -> None:
            with self._room((rows.stop - rows.start) * latents) as room:
                pre = product(inputs_BD[rows], room)
                tops = np.empty(lanes, np.float32)
                top_rows(pre, k, tops, indices[rows], values[rows])

        self.team.map(work, self.blocks(len(inputs_BD), latents))
        return SparseCode.fixed(indices, values, latents)

    def _screened_top_k(self, inputs_BD: Array, weights: Weights, k: int) -> SparseCode:
        from isthmus.kernels.screen import Screen

        latents = len(weights.bias_N)
        indices = np.empty((len(inputs_BD), k), np.int32)
        values = np.empty((len(inputs_BD), k), np.float32)
        screen = Screen(weights, self.team)

        def work(rows: slice) -> None:
            size = (rows.stop - rows.start) * latents
            with self._room(-(-size // 2)) as room:  # two bytes a value
                keys = torch.from_numpy(room).view(torch.bfloat16)[:size].view(-1, latents)
                screen.top_rows(inputs_BD[rows], k, keys, indices[rows], values[rows])

        self.team.map(work, self.blocks(len(inputs_BD), latents))
        return SparseCode.fixed(indices, values, latents)

    def _above(
        self, inputs_BD: Array, weights: Weights, threshold_N: Array, expected: int
    ) -> SparseCode:
        """Collect everything above thresholds; ``expected`` entries a row are room to begin."""
        threshold_N = np.maximum(threshold_N, 0, dtype=np.float32)  # the rectifier
        product = self._product(weights)

        def work(rows: slice) -> tuple[Array, Array, Array]:
            with self._room((rows.stop - rows.start) * len(threshold_N)) as room:
                pre = product(inputs_BD[rows], room)
                counts = np.empty(len(pre), np.int64)
                most = expected * len(pre)
                while True:
                    indices, values = np.empty(most, np.int32), np.empty(most, np.float32)
                    found = above_rows(pre, threshold_N, counts, indices, values)
                    if found <= most:
                        return counts, indices[:found], values[:found]
                    most = found

        parts = self.team.map(work, self.blocks(len(inputs_BD), len(weights.bias_N)))
        indptr = np.zeros(len(inputs_BD) + 1, np.int64)
        if parts:
            np.cumsum(np.concatenate([p[0] for p in parts]), out=indptr[1:])
        join = [np.concatenate([p[i] for p in parts]) if parts else np.empty(0) for i in (1, 2)]
        return SparseCode(
            indptr, join[0].astype(np.int32), join[1].astype(np.float32), len(weights.bias_N)
        )

    def _batch_top_k(
        self,
        inputs_BD: Array,
        weights: Weights,
        k: int,
        total: int | None,
        add_up: Callable[[Array], Array],
    ) -> SparseCode:
        """Keep the k x B largest: collect above a guess from a few rows, then cut exactly.

        The guess only bounds how much is collected; where it is too high, it is lowered until
        enough is found, so that the result does not depend on it.
        """
        rows, latents = len(inputs_BD), len(weights.bias_N)
        wanted = k * (rows if total is None else total)
        few = inputs_BD[:: max(1, rows // 128)][:128]
        pre = few @ weights.encoder_ND.T + weights.bias_N
        share = min(pre.size - 1, 3 * k * len(few) // 2)
        guess = max(0.0, float(np.partition(pre, -share - 1, axis=None)[-share - 1])) if rows else 0
        if not np.isfinite(guess):  # halving it would never end
            guess = 0.0
        sums = add_up(np.array([guess * rows, rows], np.float64))
        guess = float(sums[0] / sums[1])  # one for all processes
        while True:
            found = self._above(inputs_BD, weights, np.full(latents, guess, np.float32), 2 * k)
            if add_up(np.array([len(found.values)], np.float64))[0] >= wanted or guess <= 0:
                break
            guess = guess / 2 if guess > 1e-6 else 0.0
        if total is None:  # not where it equals rows: other processes may hold none
            return _largest(found, wanted)
        return _kept(found, found.values >= _shared_cut(found.values, wanted, add_up))

    def _product(self, weights: Weights) -> Product:
        """Prepare the encoder for blocks of rows."""
        rows = _block_rows(len(weights.bias_N))
        made: Product = fastest_product()(weights.encoder_ND, weights.bias_N, rows)
        return made

    @contextlib.contextmanager
    def _room(self, size: int) -> Iterator[Array]:
        """Lend a thread's scratch of at least that many float32 values."""
        scratch = self._scratch.get()
        if scratch.size < size:
            scratch = np.empty(size, np.float32)
        try:
            yield scratch[:size]
        finally:
            self._scratch.put(scratch)

    def blocks(self, rows: int, width: int) -> list[slice]:
        """Split rows into blocks whose pre-activations stay in cache."""
        size = _block_rows(width)
        return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]

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


def _largest(code: SparseCode, wanted: int) -> SparseCode:
    """Keep the ``wanted`` largest entries; of equals those that come first."""
    if len(code.values) <= wanted:
        return code
    cut = np.partition(code.values, -wanted)[-wanted]
    keep = code.values > cut
    equal = np.flatnonzero(code.values == cut)
    keep[equal[: wanted - int(keep.sum())]] = True
    return _kept(code, keep)


def _kept(code: SparseCode, keep: Array) -> SparseCode:
    """Keep the entries that a mask marks."""
    counts = np.add.reduceat(np.append(keep, False), code.indptr[:-1], dtype=np.int64)
    counts[np.diff(code.indptr) == 0] = 0
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return SparseCode(indptr, code.indices[keep], code.values[keep], code.latents)


def _shared_cut(values: Array, wanted: int, add_up: Callable[[Array], Array]) -> np.float32:
    """Return the ``wanted``-th largest of the positive values of all processes.

    The bits of positive floats rise with their values: 128 marks a round narrow 31 bits down to
    one value in five rounds of counting.
    """
    keys = np.sort(values.astype(np.float32, copy=False).view(np.uint32)).astype(np.int64)
    low, width = 0, 1 << 31
    while width > 1:
        step = -(-width // 128)
        marks = low + step * np.arange(128)
        counts = add_up((len(keys) - np.searchsorted(keys, marks)).astype(np.float64))
        reached = np.flatnonzero(counts >= wanted)
        low = int(marks[reached[-1]]) if len(reached) else low
        width = step
    cut: np.float32 = np.array([low], np.uint32).view(np.float32)[0]
    return cut


def _block_rows(width: int) -> int:
    """Return the rows of a block."""
    return int(min(max(_BLOCK_BYTES // (4 * width) // 16 * 16, 32), 512))
