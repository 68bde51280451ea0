"""Sentences: a table of cases made by hand, and properties of every text."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.data.corpora.layout import blocks
from isthmus.data.corpora.offsets import byte_offsets, locate
from isthmus.data.corpora.sentences import sentences

CASES = {
    "plain": "One is here. Two is here! Is three? Yes.|One is here.|Two is here!|Is three?|Yes.",
    "no stop at the end": "One. Two|One.|Two",
    "titles": "Dr. Smith met Mrs. Jones. They talked.|Dr. Smith met Mrs. Jones.|They talked.",
    "e.g.": "Use it, e.g. Python, i.e. Pascal. Good.|Use it, e.g. Python, i.e. Pascal.|Good.",
    "figures": "See Fig. 3 and Eq. (4). See No. 5.|See Fig. 3 and Eq. (4).|See No. 5.",
    "figure by letter": "See Fig. A1 and Sec. IV for it.|See Fig. A1 and Sec. IV for it.",
    "no as an answer": "Is it? No. Then go.|Is it?|No.|Then go.",
    "et al. and a year": "Smith et al. (2004) saw it.|Smith et al. (2004) saw it.",
    "et al. at the end": "As in Smith et al. The rest is new.|As in Smith et al.|The rest is new.",
    "country inside": "The U.S. Government paid. It did.|The U.S. Government paid.|It did.",
    "country at the end": "He left the U.S. She stayed.|He left the U.S.|She stayed.",
    "initials": "J. R. R. Tolkien wrote. We read.|J. R. R. Tolkien wrote.|We read.",
    "vitamin": "Take vitamin C. It helps.|Take vitamin C.|It helps.",
    "decimals": "It is 3.14 or .5 or 1,000.5. Fine.|It is 3.14 or .5 or 1,000.5.|Fine.",
    "a year": "It was 1990. Then came 1991.|It was 1990.|Then came 1991.",
    "month": "In Jan. 2020 it began. In May it ended.|In Jan. 2020 it began.|In May it ended.",
    "clock": "At 3 a.m. on Monday. At 5 p.m. We left.|At 3 a.m. on Monday.|At 5 p.m.|We left.",
    "firm": "Acme Inc. Japan is big. So is Acme Inc. The end.|Acme Inc. Japan is big."
    "|So is Acme Inc.|The end.",
    "ellipsis": "Wait... what? Well... Yes… no.|Wait... what?|Well...|Yes… no.",
    "spaced ellipsis": "It went on . . . and on. End.|It went on . . . and on.|End.",
    "quote": 'He said "Stop." Then he left.|He said "Stop."|Then he left.',
    "question in a quote": '"Why?" he asked. "So."|"Why?" he asked.|"So."',
    "curly": "“It is.” ‘So it is.’ Good.|“It is.”|‘So it is.’|Good.",
    "brackets": "(One is here.) Two (see there). Three.|(One is here.)|Two (see there).|Three.",
    "reference numbers": "We saw it.[2,3] It ended [4]. Yes.|We saw it.[2,3]|It ended [4].|Yes.",
    "emphasis": "**It is bold.** Then *not.* End.|**It is bold.**|Then *not.*|End.",
    "addresses": "See example.com/a.b?c=d. Go to v2.0.1 now.|See example.com/a.b?c=d."
    "|Go to v2.0.1 now.",
    "name with a mark": "Yahoo! is old. So?|Yahoo! is old.|So?",
    "marks together": "Really?! Yes!!! No...|Really?!|Yes!!!|No...",
    "lower case": "hello there. how are you? fine, e.g. this.|hello there.|how are you?"
    "|fine, e.g. this.",
    "tokenised": "the flow past a plate . the 12-in. wing (fig. 1) . h. l. dryden ."
    "|the flow past a plate .|the 12-in. wing (fig. 1) .|h. l. dryden .",
    "tokenised number": "it is small . .5 was used .|it is small .|.5 was used .",
    "Chinese": "这是一句。这是两句！“好吗？”他问|这是一句。|这是两句！|“好吗？”|他问",
    "Japanese": "はい。「はい。」そう。|はい。|「はい。」|そう。",
    "Hindi": "नमस्ते दुनिया। यह दूसरा है।|नमस्ते दुनिया।|यह दूसरा है।",
    "Arabic": "كيف حالك؟ أنا بخير.|كيف حالك؟|أنا بخير.",
    "wrapped lines": "One goes\non here. Two\ngoes on.|One goes\non here.|Two\ngoes on.",
    "a number where a line begins": "It grew by\n10. The end.|It grew by\n10.|The end.",
    "empty line": "No stop here\n\nNext part|No stop here|Next part",
    "windows lines": "One\r\n\r\nTwo. Three|One|Two.|Three",
    "heading": "# 1. Title. More\nText. End|# 1. Title. More|Text.|End",
    "underlined": "Title. More\n=====\nText|Title. More\n=====|Text",
    "line across": "One.\nTwo.\n---\nThree|One.|Two.\n---|Three",
    "items": "List:\n- one. Two.\n* three|List:|- one.|Two.|* three",
    "numbered items": "1. First one\n2. Second. Yes\n3) Third|1. First one|2. Second.|Yes|3) Third",
    "item with a number only": "1. 2. three|1. 2. three",
    "table": "| a. B | c |\n| d. E | f |\nText|| a. B | c ||| d. E | f ||Text",
    "code": "So:\n```py\nx. Y\n\nz. A\n```\nEnd. Z|So:|```py\nx. Y|z. A\n```|End.|Z",
    "open code": "```\na. B|```\na. B",
    "prompt": ">>> a. B\n1. C\n\nEnd. Z|>>> a. B\n1. C|End.|Z",
    "parameters": "Parameters\n---\nx : int\n    The one. Yes\ny : str\n    the other"
    "|Parameters\n---|x : int\n    The one.|Yes|y : str\n    the other",
    "fields": ":param x: the one\n:returns: it. All|:param x: the one|:returns: it.|All",
    "nothing": "",
    "white space": " \n\t\u3000\n ",
    "stops only": "... . !|... . !",
}


@pytest.mark.parametrize("name", CASES)
def test_cases_made_by_hand(name):
    text, _, expected = CASES[name].partition("|")
    if name == "table":  # its own strokes stand in the way
        text = "| a. B | c |\n| d. E | f |\nText"
        assert [text[a:b] for a, b in sentences(text)] == ["| a. B | c |", "| d. E | f |", "Text"]
        return
    assert [text[a:b] for a, b in sentences(text)] == (expected.split("|") if expected else [])


words = ["Dr.", "e.g.", "Fig. 3", "word", "Word", "A.", "x : y", "\x00", "\ud800", "é", "日本"]
stops = [".", "...", " . ", "?!", "。", '"', ")", "[1]"]
layout = [
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\x0b",
    "\u2028",
    "# ",
    "- ",
    "1. ",
    "```",
    ">>> ",
    "| a |",
]
pieces = st.sampled_from([*words, *stops, *layout, "---"])
texts = st.one_of(st.text(max_size=80), st.lists(pieces, max_size=25).map("".join))


@given(texts)
def test_spans_are_in_order_trimmed_and_cover_what_is_written(text):
    spans = sentences(text)
    covered, last = set(), 0
    for start, end in spans:
        assert last <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        covered.update(range(start, end))
        last = end
    assert all(place in covered or c.isspace() for place, c in enumerate(text))


@given(texts)
@example("0\r```")  # code that nothing ends begins no earlier than itself
def test_blocks_follow_each_other_from_the_first_character_to_the_last(text):
    found = list(blocks(text))
    edges = [0, *(block.end for block in found)]
    assert [block.start for block in found] == edges[:-1]
    assert edges[-1] == len(text)
    assert all(b.start <= b.body <= b.end for b in found)


@given(texts, texts)
def test_an_empty_line_parts_what_nothing_else_does(first, second):
    if any(mark in first + second for mark in ("```", "~~~", ">>>")):
        return
    apart = {a for a, _ in sentences(f"{first}\n\n\n{second}")}
    edge = len(first) + 3
    assert not any(a < edge - 3 and b > edge for a, b in sentences(f"{first}\n\n\n{second}"))
    assert second.strip() == "" or edge + len(second) - len(second.lstrip()) in apart


def test_a_run_on_is_left_whole():
    text = "and so on " * 10_000
    assert sentences(text) == [(0, len(text) - 1)]


@pytest.mark.parametrize(
    "part",
    [
        ".",
        ". ",
        "|",
        '"',
        "a.",
        "- ",
        "(",
        "\n",
        " ",
        "1. ",
        "x : ",
        "=",
        ".[1",
        "a: ",
        "e.g. ",
        "! ? ",
    ],
)
def test_hostile_texts_take_time_in_proportion(part):
    text = part * (200_000 // len(part)) + "x"
    begun = time.process_time()
    sentences(text)
    assert time.process_time() - begun < 3  # a tenth of it here; a quadratic rule takes minutes


# ---------------------------------------------------------------- lines, columns, bytes


def test_lines_and_columns_count_from_one():
    text = "one\n  two\nthree"
    assert locate(text, 0) == (1, 1)
    assert locate(text, 3, 9) == (2, 3)  # white space before the span's words is passed over
    assert locate(text, 4, 6) == (2, 1)  # white space only
    assert locate(text, text.index("three"), len(text)) == (3, 1)
    assert locate(text, len(text)) == (3, 6)


@given(texts, st.data())
def test_lines_and_columns_lead_back(text, data):
    place = data.draw(st.integers(0, len(text)))
    line, column = locate(text, place, place)
    assert len("".join(f"{x}\n" for x in text.split("\n")[: line - 1])) + column - 1 == place


@given(texts, st.data())
def test_bytes_are_those_of_utf8(text, data):
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    expected = {p: len(text[:p].encode("utf-8", "surrogatepass")) for p in places}
    assert byte_offsets(text, places) == expected
