"""A query's vector, its concepts, and what steering makes of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.search.ranking import Query
from isthmus.search.steering import Moved, Steering, steered, without_directions

if TYPE_CHECKING:
    from isthmus.models.dictionary import SparseDictionary

__all__ = ["encoded_query", "steered_query"]

Floats = NDArray[np.float64]


def encoded_query(dictionary: SparseDictionary, text: str, vector: NDArray[Any]) -> Query:
    """Return a query with the concepts of its vector (D,).

    Raises
    ------
    DataError
        If the vector has another width, or holds NaN or infinite values.
    """
    code = dictionary.encode(np.asarray(vector, np.float32)[None])
    code.sort_indices()
    # of a query that the embedder knows nothing of, the code would be what all passages share
    kept = (code.data > 0) & bool(np.any(vector))
    concepts = code.indices[kept].astype(np.int64)
    return Query(text, np.asarray(vector, np.float64), concepts, code.data[kept].astype(np.float64))


def steered_query(
    query: Query, steering: Steering, decoder_ND: Floats
) -> tuple[Query, tuple[Moved, ...]]:
    """Change a query's concepts, and its vector along their directions.

    The vector follows a change by as much along the concept's direction; about a concept that is
    removed it says nothing any more: it is at right angles to its direction.

    Raises
    ------
    ConfigError
        If a concept does not exist.
    """
    wanted = sorted({*steering.change, *steering.remove})
    beyond = [concept for concept in wanted if not 0 <= concept < len(decoder_ND)]
    if beyond:
        raise ConfigError(
            f"there is no concept #{beyond[0]}", why=f"the last is #{len(decoder_ND) - 1}"
        )
    concepts, activations, moved = steered(query.concepts, query.activations, steering)
    vector = query.vector
    for change in moved:
        if change.id not in steering.remove:
            vector = vector + (change.after - change.before) * decoder_ND[change.id]
    vector = without_directions(vector, decoder_ND[sorted(steering.remove)])
    return Query(query.text, vector, concepts, activations), moved
