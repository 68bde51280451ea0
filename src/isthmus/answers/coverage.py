"""What of a question the shown passages contain: its words and its concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.answers.plain import in_one_line
from isthmus.data.corpora.words import Words
from isthmus.search.hits import Hit

__all__ = ["Coverage", "Covered", "coverage"]


@dataclass(frozen=True)
class Covered:
    """A word or a concept of the question, and the passages that contain it."""

    name: str
    """The word as it was asked, or the concept's name; empty for a concept without one."""
    passages: tuple[str, ...]
    """Ids of the passages that contain it, in their order; none: no passage does."""
    id: int | None = None
    """The concept's id; None for a word."""

    @property
    def label(self) -> str:
        """What it is called: the name, or the id of a concept without one."""
        return in_one_line(self.name, longest=60) if self.name else f"concept {self.id}"

    def json(self) -> dict[str, Any]:
        """Return it as `ask --json` prints it."""
        named = {"word": self.name} if self.id is None else {"id": self.id, "name": self.name}
        return {**named, "passages": list(self.passages)}


@dataclass(frozen=True)
class Coverage:
    """Which of the question's words and concepts stand in the passages that are shown.

    A fact to be looked at, not a judgement: passages with every word may not answer, and a
    passage in other words may.
    """

    words: tuple[Covered, ...] = ()
    """The question's content words; another form of the same stem counts."""
    concepts: tuple[Covered, ...] = ()
    """The question's concepts."""
    shared: bool = False
    """Whether any passage shares a word or a concept with the question."""

    def lines(self) -> list[str]:
        """Return it in words: what is there, and what is not."""
        said = []
        for what, items in (("words", self.words), ("concepts", self.concepts)):
            if not items:
                continue
            there = [item.label for item in items if item.passages]
            missing = [item.label for item in items if not item.passages]
            line = f"{len(there)} of the question's {len(items)} {what} stand in these passages"
            said.append(f"{line}; not: {', '.join(missing)}" if missing else line)
        return said

    def json(self) -> dict[str, Any]:
        """Return it as `ask --json` prints it."""
        return {
            "words": [item.json() for item in self.words],
            "concepts": [item.json() for item in self.concepts],
        }


def coverage(
    question: str,
    hits: Sequence[Hit],
    *,
    concepts: Sequence[tuple[int, str | None]] = (),
    words: Words | None = None,
) -> Coverage:
    """Look up the question's words and concepts in passages.

    Parameters
    ----------
    question
        The question.
    hits
        The passages that are shown. A word stands in one if it does in its text or its title.
    concepts
        Id and name of the question's concepts; a passage contains those that its hit lists.
    words
        How texts are taken apart; None: English.

    Examples
    --------
    >>> found = coverage("How tall is the tower?", [Hit("t#0", 1.0, "Towers are old.", "t")])
    >>> found.lines()
    ["1 of the question's 2 words stand in these passages; not: tall"]
    """
    words = words or Words()
    stems = {hit.id: set(words.tokens(f"{hit.title}\n{hit.text}")) for hit in hits}
    active = {hit.id: {part.id for part in hit.concepts} for hit in hits}
    asked = tuple(
        Covered(written, tuple(passage for passage, there in stems.items() if stem in there))
        for stem, written in words.content_words(question).items()
    )
    thought = tuple(
        Covered(name or "", tuple(p for p, there in active.items() if number in there), number)
        for number, name in concepts
    )
    shared = any(item.passages for item in (*asked, *thought)) or any(active.values())
    return Coverage(asked, thought, shared)
