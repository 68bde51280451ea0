"""What was typed for several modalities, as the values that jobs and evaluations take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from isthmus.cli.multimodal_options import measuring_options
from isthmus.cli.values import read_as, split_settings
from isthmus.configs import validated
from isthmus.data.modalities.augment import ImageAugment, SoundAugment
from isthmus.errors import ConfigError
from isthmus.models.multimodal import Modality
from isthmus.models.multimodal.mixture_fitting import MixtureFit
from isthmus.models.multimodal.objective import Objective
from isthmus.runs.multimodal import JudgeSettings, MultimodalEvaluation
from isthmus.training.multimodal import MultimodalTraining

__all__ = ["kinds_of", "measuring", "mixture_settings", "settings_of"]

_CHANGERS: Mapping[str, type[Any]] = {"sound": SoundAugment, "image": ImageAugment}
_NUMBERS: Mapping[str, type[int] | type[float]] = {"private": int, "weight": float}
"""Fields of every modality at once."""


def settings_of(
    objective: Objective, given: Mapping[str, Any], before: MultimodalTraining | None = None
) -> dict[str, Any]:
    """Return what was typed of a model's and a training's settings as values.

    Parameters
    ----------
    objective
        That of the preset.
    given
        What was typed; names that nothing has are left for the job to refuse.
    before
        The training that is gone on with: its changes of sounds and pictures are the base.
    """
    kinds = kinds_of(objective)
    found = {name: read_as(kinds.get(name, ""), value) for name, value in given.items()}
    for name, number in _NUMBERS.items():
        if name in found:
            found[name] = _number(name, found[name], number)
    for name, kind in _CHANGERS.items():
        if name in found:
            base = getattr(before, name) if before is not None else kind()
            found[name] = _changed(name, base, str(found[name]))
    return found


def kinds_of(objective: Objective) -> dict[str, str]:
    """Return the types, as written, of all settings of a model, its training and its mixture."""
    owners: tuple[Any, ...] = (MixtureFit, Modality, MultimodalTraining, objective)
    return {f.name: str(f.type) for owner in owners for f in dataclasses.fields(owner)}


def _number(name: str, value: Any, kind: type[int] | type[float]) -> int | float:
    try:
        return kind(value)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"--{name} can't be {value!r}", fix=f"give {what}") from error


def _changed(flag: str, base: Any, text: str) -> Any:
    """Read ``NAME=VALUE,..`` into a copy of a configuration."""
    values = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    for part in (piece.strip() for piece in text.split(",") if piece.strip()):
        name, value = split_settings(part)
        if not name or not value:
            raise ConfigError(
                f"--{flag} can't be read at {part!r}",
                why=f"it has: {', '.join(values)}",
                fix=f"give settings with values, such as --{flag} shift=0.1",
            )
        values[name] = value
    return validated(type(base), values)


def mixture_settings(given: Mapping[str, Any], before: MixtureFit | None = None) -> MixtureFit:
    """Return how the joint mixture is fitted.

    Raises
    ------
    ConfigError
        If a value can't be read.
    """
    base = dataclasses.asdict(before or MixtureFit())
    return validated(MixtureFit, base | {k: v for k, v in given.items() if k in base})


def measuring(given: Mapping[str, Any]) -> tuple[MultimodalEvaluation, JudgeSettings]:
    """Return how much is measured, and how the judges are trained.

    Raises
    ------
    ConfigError
        If a value can't be read.
    """
    known = {option.name for option in measuring_options()}
    kinds = {f.name: str(f.type) for f in dataclasses.fields(MultimodalEvaluation)}
    typed = {k: read_as(kinds.get(k, ""), v) for k, v in given.items() if k in known}
    steps = typed.pop("judge_steps", None)
    judges = {} if steps is None else {"steps": steps}
    return validated(MultimodalEvaluation, typed), validated(JudgeSettings, judges)
