"""What a way of ranking is: it finds passages, and says what every score is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isthmus.search.filters import Condition

if TYPE_CHECKING:
    from isthmus.search.index.segment import Segment
    from isthmus.search.postings import Postings

__all__ = ["Explained", "Found", "Query", "Ranking", "Scores", "best_of", "scored"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Query:
    """A query as rankings see it, steered where steering was asked for."""

    text: str
    """Its words."""
    vector: Floats
    """Its vector (D,); steering added concepts' directions to it or took them away."""
    concepts: Ints
    """Its active concepts (K,), rising."""
    activations: Floats
    """How active they are (K,)."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of some rows of a segment."""

    segment: Segment
    """The segment."""
    rows: Ints
    """Rows that share something with the query (H,)."""
    scores: Floats
    """Their scores (H,)."""


@dataclass(frozen=True, eq=False)
class Found:
    """A passage that was found."""

    segment: Segment
    """Where it is."""
    row: int
    """Its row there."""
    id: int
    """Its number in the index."""
    score: float
    """Its score."""


@dataclass(frozen=True, eq=False)
class Explained:
    """What a score is made of: concepts and the rest add up to it."""

    concepts: Ints
    """Concepts that had a part (S,), rising."""
    parts: Floats
    """Their parts (S,)."""
    rest: Mapping[str, float]
    """What no concept stands for, by name."""


class Ranking(Protocol):
    """One query held against the passages in one way."""

    def search(self, limit: int, where: Sequence[Condition]) -> list[Found]:
        """Return the best passages: by falling score, equal ones by their numbers."""

    def explain(self, found: Found) -> Explained:
        """Return what a score is made of."""


def scored(
    postings: Postings,
    terms: Ints,
    weights: Floats,
    limit: int | None,
    options: Mapping[str, Any],
) -> tuple[Ints, Floats]:
    """Return the best ``limit`` rows with their scores, or all that share a term in any order."""
    if limit is None:
        return postings.scores(terms, weights, **options)
    return postings.search(terms, weights, limit=limit, **options)


def best_of(scores: Sequence[Scores], limit: int) -> list[Found]:
    """Return the best rows of all segments: by falling score, equal ones by their numbers."""
    kept: list[tuple[float, int, Any, int]] = []
    for part in scores:
        rows, values = part.rows, part.scores
        if len(rows) > limit:
            # all that may be among the best: ties at the border included
            bar = np.partition(values, len(values) - limit)[len(values) - limit]
            near = values >= bar
            rows, values = rows[near], values[near]
        ids = part.segment.ids[rows]
        order = np.lexsort((ids, -values))[:limit]
        kept += [
            (-float(values[i]), int(ids[i]), part.segment, int(rows[i])) for i in order.tolist()
        ]
    kept.sort(key=lambda item: item[:2])
    return [Found(segment, row, id_, -score) for score, id_, segment, row in kept[:limit]]


def near_best(scores: Sequence[Scores], limit: int, slack: float) -> list[Scores]:
    """Keep the rows that may be among the best, where each score may be off by ``slack``."""
    values = np.concatenate([np.empty(0), *(part.scores for part in scores)])
    if len(values) <= limit:
        return list(scores)
    bar = np.partition(values, len(values) - limit)[len(values) - limit] - 2 * slack
    return [
        Scores(part.segment, part.rows[near], part.scores[near])
        for part in scores
        if (near := part.scores >= bar).any()
    ]
