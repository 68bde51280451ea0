"""Texts made comparable, and texts made harmless."""

import itertools
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from answer_toys import ODD
from isthmus.answers.normal import is_ignorable, normal
from isthmus.answers.plain import in_one_line, plain, without_links

odd = st.one_of(st.text(max_size=60), st.text(alphabet=sorted(set(ODD)), max_size=60))


# ---------------------------------------------------------------- the normal form


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a \t\r\n\u00a0\u2003 b", "a b"),
        (" a ", " a "),
        ("“a” «b» ‘c’ d′", '"a" "b" \'c\' d\''),
        ("a–b—c−d‑e", "a-b-c-d-e"),
        ("wait…", "wait..."),
        ("cafe\u0301 \u1e9b\u0323", "café ṩ"),
        ("ﬁne ½ m² Ⅳ ｆｕｌｌ", "fine 1⁄2 m2 IV full"),
        ("a\u200bb\u00adc\u2066d\ufe0fe\x00f\ufefff", "abcdeff"),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국"),
        ("e\u200d\u0301", "é"),
        ("a \u0301b", "a \u0301b"),
        ("´a¨", "'a¨"),
        ("\ud800x", "x"),
        ("", ""),
    ],
)
def test_the_normal_form(text, expected):
    assert normal(text).text == expected


def test_case_is_folded_only_where_that_is_asked_for():
    assert normal("Straße").text == "Straße"
    assert normal("Straße", fold_case=True).text == "strasse"


@settings(max_examples=300, deadline=None)
@given(odd)
def test_every_character_of_the_normal_form_comes_from_a_place_in_order(text):
    form = normal(text)
    assert len(form.text) == len(form.starts) == len(form.ends)
    assert all(0 <= a < b <= len(text) for a, b in zip(form.starts, form.ends, strict=True))
    assert list(form.starts) == sorted(form.starts)
    pairs = sorted(set(zip(form.starts, form.ends, strict=True)))
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(pairs))
    for start, end in pairs:
        inside = [i for i, a in enumerate(form.starts) if a == start]
        assert normal(text[start:end]).text == form.text[inside[0] : inside[-1] + 1]


@settings(max_examples=300, deadline=None)
@given(odd)
def test_the_normal_form_is_its_own_normal_form_and_near_nfkc(text):
    once = normal(text).text
    assert normal(once).text == once
    kept = "".join(c for c in text if not is_ignorable(c))
    if kept.isascii():
        assert once == " ".join(f"|{kept}|".split())[1:-1].replace("`", "'")


@settings(max_examples=300, deadline=None)
@given(odd, st.integers(0, 60), st.integers(0, 60))
def test_a_span_leads_back_to_the_characters_it_was_made_of(text, a, b):
    form = normal(text)
    span = form.original(a, b)
    if span is None:
        cut = {0: False, len(form.text): False}
        for i in range(1, len(form.text)):
            cut[i] = form.starts[i - 1] == form.starts[i]
        assert not 0 <= a < b <= len(form.text) or cut[a] or cut[b]
    else:
        assert normal(text[slice(*span)]).text == form.text[a:b]


def test_long_piles_of_marks_take_no_time():
    begun = time.perf_counter()
    assert len(normal("a" + "\u0301" * 20_000).text) > 100
    assert time.perf_counter() - begun < 5


# ---------------------------------------------------------------- plain text


@settings(max_examples=300, deadline=None)
@given(odd, st.booleans())
def test_plain_text_acts_on_nothing(text, visible):
    made = plain(text, visible=visible)
    for place, character in enumerate(made):
        kind = unicodedata.category(character)
        assert kind not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or character in "\n\t\u200c\u200d"
        if character in "\u200c\u200d":
            assert made[place - 1] > "\u02ff" < made[place + 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b]0;title\x07a\x1b[2J\x1b[1;31mb\x9b5mc", "abc"),
        ("a\r\nb\u2028c\x85d", "a\n\nb\nc\nd"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\u200cb", "ab"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("\u202etxt.exe\u2066\U000e0041", "txt.exe"),
        ("a\u00a0b\x7f", "a b"),
    ],
)
def test_what_acts_is_left_out(text, expected):
    assert plain(text, visible=False) == expected


def test_what_is_taken_from_a_quotation_is_named():
    assert plain("a\x1b[0m\u200bb") == "a<U+001B>[0m<U+200B>b"


def test_a_line_is_one_line():
    assert in_one_line(" a\n\n b\u2029c ") == "a b c"
    assert in_one_line("abc def", longest=7) == "abc def"
    assert in_one_line("abc defg", longest=5) == "abc…"


LINKS = (
    "https://evil.example/?q=secret",
    "HTTP://EVIL.example",
    "hxxp://evil.example/a",
    "ftp://evil.example",
    "https:/\u200b/evil.example/x",
    "ｈｔｔｐｓ：／／evil.example/x",
    "//evil.example/x",
    "\\\\evil.example\\share",
    "www.evil.example",
    "evil.example/collect?d=1",
    "evil.example:8080/x",
    "evil.example?d=1",
    "10.0.0.1/x",
    "mailto:a@evil.example",
    "javascript:alert(1)",
    "data:text/html;base64,AAAA",
    "![a](evil.example)",
    "![a](https://evil.example/?q=1 'title')",
    "[click](evil)",
    "[click]( https://evil.example )",
    "[click][ref]",
    "[ref]: https://evil.example",
    '<img src="https://evil.example/x">',
    "<a href=evil>",
    "<script>",
    "<https://evil.example>",
)


@pytest.mark.parametrize("link", LINKS)
def test_links_and_images_are_taken_out(link):
    made = without_links(f"before {link} after")
    assert made.startswith("before ")
    assert made.endswith(" after")
    assert "(link removed)" in made
    for part in ("evil.example", "://", "javascript", "](", "<img", "<a", "10.0.0.1", "data:"):
        assert part not in made


@pytest.mark.parametrize(
    "text",
    [
        "a/b and c",
        "e.g. this",
        "at 10:30 (see [1])",
        "x < y > z",
        "p.12/13",
        "f(x) [a]",
        "U.S. v. B",
    ],
)
def test_what_is_no_link_stays(text):
    assert without_links(text) == text


@pytest.mark.parametrize(
    ("link", "made"),
    [
        ("https://good.example/a", "https(:)//good.example/a"),
        ("https://good.example/a.", "https(:)//good.example/a."),
        ("www.good.example", "www(.)good(.)example"),
        ("https://good.example/a?q=secret", "(link removed)"),
        ("https://good.example/", "(link removed)"),
        ("https://good.example", "(link removed)"),
        ("[x](https://good.example/a)", "(link removed)"),
    ],
)
def test_an_address_of_the_passage_is_shown_inert(link, made):
    passage = "Look at https://good.example/a, or www.good.example."
    assert without_links(f"See {link}", passage) == f"See {made}"
