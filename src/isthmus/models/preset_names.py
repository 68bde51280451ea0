"""What is said of a name that no preset of any family has."""

from __future__ import annotations

import difflib

from isthmus.errors import ConfigError
from isthmus.models.dictionary.presets import DICTIONARY_PRESETS
from isthmus.models.multimodal.presets import MULTIMODAL_PRESETS
from isthmus.models.presets import PRESETS

__all__ = ["unknown_preset"]


def unknown_preset(name: str) -> ConfigError | None:
    """Return the error for a name that no preset of any family has; None where one has it."""
    families = (PRESETS, DICTIONARY_PRESETS, MULTIMODAL_PRESETS)
    known = list(dict.fromkeys(preset.name for family in families for preset in family))
    if name in known:
        return None
    near = difflib.get_close_matches(name, known, 1)
    return ConfigError(
        f"no preset {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        why=f"known: {', '.join(known)}",
    )
