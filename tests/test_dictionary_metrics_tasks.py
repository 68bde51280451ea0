"""What codes are good for: probes, neighbours, retrieval; by hand, and on real embeddings."""

import gzip
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from isthmus.errors import ConfigError, DataError
from isthmus.kernels.code import SparseCode
from isthmus.metrics import (
    code_probe,
    knn_accuracy,
    most_similar,
    neighbour_retention,
    retrieval,
    retrieval_retention,
    sparse_probe,
)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# ---------------------------------------------------------------- the most similar


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 5), st.sampled_from(["cosine", "dot"]), st.booleans())
def test_the_most_similar_are_those_of_a_full_sort(k, seed, measure, sparse):
    rng = np.random.default_rng(seed)
    documents, queries = rng.normal(size=(12, 4)), rng.normal(size=(5, 4))
    scores = queries @ documents.T
    if measure == "cosine":
        scores = unit(queries) @ unit(documents).T
    wanted = np.argsort(-scores, axis=1)[:, :k]
    make = csr_array if sparse else np.asarray
    found = most_similar(make(documents), make(queries), k, measure=measure)
    assert np.array_equal(found.index, wanted)
    assert found.score == pytest.approx(np.take_along_axis(scores, wanted, axis=1))


def test_equals_come_in_an_order_that_is_not_that_of_the_file():
    same, query = np.ones((200, 2)), np.ones((3, 2))
    found = most_similar(same, query, 200, seed=1)
    assert sorted(found.index[0].tolist()) == list(range(200))
    assert np.array_equal(found.index[0], found.index[2])
    assert abs(np.corrcoef(found.index[0], np.arange(200))[0, 1]) < 0.3
    assert np.array_equal(found.index, most_similar(same, query, 200, seed=1).index)
    assert not np.array_equal(found.index, most_similar(same, query, 200, seed=2).index)


def test_rows_of_zeros_are_similar_to_nothing():
    documents = np.array([[0.0, 0.0], [-1.0, 0.0], [1.0, 1.0]])
    for make in (np.asarray, csr_array, torch.tensor, lambda a: SparseCode.of(csr_array(a))):
        found = most_similar(make(documents), make(np.array([[1.0, 0.0], [0.0, 0.0]])), 3)
        assert found.index[0].tolist() == [2, 0, 1]
        assert found.score[0] == pytest.approx([math.sqrt(0.5), 0.0, -1.0])
        assert not found.score[1].any()


def test_similarity_refuses_what_makes_no_sense():
    eye = np.eye(3)
    for args, options, error, words in (
        ((eye, csr_array(eye), 1), {}, DataError, "both be sparse"),
        ((eye, np.ones((1, 2)), 1), {}, DataError, "width"),
        ((eye, eye, 4), {}, ConfigError, "number of documents"),
        ((eye, eye, 0), {}, ConfigError, "at least 1"),
        ((eye, eye, 1), {"measure": "l2"}, ConfigError, "measure"),
    ):
        with pytest.raises(error, match=words):
            most_similar(*args, **options)


# ---------------------------------------------------------------- retrieval


def test_retrieval_by_hand():
    """One query, documents at falling cosine; grades 2, 0, 1 at ranks 1 to 3, one missed."""
    angles = np.array([0.0, 0.1, 0.2, *np.linspace(1.0, 1.2, 8), 1.5])
    documents = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    grades = {"d0": 2, "d1": 0, "d2": 1, "d11": 3}
    found = retrieval(
        np.array([[1.0, 0.0]]),
        documents,
        {"q": grades},
        query_ids=["q"],
        document_ids=[f"d{i}" for i in range(12)],
    )
    gain = 2 / math.log2(2) + 1 / math.log2(4)
    best = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert found.ndcg_10 == pytest.approx(gain / best)
    assert found.mrr_10 == 1.0
    assert found.recall_100 == 1.0  # among the first hundred is everything here
    assert (found.queries, found.documents) == (("q",), 12)


def test_ten_are_near_and_a_hundred_far():
    documents = np.stack([np.cos(np.arange(200) / 200), np.sin(np.arange(200) / 200)], axis=1)
    query = np.array([[1.0, 0.0]] * 3)
    found = retrieval(query, documents, {0: {9: 1}, 1: {10: 1}, 2: {99: 1, 100: 1}})
    assert found.mrr_10_per_query.tolist() == [0.1, 0.0, 0.0]
    assert found.ndcg_10_per_query == pytest.approx([1 / math.log2(11), 0.0, 0.0])
    assert found.recall_100_per_query.tolist() == [1.0, 1.0, 0.5]
    assert found.recall_100 == pytest.approx(5 / 6)


