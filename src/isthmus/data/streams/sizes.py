"""How a source is cut: rows into blocks, blocks into buffers that fit in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.data.guards import check_size
from isthmus.data.options import default_limit
from isthmus.data.streams.source import Ints, VectorSource
from isthmus.errors import ConfigError

__all__ = ["Sizes", "sizes_for"]

_BUFFER_BYTES, _INDEX_BYTES = 1 << 28, 64
_BLOCKS, _LEAST_BLOCKS = 512, 128


@dataclass(frozen=True, eq=False)
class Sizes:
    """How a source is cut."""

    block: int
    """Rows of a block, where rows are free."""
    buffer: int
    """Rows in memory at most."""
    whole: bool
    """Whether all rows are one block and one buffer."""
    edges: Ints
    """First row of each block, and the number of rows at the end."""


def sizes_for(source: VectorSource, block_rows: int | None, buffer_rows: int | None) -> Sizes:
    """Decide blocks and buffers, and refuse what can't work.

    Parameters
    ----------
    source
        What is cut.
    block_rows, buffer_rows
        The caller's choice; None: see :class:`~isthmus.data.streams.VectorStream`.

    Raises
    ------
    ConfigError
        If they are not positive, or half of the buffer holds fewer than two blocks.
    DataError
        If the buffer would take more than ``ISTHMUS_LIMIT``, or 8 GiB.
    """
    for name, given in (("block_rows", block_rows), ("buffer_rows", buffer_rows)):
        if given is not None and given < 1:
            raise ConfigError(f"{name} must be at least 1", where=f"{name}={given}")
    usual = max(2, _BUFFER_BYTES // (4 * source.dim + _INDEX_BYTES))
    buffer = usual if buffer_rows is None else buffer_rows
    fitting = max(1, min(usual // 2 // _BLOCKS, buffer // 2 // _LEAST_BLOCKS))
    block = fitting if block_rows is None else block_rows
    whole = source.rows <= buffer
    if whole:
        edges = np.array([0, source.rows])
    elif source.pieces is None:
        edges = np.append(np.arange(0, source.rows, block), source.rows)
    else:  # neighbouring small pieces become one block
        first = np.unique(source.pieces // block, return_index=True)[1]
        edges = np.append(source.pieces[first], source.rows)
    largest = int(np.diff(edges).max())
    if not whole and 4 * largest > buffer:
        if buffer_rows is not None:
            raise ConfigError(
                "the buffer is too small to mix blocks",
                where=f"buffer_rows={buffer_rows:,}, with blocks of up to {largest:,} rows",
                why="half of it must hold at least two blocks"
                + ("" if source.pieces is None else ", which are row groups here"),
                fix=f"choose at least {4 * largest:,}, or smaller blocks",
            )
        buffer = 4 * largest
    if not source.in_memory:
        check_size(
            4 * source.dim * min(buffer, source.rows),
            default_limit(),
            where=source.describe(),
            what="the shuffle buffer",
        )
    return Sizes(block, buffer, whole, edges)
