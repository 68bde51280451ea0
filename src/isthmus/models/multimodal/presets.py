"""Names for useful ways of joining modalities."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.configs import validated
from isthmus.errors import ConfigError
from isthmus.likelihoods import Gaussian, Laplace
from isthmus.models.multimodal.aligned import Aligned
from isthmus.models.multimodal.mmvae_plus import MMVAEPlus
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.models.multimodal.moe import MoE
from isthmus.models.multimodal.mopoe import MoPoE
from isthmus.models.multimodal.mvtcae import MVTCAE
from isthmus.models.multimodal.objective import Objective
from isthmus.models.multimodal.poe import PoE

__all__ = ["MULTIMODAL_PRESETS", "MultimodalPreset", "multimodal_preset"]


@dataclass(frozen=True)
class MultimodalPreset:
    """An objective that is known to work, and what it is for."""

    name: str
    """The name on the command line."""
    summary: str
    """What it is, in a line."""
    objective: Objective
    """How the modalities are joined."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Training settings that differ from the defaults."""
    modality: Mapping[str, Any] = field(default_factory=dict)
    """Fields of pictures, sounds and vectors that differ from what suits their kind; a likelihood
    keeps the squashing of the one it replaces."""

    def with_settings(self, settings: Mapping[str, Any]) -> tuple[MultimodalPreset, dict[str, Any]]:
        """Return this preset with fields of its objective changed, and the settings left over.

        Raises
        ------
        ConfigError
            If a value doesn't fit its field.
        """
        part: Any = self.objective
        own = {f.name for f in dataclasses.fields(part)}
        values = {name: getattr(part, name) for name in own}
        changed = validated(type(part), values | {k: v for k, v in settings.items() if k in own})
        rest = {k: v for k, v in settings.items() if k not in own}
        return dataclasses.replace(self, objective=changed), rest

    def fields_for(self, modality: Modality) -> dict[str, Any]:
        """Return the fields that differ for a modality that is as suits its kind."""
        usual = modality.likelihood
        if not isinstance(usual, Gaussian):  # texts, and sentences on their sphere
            return {}
        fields = dict(self.modality)
        if "likelihood" in fields:
            fields["likelihood"] = dataclasses.replace(fields["likelihood"], output=usual.output)
        return fields

    def model(self, modalities: Iterable[Modality], seed: int = 0) -> MultimodalAutoencoder:
        """Build the model."""
        return MultimodalAutoencoder(modalities, self.objective, seed=seed)


# As their sources trained: a fixed likelihood, against which beta means the same throughout, a
# constant rate, and nothing but the bound.
_PLAIN = {"weight_decay": 0.0, "schedule": "constant", "pure_weight": 0.0}
_FIXED = {"likelihood": Laplace(0.75)}

MULTIMODAL_PRESETS: tuple[MultimodalPreset, ...] = (
    MultimodalPreset(
        "aligned",
        "autoencoders joined by a contrast and by decoding each other's codes, with private codes",
        Aligned(),
        {"epochs": 8, "hide": "auto"},
    ),
    MultimodalPreset(
        "mvtcae",
        "variational: a product of experts, each of which must foresee the product",
        MVTCAE(),
        _PLAIN | {"lr": 4e-3},
        _FIXED,
    ),
    MultimodalPreset(
        "mmvae-plus",
        "variational: a mixture of experts for the shared code, private codes beside it",
        MMVAEPlus(),
        _PLAIN,
        _FIXED | {"private": 32},
    ),
    MultimodalPreset(
        "poe",
        "variational: a product of experts with the prior, on subsets",
        PoE(),
        _PLAIN,
        _FIXED,
    ),
    MultimodalPreset("moe", "variational: an even mixture of experts", MoE(), _PLAIN, _FIXED),
    MultimodalPreset(
        "mopoe",
        "variational: an even mixture of the products of all subsets",
        MoPoE(),
        _PLAIN,
        _FIXED,
    ),
)


def multimodal_preset(name: str) -> MultimodalPreset:
    """Return the preset of that name.

    Raises
    ------
    ConfigError
        If there is none; the message lists them and the nearest.
    """
    import difflib

    known = {p.name: p for p in MULTIMODAL_PRESETS}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise ConfigError(
            f"no preset {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            why=f"known: {', '.join(known)}",
        )
    return known[name]
