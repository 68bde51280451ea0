"""What a search gives back: hits whose scores are explained to the last digit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus.data.corpora.documents import Metadata

__all__ = ["Contribution", "Hit"]


@dataclass(frozen=True)
class Contribution:
    """What one concept added to a score, or took from it."""

    id: int
    """The concept: a latent of the index' dictionary."""
    name: str | None
    """Its name; None: it has none that could be trusted."""
    contribution: float
    """Its part of the score."""


@dataclass(frozen=True)
class Hit:
    """A passage that was found."""

    id: str
    """Document and number of the passage in it: ``document#number``."""
    score: float
    """The score; the contributions of all concepts and the other parts add up to it."""
    text: str
    """The passage, word for word."""
    document: str
    """The document's id."""
    title: str = ""
    """The document's heading."""
    source: str = ""
    """The file, relative to the corpus' root."""
    row: int | None = None
    """Line or row in the file, from 1; None: the document is the whole file."""
    start: int = 0
    """Where the passage begins in the document's text, in characters."""
    end: int = 0
    """Where it ends there."""
    start_byte: int | None = None
    """Where it begins in the file, in bytes; None: it does not stand there word for word."""
    end_byte: int | None = None
    """Where it ends there."""
    metadata: Metadata = field(default_factory=dict)
    """The document's metadata."""
    concepts: tuple[Contribution, ...] = ()
    """Every concept that query and passage share, the largest contribution first."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """The rest of the score by name ("dense", "words"); empty for a search by concepts alone."""
