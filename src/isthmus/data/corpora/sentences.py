"""Where sentences begin and end: rules, no model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from isthmus.data.corpora.abbreviations import ANYWHERE, BEFORE_NUMBERS, INSIDE, STARTERS
from isthmus.data.corpora.layout import blocks

__all__ = ["Span", "sentences"]

Span = tuple[int, int]
"""First character and the one behind the last."""

_OPEN = re.escape("\"'“‘«‹„‚([{<*_`¿¡「『（【《")
_CLOSE = re.escape("\"'”’»›)]}>*_`」』）】》")
_WIDE = "。！？｡．"
_NUMBERS = r"(?:\[\d[\d,;\s–-]{0,20}\])*"
# The stops, what closes behind them, and the numbers of references ("[12, 13]").
_STOPS = re.compile(
    rf"(?:\.(?:[^\S\n]?\.(?!\w))+|[.!?…‽।॥؟۔։።]+)[{_CLOSE}“‘]*{_NUMBERS}"
    rf"|[{_WIDE}]+[{_CLOSE}]*{_NUMBERS}"
)
_BEFORE = re.compile(rf"[^\s{_OPEN},;:/—–]+$")
_AFTER = re.compile(rf"\s*[{_OPEN}—–-]*\s?(?=(\S?))(\w*)")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_NUMBER = re.compile(r"[A-Z]\d+\w*|[IVX]{2,}|[B-HJ-Z]")
_WRITTEN = re.compile(r"\w")
_LETTER, _ALONE = re.compile(r"[^\W\d_]"), re.compile(r"\s\.\s")
_PLAIN_STOP = re.compile(r"(?<!\w)(\w{2,24})[.!?]\s+([^\W\d_])")
_LOOK = 40


def sentences(text: str) -> list[Span]:
    """Return the sentences of a text.

    A sentence ends at a stop that white space follows, unless the stop belongs to an abbreviation,
    an initial or an ellipsis; at full stops of Chinese and Japanese; and where the layout ends a
    block (see `blocks`). Stops that stand alone, as in tokenised texts, always end one, and in a
    text whose sentences begin in lower case any stop does. Line breaks inside a paragraph end
    nothing.

    Parameters
    ----------
    text
        Any text; nothing is too long or too odd.

    Returns
    -------
    list
        Half-open spans of characters in order, disjoint, without white space at either end; every
        character that is not white space lies in one.

    Examples
    --------
    >>> text = "Dr. Smith et al. saw it (Fig. 3). It cost 3.5 million, i.e. a lot!"
    >>> [text[a:b] for a, b in sentences(text)]
    ['Dr. Smith et al. saw it (Fig. 3).', 'It cost 3.5 million, i.e. a lot!']
    """
    small = _begins_small(text)
    found: list[Span] = []
    for block in blocks(text):
        cuts = [] if block.whole else list(_cuts(text, block.body, block.end, small))
        for a, b in zip([block.start, *cuts], [*cuts, block.end], strict=True):
            piece = text[a:b]
            trimmed = piece.strip()
            if trimmed:
                a += len(piece) - len(piece.lstrip())
                found.append((a, a + len(trimmed)))
    return found


def _cuts(text: str, start: int, end: int, small: bool) -> Iterator[int]:
    """Find where sentences end between ``start`` and ``end``."""
    last = seen = start
    written = False  # whether the sentence holds more than marks so far
    for stop in _STOPS.finditer(text, start, end):
        written = written or _WRITTEN.search(text, seen, stop.start()) is not None
        seen = stop.end()
        if written and _ends(text, stop, (last, end), small):
            last, written = seen, False
            yield last


def _ends(text: str, stop: re.Match[str], within: Span, small: bool) -> bool:
    """Say whether a stop ends the sentence that begins the span, the rest of a block."""
    mark, (start, end) = stop[0], within
    found = _AFTER.match(text, stop.end(), end)
    follower, word = (str(found[1]), str(found[2])) if found else ("", "")
    if not follower:  # the last one, whatever brackets and strokes still come
        return False
    if mark[0] in _WIDE:
        return True
    if not text[stop.end()].isspace():
        return False
    points = mark.count(".") + 3 * mark.count("…")
    if points < 2 and stop.start() > start and text[stop.start() - 1].isspace():
        return True
    if follower.islower() and (points > 1 or not small):
        return False
    if mark[0] != "." or points > 1:
        return True
    before = _BEFORE.search(text, max(start, stop.start() - _LOOK), stop.start())
    if before is None:
        return True
    if before[0].isdigit() and not text[start : before.start()].strip():
        return False  # a number by itself: that of a section or an item
    return not _abbreviates(before[0], follower, word, bare=mark == ".")


def _abbreviates(before: str, follower: str, word: str, *, bare: bool) -> bool:
    """Say whether a stop belongs to the word before it, and the sentence goes on behind it."""
    plain = before.lower()
    if plain in INSIDE:
        return bare
    if plain in BEFORE_NUMBERS:
        return bare and (follower.isnumeric() or _NUMBER.fullmatch(word) is not None)
    initial = len(before) == 1 and before.isupper()
    if not (initial or plain in ANYWHERE or _ACRONYM.fullmatch(before)):
        return False
    if word[:1].isupper():
        return word.lower() not in STARTERS or (initial and len(word) == 1)
    return word != ""


def _begins_small(text: str) -> bool:
    """Say whether the sentences of a text begin in lower case, with stops right behind words."""
    first = _LETTER.search(text)
    if first is None or not first[0].islower() or _ALONE.search(text):
        return False
    stops = [m for m in _PLAIN_STOP.finditer(text) if m[1].lower() not in INSIDE | ANYWHERE]
    small = sum(str(stop[2]).islower() for stop in stops)
    return small > len(stops) - small
