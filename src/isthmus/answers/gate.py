"""The gate: every quotation is held against its passage, word for word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from isthmus.answers.citations import Verdict
from isthmus.answers.normal import NormalText, normal
from isthmus.answers.stitching import pieces_of
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError
from isthmus.search.hits import Hit

__all__ = ["Finding", "Gate", "GateConfig", "size_of"]

_EDGES = " \"'.,;:!?…([{)]}"
_NUMBERED = re.compile(r"(?:passage\s*)?[\[(#]?\s*(\d{1,6})\s*[\])]?", re.IGNORECASE)
_PACKED = re.compile(
    # Scripts that put no space between words: a place between two letters may end a word.
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]"
)
_WORD = re.compile(r"\w+(?:['.,-]\w+)*")


@dataclass(frozen=True)
class GateConfig:
    """What counts as a quotation."""

    words: int = 3
    """Words that a quotation has at least; where a script puts no spaces, each of its characters
    counts as one."""
    characters: int = 8
    """Letters and digits that it has at least; half as many in scripts without spaces."""
    fold_case: bool = False
    """Whether capitals and small letters are the same."""

    def __post_init__(self) -> None:
        if self.words < 1 or self.characters < 1:
            raise ConfigError("a quotation has at least one word and one character")


@dataclass(frozen=True)
class Finding:
    """What became of one quotation."""

    verdict: Verdict
    """The verdict."""
    hit: int | None = None
    """Place among the passages of the one that holds the quotation whole; for "misattributed" it
    is another one than was named."""
    start: int = 0
    """Where the quotation begins in that passage's text."""
    end: int = 0
    """Where it ends there."""
    reason: str = ""
    """Why it was not found, in words."""


class Gate:
    """Holds quotations against the passages that were shown.

    Both are compared in their normal form (`normal`): Unicode NFKC, white space, quote marks and
    dashes made alike, invisible characters left out; case counts. Full stops, commas, quote marks
    and brackets at the edges of a quotation may differ, its words may not, and it may not begin
    or end within a word or a number ("effective" is no quotation of "ineffective", nor "5 %" of
    "1.5 %").

    That a quotation stands in its passage says nothing about whether it supports a claim.

    Parameters
    ----------
    hits
        The passages that were shown; named by their id, or by their number from 1.
    config
        What counts as a quotation.

    Examples
    --------
    >>> gate = Gate([Hit("a#0", 1.0, "It is  330 metres tall. It is old.", "a")])
    >>> gate.check("it is 330 metres", "a#0").verdict
    'not found'
    >>> gate.check("“is 330 metres tall.”", "1")
    Finding(verdict='found', hit=0, start=3, end=23, reason='')
    >>> gate.check("330 metres tall. … is old", "1").verdict
    'stitched'
    """

    def __init__(self, hits: Sequence[Hit], config: GateConfig | None = None) -> None:
        self.hits = tuple(hits)
        self.config = config or GateConfig()
        self.words = Words()
        self._known: dict[int, frozenset[str]] = {}
        self._places = {hit.id: place for place, hit in reversed(list(enumerate(self.hits)))}

    @cached_property
    def forms(self) -> tuple[NormalText, ...]:
        """The normal form of each passage."""
        return tuple(normal(hit.text, fold_case=self.config.fold_case) for hit in self.hits)

    def words_of(self, place: int) -> frozenset[str]:
        """Return the stems of a passage and its title."""
        if place not in self._known:
            hit = self.hits[place]
            self._known[place] = self.tokens(f"{hit.title} {self.forms[place].text}")
        return self._known[place]

    def tokens(self, text: str) -> frozenset[str]:
        """Return the stems of a text."""
        return frozenset(self.words.tokens(text))

    def place_of(self, passage: str) -> int | None:
        """Return the place of a passage that is named by its id or number; None: not shown."""
        named = self._places.get(passage)
        if named is not None:
            return named
        number = _NUMBERED.fullmatch(passage.strip())
        place = int(number.group(1)) - 1 if number and number.group(1).isascii() else -1
        return place if 0 <= place < len(self.hits) else None

    def check(self, quote: str, passage: str) -> Finding:
        """Return what becomes of a quotation that is said to stand in a passage.

        Parameters
        ----------
        quote
            The quotation, as it was given.
        passage
            Id or number of the passage that is said to hold it.
        """
        sought = normal(quote, fold_case=self.config.fold_case).text.strip()
        if self.too_short(sought):
            return Finding("too short", reason="the quotation is too short to show anything")
        cited = self.place_of(passage)
        others = [place for place in range(len(self.hits)) if place != cited]
        if cited is not None and (span := self.find(sought, cited)):
            return Finding("found", cited, *span)
        for place in others:
            if span := self.find(sought, place):
                return Finding("misattributed", place, *span, reason=self._elsewhere(place, cited))
        if cited is None:
            return Finding("not found", reason="no such passage was shown")
        if pieces_of(sought, [self.forms[cited].text]):
            return Finding("stitched", reason="its pieces stand in the passage, but not together")
        if pieces_of(sought, [form.text for form in self.forms]):
            return Finding("stitched", reason="its pieces come from several passages")
        return Finding("not found", reason="these words do not stand in the passage")

    def too_short(self, sought: str) -> bool:
        """Say whether a quotation in its normal form has too few words, or stop words only."""
        words, characters = size_of(sought)
        few = words < self.config.words or characters < self.config.characters
        return few or not self.words.tokens(sought)

    def find(self, sought: str, place: int) -> tuple[int, int] | None:
        """Return the span of a passage's text that holds a quotation (in its normal form)."""
        form = self.forms[place]
        for wording in dict.fromkeys((sought, sought.strip(" \"'"), sought.strip(_EDGES))):
            start = form.text.find(wording) if wording else -1
            while start >= 0:
                end = start + len(wording)
                span = form.original(start, end)
                if span and _whole_words(form, self.hits[place].text, start, end):
                    return span
                start = form.text.find(wording, start + 1)
        return None

    def _elsewhere(self, place: int, cited: int | None) -> str:
        said = "a passage that was not shown" if cited is None else f"passage {cited + 1}"
        return f"the quotation stands in passage {place + 1}, not in {said}"


