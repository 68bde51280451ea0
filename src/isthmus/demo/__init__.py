"""The demonstration: six autoencoders on data that every machine has, offline, in minutes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.demo.show import Demo, demo

__all__ = ["Demo", "demo"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("isthmus.demo.show"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
