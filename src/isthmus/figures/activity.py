"""One measure of activity for codes of any width and scale.

Codes of two models differ in scale: a sigmoid code lies in (0, 1), a ReLU code anywhere above
zero, a plain code on both sides of it. A threshold in raw units would measure each model with
another ruler, and |sigmoid(z) - 0.5| > 0.4 counts the latents that are *off*. So a latent is
held to be **active** on a sample where its magnitude exceeds 1 % of the model's *full scale*:
the 99.9th percentile of the magnitudes that aren't zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.figures.checks import as_matrix

__all__ = ["NEAR_ZERO", "Activity", "activity", "firing", "full_scale"]

NEAR_ZERO = 0.01


@dataclass(frozen=True)
class Activity:
    """How sparse a set of codes is."""

    samples: int
    """Number of codes."""
    latents: int
    """Their width."""
    full_scale: float
    """99.9th percentile of the magnitudes that aren't zero; 0 where all are."""
    l0: float
    """Active latents of a sample, on average."""
    near_zero: float
    """Share of all values that aren't active."""
    exact_zero: float
    """Share of all values that are exactly zero."""
    mean: float
    """Mean of all values."""
    hoyer: float
    """Hoyer's sparsity of a sample, on average over those that aren't zero; 0 to 1."""
    dead: int
    """Latents that are active on no sample."""


def full_scale(codes: np.ndarray) -> float:
    """Give the 99.9th percentile of the magnitudes that aren't zero; 0 where all are zero."""
    magnitudes = np.abs(codes[codes != 0])
    return float(np.quantile(magnitudes, 0.999)) if magnitudes.size else 0.0


def firing(codes: np.ndarray, active_above: float | None = None) -> np.ndarray:
    """Say where codes are active: magnitude above ``active_above``, or above 1 % of full scale."""
    edge = NEAR_ZERO * full_scale(codes) if active_above is None else active_above
    return np.asarray(np.abs(codes) > edge)


def activity(codes: Any, active_above: float | None = None) -> Activity:
    """Measure codes ``(N, latents)``; see :func:`firing` for what counts as active.

    Raises
    ------
    DataError
        If there are none, or they aren't finite numbers.
    """
    values = as_matrix(codes).astype(np.float64)
    active = firing(values, active_above)
    return Activity(
        samples=values.shape[0],
        latents=values.shape[1],
        full_scale=full_scale(values),
        l0=float(active.sum(axis=1).mean()),
        near_zero=float(1 - active.mean()),
        exact_zero=float((values == 0).mean()),
        mean=float(values.mean()),
        hoyer=_hoyer(values),
        dead=int((~active.any(axis=0)).sum()),
    )


def _hoyer(values: np.ndarray) -> float:
    """(sqrt(n) - l1 / l2) / (sqrt(n) - 1), after Hoyer (2004)."""
    width = values.shape[1]
    values = values[np.any(values != 0, axis=1)]
    if width < 2 or len(values) == 0:
        return float("nan")
    magnitudes = np.abs(values)
    # Divided by its largest value first, so that squares neither overflow nor vanish.
    magnitudes = magnitudes / magnitudes.max(axis=1, keepdims=True)
    ratio = magnitudes.sum(axis=1) / np.sqrt((magnitudes**2).sum(axis=1))
    return float(((np.sqrt(width) - ratio) / (np.sqrt(width) - 1)).mean())
