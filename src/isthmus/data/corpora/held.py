"""A corpus of texts that are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isthmus.data.corpora.choices import Choices, Found
from isthmus.data.corpora.documents import Document, Skipped
from isthmus.data.corpora.fields import document_of, without_odd
from isthmus.data.corpora.gathered import Gathered

__all__ = ["in_memory"]


def in_memory(items: Sequence[Any], choices: Choices) -> Gathered:
    """Make a corpus of texts, of mappings with a text, or of documents.

    A text is called by its position from 1.
    """
    return Gathered(
        "texts",
        "",
        lambda: _found(items, choices),
        looked_for="texts, mappings with a text, and documents",
        limit=choices.limit,
    )


def _found(items: Sequence[Any], choices: Choices) -> Iterator[Found]:
    for row, item in enumerate(items, 1):
        if isinstance(item, Document):
            yield item
        elif isinstance(item, str):
            yield Document(id=str(row), text=without_odd(item), row=row)
        elif isinstance(item, Mapping):
            yield document_of(item, "", row, choices)
        else:
            yield Skipped("", f"a {type(item).__name__} is no text", row)
