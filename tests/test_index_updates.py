"""Bringing an index up to date: what stays, what goes, and that it equals one made anew."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
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
            for hit in index.hits(ranking, ranked[:4]):
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
        Updates, settings=settings(max_examples=6, stateful_step_count=6, deadline=None)
    )
