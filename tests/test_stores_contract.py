"""One suite for all stores: the same ids and the same scores, to the last bit, on every input."""

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from isthmus.search.filters import OPERATORS, Condition
from isthmus.search.stores import EmbeddedStore, PostgresStore, QdrantStore, Store
from store_tools import LATENTS, Oracle, ServerLike, codes_of, memory_client, postgres_server

KINDS = ("embedded", "qdrant", "qdrant server", "postgres")
THIRD = float(np.float32(1 / 3))


@pytest.fixture(scope="module")
def server():
    with postgres_server() as address:
        yield address


@pytest.fixture(scope="module")
def connection(server):
    import psycopg

    with psycopg.connect(server, autocommit=True) as found:
        found.execute("SET synchronous_commit = off")
        yield found


@pytest.fixture(params=KINDS)
def make(request):
    """Return what makes an empty store of a kind."""
    if request.param == "embedded":
        return lambda: EmbeddedStore(LATENTS)
    if request.param == "qdrant":
        return lambda: QdrantStore(memory_client(), "codes", latents=LATENTS, batch=3)
    if request.param == "qdrant server":
        return lambda: QdrantStore(ServerLike(memory_client()), "codes", latents=LATENTS, batch=3)
    connection = request.getfixturevalue("connection")

    def empty():
        store = PostgresStore(connection, "codes", latents=LATENTS)
        connection.execute("TRUNCATE codes")
        return store

    return empty


def ids():
    return st.integers(0, 12)


def values():
    """Numbers that tie and cancel, and such as show how they were rounded."""
    ties = st.sampled_from([1.0, 2.0, 3.0])
    odd = st.sampled_from([THIRD, 0.1, 1e-7, 2.0**-56, 2.0**-57, 1e-30, 2.0**56, 16777217.0])
    return st.one_of(ties, ties, odd, st.floats(2.0**-20, 2.0**20, width=32))


def code():
    return st.dictionaries(st.integers(0, LATENTS - 1), values(), max_size=5)


def weights():
    signed = st.sampled_from([1.0, -1.0, 2.0, -2.0, 0.0])
    odd = st.sampled_from([1 / 3, -0.1, 1e-9, -1e-20, 1e150, -(2.0**-300), 1.0 + 2**-40])
    return st.one_of(signed, signed, odd, st.floats(-1e6, 1e6))


def queries():
    found = st.dictionaries(st.integers(0, LATENTS - 1), weights(), min_size=1, max_size=5)
    return found.filter(lambda query: any(abs(weight) >= 1e-200 for weight in query.values()))


FIELDS = ("year", "kind", "a.b", "a-2e-b", 'quo"te', "", "[0]")


def facts():
    """Values that look alike and are not, and one that is the same in two forms."""
    numbers = [0, 1, 1.0, -1, 0.1, 2**53, 2**53 + 1, 2.0**53, 2.0**60, 2**60, 1e23, -1e-300, 1999]
    texts = ["", "a", "A", "b", "ä", "\uffff", "\U00010000", "1", "true", "it's", "50%", "a\\b"]
    return st.one_of(
        st.sampled_from(numbers), st.sampled_from(texts), st.booleans(), st.integers(-5, 5)
    )


def metadata():
    return st.dictionaries(st.sampled_from(FIELDS), facts(), max_size=3)


def conditions():
    single = st.builds(
        Condition,
        st.sampled_from(FIELDS),
        st.sampled_from(sorted(set(OPERATORS) - {"in"})),
        facts(),
    )
    several = st.lists(facts(), max_size=3).map(tuple)
    choice = st.builds(Condition, st.sampled_from(FIELDS), st.just("in"), several)
    return st.one_of(single, single, choice)


def same(store, oracle, query, limit, where=()):
    """Hold a search against the oracle."""
    concepts, given_weights = list(query), list(query.values())
    expected, scores = oracle.search(concepts, given_weights, limit, where)
    found = store.search(concepts, given_weights, limit=limit, where=where)
    assert found.ids.dtype == np.int64
    assert found.scores.dtype == np.float64
    assert found.ids.tolist() == expected
    assert found.scores.tolist() == scores


