"""The weights of a hybrid search, fitted on judged queries that are not those of a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.judgements import Judgements
from isthmus.errors import ConfigError
from isthmus.metrics.ranked import ranked_scores
from isthmus.metrics.stats import paired_bootstrap
from isthmus.search.index.index import Index
from isthmus.search.index.manifest import read_manifest, write_manifest
from isthmus.search.index.writing import writing
from isthmus.search.judging import judged_queries
from isthmus.search.ranking import HybridWeights, Query
from isthmus.search.ranking.concepts import ConceptRanking, Weighting
from isthmus.search.ranking.vectors import DenseRanking
from isthmus.search.ranking.words import WordRanking

__all__ = ["HybridFit", "fit_hybrid"]

Floats = NDArray[np.float64]

_NEAR = 100
_GRID = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
_MOST = 400


@dataclass(frozen=True)
class HybridFit:
    """What fitting found."""

    weights: HybridWeights
    """The weights that the index has now."""
    before: float
    """nDCG@10 of the weights that it had, on the same queries."""
    after: float
    """nDCG@10 of the best weights."""
    kept: bool
    """Whether the best ones were kept: the gain's 95 % bootstrap interval is above zero."""
    fitted_on: str
    """Which judgements."""
    queries: int
    """How many queries."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Passages near a query in any way, and their three scores."""

    documents: NDArray[np.int64]
    """Number of each one's document (C,)."""
    parts: Floats
    """Scores by concepts, vectors and words (3, C), as `HybridRanking` adds them up."""
    grades: Mapping[int, int]
    """Grades of relevant documents by their number."""


def fit_hybrid(
    folder: str | PathLike[str],
    judgements: Judgements,
    *,
    progress: Callable[[int, int], None] | None = None,
    seed: int = 0,
) -> HybridFit:
    """Choose the weights with the best nDCG@10, and write them into the index.

    The weight of the vectors is 1, those of concepts and words are tried on a grid, over the
    passages that are near a query in any of the three ways. The weights that the index has stay
    where the gain may be luck.

    Parameters
    ----------
    folder
        The index.
    judgements
        Queries with relevant documents (at most 400 of them are used). They must not be those
        that the index is measured on later.
    progress
        Told how many queries are done, of how many.
    seed
        Seed of the choice of queries and of the bootstrap.

    Raises
    ------
    ConfigError
        If these are test judgements.
    DataError
        If no query has a relevant document.
    RunError
        If the index is damaged, or being written.
    """
    if judgements.split == "test":
        raise ConfigError(
            "weights can't be fitted on test judgements",
            why="they would be measured on what they were fitted on",
            fix="name another split: train or dev",
        )
    place = Path(folder)
    fitted_on = f"{judgements.name}, {judgements.split}"
    with Index(place) as index:
        had = HybridWeights(**index.manifest.settings.get("hybrid", {}))
        candidates = _candidates(index, judgements, progress, seed)
    grid = [HybridWeights(c, 1.0, w) for c in _GRID for w in _GRID]
    table = np.array([[_ndcg(one, weights) for one in candidates] for weights in grid])
    best = int(table.mean(1).argmax())
    own = np.array([_ndcg(one, had) for one in candidates])
    gain = paired_bootstrap(table[best], own, seed=seed)
    keep = gain.low > 0
    chosen = grid[best] if keep else had
    with writing(place):
        manifest = read_manifest(place)
        settings: dict[str, Any] = {
            **manifest.settings,
            "hybrid": dataclasses.asdict(chosen),
            "hybrid_fitted_on": fitted_on,
        }
        write_manifest(place, dataclasses.replace(manifest, settings=settings))
    before, after = float(own.mean()), float(table[best].mean())
    return HybridFit(chosen, before, after, keep, fitted_on, len(candidates))


def _candidates(
    index: Index,
    judgements: Judgements,
    progress: Callable[[int, int], None] | None,
    seed: int,
) -> list[_Candidates]:
    queries = judged_queries(index, judgements)
    order = np.random.default_rng(seed).permutation(len(queries))[:_MOST]
    numbers: dict[str, int] = {}
    names = [
        np.array(
            [
                numbers.setdefault(segment.document_of(row), len(numbers))
                for row in range(segment.entry.passages)
            ],
            np.int64,
        )
        for segment in index.segments
    ]
    owners = np.concatenate(names)
    found = []
    for done, at in enumerate(np.sort(order).tolist()):
        if progress is not None:
            progress(done, len(order))
        name, query = queries[at]
        relevance = judgements.relevance[name]
        grades = {numbers[d]: g for d, g in relevance.items() if g > 0 and d in numbers}
        if grades:
            found.append(_near(index, query, owners, grades))
    return found


def _near(
    index: Index, query: Query, owners: NDArray[np.int64], grades: Mapping[int, int]
) -> _Candidates:
    rankings: tuple[ConceptRanking | DenseRanking | WordRanking, ...] = (
        ConceptRanking(index, query, Weighting()),
        DenseRanking(index, query),
        WordRanking(index, query),
    )
    starts = np.cumsum([0, *(segment.entry.passages for segment in index.segments)])
    first = dict(zip(index.segments, starts.tolist(), strict=False))
    scores = np.zeros((3, len(owners)))
    near: set[int] = set()
    for part, ranking in zip(scores, rankings, strict=True):
        for one in ranking.scores(None, ()):
            part[first[one.segment] + one.rows] = one.scores
        if not isinstance(ranking, DenseRanking) and part.max(initial=0.0) > 0:
            part /= part.max()
        count = min(_NEAR, len(part))
        near.update(np.argpartition(-part, count - 1)[:count].tolist())
    rows = np.array(sorted(near), np.int64)
    return _Candidates(owners[rows], scores[:, rows], grades)


def _ndcg(one: _Candidates, weights: HybridWeights) -> float:
    mix = np.array([weights.concepts, weights.dense, weights.words])
    order = np.argsort(-(mix @ one.parts), kind="stable")
    ranked: Sequence[int] = list(dict.fromkeys(one.documents[order].tolist()))[:10]
    return ranked_scores(ranked, one.grades).ndcg_10
