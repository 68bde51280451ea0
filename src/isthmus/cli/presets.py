"""Which family a preset belongs to."""

from __future__ import annotations

__all__ = ["is_multimodal"]


def is_multimodal(name: str) -> bool:
    """Say whether a preset joins several modalities."""
    from isthmus.models.multimodal.presets import MULTIMODAL_PRESETS

    return any(preset.name == name for preset in MULTIMODAL_PRESETS)
