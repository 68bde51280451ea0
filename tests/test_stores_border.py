"""What the stores' border lets in, what it refuses, and how a server's answers are settled."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_array, csr_array

from isthmus.errors import ConfigError, DataError
from isthmus.search.filters import Condition
from isthmus.search.stores import EmbeddedStore
from isthmus.search.stores.checks import Query, checked_rows
from isthmus.search.stores.exact import Candidates, Screened, error_bound, scored, settled, shares
from isthmus.search.stores.stacking import stacked
from store_tools import codes_of

ONE = codes_of([{0: 1.0}])


@pytest.fixture
def store():
    found = EmbeddedStore(8)
    found.put([1], codes_of([{0: 1.0, 2: 4.0}]), [{"x": 1}])
    return found


def unsound(**parts):
    """Return codes whose arrays were tampered with."""
    codes = codes_of([{0: 1.0, 2: 4.0}, {1: 1.0}])
    for name, value in parts.items():
        setattr(codes, name, np.array(value))
    return codes


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([1, 2, 1], "stands twice\n  where: id 1$"),
        ([-1, 2, 3], "from 0 and fit.*\n  where: id -1 at place 0"),
        (
            np.array([1, 2**63, 3], np.uint64),
            "from 0 and fit.*\n  where: id 9223372036854775808 at place 1",
        ),
        ([1.0, 2.0, 3.0], "no list of whole numbers\n.*float64"),
        ([True, False, True], "no list of whole numbers\n.*bool"),
        ([[1, 2, 3]], r"no list of whole numbers\n.*\(1, 3\)"),
        (["1", "2", "3"], "no list of whole numbers"),
        ([1, [2], 3], "no list of whole numbers"),
        ([1, 2**70, 3], "no list of whole numbers"),
        ([1, 2], "do not belong together\n.*2 ids, 3 rows, 3 metadata"),
    ],
)
def test_ids_that_are_refused(store, ids, said):
    with pytest.raises(DataError, match=said):
        store.put(ids, codes_of([{0: 1.0}] * 3), [{}] * 3)
    assert len(store) == 1


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (np.eye(8), "no sparse matrix of numbers\n.*ndarray"),
        (csr_array(np.eye(2, 8) * 1j), "no sparse matrix of numbers"),
        (csr_array(np.eye(2, 7)), "another width than the store\n.*7 instead of 8"),
        (unsound(data=[1.0, math.nan, 1.0]), "row 0, latent 2: nan"),
        (unsound(data=[1.0, math.inf, 1.0]), "row 0, latent 2: inf"),
        (unsound(data=[1.0, 4.0, -1.0]), "row 1, latent 1: -1.0"),
        (unsound(data=[1.0, 4.0, 2.0**56 * 1.01]), "too large\n  where: row 1"),
        (unsound(indices=[0, 0, 1]), "stands twice in a code\n  where: row 0, latent 0$"),
        (unsound(indices=[2, 2, 1]), "stands twice in a code\n  where: row 0, latent 2$"),
        (unsound(indices=[0, 8, 1]), "no sound sparse matrix"),
        (unsound(indices=[0, -1, 1]), "no sound sparse matrix"),
        (unsound(indptr=[0, 3, 2]), "no sound sparse matrix"),
        (unsound(indptr=[0, 1, 9]), "no sound sparse matrix"),
    ],
)
def test_codes_that_are_refused(store, codes, said):
    with pytest.raises(DataError, match=said):
        store.put([5, 6], codes, [{}, {}])
    assert len(store) == 1


def test_the_same_latent_in_neighbouring_rows_is_not_twice():
    assert checked_rows([1, 2], codes_of([{3: 1.0}, {3: 2.0}]), [{}, {}], 8).codes.nnz == 2


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ([1, 2], "must be a mapping\n  where: row 0\n.*list"),
        ({"x": None}, "row 0, field 'x': None\n.*no text, truth or number"),
        ({"x": [1]}, "no text, truth or number"),
        ({"x": np.int64(3)}, "no text, truth or number"),
        ({3: 1}, "no text, truth or number"),
        ({"x": math.nan}, "not finite"),
        ({"x": -math.inf}, "not finite"),
        ({"x": 2**63}, "64 bits"),
        ({"x": -(2**63) - 1}, "64 bits"),
        ({"x": "a\0b"}, "NUL"),
        ({"x\0": "a"}, "NUL"),
        ({"x": "\ud800"}, "surrogate"),
    ],
)
def test_metadata_that_are_refused(store, facts, said):
    with pytest.raises(DataError, match=said):
        store.put([5], ONE, [facts])
    assert len(store) == 1


@pytest.mark.parametrize(
    ("concepts", "weights", "said"),
    [
        ([], [], "a search needs a concept"),
        ([1, 2], [0.0, -0.0], "a search needs a concept"),
        ([1], [1e-201], "a search needs a concept"),
        ([1, 2], [1.0], r"shapes are \(2,\) and \(1,\)"),
        ([[1]], [[1.0]], "a list of concepts"),
        ([1.5], [1.0], "must be whole numbers"),
        (["a"], [1.0], "must be whole numbers"),
        ([1], ["a"], "weights numbers"),
        ([1], [1j], "weights numbers"),
        ([1, 2], [1.0, math.nan], "concept 2: nan"),
        ([1], [-math.inf], "concept 1: -inf"),
        ([1], [1.1e200], "above 1e200"),
        ([-1], [1.0], "no such concept\n  where: concept -1\n.*0 to 7"),
        ([8], [1.0], "no such concept\n  where: concept 8"),
        ([3, 1, 3], [1.0, 1.0, 2.0], "stands twice in the query\n  where: concept 3"),
    ],
)
def test_queries_that_are_refused(store, concepts, weights, said):
    with pytest.raises(ConfigError, match=said):
        store.search(concepts, weights)
    with pytest.raises(ConfigError, match=said):
        store.contributions(1, concepts, weights)


@pytest.mark.parametrize("limit", [0, -1, 1.0, True, "3", None, 10**9 + 1])
def test_limits_that_are_refused(store, limit):
    with pytest.raises(ConfigError, match="limit must be from 1"):
        store.search([0], [1.0], limit=limit)


@pytest.mark.parametrize(
    "condition",
    [
        "x=1",
        Condition("x", "=", math.nan),
        Condition("x", "in", (1, math.inf)),
        Condition("x\0", "=", 1),
        Condition("x", "=", "\0"),
        Condition("x", "<", 2**63),
    ],
)
def test_conditions_that_are_refused(store, condition):
    with pytest.raises(ConfigError):
        store.search([0], [1.0], where=[condition])


@pytest.mark.parametrize("latents", [0, -1, 10**9 + 1, 3.0, True, None])
def test_widths_that_are_refused(latents):
    with pytest.raises(ConfigError, match="latents"):
        EmbeddedStore(latents)


def test_what_is_given_is_not_changed_and_any_sparse_form_is_taken():
    dense = np.array([[0.0, 2.0, 1e-30], [3.0, 0.0, 0.0]])
    for form in (csr_array, csc_array, coo_array):
        given_codes = form(dense)
        before = given_codes.toarray().copy()
        rows = checked_rows([1, 2], given_codes, [{}, {}], 3)
        assert rows.codes.toarray().tolist() == [[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]]
        assert (rows.codes.dtype, rows.codes.nnz) == (np.float32, 2)
        np.testing.assert_array_equal(given_codes.toarray(), before)


def test_weights_far_below_the_largest_count_as_zero(store):
    store.put([2], codes_of([{3: 1.0}]), [{}])
    assert store.search([2, 3], [1.0, 2.0**-56]).ids.tolist() == [1, 2]
    assert store.search([2, 3], [1.0, 2.0**-57]).ids.tolist() == [1]
    assert store.search([2, 3], [1e-150, 1e-150]).scores.tolist() == [4e-150, 1e-150]


def test_a_score_worked_by_hand(store):
    concepts, parts = store.contributions(1, [2, 5, 0], [0.5, 9.0, -3.0])
    assert (concepts.tolist(), parts.tolist()) == ([0, 2], [-3.0, 2.0])
    assert store.search([2, 5, 0], [0.5, 9.0, -3.0]).scores.tolist() == [-1.0]


def test_sums_run_from_left_to_right():
    # 1 + 1e16 - 1e16 is 0 from left to right, and 1 in any other order.
    query = Query(np.array([0, 1, 2], np.int32), np.array([1.0, 1e16, -1e16]))
    code = codes_of([{0: 1.0, 1: 1.0, 2: 1.0}, {}])
    assert scored(query, code)[0].tolist() == [0.0, 0.0]
    assert scored(query, code)[1].tolist() == [True, False]
    assert shares(query, code[[0]])[1].tolist() == [1.0, 1e16, -1e16]


SIZES = st.floats(2.0**-57, 1)


@given(
    st.lists(
        st.tuples(SIZES | SIZES.map(float.__neg__), st.floats(2.0**-56, 1, width=32)),
        min_size=1,
        max_size=9,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None)
def test_the_error_bound_holds_for_any_order_of_a_sum_in_float32(pairs, random):
    weights, values = (np.array(side, np.float64) for side in zip(*pairs, strict=True))
    order = list(range(len(pairs)))
    random.shuffle(order)
    total = np.float32(0)
    for place in order:
        total = np.float32(total + np.float32(weights[place]) * np.float32(values[place]))
    exact = math.fsum(weights * values)
    assert abs(float(total) - exact) <= error_bound(weights, float(values.max()))


def test_the_error_bound_is_not_far_from_what_happens():
    # Each of 1,000 products is rounded down by nearly half a unit in the last place.
    weights, values = np.full(1000, 1 + 2.0**-24 * 0.99), np.ones(1000)
    total = np.float32(0)
    for weight, value in zip(weights, values, strict=True):
        total = np.float32(total + np.float32(weight) * np.float32(value))
    error = abs(float(total) - math.fsum(weights * values))
    assert error <= error_bound(weights, 1.0) <= 1100 * error


class Engine:
    """A back end over known codes that counts what it is asked."""

    def __init__(self, codes):
        self.codes, self.asked = codes, []

    def screen(self, concepts):
        def answer(weights, count):
            query = Query(concepts, weights.astype(np.float64))
            scores = scored(query, self.codes)[0].astype(np.float32).astype(np.float64)
            order = np.argsort(-scores, kind="stable")[:count]
            whole = len(order) < count
            candidates = Candidates(order.astype(np.int64), self.codes[order])
            return Screened(candidates, scores[order[-1]], whole, float(self.codes.data.max()))

        def screen(asked, count):
            self.asked.append(count)
            return [answer(weights, count) for weights in asked]

        return screen


def test_one_question_is_enough_where_scores_differ():
    engine = Engine(codes_of([{0: 1.0 + i / 1000} for i in range(1000)]))
    query = Query(np.array([0], np.int32), np.array([3.0]))
    found = settled(query, 10, engine.screen(query.concepts), silent=False)
    assert found.ids.tolist() == list(range(999, 989, -1))
    assert engine.asked == [26]


def test_more_is_asked_for_while_ties_might_be_hidden():
    engine = Engine(codes_of([{0: 1.0}] * 300 + [{0: 0.5}] * 300))
    query = Query(np.array([0], np.int32), np.array([3.0]))
    found = settled(query, 2, engine.screen(query.concepts), silent=False)
    assert found.ids.tolist() == [0, 1]
    assert engine.asked == [18, 72, 288, 1152]


@pytest.mark.parametrize(
    ("weights", "lists"), [([1.0, -1.0], 2), ([1.0, 2.0], 1), ([-1.0, -2.0], 1), ([-3.0], 1)]
)
def test_a_silent_engine_is_asked_twice_only_where_concepts_can_cancel(weights, lists):
    query = Query(np.arange(len(weights), dtype=np.int32), np.array(weights))
    asked = []

    def screen(several, count):
        asked.append([one.tolist() for one in several])
        empty = Candidates(np.empty(0, np.int64), codes_of([]))
        return [Screened(empty, -np.inf, True, 0.0) for _ in several]

    settled(query, 5, screen, silent=True)
    assert [len(each) for each in asked] == [lists]
    settled(query, 5, screen, silent=False)
    assert len(asked[1]) == 1


def test_raised_weights_leave_no_sum_of_zero_where_the_others_do():
    query = Query(np.arange(2, dtype=np.int32), np.array([1.0, -1.0]))
    asked = []

    def screen(several, count):
        asked.extend(several)
        empty = Candidates(np.empty(0, np.int64), codes_of([]))
        return [Screened(empty, -np.inf, True, 0.0) for _ in several]

    settled(query, 5, screen, silent=True)
    plain, raised = (weights.astype(np.float64) for weights in asked)
    assert plain.tolist() == [0.5, -0.5]  # the largest is brought below 1 by a power of two
    # A code (v, v) scores 0 by the one and d (2 v) by the other; d is 4 gamma(n + 4) / 2.
    assert raised.sum() == pytest.approx(2 * 4 * 6 * 2.0**-24 * 0.5, rel=0.1)


def test_rows_that_came_one_by_one_are_stacked_in_order():
    found = stacked([np.array([5, 1]), np.array([], int)], [np.array([2.0, 3.0]), np.array([])], 8)
    assert found.indices.tolist() == [1, 5]
    assert found.data.tolist() == [3.0, 2.0]
    assert stacked([], [], 8).shape == (0, 8)
