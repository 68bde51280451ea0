"""The plain bottleneck: the code is what the encoder says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.bottlenecks.base import Code, Waist, positive

__all__ = ["Plain", "PlainWaist"]


@dataclass(frozen=True)
class Plain:
    """No charge and no change: only the width of the code limits what passes."""

    latent: int = 32
    """Number of latents (the width of the code)."""

    def __post_init__(self) -> None:
        positive(latent=self.latent)

    def build(self) -> PlainWaist:
        """Return the module."""
        return PlainWaist(self)


class PlainWaist(Waist):
    """See :class:`Plain`."""

    def __init__(self, config: Plain) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the encoder's output as the code."""
        return Code(h)

    def embed(self, h: Tensor) -> Tensor:
        """Return the encoder's output."""
        return h
