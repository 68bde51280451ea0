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
    from isthmus.models import preset_names

    return None if name in preset_names.preset_names() else preset_names.unknown_preset(name)
