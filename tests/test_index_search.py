"""Searching an index: every way against a formula written out here, and the promises for all."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_toys import FILLER, SMALL, TOPICS, WordVectors, build, documents, opened, sums
from isthmus.errors import ConfigError
from isthmus.search.filters import Condition, read_condition
from isthmus.search.index.gathering import joined_codes
from isthmus.search.index.index import Index
from isthmus.search.ranking import HybridWeights
from isthmus.search.steering import Steering

WAYS = ("concepts", "dense", "reconstruction", "words", "hybrid")
WORDS = [word for topic in TOPICS for word in topic] + list(FILLER) + ["unheard", "of"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """An index of one segment."""
    place = tmp_path_factory.mktemp("searched") / "index"
    build(place, documents())
    return place


@pytest.fixture(scope="session")
def index(folder):
    return opened(folder)


@pytest.fixture(scope="session")
def patched(tmp_path_factory):
    """An index of several segments, with deletions."""
    place = tmp_path_factory.mktemp("patched") / "index"
    every = documents(100)
    build(place, every[:70])
    build(place, every[10:85])
    build(place, every[15:100])
    found = opened(place)
    assert len(found.segments) == 3
    assert found.segments[0].alive is not None
    return found


queries = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


# --- oracles ---------------------------------------------------------------------------------


def passages_of(index):
    """The texts that were embedded, in the order of the index."""
    numbers = np.concatenate([segment.ids[segment.living] for segment in index.segments])
    found = index.passages(numbers)
    return [f"{p.title} {p.text}" if p.titled else p.text for p in found], found


def twelve_bits(values):
    """Activations as the index keeps them: 12 significant bits."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    return np.ldexp(np.rint(mantissa * 4096), exponent - 12)


def embedded(index):
    """The passages' vectors as the index keeps them."""
    texts, _ = passages_of(index)
    return WordVectors().embed(texts).astype(np.float16).astype(np.float64)


def coded(index):
    """The passages' codes, dense."""
    vectors = embedded(index).astype(np.float32)
    return twelve_bits(index.dictionary.encode(vectors).toarray())


def unit(vector):
    return vector / np.linalg.norm(vector)


def by_concepts(index, query, scoring="bm25"):
    codes = coded(index)
    found = (codes > 0).sum(0)
    rows = len(codes)
    mean_activation = codes[codes > 0].mean()
    lengths = codes.sum(1) / codes.sum(1).mean()
    scores = np.zeros(rows)
    shared = np.zeros(rows, bool)
    for concept, activation in zip(query.concepts, query.activations, strict=True):
        weight = activation / np.abs(query.activations).max()
        values = codes[:, concept].copy()
        if scoring != "dot":
            weight *= math.log(1 + (rows - found[concept] + 0.5) / (found[concept] + 0.5))
        if scoring == "bm25":
            relative = values / mean_activation
            values = 2.0 * relative / (relative + 1.0 * (0.25 + 0.75 * lengths))
        scores += weight * values
        shared |= codes[:, concept] > 0
    return scores, shared


def by_words(index, query):
    texts, found = passages_of(index)
    bags = []
    for text, passage in zip(texts, found, strict=True):
        said = f"{passage.title}\n\n{passage.text}" if passage.titled else text
        bags.append(Counter(index.words.tokens(said)))
    mean = sum(sum(bag.values()) for bag in bags) / len(bags)
    scores = np.zeros(len(bags))
    for word, times in Counter(index.words.tokens(query.text)).items():
        holding = sum(word in bag for bag in bags)
        rare = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
        for row, bag in enumerate(bags):
            length = sum(bag.values()) / mean
            scores[row] += times * rare * 1.9 * bag[word] / (bag[word] + 0.9 * (0.6 + 0.4 * length))
    return scores, scores > 0


def by_dense(index, query):
    return embedded(index) @ unit(query.vector), np.ones(len(index), bool)


