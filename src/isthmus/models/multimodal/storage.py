"""Saving and loading multimodal models: config.json, model.safetensors, a model card."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from isthmus._version import __version__
from isthmus.configs import by_name, from_json, to_json
from isthmus.errors import ConfigError, RunError
from isthmus.files import write_json, write_text
from isthmus.models.multimodal.aligned import Aligned
from isthmus.models.multimodal.mmvae_plus import MMVAEPlus
from isthmus.models.multimodal.modality import modality_from
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.models.multimodal.moe import MoE
from isthmus.models.multimodal.mopoe import MoPoE
from isthmus.models.multimodal.mvtcae import MVTCAE
from isthmus.models.multimodal.objective import Objective
from isthmus.models.multimodal.poe import PoE
from isthmus.models.storage import (
    CARD,
    CONFIG,
    FORMAT,
    WEIGHTS,
    fill,
    folder_of,
    read_head,
    read_tensors,
    save_weights,
)
from isthmus.networks.base import Halves

__all__ = ["OBJECTIVES", "load", "model_card", "model_config", "save"]

OBJECTIVES: dict[str, type[Objective]] = by_name(Aligned, MVTCAE, MMVAEPlus, PoE, MoE, MoPoE)
KIND = "MultimodalAutoencoder"
OwnHalves = Mapping[str, Halves | tuple[nn.Module, nn.Module]]


def model_config(model: MultimodalAutoencoder) -> dict[str, Any]:
    """Return everything but the weights, as JSON values."""
    return {
        "kind": KIND,
        "modalities": [to_json(m) for m in model.modalities.values()],
        "objective": to_json(model.objective),
        "seed": model.seed,
        "frozen": sorted(model.frozen),
    }


def save(model: MultimodalAutoencoder, folder: str | PathLike[str]) -> None:
    """Write ``config.json``, ``model.safetensors`` and a model card into ``folder``.

    Raises
    ------
    RunError
        If a file can't be written; what was there before is unchanged.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    save_weights(model, place)
    head = {"format": FORMAT, "isthmus": __version__, "model": model_config(model)}
    write_json(place / CONFIG, head)
    if not (place / CARD).exists():
        write_text(place / CARD, model_card(model))


def load(
    source: str | PathLike[str],
    *,
    halves: OwnHalves | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    device: str | torch.device = "cpu",
) -> MultimodalAutoencoder:
    """Load a model from a folder, or from a hub repository "owner/name".

    Parameters
    ----------
    halves
        The user's own modules, where the model was built with such; their weights are filled in.

    Raises
    ------
    RunError
        If a file is missing, damaged, or of a newer format.
    ConfigError
        If the model needs halves that were not given, or is of another kind.
    """
    folder = folder_of(source, revision, local_files_only)
    config = read_head(folder)
    where = str(folder / CONFIG)
    try:
        model = _built(config["model"], halves or {})
    except ConfigError as error:
        raise ConfigError(error.what, where=where, why=error.why, fix=error.fix) from error
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, OverflowError) as error:
        raise RunError("the configuration is damaged", where=where, why=repr(error)) from error
    fill(model, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    model.freeze(model.frozen)
    return model.to(device).eval()


def _built(config: Mapping[str, Any], halves: OwnHalves) -> MultimodalAutoencoder:
    if config["kind"] != KIND:
        raise ConfigError(
            f"this is no multimodal model: {config['kind']!r}",
            fix="load it with Autoencoder.from_pretrained",
        )
    modalities = [modality_from(m) for m in config["modalities"]]
    own = [m.name for m in modalities if m.network is None]
    absent = [name for name in own if name not in halves]
    if absent:
        raise ConfigError(
            f"the model was built from the user's own encoder and decoder of {absent[0]!r}",
            fix="give them again: from_pretrained(folder, halves={name: (encoder, decoder)})",
        )
    objective = from_json(config["objective"], OBJECTIVES)
    # tensors without memory, filled from the file; the user's own halves exist already
    with contextlib.nullcontext() if own else torch.device("meta"):
        model = MultimodalAutoencoder(
            modalities,
            objective,
            halves={name: halves[name] for name in own},
            seed=int(config["seed"]),
        )
    model.frozen = frozenset(config["frozen"]) & frozenset(model.names)
    return model


def model_card(model: MultimodalAutoencoder, body: str = "") -> str:
    """Return a filled model card in Markdown with the hub's front matter."""
    lines = "\n".join(f"- {line}" for line in model.describe())
    parts = "\n".join(
        f"- {name}: {'x'.join(map(str, m.shape))}, "
        f"`{m.network if m.network is not None else 'own halves'}`, `{m.likelihood}`"
        for name, m in model.modalities.items()
    )
    first = model.names[0]
    return f"""---
library_name: isthmus
tags: [autoencoder, multimodal, isthmus]
---

# Multimodal autoencoder of {", ".join(model.names)}

- objective: `{model.objective}`
- parameters: {model.parameters_count:,}
{parts}

What the objective amounts to:

{lines}
{body}
## Use

```python
from isthmus.models.multimodal import MultimodalAutoencoder

model = MultimodalAutoencoder.from_pretrained("PATH")  # this folder
codes = model.encode({{"{first}": items}})   # codes.shared: (N, {model.shared})
items = model.decode(codes.shared)         # by modality
```
"""
