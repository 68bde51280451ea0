"""The folder of a run of several modalities, opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isthmus.errors import RunError
from isthmus.files import read_json
from isthmus.models.multimodal import storage
from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.mixture_fitting import MixtureFit
from isthmus.runs.multimodal.folder import MIXTURE, open_adapters, taken
from isthmus.runs.multimodal.jobs import OwnHalves
from isthmus.runs.multimodal.report import MultimodalReport
from isthmus.runs.multimodal.run import MultimodalRun
from isthmus.runs.multimodal.trained import MultimodalTrained
from isthmus.runs.run import DataOrigin
from isthmus.training import History
from isthmus.training.multimodal import MultimodalTraining

__all__ = ["open_multimodal_run"]


def open_multimodal_run(
    place: Path,
    config: Mapping[str, Any],
    *,
    halves: OwnHalves | None = None,
    device: str = "cpu",
) -> MultimodalRun:
    """Open the folder of a run of several modalities, whose ``config.json`` has been read.

    Raises
    ------
    RunError
        If a file is missing or damaged.
    """
    model = storage.load(place, halves=halves, device=device)
    history, metrics = place / "history.csv", place / "metrics.json"
    adapters = open_adapters(config, place)
    absent = sorted(set(model.names) - set(adapters))
    if absent:
        raise RunError(f"the adapter of {absent[0]!r} is missing", where=str(place))
    return MultimodalRun(
        model,
        JointMixture.open(place / MIXTURE) if (place / MIXTURE).is_file() else None,
        adapters,
        History.open(history) if history.exists() else History(),
        taken(MultimodalTraining, config.get("training", {}), place),
        taken(DataOrigin, config.get("data", {"name": "unknown"}), place),
        classes=[str(name) for name in config.get("classes", ())],
        report=MultimodalReport.from_json(read_json(metrics)) if metrics.exists() else None,
        mixture_fit=taken(MixtureFit, config.get("mixture", {}), place),
        trained=taken(MultimodalTrained, config.get("trained", {}), place),
        notes=[str(note) for note in config.get("notes", ())],
        preset=str(config.get("preset", "custom")),
        folder=place,
    )
