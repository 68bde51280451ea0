"""A training of several modalities that is ready to start: model, data, settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from isthmus.configs import validated
from isthmus.data.dataset import SPLITS
from isthmus.data.multimodal import MultimodalData, open_multimodal
from isthmus.errors import ConfigError
from isthmus.models.multimodal import (
    Modality,
    MultimodalAutoencoder,
    modality_of,
    multimodal_preset,
)
from isthmus.models.multimodal.mixture_fitting import MixtureFit
from isthmus.models.multimodal.presets import MultimodalPreset
from isthmus.networks.base import Halves
from isthmus.runs.run import DataOrigin
from isthmus.training.multimodal import MultimodalTraining

__all__ = ["MultimodalJob", "data_for", "job_for", "origin_of"]

OwnHalves = Mapping[str, Halves | tuple[nn.Module, nn.Module]]


@dataclasses.dataclass(frozen=True, eq=False)
class MultimodalJob:
    """What is going to be trained."""

    model: MultimodalAutoencoder
    """The model, its weights fresh."""
    data: MultimodalData
    """The data, of the model's modalities."""
    training: MultimodalTraining
    """The settings."""
    origin: DataOrigin
    """Where the data came from."""
    preset: str
    """Name of the preset, or "custom"."""
    mixture: MixtureFit
    """How the joint mixture is fitted."""


def job_for(
    model: MultimodalAutoencoder | MultimodalPreset | str,
    data: MultimodalData | str | PathLike[str],
    *,
    load_options: Mapping[str, Any] | None = None,
    modalities: Mapping[str, Mapping[str, Any]] | None = None,
    halves: OwnHalves | None = None,
    mixture: MixtureFit | None = None,
    **settings: Any,
) -> MultimodalJob:
    """Put model, data and settings together.

    Parameters
    ----------
    model
        A model, a preset, or a preset's name.
    data
        Data of several modalities, the name of a set, or a CSV file of pairs.
    load_options
        What the set takes: ``only``, ``fold``, ``text`` ...
    modalities
        By name, fields of :class:`~isthmus.models.multimodal.Modality` to change (network,
        likelihood, weight, private); with a preset only.
    halves
        By name, the user's own encoder and decoder.
    mixture
        How the joint mixture is fitted.
    settings
        Fields of the preset's objective, of
        :class:`~isthmus.training.multimodal.MultimodalTraining`, and ``private``, ``weight`` of
        all modalities at once.

    Raises
    ------
    ConfigError
        If a setting is unknown, or the model has a modality that the data lack.
    """
    found, origin = data_for(data, load_options)
    chosen = multimodal_preset(model) if isinstance(model, str) else model
    if isinstance(chosen, MultimodalPreset):
        built, training = _built(chosen, found, modalities or {}, halves or {}, settings)
        name = chosen.name
    else:
        if modalities or halves:
            raise ConfigError(
                "a model brings its own modalities", fix="give a preset to change them"
            )
        built, training, name = chosen, validated(MultimodalTraining, settings), "custom"
    absent = sorted(set(built.names) - set(found.names))
    if absent:
        raise ConfigError(
            f"the model has a modality {absent[0]!r}, and the data don't",
            where=found.name,
            fix=f"the data have: {', '.join(found.names)}",
        )
    return MultimodalJob(
        built, found.only(list(built.names)), training, origin, name, mixture or MixtureFit()
    )


def data_for(
    data: MultimodalData | str | PathLike[str], options: Mapping[str, Any] | None = None
) -> tuple[MultimodalData, DataOrigin]:
    """Return the data, and where they came from."""
    if isinstance(data, MultimodalData):
        if options:
            raise ConfigError("data that are loaded already take no options of loading")
        return data, origin_of(data, None, {})
    if not isinstance(data, str | PathLike):
        raise ConfigError(
            "these are no data of several modalities",
            where=type(data).__name__,
            fix="give what open_multimodal returned, a set's name, or a CSV file of pairs",
        )
    path = Path(data)
    source = str(path.resolve()) if path.exists() else str(data)
    found = open_multimodal(source, **dict(options or {}))
    return found, origin_of(found, source, dict(options or {}))


def origin_of(data: MultimodalData, source: str | None, options: Mapping[str, Any]) -> DataOrigin:
    """Return what is written down of the data."""
    samples = {split: len(data.pairs[split]) for split in SPLITS if split in data.pairs}
    return DataOrigin(data.name, source, options, samples, data.digest)


def _built(
    preset: MultimodalPreset,
    data: MultimodalData,
    changes: Mapping[str, Mapping[str, Any]],
    halves: OwnHalves,
    settings: Mapping[str, Any],
) -> tuple[MultimodalAutoencoder, MultimodalTraining]:
    """Share settings out among objective, modalities and training."""
    changed, rest = preset.with_settings(settings)
    common = {k: v for k, v in rest.items() if k in ("private", "weight")}
    rest = {k: v for k, v in rest.items() if k not in common}
    known = [f.name for f in dataclasses.fields(MultimodalTraining)]
    unknown = sorted(set(rest) - set(known))
    if unknown:
        own = [f.name for f in dataclasses.fields(changed.objective)]  # type: ignore[arg-type]
        raise ConfigError(
            f"the preset {preset.name!r} has no setting {unknown[0]!r}",
            why=f"its own: {', '.join(own)}; of modalities: private, weight; of training: "
            f"{', '.join(known)}",
        )
    for name in (*changes, *halves):
        data[name]  # says what there is if it is unknown
    described = _described(data, changed, common, changes, list(halves))
    training = validated(MultimodalTraining, dict(changed.training) | rest)
    model = MultimodalAutoencoder(
        described, changed.objective, halves=halves or None, seed=training.seed
    )
    return model, training


def _described(
    data: MultimodalData,
    preset: MultimodalPreset,
    common: Mapping[str, Any],
    changes: Mapping[str, Mapping[str, Any]],
    own: Sequence[str],
) -> list[Modality]:
    found = []
    for name, modality in data.modalities.items():
        usual = preset.fields_for(modality_of(modality.adapter))
        fields = {**usual, **common, **changes.get(name, {})}
        if name in own:
            fields["network"] = None
        try:
            found.append(modality_of(modality.adapter, **fields))
        except TypeError as error:
            known = ", ".join(f.name for f in dataclasses.fields(Modality))
            raise ConfigError(
                f"a modality has no such field: {sorted(fields)}",
                where=name,
                why=f"it has: {known}",
            ) from error
    return found
