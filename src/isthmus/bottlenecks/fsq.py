"""Finite scalar quantisation: each latent rounded to one of a few levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.errors import ConfigError

__all__ = ["FSQ", "FSQWaist"]


@dataclass(frozen=True)
class FSQ:
    """Bounds each latent with tanh and rounds it to ``levels`` values in [-1, 1].

    There is no codebook and no auxiliary loss; the gradient passes straight through the
    rounding. Source: Mentzer et al., "Finite scalar quantization: VQ-VAE made simple",
    arXiv:2309.15505. The rate is ``latent * log(levels)`` nats, a constant.
    """

    latent: int = 32
    """Number of latents (the width of the code)."""
    levels: int = 5
    """Number of values that each latent can take."""

    def __post_init__(self) -> None:
        positive(latent=self.latent)
        if self.levels < 2:
            raise ConfigError(f"levels must be at least 2, not {self.levels}")

    def build(self) -> FSQWaist:
        """Return the module."""
        return FSQWaist(self)


class FSQWaist(Waist):
    """See :class:`FSQ`."""

    def __init__(self, config: FSQ) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent

    def embed(self, h: Tensor) -> Tensor:
        """Return the quantised code (B, N), its values evenly spread over [-1, 1]."""
        bounded = self._bounded(h)
        # straight through: the value is rounded, the gradient is that of the bound
        rounded = bounded + (bounded.round() - bounded).detach()
        half = (self.config.levels - 1) / 2
        return ((rounded + self._offset) / half).to(h.dtype)

    @property
    def _offset(self) -> float:
        """Half a step where the number of levels is even, whose values straddle zero."""
        return 0.5 if self.config.levels % 2 == 0 else 0.0

    def _bounded(self, h: Tensor) -> Tensor:
        """Return values that round to ``levels`` whole numbers, in float32."""
        half = (self.config.levels - 1) / 2 * (1 + 1e-3)
        # the paper's shift keeps zero at zero; with two levels it would lie where tanh is flat
        shift = math.atanh(self._offset / half) if self._offset and half > 1 else 0.0
        return half * torch.tanh(h.float() + shift) - self._offset

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the quantised code and its constant rate, (B,)."""
        rate = h.new_full((h.shape[0],), self.latent * math.log(self.config.levels))
        return Code(self.embed(h), rate)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes (count, N) of levels chosen evenly."""
        numbers = torch.randint(self.config.levels, (count, self.latent), generator=generator)
        return 2.0 * numbers / (self.config.levels - 1) - 1.0

    def describe(self) -> list[str]:
        """Say how many bits a code holds."""
        bits = self.latent * math.log2(self.config.levels)
        return [f"a code is {self.latent} latents of {self.config.levels} levels: {bits:.4g} bits"]
