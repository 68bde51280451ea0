"""Rows in the order of an epoch, for one rank, read while earlier ones are handed out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from isthmus.data.streams.order import Buffer, EpochOrder, rank_share
from isthmus.data.streams.source import Floats, Ints, VectorSource

__all__ = ["Direct", "Feed", "Kept", "Loading", "Part", "Ranks"]


class Ranks:
    """Which rows of an epoch belong to one rank.

    Every global batch is divided, so that all ranks together see the batches of one alone.
    """

    def __init__(self, rows: int, batch_size: int, rank: int, world: int) -> None:
        self.rows, self.batch_size = rows, batch_size
        self.rank, self.world = rank, world
        self.batches = -(-rows // batch_size)

    def batch_rows(self, batch: int) -> int:
        """Return the rows of a global batch: the last one may be short."""
        return min(self.batch_size, self.rows - batch * self.batch_size)

    def mine(self, first: int, count: int, start: int) -> Ints:
        """Return which of the places ``first``.. of the epoch are this rank's and >= ``start``.

        Returns
        -------
        Ints
            Offsets from ``first``, ascending.
        """
        places = np.arange(first, first + count)
        batch, within = np.divmod(places, self.batch_size)
        low, high = rank_share(self.batch_size, self.rank, self.world)
        keep = (within >= low) & (within < high)
        short = self.rows - (self.batches - 1) * self.batch_size
        low, high = rank_share(short, self.rank, self.world)
        keep = np.where(batch == self.batches - 1, (within >= low) & (within < high), keep)
        return np.flatnonzero(keep & (places >= start))


class Part(Protocol):
    """One rank's rows of a buffer."""

    def advance(self, share: float) -> None:
        """Read until at least this share of the buffer is there."""

    def give(self, start: int, stop: int, out: Floats) -> None:
        """Write the ``start`` to ``stop - 1``-th of the rows into ``out``."""


class Direct:
    """Rows taken straight from a source in memory."""

    def __init__(self, source: VectorSource, buffer: Buffer, wanted: Ints) -> None:
        self.source, self.numbers = source, buffer.rows[wanted]

    def advance(self, share: float) -> None:
        """Do nothing: all is there."""

    def give(self, start: int, stop: int, out: Floats) -> None:
        """Take rows in any order."""
        self.source.take(self.numbers[start:stop], out)


class Kept:
    """Rows of a buffer that stays in memory from epoch to epoch."""

    def __init__(self, values: Floats, wanted: Ints) -> None:
        self.values, self.wanted = values, wanted

    def advance(self, share: float) -> None:
        """Do nothing: all is there."""

    def give(self, start: int, stop: int, out: Floats) -> None:
        """Copy rows."""
        np.take(self.values, self.wanted[start:stop], axis=0, out=out, mode="clip")


class Loading:
    """Rows of a buffer, read block by block as it is told to."""

    def __init__(self, source: VectorSource, buffer: Buffer, wanted: Ints) -> None:
        is_wanted = np.zeros(len(buffer.rows), np.bool_)
        is_wanted[wanted] = True
        kept = np.flatnonzero(is_wanted)
        self.slots = (np.cumsum(is_wanted) - 1)[wanted]
        self.source, self.numbers = source, buffer.rows[kept]
        self.bounds = np.concatenate([[0], np.searchsorted(kept, buffer.ends)])
        self.values = np.empty((len(kept), source.dim), np.float32)
        self.block = 0

    def advance(self, share: float) -> None:
        """Read further blocks, one at a time."""
        blocks = len(self.bounds) - 1
        while self.block < min(blocks, share * blocks):
            low, high = self.bounds[self.block : self.block + 2]
            self.source.take(self.numbers[low:high], self.values[low:high])
            self.block += 1

    def give(self, start: int, stop: int, out: Floats) -> None:
        """Copy rows, all blocks having been read."""
        np.take(self.values, self.slots[start:stop], axis=0, out=out, mode="clip")


class Feed:
    """One rank's rows of an epoch from a place on, one after the other.

    While the rows of one buffer are handed out, those of the next are read, in step, so that no
    batch waits for a whole buffer.

    Parameters
    ----------
    order
        The order of the epoch.
    ranks
        What belongs to this rank.
    part
        Makes the rows of a buffer, given which of its places are wanted; None: only their
        numbers are of interest.
    start
        The place in the epoch to begin at.
    """

    def __init__(
        self,
        order: EpochOrder,
        ranks: Ranks,
        part: Callable[[Buffer, Ints], Part] | None,
        start: int,
    ) -> None:
        self._order, self._ranks, self._part, self._start = order, ranks, part, start
        self._next_number = order.buffer_at(start)
        self._now, self._numbers = self._opened()
        self._next, self._next_numbers = self._opened()
        self._at = 0
        if self._now is not None:
            self._now.advance(1.0)

    def _opened(self) -> tuple[Part | None, Ints]:
        """Lay out the next buffer; nothing is read yet."""
        number = self._next_number
        if number >= self._order.buffers:
            return None, np.empty(0, np.int64)
        self._next_number += 1
        buffer = self._order.buffer(number)
        mine = self._ranks.mine(buffer.first, len(buffer.rows), self._start)
        wanted = buffer.shuffled[mine]
        part = None if self._part is None else self._part(buffer, wanted)
        return part, buffer.rows[wanted]

    def numbers(self, count: int, out: Floats | None = None) -> Ints:
        """Return the row numbers of the next ``count`` rows, and write the rows into ``out``."""
        found, done = [np.empty(0, np.int64)], 0
        while done < count:
            if self._at == len(self._numbers):
                self._turn()
            stop = min(self._at + count - done, len(self._numbers))
            found.append(self._numbers[self._at : stop])
            if out is not None and self._now is not None:
                self._now.give(self._at, stop, out[done : done + stop - self._at])
            done += stop - self._at
            self._at = stop
            if self._next is not None:
                self._next.advance(stop / max(1, len(self._numbers)))
        return np.concatenate(found)

    def _turn(self) -> None:
        """Go on to the next buffer."""
        if self._next is not None:
            self._next.advance(1.0)
        self._now, self._numbers, self._at = self._next, self._next_numbers, 0
        self._next, self._next_numbers = self._opened()
