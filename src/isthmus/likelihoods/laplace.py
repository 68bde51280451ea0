"""Laplace likelihood: absolute error in nats, robust to outliers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.errors import ConfigError
from isthmus.likelihoods.base import Readout, chosen_output

__all__ = ["Laplace", "LaplaceReadout"]


@dataclass(frozen=True)
class Laplace:
    """Independent Laplace elements: ``|x - m| / b + log(2 b)`` summed, in nats."""

    scale: float | Literal["learned"] = "learned"
    """The scale b: a fixed number, or "learned" (one scalar)."""
    output: Literal["linear", "sigmoid"] = "linear"
    """"linear", or "sigmoid" to squash the mean into [0, 1]."""

    def __post_init__(self) -> None:
        if not isinstance(self.scale, str) and not self.scale > 0:
            raise ConfigError(f"the scale must be positive, not {self.scale}")

    @property
    def per_element(self) -> int:
        """One number an element: the mean (and median)."""
        return 1

    def build(self, shape: tuple[int, ...]) -> LaplaceReadout:
        """Return the module for samples of ``shape``."""
        return LaplaceReadout(self, shape)


class LaplaceReadout(Readout):
    """See :class:`Laplace`."""

    log_scale: Tensor

    def __init__(self, config: Laplace, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        if isinstance(config.scale, str):
            self.log_scale = nn.Parameter(torch.tensor(-1.0))
        else:
            self.register_buffer("log_scale", torch.tensor(math.log(config.scale)))

    def distortion(self, out: Tensor, x: Tensor) -> Tensor:
        """Return the negative log-density in nats, (...,)."""
        error = (self.mean(out) - x).abs()
        return self._over_sample(error * (-self.log_scale).exp() + self.log_scale + math.log(2))

    def mean(self, out: Tensor) -> Tensor:
        """Return the mean: the output itself, or its sigmoid."""
        return chosen_output(out, self.config.output)

    def distribution(self, out: Tensor) -> torch.distributions.Distribution:
        """Return independent Laplace distributions over the sample."""
        laplace = torch.distributions.Laplace(self.mean(out), self.log_scale.exp().expand_as(out))
        return torch.distributions.Independent(laplace, len(self.shape))

    def describe(self) -> str:
        """Say what the distortion measures."""
        scale = float(self.log_scale.detach().exp())
        return f"distortion is a Laplace negative log-density in nats, scale {scale:.4g}"
