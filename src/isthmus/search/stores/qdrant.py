"""Codes in a Qdrant collection: the store for many machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError, IsthmusError, RemoteError
from isthmus.search.filters import Condition, matches
from isthmus.search.stores.addresses import only_in_memory, qdrant_client_of, shown_address
from isthmus.search.stores.base import BaseStore
from isthmus.search.stores.checks import Query, Rows, missing_passages, peaks
from isthmus.search.stores.exact import Candidates, Found, Screened, settled
from isthmus.search.stores.qdrant_filters import FACTS, facts_of, payload_of, server_filter
from isthmus.search.stores.stacking import stacked

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models
    from scipy.sparse import csr_array

__all__ = ["QdrantStore"]

FORMAT = 1
_VECTOR, _PEAK = "codes", "peak"
# What the client lets through: no connection, an answer that is no JSON or of another shape.
_OTHERS = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)


class QdrantStore(BaseStore):
    """A `Store` in a collection of a Qdrant server, 1.16 or later.

    The collection holds a sparse vector ``codes`` in float32, the metadata, and of each passage
    the largest value of its code, which bounds what rounding may have done to a score.
    A put of more rows than a batch is not one transaction: cut off in the middle, whole batches
    of it are there; the same put again completes it.

    Parameters
    ----------
    server
        Address (``https://host:6333``), or a `qdrant_client.QdrantClient`. A client's own local
        mode is accepted in memory only, and is meant for tests: on disk it keeps pickles.
    collection
        Name of the collection; it is made where there is none.
    latents
        Width of the codes, N.
    key_variable
        Environment variable that holds the API key, if the server wants one. A key is sent
        over ``https`` or to this machine only.
    timeout
        Seconds that a request may take.
    batch
        Rows sent or read in one request.

    Raises
    ------
    ConfigError
        If the address holds a secret or is none, or a setting makes no sense.
    DataError
        If the collection is not ours, has another width, or is of a newer format.
    RemoteError
        If the server is away, refuses, or is too old.

    Examples
    --------
    >>> from qdrant_client import QdrantClient
    >>> from scipy.sparse import csr_array
    >>> store = QdrantStore(QdrantClient(":memory:"), "notes", latents=3)
    >>> store.put([7, 8], csr_array(np.array([[1, 0, 2], [0, 1, 1]])), [{"year": 1999}, {}])
    >>> found = store.search([0, 2], [-1.0, 2.0])
    >>> found.ids.tolist(), found.scores.tolist()
    ([7, 8], [3.0, 2.0])
    """

    def __init__(
        self,
        server: str | QdrantClient,
        collection: str,
        *,
        latents: int,
        key_variable: str = "QDRANT_API_KEY",
        timeout: float = 60.0,
        batch: int = 256,
    ) -> None:
        super().__init__(latents)
        if not isinstance(collection, str) or not collection:
            raise ConfigError("a collection needs a name", where=f"collection={collection!r}")
        if not timeout > 0 or batch < 1:
            raise ConfigError(
                "timeout and batch must be positive", where=f"timeout={timeout}, batch={batch}"
            )
        self._collection, self._batch = collection, batch
        self._owned = isinstance(server, str)
        if isinstance(server, str):
            self._where = shown_address(server)
            self._client = qdrant_client_of(server, key_variable, timeout)
        else:
            self._where = "the given client"
            self._client = only_in_memory(server)
        self._closed = False
        try:
            with self._asking("open the collection"):
                if not self._client.collection_exists(collection):
                    self._create()
                self._check()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"QdrantStore({self._where!r}, {self._collection!r}, latents={self._latents})"

    def __len__(self) -> int:
        with self._asking("count passages"):
            return int(self._client.count(self._collection, exact=True).count)

    def close(self) -> None:
        """Close the connection, if it was opened here."""
        if self._owned and not self._closed:
            self._client.close()
        self._closed = True

    def _create(self) -> None:
        from qdrant_client import models

        exact = models.SparseIndexParams(datatype=models.Datatype.FLOAT32)
        self._client.create_collection(
            self._collection,
            vectors_config={},
            sparse_vectors_config={_VECTOR: models.SparseVectorParams(index=exact)},
            metadata={"isthmus": "codes", "format": FORMAT, "latents": self._latents},
        )
        if self._served:
            self._client.create_payload_index(
                self._collection, _PEAK, models.PayloadSchemaType.FLOAT, wait=True
            )

    @property
    def _served(self) -> bool:
        """Whether a server answers, not the client's own local mode."""
        return self._client.init_options.get("location") != ":memory:"

    def _check(self) -> None:
        """Refuse a collection that is not ours or not what was asked for."""
        config = self._client.get_collection(self._collection).config
        said = config.metadata or {}
        where = f"collection {self._collection!r} of {self._where}"
        if said.get("isthmus") != "codes":
            raise DataError(
                "the collection was not made by Isthmus",
                where=where,
                why="it lacks our mark, or the server is older than 1.16 and keeps none",
                fix="choose another name, or update the server",
            )
        form, latents = said.get("format"), said.get("latents")
        if not isinstance(form, int) or form > FORMAT:
            raise DataError(
                "the collection is of a newer format",
                where=where,
                why=f"format {form}; this version reads up to {FORMAT}",
                fix="update Isthmus",
            )
        if latents != self._latents:
            raise DataError(
                "the collection belongs to another dictionary",
                where=where,
                why=f"its codes have {latents} latents, not {self._latents}",
            )
        vector = (config.params.sparse_vectors or {}).get(_VECTOR)
        rounded = vector and vector.index and vector.index.datatype not in (None, "float32")
        if vector is None or vector.modifier not in (None, "none") or rounded:
            raise DataError(
                "the collection's settings would change scores",
                where=where,
                why="its codes must be float32 and without a modifier",
                fix="remove the collection and fill it anew",
            )

    def _put(self, rows: Rows) -> None:
        from qdrant_client import models

        largest = peaks(rows.codes).tolist()
        for start in range(0, len(rows.ids), self._batch):
            part = range(start, min(start + self._batch, len(rows.ids)))
            points = [
                models.PointStruct(
                    id=int(rows.ids[row]),
                    vector=_vector(rows.codes, row),
                    payload={FACTS: payload_of(rows.metadata[row]), _PEAK: largest[row]},
                )
                for row in part
            ]
            with self._asking("store passages"):
                self._client.upsert(self._collection, points, wait=True)

    def _delete(self, ids: NDArray[np.int64]) -> None:
        from qdrant_client import models

        for start in range(0, len(ids), self._batch):
            part = models.PointIdsList(points=ids[start : start + self._batch].tolist())
            with self._asking("delete passages"):
                self._client.delete(self._collection, part, wait=True)

    def _codes(self, ids: NDArray[np.int64]) -> csr_array:
        found: dict[int, Any] = {}
        distinct = np.unique(ids)
        for start in range(0, len(distinct), self._batch):
            with self._asking("read codes"):
                records = self._client.retrieve(
                    self._collection,
                    distinct[start : start + self._batch].tolist(),
                    with_payload=False,
                    with_vectors=[_VECTOR],
                )
            found.update((int(record.id), record) for record in records)
        lost = np.array([one for one in distinct if int(one) not in found], np.int64)
        if len(lost):
            raise missing_passages(lost)
        return self._candidates([found[int(one)] for one in ids]).codes

    def _search(self, query: Query, limit: int, where: tuple[Condition, ...]) -> Found:
        only = server_filter(where) if where else None
        if where and only is None:
            return Found(np.empty(0, np.int64), np.empty(0))

        def screen(asked: Sequence[NDArray[np.float32]], count: int) -> list[Screened]:
            return self._screened(query.concepts, asked, count, only, where)

        return settled(query, limit, screen, silent=True)

    def _screened(
        self,
        concepts: NDArray[np.int32],
        asked: Sequence[NDArray[np.float32]],
        count: int,
        only: models.Filter | None,
        where: Sequence[Condition],
    ) -> list[Screened]:
        """Return the best by the server's arithmetic, and the largest value stored."""
        from qdrant_client import models

        requests = [
            models.QueryRequest(
                query=models.SparseVector(indices=concepts.tolist(), values=weights.tolist()),
                using=_VECTOR,
                filter=only,
                limit=count,
                with_payload=[FACTS] if where else False,
                with_vector=[_VECTOR],
            )
            for weights in asked
        ]
        with self._asking("search"):
            *answers, largest = self._client.query_batch_points(
                self._collection, [*requests, _largest()]
            )
            peak = max(
                ((point.payload or {}).get(_PEAK, 0.0) for point in largest.points), default=0.0
            )
            return [
                Screened(
                    self._candidates([hit for hit in each.points if matches(where, _facts(hit))]),
                    last=each.points[-1].score if each.points else -np.inf,
                    complete=len(each.points) < count,
                    peak=float(peak),
                )
                for each in answers
            ]

    def _candidates(self, records: Sequence[Any]) -> Candidates:
        """Return records as ids and codes; the server keeps indices ascending, but need not."""
        codes = [(record.vector or {}).get(_VECTOR) for record in records]
        return Candidates(
            np.array([int(record.id) for record in records], np.int64),
            stacked(
                [np.array(code.indices if code else (), np.int64) for code in codes],
                [np.array(code.values if code else (), np.float32) for code in codes],
                self._latents,
            ),
        )

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Turn what the client raises into an error that says what to do."""
        from httpx import HTTPError
        from qdrant_client.common.client_exceptions import QdrantException
        from qdrant_client.http.exceptions import ApiException

        if self._closed:
            raise ConfigError("the store is closed", where=repr(self))
        try:
            yield
        except IsthmusError:
            raise
        except (ApiException, QdrantException, HTTPError, *_OTHERS) as error:
            raise RemoteError(
                f"Qdrant could not {doing}",
                where=f"collection {self._collection!r} of {self._where}",
                why=f"{type(error).__name__}: {str(error)[:300]}",
                fix="look whether the server runs, and whether the key is right",
            ) from None


def _vector(codes: csr_array, row: int) -> Any:
    """Return a row as named vectors; none where it holds nothing."""
    from qdrant_client import models

    part = slice(codes.indptr[row], codes.indptr[row + 1])
    indices, values = codes.indices[part].tolist(), codes.data[part].tolist()
    return {_VECTOR: models.SparseVector(indices=indices, values=values)} if indices else {}


def _facts(record: Any) -> dict[str, Any]:
    return facts_of((record.payload or {}).get(FACTS, {}))


def _largest() -> models.QueryRequest:
    """Ask for the passage with the largest value."""
    from qdrant_client import models

    order = models.OrderBy(key=_PEAK, direction=models.Direction.DESC)
    return models.QueryRequest(
        query=models.OrderByQuery(order_by=order), limit=1, with_payload=[_PEAK]
    )
