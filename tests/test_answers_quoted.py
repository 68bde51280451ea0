"""Quoted answers: the sentence that is marked, the place it is found at, and what is covered."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from answer_toys import hits_of, text_of
from isthmus.answers import Answer, Covered, coverage, quoted_answer
from isthmus.answers.choosing import ChoiceConfig, choose_sentences, leans_on_the_last
from isthmus.answers.citations import Citations, cite
from isthmus.errors import ConfigError, DataError
from isthmus.search.hits import Contribution, Hit

TOWER = "The tower was built in 1889. It is 330 metres tall. Paint keeps the iron from rust."
BRIDGE = "The bridge is made of steel. Fog often hides the bridge."
QUESTION = "How tall is the tower?"


def tower(**more) -> Hit:
    return Hit("t#0", 1.0, TOWER, "t", **more)


def bridge(**more) -> Hit:
    return Hit("b#0", 0.5, BRIDGE, "b", **more)


# ---------------------------------------------------------------- citations


def test_a_citation_says_where_the_quotation_stands():
    text = "Über “Türme”: sie sind hoch."
    document = "Vorwort. " + text
    hit = Hit(
        *("d#1", 1.0, text, "d"),
        source="türme.md",
        row=3,
        start=9,
        end=9 + len(text),
        start_byte=100 + len(b"Vorwort. "),
    )
    made = cite(hit, 14, 28, 2)
    assert made.quote == "sie sind hoch." == document[made.start : made.end]
    file = b"x" * 100 + document.encode()
    assert file[made.start_byte : made.end_byte].decode() == made.quote
    assert made.place == "türme.md, line 3, characters 23-37"
    assert (made.before, made.after) == (text[:14], "")
    assert made.json() == {
        "number": 2,
        "passage": "d#1",
        "source": "türme.md",
        "row": 3,
        "start": 23,
        "end": 37,
        "start_byte": made.start_byte,
        "end_byte": made.end_byte,
        "quote": "sie sind hoch.",
        "verdict": "found",
        "title": "",
    }


def test_bytes_are_unknown_where_the_text_does_not_stand_in_the_file():
    made = cite(tower(), 0, 9, 1)
    assert made.start_byte is made.end_byte is None


@pytest.mark.parametrize(("start", "end"), [(0, 0), (3, 2), (-1, 4), (0, len(TOWER) + 1)])
def test_a_quotation_must_lie_in_its_passage(start, end):
    with pytest.raises(DataError, match="no quotation at characters"):
        cite(tower(), start, end, 1)


def test_a_passage_must_fit_its_place():
    with pytest.raises(DataError, match="does not fit its place"):
        cite(tower(start=5, end=7), 0, 9, 1)


def test_what_is_shown_of_a_quotation_is_one_harmless_line():
    hit = Hit("a#0", 1.0, "one\n\x1b[2Jtwo three\u202e four\tfive", "a", source="a\nb.md")
    made = cite(hit, 8, 21, 1)
    assert made.quote == "two three\u202e fo"
    assert made.shown() == "one <U+001B>[2J>>two three<U+202E> fo<<ur five"
    assert made.shown(context=0) == ">>two three<U+202E> fo<<"
    assert "\n" not in made.place
    long = cite(Hit("a#0", 1.0, "word " * 100 + "HERE" + " word" * 100, "a"), 500, 504, 1)
    assert long.shown(12) == "…word word >>HERE<< word word…"


def test_numbers_are_given_once():
    made = Citations([tower(), bridge()])
    assert [made.of(*key).number for key in ((1, 0, 4), (0, 0, 4), (1, 0, 4), (1, 0, 5))] == [
        *(1, 2, 1, 3)
    ]
    assert [c.number for c in made.all()] == [1, 2, 3]


# ---------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    "sentence",
    [
        "It is tall.",
        "They left.",
        "“This was it”",
        "However, he left.",
        "- These are",
        "the latter is",
    ],
)
def test_sentences_that_lean_on_the_one_before(sentence):
    assert leans_on_the_last(sentence)


@pytest.mark.parametrize(
    "sentence", ["Items are tall.", "Thistles grow.", "Iron. It", "", "Hence iron"]
)
def test_sentences_that_stand_alone(sentence):
    assert not leans_on_the_last(sentence)


def test_the_score_without_vectors_is_the_share_of_the_questions_words_by_idf():
    # "iron" stands in both sentences, "rust" in one; idf = ln(1 + (n - df + .5) / (df + .5)).
    (made,) = choose_sentences(
        "Does iron rust?",
        ["Iron is old. Old iron may rust."],
        config=ChoiceConfig(overlap=1.0),
    )
    both, one = np.log1p(0.5 / 2.5), np.log1p(1.5 / 1.5)
    assert made.score == pytest.approx((both + one) / (both + one))
    assert (made.start, made.end) == (13, 31)
    (made,) = choose_sentences(
        "Does iron rust?", ["Iron is old. Iron is grey."], config=ChoiceConfig(overlap=1.0)
    )
    none = np.log1p(2.5 / 0.5)
    assert made.start == 0
    assert made.score == pytest.approx(both / (both + none))


def test_a_sentence_that_leans_inherits_what_was_said_before_it():
    (made,) = choose_sentences(QUESTION, [TOWER])
    assert TOWER[made.start : made.end] == "It is 330 metres tall."
    assert made.quote_start == 0
    (alone,) = choose_sentences(QUESTION, [TOWER], config=ChoiceConfig(context=0.0))
    assert TOWER[alone.start : alone.end] == "The tower was built in 1889."


def test_a_quotation_goes_back_two_sentences_at_most():
    text = "Iron is old. It is grey. This rusts. They say it is heavy metal."
    (made,) = choose_sentences("What is heavy metal?", [text])
    assert text[made.start :] == "They say it is heavy metal."
    assert text[made.quote_start :].startswith("It is grey.")


def test_vectors_decide_where_words_do_not():
    axes = {"How high?": [1, 0], "Iron is grey.": [0, 1], "330 metres.": [0.8, 0.6]}

    def vectors(texts):
        return np.array([axes[text] for text in texts], np.float32)

    (made,) = choose_sentences("How high?", ["Iron is grey. 330 metres."], vectors=vectors)
    assert made.start == 14
    assert made.score == pytest.approx(0.8)
    half = ChoiceConfig(similarity=0.5)
    (made,) = choose_sentences("How high?", ["330 metres."], vectors=vectors, config=half)
    assert made.score == pytest.approx(0.4)


def test_what_a_leaning_sentence_leans_on_raises_its_cosine():
    axes = {"Q": [1, 0, 0], "A b.": [0.6, 0.8, 0], "It c.": [0.6, 0, 0.8]}

    def vectors(texts):
        return np.array([axes[text] for text in texts])

    (made,) = choose_sentences("Q", ["A b. It c."], vectors=vectors)
    pair = 1.2 / np.sqrt(1.2**2 + 0.8**2 + 0.8**2)
    assert made.score == pytest.approx(0.6 + 0.5 * (pair - 0.6))
    # The first sentence of another passage has nothing before it to lean on.
    first, second = choose_sentences("Q", ["A b.", "It c."], vectors=vectors)
    assert first.score == second.score == pytest.approx(0.6)
    assert second.quote_start == 0


def test_a_passage_without_words_has_no_sentence():
    assert choose_sentences("iron", ["", "  \n"]) == [None, None]
    found = choose_sentences("iron", ["", "Iron.", " "], vectors=lambda t: np.ones((len(t), 2)))
    assert [sentence is None for sentence in found] == [True, False, True]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (lambda t: np.full((len(t), 2), np.nan), "can't be used"),
        (lambda t: np.full((len(t), 2), np.inf), "can't be used"),
        (lambda t: np.ones((len(t) + 1, 2)), "can't be used"),
        (lambda t: np.ones(len(t)), "can't be used"),
        (lambda t: np.ones((len(t), 1 + len(t))), "different width"),
    ],
)
def test_vectors_that_can_not_be_used(vectors, message):
    with pytest.raises(DataError, match=message):
        choose_sentences(QUESTION, [TOWER], vectors=vectors)


@pytest.mark.parametrize(
    "weights", [{"overlap": -1.0}, {"similarity": np.nan}, {"context": np.inf}]
)
def test_weights_are_finite_and_not_negative(weights):
    with pytest.raises(ConfigError, match="finite and not negative"):
        ChoiceConfig(**weights)


# ---------------------------------------------------------------- answers


def test_a_quoted_answer():
    made = quoted_answer(QUESTION, [tower(source="t.md", title="The\ntower"), bridge()], passages=1)
    assert (made.mode, made.heading) == ("quoted", "Quoted from your corpus, not generated")
    assert made.text == (
        "[1] The tower (t.md, characters 0-51)\n"
        "    >>The tower was built in 1889. It is 330 metres tall.<<"
        " Paint keeps the iron from rust."
    )
    assert made.show() == (
        f"{made.heading}\n\n{made.text}\n\n2 of the question's 2 words stand in these passages"
    )
    assert made.found
    shown = made.json()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["question"] == QUESTION
    assert shown["mode"] == "quoted"
    assert shown["answer"] == made.text
    assert shown["citations"] == [made.citations[0].json()]
    assert shown["coverage"]["words"][0] == {"word": "tall", "passages": ["t#0"]}


def test_an_embedder_embeds_the_question_as_a_question():
    class Embedder:
        def embed(self, texts):
            return np.array([[0.0, 1.0] if "steel" in text else [1.0, 0.0] for text in texts])

        def embed_queries(self, texts):
            assert texts == ["Bridge?"]
            return np.array([[0.0, 2.0]])

    made = quoted_answer("Bridge?", [bridge()], embedder=Embedder())
    assert made.citations[0].quote == "The bridge is made of steel."


def test_the_first_passages_are_shown_in_the_order_of_the_search():
    hits = [bridge(), tower(), *hits_of(["The tower. " * 3])]
    made = quoted_answer(QUESTION, hits, passages=2)
    assert [c.passage for c in made.citations] == ["b#0", "t#0"]
    assert [c.number for c in made.citations] == [1, 2]


def test_a_sentence_that_two_passages_share_is_quoted_once():
    second = Hit("t#1", 0.9, TOWER[29:], "t", start=29, end=len(TOWER))
    first = replace(tower(), text=TOWER[:51], start=0, end=51)
    made = quoted_answer("What is 330 metres tall?", [first, second, bridge()])
    assert [c.passage for c in made.citations] == ["t#0", "b#0"]
    made = quoted_answer("Does paint keep rust away?", [tower(), second])
    assert [(c.passage, c.start) for c in made.citations] == [("t#0", 52)]


@pytest.mark.parametrize(
    ("question", "hits", "message"),
    [
        (QUESTION, [], "found no passage"),
        (QUESTION, [Hit("e#0", 1.0, " \n", "e")], "found no passage"),
        ("Why do cats purr?", [tower(), bridge()], "shares a word or a concept"),
    ],
)
def test_not_found_is_said_only_where_there_is_nothing(question, hits, message):
    made = quoted_answer(question, hits)
    assert (made.heading, made.citations, made.found) == ("Not found", (), False)
    assert message in made.text
    assert made.json()["citations"] == []


@pytest.mark.parametrize(
    ("question", "hit"),
    [
        ("Why do cats purr?", tower(concepts=(Contribution(3, "animals", 0.1),))),
        ("What is it?", tower()),  # stop words alone can't be missing
        ("Was there much paint on cats?", tower()),
    ],
)
def test_a_shared_word_or_concept_is_enough_whatever_the_score(question, hit):
    assert quoted_answer(question, [hit]).found


@pytest.mark.parametrize("question", ["", "  \n", "\u200b\x00", "x" * 10_001])
def test_questions_that_are_none(question):
    with pytest.raises(ConfigError, match="the question is"):
        quoted_answer(question, [tower()])


def test_at_least_one_passage_is_shown():
    with pytest.raises(ConfigError, match="at least one passage"):
        quoted_answer(QUESTION, [tower()], passages=0)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_every_quotation_stands_in_its_document(seed):
    chance = random.Random(seed)
    hits = hits_of([text_of(chance) for _ in range(3)])
    made = quoted_answer("How tall is the iron tower? ½ x-ray", hits)
    for citation in made.citations:
        hit = next(hit for hit in hits if hit.id == citation.passage)
        document = " " * hit.start + hit.text
        assert citation.quote == document[citation.start : citation.end]
        assert citation.quote.strip()
        assert citation.before + citation.quote + citation.after == hit.text


# ---------------------------------------------------------------- coverage


def test_coverage_looks_up_words_and_concepts():
    hits = [
        tower(title="Heights", concepts=(Contribution(3, "height", 0.4),)),
        bridge(concepts=(Contribution(3, "height", 0.1), Contribution(5, None, 0.2))),
    ]
    found = coverage(
        "How high are bridges and towers?", hits, concepts=[(3, "height"), (5, None), (8, "cats")]
    )
    assert found.words == (
        Covered("high", ()),
        Covered("bridges", ("b#0",)),
        Covered("towers", ("t#0",)),
    )
    assert found.concepts == (
        Covered("height", ("t#0", "b#0"), 3),
        Covered("", ("b#0",), 5),
        Covered("cats", (), 8),
    )
    assert found.lines() == [
        "2 of the question's 3 words stand in these passages; not: high",
        "2 of the question's 3 concepts stand in these passages; not: cats",
    ]
    assert found.json()["concepts"][1] == {"id": 5, "name": "", "passages": ["b#0"]}
    assert found.concepts[1].label == "concept 5"
    assert found.shared


def test_a_title_covers_a_word():
    assert coverage("towers", [Hit("a#0", 1.0, "text", "a", title="Tower")]).shared


def test_nothing_asked_is_nothing_covered():
    found = coverage("what is it", [tower()])
    assert (found.words, found.lines(), found.shared) == ((), [], False)


def test_warnings_are_shown():
    made = quoted_answer(QUESTION, [tower()], warnings=["the endpoint is away"])
    assert made.show().endswith("note: the endpoint is away")
    assert made.json()["warnings"] == ["the endpoint is away"]
    assert isinstance(made, Answer)
