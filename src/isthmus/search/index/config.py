"""How an index is made, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.search.index.manifest import Manifest
from isthmus.search.index.training import DictionarySettings
from isthmus.search.passages import Cutting

__all__ = ["Built", "Indexing", "Stage"]

Stage = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and how much it is in all (0: not known)."""


@dataclass(frozen=True)
class Indexing:
    """How an index is made."""

    cutting: Cutting = field(default_factory=Cutting)
    """How documents are cut into passages."""
    dictionary: DictionarySettings = field(default_factory=DictionarySettings)
    """What kind of dictionary is trained on them."""
    language: str = "english"
    """Language of the words, for their stems (Snowball's name)."""
    stem: bool = True
    """Whether words are cut down to their stems."""
    concepts: bool = True
    """Whether concepts are described and named."""
    stability: int = 0
    """Further trainings with other seeds, to tell how stable each concept is."""
    threads: int = 0
    """Threads; 0: as many as torch uses."""


@dataclass(frozen=True)
class Built:
    """What became of an index."""

    folder: Path
    """Where it is."""
    manifest: Manifest
    """Its head."""
    added: int
    """Documents that are new."""
    changed: int
    """Documents that were replaced."""
    deleted: int
    """Documents that are gone."""
    unchanged: int
    """Documents that were left as they were."""
    seconds: Mapping[str, float]
    """Time of each stage."""
    cut: str = ""
    """What was cut, in a line; empty: nothing was new."""
    notes: tuple[str, ...] = ()
    """What a user should know."""
