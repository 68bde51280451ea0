"""How concepts are active: worked by hand, and against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from isthmus.concepts import Describing, Relating, describe
from isthmus.concepts.columns import columns_of, examples_of, statistics_of, tidy
from isthmus.concepts.families import children_of
from isthmus.concepts.relations import relations_of
from isthmus.errors import ConfigError, DataError

CODES = np.array(
    [[0.0, 0.4, 0.0], [1.0, 0.4, 0.0], [0.5, 0.0, -0.3], [0.25, 0.2, 0.0]], dtype=np.float32
)


def sparse(rows=40, latents=7, share=0.4, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.gamma(1.0, 1.0, (rows, latents)) * (rng.random((rows, latents)) < share)
    return np.asarray(dense, np.float32)


def test_columns_fall_and_equal_values_keep_their_order():
    columns = columns_of(CODES)
    assert columns.indptr.tolist() == [0, 3, 6, 6]  # below zero is not active
    assert columns.rows.tolist() == [1, 2, 3, 0, 1, 3]
    assert columns.counts.tolist() == [3, 3, 0]


def test_statistics_by_hand():
    first, second, dead = statistics_of(columns_of(CODES), bins=4)
    assert (first.passages, first.rate, first.max) == (3, 0.75, 1.0)
    assert first.mean == pytest.approx(1.75 / 3, abs=1e-6)
    assert first.quantiles[2] == 0.5
    assert first.histogram == (0, 1, 1, 1)  # 0.25, 0.5 and 1.0 in quarters
    assert second.histogram == (0, 0, 1, 2)
    assert dead == type(dead)(0, 0.0, 0.0, 0.0, (0.0,) * 5, (0, 0, 0, 0))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0.05, 1))
def test_statistics_are_numpys(seed, rows, share):
    dense = sparse(rows, 5, share, seed)
    for j, known in enumerate(statistics_of(columns_of(dense), bins=10)):
        active = dense[:, j][dense[:, j] > 0].astype(np.float64)
        assert known.passages == len(active) == sum(known.histogram)
        assert known.rate == pytest.approx(len(active) / rows, rel=1e-5)
        if len(active):
            levels = np.quantile(active, [0.05, 0.25, 0.5, 0.75, 0.95])
            assert known.quantiles == pytest.approx(levels, rel=1e-5)
            assert known.mean == pytest.approx(active.mean(), rel=1e-5)
            assert known.max == pytest.approx(active.max(), rel=1e-5)
            edges = np.linspace(0, np.float32(active.max()), 11)
            # a value may sit on an edge: counted to either side of it
            assert abs(np.histogram(active, edges)[0] - known.histogram).max() <= 1


def test_examples_come_from_three_parts_of_the_range():
    dense = np.zeros((100, 1), np.float32)
    dense[:, 0] = np.arange(1, 101) / 100
    ((top, middle, low),) = examples_of(columns_of(dense), each=4)
    assert [example.row for example in top] == [99, 98, 97, 96]
    assert [example.row for example in middle] == [51, 50, 49, 48]  # about the median
    assert [example.row for example in low] == [11, 10, 9, 8]  # about the 10 % quantile
    assert top[0].activation == 1.0


@given(st.integers(0, 12), st.integers(1, 5))
def test_no_passage_is_an_example_twice(active, each):
    dense = np.zeros((12, 1), np.float32)
    dense[:active, 0] = np.arange(active) + 1
    parts = examples_of(columns_of(dense), each)[0]
    rows = [example.row for part in parts for example in part]
    assert len(rows) == len(set(rows)) <= active
    assert len(parts[0]) == min(each, active)


def test_rounding_keeps_six_digits_of_any_size():
    values = np.array([0.0, 1.23456789e-9, -12345678.9, 1.0])
    assert tidy(values).tolist() == [0.0, 1.23457e-09, -12345700.0, 1.0]


def test_related_concepts_are_those_of_the_dense_tables():
    dense = sparse(60, 8, 0.5)
    decoder = np.random.default_rng(1).standard_normal((8, 4))
    config = Relating(near=8, cosine=0.2, together=8, passages=1, lift=1.0)
    found = relations_of(columns_of(dense), decoder, config)
    unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    cosine, same = unit @ unit.T, np.corrcoef(dense.T)
    on = (dense > 0).astype(int)
    shared = on.T @ on
    for j in range(8):
        wanted = [i for i in np.argsort(-cosine[j]) if i != j and cosine[j, i] >= 0.2]
        assert [near.id for near in found.near[j]] == wanted
        for near in found.near[j]:
            assert near.cosine == pytest.approx(cosine[j, near.id], abs=1e-5)
            assert near.correlation == pytest.approx(same[j, near.id], abs=1e-4)
        lifts = {i: shared[i, j] * 60 / (shared[i, i] * shared[j, j]) for i in range(8) if i != j}
        assert {other.id for other in found.together[j]} == {i for i in lifts if lifts[i] >= 1}
        for other in found.together[j]:
            assert other.passages == shared[j, other.id]
            assert other.lift == pytest.approx(lifts[other.id], rel=1e-5)
            assert other.pmi == pytest.approx(np.log2(lifts[other.id]), rel=1e-4, abs=1e-6)


def test_families_go_from_the_general_to_the_particular():
    dense = np.zeros((100, 5), np.float32)
    dense[:40, 0] = 1  # fruit
    dense[:20, 1] = 1  # citrus: only where there is fruit
    dense[:8, 2] = 1  # lemon: where there is citrus
    dense[60:68, 3] = 1  # something else
    dense[:, 4] = 1  # everywhere: shares no more than by chance
    found = relations_of(columns_of(dense), None, Relating())
    assert found.parent.tolist() == [-1, 0, 1, -1, -1]
    assert children_of(found.parent, np.array([40, 20, 8, 8, 100])) == [(1,), (2,), (), (), ()]
    assert found.near == [()] * 5


@pytest.mark.parametrize(
    ("settings", "parent"),
    [({"parent_share": 0.95}, -1), ({"parent_size": 3.0}, -1), ({"lift": 3.0}, -1), ({}, 0)],
)
def test_a_parent_must_cover_be_larger_and_beat_chance(settings, parent):
    dense = np.zeros((100, 2), np.float32)
    dense[:40, 0] = 1
    dense[2:20, 1] = 1
    dense[98:, 1] = 1  # 18 of its 20 passages are the parent's, which has 40: lift 2.25
    found = relations_of(columns_of(dense), None, Relating(**settings))
    assert found.parent.tolist() == [-1, parent]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_families_are_never_circles(seed, share):
    config = Relating(parent_share=0.3, parent_size=1.0, lift=0.1, passages=1)
    parent = relations_of(columns_of(sparse(30, 9, share, seed)), None, config).parent
    for j in range(9):
        for _ in range(10):
            j = parent[j] if j >= 0 else -1
        assert j == -1


def test_describing_without_passages_gives_everything_but_names():
    table = describe(csr_array(CODES), decoder=np.eye(3))
    assert table.report is None
    assert table.names.names == (None, None, None)
    assert table.passages == 4
    assert table.names.dead == {2}
    assert [example.row for example in table[0].top] == [1, 2, 3]


@pytest.mark.parametrize(
    ("codes", "decoder", "said"),
    [
        (np.zeros((0, 3)), None, "no passages"),
        (np.full((2, 2), np.nan), None, "not finite"),
        (CODES, np.eye(2), "not of one dictionary"),
        (CODES, np.full((3, 2), np.inf), "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(codes, decoder, said):
    with pytest.raises(DataError, match=said):
        describe(codes, decoder=decoder)


@pytest.mark.parametrize("name", ["examples", "words", "bins"])
def test_settings_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        Describing(**{name: 0})
