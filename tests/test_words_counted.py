"""Counting words and phrases by text, against counting by hand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from isthmus.data.corpora.word_counts import WordCounter, count_words
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError

WORDS = Words()
corpora = st.lists(
    st.lists(
        st.sampled_from(["cat", "Cats", "dog", "the", "neural", "NETWORKS", ",", "x-ray", "\n\n"]),
        max_size=12,
    ).map(" ".join),
    max_size=8,
)


def by_hand(texts, vocabulary):
    dense = np.zeros((len(texts), len(vocabulary)), int)
    for row, text in enumerate(texts):
        for stem, count in Counter(WORDS.tokens(text)).items():
            dense[row, vocabulary[stem]] = count
    return dense


@given(corpora, corpora)
def test_counts_are_those_of_the_tokens(first, second):
    vocabulary = {}
    counts = count_words(first, WORDS, vocabulary)
    assert isinstance(counts, csr_array)
    assert counts.dtype == np.int32
    assert counts.has_canonical_format
    assert np.array_equal(counts.toarray(), by_hand(first, vocabulary))
    order = dict.fromkeys(token for text in first for token in WORDS.tokens(text))
    assert list(vocabulary) == list(order)
    more = count_words(iter(second), WORDS, vocabulary)
    assert np.array_equal(more.toarray(), by_hand(second, vocabulary))
    assert list(vocabulary)[: len(order)] == list(order)


@given(corpora, st.integers(1, 5), st.integers(0, 3))
def test_the_size_of_blocks_changes_nothing(texts, block, phrases):
    whole, pieced = WordCounter(WORDS, phrases=phrases), WordCounter(WORDS, phrases=phrases)
    for text in texts:
        whole.add(text)
        pieced.add(text)
        if pieced.rows % block == 0:
            pieced._flush()
    assert np.array_equal(whole.csr().toarray(), pieced.csr().toarray())
    assert whole.vocabulary == pieced.vocabulary
    assert whole.surfaces() == pieced.surfaces()
    assert np.array_equal(whole.csr().toarray(), pieced.csr().toarray())


def test_phrases_are_neighbours_with_nothing_between_them():
    counter = WordCounter(WORDS, phrases=1)
    for text in [
        "neural networks, deep neural-network",  # a hyphen is no bound
        "neural. Network; neural the network",  # a stop and a stop word are
        "deep\n\nneural",  # and so is an empty line
        "deep\nneural",
    ]:
        counter.add(text)
    counts = counter.csr().toarray()
    column = counter.vocabulary
    assert counts[:, column["neural network"]].tolist() == [2, 0, 0, 0]
    assert counts[:, column["deep neural"]].tolist() == [1, 0, 0, 1]
    assert set(column) == {"neural", "network", "deep", "neural network", "deep neural"}


def test_phrases_never_join_two_texts():
    counter = WordCounter(WORDS, phrases=1)
    counter.add("neural")
    counter.add("network")
    assert counter.csr().shape == (2, 2)


def test_phrases_of_too_few_texts_are_left_out_unless_named():
    texts = ["red wine red wine", "red wine", "blue sky"]
    counter = WordCounter(WORDS, phrases=2)
    for text in texts:
        counter.add(text)
    assert counter.csr().toarray()[:, -1].tolist() == [2, 1, 0]
    assert list(counter.vocabulary) == ["red", "wine", "blue", "sky", "red wine"]
    named = WordCounter(WORDS, {"blue sky": 0}, grow=False, phrases=2)
    for text in texts:
        named.add(text)
    assert named.csr().toarray().tolist() == [[0], [0], [1]]
    assert named.vocabulary == {"blue sky": 0}
    assert named.surfaces() == {"blue sky": "blue sky"}


def test_a_vocabulary_that_may_not_grow_leaves_out_the_rest():
    vocabulary = {"dog": 0, "bird": 1}
    counter = WordCounter(WORDS, vocabulary, grow=False)
    counter.add("a cat, two dogs")
    assert counter.csr().toarray().tolist() == [[1, 0]]
    assert vocabulary == {"dog": 0, "bird": 1}


def test_surfaces_are_what_is_written_most_often():
    counter = WordCounter(WORDS, phrases=1)
    for text in ["Networks networks NETWORKS network network", "DNA DNA dna", "Rome rome", "runs"]:
        counter.add(text)
    counter.csr()
    found = counter.surfaces()
    # "networks" in any case 3 times, "network" twice; of equals the one in lower case
    assert found["network"] == "networks"
    assert found["dna"] == "DNA"
    assert found["rome"] == "rome"
    assert found["run"] == "runs"
    assert found["network network"].lower() == "networks networks"


def test_counting_goes_on_after_looking():
    counter = WordCounter(WORDS, phrases=1)
    counter.add("red wine")
    assert counter.csr().shape == (1, 3)
    counter.add("white wine")
    assert counter.csr().toarray().tolist() == [[1, 1, 1, 0, 0], [0, 1, 0, 1, 1]]
    assert list(counter.vocabulary) == ["red", "wine", "red wine", "white", "white wine"]


def test_no_texts_and_empty_texts_are_fine():
    vocabulary = {}
    assert count_words([], WORDS, vocabulary).shape == (0, 0)
    assert count_words(["", "the"], WORDS, vocabulary).shape == (2, 0)
    empty = WordCounter(WORDS, phrases=3)
    assert empty.surfaces() == {}
    assert empty.csr().shape == (0, 0)


@pytest.mark.parametrize("vocabulary", [{"a": 1}, {"a": 0, "b": 0}, {"a": -1, "b": 0}])
def test_a_vocabulary_with_gaps_or_doubles_is_refused(vocabulary):
    with pytest.raises(ConfigError, match="without a gap"):
        WordCounter(WORDS, vocabulary)


def test_a_negative_number_of_texts_is_refused():
    with pytest.raises(ConfigError, match="phrases=-1"):
        WordCounter(WORDS, phrases=-1)