def test_any_history_gives_the_results_of_the_oracle(make):
    class History(RuleBasedStateMachine):
        @initialize()
        def start(self):
            self.store, self.oracle = make(), Oracle()

        @rule(batch=st.dictionaries(ids(), st.tuples(code(), metadata()), max_size=6))
        def put(self, batch):
            arguments = (
                list(batch),
                codes_of([one for one, _ in batch.values()]),
                [facts for _, facts in batch.values()],
            )
            self.store.put(*arguments)
            self.oracle.put(*arguments)

        @rule(wanted=st.lists(ids(), max_size=3))
        def delete(self, wanted):
            self.store.delete(wanted)
            self.oracle.delete(wanted)

        @rule(query=queries(), limit=st.sampled_from([1, 2, 3, 100]))
        def search(self, query, limit):
            same(self.store, self.oracle, query, limit)

        @rule(query=queries(), where=st.lists(conditions(), min_size=1, max_size=2))
        def search_filtered(self, query, where):
            same(self.store, self.oracle, query, 5, where)

        @rule()
        def look(self):
            assert len(self.store) == len(self.oracle.rows)
            held = list(self.oracle.rows)[::-1]
            stored = self.store.codes(held)
            assert stored.dtype == np.float32
            assert stored.shape == (len(held), LATENTS)
            expected = codes_of([self.oracle.rows[id][0] for id in held])
            np.testing.assert_array_equal(stored.toarray(), expected.toarray())

        @rule(query=queries())
        def explain(self, query):
            concepts, given_weights = list(query), list(query.values())
            found = self.store.search(concepts, given_weights, limit=3)
            for id, score in zip(found.ids.tolist(), found.scores.tolist(), strict=True):
                shared, parts = self.store.contributions(id, concepts, given_weights)
                assert (np.diff(shared) > 0).all()
                assert set(shared.tolist()) <= set(concepts)
                assert sum(parts.tolist()) == score

    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=25,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_condition_means_what_it_means_in_python(make):
    store, oracle = make(), Oracle()
    held = [
        *({"x": value} for value in [0, 1, 1.0, -1, 0.1, 2**53, 2**53 + 1, 2.0**53, 2.0**60]),
        *({"x": value} for value in [2**60, 1e23, 5e-324, True, False, "", "a", "A", "1", "ä"]),
        *({"x": value} for value in ["\uffff", "\U00010000", "true", "it's", "%s", "null"]),
        {},
        {"y": 1},
    ]
    arguments = (range(len(held)), codes_of([{0: 1.0}] * len(held)), held)
    store.put(*arguments)
    oracle.put(*arguments)
    asked = [one["x"] for one in held if "x" in one]
    checks = [Condition("x", sign, value) for sign in set(OPERATORS) - {"in"} for value in asked]
    checks += [Condition("x", "in", ()), Condition("x", "in", (1, "a", True, 2.0**60))]
    for condition in checks:
        same(store, oracle, {0: 1.0}, 100, [condition])


def test_hundreds_of_equal_scores_come_by_rising_id(make):
    store, oracle = make(), Oracle()
    order = np.random.default_rng(0).permutation(300)
    arguments = (order, codes_of([{0: 1.0, 1: 1.0 + (i % 3 == 0)} for i in order]), [{}] * 300)
    store.put(*arguments)
    oracle.put(*arguments)
    same(store, oracle, {0: 1.0}, 7)
    same(store, oracle, {0: 1.0, 1: -1.0}, 250)  # scores of 0 beside those of -1
    same(store, oracle, {0: 0.5, 1: 0.5}, 5)
    same(store, oracle, {0: -1.0}, 1000)


def test_scores_that_float32_can_not_tell_apart_are_told_apart(make):
    # Ten thousand times 1e-9 of the score apart: a sum in float32 calls them all equal.
    store, oracle = make(), Oracle()
    small = np.random.default_rng(1).permutation(60) + 1.0
    arguments = (range(60), codes_of([{0: 1.0, 1: v} for v in small]), [{}] * 60)
    store.put(*arguments)
    oracle.put(*arguments)
    same(store, oracle, {0: 1.0, 1: 1e-9}, 5)
    same(store, oracle, {0: 1.0, 1: -1e-9}, 5)


def test_a_score_of_zero_by_cancellation_is_found_before_a_negative_one(make):
    store, oracle = make(), Oracle()
    rows = [{0: 1.0, 1: 2.0}, {0: 1.0, 1: 1.0}, {0: THIRD, 1: THIRD}, {2: 9.0}, {}, {1: 1e-12}]
    arguments = (range(6), codes_of(rows), [{}] * 6)
    store.put(*arguments)
    oracle.put(*arguments)
    found = store.search([0, 1], [1.0, -1.0], limit=2)
    assert (found.ids.tolist(), found.scores.tolist()) == ([1, 2], [0.0, 0.0])
    same(store, oracle, {0: 1.0, 1: -1.0}, 10)