def size_of(text: str) -> tuple[int, int]:
    """Return how many words, and how many letters and digits, a text has.

    A character of a script without spaces counts as a word and as two letters.
    """
    packed = len(_PACKED.findall(text))
    rest = _PACKED.sub(" ", text)
    letters = sum(character.isalnum() for character in rest)
    return packed + len(_WORD.findall(rest)), 2 * packed + letters


def _whole_words(form: NormalText, original: str, start: int, end: int) -> bool:
    """Whether a span of a normal form begins and ends where words and numbers do."""
    text = form.text
    if start > 0 and _joined(text[start - 1], text[start]):
        return False
    if start > 0 and text[start].isdigit() and _number_before(text, start):
        return False
    if end < len(text) and _joined(text[end - 1], text[end]):
        return text[end - 1].isalpha() and _is_raised(original[form.starts[end]])
    return not (end + 1 < len(text) and text[end - 1].isdigit() and _number_after(text, end))


def _joined(left: str, right: str) -> bool:
    """Whether two neighbours belong to one word."""
    if _PACKED.match(left) or _PACKED.match(right):
        return False
    goes_on = right.isalnum() or right == "_" or unicodedata.combining(right) > 0
    return goes_on and (left.isalnum() or left == "_")


def _number_before(text: str, start: int) -> bool:
    """Whether a digit goes on from a decimal point or a minus sign before it."""
    sign = text[start - 1]
    before = text[start - 2] if start > 1 else " "
    if sign in ".,":
        return before.isdigit()
    return sign == "-" and not (before.isalnum() or before in ")]")


def _number_after(text: str, end: int) -> bool:
    return text[end] in ".," and text[end + 1].isdigit()


def _is_raised(character: str) -> bool:
    """Whether it is a superscript, as the number of a footnote after a word is."""
    return unicodedata.decomposition(character).startswith("<super>")
