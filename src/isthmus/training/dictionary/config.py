"""The settings of a dictionary's training; what is not given follows from the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from isthmus.errors import ConfigError

__all__ = ["DictionaryTraining"]


@dataclass(frozen=True)
class DictionaryTraining:
    """How a sparse dictionary is trained: every choice that is not a part of the model."""

    epochs: int = 20
    """Passes over the training rows."""
    batch_size: int = 0
    """Rows a step; 0 takes a power of two from 64 to 4,096 that leaves enough steps."""
    lr: float = 0.0
    """Largest learning rate of Adam; 0 takes it from the number of latents and of steps."""
    warmup: float = 0.0
    """Share of the steps over which the rate rises from zero."""
    decay: float = 0.5
    """Share of the steps, at the end, over which the rate falls linearly to zero."""
    revival: float = 1 / 32
    """Weight of the auxiliary loss that brings dead latents back; 0 for none."""
    revival_rows: float = 1 / 8
    """Share of a batch's rows on which that loss is computed; where it is not all of them, at
    most some 128, which are enough and keep it cheap."""
    dead_after: float = 30.0
    """A latent is dead when it was silent for this many times the rows between two firings of an
    average latent, N / L0."""
    max_rate: float = 0.16
    """Firing rate at which a latent is held: the bias of one that fires on more rows is lowered
    until it no longer does; 1 for no limit. At least twice the mean rate, L0 / N, holds."""
    noise: float = -1.0
    """Gaussian noise on the rows while training, as a share of their standard deviation a
    coordinate: against over-fitting. Below 0: from the number of passes over the data."""
    encoder_decay: float = -1.0
    """Decoupled weight decay of the encoder, times the learning rate a step: against over-fitting
    and latents that fire too often. Below 0: from the number of passes over the data."""
    anneal_k: float = 1.0
    """What k is multiplied by at the start."""
    anneal: float = 0.4
    """Share of the steps over which that factor falls to 1."""
    beta1: float = 0.9
    """Adam's memory of the gradient."""
    beta2: float = 0.999
    """Adam's memory of the squared gradient."""
    eps: float = 6.25e-10
    """Adam's epsilon (Gao et al.'s value)."""
    patience: int = 0
    """Epochs without a better held-out error before training stops; 0 for all epochs. The best
    epoch's weights are kept in either case."""
    held_out: float = 0.1
    """Share of the rows never trained on (at most 10,000), where the data bring no splits."""
    warm: bool = False
    """Go on from the dictionary's own weights, in place of new ones."""
    drop_bad: bool = False
    """Leave rows with NaN or infinite values out, and count them, instead of refusing them."""
    seed: int = 0
    """Seed of the directions at the start, the order of the rows and all noise."""
    device: str = "auto"
    """"auto" (a GPU where there is one), "cpu", "cuda", ..."""
    precision: Literal["float32", "fast"] = "float32"
    """"fast" screens latents in a short number format and rescores those that may be active in
    float32: the same latents are picked, as a bound on the error proves for every row (TopK and
    any-k; where the choice is over the batch or by thresholds, float32 is used all the same)."""
    threads: int = 0
    """CPU threads; 0 for as many as torch uses. What the kernels train (TopK, BatchTopK,
    Matryoshka, any-k) does not depend on it by a bit; the others do in the last digits."""
    checkpoint_seconds: float = 60.0
    """Least time between two checkpoints."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} must be a finite number, not {value}")
        for name in ("epochs", "dead_after", "eps", "anneal_k"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("batch_size", "lr", "revival", "patience", "threads", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} can't be negative, as {getattr(self, name)} is")
        for name in ("warmup", "decay", "anneal"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        if not 0 < self.revival_rows <= 1:
            raise ConfigError(f"revival_rows is a share up to 1, not {self.revival_rows}")
        if not 0 < self.max_rate <= 1:
            raise ConfigError(f"max_rate is a share up to 1, not {self.max_rate}")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out is a share between 0 and 1, not {self.held_out}")
        if not 0 <= self.beta1 < 1 or not 0 <= self.beta2 < 1:
            raise ConfigError("beta1 and beta2 must be in [0, 1)")
        if self.warmup + self.decay > 1:
            raise ConfigError("warmup and decay are shares of one training and can't exceed it")
