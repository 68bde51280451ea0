"""Every kind of adapter, and how a saved one is made again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.base import Adapter, State
from isthmus.data.modalities.image import ImageAdapter
from isthmus.data.modalities.sentence import SentenceAdapter
from isthmus.data.modalities.text import TextAdapter
from isthmus.data.modalities.vector import VectorAdapter
from isthmus.errors import ConfigError, DataError

__all__ = ["ADAPTERS", "AdapterClass", "adapter_from"]

AdapterClass = (
    type[ImageAdapter]
    | type[AudioAdapter]
    | type[TextAdapter]
    | type[SentenceAdapter]
    | type[VectorAdapter]
)
ADAPTERS: Mapping[str, AdapterClass] = MappingProxyType(
    {
        cls.kind: cls
        for cls in (ImageAdapter, AudioAdapter, TextAdapter, SentenceAdapter, VectorAdapter)
    }
)
"""The adapters by kind; add one here and runs can save and open it."""


def adapter_from(config: Mapping[str, Any], state: State) -> Adapter:
    """Make an adapter again from its ``config()`` and ``state()``.

    Parameters
    ----------
    config
        JSON values, the kind under ``"kind"``.
    state
        Arrays by name; others than the adapter's own are passed over.

    Raises
    ------
    ConfigError
        If the kind is unknown, or a setting is.
    DataError
        If the state is damaged.
    """
    kind = config.get("kind")
    if not isinstance(kind, str) or kind not in ADAPTERS:
        raise ConfigError(f"unknown kind of modality {kind!r}", why=f"known: {', '.join(ADAPTERS)}")
    values = {key: value for key, value in config.items() if key != "kind"}
    try:
        return ADAPTERS[kind].rebuilt(values, state)
    except (TypeError, KeyError, AttributeError) as error:
        if isinstance(error, ConfigError | DataError):
            raise
        raise ConfigError(
            f"the saved settings of a modality of kind {kind!r} are damaged", why=str(error)
        ) from error
