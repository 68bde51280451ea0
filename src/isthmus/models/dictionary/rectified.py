"""ReLU with an L1 charge, and JumpReLU with a charge for every active latent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from isthmus.bottlenecks import L1, JumpReLU
from isthmus.bottlenecks.jumprelu import jump, step
from isthmus.errors import ConfigError
from isthmus.kernels.rules import Above, Rule
from isthmus.models.dictionary.objective import Charge, Objective, fixed_k, fvu_terms
from isthmus.models.dictionary.steered import SteeredObjective, slow_controller

if TYPE_CHECKING:
    from isthmus.models.dictionary.model import SparseDictionary

__all__ = ["JumpReLUObjective", "L1Objective"]


class L1Objective(Objective):
    """Rectified pre-activations, charged ``weight * sum_j u_j a_j``.

    With unit-norm decoder rows the charge can't be dodged by shrinking activations and growing
    rows. ``u_j = s / (a_j + reweight * s)`` of the current activation, held constant, s the
    batch's mean active magnitude: large activations are hardly shrunk (Candes, Wakin and Boyd,
    arXiv:0711.1612); ``reweight=0`` gives the plain charge of Bricken et al., "Towards
    monosemanticity", 2023.
    """

    limited = False
    pace = 0.2

    def __init__(self, config: L1) -> None:
        super().__init__()
        if config.unit != "relu":
            raise ConfigError("a sparse dictionary's L1 code is rectified", fix="use unit='relu'")
        if config.mean_activation is not None:
            raise ConfigError("ask a sparse dictionary for l0, not for a mean activation")
        self.config, self.latent = config, config.latent
        fixed = 1e-3 if config.weight is None else config.weight
        self.controller = None if config.l0 is None else slow_controller(config.l0)
        self.register_buffer("weight", torch.tensor(fixed))

    def inference(self, k: int | None = None) -> Rule:
        """Say which latents are active: the positive ones."""
        fixed_k("rectified", k)
        return Above(np.zeros(self.latent, np.float32))

    def codes(self, pre_BN: Tensor) -> Tensor:
        """Return the dense codes."""
        return pre_BN.relu()

    def loss(
        self,
        model: SparseDictionary,
        x_BD: Tensor,
        variance: float,
        generator: torch.Generator | None = None,
    ) -> Charge:
        """Return the terms of a batch."""
        a = self.codes(model.preactivations(x_BD))
        active = a.detach() > 0
        l0 = self.row_mean(active.sum(1).float())
        cost = a
        if self.config.reweight:
            size = self.row_mean(a.sum(1)) / l0.clamp_min(1e-6)
            # where no latent is active, nothing is charged
            cost = a * (size / (a.detach() + self.config.reweight * size).clamp_min(1e-12))
        weight = self.get_buffer("weight") if self.controller is None else self.controller.weight
        penalty = weight.clone() * cost.sum(1) / variance**0.5
        if self.training and self.controller is not None:
            self.controller.step(l0)
        return Charge(fvu_terms(x_BD, model.decoded(a), variance), penalty, a)

    def describe(self) -> list[str]:
        """Say what is charged."""
        if self.config.l0 is not None:
            return [f"a controller holds {self.config.l0:g} of {self.latent} latents active"]
        return [f"the sum of activations costs {float(self.get_buffer('weight')):g} a unit"]


class JumpReLUObjective(SteeredObjective):
    """See :class:`~isthmus.bottlenecks.JumpReLU`."""

    def __init__(self, config: JumpReLU) -> None:
        super().__init__(config.l0)
        self.config, self.latent = config, config.latent
        start = math.log(config.threshold)
        self.log_threshold = nn.Parameter(torch.full((config.latent,), start))
        fixed = 1e-4 if config.weight is None else config.weight
        self.register_buffer("weight", torch.tensor(fixed))

    def shared(self, model: SparseDictionary) -> list[Tensor]:
        """Return what moves all latents alike: biases and thresholds."""
        return [model.bias, self.log_threshold]

    def offset(self, model: SparseDictionary, error: float) -> float:
        """Raise all thresholds by a share of themselves."""
        return error

    def start_at(self, model: SparseDictionary, level: float) -> None:
        """Begin with that threshold, or the setting's where that is higher."""
        self.log_threshold.fill_(math.log(max(level, self.config.threshold)))

    @property
    def threshold(self) -> Tensor:
        """The latents' thresholds, (N,)."""
        return self.log_threshold.exp()

    def inference(self, k: int | None = None) -> Rule:
        """Say which latents are active: those above their thresholds."""
        fixed_k("JumpReLU", k)
        return Above(self.threshold.detach().cpu().numpy())

    def codes(self, pre_BN: Tensor) -> Tensor:
        """Return the dense codes."""
        return jump(pre_BN, self.threshold, self.config.bandwidth)

    def loss(
        self,
        model: SparseDictionary,
        x_BD: Tensor,
        variance: float,
        generator: torch.Generator | None = None,
    ) -> Charge:
        """Return the terms of a batch."""
        pre = model.preactivations(x_BD)
        a = self.codes(pre)
        active = step(pre, self.threshold, self.config.bandwidth).sum(1)
        penalty = self.get_buffer("weight") * active
        self.note(self.row_mean(active.detach()))
        return Charge(fvu_terms(x_BD, model.decoded(a), variance), penalty, a)

    def rescale(self, factor: float) -> None:
        """Scale the thresholds."""
        with torch.no_grad():
            self.log_threshold.add_(math.log(factor))

    def describe(self) -> list[str]:
        """Say what is charged."""
        if self.config.l0 is not None:
            return [f"{self.config.l0:g} of {self.latent} latents active"]
        return [f"each active latent costs {float(self.get_buffer('weight')):g}"]
