"""Search of all blocks, on one thread or several."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.search.postings.layout import Layout
from isthmus.search.postings.query import Laid, Query
from isthmus.search.postings.reading import kernel_values

if TYPE_CHECKING:
    from isthmus.kernels.team import Team

__all__ = ["scored", "searched"]

Part = tuple[int, int]
Found = tuple[NDArray[np.int64], NDArray[np.float64]]


def searched(layout: Layout, query: Query, laid: Laid, limit: int, threads: int | Team) -> Found:
    """Return the best rows and their scores, by falling score and then by row.

    A part of the blocks brings its own best ``limit`` rows, and the best of all are among them:
    the result does not depend on how blocks are split.

    Raises
    ------
    ConfigError
        If fewer than one hit or thread is asked for.
    """
    if limit < 1:
        raise ConfigError(f"a search for {limit} hits", fix="1 or more")
    size = min(limit, layout.rows)
    rows, scores = _gathered(layout, query, laid, size, threads)
    if size == layout.rows:  # rows rise already
        order = np.argsort(-scores, kind="stable")
    else:
        order = np.lexsort((rows, -scores))[:size]
    return rows[order], scores[order]


def scored(layout: Layout, query: Query, laid: Laid, threads: int | Team) -> Found:
    """Return all rows that share a term with the query, rising, and their scores.

    Raises
    ------
    ConfigError
        If fewer than one thread is asked for.
    """
    return _gathered(layout, query, laid, layout.rows, threads)


def _gathered(layout: Layout, query: Query, laid: Laid, size: int, threads: int | Team) -> Found:
    """Search all blocks; rows rise where all are asked for, and come in no order elsewhere."""
    count = threads if isinstance(threads, int) else threads.threads
    if count < 1:
        raise ConfigError(f"a search by {count} threads", fix="1 or more")
    if size == 0 or len(query.terms) == 0:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    blocks = -(-layout.rows // layout.block)
    count = min(count, blocks)
    edges = [blocks * part // count for part in range(count + 1)]

    def work(part: Part) -> Found:
        return _searched_part(layout, query, laid, size, part)

    found = _shared(work, list(itertools.pairwise(edges)), threads)
    if len(found) == 1:
        return found[0]
    rows = np.concatenate([each for each, _ in found])
    return rows, np.concatenate([each for _, each in found])


def _searched_part(layout: Layout, query: Query, laid: Laid, size: int, part: Part) -> Found:
    """Search some of the blocks."""
    from isthmus.search.postings.scoring import search_blocks

    scores, rows = np.empty(size, np.float64), np.empty(size, np.int64)
    count = search_blocks(
        *part,
        layout.block,
        layout.rows,
        *layout.lists(),
        *kernel_values(layout),
        query.terms,
        query.weights,
        laid.norms,
        laid.constant,
        laid.scaling,
        laid.allowed,
        scores,
        rows,
    )
    return rows[:count], scores[:count]


def _shared(work: Callable[[Part], Found], parts: list[Part], threads: Any) -> list[Found]:
    """Do the parts, on several threads where there are several."""
    if len(parts) == 1:
        return [work(parts[0])]
    from isthmus.kernels.team import Team

    if isinstance(threads, Team):
        return threads.map(work, parts)
    with Team(len(parts)) as team:
        return team.map(work, parts)
