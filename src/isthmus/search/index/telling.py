"""What was found, with texts and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.search.hits import Contribution, Hit
from isthmus.search.ranking.base import Found, Ranking

if TYPE_CHECKING:
    from isthmus.concepts.table import Names
    from isthmus.search.index.segment import Segment
    from isthmus.search.index.texts import StoredPassage

__all__ = ["contributions", "hits_of"]


def hits_of(ranking: Ranking, found: Sequence[Found], names: Names) -> tuple[Hit, ...]:
    """Fetch the texts of what was found, and explain the scores."""
    rows: dict[Segment, list[int]] = {}
    for each in found:
        rows.setdefault(each.segment, []).append(each.row)
    texts = {
        (segment, passage.row): passage
        for segment, wanted in rows.items()
        for passage in segment.texts.passages(wanted)
    }
    return tuple(_hit(ranking, f, texts[f.segment, f.row], names) for f in found)


def contributions(
    concepts: NDArray[np.int64], values: NDArray[np.float64], names: Names
) -> tuple[Contribution, ...]:
    """Return concepts with their values, the largest first, equal ones by their numbers."""
    return tuple(
        Contribution(int(concepts[i]), names[int(concepts[i])], float(values[i]))
        for i in np.lexsort((concepts, -values))
    )


def _hit(ranking: Ranking, found: Found, passage: StoredPassage, names: Names) -> Hit:
    explained = ranking.explain(found)
    return Hit(
        id=passage.id,
        score=found.score,
        text=passage.text,
        document=passage.document,
        title=passage.title,
        source=passage.source,
        row=passage.line,
        start=passage.start,
        end=passage.end,
        start_byte=passage.start_byte,
        end_byte=passage.end_byte,
        metadata=passage.metadata,
        concepts=contributions(explained.concepts, explained.parts, names),
        parts=dict(explained.rest),
    )
