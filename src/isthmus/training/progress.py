"""What a training tells whoever watches it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

__all__ = ["Progress", "Watch", "lines_to"]


@dataclass(frozen=True)
class Progress:
    """Where a training is, sent about four times a second and after each epoch."""

    epoch: int
    """The epoch under way, or just ended, from 1."""
    epochs: int
    """Epochs asked for."""
    samples: int
    """Samples trained on so far, over all epochs."""
    total: int
    """Samples to train on in all."""
    samples_per_second: float
    """Speed of the training steps alone."""
    seconds_left: float
    """Time left at that speed, validation included."""
    row: Mapping[str, float] | None = field(default=None)
    """The epoch's row of the history, once it has ended."""


Watch = Callable[[Progress], None]


def lines_to(stream: TextIO | None = None) -> Watch:
    """Return a watcher that writes one line an epoch to ``stream`` (default standard error)."""

    def watch(progress: Progress) -> None:
        if progress.row is None:
            return
        row = progress.row
        parts = [f"epoch {progress.epoch}/{progress.epochs}", f"loss {row['train_loss']:.5g}"]
        if "validation_loss" in row:
            parts.append(f"validation {row['validation_loss']:.5g}")
        parts.append(f"{progress.samples_per_second:,.0f} samples/s")
        parts.append(f"{progress.seconds_left:.0f} s left")
        print_to = stream if stream is not None else sys.stderr
        print_to.write("  ".join(parts) + "\n")
        print_to.flush()

    return watch