def test_more_relevant_documents_than_ten_can_still_be_perfect():
    documents = np.concatenate([np.tile([1.0, 0.0], (15, 1)), np.tile([0.0, 1.0], (15, 1))])
    found = retrieval(np.array([[1.0, 0.0]]), documents, {0: dict.fromkeys(range(15), 1)})
    assert found.ndcg_10 == pytest.approx(1.0)


def test_queries_without_relevant_documents_are_left_out():
    documents = np.eye(3)
    found = retrieval(documents, documents, {0: {0: 1}, 1: {1: 0}, 2: {}})
    assert found.queries == (0,)
    assert found.ndcg_10 == 1.0


def test_a_collapsed_code_retrieves_by_chance_wherever_the_relevant_stand():
    """With all scores equal, the order of the file would find the first documents."""
    codes = csr_array(np.ones((1000, 1)))
    judged = {q: {q % 10: 1} for q in range(1000)}
    assert retrieval(codes, codes, judged).ndcg_10 < 0.2


def test_per_query_scores_stand_in_the_order_of_the_rows():
    documents = np.eye(4)
    judged = {"c": {"x": 1}, "a": {"w": 1}}
    found = retrieval(documents[[0, 1, 2]], documents, judged, query_ids="abc", document_ids="wxyz")
    assert found.queries == ("a", "c")
    assert found.ndcg_10_per_query[0] == 1.0
    assert found.ndcg_10_per_query[1] < 1.0


def test_retention_compares_query_by_query():
    rng = np.random.default_rng(0)
    documents = rng.normal(size=(300, 16))
    queries = documents[:80] + 0.3 * rng.normal(size=(80, 16))
    judged = {q: {q: 1} for q in range(80)}
    codes = tuple(csr_array(np.maximum(m, 0) * (m > 0.8)) for m in (queries, documents))
    noise = tuple(rng.normal(size=m.shape) for m in (queries, documents))
    before, found = retrieval_retention(
        (queries, documents),
        {"codes": codes, "same": (2 * queries, 3 * documents), "noise": noise},
        judged,
    )
    assert before.ndcg_10 > 0.95
    assert found["same"].share == 1.0
    assert found["same"].difference.mean == 0.0
    assert 0.3 < found["codes"].share < 1.0
    assert found["noise"].share < 0.1
    gap = found["codes"].scores.ndcg_10 - before.ndcg_10
    assert found["codes"].difference.mean == pytest.approx(gap)
    assert found["noise"].difference.high < 0


def test_cosine_forgets_the_length_and_dot_does_not():
    documents = np.array([[1.0, 0.0], [9.0, 9.0]])
    query, judged = np.array([[1.0, 0.0]]), {0: {0: 1}}
    assert retrieval(query, documents, judged).mrr_10 == 1.0
    assert retrieval(query, documents, judged, measure="dot").mrr_10 == 0.5


@pytest.mark.parametrize(
    ("judged", "options", "words"),
    [
        ({}, {}, "no query"),
        ({0: {0: 0}}, {}, "no query"),
        ({7: {0: 1}}, {}, "query 7"),
        ({0: {9: 1}}, {}, "document 9"),
        ({"0": {"0": 1}}, {}, "same kind"),
        ({0: {0: 1}}, {"query_ids": [0, 0, 1]}, "one id of its own"),
        ({0: {0: 1}}, {"document_ids": [0, 1]}, "one id of its own"),
    ],
)
def test_retrieval_refuses_judgements_that_do_not_fit(judged, options, words):
    with pytest.raises(DataError, match=words):
        retrieval(np.eye(3), np.eye(3), judged, **options)


def test_retention_refuses_another_number_of_documents():
    judged = {0: {0: 1}}
    with pytest.raises(DataError, match="one document for each"):
        retrieval_retention((np.eye(3), np.eye(3)), {"less": (np.eye(3), np.eye(3)[:2])}, judged)


# ---------------------------------------------------------------- probes


