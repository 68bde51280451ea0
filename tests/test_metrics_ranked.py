"""nDCG, recall and reciprocal rank: by hand, and as trec_eval has them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.errors import DataError
from isthmus.metrics.ranked import RankedScores, ranked_scores


def test_by_hand():
    ranking = ["a", "b", "c", "d", "e"]
    found = ranked_scores(ranking, {"b": 2, "d": 1, "x": 3, "e": 0})
    gained = 2 / math.log2(3) + 1 / math.log2(5)
    best = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert found == RankedScores(pytest.approx(gained / best), pytest.approx(2 / 3), 1 / 2)


def test_the_best_order_scores_one_and_none_found_zero():
    grades = {f"d{n}": 3 - n // 5 for n in range(12)}
    assert ranked_scores([f"d{n}" for n in range(12)], grades) == RankedScores(1.0, 1.0, 1.0)
    assert ranked_scores(["x", "y"], grades) == RankedScores(0.0, 0.0, 0.0)
    assert ranked_scores([], grades) == RankedScores(0.0, 0.0, 0.0)


def test_ranks_beyond_ten_and_a_hundred_count_for_nothing():
    others = [f"x{n}" for n in range(200)]
    assert ranked_scores([*others[:9], "d"], {"d": 1}).mrr_10 == 1 / 10
    tenth = ranked_scores([*others[:10], "d"], {"d": 1})
    assert (tenth.ndcg_10, tenth.recall_100, tenth.mrr_10) == (0.0, 1.0, 0.0)
    assert ranked_scores([*others[:99], "d"], {"d": 1}).recall_100 == 1.0
    assert ranked_scores([*others[:100], "d"], {"d": 1}).recall_100 == 0.0


def test_grades_of_zero_and_below_are_not_relevant():
    assert ranked_scores(["a", "b"], {"a": -1, "b": 1, "c": 0}) == RankedScores(
        pytest.approx(1 / math.log2(3)), 1.0, 0.5
    )


@pytest.mark.parametrize("grades", [{}, {"a": 0}, {"a": -2}])
def test_nothing_relevant_is_nothing_to_score(grades):
    with pytest.raises(DataError, match="no document is relevant"):
        ranked_scores(["a"], grades)


def test_a_document_is_ranked_once():
    with pytest.raises(DataError, match="ranked twice"):
        ranked_scores(["a", "b", "a"], {"a": 1})


def test_documents_may_be_numbers():
    assert ranked_scores([3, 1, 2], {1: 1}).mrr_10 == 0.5


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_it_agrees_with_ir_measures(data):
    ir_measures = pytest.importorskip("ir_measures")
    count = data.draw(st.integers(1, 160))
    names = data.draw(st.permutations([f"d{n}" for n in range(count)]))
    ranking = names[: data.draw(st.integers(1, count))]
    grades = data.draw(
        st.dictionaries(st.sampled_from([*names, "missing", "gone"]), st.integers(0, 4), min_size=1)
    )
    if not any(grades.values()):
        return
    found = ranked_scores(ranking, grades)
    judged = [ir_measures.Qrel("q", name, grade) for name, grade in grades.items()]
    run = [ir_measures.ScoredDoc("q", name, -rank) for rank, name in enumerate(ranking)]
    measures = [ir_measures.nDCG @ 10, ir_measures.R @ 100, ir_measures.RR @ 10]
    theirs = ir_measures.calc_aggregate(measures, judged, run)
    ours = (found.ndcg_10, found.recall_100, found.mrr_10)
    for measure, value in zip(measures, ours, strict=True):
        assert value == pytest.approx(theirs[measure], abs=1e-6)
