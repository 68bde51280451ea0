"""Categorical likelihood: each element is one of L levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.errors import ConfigError
from isthmus.likelihoods.base import Readout, refuse_outside_unit

__all__ = ["Categorical", "CategoricalReadout"]


@dataclass(frozen=True)
class Categorical:
    """Each element takes one of L levels spread evenly over [0, 1]; cross-entropy in nats."""

    levels: int = 16
    """Number of levels L; a value x counts as level round(x * (L - 1))."""

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 256:
            raise ConfigError(f"levels must be from 2 to 256, not {self.levels}")

    @property
    def per_element(self) -> int:
        """One logit a level."""
        return self.levels

    def build(self, shape: tuple[int, ...]) -> CategoricalReadout:
        """Return the module for samples of ``shape``."""
        return CategoricalReadout(self, shape)


class CategoricalReadout(Readout):
    """See :class:`Categorical`. The decoder's first axis holds level-major blocks (L, C)."""

    def __init__(self, config: Categorical, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.shape = config, shape

    def _log_probabilities(self, out: Tensor) -> Tensor:
        """Return log-probabilities (..., L, C, *rest)."""
        axes = len(self.shape)
        logits = out.reshape(*out.shape[: out.ndim - axes], self.config.levels, *self.shape)
        return logits.log_softmax(-axes - 1)

    def distortion(self, out: Tensor, x: Tensor) -> Tensor:
        """Return the cross-entropy of the levels in nats, (...,)."""
        log_p = self._log_probabilities(out)
        axis = log_p.ndim - len(self.shape) - 1
        level = (x * (self.config.levels - 1)).round().long().unsqueeze(-len(self.shape) - 1)
        level = level.expand(*log_p.shape[:axis], 1, *self.shape)
        return -self._over_sample(log_p.gather(axis, level).squeeze(axis))

    def mean(self, out: Tensor) -> Tensor:
        """Return the expected value in [0, 1]."""
        p = self._log_probabilities(out).exp()
        values = torch.linspace(0, 1, self.config.levels, device=out.device)
        return (p * values.view(-1, *(1 for _ in self.shape))).sum(-len(self.shape) - 1)

    def describe(self) -> str:
        """Say what the distortion measures."""
        return f"distortion is the cross-entropy over {self.config.levels} levels, summed, in nats"

    def check(self, x: Tensor) -> None:
        """Refuse values outside [0, 1]."""
        refuse_outside_unit(x, "the categorical likelihood")
