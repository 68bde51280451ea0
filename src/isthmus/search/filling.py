"""An index' codes in a store elsewhere, and searches there that give what the index gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.data.corpora.documents import Metadata
from isthmus.errors import ConfigError
from isthmus.search.filters import Condition
from isthmus.search.ranking.concepts import ConceptRanking, Weighting
from isthmus.search.ranking.stored import StoreRanking

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.search.index.index import Index
    from isthmus.search.index.results import Results
    from isthmus.search.index.segment import Segment
    from isthmus.search.steering import Steering
    from isthmus.search.stores import Store

__all__ = ["fill_store", "search_store"]

_BATCH = 4096


def fill_store(
    index: Index,
    store: Store,
    *,
    scoring: str = "bm25",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Put the codes and metadata of all living passages into a store.

    A store multiplies and adds. For "bm25" it therefore gets activations as BM25 saturates them
    in this index; they change when the index does, so fill it again then.

    Parameters
    ----------
    index
        The index.
    store
        A store for codes of as many concepts; what it holds is replaced passage by passage, and
        what is not in the index any more is left to be deleted.
    scoring
        "bm25", "idf" or "dot": how searches in the store will be scored.
    progress
        Told how many passages are done, of how many.

    Returns
    -------
    int
        Passages that were put.

    Raises
    ------
    ConfigError
        If the store is for another number of concepts.
    RemoteError
        If a server is away.
    """
    if store.latents != index.latents:
        raise ConfigError(
            f"the store is for codes of {store.latents} concepts",
            why=f"the index has {index.latents}",
            fix="use another collection or table",
        )
    weighting, done = Weighting.named(scoring), 0
    for segment in index.segments:
        living = segment.living
        for start in range(0, len(living), _BATCH):
            rows = living[start : start + _BATCH]
            codes = _values(index, segment, rows, weighting)
            facts = [_facts(passage) for passage in segment.texts.passages(rows.tolist())]
            store.put(segment.ids[rows], codes, facts)
            done += len(rows)
            if progress is not None:
                progress(done, len(index))
    return done


def search_store(
    index: Index,
    store: Store,
    query: str,
    *,
    limit: int = 10,
    steering: Steering | None = None,
    where: Sequence[Condition] = (),
    scoring: str = "bm25",
) -> Results:
    """Search as ``index.search(by="concepts")`` does, with the passages found by a store.

    Parameters
    ----------
    index
        The index that the store was filled from: it encodes the query, and explains the hits.
    store
        The store.
    query, limit, steering, where
        As for `Index.search`.
    scoring
        What the store was filled for.

    Raises
    ------
    ConfigError, RunError
        As `Index.search`.
    DataError
        If the store was not filled from this index.
    RemoteError
        If a server is away.
    """
    from isthmus.search.index.results import Results
    from isthmus.search.index.telling import contributions

    if limit < 1:
        raise ConfigError("the limit must be 1 or more", where=f"limit={limit}")
    found, moved = index.query(query, steering)
    ranking = StoreRanking(ConceptRanking(index, found, Weighting.named(scoring)), store)
    hits = index.hits(ranking, ranking.search(limit, where))
    told = contributions(found.concepts, found.activations, index.names)
    unknown = not index.concept_frequency[found.concepts].any()
    return Results(query, "concepts", hits, told, moved, unknown)


def _values(index: Index, segment: Segment, rows: Any, weighting: Weighting) -> csr_array:
    codes = segment.concepts.codes(rows)
    if weighting.bm25 is None:
        return codes
    norms = index.concept_saturation(segment, weighting.bm25).norms
    held = np.repeat(norms[rows].astype(np.float64), np.diff(codes.indptr))
    codes.data = (codes.data / (codes.data + held)).astype(np.float32)
    return codes


def _facts(passage: Any) -> Metadata:
    said = {**passage.metadata, "document": passage.document, "title": passage.title}
    said["source"] = passage.source
    return {
        key: value.replace("\0", "") if isinstance(value, str) else value
        for key, value in said.items()
    }