def by_reconstruction(index, query):
    rebuilt = coded(index) @ index.decoder + index.pre_bias
    scores = (rebuilt / np.linalg.norm(rebuilt, axis=1, keepdims=True)) @ unit(query.vector)
    return scores, (coded(index) > 0).any(1)


def by_hybrid(index, query, weights=(0.15, 1.0, 0.3)):
    concepts, _ = by_concepts(index, query)
    words, _ = by_words(index, query)
    for part in (concepts, words):
        part /= np.abs(part).max() or 1.0
    dense, shared = by_dense(index, query)
    return weights[0] * concepts + weights[1] * dense + weights[2] * words, shared


ORACLES = {
    "concepts": by_concepts,
    "dense": by_dense,
    "reconstruction": by_reconstruction,
    "words": by_words,
    "hybrid": by_hybrid,
}


def assert_agrees(index, ranking, oracle, tolerance=2e-6):
    """The whole ranking holds exactly the rows that it must, with the oracle's scores."""
    scores, shared = oracle
    found = ranking.search(10_000, ())
    ids = np.concatenate([segment.ids[segment.living] for segment in index.segments])
    expected = dict(zip(ids[shared].tolist(), scores[shared].tolist(), strict=True))
    assert {f.id for f in found} == set(expected)
    for f in found:
        assert f.score == pytest.approx(expected[f.id], rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", ["yeast in the oven", "comet and violin today", "glacier"])
def test_a_way_of_ranking_is_its_formula(index, patched, way, text):
    for one in (index, patched):
        query, _ = one.query(text)
        assert_agrees(one, one.ranking(query, way), ORACLES[way](one, query))


@pytest.mark.parametrize("scoring", ["dot", "idf", "bm25"])
def test_concepts_are_weighed_as_asked(patched, scoring):
    query, _ = patched.query("penalty and keeper, cello")
    ranking = patched.ranking(query, "concepts", scoring=scoring)
    assert_agrees(patched, ranking, by_concepts(patched, query, scoring))


@settings(max_examples=25, deadline=None)
@given(text=queries, way=st.sampled_from(WAYS), data=st.data())
def test_a_steered_search_is_its_formula_too(patched, text, way, data):
    change = data.draw(
        st.dictionaries(st.integers(0, 47), st.sampled_from([-2.0, -0.5, 0.25, 1.0]), max_size=3)
    )
    remove = data.draw(st.frozensets(st.integers(0, 47), max_size=2)) - set(change)
    query, _ = patched.query(text, Steering(change, remove))
    assert_agrees(patched, patched.ranking(query, way), ORACLES[way](patched, query), 5e-6)


def test_activations_are_relative_to_the_largest_in_size(patched):
    """Also where that is one turned far down."""
    plain, _ = patched.query("violin tempo")
    strongest = int(plain.concepts[plain.activations.argmax()])
    query, _ = patched.query("violin tempo", Steering({strongest: -9.0}))
    assert query.activations.min() < -7 * query.activations.max()
    ranking = patched.ranking(query, "concepts")
    assert_agrees(patched, ranking, by_concepts(patched, query))


def test_codes_and_vectors_are_what_the_embedder_and_the_dictionary_make(index):
    codes = joined_codes(index.segments).toarray()
    np.testing.assert_array_equal(codes, coded(index).astype(np.float32))
    np.testing.assert_array_equal(np.asarray(index.segments[0].vectors, float), embedded(index))
    decoded = coded(index) @ index.decoder + index.pre_bias
    lengths = np.linalg.norm(decoded, axis=1)
    np.testing.assert_allclose(index.segments[0].rebuilt, lengths, rtol=1e-5)


def test_frequencies_and_means_count_what_lives(patched):
    codes = coded(patched)
    np.testing.assert_array_equal(patched.concept_frequency, (codes > 0).sum(0))
    length, activation = patched.statistics.mean_activations
    assert length == pytest.approx(codes.sum(1).mean(), rel=1e-6)
    assert activation == pytest.approx(codes[codes > 0].mean(), rel=1e-6)
    assert patched.living == len(codes) < patched.written


# --- what holds for every way ----------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    text=queries,
    way=st.sampled_from(WAYS),
    scoring=st.sampled_from(["bm25", "idf", "dot"]),
    change=st.dictionaries(st.integers(0, 47), st.floats(-3, 3), max_size=3),
    remove=st.frozensets(st.integers(0, 47), max_size=2),
    year=st.one_of(st.none(), st.integers(1990, 2010)),
    limit=st.integers(1, 40),
)
def test_reasons_add_up_and_hits_are_in_order(
    patched, text, way, scoring, change, remove, year, limit
):
    steering = Steering(change, remove - set(change))
    where = [] if year is None else [Condition("year", ">=", year)]
    found = patched.search(
        text, by=way, limit=limit, steering=steering, where=where, scoring=scoring
    )
    assert len(found.hits) <= limit
    for hit in found.hits:
        assert sums(hit) == pytest.approx(hit.score, abs=1e-6)
        assert all(math.isfinite(c.contribution) for c in hit.concepts)
        assert year is None or hit.metadata["year"] >= year
        parts = [c.contribution for c in hit.concepts]
        assert parts == sorted(parts, reverse=True)
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert len({hit.id for hit in found.hits}) == len(found.hits)


