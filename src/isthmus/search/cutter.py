"""Cuts documents for an embedder, and makes sure by its own count that every passage fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.documents import Document
from isthmus.search.passages import Cutting, Passage, cut, embedding_text

__all__ = ["CutReport", "Cutter", "TokenSpans"]

TokenSpans = Callable[[Sequence[str]], list[NDArray[np.int32]]]
"""For each text the characters (T, 2) of each of its tokens, special ones left out."""


@dataclass(frozen=True)
class CutReport:
    """What was cut."""

    room: int
    """Tokens that a passage may have, its title included."""
    documents: int = 0
    """Documents that were looked at."""
    cut: int = 0
    """Documents that were too long and became several passages."""
    passages: int = 0
    """Passages that they gave."""
    tokens: int = 0
    """Tokens of all texts, titles not counted."""
    longest: int = 0
    """Tokens of the longest text."""
    untitled: int = 0
    """Documents whose title was left out, for it takes more than half of a passage."""
    overfull: int = 0
    """Passages that do not fit but have no place to be cut at; the embedder cuts them."""

    def __str__(self) -> str:
        r"""Say it in a line.

        >>> print(CutReport(254, documents=10, cut=1, passages=11, tokens=1200, longest=300))
        1 of 10 documents had more than 254 tokens and were cut; 11 passages, 1,200 tokens
        """
        said = (
            f"{self.cut:,} of {self.documents:,} documents had more than {self.room:,} tokens "
            f"and were cut; {self.passages:,} passages, {self.tokens:,} tokens"
        )
        if self.untitled:
            said += f"; {self.untitled:,} titles are too long to be embedded"
        if self.overfull:
            said += f"; {self.overfull:,} passages do not fit and lose their ends"
        return said


class Cutter:
    """Cuts documents into passages that fit an embedder by its own count.

    A piece of a text need not have the tokens that it had inside the text; passages are counted
    again by themselves, title included, and cut smaller where one does not fit.

    Parameters
    ----------
    token_spans
        The embedder's tokens, as its method of that name returns them.
    limit
        Tokens that it takes, special tokens taken off; None: any number.
    cutting
        How to cut.

    Raises
    ------
    ConfigError
        As `Cutting.room`.
    """

    def __init__(
        self, token_spans: TokenSpans, limit: int | None, cutting: Cutting | None = None
    ) -> None:
        self.token_spans, self.limit = token_spans, limit
        self.cutting = Cutting() if cutting is None else cutting
        self.report = CutReport(self.cutting.room(limit))

    def cut(self, documents: Sequence[Document]) -> list[list[Passage]]:
        """Cut some documents; the report grows by them."""
        texts = self.token_spans([document.text for document in documents])
        titles = self._title_tokens(documents)
        found = []
        for document, spans, title in zip(documents, texts, titles, strict=True):
            passages, overfull = self._fitting(document, spans, title)
            found.append(passages)
            was = self.report
            self.report = replace(
                was,
                documents=was.documents + 1,
                cut=was.cut + (len(passages) > 1),
                passages=was.passages + len(passages),
                tokens=was.tokens + len(spans),
                longest=max(was.longest, len(spans)),
                untitled=was.untitled + (title > 0 and not all(p.titled for p in passages)),
                overfull=was.overfull + overfull,
            )
        return found

    def _title_tokens(self, documents: Sequence[Document]) -> list[int]:
        titles = [document.title if self.cutting.titled else "" for document in documents]
        kinds = list(dict.fromkeys(filter(None, titles)))
        counted = dict(zip(kinds, map(len, self.token_spans(kinds)), strict=True)) if kinds else {}
        return [counted.get(title, 0) for title in titles]

    def _fitting(
        self, document: Document, spans: NDArray[np.int32], title: int
    ) -> tuple[list[Passage], int]:
        """Cut a document, smaller and smaller until each passage fits; count those that don't."""
        room, spare = self.report.room, 0
        while True:
            passages = cut(document, spans, self.cutting, self.limit, title, spare)
            if len(passages) == 1 and passages[0].tokens + title < room - room // 8:
                return passages, 0  # far from the limit: no need to count again
            texts = [embedding_text(passage, document) for passage in passages]
            excess = [len(tokens) - room for tokens in self.token_spans(texts)]
            worst = max(excess, default=0)
            if worst <= 0 or spare >= room:
                return passages, sum(e > 0 for e in excess)
            spare = min(room, max(2 * spare, spare + worst))
