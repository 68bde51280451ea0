"""Everything that lives in some segments, put together: for describing and for merging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.search.index.segment import Segment

__all__ = [
    "in_order",
    "joined_codes",
    "joined_counts",
    "joined_ids",
    "joined_lines",
    "joined_rebuilt",
    "joined_vectors",
]


def joined_codes(segments: Sequence[Segment]) -> csr_array:
    """Return the codes of all living passages (P, N)."""
    from scipy.sparse import csr_array, vstack

    codes = [segment.concepts.codes(segment.living) for segment in segments]
    return csr_array(vstack(codes, format="csr"))


def joined_counts(segments: Sequence[Segment]) -> tuple[csr_array, dict[str, int]]:
    """Return the words of all living passages (P, V), and the column of each, in their order."""
    from scipy.sparse import csr_array, vstack

    vocabulary: dict[str, int] = {}
    counts = []
    for segment in segments:
        own = segment.vocabulary()
        columns = np.array([vocabulary.setdefault(word, len(vocabulary)) for word in own], np.int64)
        counts.append((segment.words.codes(segment.living), columns))
    wide = [
        csr_array(
            (part.data.astype(np.int32), columns[part.indices], part.indptr),
            shape=(part.shape[0], len(vocabulary)),
        )
        for part, columns in counts
    ]
    return in_order(csr_array(vstack(wide, format="csr")), vocabulary)


def in_order(counts: csr_array, vocabulary: Mapping[str, int]) -> tuple[csr_array, dict[str, int]]:
    """Return counts (P, V) with the words that occur as columns, in the words' own order.

    With the same order in every segment, the parts of a score are added up in the same order: the
    score of a passage does not depend on the segment that it is in.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> counts, words = in_order(csr_array([[1, 0, 2]]), {"red": 0, "blue": 1, "green": 2})
    >>> counts.toarray().tolist(), words
    ([[2, 1]], {'green': 0, 'red': 1})
    """
    from scipy.sparse import csr_array

    used = np.zeros(counts.shape[1], bool)
    used[counts.indices] = True
    words = sorted(word for word, column in vocabulary.items() if used[column])
    places = np.full(counts.shape[1], -1, np.int64)
    places[[vocabulary[word] for word in words]] = np.arange(len(words))
    shape = (counts.shape[0], len(words))
    ordered = csr_array((counts.data, places[counts.indices], counts.indptr), shape=shape)
    ordered.sort_indices()
    return ordered, {word: column for column, word in enumerate(words)}


def joined_vectors(segments: Sequence[Segment]) -> NDArray[np.float16]:
    """Return the vectors of all living passages (P, D)."""
    return np.concatenate([np.asarray(s.vectors[s.living]) for s in segments])


def joined_ids(segments: Sequence[Segment]) -> NDArray[np.int64]:
    """Return the numbers of all living passages (P,)."""
    return np.concatenate([s.ids[s.living] for s in segments])


def joined_rebuilt(segments: Sequence[Segment]) -> NDArray[np.float32]:
    """Return the lengths of what the codes of all living passages decode to (P,)."""
    return np.concatenate([s.rebuilt[s.living] for s in segments])


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
        first, row = len(documents), len(passages)
        mine = [head for head in heads if head[0] in kept]
        numbers = {head[0]: first + i for i, head in enumerate(mine)}
        documents += [(numbers[head[0]], *head[1:]) for head in mine]
        passages += [(row + i, numbers[p[1]], *p[2:]) for i, p in enumerate(living)]
    return documents, passages
