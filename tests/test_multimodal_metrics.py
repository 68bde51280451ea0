"""Retrieval, coherence and diversity across modalities: against brute force and by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.errors import DataError
from isthmus.metrics.multimodal import (
    chance_map,
    chance_rank,
    cosines,
    cross_coherence,
    cross_retrieval,
    diversity,
    joint_coherence,
    scored_retrieval,
    spread_per_condition,
    within_class_variance,
)
from isthmus.metrics.multimodal.expected_ranks import ranked_rows


def plain(order, relevant):
    """Scores of one order of a gallery, as a textbook has them."""
    hits = [bool(relevant[i]) for i in order]
    total = sum(hits)
    precisions = [sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit]
    near = min(10, len(hits))
    return (
        sum(precisions) / total,
        float(hits[0]),
        sum(hits[:near]) / near,
        sum(hits[:total]) / total,
        hits.index(True) + 1,
    )


def over_all_orders(scores, relevant):
    """The mean of every score over all orders that the scores allow, each as likely."""
    keyed = sorted(set(scores), reverse=True)
    groups = [[i for i, s in enumerate(scores) if s == key] for key in keyed]
    kinds = itertools.product(*map(itertools.permutations, groups))
    orders = [list(itertools.chain.from_iterable(parts)) for parts in kinds]
    return np.mean([plain(order, relevant) for order in orders], axis=0)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 2), min_size=n, max_size=n),
            st.lists(st.booleans(), min_size=n, max_size=n).filter(any),
        )
    )
)
def test_ties_count_with_their_expectation_over_all_orders(row):
    scores, relevant = row
    found = ranked_rows(np.array([scores], float), np.array([relevant]))
    got = [
        found.average_precision[0], found.p1[0], found.p10[0], found.r_precision[0], found.first[0],
    ]  # fmt: skip
    np.testing.assert_allclose(got, over_all_orders(scores, relevant), atol=1e-12)


def test_retrieval_of_a_gallery_worked_by_hand():
    # cosines of the one query with the gallery: 1, .8, .6, 0; classes 0, 1, 0, 1
    gallery = np.array([[2.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 3.0]])
    found = cross_retrieval(np.array([[5.0, 0.0]]), gallery, np.array([0]), np.array([0, 1, 0, 1]))
    assert found.map == pytest.approx((1 + 2 / 3) / 2)
    assert (found.p1, found.p10, found.r_precision, found.median_rank) == (1.0, 0.5, 0.5, 1.0)
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    assert found.chance == pytest.approx((harmonic + (4 - harmonic) / 3) / 4)
    assert found.chance_p1 == 0.5
    assert found.chance_rank == pytest.approx(5 / 3)


def test_codes_that_say_nothing_score_exactly_chance():
    labels = np.repeat(np.arange(4), [3, 5, 2, 6])
    found = cross_retrieval(np.ones((4, 3)), np.ones((16, 3)), np.arange(4), labels)
    assert found.map == pytest.approx(found.chance, abs=1e-12)
    assert found.p1 == pytest.approx(found.chance_p1, abs=1e-12)
    assert found.median_rank == pytest.approx(found.chance_rank)


@pytest.mark.parametrize(
    ("relevant", "gallery", "expected"),
    [(30, 300, 0.116), (50, 500, 0.110), (1000, 10_000, 0.101), (1, 10, 0.293), (1, 1, 1.0)],
)
def test_chance_is_the_closed_form(relevant, gallery, expected):
    assert chance_map(relevant, gallery) == pytest.approx(expected, abs=5e-4)


def test_the_rank_of_the_first_hit_by_chance():
    orders = list(itertools.permutations(range(5)))
    mean = np.mean([min(o.index(0), o.index(1)) + 1 for o in orders])
    assert chance_rank(2, 5) == pytest.approx(mean)


def test_queries_without_a_class_or_a_match_are_left_out():
    gallery, held = np.eye(3), np.array([0, 1, -1])
    found = cross_retrieval(np.eye(3)[[0, 1, 2, 0]], gallery, np.array([0, -1, 7, 1]), held)
    assert (found.queries, found.left_out) == (2, 2)
    assert found.map == pytest.approx((1 + 0.5 * (1 / 2 + 1 / 3)) / 2)


def test_a_code_of_zeros_has_a_cosine_of_zero():
    np.testing.assert_array_equal(cosines(np.zeros((1, 2)), np.eye(2)), np.zeros((1, 2)))


def test_the_interval_over_speakers_is_wider_than_over_clips():
    # two speakers: one always found, one never; clips of a speaker are not independent
    speakers = np.repeat([0, 1], 50)
    scores = np.where(speakers[:, None] == 0, [[1.0, 0.0]], [[0.0, 1.0]])
    asked, held = np.zeros(100, int), np.array([0, 1])
    clips = scored_retrieval(scores, asked, held)
    grouped = scored_retrieval(scores, asked, held, groups=speakers)
    assert clips.map == grouped.map == pytest.approx(0.75)
    assert grouped.interval.high - grouped.interval.low > 3 * (
        clips.interval.high - clips.interval.low
    )
    assert (grouped.interval.low, grouped.interval.high) == (0.5, 1.0)


def test_blocks_of_queries_make_no_difference(monkeypatch):
    generator = np.random.default_rng(0)
    scores = np.round(generator.normal(size=(40, 30)), 1)
    asked, held = generator.integers(0, 3, 40), generator.integers(0, 3, 30)
    whole = scored_retrieval(scores, asked, held)
    monkeypatch.setattr("isthmus.metrics.multimodal.retrieval._CELLS", 64)
    np.testing.assert_array_equal(
        whole.average_precision, scored_retrieval(scores, asked, held).average_precision
    )


def test_retrieval_does_not_depend_on_scale_or_order():
    generator = np.random.default_rng(1)
    queries, gallery = generator.normal(size=(20, 4)), generator.normal(size=(15, 4))
    asked, held = generator.integers(0, 3, 20), generator.integers(0, 3, 15)
    order = generator.permutation(15)
    found = cross_retrieval(queries, gallery, asked, held)
    other = cross_retrieval(7 * queries, gallery[order], asked, held[order])
    assert found.map == pytest.approx(other.map, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cosines(np.ones((2, 3)), np.ones((2, 4))), "differ in width"),
        (lambda: scored_retrieval(np.ones(3), np.zeros(3), np.zeros(3)), "above 0"),
        (lambda: scored_retrieval(np.full((1, 1), np.nan), [0], [0]), "not finite"),
        (lambda: scored_retrieval(np.ones((1, 1)), np.array([1]), np.array([0])), "no query"),
        (
            lambda: scored_retrieval(np.ones((2, 1)), [0, 0], [0], groups=np.zeros(1)),
            "one group a query",
        ),
    ],
)
def test_retrieval_refuses_what_it_cannot_score(call, said):
    with pytest.raises(DataError, match=said):
        call()


# --- coherence --------------------------------------------------------------------------------


def test_coherence_is_the_mean_over_classes():
    # class 0: 3 of 4 right, class 1: 0 of 1
    found = cross_coherence(
        np.array([0, 0, 0, 1, 0]), np.array([0, 0, 0, 0, 1]), judge_accuracy=0.75
    )
    assert found.coherence == pytest.approx(0.375)
    assert found.overall == pytest.approx(0.6)
    assert found.relative == pytest.approx(0.5)
    assert found.per_class == (0.75, 0.0)


def test_draws_of_one_condition_are_resampled_together():
    wanted = np.zeros(100, int)
    judged = np.repeat([0, 1], 50)
    alone = cross_coherence(judged, wanted)
    together = cross_coherence(judged, wanted, conditions=np.repeat([0, 1], 50))
    assert (together.interval.low, together.interval.high) == (0.0, 1.0)
    assert alone.interval.high - alone.interval.low < 0.25


def test_joint_coherence_worked_by_hand():
    rows = np.array([[0, 0], [0, 0], [0, 0], [1, 1], [0, 1], [2, 1], [-1, -1], [1, 0]])
    found = joint_coherence(rows, 3)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(3)
    assert found.coherence == 0.5
    assert found.entropy == pytest.approx(entropy)
    assert found.least == 0.0
    assert found.product == pytest.approx(0.5 * entropy)
    assert found.share == (0.75, 0.25, 0.0)


def test_a_collapsed_model_cannot_win():
    always = joint_coherence(np.full((100, 3), 7), 10)
    assert (always.coherence, always.entropy, always.product) == (1.0, 0.0, 0.0)
    every = joint_coherence(np.repeat(np.arange(10), 3).reshape(10, 3), 10)
    assert every.product == pytest.approx(1.0)
    assert every.least == pytest.approx(0.1)
    assert joint_coherence(np.array([[0, 1]]), 2).product == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: joint_coherence(np.empty((0, 2)), 2),
        lambda: joint_coherence(np.array([[1]]), 2),
        lambda: joint_coherence(np.array([[0, 5]]), 2),
        lambda: cross_coherence(np.array([0]), np.array([-1])),
        lambda: cross_coherence(np.array([]), np.array([])),
        lambda: cross_coherence(np.array([0]), np.array([0]), conditions=np.array([1, 2])),
    ],
)
def test_coherence_refuses_what_it_cannot_score(call):
    with pytest.raises(DataError):
        call()


# --- diversity --------------------------------------------------------------------------------


def test_the_variance_inside_classes_worked_by_hand():
    # class 0: (0, 0), (2, 2): squares 4; class 1: (1, 5) alone; class 2: 0, 0, 3: squares 6
    items = np.array([[0, 0], [2, 2], [1, 5], [0, 0], [0, 0], [0, 3]], float)
    labels = np.array([0, 0, 1, 2, 2, 2])
    assert within_class_variance(items, labels) == pytest.approx((4 + 6) / (1 + 0 + 2))


def test_class_means_have_no_diversity_and_real_items_have_all_of_it():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 200)
    real = generator.normal(size=(600, 1, 4)) + labels[:, None, None]
    means = np.stack([real[labels == c].mean(axis=0) for c in labels])
    assert diversity(means, labels, real, labels).ratio == pytest.approx(0, abs=1e-12)
    assert diversity(real, labels, real, labels).ratio == pytest.approx(1)
    half = means + (real - means) * math.sqrt(0.5)
    assert diversity(half, labels, real, labels).ratio == pytest.approx(0.5)


def test_diversity_looks_at_classes_that_both_sides_have():
    real = np.array([[0.0], [2.0], [0.0], [100.0]])
    made = np.array([[0.0], [2.0]])
    found = diversity(made, np.zeros(2, int), real, np.array([0, 0, 1, 1]))
    assert found.ratio == pytest.approx(1.0)


def test_words_have_no_diversity_to_compare_with():
    words = np.array([[1.0], [1.0]])
    assert diversity(words, np.zeros(2, int), words, np.zeros(2, int)).ratio is None


def test_the_spread_of_draws_is_the_mean_distance_of_two():
    samples = np.array([[[0.0], [3.0], [6.0]], [[1.0], [1.0], [1.0]]])
    assert spread_per_condition(samples) == pytest.approx((4 + 0) / 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: within_class_variance(np.zeros((2, 1)), np.array([0, 1])),
        lambda: diversity(np.zeros((2, 1)), np.zeros(2), np.zeros((2, 2)), np.zeros(2)),
        lambda: spread_per_condition(np.zeros((2, 1, 3))),
    ],
)
def test_diversity_refuses_what_it_cannot_score(call):
    with pytest.raises(DataError):
        call()
