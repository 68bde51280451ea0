"""Gaussian likelihoods: fixed, learned or optimal variance, and plain squared error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.errors import ConfigError
from isthmus.likelihoods.base import Readout, chosen_output

__all__ = ["MSE", "Gaussian", "GaussianReadout", "MSEReadout"]

Output = Literal["linear", "sigmoid"]
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class MSE:
    """Mean squared error per element: the Gaussian of fixed variance D/2 without its constant.

    With distortion ``sum((x - m)^2) / D``, a rate of beta nats beside it weighs as much as
    beta * D / 2 nats beside a Gaussian of unit variance.
    """

    output: Output = "linear"
    """"linear", or "sigmoid" to squash the output into [0, 1]."""

    @property
    def per_element(self) -> int:
        """One number an element: the mean."""
        return 1

    def build(self, shape: tuple[int, ...]) -> MSEReadout:
        """Return the module for samples of ``shape``."""
        return MSEReadout(self, shape)


class MSEReadout(Readout):
    """See :class:`MSE`."""

    def __init__(self, config: MSE, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.shape = config, shape

    def distortion(self, out: Tensor, x: Tensor) -> Tensor:
        """Return the squared error averaged over a sample's elements, (...,)."""
        error = (self.mean(out) - x).square()
        return self._over_sample(error) / math.prod(self.shape)

    def mean(self, out: Tensor) -> Tensor:
        """Return the output itself, or its sigmoid."""
        return chosen_output(out, self.config.output)

    def describe(self) -> str:
        """Say what the distortion measures."""
        elements = math.prod(self.shape)
        return (
            f"distortion is the squared error averaged over {elements} elements: a Gaussian of "
            f"fixed variance {elements / 2:g} without its constant"
        )


@dataclass(frozen=True)
class Gaussian:
    """Independent normal elements, ``-log N(x; m, s^2)`` summed over the sample, in nats."""

    variance: float | Literal["learned", "per-element", "optimal"] = "learned"
    """A fixed variance; "learned" (one scalar); "per-element" (one for each element of a
    sample); or "optimal" (the batch's mean squared error)."""
    output: Output = "linear"
    """"linear", or "sigmoid" to squash the mean into [0, 1]."""

    def __post_init__(self) -> None:
        if not isinstance(self.variance, str) and not self.variance > 0:
            raise ConfigError(f"the variance must be positive, not {self.variance}")

    @property
    def per_element(self) -> int:
        """One number an element: the mean."""
        return 1

    def build(self, shape: tuple[int, ...]) -> GaussianReadout:
        """Return the module for samples of ``shape``."""
        return GaussianReadout(self, shape)


class GaussianReadout(Readout):
    """See :class:`Gaussian`.

    "optimal" is the maximum-likelihood variance of the batch, through which no gradient
    need flow as it is a stationary point; a running value serves outside training. Source:
    Rybkin, Daniilidis and Levine, "Simple and effective VAE training with calibrated
    decoders", arXiv:2006.13202.
    """

    log_variance: Tensor

    def __init__(self, config: Gaussian, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        size = shape if config.variance == "per-element" else ()
        start = math.log(config.variance) if isinstance(config.variance, int | float) else -2.0
        value = torch.full(size, start)
        if config.variance in {"learned", "per-element"}:
            self.log_variance = nn.Parameter(value)
        else:
            self.register_buffer("log_variance", value)

    @property
    def variance(self) -> Tensor:
        """The variance in force, a scalar or of the sample's shape."""
        return self._bounded().exp()

    def _bounded(self) -> Tensor:
        if not isinstance(self.config.variance, str):
            return self.log_variance
        # smooth, so that the gradient never vanishes at a clamp; within 1 % of itself inside +-3
        return 20 * torch.tanh(self.log_variance / 20)

    def distortion(self, out: Tensor, x: Tensor) -> Tensor:
        """Return the negative log-density in nats, (...,)."""
        error = (self.mean(out) - x).square()
        if self.config.variance == "optimal" and self.training:
            self._follow(error)
        log_variance = self._bounded()
        return 0.5 * self._over_sample(error * (-log_variance).exp() + log_variance + LOG_2PI)

    @torch.no_grad()
    def _follow(self, error: Tensor) -> None:
        best = error.detach().mean().clamp_min(1e-8).log()
        # errors beyond the bound (data of huge scale) take the largest variance, not NaN
        self.log_variance.copy_(20 * torch.atanh((best / 20).clamp_max(0.999)))

    def mean(self, out: Tensor) -> Tensor:
        """Return the mean: the output itself, or its sigmoid."""
        return chosen_output(out, self.config.output)

    def distribution(self, out: Tensor) -> torch.distributions.Distribution:
        """Return independent normals over the sample."""
        deviation = (0.5 * self._bounded()).exp().expand_as(out)
        normal = torch.distributions.Normal(self.mean(out), deviation)
        return torch.distributions.Independent(normal, len(self.shape))

    def describe(self) -> str:
        """Say what the distortion measures."""
        variance = float(self.variance.detach().mean())
        how = "fixed" if not isinstance(self.config.variance, str) else self.config.variance
        return (
            f"distortion is a Gaussian's negative log-density in nats, variance {variance:.4g} "
            f"({how})"
        )
