"""Passages: pieces of documents that an embedder can take whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.documents import Document
from isthmus.data.corpora.offsets import byte_offsets
from isthmus.errors import ConfigError
from isthmus.search.cutting import pieces

__all__ = ["Cutting", "Passage", "byte_spans", "cut", "embedding_text"]

_LEAST, _USUAL = 16, 256


@dataclass(frozen=True)
class Passage:
    """A piece of a document's text."""

    document: str
    """The document's id."""
    number: int
    """Its place among the document's passages, from 0."""
    start: int
    """First character in the document's text."""
    end: int
    """The character behind the last one."""
    text: str
    """``document.text[start:end]``, word for word."""
    tokens: int
    """Tokens of the text by the embedder's count, the title's and special ones not counted."""
    titled: bool = False
    """Whether the title stands before the text when it is embedded."""

    @property
    def id(self) -> str:
        """Document and number: ``document#number``."""
        return f"{self.document}#{self.number}"


@dataclass(frozen=True)
class Cutting:
    """How documents are cut into passages."""

    size: int = 0
    """Tokens of a passage at most, its title included, by the embedder's own count; 0: as many as
    the embedder takes, and 256 for one that takes texts of any length."""
    overlap: int = 0
    """Tokens that a passage repeats of the one before it at most, in whole sentences."""
    titled: bool = True
    """Whether a document's title stands before each of its passages when it is embedded; left
    out where it would take more than half of a passage."""

    def __post_init__(self) -> None:
        if self.size and self.size < _LEAST:
            raise ConfigError(
                f"passages need at least {_LEAST} tokens",
                where=f"size={self.size}",
                fix="choose more, or 0 for as many as the embedder takes",
            )
        if self.overlap < 0 or (self.size and self.overlap >= self.size):
            raise ConfigError(
                "passages must overlap by less than their size",
                where=f"overlap={self.overlap}, size={self.size}",
            )

    def room(self, limit: int | None) -> int:
        """Return how many tokens a passage may have, title included.

        Parameters
        ----------
        limit
            What the embedder takes, special tokens taken off; None: texts of any length.

        Raises
        ------
        ConfigError
            If passages are to be longer than what the embedder takes, or no longer than what
            they overlap by.
        """
        room = self.size or (_USUAL if limit is None else limit)
        if limit is not None and room > limit:
            raise ConfigError(
                "the embedder would cut such passages in silence",
                where=f"size={self.size}",
                why=f"it takes {limit} tokens",
                fix=f"choose at most {limit}, or 0",
            )
        if self.overlap >= room:
            raise ConfigError(
                "passages must overlap by less than their size",
                where=f"overlap={self.overlap}, size={room}",
            )
        return room


def cut(
    document: Document,
    token_spans: NDArray[np.int32],
    cutting: Cutting,
    limit: int | None,
    title_tokens: int = 0,
    spare: int = 0,
) -> list[Passage]:
    """Cut a document into the least number of passages that fit, about equally long.

    Cuts fall between sentences; inside a sentence only where it is longer than a passage by
    itself, or where a scrap would be left over: then behind a comma or the like, else between
    words, else between tokens.

    Parameters
    ----------
    document
        What is cut.
    token_spans
        Characters (T, 2) of the text that each of the embedder's tokens stands for, in order.
    cutting
        How it is cut.
    limit
        Tokens that the embedder takes, special tokens taken off; None: any number.
    title_tokens
        Tokens of the title.
    spare
        Tokens that stay free in each passage, for what a tokeniser does at the cuts.

    Returns
    -------
    list
        The passages in order. Every token lies in one. Of a document without text there is one
        empty passage where its title is embedded, and none otherwise.

    Raises
    ------
    ConfigError
        As `Cutting.room`.
    """
    room = cutting.room(limit)
    titled = cutting.titled and bool(document.title.strip()) and title_tokens <= room // 2
    room = max(1, room - spare - (title_tokens if titled else 0))
    text = document.text
    if not text.strip():
        return [Passage(document.id, 0, 0, 0, "", 0, titled)] if titled else []
    found = pieces(text, token_spans, room, min(cutting.overlap, room - 1))
    return [
        Passage(document.id, number, start, end, text[start:end], tokens, titled)
        for number, (start, end, tokens) in enumerate(found)
    ]


def embedding_text(passage: Passage, document: Document) -> str:
    """Return what the embedder sees: title, a space, text; the text alone without a title."""
    return f"{document.title} {passage.text}".rstrip() if passage.titled else passage.text


def byte_spans(
    document: Document, passages: Sequence[Passage]
) -> list[tuple[int, int]] | list[None]:
    """Return the bytes of the file that each passage of a document stands at, in one pass.

    None for each where the text does not stand in the file word for word.

    Examples
    --------
    >>> document = Document("d", "naïve", offset=10)
    >>> byte_spans(document, [Passage("d", 0, 3, 5, "ve", 1)])
    [(14, 16)]
    """
    first = document.offset
    if first is None:
        return [None] * len(passages)
    places = byte_offsets(document.text, (p for x in passages for p in (x.start, x.end)))
    return [(first + places[x.start], first + places[x.end]) for x in passages]
