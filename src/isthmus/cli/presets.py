"""The presets of every family by name, and what is said of a name that none has."""

from __future__ import annotations

from isthmus.errors import ConfigError

__all__ = ["is_multimodal", "unknown_preset"]


def is_multimodal(name: str) -> bool:
    """Say whether a preset joins several modalities."""
    from isthmus.models.multimodal.presets import MULTIMODAL_PRESETS

    return any(preset.name == name for preset in MULTIMODAL_PRESETS)


def unknown_preset(name: str) -> ConfigError | None:
    """Return the error for a name that no preset of any family has; None where one has it."""
    import difflib

    from isthmus.models import PRESETS
    from isthmus.models.dictionary.presets import DICTIONARY_PRESETS
    from isthmus.models.multimodal.presets import MULTIMODAL_PRESETS

    families = (PRESETS, DICTIONARY_PRESETS, MULTIMODAL_PRESETS)
    known = list(dict.fromkeys(preset.name for family in families for preset in family))
    if name in known:
        return None
    near = difflib.get_close_matches(name, known, 1)
    return ConfigError(
        f"no preset {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        why=f"known: {', '.join(known)}",
    )
