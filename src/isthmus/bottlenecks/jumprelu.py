"""The JumpReLU bottleneck: each latent has a threshold of its own, trained with the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.bottlenecks.control import Controller
from isthmus.errors import ConfigError

__all__ = ["JumpReLU", "JumpReLUWaist", "jump", "step"]


@dataclass(frozen=True)
class JumpReLU:
    """Keeps activations above trained thresholds, and charges for how many there are.

    ``a_j = h_j * H(h_j - theta_j)`` costs ``weight * sum_j H(h_j - theta_j)``, H the step
    function. Neither has a useful derivative by theta, so that straight-through estimates stand
    in, with K the indicator of |u| < 1/2 and bandwidth e:

        d a_j / d theta_j = -(theta_j / e) K((h_j - theta_j) / e)
        d H / d theta_j   = -(1 / e)       K((h_j - theta_j) / e)

    Source: Rajamanoharan et al., "Jumping ahead", arXiv:2407.14435, equations 11 and 12. Instead
    of the weight, ``l0`` may be asked for; a controller then finds the weight.
    """

    latent: int = 64
    """Number of latents (the width of the code)."""
    l0: float | None = None
    """Mean number of active latents a sample to reach."""
    weight: float | None = None
    """What the number of active latents is multiplied by (0.001 where nothing is asked for)."""
    bandwidth: float = 0.03
    """Width of the window in which a threshold feels an activation, in units of the activations
    (the paper has 0.001 at several billion samples; 0.03 learns from 100,000)."""
    threshold: float = 0.03
    """Where the thresholds start (0.001 in the paper)."""

    def __post_init__(self) -> None:
        positive(latent=self.latent, bandwidth=self.bandwidth, threshold=self.threshold)
        if self.l0 is not None and self.weight is not None:
            raise ConfigError(
                "ask for one of weight and l0", why="an l0 asked for sets the weight by itself"
            )
        if self.l0 is not None and not 0 < self.l0 < self.latent:
            raise ConfigError(f"l0 must lie between 0 and {self.latent} latents, not {self.l0}")
        if self.weight is not None and self.weight < 0:
            raise ConfigError(f"weight can't be negative, as {self.weight} is")

    def build(self) -> JumpReLUWaist:
        """Return the module."""
        return JumpReLUWaist(self)


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(h, theta)
        ctx.bandwidth = bandwidth
        return h * (h > theta)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (given,), (h, theta) = gradients, ctx.saved_tensors
        near = ((h - theta).abs() < ctx.bandwidth / 2) * given
        return (h > theta) * given, -(theta / ctx.bandwidth) * near.sum(0), None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(h, theta)
        ctx.bandwidth = bandwidth
        return (h > theta).to(h.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        (given,), (h, theta) = gradients, ctx.saved_tensors
        near = ((h - theta).abs() < ctx.bandwidth / 2) * given
        return None, -near.sum(0) / ctx.bandwidth, None


def jump(h: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
    """Return ``h * H(h - theta)``, (B, N), with the straight-through derivative by ``theta``.

    Examples
    --------
    >>> theta = torch.tensor([0.5], requires_grad=True)
    >>> jump(torch.tensor([[0.49], [0.52], [2.0]]), theta, bandwidth=0.1).sum().backward()
    >>> theta.grad  # two activations within 0.05 of the threshold: -2 * 0.5 / 0.1
    tensor([-10.])
    """
    return _Jump.apply(h, theta, bandwidth)  # type: ignore[no-any-return, no-untyped-call]


def step(h: Tensor, theta: Tensor, bandwidth: float) -> Tensor:
    """Return ``H(h - theta)``, (B, N), with a straight-through derivative by ``theta`` alone."""
    return _Step.apply(h, theta, bandwidth)  # type: ignore[no-any-return, no-untyped-call]


class JumpReLUWaist(Waist):
    """See :class:`JumpReLU`."""

    def __init__(self, config: JumpReLU) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent
        start = math.log(config.threshold)
        self.log_threshold = nn.Parameter(torch.full((config.latent,), start))
        self.controller = None if config.l0 is None else Controller(1e-3, config.l0)
        self.controlled = config.l0 is not None
        self.register_buffer(
            "weight", torch.tensor(1e-3 if config.weight is None else config.weight)
        )

    def embed(self, h: Tensor) -> Tensor:
        """Return the code (B, N)."""
        return jump(h, self.log_threshold.exp(), self.config.bandwidth)

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the code and the charge for its active latents."""
        theta = self.log_threshold.exp()
        active = step(h, theta, self.config.bandwidth).sum(1)
        weight = self.get_buffer("weight") if self.controller is None else self.controller.weight
        # by its value before this step moves it
        penalty = weight.clone() * active
        l0 = active.detach().mean()
        if self.training and self.controller is not None:
            self.controller.step(l0)
        return Code(jump(h, theta, self.config.bandwidth), penalty=penalty, logs={"l0": l0})

    def describe(self) -> list[str]:
        """Say what is charged."""
        if self.config.l0 is not None:
            return [f"a controller holds {self.config.l0:g} of {self.latent} latents active"]
        return [f"each active latent costs {float(self.get_buffer('weight')):g}"]
