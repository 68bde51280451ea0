"""What all rankings share: the best rows of several segments, ties, weights."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import ConfigError
from isthmus.search.postings import BM25
from isthmus.search.ranking import RANKINGS, HybridWeights, Weighting
from isthmus.search.ranking.base import Scores, best_of, near_best

scores = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12), min_size=1, max_size=4
)


def parts_of(drawn):
    """Segments whose numbers rise through them; some rows are scored, many of them equally."""
    found, start = [], 0
    for rows in drawn:
        ids = np.arange(start, start + len(rows))[::1]
        segment = SimpleNamespace(ids=ids, name=len(found))
        start += len(rows)
        kept = np.array([i for i, (_, there) in enumerate(rows) if there], np.int64)
        values = np.array([rows[i][0] / 4 for i in kept], np.float64)
        found.append(Scores(segment, kept, values))
    return found


def ranked(parts):
    every = [
        (-value, int(part.segment.ids[row]))
        for part in parts
        for row, value in zip(part.rows, part.scores, strict=True)
    ]
    return [(id_, -value) for value, id_ in sorted(every)]


@given(drawn=scores, limit=st.integers(1, 20), shuffle=st.randoms())
def test_the_best_are_by_score_and_then_by_number(drawn, limit, shuffle):
    parts = parts_of(drawn)
    expected = ranked(parts)[:limit]
    shuffle.shuffle(parts)
    found = best_of(parts, limit)
    assert [(f.id, f.score) for f in found] == expected
    assert all(f.segment.ids[f.row] == f.id for f in found)


def test_rows_may_come_in_any_order():
    segment = SimpleNamespace(ids=np.array([3, 5, 9]))
    part = Scores(segment, np.array([2, 0, 1]), np.array([1.0, 1.0, 2.0]))
    assert [f.id for f in best_of([part], 9)] == [5, 3, 9]
    assert [f.id for f in best_of([part], 2)] == [5, 3]


@given(drawn=scores, limit=st.integers(1, 8), noise=st.integers(0, 2**32 - 1))
def test_screening_by_inexact_scores_loses_none_of_the_best(drawn, limit, noise):
    """Each score is off by up to the slack; the exact best are still there."""
    parts, rng = parts_of(drawn), np.random.default_rng(noise)
    slack = 0.3
    rough = [
        Scores(p.segment, p.rows, p.scores + rng.uniform(-slack, slack, len(p.scores)))
        for p in parts
    ]
    kept = near_best(rough, limit, slack)
    near = {int(p.segment.ids[row]) for p in kept for row in p.rows}
    assert {id_ for id_, _ in ranked(parts)[:limit]} <= near


def test_screening_without_slack_keeps_ties_at_the_border():
    segment = SimpleNamespace(ids=np.arange(5))
    part = Scores(segment, np.arange(5), np.array([1.0, 0.5, 0.5, 0.5, 0.2]))
    (kept,) = near_best([part], 2, 0.0)
    assert kept.rows.tolist() == [0, 1, 2, 3]
    (wide,) = near_best([part], 2, 0.16)
    assert wide.rows.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "values",
    [(0, 0, 0), (-0.1, 1, 0), (0, float("nan"), 1), (1, float("inf"), 1)],
)
def test_weights_of_a_hybrid_that_can_not_be(values):
    with pytest.raises(ConfigError, match="weights of a hybrid"):
        HybridWeights(*values)


def test_scorings_by_name():
    assert Weighting.named("dot") == Weighting(False, None)
    assert Weighting.named("idf") == Weighting(True, None)
    assert Weighting.named("bm25") == Weighting() == Weighting(True, BM25(1.0, 0.75))
    with pytest.raises(ConfigError, match="one of dot, idf, bm25"):
        Weighting.named("tf")


def test_the_ways_are_these():
    assert set(RANKINGS) == {"concepts", "reconstruction", "dense", "words", "hybrid"}
