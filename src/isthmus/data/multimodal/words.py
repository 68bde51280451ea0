"""Texts that name a digit: single words, and templates of our own writing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError

__all__ = ["TEMPLATES", "TEXTS", "WORDS", "DigitTexts", "digit_texts"]

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""The digits in English."""
TEXTS = ("word", "templates")
"""What text may be: the word alone (the label in disguise), or one of 40 templates."""

_TRAIN = (
    "{word}",
    "the digit {word}",
    "number {word}",
    "a handwritten {word}",
    "someone says {word}",
    "this is a {word}",
    "the figure {digit}",
    "please write {word}",
    "he said {word}",
    "she wrote {word}",
    "it reads {word}",
    "i can see a {word}",
    "i hear the word {word}",
    "one digit and it is {word}",
    "read it as {word}",
    "the answer is {word}",
    "a {word} in ink",
    "a spoken {word}",
    "count up to {word}",
    "room {digit}",
    "line number {digit}",
    "press {digit} now",
    "type a {digit}",
    "dial {word}",
    "platform {digit}",
    "page {word} of the book",
    "{word} it is",
    "{word} on the board",
    "{digit} or in words {word}",
    "take bus {digit}",
)
_VALIDATION = (
    "a drawing of {word}",
    "they call it {word}",
    "key {digit}",
    "you should hear {word}",
    "{word} and nothing else",
)
_TEST = (
    "a picture of a {word}",
    "the sound of {word}",
    "digit {digit}",
    "that must be a {word}",
    "{word} written by hand",
)
TEMPLATES = (*_TRAIN, *_VALIDATION, *_TEST)
"""Forty templates: 30 for training, 5 for validation, 5 for test."""


@dataclass(frozen=True, eq=False)
class DigitTexts:
    """Texts with the digit that each names."""

    texts: tuple[str, ...]
    """The texts."""
    digits: NDArray[np.int64]
    """0 to 9, shape (n,)."""
    templates: NDArray[np.int64]
    """Number of the template, shape (n,)."""
    split: NDArray[np.uint8]
    """0 training, 1 validation, 2 test; shape (n,)."""
    length: int
    """Characters of the window that they need."""


def digit_texts(kind: str = "word") -> DigitTexts:
    """Return texts for the ten digits.

    Parameters
    ----------
    kind
        ``word``: the ten words, which are the same in every split (ten items in each);
        ``templates``: the ten digits in each of 40 templates, which never cross splits.

    Raises
    ------
    ConfigError
        If the kind is unknown.

    Examples
    --------
    >>> digit_texts("word").texts[7], digit_texts("templates").texts[17]
    ('seven', 'the digit seven')
    """
    if kind not in TEXTS:
        raise ConfigError(f"unknown text {kind!r}", fix=f"choose {' or '.join(TEXTS)}")
    if kind == "word":
        numbers = np.tile(np.arange(10), 3)
        split = np.repeat(np.arange(3), 10).astype(np.uint8)
        return DigitTexts(WORDS * 3, numbers, np.zeros(30, np.int64), split, 8)
    texts = tuple(t.format(word=WORDS[d], digit=d) for t in TEMPLATES for d in range(10))
    sizes = (len(_TRAIN), len(_VALIDATION), len(_TEST))
    return DigitTexts(
        texts,
        np.tile(np.arange(10), len(TEMPLATES)),
        np.repeat(np.arange(len(TEMPLATES)), 10),
        np.repeat(np.arange(3), [10 * size for size in sizes]).astype(np.uint8),
        32,
    )
