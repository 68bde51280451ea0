"""The KL-sparse bottleneck: sigmoid latents held at a target mean activation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.bottlenecks.control import Controller
from isthmus.errors import ConfigError

__all__ = ["KLSparse", "KLSparseWaist", "bernoulli_kl"]


@dataclass(frozen=True)
class KLSparse:
    """Charges ``weight * sum_j KL(target || rho_j)``, rho_j the mean activation of latent j.

    The activations are ``a = sigmoid(h)`` and the decoder reads that same ``a``: charged on
    anything else, the encoder merely shifts ``h`` and nothing becomes sparse. ``rho_j`` is a
    running mean over batches with the gradient of the current batch. The mean alone does not
    make a code sparse (a constant 0.05 costs nothing): weight decay is part of the method, as
    it keeps the decoder from magnifying small deviations.

    Source: Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    """

    latent: int = 64
    """Number of latents (the width of the code)."""
    target: float = 0.05
    """Mean activation of each latent to reach."""
    weight: float | None = 1.0
    """What the sum of divergences is multiplied by; None: adjusted by a controller until the
    latents' mean activations lie within ``tolerance`` of the target."""
    tolerance: float = 0.03
    """Mean relative deviation from the target that the controller allows."""
    memory: float = 0.9
    """Share of the running mean kept at each step."""

    def __post_init__(self) -> None:
        positive(latent=self.latent, tolerance=self.tolerance)
        if not 0 < self.target < 1:
            raise ConfigError(f"the target activation must lie between 0 and 1, not {self.target}")
        if not 0 <= self.memory < 1:
            raise ConfigError(f"memory must be in [0, 1), not {self.memory}")
        if self.weight is not None and self.weight < 0:
            raise ConfigError(f"the weight can't be negative, as {self.weight} is")

    def build(self) -> KLSparseWaist:
        """Return the module."""
        return KLSparseWaist(self)


class KLSparseWaist(Waist):
    """See :class:`KLSparse`."""

    threshold = 0.1
    rho: Tensor

    def __init__(self, config: KLSparse) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent
        self.register_buffer("rho", torch.full((config.latent,), 0.5))
        self.controller = Controller(1e-2, config.tolerance) if config.weight is None else None

    def embed(self, h: Tensor) -> Tensor:
        """Return the activations (B, N), each in (0, 1)."""
        return torch.sigmoid(h)

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the code and its charge, the same for every sample of the batch, (B,)."""
        a = self.embed(h)
        batch = a.mean(0)
        value = self.config.memory * self.rho + (1 - self.config.memory) * batch.detach()
        # the running value, with the full gradient of this batch's mean
        rho = value + (batch - batch.detach())
        divergence = bernoulli_kl(self.config.target, rho).sum()
        deviation = (value / self.config.target - 1).abs().mean()
        weight: Tensor | float = self.config.weight or 0.0
        if self.controller is not None:
            weight = self.controller.weight.clone()
        if self.training:
            self.rho.copy_(value)
            if self.controller is not None:
                self.controller.step(deviation)
        logs = {
            "kl": divergence.detach(),
            "mean_activation": batch.detach().mean(),
            "deviation": deviation,
            "weight": torch.as_tensor(weight),
        }
        return Code(a, None, (weight * divergence).expand(a.shape[0]), logs)

    def describe(self) -> list[str]:
        """Say what is charged."""
        how = "adjusted until they are there" if self.controller else f"{self.config.weight:g}"
        return [
            f"penalty is the sum of KL divergences that holds each latent's mean activation at "
            f"{self.config.target:g}, weight {how}: about "
            f"{self.config.target * self.latent:.3g} of {self.latent} latents' worth a sample"
        ]


def bernoulli_kl(target: float, rho: Tensor) -> Tensor:
    """Return ``KL(Bernoulli(target) || Bernoulli(rho))`` for each mean activation.

    Examples
    --------
    >>> round(float(bernoulli_kl(0.05, torch.tensor(0.5))), 4)
    0.4946
    """
    rho = rho.clamp(1e-6, 1 - 1e-6)
    goal = rho.new_tensor(target)
    return goal * (goal / rho).log() + (1 - goal) * ((1 - goal) / (1 - rho)).log()
