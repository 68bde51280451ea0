"""Go on with the training of several modalities from its folder alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isthmus.cli.multimodal_values import mixture_settings, settings_of
from isthmus.cli.resuming import check_format
from isthmus.configs import from_json
from isthmus.errors import ConfigError, RunError, in_a_line
from isthmus.files import read_json
from isthmus.models.multimodal.mixture_fitting import MixtureFit
from isthmus.models.multimodal.modality import modality_from
from isthmus.models.multimodal.presets import MultimodalPreset
from isthmus.models.multimodal.storage import KIND, OBJECTIVES
from isthmus.models.storage import CONFIG
from isthmus.runs.multimodal.folder import taken
from isthmus.runs.run import DataOrigin, kind_of
from isthmus.training.multimodal import MultimodalTraining

__all__ = ["BegunMultimodal", "begun_multimodal"]

_FIELDS = ("network", "likelihood", "weight", "private")


@dataclasses.dataclass(frozen=True)
class BegunMultimodal:
    """What a folder says about how a training of several modalities was begun."""

    preset: MultimodalPreset
    """The objective, under the preset's name."""
    modalities: Mapping[str, Mapping[str, Any]]
    """The fields of each modality."""
    training: MultimodalTraining
    """The training's settings."""
    mixture: MixtureFit
    """How the joint mixture is fitted."""
    source: str | None
    """What was opened; None for data that were in memory."""
    options: Mapping[str, Any]
    """How it was opened."""

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the training's settings, with what was typed in place of what was there."""
        values = {f.name: getattr(self.training, f.name) for f in dataclasses.fields(self.training)}
        return values | settings_of(self.preset.objective, given, self.training)

    def fit(self, given: Mapping[str, Any]) -> MixtureFit:
        """Return how the mixture is fitted, with what was typed in place of what was there."""
        return mixture_settings(given, self.mixture)


def begun_multimodal(folder: Path) -> BegunMultimodal | None:
    """Read how a training of several modalities was begun; None where the folder holds none.

    Raises
    ------
    RunError
        If the configuration is damaged or of a newer format, or the training can't be resumed.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    config = read_json(path)
    if kind_of(config) != KIND:
        return None
    check_format(config, path)
    if config["model"].get("frozen"):
        raise RunError(
            "a modality that is being added can't be resumed",
            where=str(folder),
            fix="type `isthmus add-modality` again, with another --out",
        )
    origin = taken(DataOrigin, config.get("data", {"name": "unknown"}), folder)
    try:
        objective = from_json(config["model"]["objective"], OBJECTIVES)
        modalities = [modality_from(m) for m in config["model"]["modalities"]]
    except (KeyError, TypeError, AttributeError, ValueError, ConfigError) as error:
        raise RunError(
            "this training can't be resumed from its configuration",
            where=str(path),
            why=in_a_line(error),
            fix="train anew into another folder",
        ) from error
    own = [m.name for m in modalities if m.network is None]
    if own:
        raise RunError(
            f"the encoder and decoder of {own[0]!r} are the user's own",
            where=str(folder),
            fix="resume it from Python, with the same modules",
        )
    return BegunMultimodal(
        MultimodalPreset(str(config.get("preset", "custom")), "", objective),
        {m.name: {name: getattr(m, name) for name in _FIELDS} for m in modalities},
        taken(MultimodalTraining, config.get("training", {}), folder),
        taken(MixtureFit, config.get("mixture", {}), folder),
        origin.source,
        dict(origin.options),
    )
