"""Claims in the JSON of a model, found as soon as each is complete."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from isthmus.answers.claims import Draft

__all__ = ["Stream", "TooMuch", "draft_of", "json_of"]

_FIELD = 20_000
"""Characters of a claim or a quotation; what is longer is malformed."""
_THINKING = re.compile(r"<(think|thinking|reasoning)>", re.IGNORECASE)


class TooMuch(Exception):
    """A model that does not stop."""


class Stream:
    """Follows an answer while it comes, and hands on each claim when its object closes.

    What a model thinks between ``<think>`` tags before it answers is passed over.

    Parameters
    ----------
    on_draft
        Called with each claim.
    most_characters
        Characters that an answer may have.
    most
        Claims that are handed on.

    Examples
    --------
    >>> found = []
    >>> stream = Stream(found.append)
    >>> stream.feed('{"claims": [{"claim": "A.", "passage": 1, "quo')
    >>> len(found)
    0
    >>> stream.feed('te": "b"}, {"cl')
    >>> found
    [Draft(claim='A.', passage='1', quote='b')]
    """

    def __init__(
        self, on_draft: Callable[[Draft], None], most_characters: int = 200_000, most: int = 20
    ) -> None:
        self.on_draft, self.most_characters, self.most = on_draft, most_characters, most
        self.pieces: list[str] = []
        self._size = self._found = 0
        self._head: str | None = ""  # what may be thoughts; None: the answer has begun
        self._end = ""  # the tag that ends them
        self._open: list[str] = []  # brackets that are not closed yet
        self._base = 0  # how many of them enclose the object that is held
        self._held: list[str] = []
        self._quoted = self._escaped = False

    @property
    def text(self) -> str:
        """All that has come."""
        return "".join(self.pieces)

    def feed(self, piece: str) -> None:
        """Take the next piece of the answer.

        Raises
        ------
        TooMuch
            If the answer has grown beyond the limit.
        """
        self._size += len(piece)
        if self._size > self.most_characters:
            raise TooMuch
        self.pieces.append(piece)
        for character in self._after_thoughts(piece):
            self._take(character)

    def _after_thoughts(self, piece: str) -> str:
        """Return what belongs to the answer; nothing as long as the model thinks, or may do so."""
        if self._head is None:
            return piece
        self._head = (self._head + piece).lstrip()
        if not self._end:
            begun = _THINKING.match(self._head)
            if begun is None:
                if any(tag.startswith(self._head.lower()) for tag in ("<thinking", "<reasoning")):
                    return ""
                rest, self._head = self._head, None
                return rest
            self._end = f"</{begun[1].lower()}>"
        closing = self._head.lower().find(self._end)
        if closing < 0:
            self._head = self._head[-len(self._end) :]  # as much as may be the end's beginning
            return ""
        rest, self._head = self._head[closing + len(self._end) :], None
        return rest

    def _take(self, character: str) -> None:
        """Follow strings and brackets; an object in a list is held until it closes."""
        if self._held:
            self._held.append(character)
        if self._quoted:
            self._quoted = character != '"' or self._escaped
            self._escaped = character == "\\" and not self._escaped
        elif character == '"' and self._open:
            self._quoted = True
        elif character in "{[":
            if character == "{" and not self._held and self._open and self._open[-1] == "[":
                self._held, self._base = ["{"], len(self._open)
            self._open.append(character)
        elif character in "}]" and self._open:
            self._open.pop()
            if self._held and len(self._open) <= self._base:
                self._complete("".join(self._held))
                self._held = []

    def _complete(self, text: str) -> None:
        draft = draft_of(json_of(text))
        if draft is not None and self._found < self.most:
            self._found += 1
            self.on_draft(draft)


def json_of(text: str, *, loose: bool = False) -> Any:
    """Parse JSON; None where it is none, too deep, or holds numbers without end.

    Parameters
    ----------
    text
        What is parsed. Line ends within strings are let pass.
    loose
        Whether anything may follow.
    """
    decoder = json.JSONDecoder(strict=False)
    try:
        return decoder.raw_decode(text)[0] if loose else decoder.decode(text)
    except (ValueError, RecursionError):
        return None


def draft_of(item: Any) -> Draft | None:
    """Return the claim in a JSON value; None where it is malformed or far too long."""
    if not isinstance(item, dict):
        return None
    claim, passage, quote = item.get("claim"), item.get("passage"), item.get("quote")
    if isinstance(passage, int) and not isinstance(passage, bool) and abs(passage) < 1_000_000:
        passage = str(passage)
    quote = "" if quote is None else quote
    if not (isinstance(claim, str) and isinstance(passage, str) and isinstance(quote, str)):
        return None
    fits = max(len(claim), len(quote), len(passage)) <= _FIELD
    return Draft(claim, passage, quote) if fits else None
