"""The third part of the demonstration: pictures, sounds and words in one latent space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.demo.place import CROSSED, SPACE

if TYPE_CHECKING:
    from isthmus.runs.multimodal import MultimodalRun, RetrievedItem
    from isthmus.training import Watch

__all__ = ["EPOCHS", "WORD", "SpaceDemo", "space_demo"]

DATA = "digits-words"
WORD = "seven"
EPOCHS = 6
"""Passes over 3,000 rows: some fifteen seconds."""
_HITS = 3


@dataclass(frozen=True)
class SpaceDemo:
    """What the third part made."""

    run: Path
    """The run's folder."""
    page: Path
    """Its page, with sounds to be played."""
    scores: Mapping[str, tuple[float, float, float]]
    """By direction: mAP of retrieval, its chance level, and the share of translations that a
    judge takes for the right class."""
    given: Path
    """A test picture of a seven."""
    hits: tuple[RetrievedItem, ...]
    """The sounds that match it best."""
    drawn: Path
    """The picture that the word became."""
    spoken: Path
    """The sound that the picture became."""
    certain: float
    """How sure the joint mixture is that the sound should be a seven."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        parts = ("map", "chance", "coherence")
        return {
            "run": str(self.run),
            "page": str(self.page),
            "scores": {k: dict(zip(parts, v, strict=True)) for k, v in self.scores.items()},
            "given": str(self.given),
            "hits": [hit.as_json() for hit in self.hits],
            "drawn": str(self.drawn),
            "spoken": str(self.spoken),
            "certain": self.certain,
        }


def space_demo(folder: Path, *, epochs: int = EPOCHS, watch: Watch | None = None) -> SpaceDemo:
    """Join pictures, sounds and words of digits in one space, and cross it.

    Parameters
    ----------
    folder
        The demonstration's folder.
    epochs
        How long to train.
    watch
        Told of the training.

    Raises
    ------
    RunError
        If something can't be written.
    """
    from isthmus.runs.multimodal import JudgeSettings, MultimodalEvaluation, train_multimodal

    few = MultimodalEvaluation(
        queries=200, samples=2, train_rows=500, joint=200, round_trip=50, rates=(0.0, 0.5)
    )
    run = train_multimodal(
        "aligned",
        DATA,
        out=folder / "runs" / SPACE,
        epochs=epochs,
        progress=watch or False,
        evaluation=few,
        judges=JudgeSettings(steps=200),
    )
    place = folder / CROSSED
    place.mkdir(parents=True, exist_ok=True)
    given, drawn, spoken = (
        place / name for name in (f"{WORD}.png", f"{WORD}-drawn.png", f"{WORD}.wav")
    )
    run.adapter("image").write(run.item("image", _test_picture(run)), given)
    run.adapter("image").write(run.translate("text", WORD, "image").item, drawn)
    said = run.translate("image", str(given), "audio")
    run.adapter("audio").write(said.item, spoken)
    return SpaceDemo(
        folder / "runs" / SPACE,
        folder / "runs" / SPACE / "page.html",
        _scores(run),
        given,
        tuple(run.retrieve("image", str(given), "audio", _HITS)),
        drawn,
        spoken,
        said.classes.get(WORD, 0.0),
    )


def _test_picture(run: MultimodalRun) -> int:
    """Return the number of the first test picture of the word."""
    pictures = run.data["image"]
    rows = pictures.rows("test")
    return int(rows[np.flatnonzero(pictures.labels[rows] == run.classes.index(WORD))[0]])


def _scores(run: MultimodalRun) -> dict[str, tuple[float, float, float]]:
    if run.report is None:
        return {}
    made = run.report.coherence
    return {
        way: (part["map"], part["chance"], made[way]["coherence"])
        for way, part in run.report.retrieval.items()
    }
