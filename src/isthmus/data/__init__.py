"""What comes in: readers, the catalogue of named sets, splits, scaling, and guards.

Names are imported when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.data.dataset import SPLITS, Dataset, Samples
    from isthmus.data.describing import DataDescription, describe
    from isthmus.data.loading import READERS, load
    from isthmus.data.named_sets import CATALOGUE, Entry, Named, catalogue, fetch
    from isthmus.data.options import LoadOptions
    from isthmus.data.preprocessing import METHODS, Preprocessing

__all__ = [
    "CATALOGUE",
    "METHODS",
    "READERS",
    "SPLITS",
    "DataDescription",
    "Dataset",
    "Entry",
    "LoadOptions",
    "Named",
    "Preprocessing",
    "Samples",
    "catalogue",
    "describe",
    "fetch",
    "load",
]

_HOMES = {
    "dataset": ("SPLITS", "Dataset", "Samples"),
    "describing": ("DataDescription", "describe"),
    "loading": ("READERS", "load"),
    "named_sets": ("CATALOGUE", "Entry", "Named", "catalogue", "fetch"),
    "options": ("LoadOptions",),
    "preprocessing": ("METHODS", "Preprocessing"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"isthmus.data.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
