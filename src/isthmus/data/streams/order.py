"""The order of an epoch: a pure function of seed and epoch, found out a buffer at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.data.streams.held import HeldOut
from isthmus.data.streams.source import Ints

__all__ = ["Buffer", "EpochOrder", "Plan", "rank_share", "seeded"]

_HELD, _BLOCKS, _ROWS = 0, 1, 2


def seeded(seed: int, epoch: int | None = None, buffer: int | None = None) -> np.random.Generator:
    """Return the generator of held-out rows, of an epoch's blocks, or of a buffer's rows."""
    if epoch is None:
        return np.random.default_rng([seed, _HELD, 0, 0])
    if buffer is None:
        return np.random.default_rng([seed, _BLOCKS, epoch, 0])
    return np.random.default_rng([seed, _ROWS, epoch, buffer])


def rank_share(rows: int, rank: int, world: int) -> tuple[int, int]:
    """Return the part of a global batch of ``rows`` rows that a rank gets, as (start, stop).

    >>> [rank_share(8, rank, 2) for rank in (0, 1)]
    [(0, 4), (4, 8)]
    """
    return rank * rows // world, (rank + 1) * rows // world


@dataclass(frozen=True, eq=False)
class Buffer:
    """The training rows of several blocks, mixed."""

    rows: Ints
    """Row numbers, block after block, ascending within each; shape (n,)."""
    ends: Ints
    """Where in ``rows`` each block ends."""
    shuffled: Ints
    """Positions in ``rows`` in the order in which they are handed out, shape (n,)."""
    first: int
    """The place of the first of them in the epoch."""


@dataclass(frozen=True, eq=False)
class EpochOrder:
    """The blocks of one epoch in their order, cut into buffers."""

    plan: Plan
    """What is put in order."""
    epoch: int
    """The number of the epoch."""
    blocks: Ints
    """Block numbers in their order."""
    cuts: Ints
    """Where in ``blocks`` each buffer begins, and the end."""
    firsts: Ints
    """The place in the epoch of each buffer's first row, and the end."""

    @property
    def buffers(self) -> int:
        """Buffers of the epoch."""
        return len(self.cuts) - 1

    def buffer_at(self, place: int) -> int:
        """Return the buffer that holds the row at ``place`` of the epoch."""
        found = int(np.searchsorted(self.firsts, place, "right")) - 1
        return min(found, self.buffers - 1)

    def buffer(self, number: int) -> Buffer:
        """Lay out one buffer; costs nothing that grows with the rest of the data."""
        edges, held = self.plan.edges, self.plan.held
        blocks = self.blocks[self.cuts[number] : self.cuts[number + 1]]
        parts = [held.outside(int(edges[b]), int(edges[b + 1])) for b in blocks]
        rows = np.concatenate(parts)
        ends = np.cumsum([len(part) for part in parts])
        shuffled = seeded(self.plan.seed, self.epoch, number).permutation(len(rows))
        return Buffer(rows, ends, shuffled, int(self.firsts[number]))


@dataclass(frozen=True, eq=False)
class Plan:
    """How training rows are cut into blocks, and blocks into buffers.

    An epoch takes the blocks in a random order, and mixes the rows of as many blocks as fill a
    buffer. With one block that holds everything, that is a full permutation.
    """

    edges: Ints
    """First row of each block, and the number of rows at the end."""
    counts: Ints
    """Training rows of each block."""
    per_buffer: int
    """The most blocks in a buffer."""
    held: HeldOut
    """Rows that are left out."""
    seed: int
    """Seed of every order."""

    @classmethod
    def of(cls, edges: Ints, half: int, held: HeldOut, seed: int) -> Plan:
        """Plan buffers of at most ``half`` rows, or one block where a block has more."""
        counts = np.diff(edges) - np.diff(held.before(edges))
        per_buffer = max(1, half // max(1, int(counts.max())))
        return cls(edges, counts, per_buffer, held, seed)

    @property
    def rows(self) -> int:
        """Training rows."""
        return int(self.counts.sum())

    def epoch(self, epoch: int) -> EpochOrder:
        """Put the blocks of an epoch in order; the buffers differ by at most one block."""
        blocks = seeded(self.seed, epoch).permutation(len(self.counts))
        buffers = -(-len(blocks) // self.per_buffer)
        cuts = np.arange(buffers + 1) * len(blocks) // buffers
        firsts = np.concatenate([[0], np.cumsum(self.counts[blocks])])[cuts]
        return EpochOrder(self, epoch, blocks, cuts, firsts)
