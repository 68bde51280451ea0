"""How well an index finds what was judged relevant, in each of its ways, and at what cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.judgements import Judgements
from isthmus.errors import DataError
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_mean
from isthmus.metrics.ranked import ranked_scores
from isthmus.metrics.stats import PairedDifference, paired_bootstrap
from isthmus.search.ranking import HybridWeights, Query, Ranking

if TYPE_CHECKING:
    from isthmus.search.index.index import Index

__all__ = ["Judged", "JudgedRanking", "documents_of", "judge", "judged_queries"]

Floats = NDArray[np.float64]

WAYS = ("dense", "reconstruction", "concepts", "words", "hybrid")
"""The ways that are measured."""
_DEPTH = 100


@dataclass(frozen=True, eq=False)
class JudgedRanking:
    """One way of ranking, held against the judgements."""

    ndcg_10: float
    """nDCG@10, mean over queries."""
    recall_100: float
    """Recall among the first 100 documents, mean."""
    mrr_10: float
    """Reciprocal rank of the first relevant document, 0 beyond the tenth, mean."""
    interval: BootstrapInterval
    """`ndcg_10` with its bootstrap interval over queries."""
    against_dense: PairedDifference | None
    """Its nDCG@10 less that of the dense search, query by query; None for that one itself."""
    milliseconds: float
    """Median time of one query, after embedding, on as many threads as the index has."""
    bytes: int
    """What this way needs of the index on disk, texts aside."""
    per_query: Floats
    """nDCG@10 of each query (Q,)."""

    def json(self) -> dict[str, Any]:
        """Return the numbers as ``isthmus evaluate --json`` prints them."""
        said: dict[str, Any] = {
            "ndcg@10": self.ndcg_10,
            "recall@100": self.recall_100,
            "mrr@10": self.mrr_10,
            "ndcg@10_interval": [self.interval.low, self.interval.high],
            "milliseconds": self.milliseconds,
            "bytes": self.bytes,
        }
        if self.against_dense is not None:
            said["against_dense"] = {
                "difference": self.against_dense.mean,
                "interval": [self.against_dense.low, self.against_dense.high],
            }
        return said


@dataclass(frozen=True, eq=False)
class Judged:
    """An index held against judgements."""

    name: str
    """What the judgements are called."""
    split: str
    """Which of them these are."""
    queries: int
    """Queries with a relevant document."""
    missing: int
    """Relevant documents that the index does not hold: they count as not found."""
    rankings: Mapping[str, JudgedRanking]
    """Each way of ranking by its name."""
    hybrid: HybridWeights
    """Weights of the hybrid search."""
    hybrid_fitted_on: str | None
    """The judgements that the weights were fitted on; None: they are the defaults."""


def judge(
    index: Index,
    judgements: Judgements,
    *,
    ways: Sequence[str] = WAYS,
    progress: Callable[[int, int], None] | None = None,
    seed: int = 0,
) -> Judged:
    """Search for every judged query in every way, and score what is found.

    Documents are ranked by their best passage. Queries without a relevant document are left out,
    as trec_eval does; one for which nothing is found scores 0.

    Parameters
    ----------
    index
        The index.
    judgements
        Queries, and what is relevant to them.
    ways
        Ways of ranking.
    progress
        Told how many queries are done, of how many.
    seed
        Seed of the bootstrap.

    Raises
    ------
    DataError
        If no query has a relevant document, or none of those is in the index.
    """
    queries = judged_queries(index, judgements)
    missing = _missing(index, judgements, [name for name, _ in queries])
    weights = HybridWeights(**index.manifest.settings.get("hybrid", {}))
    scores: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number, (name, query) in enumerate(queries):
        if progress is not None:
            progress(number, len(queries))
        for way in ways:
            began = time.perf_counter()
            ranking = index.ranking(query, way, hybrid=weights)
            ranking.search(10, ())
            times[way].append(time.perf_counter() - began)
            found = ranked_scores(
                documents_of(ranking, _DEPTH, index.living), judgements.relevance[name]
            )
            scores[way].append((found.ndcg_10, found.recall_100, found.mrr_10))
    table = {way: np.array(rows) for way, rows in scores.items()}
    return Judged(
        judgements.name,
        judgements.split,
        len(queries),
        missing,
        {
            way: _summed(rows, table.get("dense"), times[way], _bytes(index, way), seed, way)
            for way, rows in table.items()
        },
        weights,
        index.manifest.settings.get("hybrid_fitted_on"),
    )


def judged_queries(index: Index, judgements: Judgements) -> list[tuple[str, Query]]:
    """Embed and encode the queries that have a relevant document.

    Raises
    ------
    DataError
        If there are none.
    """
    names = [
        name
        for name, judged in judgements.relevance.items()
        if any(grade > 0 for grade in judged.values()) and judgements.queries[name].strip()
    ]
    if not names:
        raise DataError(
            "no query has a relevant document, so there is nothing to score",
            where=f"{judgements.name}, {judgements.split}",
        )
    texts = [judgements.queries[name] for name in names]
    vectors = index.embedder.embed_queries(texts)
    return [
        (name, index.query_of(text, vector)[0])
        for name, text, vector in zip(names, texts, vectors, strict=True)
    ]


def documents_of(ranking: Ranking, depth: int, passages: int) -> list[str]:
    """Return the documents of the best passages, each once, the best first."""
    limit = 2 * depth
    while True:
        found = ranking.search(min(limit, max(passages, 1)), ())
        named = list(dict.fromkeys(each.segment.document_of(each.row) for each in found))
        if len(named) >= depth or len(found) < limit or limit >= passages:
            return named[:depth]
        limit *= 4


def _missing(index: Index, judgements: Judgements, names: Sequence[str]) -> int:
    """Count relevant documents that are not in the index; refuse if that is all of them."""
    held = {name for segment in index.segments for name in segment.document_names}
    relevant = [
        document
        for name in names
        for document, grade in judgements.relevance[name].items()
        if grade > 0
    ]
    missing = sum(document not in held for document in relevant)
    if missing == len(relevant):
        raise DataError(
            "none of the relevant documents is in the index",
            where=f"{judgements.name}, {judgements.split}",
            why=f"judgements name {relevant[0]!r}, the index holds {next(iter(held), 'nothing')!r}",
            fix="name the judgements of this corpus",
        )
    return missing


def _summed(
    rows: Floats, dense: Floats | None, times: Sequence[float], size: int, seed: int, way: str
) -> JudgedRanking:
    ndcg = rows[:, 0]
    beside = (
        None if dense is None or way == "dense" else paired_bootstrap(ndcg, dense[:, 0], seed=seed)
    )
    return JudgedRanking(
        ndcg_10=float(ndcg.mean()),
        recall_100=float(rows[:, 1].mean()),
        mrr_10=float(rows[:, 2].mean()),
        interval=bootstrap_mean(ndcg, seed=seed),
        against_dense=beside,
        milliseconds=1000 * float(np.median(times)),
        bytes=size,
        per_query=ndcg,
    )


def _bytes(index: Index, way: str) -> int:
    """Return what a way of ranking reads of the index."""
    concepts = sum(s.concepts.bytes + 4 * s.concepts.rows for s in index.segments)
    words = sum(s.words.bytes + 4 * s.words.rows for s in index.segments)
    vectors = sum(s.vectors.nbytes for s in index.segments)
    sizes = {
        "dense": vectors,
        "reconstruction": concepts,
        "concepts": concepts,
        "words": words,
        "hybrid": vectors + concepts + words,
    }
    return int(sizes[way])
