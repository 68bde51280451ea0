"""Corpora that are known by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isthmus.data.corpora.choices import Choices
from isthmus.data.corpora.docstrings import Docstrings, open_docstrings
from isthmus.data.corpora.gathered import Gathered
from isthmus.data.corpora.kinds import KINDS
from isthmus.data.entries import Entry
from isthmus.data.fetching import Progress
from isthmus.data.named_sets import CATALOGUE, folder_of
from isthmus.errors import ConfigError

__all__ = ["NamedCorpus", "find_corpus"]


@dataclass(frozen=True)
class NamedCorpus:
    """A corpus of the catalogue."""

    entry: Entry
    """Its line in the catalogue."""

    def folder(self, progress: Progress | None = None) -> Path:
        """Return the folder that holds it, fetched if it must be.

        Raises
        ------
        MissingDataError
            If it is in none of the places and can't be fetched; says what was tried.
        ConfigError
            If it lies in no folder of its own.
        """
        if self.entry.comes_with:
            raise ConfigError(f"{self.entry.name} is made of {self.entry.comes_with}, not a folder")
        return folder_of(self.entry, progress)

    def settings(self) -> frozenset[str]:
        """Return the choices that mean something."""
        return frozenset({"limit"})

    def open(self, choices: Choices, progress: Progress | None = None) -> Gathered:
        """Open it, fetched if it must be."""
        if self.entry.comes_with:
            return open_docstrings(Docstrings(limit=choices.limit))
        path = self.folder(progress)
        if self.entry.folder:  # one of several files in a folder that they share
            path = next(p for p in (path / n for n in self._names()) if p.is_file())
        kind = next(kind for kind in KINDS if kind.accepts(path))
        return kind.open(path, choices)

    def _names(self) -> list[str]:
        return [name for held in self.entry.holds for name in (held, f"{held}.gz")]


def find_corpus(name: object) -> NamedCorpus | None:
    """Return the corpus of that name, or None."""
    for entry in CATALOGUE:
        if entry.kind == "corpus" and entry.name == name:
            return NamedCorpus(entry)
    return None
