"""Keep every latent in use: a bias on the choice for those that hardly fire."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Balance"]

FLOOR = 0.1


class Balance(nn.Module):
    """A bias for each latent, added where latents are chosen and nowhere else.

    A latent that fires less often than ``FLOOR`` times its even share is preferred a little more
    at each step, until it is chosen again: none can die. The others are left as they are: an
    even use of all latents is no aim in itself and costs accuracy. The activations that the
    decoder reads are not changed, and no gradient flows through the bias, which is part of the
    model at inference.

    Source: load balancing without an auxiliary loss, Wang et al., arXiv:2408.15664, applied
    to latents instead of experts, and from below only.
    """

    bias: Tensor
    rate: Tensor

    def __init__(self, latent: int, share: float, speed: float, memory: float = 0.99) -> None:
        super().__init__()
        self.share, self.speed, self.memory = share, speed, memory
        self.register_buffer("bias", torch.zeros(latent))
        self.register_buffer("rate", torch.full((latent,), share))

    def forward(self, h: Tensor) -> Tensor:
        """Return the scores (B, N) by which latents are chosen."""
        return h.detach() + self.bias

    @torch.no_grad()
    def step(self, active: Tensor) -> None:
        """Follow one training batch's choice, a boolean (B, N)."""
        self.rate.lerp_(active.float().mean(0), 1 - self.memory)
        floor = FLOOR * self.share
        self.bias.add_(self.speed * (1 - self.rate / floor).clamp_min(0))
