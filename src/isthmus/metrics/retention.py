"""What is left of retrieval when vectors give way to their codes or reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Floats
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_mean
from isthmus.metrics.ranked import ranked_scores
from isthmus.metrics.similarity import Measure, most_similar, sparse_or_dense
from isthmus.metrics.sparse_codes import Codes
from isthmus.metrics.stats import PairedDifference, paired_bootstrap

__all__ = ["Judgements", "Retention", "Retrieval", "retrieval", "retrieval_retention"]

Judgements = Mapping[str, Mapping[str, int]] | Mapping[int, Mapping[int, int]]
"""For each query, its judged documents and their grades; above 0 is relevant."""

_DEPTH = 100


@dataclass(frozen=True, eq=False)
class Retrieval:
    """How well documents are found, over the queries with at least one relevant document."""

    ndcg_10: float
    """nDCG@10 with the grade as gain and log2(rank + 1) as discount (trec_eval), mean."""
    recall_100: float
    """Share of the relevant documents among the first 100, mean."""
    mrr_10: float
    """1 / rank of the first relevant document, 0 beyond the tenth, mean."""
    ndcg_10_interval: BootstrapInterval
    """`ndcg_10` with its bootstrap interval over queries."""
    ndcg_10_per_query: Floats
    """nDCG@10 of each query (Q,), for paired comparisons."""
    recall_100_per_query: Floats
    """Recall@100 of each query (Q,)."""
    mrr_10_per_query: Floats
    """Reciprocal rank of each query (Q,)."""
    queries: tuple[str | int, ...]
    """The queries that were counted, in the order of their rows."""
    documents: int
    """Documents that were searched."""


def retrieval(
    queries: Codes,
    documents: Codes,
    judgements: Judgements,
    *,
    query_ids: Sequence[str | int] | None = None,
    document_ids: Sequence[str | int] | None = None,
    measure: Measure = "cosine",
    seed: int = 0,
) -> Retrieval:
    """Search every judged query among all documents, and score what is found.

    Parameters
    ----------
    queries, documents
        Vectors (Q, D) and (R, D), or sparse codes (Q, N) and (R, N).
    judgements
        Query id to its judged documents and their grades. Queries without a relevant document
        are left out, as trec_eval does.
    query_ids, document_ids
        The id of each row; None: the row's own number.
    measure
        "cosine" (default) or "dot".
    seed
        Seed of the order of documents with equal scores.

    Raises
    ------
    ConfigError
        If the measure is unknown.
    DataError
        If ids do not fit rows or stand twice, a judged query or relevant document is missing, no
        query has a relevant document, or as in `most_similar`.

    Examples
    --------
    >>> found = retrieval(np.eye(2), np.eye(2), {0: {0: 1}, 1: {0: 1}})
    >>> found.mrr_10, found.recall_100
    (0.75, 1.0)
    """
    points = sparse_or_dense(queries, "the queries")
    rows = sparse_or_dense(documents, "the documents")
    query_rows = _rows_of(query_ids, points.shape[0], "query")
    document_rows = _rows_of(document_ids, rows.shape[0], "document")
    names, grades = _relevant(judgements, query_rows, document_rows)
    chosen = np.array([query_rows[name] for name in names])
    order = np.argsort(chosen)
    names, grades = [names[i] for i in order], [grades[i] for i in order]
    depth = min(_DEPTH, rows.shape[0])
    hits = most_similar(rows, points[chosen[order]], depth, measure=measure, seed=seed).index
    found = [ranked_scores(hit.tolist(), g) for hit, g in zip(hits, grades, strict=True)]
    ndcg = np.array([one.ndcg_10 for one in found])
    recall = np.array([one.recall_100 for one in found])
    rank = np.array([one.mrr_10 for one in found])
    return Retrieval(
        ndcg_10=float(ndcg.mean()),
        recall_100=float(recall.mean()),
        mrr_10=float(rank.mean()),
        ndcg_10_interval=bootstrap_mean(ndcg, seed=seed),
        ndcg_10_per_query=ndcg,
        recall_100_per_query=recall,
        mrr_10_per_query=rank,
        queries=tuple(names),
        documents=rows.shape[0],
    )


@dataclass(frozen=True, eq=False)
class Retention:
    """One representation held against the dense vectors, on the same queries."""

    scores: Retrieval
    """How well it retrieves."""
    share: float | None
    """Its nDCG@10 over that of the dense vectors; None where theirs is 0."""
    difference: PairedDifference
    """Its nDCG@10 less the dense vectors', query by query, with a bootstrap interval."""


def retrieval_retention(
    dense: tuple[Codes, Codes],
    others: Mapping[str, tuple[Codes, Codes]],
    judgements: Judgements,
    *,
    query_ids: Sequence[str | int] | None = None,
    document_ids: Sequence[str | int] | None = None,
    measure: Measure = "cosine",
    seed: int = 0,
) -> tuple[Retrieval, dict[str, Retention]]:
    """Hold codes and reconstructions against the dense vectors that they were made of.

    Parameters
    ----------
    dense
        Query and document vectors (Q, D) and (R, D).
    others
        Name ("codes", "reconstructions", ...) to its queries and documents, in the same order.
    judgements, query_ids, document_ids, measure, seed
        As in `retrieval`.

    Returns
    -------
    tuple
        The scores of the dense vectors, and for each name its retention.

    Raises
    ------
    DataError
        As `retrieval`; also if the numbers of queries or documents differ.
    """

    def scored(pair: tuple[Codes, Codes]) -> Retrieval:
        return retrieval(
            *pair,
            judgements,
            query_ids=query_ids,
            document_ids=document_ids,
            measure=measure,
            seed=seed,
        )

    before = scored(dense)
    found = {}
    for name, pair in others.items():
        after = scored(pair)
        if (after.queries, after.documents) != (before.queries, before.documents):
            raise DataError(
                "there must be one document for each dense one",
                where=name,
                why=f"{after.documents} instead of {before.documents}",
            )
        difference = paired_bootstrap(after.ndcg_10_per_query, before.ndcg_10_per_query, seed=seed)
        share = after.ndcg_10 / before.ndcg_10 if before.ndcg_10 else None
        found[name] = Retention(after, share, difference)
    return before, found


def _rows_of(ids: Sequence[str | int] | None, count: int, what: str) -> dict[str | int, int]:
    names: Sequence[str | int] = range(count) if ids is None else ids
    rows = {name: row for row, name in enumerate(names)}
    if len(names) != count or len(rows) != count:
        raise DataError(
            f"every {what} needs one id of its own",
            why=f"{len(names)} ids, {len(rows)} of them different, for {count} rows",
        )
    return rows


def _relevant(
    judgements: Judgements, query_rows: Mapping[str | int, int], rows: Mapping[str | int, int]
) -> tuple[list[str | int], list[dict[int, int]]]:
    """Return the queries with relevant documents, and those documents' rows and grades."""
    names: list[str | int] = []
    grades: list[dict[int, int]] = []
    for query, judged in judgements.items():
        relevant = {document: grade for document, grade in judged.items() if grade > 0}
        if not relevant:
            continue
        missing = [d for d in relevant if d not in rows]
        if query not in query_rows or missing:
            raise DataError(
                "the judgements name what is not among the rows",
                where=f"query {query!r}" + (f", document {missing[0]!r}" if missing else ""),
                fix="give query_ids and document_ids of the same kind as in the judgements",
            )
        names.append(query)
        grades.append({rows[d]: grade for d, grade in relevant.items()})
    if not names:
        raise DataError("no query has a relevant document, so there is nothing to score")
    return names, grades
