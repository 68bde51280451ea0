"""What embedders let through, and tokens by a declared rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder_toys import Counting
from isthmus.errors import ConfigError, DataError
from isthmus.search.embedders import Embedder, EmbedderOptions
from isthmus.search.embedders.counting import quarter_spans, word_spans
from isthmus.search.embedders.rows import readable, unit_rows

anything = st.text(st.characters(exclude_categories=()))  # half surrogate pairs too


@given(anything)
def test_readable_texts_keep_their_length_and_can_be_written(text):
    (clean,) = readable([text])
    assert len(clean) == len(text)
    clean.encode()
    kept = [(a, b) for a, b in zip(text, clean, strict=True) if a != b]
    assert all("\ud800" <= a <= "\udfff" and b == "?" for a, b in kept)


@pytest.mark.parametrize("wrong", ["one text", [b"bytes"], [None], ["a", 3]])
def test_what_is_no_list_of_texts_is_refused(wrong):
    with pytest.raises(ConfigError, match="text"):
        readable(wrong)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(1e-30, 1e30))
def test_unit_rows_have_length_one_and_the_same_direction(seed, dim, scale):
    rows = np.random.default_rng(seed).normal(size=(4, dim)) * scale
    found = unit_rows(rows, "toy")
    assert found.dtype == np.float32
    assert np.linalg.norm(found.astype(float), axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    assert (found * rows).sum(axis=1) == pytest.approx(np.linalg.norm(rows, axis=1), rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_named_by_its_text(bad):
    rows = np.ones((3, 2))
    rows[2, 1] = bad
    with pytest.raises(DataError, match="the vector of text 12 is not finite"):
        unit_rows(rows, "toy", first=10)


def test_a_vector_of_zeros_is_refused_unless_it_may_be():
    rows = np.array([[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(DataError, match="the vector of text 1 is zero"):
        unit_rows(rows, "toy")
    assert unit_rows(rows, "toy", zeros=True).tolist() == [[1, 0], [0, 0]]


@given(anything)
def test_quarters_cover_every_character_that_is_no_space_once(text):
    (spans,) = quarter_spans([text])
    covered = [i for start, end in spans for i in range(start, end)]
    assert covered == [i for i, c in enumerate(text) if not c.isspace()]
    assert all(1 <= end - start <= 4 for start, end in spans)
    assert spans.dtype == np.int32
    assert spans.shape[1:] == (2,)


@given(anything)
def test_words_cover_every_character_that_is_no_space_once(text):
    (spans,) = word_spans([text])
    covered = [i for start, end in spans for i in range(start, end)]
    assert covered == [i for i, c in enumerate(text) if not c.isspace()]


def test_a_text_of_nothing_has_no_spans():
    assert [spans.shape for spans in quarter_spans(["", " \n"])] == [(0, 2), (0, 2)]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"threads": 0}, {"processes": 0}, {"max_tokens": 0}, {"dim": -1}),
        {"precision": "float16"},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        EmbedderOptions(**wrong)


def test_the_protocol_can_be_asked_for():
    assert isinstance(Counting(), Embedder)
    assert not isinstance(object(), Embedder)
