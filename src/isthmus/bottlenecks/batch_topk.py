"""The BatchTopK bottleneck: k activations a sample on average, chosen over the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.bottlenecks.balance import Balance
from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.bottlenecks.scale import Scale
from isthmus.errors import ConfigError

__all__ = ["BatchTopK", "BatchTopKWaist"]


@dataclass(frozen=True)
class BatchTopK:
    """Keeps the B * k largest activations of a batch; a stored threshold at inference.

    Easy samples get fewer latents and hard ones more. Outside training each sample is encoded
    by itself with the threshold, a running mean of the smallest activation kept. Source:
    Bussmann, Leask and Nanda, "BatchTopK sparse autoencoders", arXiv:2412.06410.
    """

    latent: int = 64
    """Number of latents (the width of the code)."""
    k: int = 8
    """Mean number of latents that a sample keeps."""
    balance: float = 0.01
    """Speed at which latents that hardly fire are brought back; 0 for none."""
    memory: float = 0.99
    """Share of the running threshold kept at each step."""

    def __post_init__(self) -> None:
        positive(latent=self.latent, k=self.k)
        if self.k > self.latent:
            raise ConfigError(f"k = {self.k} is larger than the number of latents, {self.latent}")

    def build(self) -> BatchTopKWaist:
        """Return the module."""
        return BatchTopKWaist(self)


class BatchTopKWaist(Waist):
    """See :class:`BatchTopK`."""

    edge: Tensor

    def __init__(self, config: BatchTopK) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent
        # at unit variance a small bias lifts any latent above zero; else a latent that is always
        # negative would take places in the choice and fill them with nothing
        self.scale = Scale(config.latent)
        self.balance = Balance(config.latent, config.k / config.latent, config.balance)
        self.register_buffer("edge", torch.tensor(float("nan")))

    def embed(self, h: Tensor) -> Tensor:
        """Return the code (B, N) by the stored threshold, each row by itself."""
        h = self.scale(h)
        score: Tensor = self.balance(h)
        return h.relu() * (score > self.edge.nan_to_num(nan=0.0))

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the code: by rank over the batch in training, else by the threshold."""
        z = self._by_rank(h) if self.training else self.embed(h)
        active = z.detach() > 0
        if self.training and self.config.balance:
            self.balance.step(active)
        return Code(z, logs={"l0": active.sum(1).float().mean(), "threshold": self.edge.clone()})

    def _by_rank(self, h: Tensor) -> Tensor:
        # the threshold is of scores as they are at inference, where no batch sets the scale
        edge = self._edge(self.balance(self.scale.settled(h)))
        last = torch.where(self.edge.isnan(), edge, self.edge)
        self.edge.copy_(last.lerp(edge, 1 - self.config.memory))
        h = self.scale(h)
        score: Tensor = self.balance(h)
        return h.relu() * (score >= self._edge(score))

    def _edge(self, score: Tensor) -> Tensor:
        """Return the smallest score that is kept of a batch's (B, N)."""
        return score.flatten().topk(score.shape[0] * self.config.k, sorted=False).values.min()

    def describe(self) -> list[str]:
        """Say how sparse the code is."""
        share = self.config.k / self.latent
        return [f"a sample keeps {self.config.k} of {self.latent} latents ({share:.1%}) on average"]
