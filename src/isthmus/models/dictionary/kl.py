"""The KL objective: sigmoid codes whose mean activations are held at a target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from isthmus.bottlenecks import KLSparse
from isthmus.bottlenecks.kl_sparse import bernoulli_kl
from isthmus.models.dictionary.objective import Charge, Objective, fvu_terms

if TYPE_CHECKING:
    from isthmus.models.dictionary.model import SparseDictionary

__all__ = ["KLObjective"]


class KLObjective(Objective):
    """``a = sigmoid(h)``, charged ``weight * sum_j KL(target || mean activation of j)``.

    The mean is a running one with the gradient of the current batch. Every latent of a sigmoid
    code is active to some degree: codes are dense, and decoder rows have any norm. Source: Ng,
    "Sparse autoencoder", CS294A lecture notes, 2011.
    """

    unit_decoder = False
    always_dense = True
    limited = False  # a code that is never zero has no firing rate
    mean: Tensor

    def __init__(self, config: KLSparse) -> None:
        super().__init__()
        self.config, self.latent = config, config.latent
        self.register_buffer("mean", torch.full((config.latent,), config.target))
        self.start = math.log(config.target / (1 - config.target))

    def codes(self, pre_BN: Tensor) -> Tensor:
        """Return the dense codes."""
        return (pre_BN + self.start).sigmoid()

    def loss(
        self,
        model: SparseDictionary,
        x_BD: Tensor,
        variance: float,
        generator: torch.Generator | None = None,
    ) -> Charge:
        """Return the terms of a batch."""
        a = self.codes(model.preactivations(x_BD))
        memory = self.config.memory
        now = a.sum(0) / max(1, len(a))  # a process may have no row of a short batch
        running = memory * self.mean + (1 - memory) * self.row_mean(a)
        # the running mean's value with the batch's own gradient
        mean = running + now - now.detach()
        divergence = bernoulli_kl(self.config.target, mean.clamp(1e-6, 1 - 1e-6)).sum()
        if self.training:
            self.mean.copy_(running)
        penalty = self.config.weight * divergence.expand(len(x_BD))
        return Charge(fvu_terms(x_BD, model.decoded(a), variance), penalty, a)

    def describe(self) -> list[str]:
        """Say what is held."""
        return [f"every latent's mean activation is held near {self.config.target:g}"]
