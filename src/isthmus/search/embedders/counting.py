"""Tokens by a declared rule, for embedders that don't show theirs."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from isthmus.search.embedders.base import Spans

__all__ = ["quarter_spans", "word_spans"]

_QUARTER = re.compile(r"\S{1,4}")
_WORD = re.compile(r"\w+|[^\w\s]")


def quarter_spans(texts: Sequence[str]) -> list[Spans]:
    """Return spans of at most four characters, none of which goes beyond a word.

    Four characters to a token is what tokenizers of English come to; since no span crosses white
    space, the rule counts rather too many than too few.

    Examples
    --------
    >>> quarter_spans(["cooking it"])[0].tolist()
    [[0, 4], [4, 7], [8, 10]]
    """
    return [_spans(text, _QUARTER) for text in texts]


def word_spans(texts: Sequence[str]) -> list[Spans]:
    """Return spans of words, and of the signs between them.

    Examples
    --------
    >>> word_spans(["Stop, now"])[0].tolist()
    [[0, 4], [4, 5], [6, 9]]
    """
    return [_spans(text, _WORD) for text in texts]


def _spans(text: str, pattern: re.Pattern[str]) -> Spans:
    found = [match.span() for match in pattern.finditer(text)]
    return np.array(found, dtype=np.int32).reshape(-1, 2)
