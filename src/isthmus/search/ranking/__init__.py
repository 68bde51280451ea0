"""Ways of ranking passages, each of which explains its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from isthmus.search.ranking.base import Explained, Found, Query, Ranking
from isthmus.search.ranking.concepts import ConceptRanking, Weighting
from isthmus.search.ranking.hybrid import HybridRanking, HybridWeights
from isthmus.search.ranking.vectors import DenseRanking, ReconstructionRanking
from isthmus.search.ranking.words import WordRanking

if TYPE_CHECKING:
    from isthmus.search.index.index import Index

__all__ = [
    "RANKINGS",
    "ConceptRanking",
    "DenseRanking",
    "Explained",
    "Found",
    "HybridRanking",
    "HybridWeights",
    "Query",
    "Ranking",
    "ReconstructionRanking",
    "Weighting",
    "WordRanking",
]

Maker = Callable[["Index", Query, HybridWeights, Weighting], Ranking]

RANKINGS: Mapping[str, Maker] = MappingProxyType(
    {
        "concepts": lambda index, query, _, weighting: ConceptRanking(index, query, weighting),
        "reconstruction": lambda index, query, *_: ReconstructionRanking(index, query),
        "dense": lambda index, query, *_: DenseRanking(index, query),
        "words": lambda index, query, *_: WordRanking(index, query),
        "hybrid": HybridRanking,
    }
)
"""Every way of ranking by its name."""
