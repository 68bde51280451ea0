"""Runs: the folder of one trained model, and everything that is done with it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.runs.compare import Comparison
    from isthmus.runs.evaluation import Evaluation, SplitMetrics, evaluate
    from isthmus.runs.run import Run, open_run
    from isthmus.runs.sweep import Sweep, SweepProgress, SweepStopped
    from isthmus.runs.training import train

__all__ = [
    "Comparison",
    "Evaluation",
    "Run",
    "SplitMetrics",
    "Sweep",
    "SweepProgress",
    "SweepStopped",
    "evaluate",
    "open_run",
    "train",
]

# `compare` and `sweep` are modules here, each with the function of its name; `isthmus` has these

_HOMES = {
    "compare": ("Comparison",),
    "evaluation": ("Evaluation", "SplitMetrics", "evaluate"),
    "run": ("Run", "open_run"),
    "sweep": ("Sweep", "SweepProgress", "SweepStopped"),
    "training": ("train",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"isthmus.runs.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
