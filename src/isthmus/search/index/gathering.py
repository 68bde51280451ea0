"""Everything that lives in some segments, put together: for describing and for merging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.search.index.segment import Segment

__all__ = ["joined_counts", "joined_ids", "joined_lines", "joined_vectors"]


def joined_counts(
    segments: Sequence[Segment],
) -> tuple[csr_array, csr_array, dict[str, int]]:
    """Return codes (P, N) and word counts (P, V) of all living passages, and the vocabulary."""
    from scipy.sparse import csr_array, vstack

    vocabulary: dict[str, int] = {}
    counts = []
    for segment in segments:
        own = segment.texts.vocabulary()
        columns = np.array([vocabulary.setdefault(word, len(vocabulary)) for word in own], np.int64)
        counts.append((segment.words.codes(segment.living), columns))
    wide = [
        csr_array(
            (part.data.astype(np.int32), columns[part.indices], part.indptr),
            shape=(part.shape[0], len(vocabulary)),
        )
        for part, columns in counts
    ]
    codes = [segment.concepts.codes(segment.living) for segment in segments]
    together = csr_array(vstack(wide, format="csr"))
    together.sort_indices()
    return csr_array(vstack(codes, format="csr")), together, vocabulary


def joined_vectors(segments: Sequence[Segment]) -> NDArray[np.float16]:
    """Return the vectors of all living passages (P, D)."""
    return np.concatenate([np.asarray(s.vectors[s.living]) for s in segments])


def joined_ids(segments: Sequence[Segment]) -> NDArray[np.int64]:
    """Return the numbers of all living passages (P,)."""
    return np.concatenate([s.ids[s.living] for s in segments])


def joined_lines(
    segments: Sequence[Segment],
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the living rows of the tables of texts, numbered anew."""
    documents: list[tuple[Any, ...]] = []
    passages: list[tuple[Any, ...]] = []
    for segment in segments:
        heads, pieces = segment.texts.lines()
        alive = segment.alive
        living = [p for p in pieces if alive is None or alive[p[0]]]
        kept = {p[1] for p in living}
        numbers: Mapping[int, int] = {
            head[0]: len(documents) + i for i, head in enumerate(h for h in heads if h[0] in kept)
        }
        documents += [(numbers[h[0]], *h[1:]) for h in heads if h[0] in kept]
        passages += [(len(passages) + i, numbers[p[1]], *p[2:]) for i, p in enumerate(living)]
    return documents, passages
