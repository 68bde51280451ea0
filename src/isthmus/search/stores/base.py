"""What a store of sparse codes promises, whoever keeps them.

**The score.** A passage's score is the sum of weight times value over the concepts that it shares
with the query, in float64, added one after the other in ascending order of the concepts, over the
codes as stored (float32).

**Who is found.** A passage that shares no concept of non-zero weight with the query is never
returned; one that does is a candidate, even where its score is negative or exactly zero. So a
query of negative weights alone ("only less of X") returns the passages *with* X, those with
little of it first: steering is a change to a base query, and never a query by itself.

**The order.** Scores fall; where they are equal, ids rise. Of more candidates than the limit those
that come first are kept.

**The filter.** Only passages whose metadata meet every condition, by the rules of
`isthmus.search.filters`.

Servers add in float32, break ties as they please and may leave out scores of zero. So they only
screen: `isthmus.search.stores.exact` fetches some more than were asked for, scores them exactly
from their stored codes, and asks for more until what was not fetched can't come before what was.
Every store gives the same ids and the same scores, to the last bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.data.corpora.documents import Metadata
from isthmus.search.filters import Condition
from isthmus.search.stores.checks import (
    Query,
    Rows,
    checked_conditions,
    checked_ids,
    checked_latents,
    checked_limit,
    checked_query,
    checked_rows,
)
from isthmus.search.stores.exact import Found, shares

if TYPE_CHECKING:
    from typing import Self

    from scipy.sparse import csr_array

__all__ = ["BaseStore", "Found", "Store"]


@runtime_checkable
class Store(Protocol):
    """Sparse codes of passages by id, with metadata, that can be searched by weighted concepts.

    What scores, candidates, order and filters mean stands in this module's description; every
    implementation keeps to it exactly (`tests/test_stores_contract.py`).
    """

    @property
    def latents(self) -> int:
        """Width of the codes, N."""

    def __len__(self) -> int:
        """How many passages there are."""

    def put(self, ids: ArrayLike, codes: csr_array, metadata: Sequence[Metadata]) -> None:
        """Add passages; those whose id is there already are replaced.

        Parameters
        ----------
        ids
            Ids (R,), whole numbers from 0, each once.
        codes
            Codes (R, N), sparse, no value negative. They are kept as float32; a value below
            2**-56 counts as zero, for servers sum in float32.
        metadata
            Facts of each passage (R mappings): texts, truths, finite numbers, whole numbers of at
            most 64 bits.

        Raises
        ------
        DataError
            If ids repeat or are negative, a value is negative, not finite or above 2**56, an
            index is out of range or stands twice in a row, or metadata are of another kind.
            Nothing has been changed then.
        RemoteError
            If the server is away or refuses.
        """

    def delete(self, ids: ArrayLike) -> None:
        """Remove passages; ids that are not there are passed over."""

    def search(
        self,
        concepts: ArrayLike,
        weights: ArrayLike,
        *,
        limit: int = 10,
        where: Sequence[Condition] = (),
    ) -> Found:
        """Find the passages with the highest scores.

        Parameters
        ----------
        concepts
            Latents of the query (K,), each once, in any order.
        weights
            Their weights (K,), of either sign; those of less than 2**-56 times the largest in
            size count as zero.
        limit
            How many at most, 1 or more.
        where
            Conditions on the metadata, all of which must hold.

        Raises
        ------
        ConfigError
            If no concept has a weight, a concept is out of range or stands twice, a weight is not
            finite or above 1e200 in size, the limit is below 1, or a condition's value is
            not finite.
        """

    def contributions(
        self, id: int, concepts: ArrayLike, weights: ArrayLike
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return what each shared concept adds to a passage's score.

        Returns
        -------
        tuple
            Concepts ascending (S,), and their parts (S,), whose sum from left to right is the
            score, to the last bit.

        Raises
        ------
        DataError
            If there is no such passage.
        """

    def codes(self, ids: ArrayLike) -> csr_array:
        """Return stored codes (R, N), float32, in the order of ``ids``.

        Raises
        ------
        DataError
            If an id is not there.
        """

    def close(self) -> None:
        """Let go of files and connections; a second time does nothing."""


class BaseStore(ABC):
    """What all stores share: checks at the border, contributions, closing.

    Parameters
    ----------
    latents
        Width of the codes, N, from 1.
    """

    def __init__(self, latents: int) -> None:
        self._latents = checked_latents(latents)

    @property
    def latents(self) -> int:
        """Width of the codes, N."""
        return self._latents

    def put(self, ids: ArrayLike, codes: Any, metadata: Sequence[Metadata]) -> None:
        """Add or replace passages; see `Store.put`."""
        rows = checked_rows(ids, codes, metadata, self._latents)
        if len(rows.ids):
            self._put(rows)

    def delete(self, ids: ArrayLike) -> None:
        """Remove passages; see `Store.delete`."""
        wanted = np.unique(checked_ids(ids, unique=False))
        if len(wanted):
            self._delete(wanted)

    def search(
        self,
        concepts: ArrayLike,
        weights: ArrayLike,
        *,
        limit: int = 10,
        where: Sequence[Condition] = (),
    ) -> Found:
        """Find the passages with the highest scores; see `Store.search`."""
        query = checked_query(concepts, weights, self._latents)
        return self._search(query, checked_limit(limit), checked_conditions(where))

    def contributions(
        self, id: int, concepts: ArrayLike, weights: ArrayLike
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return what each shared concept adds to a score; see `Store.contributions`."""
        query = checked_query(concepts, weights, self._latents)
        return shares(query, self.codes([id]))

    def codes(self, ids: ArrayLike) -> csr_array:
        """Return stored codes; see `Store.codes`."""
        return self._codes(checked_ids(ids, unique=False))

    def close(self) -> None:  # noqa: B027 - a store in memory holds nothing open
        """Let go of files and connections; see `Store.close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def __len__(self) -> int:
        """How many passages there are."""

    @abstractmethod
    def _put(self, rows: Rows) -> None:
        """Add or replace rows that have been checked."""

    @abstractmethod
    def _delete(self, ids: NDArray[np.int64]) -> None:
        """Remove what is there of these ids, ascending and each once."""

    @abstractmethod
    def _search(self, query: Query, limit: int, where: tuple[Condition, ...]) -> Found:
        """Search with a query that has been checked."""

    @abstractmethod
    def _codes(self, ids: NDArray[np.int64]) -> csr_array:
        """Return the codes of these ids, in their order."""
