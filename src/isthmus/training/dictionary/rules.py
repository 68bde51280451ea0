"""What follows from the data where a setting is not given: sizes, rates, clocks."""

from __future__ import annotations

import dataclasses
import math

from isthmus.training.dictionary.config import DictionaryTraining

__all__ = ["batch_for", "completed", "k_at", "latents_for", "learning_rate", "rate_at"]


def latents_for(rows: int, dim: int) -> int:
    """Return a number of latents: 8 a dimension, but each with at least 16 rows to learn from.

    Examples
    --------
    >>> latents_for(100_000, 384), latents_for(1_000, 384)
    (3072, 48)
    """
    room = rows // 16
    return 8 * dim if room >= 8 * dim else min(8 * dim, max(16, room // 16 * 16))


def batch_for(rows: int, epochs: int) -> int:
    """Return a batch size: a power of two from 64 to 4,096 with some 1,500 steps or more.

    Examples
    --------
    >>> batch_for(82_903, 20), batch_for(1_000, 20), batch_for(10_000_000, 1)
    (1024, 64, 4096)
    """
    wanted = max(1.0, rows * epochs / 1500)
    return int(min(max(2 ** math.floor(math.log2(wanted)), 64), 4096))


def learning_rate(latents: int, steps: int, batch_size: int = 1024) -> float:
    """Return Adam's largest rate: the published law, times what a short training can take.

    The law is 2e-4 / sqrt(N / 2^14) (Gao et al., arXiv:2406.04093, as in sparsify and
    dictionary_learning), made for some 100,000 steps. At 1,600 steps, 11 times as much gives the
    lowest held-out error (benchmarks/README.md); between the two the factor falls as the
    0.58th power of the steps. Batches below 1,024 rows, at which that was found, take the rate
    times the root of their share (Malladi et al., arXiv:2205.10287): with more, latents die.
    """
    law = 2e-4 / math.sqrt(latents / 2**14)
    short = min(max((100_000 / max(steps, 1)) ** 0.58, 1.0), 12.0)
    return float(law * short * min(1.0, math.sqrt(batch_size / 1024)))


def completed(
    config: DictionaryTraining, rows: int, latents: int, world: int = 1, pace: float = 1.0
) -> DictionaryTraining:
    """Fill in the settings that follow from the data; ``pace`` multiplies the rule's rate."""
    size = config.batch_size or batch_for(rows, config.epochs)
    size = max(world, size // world * world)
    steps = math.ceil(rows / size) * config.epochs
    # rows seen once can't be learned by heart
    again = min(1.0, (config.epochs - 1) / 10)
    noise = config.noise if config.noise >= 0 else 0.3 * again
    shrinking = config.encoder_decay if config.encoder_decay >= 0 else 0.4 * again
    return dataclasses.replace(
        config,
        batch_size=size,
        lr=config.lr or pace * learning_rate(latents, steps, size),
        noise=noise,
        encoder_decay=shrinking,
    )


def rate_at(step: int, steps: int, config: DictionaryTraining) -> float:
    """Return the learning rate of a step, counted from 0: up, flat, and down to zero.

    Examples
    --------
    >>> config = DictionaryTraining(lr=1.0, warmup=0.2, decay=0.5)
    >>> [round(rate_at(step, 10, config), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]
    """
    share = (step + 1) / steps
    up = share / config.warmup if config.warmup else 1.0
    down = (1 - step / steps) / config.decay if config.decay else 1.0
    return config.lr * min(up, down, 1.0)


def k_at(k: int, step: int, steps: int, config: DictionaryTraining) -> int:
    """Return k at a step: falling linearly from ``anneal_k`` times k."""
    if config.anneal_k == 1 or not config.anneal:
        return k
    share = min(1.0, step / (config.anneal * steps))
    return max(1, round(k * (config.anneal_k + (1 - config.anneal_k) * share)))
