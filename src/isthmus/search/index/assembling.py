"""Segments of an index: written from what is new, masked, and merged when they are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.words import Words
from isthmus.search.index.config import Stage
from isthmus.search.index.embedding import Embedded
from isthmus.search.index.gathering import (
    joined_counts,
    joined_ids,
    joined_lines,
    joined_vectors,
)
from isthmus.search.index.manifest import SegmentEntry
from isthmus.search.index.segment import Contents, Segment, write_array, write_segment
from isthmus.search.index.texts import Lines, lines_of
from isthmus.search.index.writing import new_folder
from isthmus.search.postings import rounded

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.models.dictionary import SparseDictionary

__all__ = ["Assembler", "masked"]

_MERGE_PARTS, _MERGE_DEAD = 8, 0.3
_ROWS = 1 << 13


@dataclass(frozen=True, eq=False)
class Assembler:
    """Writes segments below an index' folder; nothing of it counts before a commit names it."""

    folder: Path
    """The index."""
    model: SparseDictionary
    """The dictionary that encodes."""
    words: Words
    """How texts are taken apart into words."""
    threads: int
    """Threads; 0: as many as torch uses."""
    stage: Stage
    """Told of the progress."""

    def written(self, new: Embedded, ids: NDArray[np.int64]) -> SegmentEntry:
        """Write a segment of what is new."""
        from isthmus.data.corpora.word_counts import WordCounter

        vocabulary: dict[str, int] = {}
        counter = WordCounter(self.words, vocabulary)
        for number, text in enumerate(new.worded()):
            if number % 5000 == 0:
                self.stage("counting words", number, len(ids))
            counter.add(text)
        counts = counter.csr()
        lines = lines_of(new.documents)
        return self._write(lines, ids, new.vectors, counts, vocabulary, len(new.documents))

    def merged(self, segments: Sequence[Segment]) -> SegmentEntry:
        """Write what lives in several segments as one, encoded anew."""
        _, counts, vocabulary = joined_counts(segments)
        documents, passages = joined_lines(segments)
        count = len(documents)
        ids, vectors = joined_ids(segments), joined_vectors(segments)
        return self._write((documents, passages), ids, vectors, counts, vocabulary, count)

    def _write(
        self,
        lines: Lines,
        ids: NDArray[np.int64],
        vectors: NDArray[np.float16],
        counts: csr_array,
        vocabulary: Mapping[str, int],
        documents: int,
    ) -> SegmentEntry:
        self.stage("encoding", 0, 0)
        codes = encoded(self.model, vectors, self.threads or None)
        self.stage("writing", 0, 0)
        rebuilt = lengths_of(self.model, codes)
        with new_folder(self.folder, "segments") as place:
            contents = Contents(lines, ids, vectors, codes, rebuilt, counts, vocabulary)
            write_segment(place, contents)
        return SegmentEntry(place.name, len(ids), len(ids), documents)


def needs_merging(entries: Sequence[SegmentEntry]) -> bool:
    """Say whether segments are so many, or so much of them is deleted, that merging pays."""
    written = sum(entry.passages for entry in entries)
    living = sum(entry.living for entry in entries)
    return len(entries) > _MERGE_PARTS or written - living > _MERGE_DEAD * written


def masked(segment: Segment, rows: NDArray[np.int64], generation: int) -> SegmentEntry | None:
    """Delete rows of a segment by a mask beside it; None: nothing is left of it."""
    if not len(rows):
        return segment.entry
    count = segment.entry.passages
    alive = np.ones(count, bool) if segment.alive is None else np.array(segment.alive)
    alive[rows] = False
    if not alive.any():
        return None
    name = f"alive-{generation}.npy"
    write_array(segment.folder / name, alive)
    documents = len(np.unique(segment.owners[alive]))
    return SegmentEntry(segment.entry.folder, count, int(alive.sum()), documents, name)


def encoded(
    model: SparseDictionary, vectors: NDArray[np.float16], threads: int | None = None
) -> csr_array:
    """Encode vectors (R, D) to codes (R, N), with activations as postings keep them."""
    codes: csr_array = model.encode(vectors.astype(np.float32), threads=threads)
    codes.data = rounded(np.maximum(codes.data, 0))
    return codes


def lengths_of(model: SparseDictionary, codes: csr_array) -> NDArray[np.float32]:
    """Return the lengths of what codes decode to (R,)."""
    found = np.empty(codes.shape[0], np.float32)
    for start in range(0, len(found), _ROWS):
        rows = model.decode(codes[start : start + _ROWS])
        found[start : start + _ROWS] = np.linalg.norm(rows, axis=1)
    return found
