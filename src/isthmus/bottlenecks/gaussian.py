"""The Gaussian bottleneck of variational autoencoders, with every way to weigh its rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.errors import ConfigError

__all__ = ["Gaussian", "GaussianWaist", "gaussian_kl"]


@dataclass(frozen=True)
class Gaussian:
    """A diagonal normal posterior against a standard normal prior.

    The rate is ``beta * KL(q(z|x) || N(0, I))`` summed over latents, in nats, so that with
    beta 1 distortion plus rate is the negative ELBO (Kingma and Welling, arXiv:1312.6114).
    Variations: a KL warm-up counted in optimiser steps; a capacity, ``gamma * |KL - C|``
    (Burgess et al., arXiv:1804.03599); free bits, ``sum_j max(lambda, mean_batch KL_j)``
    (Kingma et al., arXiv:1606.04934); and the importance-weighted bound of several samples
    (Burda et al., arXiv:1509.00519), which has no analytic KL.
    """

    latent: int = 16
    """Number of latents (the width of the code)."""
    beta: float = 1.0
    """What the KL divergence is multiplied by (1 for the ELBO)."""
    kl_warmup_steps: int = 0
    """Optimiser steps over which beta rises linearly from 0; outside training it is whole."""
    capacity: float | None = None
    """Nats of KL to hold, reached linearly over ``capacity_steps``; None for none."""
    capacity_steps: int = 10_000
    """Optimiser steps over which the capacity rises from 0."""
    gamma: float = 30.0
    """What the distance from the capacity is multiplied by."""
    free_bits: float = 0.0
    """Nats that each latent may cost, averaged over the batch, without being charged."""
    samples: int = 1
    """Posterior samples drawn for each input while training."""
    bound: Literal["elbo", "iwae"] = "elbo"
    """"elbo" averages over the samples; "iwae" takes the importance-weighted bound."""

    def __post_init__(self) -> None:
        positive(latent=self.latent, samples=self.samples, capacity_steps=self.capacity_steps)
        if min(self.beta, self.free_bits, self.kl_warmup_steps, self.gamma, self.capacity or 0) < 0:
            raise ConfigError(
                "beta, free_bits, kl_warmup_steps, capacity and gamma can't be negative"
            )
        if self.bound == "iwae" and (self.capacity is not None or self.free_bits):
            raise ConfigError("the importance-weighted bound takes no capacity and no free bits")

    def build(self) -> GaussianWaist:
        """Return the module."""
        return GaussianWaist(self)


class GaussianWaist(Waist):
    """See :class:`Gaussian`. The encoder emits means and raw log-variances, (B, 2N)."""

    steps: Tensor

    def __init__(self, config: Gaussian) -> None:
        super().__init__()
        self.config = config
        self.latent, self.encoded = config.latent, 2 * config.latent
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def posterior(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean and log-variance, each (B, N)."""
        mean, raw = h.chunk(2, dim=-1)
        # a smooth bound: no overflow, and no clamp where the gradient would vanish
        return mean, 12 * torch.tanh(raw / 12)

    def embed(self, h: Tensor) -> Tensor:
        """Return the posterior mean (B, N)."""
        return self.posterior(h)[0]

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return sampled codes and their rate.

        With ``bound="iwae"`` or several samples: codes (S, B, N) and rates (S, B); the rate of
        the importance-weighted bound is ``log q(z|x) - log p(z)`` at each sample.
        """
        if self.training:
            self.steps += 1
        mean, log_variance = self.posterior(h)
        z, noise = self._draw(mean, log_variance, generator)
        kl_BN = gaussian_kl(mean, log_variance)
        logs = {"kl": kl_BN.detach().sum(1).mean()}
        if self.config.bound == "iwae":
            log_ratio = 0.5 * (z.square() - noise.square() - log_variance).sum(-1)
            return Code(z, self.beta * log_ratio, None, logs)
        rate = self._charge(kl_BN)
        if self.config.samples > 1:
            return Code(z, rate.expand(self.config.samples, -1), None, logs)
        return Code(z[0], rate, None, logs)

    def _draw(
        self, mean: Tensor, log_variance: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        size = (self.config.samples, *mean.shape)
        noise = torch.randn(size, generator=generator, device=mean.device, dtype=mean.dtype)
        return mean + (0.5 * log_variance).exp() * noise, noise

    @property
    def beta(self) -> float:
        """The multiplier in force: annealed in training, whole outside."""
        if not self.training or not self.config.kl_warmup_steps:
            return self.config.beta
        return self.config.beta * min(1.0, int(self.steps) / self.config.kl_warmup_steps)

    @property
    def target_capacity(self) -> float:
        """The capacity in force, in nats: rising in training, whole outside."""
        whole = self.config.capacity or 0.0
        if not self.training:
            return whole
        return whole * min(1.0, int(self.steps) / self.config.capacity_steps)

    def _charge(self, kl_BN: Tensor) -> Tensor:
        """Return the rate of each sample, (B,)."""
        if self.config.capacity is not None:
            return self.config.gamma * (kl_BN.sum(1) - self.target_capacity).abs()
        if self.config.free_bits and self.training:
            # the floor applies to the batch's mean, latent by latent, not to each sample
            mean_N = kl_BN.mean(0)
            above_N = (mean_N > self.config.free_bits).to(kl_BN.dtype)
            floor = ((1 - above_N) * self.config.free_bits).sum()
            return self.beta * ((kl_BN * above_N).sum(1) + floor)
        return self.beta * kl_BN.sum(1)

    def bound(self, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Combine (S, B) terms of several samples.

        For "iwae" distortion plus rate is exactly ``-log mean_s exp(log w_s)``: distortion is
        the importance-weighted mean, and the rate is what remains of the bound.
        """
        if self.config.bound == "elbo":
            return distortion.mean(0), rate.mean(0)
        log_w = -distortion - rate
        total = math.log(log_w.shape[0]) - log_w.logsumexp(0)
        weights = log_w.detach().softmax(0)
        expected = (weights * distortion).sum(0)
        return expected, total - expected

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes (count, N) from the standard normal prior."""
        device = self.steps.device
        where = generator.device if generator is not None else device
        return torch.randn(count, self.latent, generator=generator, device=where).to(device)

    def describe(self) -> list[str]:
        """Say how the rate is weighed."""
        c = self.config
        if c.capacity is not None:
            return [f"rate is {c.gamma:g} times the distance of KL from {c.capacity:g} nats"]
        lines = [f"rate is {c.beta:g} times the KL divergence, summed over {c.latent} latents"]
        if c.bound == "iwae":
            lines = [f"the bound is importance-weighted over {c.samples} samples"]
        if c.kl_warmup_steps:
            lines.append(f"the rate's weight rises over the first {c.kl_warmup_steps} steps")
        if c.free_bits:
            lines.append(f"each latent costs nothing up to {c.free_bits:g} nats on average")
        return lines


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return ``KL(N(mean, variance) || N(0, 1))`` of each latent, in nats, elementwise.

    Examples
    --------
    >>> float(gaussian_kl(torch.tensor(1.0), torch.tensor(0.0)))
    0.5
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
