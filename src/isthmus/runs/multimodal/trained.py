"""How a training went."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MultimodalTrained"]


@dataclass(frozen=True)
class MultimodalTrained:
    """How a training of several modalities went."""

    epochs: int = 0
    """Epochs that were trained."""
    steps: int = 0
    """Optimiser steps in all."""
    seconds: float = 0.0
    """Time spent in training steps."""
    samples_per_second: float = 0.0
    """Rows a second of the training steps alone."""
