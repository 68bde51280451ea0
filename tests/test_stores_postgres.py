"""The adapter to PostgreSQL on a real server: transactions, names, secrets, refusals."""

import threading

import numpy as np
import pytest

from isthmus.errors import ConfigError, DataError, RemoteError
from isthmus.search.filters import Condition
from isthmus.search.stores import PostgresStore
from isthmus.search.stores.sparsevec import from_bytes, row_text, to_text
from store_tools import LATENTS, codes_of, environment, postgres_server

SECRET = "s3cr3t"


@pytest.fixture(scope="module")
def address():
    with postgres_server() as found:
        yield found


@pytest.fixture
def admin(address):
    import psycopg

    with psycopg.connect(address, autocommit=True) as found:
        yield found
        names = found.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (name,) in names.fetchall():
            found.execute(psycopg.sql.SQL("DROP TABLE {}").format(psycopg.sql.Identifier(name)))


def filled(server, table="codes"):
    store = PostgresStore(server, table, latents=LATENTS)
    store.put([1, 2], codes_of([{0: 1.0}, {0: 2.0, 3: 1.0}]), [{"x": 1}, {"x": "a"}])
    return store


def test_a_table_is_made_and_found_again(address, admin):
    with filled(address) as store:
        assert len(store) == 2
    with PostgresStore(address, "codes", latents=LATENTS) as again:
        assert again.search([0], [1.0]).ids.tolist() == [2, 1]
    said = admin.execute("SELECT obj_description('codes'::regclass)").fetchone()[0]
    assert said == '{"isthmus": "codes", "format": 1, "latents": 8}'


@pytest.mark.parametrize(
    "name",
    ["codes", "Codes", "a b", 'x"; DROP TABLE victim; --', "{}", "café", "select", "a" * 54],
)
def test_any_name_is_only_a_name(address, admin, name):
    admin.execute("CREATE TABLE victim (x int)")
    for _ in range(2):
        with filled(address, name) as store:
            assert store.search([3], [1.0]).ids.tolist() == [2]
    names = {row[0] for row in admin.execute("SELECT tablename FROM pg_tables").fetchall()}
    assert {"victim", name} <= names


@pytest.mark.parametrize("name", ["", "a" * 55, "a\0b", None, "é" * 28, "%s"])
def test_names_that_are_refused(address, name):
    with pytest.raises(ConfigError, match="table"):
        PostgresStore(address, name, latents=LATENTS)


def test_fields_and_values_are_only_data(address, admin):
    odd = ["'; DROP TABLE codes; --", "%(x)s", "{}", '"', "\\", "a' OR 'a'='a", "$1", "\u2028"]
    with PostgresStore(address, "codes", latents=LATENTS) as store:
        facts = [{one: other} for one in odd for other in odd]
        store.put(range(len(facts)), codes_of([{0: 1.0}] * len(facts)), facts)
        for number, one in enumerate(facts):
            ((field, value),) = one.items()
            for condition in (Condition(field, "=", value), Condition(field, "in", (value, 1))):
                assert store.search([0], [1.0], where=[condition]).ids.tolist() == [number]


@pytest.mark.parametrize(
    ("comment", "wrong"),
    [
        (None, "not made by Isthmus"),
        ("no JSON", "not made by Isthmus"),
        ('"text"', "not made by Isthmus"),
        ('{"isthmus": "runs"}', "not made by Isthmus"),
        ('{"isthmus": "codes", "format": 2, "latents": 8}', "newer format"),
        ('{"isthmus": "codes"}', "newer format"),
        ('{"isthmus": "codes", "format": 1, "latents": 9}', "9 latents, not 8"),
    ],
)
def test_a_table_of_something_else_is_refused_and_left_alone(address, admin, comment, wrong):
    from psycopg import sql

    admin.execute("CREATE TABLE codes (x int)")
    admin.execute(sql.SQL("COMMENT ON TABLE codes IS {}").format(sql.Literal(comment)))
    with pytest.raises(DataError, match=wrong):
        PostgresStore(address, "codes", latents=LATENTS)
    columns = admin.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'codes'::regclass")
    assert ("x",) in columns.fetchall()


