"""Codes in a PostgreSQL table, in pgvector's ``sparsevec``: the store beside one's other data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError, RemoteError
from isthmus.search.filters import Condition
from isthmus.search.stores.addresses import postgres_connection
from isthmus.search.stores.base import BaseStore
from isthmus.search.stores.checks import Query, Rows, missing_passages, peaks
from isthmus.search.stores.exact import Candidates, Found, Screened, can_cancel, settled
from isthmus.search.stores.postgres_filters import filter_sql, metadata_json
from isthmus.search.stores.sparsevec import LARGEST, from_bytes, row_text, to_text
from isthmus.search.stores.stacking import stacked

if TYPE_CHECKING:
    from psycopg import Connection
    from scipy.sparse import csr_array

__all__ = ["PostgresStore"]

FORMAT = 1

_CREATE = """
CREATE TABLE {table} (
    id bigint PRIMARY KEY,
    codes sparsevec({latents}) NOT NULL,
    peak real NOT NULL,
    metadata jsonb NOT NULL
)"""
_SCREEN = """
SELECT id, codes <#> %(query)s::sparsevec AS distance, sparsevec_send(codes),
       (SELECT max(peak) FROM {table})
FROM {table}
WHERE ({shared}) AND {filter}
ORDER BY distance, id
LIMIT %(count)s"""
_SHARED = "(codes <#> %(query)s::sparsevec) <> 0"
# Concepts that are shared may cancel to a score of zero; with weights of 1 nothing can cancel.
_SHARED_OR_CANCELLED = _SHARED + " OR (codes <#> %(ones)s::sparsevec) <> 0"


class PostgresStore(BaseStore):
    """A `Store` in a table of a PostgreSQL database with pgvector 0.7 or later.

    Every put and every deletion is one transaction: all of it, or nothing. Any number of readers
    may search while one writes. A search reads the whole table (an exact scan).

    Parameters
    ----------
    server
        Address, as ``postgresql://user@host/database`` or ``host=... dbname=...``, without a
        password: that comes from ``PGPASSWORD`` or the file ``~/.pgpass``. Or an open
        `psycopg.Connection`, which stays open; what is written then is committed with the
        transaction that it is in, if there is one.
    table
        Name of the table; it is made where there is none.
    latents
        Width of the codes, N. A code may have up to 16,000 non-zeros.
    timeout
        Seconds to wait for a connection.

    Raises
    ------
    ConfigError
        If the address holds a password or is none, or a setting makes no sense.
    DataError
        If the table is not ours, has another width, or is of a newer format.
    RemoteError
        If the server is away or refuses, or pgvector is not there.
    """

    def __init__(
        self,
        server: str | Connection[Any],
        table: str = "isthmus_codes",
        *,
        latents: int,
        timeout: float = 10.0,
    ) -> None:
        from psycopg import sql

        super().__init__(latents)
        self._table, self._name = sql.Identifier(_named(table)), table
        self._owned = isinstance(server, str)
        self._connection = (
            postgres_connection(server, timeout) if isinstance(server, str) else server
        )
        try:
            with self._asking("open the table"):
                self._open()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"PostgresStore({self._place!r}, latents={self._latents})"

    @property
    def _place(self) -> str:
        info = self._connection.info
        return f"{self._name} in {info.dbname} on {info.host}" if info.status == 0 else self._name

    def __len__(self) -> int:
        with self._asking("count passages"):
            return int(self._rows("SELECT count(*) FROM {table}")[0][0])

    def close(self) -> None:
        """Close the connection, if it was opened here."""
        if self._owned:
            self._connection.close()

    def _rows(self, text: str, parameters: Any = None, **parts: Any) -> list[Any]:
        """Run a statement and return its rows; it leaves no transaction open."""
        from psycopg import sql
        from psycopg.rows import tuple_row

        whole = sql.SQL(text).format(table=self._table, **parts)
        connection = self._connection
        # With autocommit a statement is a transaction already: two round trips less.
        block = nullcontext() if connection.autocommit else connection.transaction()
        with (
            block,
            connection.cursor(binary=True, row_factory=tuple_row) as cursor,
        ):
            cursor.execute(whole, parameters)
            return cursor.fetchall() if cursor.description else []

    def _open(self) -> None:
        """Make the table, or look whether the one there is ours."""
        with self._connection.transaction():
            self._rows(
                "SELECT pg_advisory_xact_lock(hashtext('isthmus'), hashtext(%s))", [self._name]
            )
            _ready_pgvector(self)
            there = self._rows("SELECT to_regclass(quote_ident(%s))::oid", [self._name])[0][0]
            if there is None:
                self._create()
            else:
                self._check(there)

    def _create(self) -> None:
        from psycopg import sql

        said = json.dumps({"isthmus": "codes", "format": FORMAT, "latents": self._latents})
        self._rows(_CREATE, latents=sql.Literal(self._latents))
        self._rows("COMMENT ON TABLE {table} IS {said}", said=sql.Literal(said))
        self._rows(
            "CREATE INDEX {index} ON {table} (peak)", index=sql.Identifier(f"{self._name}_peak")
        )

    def _check(self, table: int) -> None:
        """Refuse a table that is not ours or not what was asked for."""
        comment = self._rows("SELECT obj_description(%s::oid, 'pg_class')", [table])[0][0]
        try:
            said = json.loads(comment or "null")
        except ValueError:
            said = None
        if not isinstance(said, dict) or said.get("isthmus") != "codes":
            raise DataError(
                "the table was not made by Isthmus",
                where=self._place,
                why="its comment lacks our mark",
                fix="choose another name",
            )
        form, latents = said.get("format"), said.get("latents")
        if not isinstance(form, int) or form > FORMAT:
            raise DataError(
                "the table is of a newer format",
                where=self._place,
                why=f"format {form}; this version reads up to {FORMAT}",
                fix="update Isthmus",
            )
        if latents != self._latents:
            raise DataError(
                "the table belongs to another dictionary",
                where=self._place,
                why=f"its codes have {latents} latents, not {self._latents}",
            )

    def _put(self, rows: Rows) -> None:
        widest = int(np.diff(rows.codes.indptr).max())
        if widest > LARGEST:
            raise DataError(
                "a code has too many non-zeros for pgvector",
                why=f"{widest:,}; a sparsevec holds at most {LARGEST:,}",
            )
        from psycopg import sql

        largest = peaks(rows.codes).tolist()
        into = sql.SQL("COPY {} (id, codes, peak, metadata) FROM STDIN")
        with (
            self._asking("store passages"),
            self._connection.transaction(),
            self._connection.cursor() as cursor,
        ):
            # One writer at a time, while everybody may read: else two that put the same new id
            # would collide.
            self._rows("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            self._rows("DELETE FROM {table} WHERE id = ANY(%s)", [rows.ids.tolist()])
            with cursor.copy(into.format(self._table)) as copy:
                for row, id in enumerate(rows.ids.tolist()):
                    code, facts = row_text(rows.codes, row), metadata_json(rows.metadata[row])
                    copy.write_row((id, code, largest[row], facts))

    def _delete(self, ids: NDArray[np.int64]) -> None:
        with self._asking("delete passages"):
            self._rows("DELETE FROM {table} WHERE id = ANY(%s)", [ids.tolist()])

    def _codes(self, ids: NDArray[np.int64]) -> csr_array:
        wanted = "SELECT id, sparsevec_send(codes) FROM {table} WHERE id = ANY(%s)"
        with self._asking("read codes"):
            found = dict(self._rows(wanted, [np.unique(ids).tolist()]))
        lost = np.array([one for one in np.unique(ids) if int(one) not in found], np.int64)
        if len(lost):
            raise missing_passages(lost)
        return self._stacked([found[int(one)] for one in ids])

    def _stacked(self, sent: list[bytes]) -> csr_array:
        read = [from_bytes(one) for one in sent]
        return stacked([one[0] for one in read], [one[1] for one in read], self._latents)

    def _search(self, query: Query, limit: int, where: tuple[Condition, ...]) -> Found:
        from psycopg import sql

        if len(query.concepts) > LARGEST:
            raise ConfigError(
                "the query has too many concepts for pgvector",
                why=f"{len(query.concepts):,}; a sparsevec holds at most {LARGEST:,}",
            )
        condition, parameters = filter_sql(where)
        shared = sql.SQL(_SHARED)
        if can_cancel(query):
            shared = sql.SQL(_SHARED_OR_CANCELLED)
            ones = np.ones(len(query.concepts), np.float32)
            parameters["ones"] = to_text(query.concepts, ones, self._latents)

        def screened(weights: NDArray[np.float32], count: int) -> Screened:
            asked = {"query": to_text(query.concepts, weights, self._latents), "count": count}
            with self._asking("search"):
                found = self._rows(
                    _SCREEN, {**parameters, **asked}, shared=shared, filter=condition
                )
            ids = np.array([row[0] for row in found], np.int64)
            return Screened(
                candidates=Candidates(ids, self._stacked([row[2] for row in found])),
                last=-float(found[-1][1]) if found else -np.inf,
                complete=len(found) < count,
                peak=float(found[0][3]) if found else 0.0,
            )

        def screen(asked: Sequence[NDArray[np.float32]], count: int) -> list[Screened]:
            return [screened(weights, count) for weights in asked]

        return settled(query, limit, screen, silent=False)

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Turn what the driver raises into an error that says what to do."""
        import psycopg

        if self._connection.closed:
            raise ConfigError("the store is closed, or its connection was lost", where=repr(self))
        try:
            yield
        except psycopg.Error as error:
            raise RemoteError(
                f"PostgreSQL could not {doing}",
                where=self._place,
                why=f"{type(error).__name__}: {str(error)[:300]}",
                fix="look whether the server runs, and whether this user may do it",
            ) from None


def _named(table: str) -> str:
    """Return a table's name, or refuse it."""
    # The index' name is longer, and PostgreSQL cuts names at 63 bytes without a word.
    if not isinstance(table, str) or not 1 <= len(table.encode()) <= 54 or set(table) & {"\0", "%"}:
        raise ConfigError("a table's name has 1 to 54 bytes, none of them %", where=f"{table=}")
    return table


def _ready_pgvector(store: PostgresStore) -> None:
    """Make sure that ``sparsevec`` is there, in the transaction under way."""
    import psycopg

    if store._rows("SELECT to_regtype('sparsevec')::oid")[0][0] is not None:
        return
    try:
        store._rows("CREATE EXTENSION IF NOT EXISTS vector")
        found = store._rows("SELECT to_regtype('sparsevec')::oid")[0][0] is not None
        why = "the version installed is older than 0.7, which brought sparsevec"
    except psycopg.Error as error:
        found, why = False, str(error)[:300]
    if not found:
        raise RemoteError(
            "the database has no pgvector",
            where=store._place,
            why=why,
            fix="let its administrator install pgvector 0.7 or later and run "
            "CREATE EXTENSION vector",
        )
