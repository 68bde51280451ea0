"""The vector-quantised bottleneck: each group of latents is one entry of a codebook."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.errors import ConfigError

__all__ = ["VQ", "VQWaist"]


@dataclass(frozen=True)
class VQ:
    """Quantises groups of latents to the nearest entries of one learned codebook.

    The code is the entries themselves, with a straight-through gradient; the encoder is held
    to them by ``commitment * (h - entry)^2`` averaged over latents. The codebook follows the
    exponential moving averages of the vectors assigned to it; it starts as a sample of the
    first batch, and entries that fall out of use are replaced by vectors of the current one.
    Source: van den Oord et al., "Neural discrete representation learning", arXiv:1711.00937,
    appendix A.1; revival as in Williams et al., arXiv:2002.08111.

    The rate is ``groups * log(codebook)`` nats, the cost of the entries' numbers under a
    uniform prior: a constant, so that distortion plus rate stays a bound.
    """

    latent: int = 32
    """Number of latents (the width of the code)."""
    groups: int = 8
    """Number of codebook entries that make up a code; it must divide ``latent``."""
    codebook: int = 256
    """Number of entries."""
    commitment: float = 0.25
    """Weight of the mean squared distance between the encoder's output and its entries."""
    memory: float = 0.99
    """Share of the moving averages kept at each step."""
    revive_below: float = 0.05
    """Entries used less than this share of an even use are replaced."""

    def __post_init__(self) -> None:
        positive(latent=self.latent, groups=self.groups)
        if self.codebook < 2:
            raise ConfigError(f"a codebook needs at least 2 entries, not {self.codebook}")
        if self.commitment < 0 or not 0 <= self.memory < 1:
            raise ConfigError("commitment can't be negative, and memory must be in [0, 1)")
        if self.latent % self.groups:
            raise ConfigError(f"{self.latent} latents can't be cut into {self.groups} equal groups")

    def build(self) -> VQWaist:
        """Return the module."""
        return VQWaist(self)


class VQWaist(Waist):
    """See :class:`VQ`. G groups, E entries, d latents a group."""

    entries: Tensor
    counts: Tensor
    sums: Tensor
    started: Tensor

    def __init__(self, config: VQ) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent
        width = config.latent // config.groups
        self.register_buffer("entries", torch.randn(config.codebook, width))
        self.register_buffer("counts", torch.ones(config.codebook))
        self.register_buffer("sums", torch.zeros(config.codebook, width))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def assign(self, h: Tensor) -> Tensor:
        """Return the numbers of the nearest entries, (B, G)."""
        h_RD = h.reshape(-1, self.entries.shape[1]).float()
        distance = self.entries.square().sum(1) - 2 * h_RD @ self.entries.t()
        return distance.argmin(1).reshape(-1, self.config.groups)

    def embed(self, h: Tensor) -> Tensor:
        """Return the quantised code (B, N)."""
        return self.entries[self.assign(h)].flatten(1).to(h.dtype)

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the quantised code, its constant rate and the commitment penalty."""
        vectors = h.detach().reshape(-1, self.entries.shape[1]).float()
        if self.training and not bool(self.started):
            self._start(vectors, generator)
        numbers = self.assign(h)
        z = self.entries[numbers].flatten(1).to(h.dtype)
        if self.training:
            self._follow(vectors, numbers.flatten(), generator)
        commitment = self.config.commitment * (h - z).square().mean(1)
        use = F.one_hot(numbers, self.config.codebook).float().mean((0, 1))
        perplexity = torch.special.entr(use).sum().exp()
        rate = h.new_full((h.shape[0],), self.config.groups * math.log(self.config.codebook))
        return Code(h + (z - h).detach(), rate, commitment, {"perplexity": perplexity})

    @torch.no_grad()
    def _start(self, vectors: Tensor, generator: torch.Generator | None) -> None:
        self.entries.copy_(self._pick(vectors, len(self.entries), generator))
        # counts light enough to follow fast, and in any batch too heavy to be replaced at once
        share = max(2 * self.config.revive_below, 0.1)
        self.counts.fill_(share * len(vectors) / self.config.codebook)
        self.sums.copy_(self.entries * self.counts[:, None])
        self.started.fill_(True)

    @torch.no_grad()
    def _follow(self, vectors: Tensor, numbers: Tensor, generator: torch.Generator | None) -> None:
        count = torch.zeros_like(self.counts).index_add_(
            0, numbers, torch.ones_like(numbers, dtype=self.counts.dtype)
        )
        total = torch.zeros_like(self.sums).index_add_(0, numbers, vectors)
        self.counts.lerp_(count, 1 - self.config.memory)
        self.sums.lerp_(total, 1 - self.config.memory)
        even = len(numbers) / self.config.codebook
        idle = self.counts < self.config.revive_below * even
        if bool(idle.any()):
            fresh = self._pick(vectors, int(idle.sum()), generator)
            self.sums[idle] = fresh * even
            self.counts[idle] = even
        self.entries.copy_(self.sums / self.counts.clamp_min(1e-5)[:, None])

    @staticmethod
    def _pick(vectors: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        rows = torch.randint(len(vectors), (count,), generator=generator, device=vectors.device)
        spread = 1e-3 * vectors.std().nan_to_num()
        noise = torch.randn(count, vectors.shape[1], generator=generator, device=vectors.device)
        return vectors[rows] + spread * noise

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes (count, N) of entries chosen evenly."""
        numbers = torch.randint(
            self.config.codebook, (count, self.config.groups), generator=generator
        )
        return self.entries[numbers.to(self.entries.device)].flatten(1)

    def describe(self) -> list[str]:
        """Say how many bits a code holds."""
        bits = self.config.groups * math.log2(self.config.codebook)
        return [
            f"a code is {self.config.groups} of {self.config.codebook} entries: {bits:g} bits, "
            f"{bits * math.log(2):.4g} nats"
        ]