@settings(max_examples=15, deadline=None)
@given(text=queries, way=st.sampled_from(WAYS), limit=st.integers(1, 30))
def test_fewer_hits_are_the_first_of_more(patched, text, way, limit):
    few = patched.search(text, by=way, limit=limit).hits
    many = patched.search(text, by=way, limit=10_000).hits
    assert few == many[:limit]


@settings(max_examples=15, deadline=None)
@given(
    text=queries, way=st.sampled_from([w for w in WAYS if w != "hybrid"]), topic=st.integers(-1, 8)
)
def test_a_filter_leaves_the_other_hits_as_they_are(patched, text, way, topic):
    every = patched.search(text, by=way, limit=10_000).hits
    some = patched.search(text, by=way, limit=10_000, where=[Condition("topic", "=", topic)]).hits
    assert some == tuple(hit for hit in every if hit.metadata["topic"] == topic)


@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_threads_gives_the_same(folder, index, way):
    with opened(folder, threads=3) as other:
        for text in ("harbor mast", "people speak of the treaty"):
            assert other.search(text, by=way, limit=99) == index.search(text, by=way, limit=99)


def test_the_parts_of_a_hybrid_are_those_of_the_other_ways(index):
    weights = HybridWeights(0.5, 2.0, 0.25)
    text = "flour and crust"
    alone = {way: index.search(text, by=way, limit=10_000).hits for way in WAYS}
    best = {way: max((hit.score for hit in hits), default=1.0) for way, hits in alone.items()}
    scores = {way: {hit.id: hit.score for hit in hits} for way, hits in alone.items()}
    for hit in index.search(text, by="hybrid", hybrid=weights, limit=50).hits:
        concepts = sum(c.contribution for c in hit.concepts)
        assert concepts == pytest.approx(
            0.5 * scores["concepts"].get(hit.id, 0.0) / best["concepts"], abs=1e-9
        )
        assert hit.parts["dense"] == pytest.approx(2.0 * scores["dense"][hit.id], abs=1e-9)
        assert hit.parts["words"] == pytest.approx(
            0.25 * scores["words"].get(hit.id, 0.0) / best["words"], abs=1e-9
        )


def test_a_hybrid_of_one_part_ranks_as_that_part(index):
    for way, weights in (
        ("dense", HybridWeights(0, 1, 0)),
        ("concepts", HybridWeights(1, 0, 0)),
        ("words", HybridWeights(0, 0, 1)),
    ):
        alone = [hit.id for hit in index.search("sail and orbit", by=way, limit=20).hits]
        mixed = index.search("sail and orbit", by="hybrid", hybrid=weights, limit=20).hits
        assert [hit.id for hit in mixed][: len(alone)] == alone


