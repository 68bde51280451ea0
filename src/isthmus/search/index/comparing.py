"""What a corpus holds that its index does not, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.documents import Corpus, Document
from isthmus.errors import DataError, in_a_line
from isthmus.search.index.config import Stage
from isthmus.search.index.texts import storable

if TYPE_CHECKING:
    from isthmus.search.index.segment import Segment

__all__ = ["Compared", "compared"]


@dataclass(frozen=True, eq=False)
class Compared:
    """Documents told apart by what they say."""

    fresh: tuple[Document, ...]
    """New and changed documents, in the order of the corpus."""
    places: NDArray[np.int64]
    """Where each of them stands in the corpus, from 0."""
    total: int
    """Documents of the corpus."""
    gone: tuple[NDArray[np.int64], ...]
    """For each segment the rows of passages whose document is gone or has changed."""
    replaced: frozenset[str]
    """Ids of the documents that have changed."""
    deleted: int
    """How many are gone."""
    unchanged: int
    """How many are as they were."""

    @property
    def added(self) -> int:
        """How many are new."""
        return len(self.fresh) - self.changed

    @property
    def changed(self) -> int:
        """How many documents have changed."""
        return len(self.replaced)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.fresh and not self.deleted


def compared(corpus: Corpus, segments: Sequence[Segment], stage: Stage) -> Compared:
    """Go through a corpus once, and hold it against an index.

    Raises
    ------
    DataError
        If the corpus has no document, two have one id, or one has impossible metadata.
    """
    known = _known(segments)
    fresh: list[Document] = []
    places: list[int] = []
    seen: set[str] = set()
    kept: set[str] = set()
    changed: set[str] = set()
    for place, document in enumerate(corpus):
        if place % 1000 == 0:
            stage("reading", place, 0)
        id_ = storable(document.id)
        if id_ in seen:
            raise DataError("two documents have one id", where=f"{corpus.name}: {id_!r}")
        seen.add(id_)
        before, now = known.get(id_), _fingerprint(document)
        if before is not None and before[2] == now:
            kept.add(id_)
            continue
        if before is not None:
            changed.add(id_)
        fresh.append(document)
        places.append(place)
    if not seen:
        raise DataError(
            "the corpus has no document",
            where=corpus.name,
            fix="name a folder or file with texts: isthmus data describe tells what is read",
        )
    return Compared(
        tuple(fresh),
        np.array(places, np.int64),
        len(seen),
        _gone(segments, [place for id_, place in known.items() if id_ not in kept]),
        frozenset(changed),
        len(known) - len(kept) - len(changed),
        len(kept),
    )


def _known(segments: Sequence[Segment]) -> dict[str, tuple[int, int, str]]:
    """Return segment, row and fingerprint of every living document by its id."""
    known: dict[str, tuple[int, int, str]] = {}
    for number, segment in enumerate(segments):
        living = set(segment.owners[segment.living].tolist())
        for row, (id_, fingerprint) in enumerate(segment.texts.documents()):
            if row in living:
                known[id_] = (number, row, fingerprint)
    return known


def _fingerprint(document: Document) -> str:
    try:
        if not all(isinstance(name, str) for name in document.metadata):
            raise TypeError("a name is no text")
        return document.fingerprint
    except (TypeError, ValueError) as error:
        raise DataError(
            "metadata are texts, numbers and truths by name",
            where=f"document {document.id!r}",
            why=in_a_line(error),
        ) from error


def _gone(
    segments: Sequence[Segment], lost: Sequence[tuple[int, int, str]]
) -> tuple[NDArray[np.int64], ...]:
    rows: list[list[int]] = [[] for _ in segments]
    for number, row, _ in lost:
        rows[number].append(row)
    return tuple(
        np.flatnonzero(np.isin(segment.owners, np.array(documents, np.int64)))
        for segment, documents in zip(segments, rows, strict=True)
    )
