"""The files of a run of several modalities: configuration, adapters, mixture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus._version import __version__
from isthmus.configs import to_json, validated
from isthmus.data.modalities import Adapter, adapter_from
from isthmus.errors import ConfigError, DataError, RunError, in_a_line
from isthmus.files import written_whole
from isthmus.models import storage
from isthmus.models.multimodal.storage import model_config

if TYPE_CHECKING:
    from isthmus.runs.multimodal.run import MultimodalRun

__all__ = [
    "ADAPTERS",
    "JUDGES",
    "MIXTURE",
    "PAGE",
    "config_of",
    "open_adapters",
    "save_adapters",
    "taken",
]

ADAPTERS, MIXTURE, JUDGES = "adapters.safetensors", "mixture.safetensors", "judges"
PAGE = "page.html"


def config_of(run: MultimodalRun) -> dict[str, Any]:
    """Return ``config.json``: model, training, data, adapters, how the training went."""
    return {
        "format": storage.FORMAT,
        "isthmus": __version__,
        "preset": run.preset,
        "model": model_config(run.model),
        "training": to_json(run.training),
        "mixture": to_json(run.mixture_fit),
        "data": dataclasses.asdict(run.origin),
        "adapters": {name: adapter.config() for name, adapter in run.adapters.items()},
        "classes": list(run.classes),
        "trained": to_json(run.trained),
        "notes": list(run.notes),
    }


def save_adapters(adapters: Mapping[str, Adapter], folder: Path) -> None:
    """Write what the adapters learned from training items."""
    from safetensors.numpy import save_file

    state = {
        f"{name}/{key}": np.ascontiguousarray(value)
        for name, adapter in adapters.items()
        for key, value in adapter.state().items()
    }
    with written_whole(folder / ADAPTERS) as temporary:
        save_file(state, temporary)


def open_adapters(config: Mapping[str, Any], folder: Path) -> dict[str, Adapter]:
    """Make the adapters of a run again.

    Raises
    ------
    RunError
        If their settings or what they learned are missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / ADAPTERS
    if not path.is_file():
        raise RunError("the adapters are missing", where=str(path))
    try:
        state = load_file(path)
        found = {
            str(name): adapter_from(
                values,
                {k.partition("/")[2]: v for k, v in state.items() if k.partition("/")[0] == name},
            )
            for name, values in config["adapters"].items()
        }
    except (SafetensorError, ConfigError, DataError, KeyError, AttributeError, OSError) as error:
        raise RunError("the adapters are damaged", where=str(path), why=in_a_line(error)) from error
    return found


def taken(cls: type[Any], values: Any, folder: Path) -> Any:
    """Build a dataclass from what ``to_json`` wrote, nested ones too.

    Raises
    ------
    RunError
        If it doesn't fit.
    """
    try:
        return validated(cls, _plain(values))
    except (ConfigError, AttributeError, TypeError) as error:
        raise RunError(
            "the configuration is damaged",
            where=str(folder / storage.CONFIG),
            why=in_a_line(error),
        ) from error


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the names of classes."""
    return {
        key: _plain(value) if isinstance(value, Mapping) and "kind" in value else value
        for key, value in values.items()
        if key != "kind"
    }