def test_a_dense_score_is_shared_out_among_the_passage_s_concepts(index):
    query, _ = index.query("enzyme")
    found = index.search("enzyme", by="dense", limit=3)
    codes, decoder = coded(index), index.decoder
    numbers = [index.segments[0].ids.tolist().index(i) for i in range(len(index))]
    _, passages = passages_of(index)
    rows = {p.id: row for row, p in zip(numbers, passages, strict=True)}
    for hit in found.hits:
        row = codes[rows[hit.id]]
        for part in hit.concepts:
            expected = row[part.id] * decoder[part.id] @ unit(query.vector)
            assert part.contribution == pytest.approx(expected, abs=1e-6)
        assert {part.id for part in hit.concepts} == set(np.flatnonzero(row).tolist())
        assert hit.parts["shared"] == pytest.approx(index.pre_bias @ unit(query.vector), abs=1e-9)
        assert set(hit.parts) == {"shared", "residual"}


def test_a_hit_tells_where_it_stands(index):
    texts = {d.id: d for d in documents()}
    for hit in index.search("goal and referee", by="dense", limit=30).hits:
        document = texts[hit.document]
        assert document.text[hit.start : hit.end] == hit.text
        assert (hit.title, hit.source) == (document.title, document.source)
        assert hit.metadata == document.metadata
        assert hit.id.startswith(f"{hit.document}#")


@pytest.mark.parametrize(
    "condition",
    [
        "kind=letter",
        "kind!=letter",
        "kind=letter|memo",
        "year<1995",
        "year>=2005",
        "even=true",
        "even!=true",
        "weight<=3.5",
        "topic=1|2|3",
        "document=d7",
        "title=Violin",
        "source=8.txt",
        "nothing=1",
        "year=x",
        "even=1",
    ],
)
def test_conditions_are_about_the_documents(patched, condition):
    wanted = read_condition(condition)
    texts = {d.id: d for d in documents(100)}
    for way in WAYS:
        hits = patched.search("people", by=way, limit=10_000, where=[wanted]).hits
        every = patched.search("people", by=way, limit=10_000).hits
        expected = {
            hit.id
            for hit in every
            if wanted.holds(
                {
                    **texts[hit.document].metadata,
                    "document": hit.document,
                    "title": texts[hit.document].title,
                    "source": texts[hit.document].source,
                }
            )
        }
        assert {hit.id for hit in hits} == expected


def test_conditions_that_are_equal_in_python_are_told_apart(index):
    """1, 1.0 and True are equal, and ask for different things."""
    with_numbers = index.search("people", by="dense", limit=999, where=[Condition("topic", "=", 1)])
    as_truth = index.search("people", by="dense", limit=999, where=[Condition("topic", "=", True)])
    assert with_numbers.hits
    assert not as_truth.hits


def test_several_conditions_must_all_hold(index):
    where = [Condition("even", "=", True), Condition("kind", "=", "letter")]
    hits = index.search("people", by="dense", limit=999, where=where).hits
    assert {hit.document for hit in hits} == {f"d{n}" for n in range(0, 80, 4)}


def test_a_query_of_unknown_words_finds_nothing_by_words(index):
    for text in ("zyzzyva", "the of and", "???"):
        assert index.search(text, by="words").hits == ()
    # vectors know no such thing as an unknown word: all is as near as it is
    assert len(index.search("zyzzyva", by="dense").hits) == 10


def test_a_query_whose_concepts_no_passage_has_is_called_unknown(index):
    absent = [int(c) for c in np.flatnonzero(index.concept_frequency == 0)]
    query, _ = index.query("yeast")
    gone = Steering(dict.fromkeys(absent, 1.0), frozenset(query.concepts.tolist()) - set(absent))
    found = index.search("yeast", steering=gone)
    assert found.unknown
    assert found.hits == ()
    assert not index.search("yeast").unknown


