"""Learning rates over the course of a training, as a pure function of the step."""

from __future__ import annotations

import math

from isthmus.training.config import Training

__all__ = ["rate_at"]


def rate_at(step: int, total: int, config: Training) -> float:
    """Return the learning rate of step ``step`` (from 0) of ``total``.

    The cosine is that of Loshchilov and Hutter, arXiv:1608.03983, without restarts.

    Examples
    --------
    >>> [round(rate_at(s, 4, Training(lr=1.0)), 3) for s in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    >>> [rate_at(s, 4, Training(lr=1.0, schedule="step", step_at=(0.5,))) for s in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    share = step / total
    if config.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * share))
    elif config.schedule == "step":
        fall = config.step_factor ** sum(share >= at for at in config.step_at)
    else:
        fall = 1.0
    return config.lr * warm * fall
