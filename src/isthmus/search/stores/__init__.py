"""Where codes are kept and searched: in this process, on a Qdrant server, in PostgreSQL.

Names are imported when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.search.stores.base import Store
    from isthmus.search.stores.embedded import EmbeddedStore
    from isthmus.search.stores.exact import Found
    from isthmus.search.stores.postgres import PostgresStore
    from isthmus.search.stores.qdrant import QdrantStore

__all__ = ["EmbeddedStore", "Found", "PostgresStore", "QdrantStore", "Store"]

_HOMES = {
    "Store": "base",
    "EmbeddedStore": "embedded",
    "Found": "exact",
    "PostgresStore": "postgres",
    "QdrantStore": "qdrant",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"isthmus.search.stores.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
