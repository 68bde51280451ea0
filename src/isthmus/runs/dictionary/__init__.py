"""Runs of sparse dictionaries: from vectors to a folder with weights, numbers and figures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.runs.dictionary.metrics import DictionaryEvaluation, DictionaryMetrics
    from isthmus.runs.dictionary.run import DictionaryRun
    from isthmus.runs.dictionary.scoring import score_foreign
    from isthmus.runs.dictionary.training import train_members

__all__ = [
    "DictionaryEvaluation",
    "DictionaryMetrics",
    "DictionaryRun",
    "score_foreign",
    "train_members",
]

_HOMES = {
    "metrics": ("DictionaryEvaluation", "DictionaryMetrics"),
    "run": ("DictionaryRun",),
    "scoring": ("score_foreign",),
    "training": ("train_members",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"isthmus.runs.dictionary.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
