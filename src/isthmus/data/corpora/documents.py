"""What a corpus is made of: documents, and what could not be read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

__all__ = ["Corpus", "Document", "Metadata", "Skipped", "Value"]

Value = str | int | float | bool
Metadata = Mapping[str, Value]
"""Facts about a document that searches may filter by: a flat mapping, numbers finite."""


@dataclass(frozen=True)
class Document:
    """One text of a corpus, with the place where it can be found again."""

    id: str
    """Its name, unique in the corpus."""
    text: str
    """The text, as it stands in the file: offsets of passages and quotations count in it."""
    title: str = ""
    """A heading, or nothing."""
    source: str = ""
    """The file that holds it, relative to the corpus' root, with forward slashes."""
    row: int | None = None
    """Line or row in that file, from 1, where it holds several documents; None: the whole file."""
    offset: int | None = None
    """Byte in that file at which ``text`` begins word for word in UTF-8; None: it is not there
    word for word (escaped in JSON, quoted in CSV, packed in Parquet, another encoding)."""
    metadata: Metadata = field(default_factory=dict)
    """Further facts, by name."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that an index holds of it: another one means that it changed."""
        said = [self.id, self.title, self.text, self.source, self.row, self.offset]
        whole = json.dumps([*said, sorted(self.metadata.items())], ensure_ascii=False)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Skipped:
    """A file or a row that could not be read, and why; never fatal to the rest."""

    source: str
    """The file, relative to the corpus' root."""
    why: str
    """The reason, in a line."""
    row: int | None = None
    """Line or row in the file, from 1; None: the whole file."""


@runtime_checkable
class Corpus(Protocol):
    """Documents that can be gone through any number of times, one after the other."""

    @property
    def name(self) -> str:
        """What it is called: the folder's or file's name, or that of a named set."""

    @property
    def root(self) -> str:
        """The folder that sources are relative to; empty where there is none."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What the last complete pass could not read."""

    def __iter__(self) -> Iterator[Document]:
        """Go through the documents, always in the same order, one in memory at a time."""
