"""What is in a corpus, as numbers and words."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from isthmus.data.corpora.documents import Corpus, Document, Skipped, Value
from isthmus.data.corpora.gathered import place

__all__ = ["CorpusDescription", "MetadataField", "describe_corpus"]

_SHOWN_SKIPS, _SHOWN_FIELDS, _SHOWN_VALUES = 10, 20, 5
_COUNTED_VALUES = 1000
_EXCERPT = 200


@dataclass(frozen=True)
class MetadataField:
    """A fact that documents carry."""

    documents: int
    """How many documents have it."""
    kinds: tuple[str, ...]
    """What its values are: ``text``, ``number``, ``truth``."""
    common: Mapping[str, int]
    """The most frequent values with their documents; empty where nearly all differ."""


@dataclass(frozen=True)
class CorpusDescription:
    """What `isthmus data describe` prints of a corpus."""

    name: str
    """The name of the corpus."""
    source: str
    """The folder that it lies in; empty where there is none."""
    kind: str
    """``corpus``."""
    documents: int
    """How many documents there are."""
    characters: int
    """Characters of all texts, titles apart."""
    median_characters: float
    """The median length of a text."""
    longest: tuple[str, int]
    """The id of the longest text, and its characters."""
    titled: int
    """How many documents have a title."""
    skipped: int
    """How many files and rows could not be read."""
    skipped_first: tuple[Mapping[str, Any], ...]
    """The first of these: source, row, why."""
    metadata: Mapping[str, MetadataField]
    """The facts that documents carry, by name."""
    first: Mapping[str, Any]
    """The first document, its text cut to 200 characters."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return the description as lines for people."""
        lines = [
            f"{self.name}: {self.documents:,} documents, {self.characters:,} characters",
            f"from     {self.source}" if self.source else "",
            f"lengths  median {self.median_characters:,.0f} characters, longest "
            f"{self.longest[1]:,} ({self.longest[0]})",
            f"titles   {self.titled:,} documents have one",
            f"skipped  {self.skipped:,}",
            *(f"  {place(s['source'], s['row'])}: {s['why']}" for s in self.skipped_first),
        ]
        more = self.skipped - len(self.skipped_first)
        lines += [f"  and {more:,} more"] if more else []
        lines.append(f"metadata {len(self.metadata) or 'none'}")
        for name, found in list(self.metadata.items())[:_SHOWN_FIELDS]:
            common = ", ".join(f"{value} {count:,}" for value, count in found.common.items())
            told = f"  {name}: {' or '.join(found.kinds)}, {found.documents:,} documents"
            lines.append(f"{told}{f'; {common}' if common else ''}")
        excerpt = " ".join(str(self.first["text"]).split())
        lines += [
            f"first    {self.first['id']}"
            + (f": {self.first['title']}" if self.first["title"] else ""),
            f"  {excerpt}",
        ]
        return "\n".join(line for line in lines if line)


class _Facts:
    """Counts of one field."""

    def __init__(self) -> None:
        self.documents = 0
        self.kinds: set[str] = set()
        self.values: Counter[str] = Counter()
        self.many = False

    def add(self, value: Value) -> None:
        self.documents += 1
        self.kinds.add(_kind(value))
        if not self.many:
            self.values[str(value)] += 1
            self.many = len(self.values) > _COUNTED_VALUES

    def summary(self) -> MetadataField:
        telling = not self.many and len(self.values) <= max(1, self.documents // 2)
        common = dict(self.values.most_common(_SHOWN_VALUES)) if telling else {}
        return MetadataField(self.documents, tuple(sorted(self.kinds)), common)


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"


def describe_corpus(corpus: Corpus) -> CorpusDescription:
    """Look at a corpus, in one pass.

    Parameters
    ----------
    corpus
        Any corpus.

    Returns
    -------
    CorpusDescription
        Documents, lengths, what was skipped, metadata, the first document.

    Raises
    ------
    DataError
        If it holds no document.
    """
    lengths, titled, longest = array("q"), 0, ("", -1)
    facts: dict[str, _Facts] = {}
    first: Document | None = None
    for document in corpus:
        first = first or document
        lengths.append(len(document.text))
        titled += bool(document.title)
        longest = max(longest, (document.id, len(document.text)), key=lambda pair: pair[1])
        for name, value in document.metadata.items():
            facts.setdefault(name, _Facts()).add(value)
    skipped = corpus.skipped
    return CorpusDescription(
        name=corpus.name,
        source=corpus.root,
        kind="corpus",
        documents=len(lengths),
        characters=sum(lengths),
        median_characters=float(median(lengths)) if lengths else 0.0,
        longest=longest,
        titled=titled,
        skipped=getattr(corpus, "skipped_count", len(skipped)),
        skipped_first=tuple(_said(s) for s in skipped[:_SHOWN_SKIPS]),
        metadata={name: found.summary() for name, found in sorted(facts.items())},
        first={} if first is None else _excerpt(first),
    )


def _said(skipped: Skipped) -> dict[str, Any]:
    return {"source": skipped.source, "row": skipped.row, "why": skipped.why}


def _excerpt(document: Document) -> dict[str, Any]:
    text = document.text
    cut = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}..."
    return {
        "id": document.id,
        "title": document.title,
        "text": cut,
        "source": document.source,
        "row": document.row,
        "offset": document.offset,
        "metadata": dict(document.metadata),
    }
