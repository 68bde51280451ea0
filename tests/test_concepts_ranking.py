"""Rankings by the words of a name: precision in expectation over ties, BM25 by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from isthmus.concepts.ranking import Strong, average_precision, chance_precision, postings_of
from isthmus.errors import DataError


def over_all_orders(scores, relevant):
    """The average precision, mean over every order that falls by score."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    every = []
    for order in orders:
        hits, total = 0, 0.0
        for rank, item in enumerate(order, 1):
            if relevant[item]:
                hits += 1
                total += hits / rank
        every.append(total / sum(relevant))
    return np.mean(every)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6).filter(
        lambda rows: any(relevant for _, relevant in rows)
    )
)
def test_precision_is_the_mean_over_all_orders_of_equals(rows):
    scores, relevant = np.array([s for s, _ in rows], float), np.array([r for _, r in rows])
    expected = over_all_orders(scores.tolist(), relevant.tolist())
    assert average_precision(scores, relevant) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 30), st.integers(1, 30))
def test_chance_is_a_ranking_of_equals(relevant, others):
    items = relevant + others
    wanted = np.arange(items) < relevant
    found = chance_precision(relevant, items)
    assert found == pytest.approx(average_precision(np.zeros(items), wanted), rel=1e-9)
    assert relevant / items <= found <= 1


def test_nothing_relevant_is_refused_or_zero():
    with pytest.raises(DataError, match="relevant"):
        average_precision(np.zeros(3), np.zeros(3, bool))
    with pytest.raises(DataError, match="score for every item"):
        average_precision(np.zeros(3), np.ones(2, bool))
    assert chance_precision(0, 5) == 0.0


COUNTS = csr_array(np.array([[2, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]], np.int32))


def test_weights_are_bm25s():
    found = postings_of(COUNTS)
    assert found.holders(0).tolist() == [0, 2]
    assert found.holders(2).tolist() == [2]
    idf = np.log(1 + (4 - 2 + 0.5) / 2.5)
    length = 3 / (6 / 4)
    weight = idf * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * length))
    assert found.weights[0] == pytest.approx(weight, rel=1e-6)
    assert found.hold(0, np.array([0, 1, 2, 3])).tolist() == [True, False, True, False]
    assert found.share_of((0, 1), np.array([0, 1, 3])) == pytest.approx(2 / 3)
    assert found.share_of((), np.array([0])) == 0.0
    assert found.share_of((0,), np.array([], int)) == 0.0


def strong(*passages):
    counts = [len(rows) for rows in passages]
    rows = np.array([row for some in passages for row in some], np.int64)
    return Strong(np.cumsum([0, *counts]).astype(np.int64), rows, np.ones(len(rows)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_loops_are_the_plain_formula(seed):
    rng = np.random.default_rng(seed)
    counts = csr_array(rng.poisson(0.3, (25, 6)).astype(np.int32))
    postings = postings_of(counts)
    wanted = strong(*(rng.choice(25, n, replace=False) for n in (1, 3, 25)), [])
    names = [(0,), (1, 4), (), (5, 2, 3)]
    pairs = np.array(list(itertools.product(range(4), range(4))))
    rng.shuffle(pairs)
    found = postings.precisions(names, wanted, pairs)
    dense = np.zeros((25, 6))
    for word in range(6):
        first, last = postings.indptr[word], postings.indptr[word + 1]
        dense[postings.rows[first:last], word] = postings.weights[first:last]
    for (name, concept), value in zip(pairs, found, strict=True):
        relevant = np.isin(np.arange(25), wanted.first(concept, 99))
        if not relevant.any():
            assert value == 0
            continue
        scores = dense[:, list(names[name])].sum(1).round(4)
        assert value == pytest.approx(average_precision(scores, relevant), abs=1e-9)


def test_words_are_added_while_they_help_and_dropped_when_needless():
    texts = np.zeros((40, 4), np.int32)
    texts[:6, 0] = 1  # each finds half of what is wanted
    texts[6:12, 1] = 1
    texts[5:20, 2] = 1  # finds some of it among much else
    texts[20:, 3] = 1
    postings = postings_of(csr_array(texts))
    wanted = strong(range(12))
    candidates = np.array([[2, 0, 1, 3]])
    chosen = postings.grown(candidates, wanted, most=3, gain=1.05)
    assert sorted(chosen[0].tolist()) == [-1, 0, 1]
    assert postings.precisions([(0, 1)], wanted, np.array([[0, 0]]))[0] == pytest.approx(1.0)
    assert postings.grown(candidates, wanted, most=1, gain=1.05).tolist() == [[0]]
    assert postings.grown(candidates, strong([]), most=2, gain=1.05).tolist() == [[-1, -1]]
    assert postings.grown(np.array([[-1, -1]]), wanted, 2, 1.05).tolist() == [[-1, -1]]


def test_a_first_choice_that_later_words_replace_is_taken_out():
    texts = np.zeros((60, 3), np.int32)
    texts[2:13, 0] = 1  # the best alone, but not without faults
    texts[:6, 1] = 1
    texts[6:12, 2] = 1
    postings = postings_of(csr_array(texts))
    wanted = strong(range(12))
    alone = postings.precisions([(0,), (1,), (2,)], wanted, np.array([[0, 0], [1, 0], [2, 0]]))
    assert alone.argmax() == 0
    assert sorted(postings.grown(np.array([[0, 1, 2]]), wanted, 3, 1.02)[0]) == [-1, 1, 2]
