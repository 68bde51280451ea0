"""The gated objective: charged gates, free magnitudes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from isthmus.bottlenecks import Gated
from isthmus.kernels.code import SparseCode
from isthmus.kernels.rules import Above, Rule, Weights
from isthmus.models.dictionary.objective import Charge, Objective, fixed_k, fvu_terms
from isthmus.models.dictionary.steered import slow_controller

if TYPE_CHECKING:
    from isthmus.models.dictionary.model import SparseDictionary

__all__ = ["GatedObjective"]


class GatedObjective(Objective):
    """See :class:`~isthmus.bottlenecks.Gated`; the dictionary's bias is the gates' bias."""

    limited = False
    pace = 0.2

    def __init__(self, config: Gated) -> None:
        super().__init__()
        self.config, self.latent = config, config.latent
        self.log_gain = nn.Parameter(torch.zeros(config.latent))
        self.magnitude_bias = nn.Parameter(torch.zeros(config.latent))
        fixed = 1e-3 if config.weight is None else config.weight
        self.controller = None if config.l0 is None else slow_controller(config.l0)
        self.register_buffer("weight", torch.tensor(fixed))

    def inference(self, k: int | None = None) -> Rule:
        """Say which latents are active: those whose gate is open."""
        fixed_k("gated", k)
        return Above(np.zeros(self.latent, np.float32))

    def values(self, code: SparseCode, weights: Weights) -> SparseCode:
        """Return the magnitudes of open gates."""
        gain = self.log_gain.detach().exp().cpu().numpy()
        offset = self.magnitude_bias.detach().cpu().numpy()
        at = code.indices
        values = gain[at] * (code.values - weights.bias_N[at]) + offset[at]
        return SparseCode(code.indptr, at, np.maximum(values, 0, dtype=np.float32), code.latents)

    def codes(self, pre_BN: Tensor, bias_N: Tensor | None = None) -> Tensor:
        """Return the dense codes from the gates' pre-activations and their bias."""
        product = pre_BN if bias_N is None else pre_BN - bias_N
        magnitude = (self.log_gain.exp() * product + self.magnitude_bias).relu()
        return magnitude * (pre_BN > 0)

    def encoded(self, model: SparseDictionary, x_BD: Tensor) -> Tensor:
        """Return the dense codes of prepared inputs."""
        return self.codes(model.preactivations(x_BD), model.bias)

    def loss(
        self,
        model: SparseDictionary,
        x_BD: Tensor,
        variance: float,
        generator: torch.Generator | None = None,
    ) -> Charge:
        """Return the terms of a batch."""
        gate = model.preactivations(x_BD)
        a = self.codes(gate, model.bias)
        open_BN = gate.relu()
        frozen = open_BN @ model.decoder.detach() + model.pre_bias.detach()
        weight = self.get_buffer("weight") if self.controller is None else self.controller.weight
        penalty = weight.clone() * open_BN.sum(1) / variance**0.5
        penalty = penalty + fvu_terms(x_BD, frozen, variance)
        if self.training and self.controller is not None:
            self.controller.step(self.row_mean((a > 0).sum(1).float()))
        return Charge(fvu_terms(x_BD, model.decoded(a), variance), penalty, a)

    def rescale(self, factor: float) -> None:
        """Scale the magnitudes' bias."""
        with torch.no_grad():
            self.magnitude_bias.mul_(factor)

    def describe(self) -> list[str]:
        """Say what is charged."""
        if self.config.l0 is not None:
            return [f"a controller holds {self.config.l0:g} of {self.latent} gates open"]
        return [f"open gates cost {float(self.get_buffer('weight')):g} a unit"]
