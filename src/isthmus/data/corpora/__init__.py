"""Text corpora: readers, and what cuts and counts their texts.

Names are imported when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.data.corpora.describing import CorpusDescription, describe_corpus
    from isthmus.data.corpora.docstrings import Docstrings, open_docstrings
    from isthmus.data.corpora.documents import Corpus, Document, Metadata, Skipped, Value
    from isthmus.data.corpora.judgements import Judgements, read_judgements, splits
    from isthmus.data.corpora.reading import open_corpus

__all__ = [
    "Corpus",
    "CorpusDescription",
    "Docstrings",
    "Document",
    "Judgements",
    "Metadata",
    "Skipped",
    "Value",
    "describe_corpus",
    "open_corpus",
    "open_docstrings",
    "read_judgements",
    "splits",
]

_HOMES = {
    "describing": ("CorpusDescription", "describe_corpus"),
    "docstrings": ("Docstrings", "open_docstrings"),
    "documents": ("Corpus", "Document", "Metadata", "Skipped", "Value"),
    "judgements": ("Judgements", "read_judgements", "splits"),
    "reading": ("open_corpus",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"isthmus.data.corpora.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
