"""Runs of several modalities: from data to a folder with weights, mixture, numbers, a page."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.runs.multimodal.baselines import Ladder, ladder
    from isthmus.runs.multimodal.comparing import MultimodalComparison, compare_multimodal
    from isthmus.runs.multimodal.judge_training import JudgeSettings
    from isthmus.runs.multimodal.judges import Judges
    from isthmus.runs.multimodal.protocol import evaluate_multimodal
    from isthmus.runs.multimodal.report import MultimodalReport
    from isthmus.runs.multimodal.results import RetrievedItem, Translated
    from isthmus.runs.multimodal.run import MultimodalRun
    from isthmus.runs.multimodal.subject import MultimodalEvaluation
    from isthmus.runs.multimodal.training import train_multimodal

__all__ = [
    "JudgeSettings",
    "Judges",
    "Ladder",
    "MultimodalComparison",
    "MultimodalEvaluation",
    "MultimodalReport",
    "MultimodalRun",
    "RetrievedItem",
    "Translated",
    "compare_multimodal",
    "evaluate_multimodal",
    "ladder",
    "train_multimodal",
]

_HOMES = {
    "baselines": ("Ladder", "ladder"),
    "comparing": ("MultimodalComparison", "compare_multimodal"),
    "judge_training": ("JudgeSettings",),
    "judges": ("Judges",),
    "protocol": ("evaluate_multimodal",),
    "report": ("MultimodalReport",),
    "results": ("RetrievedItem", "Translated"),
    "run": ("MultimodalRun",),
    "subject": ("MultimodalEvaluation",),
    "training": ("train_multimodal",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"isthmus.runs.multimodal.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
