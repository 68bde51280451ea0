"""What a search gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmus.search.hits import Contribution, Hit
from isthmus.search.steering import Moved

__all__ = ["Results"]


@dataclass(frozen=True)
class Results:
    """What a search found."""

    query: str
    """The query's words."""
    by: str
    """How passages were ranked."""
    hits: tuple[Hit, ...]
    """The passages, the best first."""
    concepts: tuple[Contribution, ...]
    """The query's concepts after steering, with their activations, the strongest first."""
    moved: tuple[Moved, ...] = ()
    """What steering changed."""
    unknown: bool = False
    """Whether the query has no concept that any passage has: a search by concepts then finds
    nothing."""

    def json(self) -> dict[str, Any]:
        """Return what ``isthmus search --json`` prints."""
        return {
            "query": self.query,
            "by": self.by,
            "concepts": [vars(concept) for concept in self.concepts],
            "moved": [vars(moved) for moved in self.moved],
            "hits": [_hit(hit) for hit in self.hits],
        }


def _hit(hit: Hit) -> dict[str, Any]:
    said = dict(vars(hit))
    said["concepts"] = [vars(concept) for concept in hit.concepts]
    said["metadata"], said["parts"] = dict(hit.metadata), dict(hit.parts)
    return said