def test_less_of_something_alone_finds_what_has_it_the_least_first(make):
    store = make()
    store.put([1, 2, 3], codes_of([{0: 5.0}, {0: 1.0}, {1: 1.0}]), [{}] * 3)
    found = store.search([0], [-1.0])
    assert (found.ids.tolist(), found.scores.tolist()) == ([2, 1], [-1.0, -5.0])


def test_an_empty_store_finds_nothing(make):
    store = make()
    assert isinstance(store, Store)
    assert (len(store), store.latents) == (0, LATENTS)
    assert len(store.search([0, 1], [1.0, -1.0])) == 0
    assert len(store.search([0], [1.0], where=[Condition("x", "=", 1)])) == 0
    assert store.codes([]).shape == (0, LATENTS)
    store.delete([1, 2])
    store.put([], codes_of([]), [])
    assert len(store) == 0


def test_a_replaced_passage_leaves_nothing_of_what_it_was(make):
    store = make()
    store.put([4], codes_of([{0: 1.0, 3: 1.0}]), [{"x": 1, "y": 2}])
    store.put([4], codes_of([{1: 2.0}]), [{"x": 5}])
    assert len(store) == 1
    assert len(store.search([0, 3], [1.0, 1.0])) == 0
    assert len(store.search([1], [1.0], where=[Condition("y", "=", 2)])) == 0
    assert store.search([1], [1.0], where=[Condition("x", "=", 5)]).ids.tolist() == [4]
    store.put([4], codes_of([{}]), [{}])
    assert (len(store), len(store.search([1], [1.0]))) == (1, 0)
    assert store.codes([4]).nnz == 0


def test_the_largest_ids_are_kept(make):
    store = make()
    store.put([2**63 - 1, 0], codes_of([{0: 1.0}, {0: 1.0}]), [{}, {}])
    assert store.search([0], [1.0]).ids.tolist() == [0, 2**63 - 1]
    assert store.codes([2**63 - 1, 0, 2**63 - 1]).shape == (3, LATENTS)


def test_a_missing_passage_is_named(make):
    from isthmus.errors import DataError

    store = make()
    store.put([1], codes_of([{0: 1.0}]), [{}])
    with pytest.raises(DataError, match=r"no such passage\n  where: id 5, 7$"):
        store.codes([7, 1, 5])
    with pytest.raises(DataError, match="id 9"):
        store.contributions(9, [0], [1.0])


@given(
    rows=st.lists(code(), min_size=1, max_size=40),
    query=queries(),
    limit=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_a_server_that_rounds_and_drops_zeros_gives_exact_results(rows, query, limit):
    oracle, arguments = Oracle(), (range(len(rows)), codes_of(rows), [{}] * len(rows))
    with QdrantStore(ServerLike(memory_client()), "codes", latents=LATENTS) as store:
        store.put(*arguments)
        oracle.put(*arguments)
        same(store, oracle, query, limit)


def test_many_readers_see_whole_writes_while_one_writes():
    # Every put replaces all passages at once: a search must never see a mixture.
    import threading

    store = EmbeddedStore(LATENTS)
    store.put(range(50), codes_of([{0: 1.0}] * 50), [{}] * 50)
    wrong, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            scores = store.search([0], [1.0], limit=50).scores
            if len(scores) != 50 or len(set(scores.tolist())) != 1:
                wrong.append(scores)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    until = time.monotonic() + 1
    value = 1.0
    while time.monotonic() < until:
        value += 1.0
        store.put(range(50), codes_of([{0: value}] * 50), [{}] * 50)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert value > 5


def test_what_cancels_is_looked_for_beyond_the_first_answers(make):
    # More cancel than are fetched at first, and the one that counts is the last of them.
    store, oracle = make(), Oracle()
    rows = [{0: 1.0 + i, 1: 1.0 + i} for i in range(60)] + [{1: 1.0}]
    arguments = (range(61), codes_of(rows), [{}] * 61)
    store.put(*arguments)
    oracle.put(*arguments)
    same(store, oracle, {0: 1.0, 1: -1.0}, 1)
    same(store, oracle, {0: 1.0, 1: -1.0}, 30)
