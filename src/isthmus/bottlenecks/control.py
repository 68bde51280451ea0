"""A weight that adjusts itself until a measured quantity reaches its target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["Controller"]


class Controller(nn.Module):
    """Dual ascent on the logarithm of a penalty's weight.

    After each training step the weight is multiplied by ``exp(gain * error)``, where the
    error is the logarithm of measured over target, clipped to one. Where the penalty lowers
    the measured quantity, the fixed point is the target. Its state lives in buffers, so that
    a resumed run goes on exactly.

    Source: the method of multipliers on an inequality made an equality; the same controller
    as in constrained sparsity training (Gallego-Posada et al., arXiv:2208.04425).
    """

    log_weight: Tensor
    measured: Tensor

    def __init__(
        self, start: float, target: float, gain: float = 0.01, memory: float = 0.95
    ) -> None:
        super().__init__()
        self.target, self.gain, self.memory = target, gain, memory
        self.register_buffer("log_weight", torch.tensor(math.log(start)))
        self.register_buffer("measured", torch.tensor(float("nan")))

    @property
    def weight(self) -> Tensor:
        """The weight in force, a scalar."""
        return self.log_weight.exp()

    @torch.no_grad()
    def step(self, measured: Tensor) -> Tensor:
        """Move the weight after one training step that measured this value; return the error."""
        measured = measured.detach().clamp_min(1e-6)
        last = torch.where(self.measured.isnan(), measured, self.measured)
        self.measured.copy_(self.memory * last + (1 - self.memory) * measured)
        error = (self.measured / self.target).log().clamp(-1, 1)
        self.log_weight.add_(self.gain * error).clamp_(-25, 15)
        return error
