"""Codes in this process, on the exact inverted index: the default store, and the oracle."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.search.filters import Condition
from isthmus.search.stores.base import BaseStore
from isthmus.search.stores.checks import Query, Rows, missing_passages
from isthmus.search.stores.exact import Found

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.search.postings import Postings

__all__ = ["EmbeddedStore"]

_MASKS = 16


class EmbeddedStore(BaseStore):
    """A `Store` in memory, on postings that are scored exactly in float64.

    Rows are kept in segments that are never changed: a put makes a new one, a replacement or a
    deletion masks rows of older ones. Segments of like size are merged, so that there are few.
    Any number of threads may search while one writes; each sees the store as it was when it began.

    Parameters
    ----------
    latents
        Width of the codes, N.
    threads
        Threads of a search, 1 or more.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> store = EmbeddedStore(latents=3)
    >>> store.put([7, 8], csr_array(np.array([[1, 0, 2], [0, 1, 1]])), [{"year": 1999}, {}])
    >>> found = store.search([0, 2], [-1.0, 2.0])
    >>> found.ids.tolist(), found.scores.tolist()
    ([7, 8], [3.0, 2.0])
    >>> store.search([2], [1.0], where=[Condition("year", "<", 2000)]).ids.tolist()
    [7]
    """

    def __init__(self, latents: int, *, threads: int = 1) -> None:
        super().__init__(latents)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ConfigError("threads must be 1 or more", where=f"threads={threads!r}")
        self._threads = threads
        self._writing = threading.Lock()
        self._segments: tuple[_Segment, ...] = ()

    def __len__(self) -> int:
        return sum(segment.living for segment in self._segments)

    def __repr__(self) -> str:
        return f"EmbeddedStore(latents={self._latents}, passages={len(self)})"

    def _put(self, rows: Rows) -> None:
        with self._writing:
            kept = [segment.without(rows.ids) for segment in self._segments]
            self._segments = _merged([*kept, _Segment.of(rows)])

    def _delete(self, ids: NDArray[np.int64]) -> None:
        with self._writing:
            self._segments = _merged([segment.without(ids) for segment in self._segments])

    def _search(self, query: Query, limit: int, where: tuple[Condition, ...]) -> Found:
        parts = [s.search(query, limit, where, self._threads) for s in self._segments]
        if not parts:
            return Found(np.empty(0, np.int64), np.empty(0))
        ids = np.concatenate([part.ids for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        order = np.lexsort((ids, -scores))[:limit]
        return Found(ids[order], scores[order])

    def _codes(self, ids: NDArray[np.int64]) -> csr_array:
        from scipy.sparse import csr_array, vstack

        found: list[Any] = [csr_array((0, self._latents), dtype=np.float32)]
        owners: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        distinct = np.unique(ids)
        for segment in self._segments:
            here = distinct[segment.holds(distinct)]
            if len(here):
                found.append(segment.codes(here))
                owners.append(here)
        there = np.concatenate(owners)
        lost = np.setdiff1d(distinct, there)
        if len(lost):
            raise missing_passages(lost)
        order = np.argsort(there)
        picked = order[np.searchsorted(there, ids, sorter=order)]
        return csr_array(vstack(found, format="csr")[picked])


@dataclass(frozen=True, eq=False)
class _Segment:
    """Passages that were put together, in ascending order of their ids."""

    ids: NDArray[np.int64]
    """Ids (R,), ascending: rows in order are ids in order, and ties come out right."""
    postings: Postings
    """Their codes."""
    metadata: Sequence[dict[str, Any]]
    """Their facts."""
    alive: NDArray[np.bool_]
    """Which were neither deleted nor replaced (R,)."""
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Who meets the conditions that were asked last; rows do not change, so nor do these."""

    @staticmethod
    def of(rows: Rows) -> _Segment:
        """Make a segment of rows in any order."""
        from isthmus.search.postings import Postings

        order = np.argsort(rows.ids)
        postings = Postings.of(rows.codes[order], values="float32")
        facts = [rows.metadata[row] for row in order.tolist()]
        return _Segment(rows.ids[order], postings, facts, np.ones(len(order), bool))

    @property
    def living(self) -> int:
        """How many are alive."""
        return int(self.alive.sum())

    def holds(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of each id whether it is here and alive."""
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        found: NDArray[np.bool_] = (self.ids[place] == ids) & self.alive[place]
        return found

    def without(self, ids: NDArray[np.int64]) -> _Segment:
        """Return the segment with these masked."""
        here = self.holds(ids)
        if not here.any():
            return self
        alive = self.alive.copy()
        alive[np.searchsorted(self.ids, ids[here])] = False
        return replace(self, alive=alive)

    def search(self, query: Query, limit: int, where: tuple[Condition, ...], threads: int) -> Found:
        """Return the best of this segment."""
        allowed = None if self.alive.all() else self.alive
        for condition in where:
            mask = self._mask(condition)
            allowed = mask if allowed is None else allowed & mask
        rows, scores = self.postings.search(
            query.concepts, query.weights, limit=limit, allowed=allowed, threads=threads
        )
        return Found(self.ids[rows], scores)

    def _mask(self, condition: Condition) -> NDArray[np.bool_]:
        """Return who meets a condition (R,)."""
        key = repr(condition)  # conditions on 1, 1.0 and True are equal, but not the same
        found = self.masks.get(key)
        if found is None:
            found = np.array([condition.holds(facts) for facts in self.metadata], bool)
            for old in list(self.masks)[: max(0, len(self.masks) - _MASKS + 1)]:
                self.masks.pop(old, None)
            self.masks[key] = found
        return found

    def codes(self, ids: NDArray[np.int64]) -> csr_array:
        """Return the codes of ids that are here."""
        rows = np.searchsorted(self.ids, ids)
        if len(rows) * 16 > len(self.ids):  # one pass over all is faster than many look-ups
            return self.postings.codes()[rows]
        return self.postings.codes(rows)

    def rows(self) -> Rows:
        """Return what is alive."""
        kept = np.flatnonzero(self.alive)
        facts = tuple(self.metadata[row] for row in kept.tolist())
        return Rows(self.ids[kept], self.postings.codes()[kept], facts)


def _merged(segments: Sequence[_Segment]) -> tuple[_Segment, ...]:
    """Return as few segments as are cheap: each at least twice as large as the next."""
    kept: list[_Segment] = []
    for segment in sorted(segments, key=lambda each: -each.living):
        if not segment.living:
            continue
        while kept and kept[-1].living < 2 * segment.living:
            segment = _joined(kept.pop(), segment)
        thin = segment.living * 2 < len(segment.ids)
        kept.append(_Segment.of(segment.rows()) if thin else segment)
    return tuple(kept)


def _joined(one: _Segment, other: _Segment) -> _Segment:
    from scipy.sparse import vstack

    first, second = one.rows(), other.rows()
    return _Segment.of(
        Rows(
            np.concatenate([first.ids, second.ids]),
            vstack([first.codes, second.codes], format="csr"),
            first.metadata + second.metadata,
        )
    )
