"""From an estimator's parameters to a bottleneck and the settings of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from isthmus.bottlenecks import Bottleneck
from isthmus.configs import validated
from isthmus.errors import ConfigError
from isthmus.models.dictionary.presets import DictionaryPreset, dictionary_preset
from isthmus.training.dictionary import DictionaryTraining

__all__ = ["chosen", "training"]


def chosen(
    bottleneck: str | Bottleneck,
    n_latents: int | None,
    k: int | None,
    normalise: str,
    given: Mapping[str, Any],
    suited: int,
) -> tuple[DictionaryPreset, dict[str, Any]]:
    """Return the preset with what was asked for, and those of ``given`` that are not its own.

    Parameters
    ----------
    given
        Other settings, of the bottleneck or of the training.
    suited
        The number of latents that suits the data.

    Raises
    ------
    ConfigError
        If something makes no sense, or is given twice.
    """
    own: dict[str, Any] = {"normalise": normalise}
    if not isinstance(bottleneck, str):
        if n_latents is not None or k is not None:
            raise ConfigError("a bottleneck that is described holds its own n_latents and k")
        return DictionaryPreset("custom", "", bottleneck).with_settings(_together(own, given))
    preset = dictionary_preset(bottleneck)
    if n_latents is not None:
        own["latent"] = n_latents
    if k is not None:
        fields = {field.name for field in dataclasses.fields(preset.bottleneck)}  # type: ignore[arg-type]
        name = "k" if "k" in fields else "l0"
        if name not in fields:
            raise ConfigError(f"a {bottleneck} dictionary has no k to choose", fix="leave k out")
        own[name] = k
    changed, rest = preset.with_settings(_together(own, given))
    return changed.sized(suited), dict(changed.training) | rest


def training(own: Mapping[str, Any], given: Mapping[str, Any]) -> DictionaryTraining:
    """Return the settings of a training.

    Raises
    ------
    ConfigError
        If one is unknown, doesn't fit, or is given twice.
    """
    return validated(DictionaryTraining, _together(own, given))


def _together(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Put parameters and ``settings`` together."""
    if both := sorted(set(own) & set(given)):
        raise ConfigError(f"{both[0]} is no entry of settings", fix="give it by itself")
    return dict(own) | dict(given)
