"""Sparsity asked for as a result: one common offset, moved until L0 is the number asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from isthmus.bottlenecks.control import Controller
from isthmus.models.dictionary.objective import Objective

if TYPE_CHECKING:
    from isthmus.models.dictionary.model import SparseDictionary

__all__ = ["SteeredObjective", "slow_controller"]

_GAIN, _MEMORY = 0.02, 0.8


def slow_controller(l0: float) -> Controller:
    """Return a controller of a charge's weight that moves no faster than a dictionary follows."""
    return Controller(0.02, l0, gain=0.006, memory=0.9)


class SteeredObjective(Objective):
    """A rectified code whose L0 is held by integral control of what all latents share.

    Raising a charge until L0 has fallen to the target overshoots, and what dies on the way stays
    dead. Here the charge keeps its weight. After each step the mean of the biases' move is taken
    back, so that training moves latents against each other alone, and one offset common to all is
    moved by ``gain * log(L0 / target)``: its fixed point is the target.
    """

    pace = 0.2
    measured: Tensor

    def __init__(self, target: float | None) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("measured", torch.tensor(float("nan")))

    def shared(self, model: SparseDictionary) -> list[Tensor]:
        """Return the parameters whose common part is held, that which is steered last."""
        return [model.bias]

    def offset(self, model: SparseDictionary, error: float) -> float:
        """Return what is added to the steered parameter at an error of log L0.

        For biases: a share of the spread of the pre-activations, against the error.
        """
        return -error * float(model.encoder.detach().norm(dim=1).mean()) / math.sqrt(model.dim)

    def begin(self, model: SparseDictionary, x_BD: Tensor) -> None:
        """Start at about four times the active latents asked for, and not with half of all.

        Where that would be more than a quarter of all, a quarter are active at the start, or the
        number asked for: a threshold at zero is none that a share of itself can raise.
        """
        if self.target is None:
            return
        with torch.no_grad():
            pre = model.preactivations(x_BD[:1024])
            share = float(self.target) / len(model.bias)
            share = max(share, min(0.25, 4 * share))
            self.start_at(
                model, float(pre.flatten()[:: max(1, pre.numel() // 10**6)].quantile(1 - share))
            )

    def start_at(self, model: SparseDictionary, level: float) -> None:
        """Make pre-activations above ``level`` the active ones."""
        model.bias.sub_(level)

    def note(self, l0: Tensor) -> None:
        """Take note of a batch's L0."""
        if self.training and self.target is not None:
            now = l0.detach().clamp_min(1e-3)
            last = torch.where(self.measured.isnan(), now, self.measured)
            self.measured.copy_(_MEMORY * last + (1 - _MEMORY) * now)

    @torch.no_grad()
    def steer(self, model: SparseDictionary, before: list[Tensor]) -> None:
        """Take back the common move of a step, and move the common offset instead."""
        if self.target is None or bool(self.measured.isnan()):
            return
        parameters = self.shared(model)
        for now, then in zip(parameters, before, strict=True):
            now.sub_((now - then).mean())
        error = float((self.measured / self.target).log().clamp(-1, 1))
        parameters[-1].add_(self.offset(model, _GAIN * error))