def test_texts_are_compared_in_collation_c_whatever_the_database_has():
    # The server of these tests knows no other collation, so the statement is looked at.
    from isthmus.search.stores.postgres_filters import filter_sql

    said = filter_sql([Condition("x", "<", "a")])[0].as_string(None)
    assert said.count('COLLATE "C"') == 2
    assert "COLLATE" not in filter_sql([Condition("x", "<", 1)])[0].as_string(None)


def test_a_put_is_all_or_nothing(address, admin):
    with filled(address) as store:
        admin.execute("ALTER TABLE codes ADD CHECK (id <> 7)")
        many = [2, *range(100, 150), 7]
        with pytest.raises(RemoteError, match=r"could not store passages\n.*\n.*CheckViolation"):
            store.put(many, codes_of([{5: 1.0}] * len(many)), [{}] * len(many))
        assert len(store) == 2
        assert store.codes([2]).toarray()[0].tolist() == [2, 0, 0, 1, 0, 0, 0, 0]
        store.put([8], codes_of([{5: 1.0}]), [{}])  # the connection is still good
        assert len(store) == 3


def test_a_write_is_part_of_the_transaction_it_is_in(address, admin):
    import psycopg

    filled(address).close()
    with psycopg.connect(address) as connection:
        store = PostgresStore(connection, "codes", latents=LATENTS)
        store.put([9], codes_of([{0: 9.0}]), [{}])
        with connection.transaction(force_rollback=True):
            store.put([10], codes_of([{0: 9.0}]), [{}])
            store.delete([1])
            assert len(store) == 3
        assert store.search([0], [1.0]).ids.tolist() == [9, 2, 1]
        store.close()
        assert not connection.closed
    assert admin.execute("SELECT count(*) FROM codes").fetchone() == (3,)


def test_a_search_leaves_no_transaction_open(address, admin):
    import psycopg

    filled(address).close()
    for autocommit in (True, False):
        with psycopg.connect(address, autocommit=autocommit) as connection:
            store = PostgresStore(connection, "codes", latents=LATENTS)
            store.search([0], [1.0])
            len(store)
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_one_statement_is_enough_where_scores_differ(address, admin, monkeypatch):
    with PostgresStore(address, "codes", latents=LATENTS) as store:
        rows = [{0: 1.0 + i / 1000, 1: 1.0} for i in range(500)]
        store.put(range(500), codes_of(rows), [{"even": i % 2 == 0} for i in range(500)])
        asked, run = [], store._rows
        monkeypatch.setattr(store, "_rows", lambda *a, **k: asked.append(a) or run(*a, **k))
        for weights in ([1.0, 1.0], [1.0, -0.5], [-1.0, -1.0]):
            asked.clear()
            store.search([0, 1], weights, where=[Condition("even", "=", True)])
            assert len(asked) == 1


def test_two_writers_of_the_same_ids_do_not_collide(address, admin):
    filled(address).close()
    wrong = []

    def write(value):
        try:
            with PostgresStore(address, "codes", latents=LATENTS) as store:
                for _ in range(5):
                    store.put(range(50), codes_of([{0: value}] * 50), [{}] * 50)
        except Exception as error:
            wrong.append(error)

    writers = [threading.Thread(target=write, args=(1.0 + i,)) for i in range(3)]
    for writer in writers:
        writer.start()
    with PostgresStore(address, "codes", latents=LATENTS) as reader:
        while any(writer.is_alive() for writer in writers):
            scores = reader.search([0], [1.0], limit=100).scores
            assert len(set(scores.tolist())) == 1 or len(scores) == 2
    for writer in writers:
        writer.join()
    assert not wrong


def test_two_that_open_at_once_make_one_table(address, admin):
    wrong = []

    def open_it():
        try:
            PostgresStore(address, "codes", latents=LATENTS).close()
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://user:{SECRET}@localhost/db",
        f"postgresql://localhost/db?password={SECRET}",
        f"host=localhost password={SECRET}",
        f"host=localhost password='{SECRET}",
        f"host=localhost sslpassword={SECRET}",
        f"host=localhost {SECRET}",
        f"postgresql://user:{SECRET}@[::1/db",
    ],
)
def test_an_address_with_a_password_or_none_is_refused_unshown(address):
    with pytest.raises(ConfigError) as caught:
        PostgresStore(address, latents=LATENTS)
    error = caught.value
    assert SECRET not in str(error) + repr(error) + repr(error.__cause__)
    assert error.__suppress_context__ or error.__context__ is None


