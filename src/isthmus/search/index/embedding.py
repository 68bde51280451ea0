"""Documents cut into passages, and their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.documents import Document
from isthmus.errors import DataError
from isthmus.search.cutter import Cutter
from isthmus.search.embedders import Embedder
from isthmus.search.index.comparing import Compared
from isthmus.search.index.config import Stage
from isthmus.search.passages import Cutting, Passage, embedding_text

__all__ = ["Embedded", "embedded"]

Halves = NDArray[np.float16]
_BATCH = 2048


@runtime_checkable
class _ByRow(Protocol):
    """An embedder whose vectors are there already, a row for each document."""

    @property
    def table(self) -> NDArray[np.floating]:
        """The rows (n, D)."""

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows (k, D), each of length 1."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """Documents that are cut and embedded."""

    documents: tuple[tuple[Document, Sequence[Passage]], ...]
    """Documents with their passages."""
    vectors: Halves
    """A vector for each passage (R, D)."""
    report: str = ""
    """What was cut, in a line."""

    def worded(self) -> list[str]:
        """Return what words are counted in: a title stands before each passage that bears it."""
        return [
            f"{document.title}\n\n{passage.text}" if passage.titled else passage.text
            for document, passages in self.documents
            for passage in passages
        ]


def embedded(found: Compared, embedder: Embedder, cutting: Cutting, stage: Stage) -> Embedded:
    """Cut and embed what is new.

    Raises
    ------
    DataError, RemoteError
        As the embedder's; or if ready-made vectors are not one a document.
    """
    if isinstance(embedder, _ByRow):
        return _by_row(found, embedder)
    cutter = Cutter(embedder.token_spans, embedder.max_tokens, cutting)
    documents: list[tuple[Document, list[Passage]]] = []
    for start in range(0, len(found.fresh), _BATCH):
        stage("cutting", start, len(found.fresh))
        part = found.fresh[start : start + _BATCH]
        cuts = zip(part, cutter.cut(part), strict=True)
        documents += [(document, passages) for document, passages in cuts if passages]
    texts = [embedding_text(passage, d) for d, passages in documents for passage in passages]
    if not texts:
        return Embedded((), np.empty((0, embedder.dim), np.float16))
    vectors = embedder.embed(texts, progress=lambda done, total: stage("embedding", done, total))
    return Embedded(tuple(documents), _halves(vectors, embedder, len(texts)), str(cutter.report))


def _halves(vectors: NDArray[np.float32], embedder: Embedder, count: int) -> Halves:
    """Return vectors as they are kept; an embedder of the user's own may be wrong."""
    made = np.asarray(vectors)
    if made.shape != (count, embedder.dim) or not np.isfinite(made).all():
        raise DataError(
            "the embedder's vectors can't be used",
            where=embedder.name,
            why=f"of {count} texts it made {made.shape}, or a number is not finite",
            fix=f"it must make one vector of {embedder.dim} numbers for each text",
        )
    return made.astype(np.float16)


def _by_row(found: Compared, embedder: _ByRow) -> Embedded:
    """Take the vectors of documents, each of which stays whole."""
    count = len(embedder.table)
    rows = found.places
    if count != found.total:
        # documents without text are no documents, but they have lines, and so have the vectors
        lines = [document.row for document in found.fresh if document.row is not None]
        several = len({document.source for document in found.fresh}) > 1
        if several or len(lines) != len(found.fresh) or max(lines, default=0) > count:
            raise DataError(
                "the vectors are not one a document",
                why=f"{count:,} vectors, {found.total:,} documents",
                fix="give a row for each document, in the order of the corpus",
            )
        rows = np.array(lines, np.int64) - 1
    documents = tuple(
        (d, (Passage(d.id, 0, 0, len(d.text), d.text, 0, titled=bool(d.title.strip())),))
        for d in found.fresh
    )
    vectors = embedder.take(rows).astype(np.float16)
    if not documents:
        return Embedded((), vectors)
    return Embedded(documents, vectors, f"{len(documents):,} documents, none of them cut")
