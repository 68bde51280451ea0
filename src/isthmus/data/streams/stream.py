"""`VectorStream`: shuffled batches of vectors, the same for the same seed, from any position."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import numpy as np

from isthmus.data.streams.feed import Direct, Feed, Kept, Loading, Part, Ranks
from isthmus.data.streams.held import chosen_rows, held_out_count
from isthmus.data.streams.order import Buffer, Plan, rank_share, seeded
from isthmus.data.streams.prefetch import prefetched
from isthmus.data.streams.sizes import sizes_for
from isthmus.data.streams.source import (
    Floats,
    Ints,
    VectorSource,
    bad_value,
    rows_with_bad_values,
)
from isthmus.errors import ConfigError, DataError

__all__ = ["VectorStream"]


class VectorStream:
    """Batches of a source in a seeded order, each training row exactly once an epoch.

    The order is a pure function of (``seed``, epoch, ``held_out``, ``block_rows``,
    ``buffer_rows``) and the number of rows: it does not depend on ``batch_size``, on the number
    of processes, or on what the rows are stored in (but for Parquet, whose row groups are blocks).
    Data of at most ``buffer_rows`` rows are permuted as a whole. Of larger ones, blocks of
    consecutive rows are permuted across all shards, and the rows of as many blocks as fill half
    of ``buffer_rows`` are mixed fully, while the other half is being read.

    Parameters
    ----------
    source
        Where rows come from; see :func:`open_vectors`.
    batch_size
        Rows of a global batch, of which each of ``world`` processes gets an equal part.
    seed
        Seed of the order and of the held-out rows, 0 or more.
    held_out
        Rows never trained on: a share below 1, or a number.
    split_seed
        Seed of the held-out rows, for trainings of several seeds that share them. None: ``seed``.
    block_rows
        Consecutive rows that are read together. None: 256 KiB of them, or less where
        ``buffer_rows`` is small, so that at least 128 blocks are mixed.
    buffer_rows
        Rows in memory at most (those of the batches under way aside). None: 256 MiB of them.
        A source in memory is not copied.
    rank, world
        This process's number, and how many there are. Each reads every block of a file, and
        keeps its own rows.
    drop_bad
        Leave rows with NaN or infinite values out of their batches, which are then shorter (and
        may be empty), and count them in :attr:`dropped`, instead of refusing them.
    prefetch
        Batches made ahead by a thread; 0: none, no thread.

    Raises
    ------
    ConfigError
        If a setting makes no sense.
    DataError
        If there are fewer than 2 rows; or while iterating, if a row holds a NaN or infinite
        value, or a file disappears or changes its length.

    Examples
    --------
    >>> from isthmus.data.streams import open_vectors
    >>> source = open_vectors(np.arange(10.0).reshape(10, 1))
    >>> stream = VectorStream(source, 4, seed=0, held_out=2)
    >>> [batch[:, 0].tolist() for batch in stream.epoch(0)]
    [[5.0, 2.0, 8.0, 0.0], [9.0, 1.0, 4.0, 3.0]]
    >>> [batch[:, 0].tolist() for batch in stream.epoch(0, start_batch=1)]
    [[9.0, 1.0, 4.0, 3.0]]
    >>> [batch[:, 0].tolist() for batch in stream.held_out()]
    [[6.0, 7.0]]
    """

    def __init__(
        self,
        source: VectorSource,
        batch_size: int,
        seed: int,
        *,
        held_out: float = 0,
        split_seed: int | None = None,
        block_rows: int | None = None,
        buffer_rows: int | None = None,
        rank: int = 0,
        world: int = 1,
        drop_bad: bool = False,
        prefetch: int = 2,
    ) -> None:
        _check_settings(batch_size, seed, rank, world, prefetch)
        if source.rows < 2:
            raise DataError(
                "there are fewer than 2 vectors",
                where=source.describe(),
                why="a dictionary learns from differences between vectors",
            )
        self.source, self.batch_size, self.seed = source, batch_size, seed
        self.drop_bad, self.prefetch = drop_bad, prefetch
        self.dropped = 0
        """Rows left out of the batches handed out since the last start of an epoch."""
        self._sizes = sizes_for(source, block_rows, buffer_rows)
        count = held_out_count(source.rows, held_out)
        pieces = None if self._sizes.whole else source.pieces
        drawn = seeded(seed if split_seed is None else split_seed)
        self._held = chosen_rows(source.rows, count, drawn, pieces)
        half = source.rows if self._sizes.whole else self._sizes.buffer // 2
        self._plan = Plan.of(self._sizes.edges, half, self._held, seed)
        self._ranks = Ranks(self._plan.rows, batch_size, rank, world)
        self._kept: Floats | None = None
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        """Training rows, those with bad values included."""
        return self._plan.rows

    @property
    def dim(self) -> int:
        """Values of a vector, D."""
        return self.source.dim

    @property
    def batches(self) -> int:
        """Batches of an epoch, the last short one included."""
        return self._ranks.batches

    @property
    def held_out_rows(self) -> int:
        """How many rows are held out."""
        return self._held.rows

    def batch_rows(self, batch: int) -> int:
        """Return the rows of a global batch, over all ranks, as planned."""
        return self._ranks.batch_rows(batch)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Floats]:
        """Iterate over this rank's part of each global batch of an epoch.

        Parameters
        ----------
        epoch
            The number of the epoch, from 0.
        start_batch
            The batch to begin with; what comes is exactly what comes there from the start, at
            the cost of reading one buffer.

        Yields
        ------
        ndarray
            Shape (n, D), float32, C-contiguous, its own memory. In the last, short batch the
            parts of the ranks differ by at most one row, and may be empty.
        """
        self._check_position(epoch, start_batch)
        return self._delivered(epoch, start_batch)

    def numbers(self, epoch: int, start_batch: int = 0) -> Iterator[Ints]:
        """Iterate over the row numbers in the source of the batches of an epoch; reads nothing.

        Takes the same parameters as :meth:`epoch`. Bad rows are not left out.
        """
        self._check_position(epoch, start_batch)
        feed = Feed(self._plan.epoch(epoch), self._ranks, None, start_batch * self.batch_size)
        for batch in range(start_batch, self.batches):
            yield feed.numbers(self._part_rows(batch))

    def held_out(self, batch_size: int | None = None) -> Iterator[Floats]:
        """Iterate over the held-out rows in ascending order, the same on every rank.

        Parameters
        ----------
        batch_size
            Rows a batch, at least 1; None: that of the stream.
        """
        size = self.batch_size if batch_size is None else batch_size
        if size < 1:
            raise ConfigError("the batch size must be at least 1", where=f"batch_size={size}")
        return prefetched(lambda: self._held_batches(size), self.prefetch)

    def held_out_numbers(self) -> Ints:
        """Return the row numbers in the source of the held-out rows, ascending."""
        return self._held.numbers(0, self._held.rows)

    def sample(self, rows: int) -> Floats:
        """Return training rows to initialise from: the first of epoch 0, the same on every rank.

        Parameters
        ----------
        rows
            How many; all training rows where there are fewer. Bad rows may leave fewer.
        """
        wanted = min(rows, self.rows)
        out = np.empty((wanted, self.dim), np.float32)
        ranks = Ranks(self.rows, self.batch_size, 0, 1)
        numbers = Feed(self._plan.epoch(0), ranks, self._part, 0).numbers(wanted, out)
        return self._without_bad(out, numbers)[0]

    def fingerprint(self) -> str:
        """Return a digest of all that the global batches depend on, to hold a checkpoint against.

        It is the same for any number of processes.
        """
        plan, held = self._plan, self._held
        facts = (self.source.fingerprint(), self.batch_size, self.seed, self.drop_bad)
        digest = hashlib.sha256(repr((*facts, plan.per_buffer)).encode())
        for cuts in (plan.edges, held.starts, held.stops):
            digest.update(cuts.astype("<i8", copy=False).tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> str:
        """Say in one line what is streamed, and how it is shuffled."""
        sizes = self._sizes
        mixed = (
            "permuted as a whole"
            if sizes.whole
            else f"{len(self._plan.counts):,} blocks of up to {int(self._plan.counts.max()):,} "
            f"rows permuted, {sizes.buffer // 2:,} rows mixed at a time"
        )
        return (
            f"{self.source.describe()}; {self.rows:,} to train on, {self.held_out_rows:,} held "
            f"out; {mixed}"
        )

    def _check_position(self, epoch: int, start_batch: int) -> None:
        if epoch < 0 or not 0 <= start_batch <= self.batches:
            raise ConfigError(
                "there is no such position in the stream",
                where=f"epoch {epoch}, batch {start_batch}",
                why=f"epochs count from 0 and have {self.batches:,} batches",
            )

    def _part_rows(self, batch: int) -> int:
        """Return this rank's rows of a batch."""
        low, high = rank_share(self.batch_rows(batch), self._ranks.rank, self._ranks.world)
        return high - low

    def _delivered(self, epoch: int, start_batch: int) -> Iterator[Floats]:
        self.dropped = 0
        made = prefetched(lambda: self._made(epoch, start_batch), self.prefetch)
        try:
            for batch, dropped in made:
                self.dropped += dropped
                yield batch
        finally:
            made.close()

    def _made(self, epoch: int, start_batch: int) -> Iterator[tuple[Floats, int]]:
        """Make batches, each with the number of rows that were left out of it."""
        if start_batch == self.batches:
            return
        place = start_batch * self.batch_size
        feed = Feed(self._plan.epoch(epoch), self._ranks, self._part, place)
        for batch in range(start_batch, self.batches):
            out = np.empty((self._part_rows(batch), self.dim), np.float32)
            numbers = feed.numbers(len(out), out)
            yield self._without_bad(out, numbers)

    def _held_batches(self, batch_size: int) -> Iterator[Floats]:
        """Read many at once, for pieces that are decoded whole."""
        step = max(1, self._sizes.buffer // 2 // batch_size) * batch_size
        for start in range(0, self._held.rows, step):
            numbers = self._held.numbers(start, min(start + step, self._held.rows))
            values = self.source.take(numbers)
            for low in range(0, len(values), batch_size):
                part = slice(low, low + batch_size)
                yield self._without_bad(values[part].copy(), numbers[part])[0]

    def _part(self, buffer: Buffer, wanted: Ints) -> Part:
        """Choose how the rows of a buffer are had."""
        if self.source.in_memory:
            return Direct(self.source, buffer, wanted)
        if not self._sizes.whole:
            return Loading(self.source, buffer, wanted)
        with self._lock:
            if self._kept is None:
                self._kept = self.source.take(buffer.rows)
        return Kept(self._kept, wanted)

    def _without_bad(self, values: Floats, numbers: Ints) -> tuple[Floats, int]:
        """Refuse rows with NaN or infinite values, or leave them out."""
        bad = rows_with_bad_values(values)
        if not len(bad):
            return values, 0
        if not self.drop_bad:
            raise bad_value(self.source, int(numbers[bad[0]]), values[bad[0]])
        return np.delete(values, bad, axis=0), len(bad)


def _check_settings(batch_size: int, seed: int, rank: int, world: int, prefetch: int) -> None:
    """Refuse settings that make no sense."""
    if batch_size < 1 or world < 1 or batch_size % world:
        raise ConfigError(
            "the batch size must be a positive multiple of the number of processes",
            where=f"batch_size={batch_size}, world={world}",
        )
    if not 0 <= rank < world:
        raise ConfigError("the rank must be from 0 to world - 1", where=f"rank={rank}")
    if seed < 0:
        raise ConfigError("the seed must be 0 or more", where=f"seed={seed}")
    if prefetch < 0:
        raise ConfigError("prefetch must be 0 or more", where=f"prefetch={prefetch}")
