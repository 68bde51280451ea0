"""Names made by rule: from known topics, scored on passages that they were not made from."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from concept_toys import TOPICS, codes_of, corpus, described
from isthmus.concepts import Describing, Naming, Passages, Workings, describe
from isthmus.concepts.columns import columns_of
from isthmus.concepts.naming import keywords_of, parts_of, strong_passages
from isthmus.concepts.ranking import Strong, postings_of
from isthmus.concepts.verdicts import passing
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def table():
    return described()


def test_known_topics_get_their_words_as_names(table):
    for concept, topic in zip(table, TOPICS, strict=True):
        assert concept.origin == "rule"
        assert concept.name == concept.proposed
        said = set(topic)
        assert set(concept.name.split(" · ")) <= said, concept.name
        assert {word.text for word in concept.words[:4]} == set(" ".join(topic).split())


def test_words_that_stand_together_become_a_phrase(table):
    phrases = [part for c in table for part in c.name.split(" · ") if " " in part]
    assert phrases
    assert set(phrases) <= {topic[2] for topic in TOPICS}


def test_scores_are_of_held_out_passages_and_beat_chance_widely(table):
    report = table.report
    assert (report.concepts, report.scored, report.named, report.share) == (8, 8, 8, 1.0)
    assert report.made + report.held == 800
    assert min(report.made, report.held) > 300
    assert report.precision.value > 0.9
    assert report.precision.low <= report.precision.value
    assert report.shuffled < 0.2
    assert report.difference.low > 0.5
    assert "8 of 8 concepts named (100%)" in report.describe()
    for concept in table:
        score = concept.score
        assert score.chance < 0.2
        assert score.p < 0.01
        assert score.fit >= 0.5
        assert score.precision > 0.8


def test_the_score_is_the_plain_one_on_the_held_out_half(table):
    from isthmus.concepts.ranking import average_precision

    texts, topics = corpus()
    said, config = Passages.of(texts), Naming()
    held = parts_of(said.counts).held
    for concept in table:
        stems = said.words.tokens(concept.name)
        part = said.counts[held]
        idf_weighted = postings_of(part)
        scores = np.zeros(len(held))
        for stem in stems:
            word = said.vocabulary[stem]
            first, last = idf_weighted.indptr[word], idf_weighted.indptr[word + 1]
            scores[idf_weighted.rows[first:last]] += idf_weighted.weights[first:last]
        wanted = topics[held] == concept.id
        assert concept.score.passages == wanted.sum()
        own = average_precision(scores.round(4), wanted)
        assert concept.score.precision == pytest.approx(own, abs=1e-5)
    assert config.passages == 5


def test_codes_that_mean_nothing_get_no_names():
    texts, topics = corpus()
    lost = np.random.default_rng(3).permutation(topics)
    found = describe(codes_of(lost), Passages.of(texts))
    assert found.report.named == 0
    assert found.report.scored == 8
    assert all(c.name is None and c.origin is None for c in found)
    assert any(c.proposed for c in found)  # what was refused can still be looked at
    assert abs(found.report.precision.value - found.report.shuffled) < 0.05


def test_names_are_the_same_every_time():
    assert list(described(300)) == list(described(300))


def test_another_seed_splits_otherwise():
    texts, _ = corpus(200)
    counts = Passages.of(texts).counts
    assert parts_of(counts, 0).held.tolist() != parts_of(counts, 1).held.tolist()


def test_concepts_that_mean_the_same_get_different_names():
    texts, topics = corpus()
    codes = codes_of(topics).toarray()
    twice = csr_array(np.hstack([codes, codes[:, :1] * 0.9]))
    found = describe(twice, Passages.of(texts))
    names = [concept.name for concept in found]
    assert len(set(names)) == 9
    assert None not in names
    assert set(names[8].split(" · ")) & set(names[0].split(" · ")) or names[8] != names[0]


def test_a_few_concepts_have_too_little_to_be_held_against():
    texts, topics = corpus(100)
    one = describe(codes_of(topics)[:, :1], Passages.of(texts))
    assert one.report.scored == 0
    assert one.report.precision is None
    assert one[0].name is None
    assert "none of 1 concepts could be named" in one.report.describe()


def test_too_few_passages_leave_concepts_unnamed():
    found = described(30)
    assert all(c.name is None or c.score.passages >= 5 for c in found)
    assert any(c.name is None for c in found)


def test_empty_texts_are_no_harm():
    found = describe(codes_of(np.arange(40) % 8), Passages.of([""] * 40))
    assert found.report.named == 0
    assert all(c.words == () for c in found)


def test_without_texts_stems_are_names():
    texts, topics = corpus()
    said = Passages.of(texts)
    bare = Passages(said.counts, said.vocabulary)
    found = describe(codes_of(topics), bare)
    assert found.report.named == 8
    assert all(set(c.name.split(" · ")) <= set(said.vocabulary) for c in found)


def test_words_are_written_as_in_the_passages():
    texts, topics = corpus()
    texts = [text.replace("galaxy", "Galaxy").replace("black hole", "Black Hole") for text in texts]
    said = Passages.of(texts)
    looked_up = describe(codes_of(topics), dataclasses.replace(said, surfaces=None))
    name = looked_up[3].name.split(" · ")
    assert "Galaxy" in name or "Black Hole" in name
    assert "Galaxy" in [word.text for word in looked_up[3].words]


def test_only_a_few_passages_are_read():
    texts, topics = corpus(3000)

    class Watched(list):
        asked = 0

        def __getitem__(self, row):
            assert isinstance(row, int)
            self.asked += 1
            return super().__getitem__(row)

    watched = Watched(texts)
    said = Passages.of(texts)
    describe(codes_of(topics), dataclasses.replace(said, texts=watched))
    assert 0 < watched.asked < 600


def test_embedded_names_are_held_against_the_directions():
    texts, topics = corpus()

    def embed(names):
        return np.array([[any(w in n for w in t) for t in TOPICS] for n in names], float)

    found = describe(codes_of(topics), Passages.of(texts), decoder=np.eye(8), embed=embed)
    assert [concept.score.direction for concept in found] == [1.0] * 8
    with pytest.raises(DataError, match="another space"):
        describe(
            codes_of(topics),
            Passages.of(texts),
            decoder=np.eye(8),
            embed=lambda n: np.eye(len(n), 3),
        )


# --- the split ---------------------------------------------------------------------------------


def test_equal_passages_and_documents_stay_on_one_side():
    texts, _ = corpus(100)
    said = Passages.of(texts * 2)
    parts = parts_of(said.counts)
    assert sorted([*parts.made, *parts.held]) == list(range(200))
    held = np.zeros(200, bool)
    held[parts.held] = True
    assert (held[:100] == held[100:]).all()
    assert 20 < held[:100].sum() < 80
    documents = [f"note {i // 4}" for i in range(200)]
    held = np.zeros(200, bool)
    held[parts_of(said.counts, groups=documents).held] = True
    assert (held.reshape(50, 4) == held.reshape(50, 4)[:, :1]).all()
    with pytest.raises(DataError, match="its group"):
        parts_of(said.counts, groups=documents[1:])


def test_passages_keep_their_side_when_the_corpus_grows():
    texts, _ = corpus(100)
    more, _ = corpus(50, seed=9)
    before = parts_of(Passages.of(texts).counts).held
    after = parts_of(Passages.of(texts + more).counts).held
    assert before.tolist() == [row for row in after.tolist() if row < 100]


def test_levels_are_learned_on_the_naming_part_alone():
    texts, topics = corpus(400)
    said, codes = Passages.of(texts), codes_of(topics)
    parts = parts_of(said.counts)
    made, held = strong_passages(columns_of(codes), parts, Naming())
    dense = codes.toarray()
    for j in range(8):
        level = np.sort(dense[parts.made, j])[-10:].mean()
        for rows, strong in ((parts.made, made), (parts.held, held)):
            wanted = np.flatnonzero(dense[rows, j] >= 0.5 * level)
            assert sorted(strong.first(j, 999).tolist()) == wanted.tolist()
            values = dense[rows[strong.first(j, 999)], j]
            assert (np.diff(values) <= 0).all()
            first, last = strong.indptr[j], strong.indptr[j + 1]
            assert strong.weights[first:last] == pytest.approx(np.minimum(values / level, 1))


# --- the words ---------------------------------------------------------------------------------


def test_keywords_are_fightin_words():
    counts = csr_array(np.array([[2, 1], [1, 0], [0, 3], [1, 2], [0, 1]], np.int32))
    strong = Strong(np.array([0, 2]), np.array([0, 1]), np.array([1.0, 0.5]))
    config = Naming(rare=1, common=1.0, prior=10.0, candidates=2)
    found = keywords_of(counts, strong, config)
    total, prior = np.array([4.0, 7.0]), 10 * np.array([4, 7]) / 11
    y = np.array([2 * 1.0 + 1 * 0.5, 1.0])
    rest = total - y
    here = np.log((y + prior) / (y.sum() + 10 - y - prior))
    there = np.log((rest + prior) / (rest.sum() + 10 - rest - prior))
    z = (here - there) / np.sqrt(1 / (y + prior) + 1 / (rest + prior))
    assert z[0] > 0 > z[1]
    assert found.words.tolist() == [[0, -1]]
    assert found.passages.tolist() == [[2, 0]]
    assert found.scores[0, 0] == pytest.approx(z[0], rel=1e-9)


def test_rare_and_common_words_are_left_out():
    rng = np.random.default_rng(0)
    dense = (rng.random((100, 4)) < [0.05, 0.9, 0.1, 0.1]).astype(np.int32)
    dense[:, 3] = 0
    dense[:2, 3] = 1
    counts = csr_array(dense)
    rows = np.arange(10)
    strong = Strong(np.array([0, 10]), rows, np.ones(10))
    found = keywords_of(counts, strong, Naming(rare=3, common=0.5))
    assert not {1, 3} & set(found.words.ravel().tolist())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.01, 1))
def test_false_discoveries_are_held_by_the_largest_fitting_rank(p, rate):
    kept = passing(np.array(p), rate)
    ordered = sorted(p)
    ranks = [k for k in range(1, len(p) + 1) if ordered[k - 1] <= k * rate / len(p)]
    assert kept.sum() == (max(ranks) if ranks else 0)
    assert not kept.any() or max(np.array(p)[kept]) <= min(np.array(p)[~kept], default=1.0)


@pytest.mark.parametrize(
    "setting",
    [
        {"strong": 0.0},
        {"common": 1.5},
        {"false": 0.0},
        {"most": 0},
        {"shuffles": 0},
        {"gain": 0.9},
        {"prior": 0.0},
        {"margin": -0.1},
        {"fit": 1.1},
        {"share": 2.0},
    ],
)
def test_settings_that_can_not_be_are_refused(setting):
    with pytest.raises(ConfigError):
        Naming(**setting)


def test_settings_decide_what_passes():
    strict = Describing(naming=Naming(margin=1.0))
    texts, topics = corpus()
    found = describe(codes_of(topics), Passages.of(texts), config=strict)
    assert found.report.named == 0
    assert found.report.margin == 1.0
    assert all(c.score is not None for c in found)


def test_words_texts_and_codes_must_fit():
    texts, topics = corpus(40)
    said = Passages.of(texts)
    with pytest.raises(DataError, match="vocabulary does not fit"):
        Passages(said.counts, {"a": 0})
    with pytest.raises(DataError, match="one text a passage"):
        Passages(said.counts, said.vocabulary, texts[1:], Words())
    with pytest.raises(DataError, match="one group a passage"):
        Passages(said.counts, said.vocabulary, groups=[1])
    with pytest.raises(DataError, match="how words were counted"):
        Passages(said.counts, said.vocabulary, texts)
    with pytest.raises(DataError, match="counted on the passages of the codes"):
        describe(codes_of(topics)[:30], said)


def test_a_vocabulary_in_another_order_is_put_in_order():
    texts, topics = corpus(200)
    said = Passages.of(texts)
    mixed = dict(reversed(said.vocabulary.items()))
    other = Passages(said.counts, mixed, texts, Words(), said.surfaces)
    assert list(describe(codes_of(topics), other)) == list(describe(codes_of(topics), said))


def test_workings_say_what_is_alive():
    texts, topics = corpus(200)
    codes = codes_of(topics, latents=12).toarray()
    codes[:, 8:] = 0
    work = Workings.of(columns_of(codes), Passages.of(texts), Naming())
    assert work.alive == 8
