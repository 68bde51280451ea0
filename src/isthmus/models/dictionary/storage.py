"""Saving and loading a sparse dictionary: config.json, model.safetensors, a model card."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch

from isthmus._version import __version__
from isthmus.bottlenecks import DICTIONARY_BOTTLENECKS
from isthmus.configs import from_json, to_json
from isthmus.errors import ConfigError, RunError
from isthmus.files import write_json, write_text
from isthmus.models import storage
from isthmus.models.dictionary.model import SparseDictionary

__all__ = ["KIND", "built", "card", "config_of", "load", "save"]

KIND = "SparseDictionary"


def config_of(model: SparseDictionary) -> dict[str, Any]:
    """Return everything but the weights, as JSON values."""
    return {
        "kind": KIND,
        "dim": model.dim,
        "bottleneck": to_json(model.bottleneck),
        "normalise": model.normalise,
        "seed": model.seed,
    }


def save(model: SparseDictionary, folder: str | PathLike[str]) -> None:
    """Write the three files into ``folder``; what is not written whole is not written."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    storage.save_weights(model, place)
    head = {"format": storage.FORMAT, "isthmus": __version__, "model": config_of(model)}
    write_json(place / storage.CONFIG, head)
    if not (place / storage.CARD).exists():
        write_text(place / storage.CARD, card(model))


def load(
    source: str | PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    device: str | torch.device = "cpu",
) -> SparseDictionary:
    """Load a dictionary from a folder, or from a hub repository "owner/name".

    Raises
    ------
    RunError
        If a file is missing, damaged, of a newer format, or holds another kind of model.
    """
    folder = storage.folder_of(source, revision, local_files_only)
    model = built(storage.read_head(folder), folder)
    storage.fill(model, storage.read_tensors(folder / storage.WEIGHTS), folder / storage.WEIGHTS)
    return model.to(device).eval()


def built(head: dict[str, Any], folder: Path) -> SparseDictionary:
    """Build the model that a configuration describes, its weights without memory yet.

    Raises
    ------
    RunError
        If the configuration is damaged or describes another kind of model.
    """
    where = str(folder / storage.CONFIG)
    try:
        config = head["model"]
        if config["kind"] != KIND:
            raise RunError(
                f"this folder holds no sparse dictionary but an {config['kind']}",
                where=where,
                fix="open it with isthmus.open, or with that class' from_pretrained",
            )
        with torch.device("meta"):
            return SparseDictionary(
                config["dim"],
                from_json(config["bottleneck"], DICTIONARY_BOTTLENECKS),
                normalise=config["normalise"],
                seed=config["seed"],
            )
    except ConfigError as error:
        raise ConfigError(error.what, where=where, why=error.why, fix=error.fix) from error
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, OverflowError) as error:
        raise RunError("the configuration is damaged", where=where, why=repr(error)) from error


def card(model: SparseDictionary, body: str = "") -> str:
    """Return a filled model card in Markdown with the hub's front matter."""
    lines = "\n".join(f"- {line}" for line in model.describe())
    count = sum(p.numel() for p in model.parameters())
    return f"""---
library_name: isthmus
tags: [sparse-autoencoder, sparse-dictionary, isthmus]
---

# Sparse dictionary {model.dim} to {model.latent}

- bottleneck: `{model.bottleneck}`
- parameters: {count:,}

{lines}
{body}
## Use

```python
import isthmus as im

model = im.SparseDictionary.from_pretrained("PATH")  # this folder
codes = model.encode(vectors)        # scipy CSR array (rows, {model.latent})
vectors = model.decode(codes)        # (rows, {model.dim})
```
"""
