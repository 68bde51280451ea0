"""An index held against judgements: by hand, and as ir_measures has it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from index_toys import FILLER, TOPICS, build, documents, opened
from isthmus.data.corpora.documents import Document
from isthmus.data.corpora.judgements import Judgements
from isthmus.errors import ConfigError, DataError
from isthmus.search.judging import WAYS, documents_of, judge, judged_queries
from isthmus.search.ranking import HybridWeights
from isthmus.search.ranking.base import Found


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    place = tmp_path_factory.mktemp("judged") / "index"
    build(place, documents(120))
    build(place, documents(120)[5:])
    return opened(place)


@pytest.fixture(scope="session")
def judgements():
    """Random queries with random grades, some of documents that are not there."""
    rng = np.random.default_rng(0)
    words = [word for topic in TOPICS for word in topic] + list(FILLER)
    queries = {f"q{n}": " ".join(rng.choice(words, 3)) for n in range(25)}
    relevance = {
        name: {f"d{int(d)}": int(rng.integers(0, 4)) for d in rng.choice(130, 30, replace=False)}
        for name in queries
    }
    relevance["q3"] = {"d7": 0, "d8": 0}  # nothing relevant
    return Judgements("toys", "test", queries, relevance)


def test_every_way_agrees_with_ir_measures(index, judgements):
    ir_measures = pytest.importorskip("ir_measures")
    found = judge(index, judgements)
    assert set(found.rankings) == set(WAYS)
    assert found.queries == 24
    measures = [ir_measures.nDCG @ 10, ir_measures.R @ 100, ir_measures.RR @ 10]
    judged = [
        ir_measures.Qrel(name, document, grade)
        for name, grades in judgements.relevance.items()
        if name != "q3"
        for document, grade in grades.items()
    ]
    for way, ranking in found.rankings.items():
        run = []
        for name, query in judged_queries(index, judgements):
            # by the best passage of each document, worked out from all passages
            best = {}
            for hit in index.ranking(query, way).search(10_000, ()):
                document = hit.segment.document_of(hit.row)
                best.setdefault(document, len(best))
            run += [ir_measures.ScoredDoc(name, d, -rank) for d, rank in best.items()]
            run.append(ir_measures.ScoredDoc(name, "nothing", -1e9))
        theirs = ir_measures.calc_aggregate(measures, judged, run)
        ours = (ranking.ndcg_10, ranking.recall_100, ranking.mrr_10)
        for measure, value in zip(measures, ours, strict=True):
            assert value == pytest.approx(theirs[measure], abs=1e-6), (way, measure)
        assert ranking.per_query.mean() == pytest.approx(ranking.ndcg_10)
        assert ranking.interval.low <= ranking.ndcg_10 <= ranking.interval.high


def test_by_hand(tmp_path):
    texts = [
        Document("two", "Anchor anchor. Yeast people today place."),
        Document("one", "Anchor sail mast keel harbor people."),
        *(Document(f"x{n}", f"Dough and flour number {n}.") for n in range(30)),
    ]
    build(tmp_path / "i", texts)
    with opened(tmp_path / "i") as small:
        ranked = [h.document for h in small.search("anchor", by="words").hits]
        assert sorted(ranked) == ["one", "two"]
        second = ranked[1]
        relevance = {"a": {second: 1, "gone": 2}, "b": {"x1": 1}}
        queries = {"a": "anchor", "b": "unknowable"}
        found = judge(small, Judgements("hand", "dev", queries, relevance), ways=("words",))
    words = found.rankings["words"]
    best = 2 / np.log2(2) + 1 / np.log2(3)
    # of query a the second hit is one of two relevant documents; query b finds nothing
    assert words.per_query.tolist() == pytest.approx([1 / np.log2(3) / best, 0.0])
    assert words.recall_100 == pytest.approx((1 / 2 + 0) / 2)
    assert words.mrr_10 == pytest.approx((1 / 2 + 0) / 2)
    assert words.against_dense is None  # that was not measured
    assert (found.missing, found.queries, found.split) == (1, 2, "dev")


def test_relevant_documents_that_are_missing_are_counted_and_not_found(index, judgements):
    held = {f"d{n}" for n in range(5, 120)}
    expected = sum(
        grade > 0 and document not in held
        for grades in judgements.relevance.values()
        for document, grade in grades.items()
    )
    assert judge(index, judgements, ways=("dense",)).missing == expected > 0


def test_deleted_documents_are_missing(index):
    found = judge(
        index, Judgements("j", "s", {"q": "anchor"}, {"q": {"d0": 1, "d50": 1}}), ways=("dense",)
    )
    assert found.missing == 1  # d0 is in a segment, deleted


def test_judgements_of_another_corpus_are_refused(index):
    other = Judgements("other", "test", {"q": "anchor"}, {"q": {"doc-9": 1}})
    with pytest.raises(DataError) as told:
        judge(index, other)
    assert "none of the relevant documents is in the index" in str(told.value)
    assert "'doc-9'" in str(told.value)
    assert "other, test" in str(told.value)


@pytest.mark.parametrize("grades", [{}, {"d7": 0}, {"d7": -1}])
def test_judgements_without_anything_relevant_are_refused(index, grades):
    with pytest.raises(DataError, match="no query has a relevant document"):
        judge(index, Judgements("j", "test", {"q": "anchor"}, {"q": grades}))


def test_an_unknown_way_is_refused(index, judgements):
    with pytest.raises(ConfigError, match="magic"):
        judge(index, judgements, ways=("magic",))


def test_differences_to_dense_are_paired(index, judgements):
    found = judge(index, judgements, ways=("dense", "words"), seed=3)
    words, dense = found.rankings["words"], found.rankings["dense"]
    assert dense.against_dense is None
    gap = words.per_query - dense.per_query
    assert words.against_dense.mean == pytest.approx(gap.mean())
    assert words.against_dense.low <= gap.mean() <= words.against_dense.high
    again = judge(index, judgements, ways=("dense", "words"), seed=3).rankings["words"]
    assert again.against_dense == words.against_dense
    assert again.interval == words.interval


def test_it_is_told_as_json_with_times_and_sizes(index, judgements):
    said = []
    found = judge(index, judgements, progress=lambda done, total: said.append((done, total)))
    assert said == [(n, 24) for n in range(24)]
    assert found.hybrid == HybridWeights()
    assert found.hybrid_fitted_on is None
    for way, ranking in found.rankings.items():
        told = json.loads(json.dumps(ranking.json(), allow_nan=False))
        assert {"ndcg@10", "recall@100", "mrr@10", "milliseconds", "bytes"} <= set(told)
        assert ("against_dense" in told) == (way != "dense")
        assert ranking.milliseconds > 0
        assert ranking.bytes > 0
    assert found.rankings["dense"].bytes == sum(s.vectors.nbytes for s in index.segments)
    assert found.rankings["hybrid"].bytes > found.rankings["dense"].bytes


class Ranked:
    """A ranking of passages whose documents are known."""

    def __init__(self, owners):
        self.segment = SimpleNamespace(document_of=lambda row: owners[row])
        self.owners, self.asked = owners, []

    def search(self, limit, where):
        self.asked.append(limit)
        return [Found(self.segment, row, row, -row) for row in range(len(self.owners))][:limit]


def test_documents_are_ranked_by_their_best_passage():
    assert documents_of(Ranked(list("abacbd")), 10, 6) == ["a", "b", "c", "d"]
    assert documents_of(Ranked(list("abacbd")), 2, 6) == ["a", "b"]


def test_enough_passages_are_looked_at_for_as_many_documents():
    """The first 1,000 passages belong to three documents: the search goes on."""
    owners = [f"big{n % 3}" for n in range(1000)] + [f"small{n}" for n in range(500)]
    ranking = Ranked(owners)
    found = documents_of(ranking, 100, len(owners))
    assert found == ["big0", "big1", "big2", *(f"small{n}" for n in range(97))]
    assert ranking.asked == [200, 800, 1500]


def test_fewer_documents_than_asked_for_are_no_endless_search():
    assert documents_of(Ranked(["a"] * 5000), 100, 5000) == ["a"]
    assert documents_of(Ranked([]), 100, 0) == []
    assert documents_of(Ranked(["a", "b"]), 100, 50) == ["a", "b"]
