"""A modality added to a trained model, whose space stays as it is."""

from __future__ import annotations

import copy

from torch import nn

from isthmus.errors import ConfigError
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.networks.base import Halves

__all__ = ["add_modality"]


def add_modality(
    model: MultimodalAutoencoder,
    modality: Modality,
    *,
    halves: Halves | tuple[nn.Module, nn.Module] | None = None,
    seed: int = 0,
) -> MultimodalAutoencoder:
    """Return a model with one more modality; only its encoder and decoder learn.

    Channels that were there are copied and frozen, their normalisations too: their codes and
    items stay the same to the bit, whatever is trained afterwards.

    Parameters
    ----------
    model
        The trained model; it is left alone.
    modality
        What is new.
    halves
        The new modality's own modules, where it names no network.

    Raises
    ------
    ConfigError
        If the model has a modality of that name.
    """
    if modality.name in model.modalities:
        raise ConfigError(f"the model has a modality {modality.name!r} already")
    given = {name: _halves(model, name) for name, m in model.modalities.items() if not m.network}
    if halves is not None:
        given[modality.name] = Halves(*halves)
    wider = MultimodalAutoencoder(
        [*model.modalities.values(), modality], model.objective, halves=given, seed=seed
    )
    state = model.state_dict()
    missing, unexpected = wider.load_state_dict(state, strict=False)
    own = f"of {modality.name}"
    if unexpected or any(own not in name.split(".") for name in missing):
        raise ConfigError(f"the model's weights don't fit one with {modality.name!r} added")
    wider.freeze(model.modalities)
    return wider.to(model.device)


def _halves(model: MultimodalAutoencoder, name: str) -> Halves:
    channel = model.channel(name)
    return Halves(copy.deepcopy(channel.encoder), copy.deepcopy(channel.decoder))
