"""The presets of every family by name, and what is said of a name that none has."""

from __future__ import annotations

import difflib

from isthmus.errors import ConfigError
from isthmus.models.dictionary.presets import DICTIONARY_PRESETS
from isthmus.models.multimodal.presets import MULTIMODAL_PRESETS
from isthmus.models.presets import PRESETS

__all__ = ["preset_names", "unknown_preset"]


def preset_names() -> list[str]:
    """Return the names of all presets, a name that two families share once."""
    families = (PRESETS, DICTIONARY_PRESETS, MULTIMODAL_PRESETS)
    return list(dict.fromkeys(preset.name for family in families for preset in family))


def unknown_preset(name: str) -> ConfigError:
    """Return the error for a name that no preset of any family has."""
    known = preset_names()
    near = difflib.get_close_matches(name, known, 1)
    return ConfigError(
        f"no preset {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        why=f"known: {', '.join(known)}",
    )
