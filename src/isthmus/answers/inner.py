"""Quotations inside the words of a claim: they must stand in the cited passage as well."""

from __future__ import annotations

import re

from isthmus.answers.gate import Gate
from isthmus.answers.normal import DOUBLE, SINGLE, normal
from isthmus.answers.plain import in_one_line

__all__ = ["inner_quotations", "without_quote_marks"]

_MARKS = DOUBLE + "「」『』"
_DOUBLE = re.compile(rf"[{_MARKS}]+([^{_MARKS}]*)[{_MARKS}]*")
# An apostrophe in a word opens and closes nothing; an opening mark alone quotes what follows.
_SINGLE = re.compile(rf"(?<!\w)[{SINGLE}](.+?)[{SINGLE}](?!\w)|[‘‚‹](.+)")


def inner_quotations(claim: str, gate: Gate, place: int) -> str | None:
    """Return a claim whose quotations all stand in the passage; None if any does not.

    What is found is replaced by the passage's own characters (white space as single spaces), and
    set between new quote marks, so that nobody has to guess which marks belong together. A mark
    that is never closed quotes up to the end.

    Parameters
    ----------
    claim
        Plain text on one line.
    gate
        The passages.
    place
        Place of the cited passage among them.

    Examples
    --------
    >>> from isthmus.search.hits import Hit
    >>> gate = Gate([Hit("a#0", 1.0, "They call it an enfant  terrible.", "a")])
    >>> inner_quotations('An ""enfant terrible", they say.', gate, 0)
    'An “enfant terrible”, they say.'
    >>> inner_quotations('An "enfant" and a "giant.', gate, 0) is None
    True
    """
    for pattern, opening, closing in ((_DOUBLE, "“", "”"), (_SINGLE, "‘", "’")):
        parts, done = [], 0
        for found in pattern.finditer(claim):
            words = found[1] if found[1] is not None else found[2]
            own = _own(words, gate, place)
            if own is None:
                return None
            # Spaces at the edges of a quotation stay outside it.
            left, right = (
                " " if words[edge] == " " else "" for edge in (slice(1), slice(-1, None))
            )
            quoted = opening + own + closing if own else ""
            parts += [claim[done : found.start()], left, quoted, right]
            done = found.end()
        claim = "".join([*parts, claim[done:]])
    return " ".join(claim.split())


def without_quote_marks(text: str) -> str:
    """Return a text that quotes nothing.

    Examples
    --------
    >>> without_quote_marks("it’s “all” «over»")
    'it’s all over'
    """
    return text.translate(dict.fromkeys(map(ord, _MARKS)))


def _own(words: str, gate: Gate, place: int) -> str | None:
    """Return the passage's own characters for these words; empty where there are no words."""
    if not any(map(str.isalnum, words)):
        return ""
    sought = normal(words, fold_case=gate.config.fold_case).text.strip()
    span = gate.find(sought, place)
    return None if span is None else in_one_line(gate.hits[place].text[slice(*span)])
