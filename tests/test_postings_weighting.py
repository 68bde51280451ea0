"""Weights of terms and rows against their formulas, worked by hand and written out densely."""

import math

import numpy as np
import pytest

from isthmus.errors import ConfigError
from isthmus.search.postings import BM25, Postings, Saturation, idf
from isthmus.search.postings.scoring import search_blocks
from posting_tools import oracle, query, same, toy


def test_idf_by_hand():
    found = idf([0, 1, 4], 4)
    wanted = [math.log(1 + 4.5 / 0.5), math.log(1 + 3.5 / 1.5), math.log(1 + 0.5 / 4.5)]
    np.testing.assert_allclose(found, wanted, rtol=1e-15)
    assert found.dtype == np.float64


def test_bm25_over_words_by_hand():
    """Two documents, "a a b" and "b"; the query "a b"; k1 = 1.2, b = 0.75."""
    counts = np.array([[2, 1], [0, 1]])
    postings, rule = Postings.of(counts), BM25(1.2, 0.75)
    saturation = rule.saturation(postings.row_sums())
    weights = rule.weights([1, 1], postings.frequency, postings.rows)
    rows, scores = postings.search([0, 1], weights, saturation=saturation)
    long, short = 1.2 * (0.25 + 0.75 * 3 / 2), 1.2 * (0.25 + 0.75 * 1 / 2)
    rare, common = math.log(1 + 1.5 / 1.5), math.log(1 + 0.5 / 2.5)
    first = rare * 2.2 * 2 / (2 + long) + common * 2.2 * 1 / (1 + long)
    second = common * 2.2 * 1 / (1 + short)
    assert rows.tolist() == [0, 1]
    np.testing.assert_allclose(scores, [first, second], rtol=1e-7)  # norms are float32


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.2, 0.75), (0.0, 0.5), (3.0, 0.0), (1.0, 1.0)])
def test_bm25_over_concepts_is_its_formula(k1, b):
    postings, rule = Postings.of(toy(1, 400, 50)), BM25(k1, b)
    codes = postings.codes().astype(np.float64).toarray()
    lengths = codes.sum(1)
    held = (codes > 0).sum(0)
    terms = query(1, 50, 20)[0]
    scores = np.zeros(400)
    for term in terms:
        tf = codes[:, term]
        weight = np.log(1 + (400 - held[term] + 0.5) / (held[term] + 0.5))
        with np.errstate(invalid="ignore"):  # 0 / 0 where k1 is 0 and the term is not there
            part = weight * (k1 + 1) * tf / (tf + k1 * (1 - b + b * lengths / lengths.mean()))
        scores += np.where(tf > 0, part, 0)
    weights = rule.weights(np.ones(20), postings.frequency[terms], postings.rows)
    saturation = rule.saturation(postings.row_sums())
    rows, found = postings.search(terms, weights, limit=400, saturation=saturation)
    np.testing.assert_allclose(found, scores[rows], rtol=1e-6)
    assert len(rows) == (codes[:, terms].any(1)).sum()
    same((rows, found), oracle(postings.codes(), terms, weights, limit=400, norms=saturation.norms))


def test_a_mean_length_can_be_shared_by_parts():
    rule = BM25()
    whole = rule.saturation([1.0, 2.0, 6.0])
    part = rule.saturation([6.0], mean=3.0)
    assert part.norms[0] == whole.norms[2] == np.float32(0.9 * (0.6 + 0.4 * 2))


def test_rows_without_length():
    assert BM25(1.0, 0.5).saturation([0.0, 0.0]).norms.tolist() == [1.0, 1.0]
    assert len(BM25().saturation([]).norms) == 0


def test_cosine_is_a_scaling():
    postings = Postings.of(toy(2, 300, 40))
    terms, weights = query(2, 40, 15)
    norms = postings.row_norms()
    scaling = (1 / np.where(norms > 0, norms, 1)).astype(np.float32)
    rows, scores = postings.search(terms, weights / np.linalg.norm(weights), scaling=scaling)
    dense, asked = postings.codes().toarray().astype(np.float64), np.zeros(40)
    asked[terms] = weights
    cosine = dense[rows] @ asked / np.linalg.norm(dense[rows], axis=1) / np.linalg.norm(asked)
    np.testing.assert_allclose(scores, cosine, rtol=1e-6)


@pytest.mark.parametrize("options", [(-1, 0.5), (np.inf, 0.5), (np.nan, 0.5), (1, -0.1), (1, 1.1)])
def test_settings_that_make_no_sense(options):
    with pytest.raises(ConfigError, match="BM25"):
        BM25(*options)


@pytest.mark.parametrize("lengths", [[-1.0], [np.nan], [np.inf]])
def test_lengths_that_are_none(lengths):
    with pytest.raises(ConfigError, match="lengths"):
        BM25().saturation(lengths)


@pytest.mark.parametrize(
    "norms", [np.ones(2), np.ones((1, 2), np.float32), np.float32([-1]), np.float32([np.nan])]
)
def test_norms_that_are_none(norms):
    with pytest.raises(ConfigError, match="norms"):
        Saturation(norms)


def test_one_compiled_search_serves_all(tmp_path):
    """Whatever is kept, wherever it lies, and whatever is asked: nothing is compiled again."""
    codes, asked = toy(3, 50, 9), query(3, 9, 5)
    for kept in ("rounded", "float32"):
        made = Postings.of(codes, values=kept)
        made.write(tmp_path / kept)
        for postings in (made, Postings.open(tmp_path / kept)):
            postings.search(*asked)
            postings.search(*asked, allowed=np.ones(50, bool))
            postings.search(*asked, scaling=np.ones(50, np.float32), threads=2)
            postings.search(*asked, saturation=BM25().saturation(postings.row_sums()))
    assert len(search_blocks.signatures) == 1
