"""The KL-sparse bottleneck: sigmoid latents held at a target mean activation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.errors import ConfigError

__all__ = ["KLSparse", "KLSparseWaist", "bernoulli_kl"]


@dataclass(frozen=True)
class KLSparse:
    """Charges ``weight * sum_j KL(aim_j || rho_j)``, rho_j the mean activation of latent j.

    The activations are ``a = sigmoid(h + b)`` and the decoder reads that same ``a``: charged on
    anything else, the encoder merely shifts ``h`` and nothing becomes sparse. ``rho_j`` is a
    running mean over batches with the gradient of the current batch. The mean alone does not
    make a code sparse (a constant 0.05 costs nothing): weight decay is part of the method, as
    it keeps the decoder from magnifying small deviations.

    ``aim_j`` is the target itself where ``correct`` is 0. Else it is moved, latent by latent,
    against what is left of the deviation (integral control), so that every latent reaches the
    target at a weight too small to crush the code. The bias starts where a code of zero
    pre-activations has the target for its mean: begun at 0.5, the penalty drives all latents
    into the flat of the sigmoid before they stand for anything.

    Source: Ng, "Sparse autoencoder", CS294A lecture notes, 2011; the moved aim and the start
    are ours.
    """

    latent: int = 64
    """Number of latents (the width of the code)."""
    target: float = 0.05
    """Mean activation of each latent to reach."""
    weight: float = 0.003
    """What the sum of divergences is multiplied by."""
    correct: float = 0.002
    """Speed at which each latent's aim is moved until its mean is the target; 0 for none."""
    memory: float = 0.99
    """Share of the running mean kept at each step."""

    def __post_init__(self) -> None:
        positive(latent=self.latent)
        if not 0 < self.target < 1:
            raise ConfigError(f"the target activation must lie between 0 and 1, not {self.target}")
        if not 0 <= self.memory < 1:
            raise ConfigError(f"memory must be in [0, 1), not {self.memory}")
        if self.weight < 0 or self.correct < 0:
            raise ConfigError("weight and correct can't be negative")

    def build(self) -> KLSparseWaist:
        """Return the module."""
        return KLSparseWaist(self)


class KLSparseWaist(Waist):
    """See :class:`KLSparse`."""

    threshold = 0.1
    rho: Tensor
    aim: Tensor

    def __init__(self, config: KLSparse) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent
        start = math.log(config.target / (1 - config.target))
        self.bias = nn.Parameter(torch.full((config.latent,), start))
        self.register_buffer("rho", torch.full((config.latent,), config.target))
        self.register_buffer("aim", torch.full((config.latent,), config.target))

    def embed(self, h: Tensor) -> Tensor:
        """Return the activations (B, N), each in (0, 1)."""
        return torch.sigmoid(h + self.bias)

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
        divergence = bernoulli_kl(self.aim.clone(), rho).sum()
        logs = {
            "kl": bernoulli_kl(self.config.target, value).sum(),
            "mean_activation": batch.detach().mean(),
            "deviation": (value / self.config.target - 1).abs().mean(),
        }
        if self.training:
            self._follow(value)
        return Code(a, None, (self.config.weight * divergence).expand(a.shape[0]), logs)

    @torch.no_grad()
    def _follow(self, value: Tensor) -> None:
        """Keep the running mean, and move each latent's aim against its deviation."""
        self.rho.copy_(value)
        target = self.config.target
        if self.config.correct:
            error = (target / value).log().clamp(-1, 1)
            self.aim.mul_((self.config.correct * error).exp())
            self.aim.clamp_(0.05 * target, min(3 * target, 0.5 * (1 + target)))

    def describe(self) -> list[str]:
        """Say what is charged."""
        c = self.config
        return [
            f"penalty is {c.weight:g} times the sum of KL divergences that holds each latent's "
            f"mean activation at {c.target:g}: about {c.target * c.latent:.3g} of {c.latent} "
            "latents' worth a sample"
        ]


def bernoulli_kl(target: float | Tensor, rho: Tensor) -> Tensor:
    """Return ``KL(Bernoulli(target) || Bernoulli(rho))`` for each mean activation.

    Examples
    --------
    >>> round(float(bernoulli_kl(0.05, torch.tensor(0.5))), 4)
    0.4946
    """
    rho = rho.clamp(1e-6, 1 - 1e-6)
    goal = torch.as_tensor(target, dtype=rho.dtype, device=rho.device)
    return goal * (goal / rho).log() + (1 - goal) * ((1 - goal) / (1 - rho)).log()
