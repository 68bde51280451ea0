"""Texts made comparable word for word, with the way back to the characters they came from."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["DOUBLE", "SINGLE", "NormalText", "is_ignorable", "normal"]

SINGLE = "'‘’‚‛`´′ʼ＇‹›"
"""Single quote marks, apostrophes, primes: all the same when words are compared."""
DOUBLE = '"“”„‟«»″＂〝〞〟'
"""Double quote marks, likewise."""
_DASHES = "‐‑‒–—―−﹘﹣－⁃"
_SAME = str.maketrans({**dict.fromkeys(SINGLE, "'"), **dict.fromkeys(DOUBLE, '"')}) | (
    str.maketrans(dict.fromkeys(_DASHES, "-"))
)
_LONGEST = 32
"""Characters that are normalised together at most; a longer pile of marks is no word."""


@dataclass(frozen=True)
class NormalText:
    """A text in its normal form, and where each of its characters stands in the original."""

    text: str
    """The normal form: NFKC, one space for any white space, plain quote marks and dashes, no
    invisible characters."""
    starts: tuple[int, ...]
    """For each character of `text`, where the original characters begin that it was made of."""
    ends: tuple[int, ...]
    """For each character of `text`, where those end."""

    def original(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the original's span for a span of `text`; None where it would cut a character.

        A ligature, a fraction or an ellipsis becomes several characters, which go together.
        """
        if not 0 <= start < end <= len(self.text):
            return None
        # Characters that were made together share where they begin.
        cut_left = start > 0 and self.starts[start - 1] == self.starts[start]
        cut_right = end < len(self.text) and self.starts[end] == self.starts[end - 1]
        return None if cut_left or cut_right else (self.starts[start], self.ends[end - 1])


def normal(text: str, *, fold_case: bool = False) -> NormalText:
    r"""Return the normal form of a text.

    Unicode NFKC is applied to each base character with the marks that belong to it, so that
    every character of the result can be followed back. White space of any length becomes one
    space, curly and straight quote marks and the many dashes become one, and characters without
    a shape of their own (zero width, direction, soft hyphens, controls) are left out.

    Parameters
    ----------
    text
        Any text, also with lone surrogates.
    fold_case
        Whether capitals become small letters.

    Examples
    --------
    >>> it = normal("ﬁne  “cafe\u0301”")
    >>> it.text
    'fine "café"'
    >>> it.original(0, 4), it.original(1, 4)
    ((0, 3), None)
    """
    made: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for piece, start, end in _pieces(text):
        if piece == " " and made and made[-1] == " ":
            ends[-1] = end
            continue
        shape = _shape(piece)
        made += shape.casefold() if fold_case else shape
        more = len(made) - len(starts)
        starts += [start] * more
        ends += [end] * more
    return NormalText("".join(made), tuple(starts), tuple(ends))


@functools.lru_cache(maxsize=1 << 14)
def is_ignorable(character: str) -> bool:
    """Say whether a character has no shape: formats, controls, variation selectors, fillers.

    White space is not ignorable, though some of it is a control character.
    """
    if character < "\x7f":
        return character < " " and not character.isspace()
    kind = unicodedata.category(character)
    if kind in ("Cf", "Cs") or (kind == "Cc" and not character.isspace()):
        return True
    code = ord(character)
    selectors = 0xFE00 <= code <= 0xFE0F or 0xE0000 <= code <= 0xE0FFF or 0x180B <= code <= 0x180F
    return selectors or code in (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0)


def _pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield what is normalised together, with its span: a character and the marks on it."""
    held, start, end = "", 0, 0
    for place, character in enumerate(text):
        if is_ignorable(character):
            continue
        character = " " if character.isspace() else character.translate(_SAME)
        if held and _belongs(held, character):
            held, end = held + character, place + 1
            continue
        if held:
            yield held, start, end
        held, start, end = character, place, place + 1
    if held:
        yield held, start, end


@functools.lru_cache(maxsize=1 << 14)
def _shape(piece: str) -> str:
    """Return the normal form of what is normalised together."""
    shape = unicodedata.normalize("NFKC", piece)
    if " " in shape and piece != " ":
        # An accent that stands alone would become a space and an accent on it.
        shape = unicodedata.normalize("NFC", piece)
    return shape.translate(_SAME)


@functools.lru_cache(maxsize=1 << 14)
def _belongs(held: str, character: str) -> bool:
    """Whether the normal form of both together is another than theirs one after the other."""
    if character < "\x80" or held == " " or len(held) >= _LONGEST:
        return False
    both = unicodedata.normalize("NFKC", held + character)
    return both != unicodedata.normalize("NFKC", held) + unicodedata.normalize("NFKC", character)
