"""Bringing an index up to date: what stays, what goes, and that it equals one made anew."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from index_toys import SMALL, Texts, WordVectors, build, documents, opened, text_of, with_
from isthmus.data.corpora.documents import Document
from isthmus.errors import ConfigError, DataError
from isthmus.search.filters import Condition
from isthmus.search.index.assembling import needs_merging
from isthmus.search.index.describing import edit_concept, examples
from isthmus.search.index.index import Index
from isthmus.search.index.manifest import SegmentEntry
from isthmus.search.steering import Steering

WAYS = ("concepts", "dense", "reconstruction", "words", "hybrid")
QUERIES = ("yeast in the oven", "people speak of the glacier today")


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """An index that is copied, never changed."""
    place = tmp_path_factory.mktemp("updated") / "index"
    build(place, documents(60))
    return place


@pytest.fixture
def place(first, tmp_path):
    shutil.copytree(first, tmp_path / "index")
    return tmp_path / "index"


def everything(index, steering=None):
    """The scores of all passages for some queries in every way, with the reasons of some."""
    names = {number: name for name, number in numbers(index).items()}
    found = {}
    for text in QUERIES:
        query, _ = index.query(text, steering)
        for way in WAYS:
            ranking = index.ranking(query, way)
            ranked = ranking.search(10_000, ())
            found[text, way] = {names[f.id]: f.score for f in ranked}
            best = sorted(ranked, key=lambda f: (-f.score, names[f.id]))
            for hit in index.hits(ranking, best[:4]):
                found[text, way, hit.id] = {c.id: c.contribution for c in hit.concepts}, hit.parts
    return found


def told(index):
    """All passages by what they say, without their numbers."""
    ids = np.concatenate([segment.ids[segment.living] for segment in index.segments])
    return {p.id: dataclasses.replace(p, row=0) for p in index.passages(ids)}


def numbers(index):
    """The numbers of all passages in the index, by their names."""
    ids = np.concatenate([segment.ids[segment.living] for segment in index.segments])
    return {p.id: int(i) for p, i in zip(index.passages(ids), ids, strict=True)}


def files_of(folder):
    """All files with their contents and times."""
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def changed(document, seed=99):
    text = text_of(np.random.default_rng(seed), 2, 5)
    return dataclasses.replace(document, text=text)


# --- equal to an index that is made anew -----------------------------------------------------


class Updates(RuleBasedStateMachine):
    """Random additions, changes and deletions, against an index of the same made anew."""

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.rng = np.random.default_rng(0)
        self.next = 0

    def teardown(self):
        shutil.rmtree(self.home, ignore_errors=True)

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed):
        self.rng = np.random.default_rng(seed)
        self.held = {d.id: d for d in documents(40, seed)}
        build(self.home / "index", self.held.values(), dictionary=DICTIONARY["it"])
        self.before = {}

    def _some(self, share):
        names = sorted(self.held)
        count = min(len(names) - 1, max(1, int(share * len(names))))
        return [str(name) for name in self.rng.choice(names, count, replace=False)]

    @rule(count=st.integers(1, 12))
    def add(self, count):
        for _ in range(count):
            self.next += 1
            text = text_of(self.rng, int(self.rng.integers(8)), int(self.rng.integers(1, 7)))
            title = "People" if self.next % 2 else ""
            facts = {"topic": int(self.rng.integers(8))}
            self.held[f"new{self.next}"] = Document(f"new{self.next}", text, title, metadata=facts)

    @rule(share=st.floats(0.01, 0.5))
    def change(self, share):
        for name in self._some(share):
            text = text_of(self.rng, int(self.rng.integers(8)), int(self.rng.integers(1, 7)))
            self.held[name] = dataclasses.replace(self.held[name], text=text)

    @rule(share=st.floats(0.01, 0.6))
    def delete(self, share):
        for name in self._some(share):
            del self.held[name]

    @rule(share=st.floats(0.01, 0.3))
    def empty(self, share):
        """Documents that lose their text and title: they are in no index."""
        for name in self._some(share):
            self.held[name] = dataclasses.replace(self.held[name], text=" \n", title="")

    @rule()
    def shuffle(self):
        """Another order of the corpus is no change."""
        order = self.rng.permutation(sorted(self.held))
        self.held = {name: self.held[name] for name in order}

    @invariant()
    def it_equals_an_index_made_anew(self):
        if not any(d.text.strip() for d in self.held.values()):
            return
        build(self.home / "index", self.held.values())
        anew = self.home / "anew"
        shutil.rmtree(anew, ignore_errors=True)
        build(anew, self.held.values(), dictionary=DICTIONARY["it"])
        with opened(self.home / "index") as updated, opened(anew) as fresh:
            assert len(updated) == len(fresh)
            assert updated.manifest.documents == fresh.manifest.documents
            assert told(updated) == told(fresh)
            assert everything(updated) == everything(fresh)
            steering = Steering({5: 1.0, 9: -1.0}, frozenset({3}))
            assert everything(updated, steering) == everything(fresh, steering)
            self._check_numbers(updated)

    def _check_numbers(self, index):
        """Unchanged documents keep their numbers, and no number is used again."""
        now = numbers(index)
        for name, number in now.items():
            document = name.rpartition("#")[0]
            same = self.before.get(document)
            if same is not None and same[0] == self.held[document]:
                assert same[1][name] == number
            else:
                assert number not in self.ever
        self.ever = set(getattr(self, "ever", ())) | set(now.values())
        self.before = {name: (document, now) for name, document in self.held.items()}

    ever: frozenset[int] = frozenset()


DICTIONARY = {}


def test_many_updates_equal_an_index_made_anew(first):
    with Index(first) as index:
        DICTIONARY["it"] = index.dictionary
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Updates,
        settings=settings(
            max_examples=4, stateful_step_count=6, deadline=None, phases=[Phase.generate]
        ),
    )


# --- what a single update does ---------------------------------------------------------------


def test_an_update_counts_what_it_did(place):
    every = documents(60)
    new = [*every[3:10], *map(changed, every[10:14]), *every[14:], *documents(70)[60:]]
    embedder = WordVectors()
    built = build(place, new, embedder=embedder)
    assert (built.added, built.changed, built.deleted, built.unchanged) == (10, 4, 3, 53)
    fresh = len(opened(place).segments[-1].ids)
    assert embedder.seen == fresh  # nothing else was embedded again
    assert built.manifest.documents == 67
    assert built.manifest.generation == 2
    assert built.folder == place


def test_unchanged_documents_keep_ids_numbers_and_codes(place):
    with opened(place) as index:
        before, was = numbers(index), told(index)
    every = documents(60)
    build(place, [*map(changed, every[:20]), *every[20:]])
    with opened(place) as index:
        after = numbers(index)
        kept = {n: i for n, i in before.items() if int(n.split("#")[0][1:]) >= 20}
        assert kept.items() <= after.items()
        assert min(i for n, i in after.items() if n not in kept) > max(before.values())
        now = told(index)
        assert all(now[name] == was[name] for name in kept)


def test_an_update_without_news_writes_nothing(place):
    before = files_of(place)
    told_of = []
    built = build(place, documents(60), stage=lambda *said: told_of.append(said[0]))
    assert files_of(place) == before
    assert (built.added, built.changed, built.deleted, built.unchanged) == (0, 0, 0, 60)
    assert built.manifest.generation == 1
    assert set(told_of) == {"reading"}


def test_documents_without_a_text_are_told_and_change_nothing(place):
    nothing = [Document("none", " "), Document("void", "")]
    before = files_of(place)
    built = build(place, [*documents(60), *nothing])
    assert built.added == 0
    assert built.notes == ("2 documents have no text and can't be found",)
    assert files_of(place) == before


def test_a_document_that_becomes_empty_goes(place):
    every = documents(60)
    blank = dataclasses.replace(every[4], text="\n", title="")
    built = build(place, [*every[:4], blank, *every[5:]])
    assert (built.changed, built.deleted, built.added) == (1, 0, 0)
    assert built.manifest.documents == 59
    before = files_of(place)
    again = build(place, [*every[:4], blank, *every[5:]])
    assert files_of(place) == before
    assert again.changed == 0
    back = build(place, every)
    assert (back.added, back.changed) == (1, 0)


def test_facts_about_a_document_are_part_of_it(place):
    every = documents(60)
    newer = dataclasses.replace(every[0], metadata={"year": 3000})
    embedder = WordVectors()
    built = build(place, [newer, *every[1:]], embedder=embedder)
    assert built.changed == 1
    with opened(place) as index:
        hits = index.search("today", by="dense", where=[Condition("year", "=", 3000)]).hits
        assert {hit.document for hit in hits} == {"d0"}


def test_everything_but_one_document_may_go(place):
    one = documents(60)[17]
    built = build(place, [one])
    assert (built.deleted, built.unchanged) == (59, 1)
    with opened(place) as index:
        assert len(index.segments) == 1
        assert index.segments[0].alive is None  # what was left was merged
        assert {hit.document for hit in index.search("people", by="dense").hits} == {"d17"}
        index.verify()


@pytest.mark.parametrize("corpus", [[], [Document("a", "")]])
def test_an_empty_corpus_leaves_the_index_as_it_was(place, corpus):
    before = files_of(place)
    with pytest.raises(DataError, match="no document"):
        build(place, corpus)
    assert files_of(place) == before


def test_two_documents_of_one_id_are_refused(place):
    before = files_of(place)
    with pytest.raises(DataError, match="two documents have one id"):
        build(place, [*documents(60), documents(60)[3]])
    assert files_of(place) == before


def test_impossible_metadata_are_refused(place):
    with pytest.raises(DataError, match="document 'bad'"):
        build(place, [*documents(60), Document("bad", "text", metadata={"when": object()})])


# --- segments --------------------------------------------------------------------------------


def test_many_small_updates_are_merged(place):
    every = documents(80)
    counts = []
    for more in range(61, 81):
        build(place, every[:more])
        with opened(place) as index:
            counts.append(len(index.segments))
    assert max(counts) == 8
    assert 1 in counts
    with opened(place) as index:
        index.verify()
        assert len({*numbers(index).values()}) == len(index)
        ids = np.concatenate([s.ids for s in index.segments])
        assert (np.diff(ids) > 0).all()


def test_merging_keeps_every_word_that_is_used_and_no_other(place):
    odd = Document("odd", "quokkas hop")
    build(place, [*documents(60), odd])
    build(place, documents(60)[:20])  # most goes: merged
    with opened(place) as index:
        (segment,) = index.segments
        assert segment.vocabulary() == sorted(segment.vocabulary())
        assert "quokka" not in segment.vocabulary()
        assert (segment.words.frequency > 0).all()


@pytest.mark.parametrize(
    ("sizes", "merge"),
    [
        ([(10, 10)], False),
        ([(10, 7)], False),
        ([(10, 6)], True),
        ([(1000, 1000), (10, 1)], False),
        ([(5, 5)] * 8, False),
        ([(5, 5)] * 9, True),
    ],
)
def test_segments_are_merged_when_many_or_full_of_holes(sizes, merge):
    entries = [
        SegmentEntry(f"s{i}", written, living, 1) for i, (written, living) in enumerate(sizes)
    ]
    assert needs_merging(entries) == merge


def test_old_parts_are_removed(place):
    every = documents(60)
    for step in range(4):
        build(place, every[step:])
    with opened(place) as index:
        named = {entry.folder for entry in index.manifest.segments}
        assert {p.name for p in (place / "segments").iterdir()} == named
        masks = [p.name for p in place.glob("segments/*/alive-*.npy")]
        assert masks == [entry.alive for entry in index.manifest.segments if entry.alive]
        index.verify()


# --- settings, dictionaries, concepts --------------------------------------------------------


def test_texts_are_cut_as_before(place):
    other = with_(SMALL, cutting=dataclasses.replace(SMALL.cutting, size=30))
    built = build(place, documents(62), other)
    assert any("cut and words counted as before" in note for note in built.notes)
    assert built.manifest.cutting["config"]["size"] == 16
    assert not build(place, documents(63)).notes


def test_what_was_cut_stays_told_when_nothing_is_new(place):
    with opened(place) as index:
        said = index.manifest.cutting["report"]
    built = build(place, documents(60)[1:])
    assert built.manifest.cutting["report"] == said != ""


def test_the_source_is_kept(place):
    build(place, documents(61), source={"path": "a", "limit": 3})
    assert build(place, documents(62)).manifest.corpus == {"path": "a", "limit": 3}
    with pytest.raises(ConfigError, match="plain JSON"):
        build(place, documents(63), source={"path": Path("a")})


def test_retraining_keeps_most_concepts_numbers_and_all_passages(tmp_path):
    config = with_(
        SMALL, dictionary=dataclasses.replace(SMALL.dictionary, latents=24, k=3, epochs=50)
    )
    place = tmp_path / "index"
    build(place, documents(200), config)
    with opened(place) as index:
        old, before = index.decoder, numbers(index)
    grown = [*documents(200), *[dataclasses.replace(d, id=f"n{d.id}") for d in documents(40, 5)]]
    built = build(place, grown, config, retrain=True)
    assert built.unchanged == 200
    how = built.manifest.dictionary["training"]
    assert how["warm"] is True
    assert how["kept_ids"] >= 0.9
    with opened(place) as index:
        cosines = (old * index.decoder).sum(1)
        assert (cosines > 0.7).mean() >= 0.9
        assert before.items() <= numbers(index).items()
        assert len(index.segments) == 1
        index.verify()


def test_edits_survive_a_retraining(tmp_path):
    config = with_(
        SMALL,
        concepts=True,
        dictionary=dataclasses.replace(SMALL.dictionary, latents=24, k=3, epochs=50),
    )
    place = tmp_path / "index"
    build(place, documents(200), config)
    with opened(place) as index:
        edit_concept(index, "rename", 3, "kept name")
        old = index.decoder[3]
    with opened(place) as index:
        assert index.names[3] == "kept name"
        assert index.concepts[3].origin == "user"
    build(place, documents(230), config, retrain=True)
    with opened(place) as index:
        now = index.names.find("kept name")
        assert now == index.concepts.find("kept name").id
        assert old @ index.decoder[now] > 0.7


def test_retraining_alone_is_a_change(place):
    built = build(place, documents(60), retrain=True)
    assert built.unchanged == 60
    assert built.manifest.generation == 2
    with opened(place) as index:
        assert index.search("yeast").hits
        index.verify()


def test_a_corpus_that_shrank_below_its_dictionary_gets_a_new_one(place):
    with opened(place) as index:
        assert index.latents == 48
    build(
        place,
        documents(60)[:6],
        with_(SMALL, dictionary=dataclasses.replace(SMALL.dictionary, latents=0)),
        retrain=True,
    )
    with opened(place) as index:
        assert index.latents == len(index) < 24  # each passage is a concept
        assert index.search("people").hits
        index.verify()


def test_another_dictionary_can_be_given(place):
    from isthmus.bottlenecks import TopK
    from isthmus.models.dictionary import SparseDictionary

    other = SparseDictionary(24, TopK(64, 5), seed=9)
    built = build(place, documents(60), dictionary=other)
    assert built.manifest.dictionary["training"] == {"given": True}
    with opened(place) as index:
        assert index.latents == 64
        assert index.segments[0].concepts.terms == 64
        np.testing.assert_array_equal(index.decoder, other.weights().decoder_ND.astype(float))
        index.verify()


def test_a_dictionary_of_another_width_is_refused(place):
    from isthmus.bottlenecks import TopK
    from isthmus.models.dictionary import SparseDictionary

    before = files_of(place)
    with pytest.raises(ConfigError, match="for vectors of 32 numbers"):
        build(place, documents(60), dictionary=SparseDictionary(32, TopK(64, 5)))
    with pytest.raises(ConfigError, match="not both"):
        build(place, documents(60), dictionary=SparseDictionary(24, TopK(64, 5)), retrain=True)
    assert files_of(place) == before


def test_a_dictionary_whose_codes_are_dense_is_refused(place):
    from isthmus.bottlenecks import KLSparse
    from isthmus.models.dictionary import SparseDictionary

    with pytest.raises(ConfigError, match="all active everywhere"):
        build(place, documents(60), dictionary=SparseDictionary(24, KLSparse(64)))


def test_concepts_are_described_again_when_more_than_a_twentieth_moved(tmp_path):
    config, place = with_(SMALL, concepts=True), tmp_path / "index"
    first = build(place, documents(80), config)
    with opened(place) as index:
        row = next(c.top[0].row for c in index.concepts if c.top)
        assert index.passages(examples(index, [row]))[0] is not None
    for left in (79, 78, 77):  # each little by itself
        little = build(place, documents(80)[:left], config)
        assert little.manifest.concepts == first.manifest.concepts
        assert "concepts were left as they are: little has changed" in little.notes
    much = build(place, documents(80)[:74], config)
    assert much.manifest.concepts != first.manifest.concepts
    assert {p.name for p in (place / "concepts").iterdir()} == {much.manifest.concepts}
    with opened(place) as index:
        assert index.concepts.passages == len(index)
        rows = range(index.concepts.passages)
        ids = np.concatenate([s.ids[s.living] for s in index.segments])
        assert examples(index, rows) == ids.tolist()
        index.verify()


def test_examples_that_were_deleted_are_none(tmp_path):
    config, place = with_(SMALL, concepts=True), tmp_path / "index"
    build(place, documents(80), config)
    build(place, documents(80)[1:], config)
    with opened(place) as index:
        found = index.passages(examples(index, range(index.concepts.passages)))
        assert found[0] is None
        assert sum(passage is not None for passage in found) == len(index)


def test_concepts_can_be_described_later(place):
    with opened(place) as index:
        assert index.manifest.concepts is None
    built = build(place, documents(60), with_(SMALL, concepts=True))
    assert built.manifest.concepts is not None
    with opened(place) as index:
        assert len(index.concepts) == 48
    before = files_of(place)
    build(place, documents(60), with_(SMALL, concepts=True))
    assert files_of(place) == before


def test_stability_comes_from_further_trainings(tmp_path):
    config = with_(SMALL, concepts=True, stability=2)
    build(tmp_path / "i", documents(60), config)
    with opened(tmp_path / "i") as index:
        stability = [concept.stability for concept in index.concepts]
        assert any(s is not None and 0 < s <= 1.000001 for s in stability)


def test_the_same_corpus_gives_the_same_index(tmp_path):
    for name in ("a", "b"):
        build(tmp_path / name, documents(60), with_(SMALL, concepts=True))
    with opened(tmp_path / "a") as one, opened(tmp_path / "b") as other:
        assert everything(one) == everything(other)
        assert list(one.concepts) == list(other.concepts)
        np.testing.assert_array_equal(one.decoder, other.decoder)


def test_a_corpus_that_fails_half_way_leaves_the_index_as_it_was(place):
    class Broken(Texts):
        def __iter__(self):
            yield from documents(70)
            raise DataError("the disk is gone")

    from isthmus.search.index.building import build_index

    before = files_of(place)
    with pytest.raises(DataError, match="the disk is gone"):
        build_index(Broken([]), place, WordVectors(), SMALL)
    assert files_of(place) == before
