"""Steering: what changes about a query, and what that does to the hits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_toys import FILLER, TOPICS, build, documents, opened, with_
from isthmus.errors import ConfigError
from isthmus.search.index.describing import edit_concept
from isthmus.search.steering import Moved, Steering, steered, without_directions

WAYS = ("concepts", "dense", "reconstruction", "hybrid")
LATENTS = 48
queries = st.lists(
    st.sampled_from([word for topic in TOPICS for word in topic] + list(FILLER)),
    min_size=1,
    max_size=5,
).map(" ".join)


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    place = tmp_path_factory.mktemp("steered") / "index"
    build(place, documents(90))
    build(place, documents(90)[8:])
    return opened(place)


# --- the change to a code, by hand -----------------------------------------------------------


def test_a_change_is_in_units_of_the_strongest_concept():
    concepts, activations = np.array([2, 5, 9]), np.array([0.4, 2.0, 0.1])
    ids, values, moved = steered(concepts, activations, Steering({2: 0.5, 7: -1.0, 9: 1.0}))
    assert ids.tolist() == [2, 5, 7, 9]
    assert values.tolist() == [0.4 + 1.0, 2.0, -2.0, 0.1 + 2.0]
    assert moved == (Moved(2, 0.4, 1.4), Moved(7, 0.0, -2.0), Moved(9, 0.1, 2.1))


def test_what_is_removed_or_comes_to_zero_is_no_part_of_the_query():
    concepts, activations = np.array([2, 5]), np.array([1.0, 0.5])
    ids, values, moved = steered(concepts, activations, Steering({5: -0.5}, frozenset({2, 8})))
    assert ids.tolist() == []
    assert values.tolist() == []
    assert moved == (Moved(2, 1.0, 0.0), Moved(5, 0.5, 0.0), Moved(8, 0.0, 0.0))


def test_a_query_without_concepts_is_steered_in_units_of_one():
    nothing = np.empty(0, np.int64), np.empty(0)
    ids, values, _ = steered(*nothing, Steering({4: 2.0, 1: -0.5}))
    assert (ids.tolist(), values.tolist()) == ([1, 4], [-0.5, 2.0])


def test_mentions_add_up_and_cancel():
    assert Steering.of([3, 3], [5], [7]) == Steering({3: 2.0, 5: -1.0}, frozenset({7}))
    assert Steering.of([3], [3]) == Steering()
    assert not Steering.of([3], [3])
    assert Steering.of(without=[3])
    assert Steering({3: 0.0})


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -float("inf")])
def test_a_change_must_be_finite(amount):
    with pytest.raises(ConfigError, match="#3 can't be changed by"):
        Steering({3: amount})


def test_a_concept_is_changed_or_removed_not_both():
    with pytest.raises(ConfigError, match="#3 is both changed and removed"):
        Steering({3: 1.0, 9: 1.0}, frozenset({9, 3}))


@given(
    vector=st.lists(st.floats(-1, 1), min_size=6, max_size=6),
    rows=st.lists(st.lists(st.integers(-2, 2), min_size=6, max_size=6), max_size=7),
)
def test_what_is_left_is_at_right_angles_to_what_was_removed(vector, rows):
    vector, rows = np.array(vector), np.array(rows, float).reshape(-1, 6)
    left = without_directions(vector, rows)
    assert np.abs(rows @ left).max(initial=0.0) < 1e-12
    # nothing but those directions went: the rest is in their span
    went = vector - left
    if len(rows) and np.linalg.norm(went) > 1e-9:
        inside, *_ = np.linalg.lstsq(rows.T, went, rcond=None)
        np.testing.assert_allclose(rows.T @ inside, went, atol=1e-9)
    np.testing.assert_allclose(without_directions(left, rows), left, atol=1e-9)


def test_a_vector_of_nothing_but_removed_directions_becomes_zero():
    rows = np.random.default_rng(0).normal(size=(3, 8))
    assert not without_directions(rows.sum(0) * 0.1, rows).any()


# --- what it does to the hits ----------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(text=queries, way=st.sampled_from(WAYS), concept=st.integers(0, LATENTS - 1))
def test_a_change_by_nothing_changes_nothing(index, text, way, concept):
    plain = index.search(text, by=way, limit=50)
    zero = index.search(text, by=way, limit=50, steering=Steering({concept: 0.0}))
    assert zero.hits == plain.hits
    assert zero.concepts == plain.concepts
    assert [m.before == m.after for m in zero.moved] == [True]


@settings(max_examples=25, deadline=None)
@given(
    text=queries,
    way=st.sampled_from(WAYS),
    gone=st.frozensets(st.integers(0, LATENTS - 1), min_size=1, max_size=4),
    of_query=st.booleans(),
)
def test_a_removed_concept_has_no_part_in_any_hit(index, text, way, gone, of_query):
    if of_query:  # the query's own, which is what people remove
        query, _ = index.query(text)
        gone = frozenset(query.concepts[: len(gone)].tolist())
    found = index.search(text, by=way, limit=500, without=sorted(gone))
    assert not gone & {c.id for c in found.concepts}
    for hit in found.hits:
        for part in hit.concepts:
            assert part.id not in gone or abs(part.contribution) < 1e-9


@settings(max_examples=25, deadline=None)
@given(
    text=queries,
    scoring=st.sampled_from(["bm25", "idf", "dot"]),
    concept=st.integers(0, LATENTS - 1),
    steps=st.lists(st.floats(-3, 3), min_size=2, max_size=2, unique=True).map(sorted),
)
def test_more_of_a_concept_never_sets_a_passage_with_it_back(index, text, scoring, concept, steps):
    """Of a passage with the concept and one without, the first gains with every step up."""
    having = {
        int(i)
        for segment in index.segments
        for i, row in zip(
            segment.ids, segment.concepts.codes()[:, [concept]].toarray(), strict=True
        )
        if row[0] > 0
    }
    behind = []
    for step in steps:
        query, _ = index.query(text, Steering({concept: step}))
        ranking = index.ranking(query, "concepts", scoring=scoring)
        found = {f.id: f.score for f in ranking.search(10_000, ())}
        every = [int(i) for segment in index.segments for i in segment.ids[segment.living]]
        scores = {i: found.get(i, 0.0) for i in every}
        rest = [scores[i] for i in every if i not in having]
        behind.append({i: sum(scores[i] < r for r in rest) for i in every if i in having})
    low, high = behind
    assert all(high[i] <= low[i] for i in low)


def test_enough_of_less_puts_a_concept_s_passages_last(index):
    query, _ = index.query("dough and oven with violin")
    strongest = int(query.concepts[query.activations.argmax()])
    found = index.search(
        "dough and oven with violin", limit=999, steering=Steering({strongest: -50.0})
    )
    has = [any(c.id == strongest for c in hit.concepts) for hit in found.hits]
    assert any(has)
    assert not all(has)
    assert has == sorted(has)
    assert all(hit.score < 0 for hit, there in zip(found.hits, has, strict=True) if there)


def test_less_counts_in_a_hybrid_even_where_every_score_is_negative(index):
    query, _ = index.query("telescope")
    only = int(query.concepts[query.activations.argmax()])
    others = [int(c) for c in query.concepts if c != only]
    down = index.search("telescope", by="hybrid", limit=999, less=[only, only], without=others)
    parts = [c.contribution for hit in down.hits for c in hit.concepts if c.id == only]
    assert parts
    assert min(parts) == pytest.approx(-0.15)  # the worst passage has the whole weight
    assert max(parts) < 0


def test_steering_of_a_vector_goes_along_the_concept_s_direction(index):
    plain, _ = index.query("harbor")
    query, moved = index.query("harbor", Steering({11: 2.0}))
    step = moved[0].after - moved[0].before
    assert step == 2.0 * plain.activations.max()
    np.testing.assert_allclose(query.vector, plain.vector + step * index.decoder[11], atol=1e-12)


def test_words_are_not_steered(index):
    plain = index.search("yeast oven", by="words").hits
    assert index.search("yeast oven", by="words", more=[3], without=[5]).hits == plain


def test_what_moved_is_told(index):
    found = index.search("yeast", more=[7], less=[8], without=[9])
    assert [m.id for m in found.moved] == [7, 8, 9]
    up, down, gone = found.moved
    assert up.after > up.before
    assert down.after < down.before
    assert gone.after == 0.0
    steered_to = {c.id: c.contribution for c in found.concepts}
    assert steered_to[7] == up.after
    assert steered_to.get(8, 0.0) == down.after


# --- concepts by name ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    place = tmp_path_factory.mktemp("named") / "index"
    build(place, documents(90), with_(concepts=True))
    with opened(place) as first:
        edit_concept(first, "rename", 3, "bread making")
        edit_concept(first, "rename", 4, "bread eating")
        edit_concept(first, "rename", 5, "stars · night sky")
    return opened(place)


def test_names_and_numbers_mean_the_same(named):
    by_name = named.search("yeast", more=["bread making"], less=["night sky"])
    assert by_name == named.search("yeast", more=[3], less=["#5"])
    assert {c.id: c.name for c in by_name.concepts}[3] == "bread making"


def test_a_name_of_several_concepts_is_refused_and_they_are_listed(named):
    with pytest.raises(ConfigError) as told:
        named.search("yeast", more=["bread"])
    assert "#3 bread making" in str(told.value)
    assert "#4 bread eating" in str(told.value)


def test_a_name_of_no_concept_is_refused_with_similar_ones(named):
    with pytest.raises(ConfigError, match=r"similar names: .*bread making"):
        named.search("yeast", without=["bred making"])


def test_names_can_not_be_given_where_concepts_were_not_described(index):
    with pytest.raises(ConfigError, match="no concept is called 'bread'"):
        index.search("yeast", more=["bread"])


def test_a_name_that_another_concept_has_is_refused(named):
    with pytest.raises(ConfigError, match="#3 is called 'bread making' already"):
        edit_concept(named, "rename", 9, "bread making")
    edit_concept(named, "rename", 3, "bread making")  # its own is not another's