def test_results_are_plain_json(index):
    import json

    found = index.search("yeast", by="hybrid", more=[3], without=[4])
    said = json.loads(json.dumps(found.json(), allow_nan=False))
    assert set(said) == {"query", "by", "concepts", "moved", "hits"}
    hit = said["hits"][0]
    assert {"id", "score", "text", "source", "concepts", "parts", "metadata"} <= set(hit)
    assert set(hit["concepts"][0]) == {"id", "name", "contribution"}
    assert [m["id"] for m in said["moved"]] == [3, 4]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 0}, "limit"),
        ({"by": "magic"}, "way of ranking"),
        ({"scoring": "tfidf"}, "scoring"),
        ({"more": [48]}, "no concept #48"),
        ({"more": [-1]}, "no concept #-1"),
        ({"more": ["#99"]}, "no concept #99"),
        ({"more": ["cooking"]}, "no concept is called"),
        ({"more": [1], "steering": Steering({1: 1.0})}, "not both"),
        ({"more": [1], "without": [1]}, "both changed and removed"),
    ],
)
def test_a_search_that_can_not_be_is_refused(index, options, said):
    with pytest.raises(ConfigError, match=said):
        index.search("yeast", **options)


@pytest.mark.parametrize("text", ["", "  \n\t ", "\u2003"])
def test_an_empty_query_is_refused(index, text):
    with pytest.raises(ConfigError, match="the query is empty"):
        index.search(text)


def test_threads_below_one_are_refused(folder):
    with pytest.raises(ConfigError, match="threads"):
        Index(folder, threads=0)


def test_numbers_of_any_integer_kind_name_concepts(index):
    assert index.steering([np.int64(3)]) == index.steering([3]) == index.steering(["#3"])
    assert index.search("yeast", more=["3"]) == index.search("yeast", more=[3])


def test_passages_are_found_by_their_numbers(patched):
    ids = [int(i) for segment in patched.segments for i in segment.ids]
    dead = sorted(set(ids) - {int(i) for s in patched.segments for i in s.ids[s.living]})
    assert dead
    found = patched.passages([*ids, 10**12, -1])
    assert [p is None for p in found] == [i in set(dead) for i in ids] + [True, True]
    assert patched.passages([]) == []
    again = patched.passages(ids[::-1])
    assert again == found[: len(ids)][::-1]


def test_an_index_says_what_it_is(index, folder):
    assert len(index) == index.living == index.manifest.passages
    assert repr(index) == f"Index({str(folder)!r}, passages={len(index)}, concepts=48)"
    assert index.manifest.documents == 80
    assert index.manifest.embedder["name"] == "toy"


def test_reading_is_safe_from_several_threads(folder):
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"{a} {b}" for a, b in itertools.product(TOPICS[0], TOPICS[1])]
    with opened(folder) as fresh, opened(folder) as other:
        jobs = [(text, way) for text in texts for way in WAYS]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda job: fresh.search(job[0], by=job[1]), jobs))
        assert found == [other.search(text, by=way) for text, way in jobs]


def test_the_settings_of_an_index_are_its_defaults_for_hybrids(tmp_path):
    from isthmus.search.index.manifest import read_manifest, write_manifest

    build(tmp_path / "i", documents(20), SMALL)
    manifest = read_manifest(tmp_path / "i")
    manifest.settings["hybrid"] = {"concepts": 0.0, "dense": 1.0, "words": 0.0}
    write_manifest(tmp_path / "i", manifest)
    with opened(tmp_path / "i") as fitted:
        mixed = fitted.search("yeast", by="hybrid", limit=99).hits
        dense = fitted.search("yeast", by="dense", limit=99).hits
        assert [(h.id, h.score) for h in mixed] == [(h.id, h.score) for h in dense]
