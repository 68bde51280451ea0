"""Segments of an index: written from what is new, masked, and merged when they are many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.words import Words
from isthmus.search.index.config import Stage
from isthmus.search.index.embedding import Embedded
from isthmus.search.index.gathering import (
    in_order,
    joined_codes,
    joined_counts,
    joined_ids,
    joined_lines,
    joined_rebuilt,
    joined_vectors,
)
from isthmus.search.index.manifest import SegmentEntry
from isthmus.search.index.segment import Contents, Segment, write_mask, write_segment
from isthmus.search.index.texts import lines_of
from isthmus.search.index.writing import new_folder
from isthmus.search.postings import rounded

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.models.dictionary import SparseDictionary

__all__ = ["Assembler", "encoded", "masked", "needs_merging"]

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
        counts, columns = in_order(counter.csr(), vocabulary)
        codes, rebuilt = self._encoded(new.vectors)
        lines = lines_of(new.documents)
        contents = Contents(lines, ids, new.vectors, codes, rebuilt, counts, columns)
        return self._write(contents, len(new.documents))

    def merged(self, segments: Sequence[Segment], *, renew: bool) -> SegmentEntry:
        """Write what lives in several segments as one, encoded anew if the dictionary is new."""
        counts, columns = joined_counts(segments)
        lines, vectors = joined_lines(segments), joined_vectors(segments)
        if renew:
            codes, rebuilt = self._encoded(vectors)
        else:
            codes, rebuilt = joined_codes(segments), joined_rebuilt(segments)
        ids = joined_ids(segments)
        contents = Contents(lines, ids, vectors, codes, rebuilt, counts, columns)
        return self._write(contents, len(lines[0]))

    def _encoded(self, vectors: NDArray[np.float16]) -> tuple[csr_array, NDArray[np.float32]]:
        self.stage("encoding", 0, 0)
        codes = encoded(self.model, vectors, self.threads or None)
        return codes, lengths_of(self.model, codes)

    def _write(self, contents: Contents, documents: int) -> SegmentEntry:
        self.stage("writing", 0, 0)
        with new_folder(self.folder, "segments") as place:
            write_segment(place, contents)
        count = len(contents.ids)
        return SegmentEntry(place.name, count, count, documents)


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
    name = write_mask(segment.folder, alive, generation)
    documents = len(np.unique(segment.owners[alive]))
    return SegmentEntry(segment.entry.folder, count, int(alive.sum()), documents, name)


def encoded(
    model: SparseDictionary, vectors: NDArray[np.float16], threads: int | None = None
) -> csr_array:
    """Encode vectors (R, D) to codes (R, N), with activations as postings keep them."""
    codes: csr_array = model.encode(vectors.astype(np.float32), threads=threads)
    codes.data[codes.data < 0] = 0
    codes.eliminate_zeros()  # rounding makes no zeros, and would not leave these
    codes.data = rounded(codes.data)
    return codes


def lengths_of(model: SparseDictionary, codes: csr_array) -> NDArray[np.float32]:
    """Return the lengths of what codes decode to (R,)."""
    found = np.empty(codes.shape[0], np.float32)
    for start in range(0, len(found), _ROWS):
        rows = model.decode(codes[start : start + _ROWS])
        found[start : start + _ROWS] = np.linalg.norm(rows, axis=1)
    return found
