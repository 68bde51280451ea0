"""What scores need to know of all living passages together: frequencies, mean lengths."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isthmus.search.index.segment import Segment
from isthmus.search.postings import BM25, Saturation

__all__ = ["Statistics"]


class Statistics:
    """Numbers over the living passages of an index: deleted ones count for nothing.

    So an index that was brought up to date gives the scores of one that was made anew.

    Parameters
    ----------
    segments
        The parts of the index.
    latents
        Concepts of its dictionary.
    """

    def __init__(self, segments: Sequence[Segment], latents: int) -> None:
        self.segments, self.latents = tuple(segments), latents
        self.living = sum(segment.entry.living for segment in self.segments)
        self._saturations: dict[tuple[Segment, str, BM25], Saturation] = {}

    @functools.cached_property
    def concept_frequency(self) -> NDArray[np.int64]:
        """Passages with each concept (N,)."""
        found = np.zeros(self.latents, np.int64)
        for segment in self.segments:
            found += segment.frequency
        return found

    @functools.cached_property
    def mean_activations(self) -> tuple[float, float]:
        """Mean sum of a passage's activations, and mean activation where there is one."""
        total = sum(segment.totals[0] for segment in self.segments)
        count = int(self.concept_frequency.sum())
        return total / max(self.living, 1), total / max(count, 1)

    @functools.cached_property
    def mean_words(self) -> float:
        """Mean number of words of a passage."""
        return sum(segment.totals[1] for segment in self.segments) / max(self.living, 1)

    def concept_saturation(self, segment: Segment, bm25: BM25) -> Saturation:
        """Return what BM25 makes of a segment's rows; see `ConceptRanking`."""
        key = (segment, "concepts", bm25)
        if key not in self._saturations:
            mean, activation = self.mean_activations
            # in units of the mean activation, so that k1 means the same for every dictionary
            scaled = BM25(bm25.k1 * activation, bm25.b)
            self._saturations[key] = scaled.saturation(segment.lengths, mean)
        return self._saturations[key]

    def word_saturation(self, segment: Segment, bm25: BM25) -> Saturation:
        """Return what BM25 makes of a segment's rows, by their words."""
        key = (segment, "words", bm25)
        if key not in self._saturations:
            self._saturations[key] = bm25.saturation(segment.word_lengths, self.mean_words)
        return self._saturations[key]

    def scaling(self, segment: Segment) -> NDArray[np.float32]:
        """Return one over the length of each row's reconstruction (R,), 0 where it has none."""
        lengths = np.asarray(segment.rebuilt)
        return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 1e-6)
