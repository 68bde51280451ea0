"""Diagonal normal distributions: products, divergences, densities; nothing is ever NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["LARGEST", "SMALLEST", "Normal", "product", "standard"]

SMALLEST, LARGEST = -14.0, 10.0
"""Bounds of log-variances: an encoder that runs away gives large numbers, never NaN."""
LOG_2PI = math.log(2 * math.pi)


class Normal(NamedTuple):
    """Independent normal coordinates, both tensors (..., Z)."""

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def read(cls, head: Tensor) -> Normal:
        """Return the distribution in an encoder's output (..., 2 Z): means, log-variances."""
        mean, log_variance = head.chunk(2, -1)
        return cls(mean, log_variance.clamp(SMALLEST, LARGEST))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw a value, differentiable in both parameters."""
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def log_density(self, z: Tensor) -> Tensor:
        """Return log N(z), summed over coordinates, (...,)."""
        error = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (error + self.log_variance + LOG_2PI).sum(-1)

    def kl(self, other: Normal) -> Tensor:
        """Return KL(self || other) in nats, (...,).

        ``1/2 sum [s^2/t^2 + (mu - nu)^2/t^2 - 1 + log t^2 - log s^2]``.
        """
        difference = self.log_variance - other.log_variance
        shift = (self.mean - other.mean).square() * (-other.log_variance).exp()
        return 0.5 * (difference.exp() + shift - 1 - difference).sum(-1)

    def kl_standard(self) -> Tensor:
        """Return KL(self || N(0, I)) in nats, (...,)."""
        return 0.5 * (self.log_variance.exp() + self.mean.square() - 1 - self.log_variance).sum(-1)

    def where(self, chosen: Tensor, other: Normal) -> Normal:
        """Return this distribution in the rows chosen (B,), the other elsewhere."""
        rows = chosen.unsqueeze(-1)
        return Normal(
            torch.where(rows, self.mean, other.mean),
            torch.where(rows, self.log_variance, other.log_variance),
        )


def standard(like: Tensor) -> Normal:
    """Return N(0, I) of the shape of a tensor."""
    return Normal(torch.zeros_like(like), torch.zeros_like(like))


def product(experts: Sequence[Normal], masks: Sequence[Tensor], *, prior: bool) -> Normal:
    """Return the normalised product of the experts that are there.

    ``T = [1 +] sum_m a_m / s_m^2`` and ``mu = sum_m a_m mu_m / s_m^2 / T``, computed by
    logarithms. A row without experts is the prior N(0, I), with the prior in the product or not.
    The experts' order makes no difference but for rounding, and experts that are not there make
    none at all: neither to values nor to gradients.

    Parameters
    ----------
    experts
        Each (B, Z).
    masks
        Each (B,), bool: whether the expert is there.
    prior
        Whether N(0, I) is an expert too.

    Source: Hinton, "Training products of experts", Neural Computation 14, 2002; as used by Wu
    and Goodman, arXiv:1802.05335.
    """
    none = -math.inf
    there = torch.stack(list(masks)).unsqueeze(-1)
    precision = -torch.stack([e.log_variance for e in experts])
    precision = torch.where(there, precision, precision.new_tensor(none))
    # the prior's own log-precision is 0; it joins where asked for, or where nobody else is there
    alone = torch.ones_like(there[0]) if prior else ~there.any(0)
    own = torch.where(alone, precision.new_tensor(0.0), precision.new_tensor(none))
    total = torch.cat([precision, own.expand_as(precision[:1])]).logsumexp(0)
    weights = (precision - total).exp()
    means = torch.where(there, torch.stack([e.mean for e in experts]), precision.new_zeros(()))
    return Normal((weights * means).sum(0), -total)
