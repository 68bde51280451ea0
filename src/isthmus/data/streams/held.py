"""Rows that are held out of training: a seeded sample, the same in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.data.streams.source import Ints
from isthmus.errors import ConfigError

__all__ = ["HeldOut", "chosen_rows", "held_out_count"]

_MOST_RUNS, _LEAST_PIECES = 1 << 16, 64


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Disjoint ascending runs of rows."""

    starts: Ints
    """First row of each run, shape (R,)."""
    stops: Ints
    """The row behind each run, shape (R,)."""

    @property
    def rows(self) -> int:
        """Rows in all runs."""
        return int((self.stops - self.starts).sum())

    def before(self, at: Ints) -> Ints:
        """Return how many rows of the runs lie before each of these row numbers."""
        ends = np.concatenate([[0], np.cumsum(self.stops - self.starts)])
        begun = np.searchsorted(self.starts, at)
        beyond = np.maximum(0, np.concatenate([[0], self.stops])[begun] - at)
        return np.asarray(ends[begun] - beyond, np.int64)

    def outside(self, start: int, stop: int) -> Ints:
        """Return the rows from ``start`` to ``stop - 1`` that are in no run, ascending."""
        first = np.searchsorted(self.stops, start, "right")
        last = np.searchsorted(self.starts, stop, "left")
        if first >= last:
            return np.arange(start, stop)
        steps = np.zeros(stop - start + 1, np.int8)
        np.add.at(steps, np.maximum(self.starts[first:last], start) - start, 1)
        np.add.at(steps, np.minimum(self.stops[first:last], stop) - start, -1)
        return np.flatnonzero(np.cumsum(steps[:-1]) == 0) + start

    def numbers(self, first: int, last: int) -> Ints:
        """Return the row numbers of the ``first`` to ``last - 1``-th row of the runs."""
        ends = np.cumsum(self.stops - self.starts)
        at = np.arange(first, last)
        run = np.searchsorted(ends, at, "right")
        return np.asarray(self.stops[run] - (ends[run] - at), np.int64)


def held_out_count(rows: int, held_out: float) -> int:
    """Turn a share below 1, or a number, into a number of rows.

    Raises
    ------
    ConfigError
        If it is neither, or leaves fewer than 2 rows to train on.
    """
    if held_out < 0 or (held_out >= 1 and held_out != int(held_out)):
        raise ConfigError(
            "held_out must be a share from 0 to below 1, or a whole number of rows",
            where=f"held_out={held_out}",
        )
    count = int(held_out) if held_out >= 1 else max(round(held_out * rows), int(held_out > 0))
    if count and rows - count < 2:
        raise ConfigError(
            "fewer than 2 rows are left to train on",
            where=f"{count:,} of {rows:,} rows held out",
            fix="hold out fewer",
        )
    return count


def chosen_rows(
    rows: int, count: int, generator: np.random.Generator, pieces: Ints | None = None
) -> HeldOut:
    """Draw exactly ``count`` of ``rows`` rows, spread over all of them.

    Single rows up to 65,536 of them; beyond that short runs, so that memory stays bounded.
    Where rows come in pieces that are decoded whole, at most 64 pieces are drawn from, or as
    many as ``count`` takes.

    Parameters
    ----------
    rows
        Rows there are.
    count
        Rows to draw, 0 to ``rows``.
    generator
        Where randomness comes from.
    pieces
        First rows of the pieces; None: rows are free.
    """
    piece_starts, piece_ends = _drawn_pieces(rows, count, generator, pieces)
    total = int(piece_ends[-1])
    width = max(1, -(-count // _MOST_RUNS))
    cells, needed = total // width, -(-count // width)
    tail = max(0, count - cells * width)  # nearly everything: the part behind the last cell too
    chosen = np.sort(generator.choice(cells, min(needed, cells), replace=False, shuffle=False))
    starts = chosen.astype(np.int64) * width
    stops = starts + width
    if len(stops):
        stops[-1] -= max(0, len(stops) * width - count)
    if tail:
        starts, stops = np.append(starts, cells * width), np.append(stops, cells * width + tail)
    starts, stops = _cut(starts, stops, piece_ends[:-1])
    piece = np.searchsorted(piece_ends, starts, "right")
    shift = piece_starts[piece] - np.concatenate([[0], piece_ends])[piece]
    return HeldOut(starts + shift, stops + shift)


def _drawn_pieces(
    rows: int, count: int, generator: np.random.Generator, pieces: Ints | None
) -> tuple[Ints, Ints]:
    """Return first rows of the pieces drawn from, and the running sum of their lengths."""
    if pieces is None:
        return np.array([0]), np.array([rows])
    lengths = np.diff(np.append(pieces, rows))
    order = generator.permutation(len(pieces))
    enough = int(np.searchsorted(np.cumsum(lengths[order]), count)) + 1
    drawn = np.sort(order[: max(enough, _LEAST_PIECES)])
    return pieces[drawn], np.cumsum(lengths[drawn])


def _cut(starts: Ints, stops: Ints, borders: Ints) -> tuple[Ints, Ints]:
    """Cut runs at the borders that lie inside them."""
    if not len(starts):
        return starts, stops
    run = np.searchsorted(starts, borders, "left") - 1
    inside = borders[(run >= 0) & (borders < stops[run])]
    return np.sort(np.append(starts, inside)), np.sort(np.append(stops, inside))