def test_a_password_from_the_environment_is_never_shown(tmp_path):
    with environment(PGPASSWORD=SECRET), pytest.raises(RemoteError) as caught:
        PostgresStore(f"host={tmp_path} dbname=nothing", latents=LATENTS)
    assert "could not be reached" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_it_says_it_is_holds_no_secret(address, admin):
    with environment(PGPASSWORD=SECRET), filled(address) as store:
        said = repr(store)
    assert said.startswith("PostgresStore('codes in postgres on /")
    assert SECRET not in said
    assert repr(store) == "PostgresStore('codes', latents=8)"  # closed


def test_a_closed_store_says_so(address, admin):
    store = filled(address)
    store.close()
    store.close()
    with pytest.raises(ConfigError, match="closed"):
        store.search([0], [1.0])


def test_a_connection_that_is_lost_is_reported(address, admin):
    store = filled(address)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    admin.execute(others + " AND backend_type = 'client backend'")
    with pytest.raises(RemoteError, match="could not search"):
        store.search([0], [1.0])
    with pytest.raises(ConfigError, match="connection was lost"):
        store.search([0], [1.0])


def test_a_database_without_pgvector_and_a_user_who_may_not_make_it(address, admin):
    import psycopg

    admin.execute("CREATE DATABASE bare")
    admin.execute("CREATE ROLE plain LOGIN")
    try:
        bare = psycopg.conninfo.make_conninfo(address, dbname="bare", user="plain")
        with pytest.raises(RemoteError, match="no pgvector") as caught:
            PostgresStore(bare, latents=LATENTS)
        assert "CREATE EXTENSION vector" in str(caught.value)
        whole = psycopg.conninfo.make_conninfo(address, dbname="bare")
        filled(whole).close()  # who may, need do nothing
    finally:
        admin.execute("DROP DATABASE bare")
        admin.execute("DROP ROLE plain")


def test_a_table_that_was_dropped_is_reported(address, admin):
    with filled(address) as store:
        admin.execute("DROP TABLE codes")
        for doing in (
            lambda: store.search([0], [1.0]),
            lambda: store.put([1], codes_of([{0: 1.0}]), [{}]),
            lambda: store.delete([1]),
            lambda: store.codes([1]),
            lambda: len(store),
        ):
            with pytest.raises(RemoteError, match="UndefinedTable"):
                doing()


def test_more_non_zeros_than_pgvector_takes_are_refused(address, admin):
    wide = 20_000
    with PostgresStore(address, "codes", latents=wide) as store:
        most = codes_of([dict.fromkeys(range(16000), 1.0)], wide)
        store.put([1], most, [{}])
        assert store.search(range(16_000), np.ones(16_000)).scores.tolist() == [16_000.0]
        with pytest.raises(DataError, match="16,001; a sparsevec holds"):
            store.put([2], codes_of([dict.fromkeys(range(16001), 1.0)], wide), [{}])
        with pytest.raises(ConfigError, match="too many concepts"):
            store.search(range(16_001), np.ones(16_001))


def test_rows_of_another_shape_in_the_connection_do_not_matter(address, admin):
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(address, row_factory=dict_row) as connection:
        assert filled(connection).search([0], [1.0]).ids.tolist() == [2, 1]


def test_a_sparsevec_is_written_and_read_as_pgvector_does():
    pgvector = pytest.importorskip("pgvector")
    codes = codes_of([{0: 0.1, 7: 3.0e-5}, {}, {3: 2.0**56}])
    for row in range(3):
        other = pgvector.SparseVector(codes[[row]])
        ours = pgvector.SparseVector.from_text(row_text(codes, row))
        values = np.array(ours.values(), np.float32)
        np.testing.assert_array_equal(values, np.array(other.values(), np.float32))
        assert (ours.indices(), ours.dimensions()) == (other.indices(), other.dimensions())
        indices, values = from_bytes(other.to_binary())
        assert indices.tolist() == other.indices()
        np.testing.assert_array_equal(values, np.array(other.values(), np.float32))
    assert to_text(np.array([], int), np.array([]), 8) == "{}/8"


@pytest.mark.parametrize("sent", [b"", b"\0" * 8, b"\0\0\0\1" * 3, b"\xff" * 12])
def test_bytes_that_are_no_sparsevec_are_refused(sent):
    with pytest.raises(RemoteError, match="can't be read"):
        from_bytes(sent)
