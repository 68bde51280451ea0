"""Quotations that were put together from pieces."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["pieces_of"]

_WORD = re.compile(r"\w+")
_ELLIPSIS = re.compile(r"\s*[\[(]?\s*\.(?:\s?\.){2,}\s*[\])]?\s*")
_LEAST = 3
"""Words of a piece, where no ellipsis says where pieces end."""
_MOST = 2000
"""Words of a quotation that is looked at."""


def pieces_of(quote: str, texts: Sequence[str]) -> list[str]:
    """Return the pieces that a quotation was put together from; none where it was not.

    Pieces are runs of words that stand in one of the texts, at least two words between ellipses,
    or at least three of them where there are none. Every word must belong to a piece, and there
    are at least two.

    Parameters
    ----------
    quote
        The quotation in its normal form.
    texts
        Texts in their normal form.

    Examples
    --------
    >>> pieces_of("the cat sat on a warm roof", ["On the mat the cat sat. We sat on a warm roof."])
    ['the cat sat', 'on a warm roof']
    """
    padded = [f" {' '.join(_WORD.findall(text))} " for text in texts]
    parts = [_WORD.findall(part) for part in _ELLIPSIS.split(quote)]
    parts = [part for part in parts if part]
    if len(parts) > 1 and all(len(part) > 1 and _stands(part, padded) for part in parts):
        return [" ".join(part) for part in parts]
    words = [word for part in parts for word in part]
    if len(words) > _MOST:
        return []
    found = _covered(words, padded)
    return found if len(found) > 1 else []


def _covered(words: list[str], padded: list[str]) -> list[str]:
    """Take the longest piece from the left, then the longest from there, until the words end."""
    found, start = [], 0
    while start < len(words):
        end = start + _LEAST
        if end > len(words) or not _stands(words[start:end], padded):
            return []
        while end < len(words) and _stands(words[start : end + 1], padded):
            end += 1
        # What is left must be a piece of its own: give it words of this one if it is too short.
        if 0 < len(words) - end < _LEAST:
            end = max(start + _LEAST, len(words) - _LEAST)
        found.append(" ".join(words[start:end]))
        start = end
    return found


def _stands(words: list[str], padded: list[str]) -> bool:
    piece = f" {' '.join(words)} "
    return any(piece in text for text in padded)
