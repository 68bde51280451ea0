"""Whether a training means a sparse dictionary or the hourglass, and with which settings."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.configs import validated
from isthmus.errors import ConfigError
from isthmus.likelihoods import LIKELIHOODS
from isthmus.models.corruption import CORRUPTIONS
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.presets import (
    DICTIONARY_PRESETS,
    DictionaryPreset,
    dictionary_preset,
)
from isthmus.models.preset_names import unknown_preset
from isthmus.models.presets import PRESETS
from isthmus.networks import NETWORKS
from isthmus.runs.dictionary.vectors import Vectors, vectors_of
from isthmus.training.dictionary import DictionaryTraining

__all__ = [
    "Asked",
    "applied",
    "dictionary_for",
    "hourglass_settings",
    "is_dictionary_name",
]

Asked = SparseDictionary | DictionaryPreset
"""A dictionary that is there, or how to make one once the data are known."""


def is_dictionary_name(name: object) -> bool:
    """Say whether a preset's name is that of a sparse dictionary (and of an hourglass, maybe)."""
    return any(name == preset.name for preset in DICTIONARY_PRESETS)


@functools.cache
def hourglass_settings() -> frozenset[str]:
    """Return the settings that only an hourglass has: those of its network and the like."""
    kinds = (*NETWORKS.values(), *LIKELIHOODS.values(), *CORRUPTIONS.values())
    names = {field.name for kind in kinds for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    own = {field.name for field in dataclasses.fields(DictionaryTraining)}
    for preset in DICTIONARY_PRESETS:
        own |= {field.name for field in dataclasses.fields(preset.bottleneck)}  # type: ignore[arg-type]
    return frozenset((names | {"network", "likelihood", "corruption"}) - own)


def dictionary_for(
    model: object,
    data: object,
    load_options: Mapping[str, Any] | None = None,
    settings: Iterable[str] = (),
) -> tuple[Asked, Vectors] | None:
    """Decide for a sparse dictionary, and open the vectors; None for the hourglass.

    A name that both families have (``topk``, ``batch-topk``) means the dictionary where the data
    are vectors and no setting is given that only an hourglass has, such as ``network``.

    Parameters
    ----------
    model
        A model, a preset or the name of one.
    data, load_options
        As for ``isthmus.train``.
    settings
        The names of the settings that are given.

    Raises
    ------
    ConfigError
        If no preset of either family has that name.
    DataError, MissingDataError
        If the data are at fault.
    """
    if isinstance(model, SparseDictionary | DictionaryPreset):
        return model, _opened(data, load_options)
    if not isinstance(model, str):
        return None
    hourglass = any(preset.name == model for preset in PRESETS)
    if not is_dictionary_name(model):
        if not hourglass:
            raise unknown_preset(model) or ConfigError(
                f"the preset {model!r} joins several modalities",
                fix="give data of several modalities to train_multimodal",
            )
        return None
    if not hourglass:
        return dictionary_preset(model), _opened(data, load_options)
    if hourglass_settings() & set(settings):
        return None
    vectors = vectors_of(data, load_options)
    return None if vectors is None else (dictionary_preset(model), vectors)


def _opened(data: object, load_options: Mapping[str, Any] | None) -> Vectors:
    found = vectors_of(data, load_options, any_kind=True)
    if found is None:  # pragma: no cover - with any kind, what is loaded is opened
        raise ConfigError("these data can't be read as vectors")
    return found


def applied(model: Asked, settings: Mapping[str, Any]) -> tuple[Asked, DictionaryTraining]:
    """Share settings out between the dictionary and its training.

    Raises
    ------
    ConfigError
        If nothing has such a setting, or a value doesn't fit.
    """
    rest = dict(settings)
    if isinstance(model, DictionaryPreset):
        model, rest = model.with_settings(rest)
    known = [field.name for field in dataclasses.fields(DictionaryTraining)]
    unknown = sorted(set(rest) - set(known))
    if unknown:
        raise _no_setting(model, unknown[0], known)
    before = dict(model.training) if isinstance(model, DictionaryPreset) else {}
    return model, validated(DictionaryTraining, before | rest)


def _no_setting(model: Asked, name: str, training: list[str]) -> ConfigError:
    if isinstance(model, SparseDictionary):
        return ConfigError(
            f"the training of a dictionary has no setting {name!r}",
            why=f"it has: {', '.join(training)}",
            fix="settings of the bottleneck are given where the dictionary is made",
        )
    own = [field.name for field in dataclasses.fields(model.bottleneck)]  # type: ignore[arg-type]
    both = any(preset.name == model.name for preset in PRESETS)
    return ConfigError(
        f"the sparse dictionary {model.name!r} has no setting {name!r}",
        why=f"its own: {', '.join([*own, 'normalise'])}; of training: {', '.join(training)}",
        fix=f"for the autoencoder that is called {model.name} too, add --network mlp"
        if both
        else "",
    )