def labelled(rows=400, latents=20, classes=4, seed=0):
    """Latent c fires on class c (and a little elsewhere); the others know nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    codes = rng.exponential(size=(rows, latents)) * (rng.random((rows, latents)) < 0.1)
    fires = rng.random(rows) < 0.9
    codes[np.arange(rows)[fires], labels[fires]] = 3.0
    return csr_array(codes), labels


def test_a_sparse_probe_finds_the_latent_of_each_class():
    train, test = labelled(), labelled(seed=1)
    found = sparse_probe(*train, *test, latents=(1, 2, 5))
    assert found.best_latents[:, 0].tolist() == [0, 1, 2, 3]
    assert found.classes.tolist() == [0, 1, 2, 3]
    assert found.latents == (1, 2, 5)
    assert 0.88 < found.balanced_accuracy[1] < 0.97
    assert found.f1[1] > 0.8 > found.f1_chance
    assert found.f1_chance == pytest.approx(2 * 0.25 / 1.25, abs=0.02)
    assert found.interval[1].value == pytest.approx(found.balanced_accuracy[1])
    assert found.per_class.shape == (4, 3)


def test_a_sparse_probe_of_one_latent_by_hand():
    """A binary latent whose value is the answer on six of eight samples."""
    train = np.array([[1.0]] * 4 + [[0.0]] * 4), np.array([1] * 4 + [0] * 4)
    codes = np.array([[1.0], [1], [1], [0], [0], [0], [0], [1]])
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    found = sparse_probe(*train, codes, labels, latents=(1,))
    assert found.balanced_accuracy[1] == 0.75
    assert found.f1[1] == 2 * 3 / (4 + 4)


def test_rare_classes_are_not_won_by_saying_no():
    """Accuracy would be .99 for always saying no; the balanced one is a half."""
    rng = np.random.default_rng(0)
    labels = (np.arange(2000) % 100 == 0).astype(int)
    codes = csr_array(rng.random((2000, 3)) * (rng.random((2000, 3)) < 0.5))
    found = sparse_probe(codes, labels, codes[::-1], labels, latents=(1,))
    assert 0.3 < found.balanced_accuracy[1] < 0.7


def test_a_sparse_probe_may_see_all_latents_and_no_more():
    train, test = labelled(latents=6), labelled(latents=6, seed=1)
    found = sparse_probe(*train, *test, latents=(2, 6, 64))
    assert found.latents == (2, 6)
    assert sorted(found.best_latents[0].tolist()) == list(range(6))


def test_classes_that_are_not_tested_are_left_out():
    train, (codes, labels) = labelled(), labelled(seed=1)
    found = sparse_probe(*train, codes, np.where(labels == 2, 7, labels), latents=(1,))
    assert found.classes.tolist() == [0, 1, 3]


def test_sparse_and_dense_codes_give_the_same_probes():
    (train, known), (test, wanted) = labelled(), labelled(seed=1)
    a = sparse_probe(train, known, test, wanted, latents=(1, 3))
    b = sparse_probe(train.toarray(), known, torch.tensor(test.toarray()), wanted, latents=(1, 3))
    assert a.balanced_accuracy == b.balanced_accuracy
    c = code_probe(train, known, SparseCode.of(test), wanted)
    assert c.accuracy == code_probe(train.toarray(), known, test.toarray(), wanted).accuracy


def test_the_full_probe_by_its_own_measure():
    (train, known), (test, wanted) = labelled(), labelled(seed=1)
    found = code_probe(train, known, test, wanted)
    assert found.accuracy == found.correct.mean() > 0.85
    assert 0.2 < found.chance < 0.3
    assert found.interval.low < found.accuracy < found.interval.high
    assert found.converged
    assert not code_probe(train, known, test, wanted, iterations=1).converged


def test_the_full_probe_does_not_depend_on_the_scale_of_the_codes():
    (train, known), (test, wanted) = labelled(), labelled(seed=1)
    a, b = (code_probe(s * train, known, s * test, wanted) for s in (1.0, 1024.0))
    assert np.array_equal(a.correct, b.correct)


def test_codes_of_zeros_are_probed_at_chance():
    labels = np.array([0, 0, 1])
    nothing = csr_array((3, 4))
    assert code_probe(nothing, labels, nothing, labels).accuracy == pytest.approx(2 / 3)
    assert sparse_probe(nothing, labels, nothing, labels).balanced_accuracy[2] == 0.5


def test_probes_refuse_what_makes_no_sense():
    codes, labels = labelled(rows=40)
    for probe in (sparse_probe, code_probe):
        with pytest.raises(DataError, match="two labels"):
            probe(codes, np.zeros(40), codes, np.zeros(40))
        with pytest.raises(DataError, match="one label a code"):
            probe(codes, labels[:3], codes, labels)
        with pytest.raises(DataError, match="another width"):
            probe(codes, labels, codes[:, :3], labels)
        with pytest.raises(DataError, match="codes to train on"):
            probe(codes, labels, codes[:0], labels[:0])
    with pytest.raises(ConfigError, match="at least one latent"):
        sparse_probe(codes, labels, codes, labels, latents=(0,))
    with pytest.raises(ConfigError, match="at least one latent"):
        sparse_probe(codes, labels, codes, labels, latents=(1000,))
    with pytest.raises(ConfigError, match="strength"):
        code_probe(codes, labels, codes, labels, strength=0.0)


# ---------------------------------------------------------------- neighbours


def test_neighbours_agree_with_the_exact_vote_on_dense_vectors():
    rng = np.random.default_rng(0)
    labels, others = rng.integers(0, 3, 90), rng.integers(0, 3, 50)
    centres = rng.normal(size=(3, 8))
    train = centres[labels] + rng.normal(size=(90, 8))
    test = centres[others] + rng.normal(size=(50, 8))
    codes = (csr_array(np.maximum(train, 0)), csr_array(np.maximum(test, 0)))
    found = neighbour_retention((codes[0], train), labels, (codes[1], test), others)
    assert found.dense == knn_accuracy(unit(train), labels, unit(test), others, k=1).accuracy
    dense_codes = [unit(c.toarray()) for c in codes]
    assert found.codes == knn_accuracy(dense_codes[0], labels, dense_codes[1], others, k=1).accuracy
    assert found.share == found.codes / found.dense
    assert found.difference.mean == pytest.approx(found.codes - found.dense)
    assert 0.2 < found.chance < 0.6


def test_neighbours_of_a_collapsed_code_know_nothing():
    """Training rows sorted by label: the first of equals would be right for the first class."""
    labels = np.repeat([0, 1], 500)
    codes, dense = csr_array(np.ones((1000, 2))), np.eye(2)[labels]
    found = neighbour_retention((codes, dense), labels, (codes, dense), labels)
    assert found.dense == 1.0
    assert found.codes == 0.5
    with pytest.raises(DataError, match="no code"):
        neighbour_retention((codes[:0], dense[:0]), labels[:0], (codes, dense), labels)
    with pytest.raises(DataError, match="one label a code"):
        neighbour_retention((codes, dense), labels[:9], (codes, dense), labels)


# ---------------------------------------------------------------- real embeddings


def ids_of(path):
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["_id"] for line in lines]


def benchmark(home, name):
    """Queries, documents, their ids and the test judgements of a set in BEIR's layout."""
    judged: dict[str, dict[str, int]] = {}
    for line in (home / name / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged.setdefault(query, {})[document] = int(grade)
    vectors = [
        np.load(home / "embeddings" / name / f"{part}.npy") for part in ("queries", "corpus")
    ]
    ids = {
        "query_ids": ids_of(home / name / "queries.jsonl"),
        "document_ids": ids_of(home / name / "corpus.jsonl"),
    }
    return *vectors, judged, ids


@pytest.mark.needs_data
@pytest.mark.parametrize(("name", "ndcg"), [("scifact", 0.647), ("cranfield", 0.395)])
def test_dense_embeddings_retrieve_as_measured_elsewhere(data_home, name, ndcg):
    queries, documents, judged, ids = benchmark(data_home, name)
    found = retrieval(queries, documents, judged, **ids)
    assert found.ndcg_10 == pytest.approx(ndcg, abs=5e-4)
    assert found.ndcg_10_interval.low < ndcg < found.ndcg_10_interval.high


@pytest.mark.needs_data
def test_intents_are_found_in_dense_embeddings(data_home):
    """CLINC150's own split without what is out of scope: .954 (chance .007)."""
    with gzip.open(
        data_home / "text-topics" / "clinc150.jsonl.gz", "rt", encoding="utf-8"
    ) as lines:
        records = [json.loads(line) for line in lines]
    vectors = np.load(data_home / "embeddings" / "clinc150.npy").astype(np.float32)
    labels = np.unique([r["label"] for r in records], return_inverse=True)[1]
    inside = np.array([r["label"] != "oos" for r in records])
    train, test = (inside & np.array([r["split"] == s for r in records]) for s in ("train", "test"))
    found = code_probe(vectors[train], labels[train], vectors[test], labels[test])
    assert found.accuracy == pytest.approx(0.9544, abs=0.002)
    assert found.chance == pytest.approx(1 / 150)
