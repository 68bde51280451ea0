"""Words: tokens, stems, spans, and what a language's rules do."""

import pickle
import sys
import threading
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.data.corpora.stop_words import ENGLISH
from isthmus.data.corpora.words import Words, cut_chunk, folded
from isthmus.errors import ConfigError

WORDS = Words()
PLAIN = Words(stem=False, stop_words=())

# Combining iota becomes a letter of its own in upper case, even where it stands alone.
anything = st.text(st.characters(exclude_characters="\u0345", codec=None), max_size=60)
texts = st.text(st.sampled_from("abzXYZ019 .,-+#'’_\n\tßŉİıſKéß́̈ǰﬁ²½βΣς東京カかภาनम्’‐"), max_size=40)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The neural networks are running.", ["neural", "network", "run"]),
        ("x-ray X-Rays X‑ray", ["x-ray"] * 3),
        ("p53 and IL-6, covid-19; SARS-CoV-2", ["p53", "il-6", "covid-19", "sar", "cov-2"]),
        ("C++, C# and f#.", ["c++", "c#", "f#"]),
        ("state-of-the-art", ["state", "art"]),
        ("1990-1995", ["1990", "1995"]),
        ("3.5 mm, 1,000 and 2.0.1rc1", ["3.5", "mm", "1,000", "2.0.1", "rc1"]),
        ("the U.S.A. e.g. i.e.", ["usa"]),
        ("Einstein's don’t can't", ["einstein"]),
        ("n_components=3, torch.nn", ["n", "compon", "3", "torch", "nn"]),
        ("Java™ 37℃ 5²", ["java", "37", "52"]),
        ("ﬁnally ＷＩＤＥ", ["final", "wide"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("", []),
        ("... --- !!! \x00 \ud800", []),
        ("the of and", []),
        ("東京都 ABC動物 山", ["東京", "京都", "abc", "動物", "山"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("a" * 65 + " " + "b" * 64, ["b" * 64]),
    ],
)
def test_words_of_a_text(text, expected):
    assert WORDS.tokens(text) == expected
    assert [stem for stem, _, _ in WORDS.spans(text)] == expected


def test_spans_count_in_the_text_as_it_is_written():
    text = "Ŝ’s ﬁne—the CAFE\u0301s; 東京都"
    found = {text[a:b]: stem for stem, a, b in WORDS.spans(text)}
    assert found == {
        "ﬁne": "fine",
        "CAFE\u0301s": "café",
        "東京": "東京",
        "京都": "京都",
        "Ŝ’s": "ŝ",
    }


@given(st.one_of(anything, texts))
@example("I-\u0e81")
def test_whatever_the_text_tokens_are_the_stems_of_the_spans(text):
    for words in (WORDS, PLAIN):
        spans = words.spans(text)
        tokens = words.tokens(text)
        assert tokens == [stem for stem, _, _ in spans]
        assert all(tokens)
        assert not any(token.isspace() or " " in token for token in tokens)
        assert all(0 <= a < b <= len(text) for _, a, b in spans)
        assert [a for _, a, _ in spans] == sorted(a for _, a, _ in spans)
        assert all(words.tokens(text[a:b])[0] for _, a, b in spans)


@given(st.one_of(anything, texts))
@example("\u0131\u0300")
def test_case_plays_no_part(text):
    for words in (WORDS, PLAIN):
        expected = words.tokens(text)
        for other in (text.upper(), text.lower(), text.casefold(), text.swapcase()):
            assert words.tokens(other) == expected


@pytest.mark.parametrize("around", ["{}", "a{}b", "{}-ray", "{}.a.", "{}++", "x-{}"])
def test_case_plays_no_part_for_letters_that_change_their_number(around):
    letters = [
        letter
        for letter in map(chr, range(sys.maxunicode + 1))
        if {len(letter.upper()), len(letter.lower()), len(letter.casefold())} != {1}
    ]
    assert len(letters) > 100
    for letter in letters:
        text = around.format(letter)
        assert PLAIN.tokens(text.upper()) == PLAIN.tokens(text) == PLAIN.tokens(text.lower())


@given(st.text(max_size=20), st.text(max_size=20))
def test_white_space_always_parts_words(first, second):
    assert WORDS.tokens(f"{first} {second}") == WORDS.tokens(first) + WORDS.tokens(second)


@given(st.text(max_size=30), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_compatible_forms_are_the_same_word(text, form):
    assert folded(unicodedata.normalize(form, text)) == folded(text)


def test_stop_words_are_those_of_the_language_unless_given():
    assert Words("german").tokens("the Häuser") == ["the", "haus"]
    assert Words("german", stop_words=("DIE",)).tokens("die Häuser") == ["haus"]
    assert Words(stop_words=()).tokens("the cats") == ["the", "cat"]
    assert Words(stop_words=("Cats",)).tokens("the cats, a cat") == ["the", "a", "cat"]


def test_without_stems_words_stay_as_they_are_and_any_language_will_do():
    assert Words("klingon", stem=False).tokens("The Networks") == ["the", "networks"]
    assert Words(stem=False).tokens("The Networks") == ["networks"]


def test_the_stop_list_is_short_folded_and_without_doubles():
    assert 150 < len(ENGLISH) < 300
    assert all(word == folded(word) for word in ENGLISH)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"language": "klingon"}, "no stemming rules for 'klingon'"), ({"longest": 0}, "longest=0")],
)
def test_what_cannot_work_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        Words(**settings)


def test_questions_keep_the_form_in_which_they_are_asked():
    assert WORDS.content_words("Which Networks learn a network, and WHY?") == {
        "network": "Networks",
        "learn": "learn",
    }
    assert WORDS.content_words("What is it?") == {}
    assert WORDS.stem_of("Learning") == "learn"


def test_breaks_stand_between_words_that_form_no_phrase():
    assert cut_chunk("One, two—three_x (a-b)", breaks=True) == [
        *("One", ",", "two", "—", "three", "_", "x", "(", "a-b", ")")
    ]


def test_words_are_values_and_travel_without_their_cache():
    words = Words()
    words.tokens("some words " * 10 + " ".join(map(str, range(1000))))
    copy = pickle.loads(pickle.dumps(words))  # noqa: S301 -- our own bytes
    assert copy == words == Words()
    assert hash(copy) == hash(words)
    assert len(pickle.dumps(words)) < 500
    assert copy.tokens("networks") == ["network"]


def test_memory_stays_flat_whatever_comes(monkeypatch):
    monkeypatch.setattr("isthmus.data.corpora.words._CACHED", 100)
    words = Words()
    for number in range(1000):
        assert words.tokens(f"w{number} ran") == [f"w{number}", "ran"]
    assert len(words._pieces) <= 100
    assert len(words._stems) <= 100
    assert words.tokens("x" * 5000) == []
    assert not any(len(chunk) > 64 for chunk in words._pieces)


def test_threads_may_share_words():
    forms = [f"{a}{b}ing" for a in ("work", "network", "learn", "generaliz") for b in range(500)]
    text, words, found = " ".join(forms), Words(), []
    threads = [threading.Thread(target=lambda: found.append(words.tokens(text))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Words().tokens(text)] * 4
