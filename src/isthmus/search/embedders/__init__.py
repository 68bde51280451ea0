"""Embedders: texts to unit vectors, behind one small protocol.

``open_embedder("minilm")`` is the default; ``cached`` keeps what was embedded.
"""

from __future__ import annotations

from isthmus.search.embedders.base import Embedder, EmbedderOptions
from isthmus.search.embedders.cache import CachedEmbedder, cached
from isthmus.search.embedders.opening import (
    embedder_from,
    fitted_to,
    open_embedder,
    save_state,
)

__all__ = [
    "CachedEmbedder",
    "Embedder",
    "EmbedderOptions",
    "cached",
    "embedder_from",
    "fitted_to",
    "open_embedder",
    "save_state",
]
