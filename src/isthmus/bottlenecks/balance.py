"""Keep every latent in use: a bias on the choice that follows the firing rates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Balance"]


class Balance(nn.Module):
    """A bias for each latent, added where latents are chosen and nowhere else.

    A latent that fires less often than its share is preferred a little more at each step,
    one that fires more often a little less; the activations that the decoder reads are not
    changed, and no gradient flows through the bias. A latent can't die: its bias rises until
    it is chosen again. The bias is part of the model at inference.

    Source: load balancing without an auxiliary loss, Wang et al., arXiv:2408.15664, applied
    to latents instead of experts.
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
        lack = (self.share - self.rate) / self.share
        # only the rarely used are raised in full: a skewed but living code is left alone
        self.bias.add_(self.speed * lack.clamp(-1, 1))
        self.bias.sub_(self.bias.mean())
