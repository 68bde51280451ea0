"""The TopK bottleneck: the k largest activations of each sample, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.bottlenecks.balance import Balance
from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.bottlenecks.scale import Scale
from isthmus.errors import ConfigError

__all__ = ["TopK", "TopKWaist"]


@dataclass(frozen=True)
class TopK:
    """Keeps the k largest of ``relu(h)`` in each sample: L0 is k by construction.

    Source: Makhzani and Frey, "k-sparse autoencoders", arXiv:1312.5663; Gao et al., "Scaling
    and evaluating sparse autoencoders", arXiv:2406.04093. Latents are kept alive by
    :class:`~isthmus.bottlenecks.balance.Balance`, which works with decoders of any depth (the
    auxiliary loss of Gao et al. presumes a linear one).
    """

    latent: int = 64
    """Number of latents (the width of the code)."""
    k: int = 8
    """Number of latents that each sample keeps."""
    balance: float = 0.01
    """Speed at which latents that hardly fire are brought back; 0 for none."""

    def __post_init__(self) -> None:
        positive(latent=self.latent, k=self.k)
        if self.k > self.latent:
            raise ConfigError(f"k = {self.k} is larger than the number of latents, {self.latent}")

    def build(self) -> TopKWaist:
        """Return the module."""
        return TopKWaist(self)


class TopKWaist(Waist):
    """See :class:`TopK`."""

    def __init__(self, config: TopK) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent
        self.scale = Scale(config.latent)
        self.balance = Balance(config.latent, config.k / config.latent, config.balance)

    def embed(self, h: Tensor) -> Tensor:
        """Return the code (B, N) with at most k activations above zero in each row."""
        h = self.scale(h)
        chosen = self.balance(h).topk(self.config.k, dim=1, sorted=False).indices
        return torch.zeros_like(h).scatter(1, chosen, h.gather(1, chosen).relu())

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the code; it costs nothing beside its sparsity."""
        z = self.embed(h)
        active = z.detach() > 0
        if self.training and self.config.balance:
            self.balance.step(active)
        return Code(z, logs={"l0": active.sum(1).float().mean()})

    def describe(self) -> list[str]:
        """Say how sparse the code is."""
        share = self.config.k / self.latent
        return [f"each sample keeps at most {self.config.k} of {self.latent} latents ({share:.1%})"]
