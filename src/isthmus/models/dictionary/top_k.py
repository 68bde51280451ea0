"""TopK, and any-k: the same selection, with one level of reconstruction or many."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.bottlenecks import AnyK, TopK
from isthmus.kernels.rules import Levels, RowTopK, Rule
from isthmus.models.dictionary.objective import Objective, chosen_k

__all__ = ["AnyKObjective", "TopKObjective"]


class TopKObjective(Objective):
    """The k largest pre-activations of each sample, rectified.

    Source: Gao et al., "Scaling and evaluating sparse autoencoders", arXiv:2406.04093.
    """

    sparse = True
    k: int

    def __init__(self, config: TopK | AnyK) -> None:
        super().__init__()
        self.latent, self.k = config.latent, config.k

    def rule(self, k: int | None = None) -> Rule:
        """Say which latents are active."""
        return RowTopK(chosen_k(k, self.k, self.latent))

    def inference(self, k: int | None = None) -> Rule:
        """Say which latents are active."""
        return self.rule(k)

    def codes(self, pre_BN: Tensor) -> Tensor:
        """Return the dense codes."""
        top = pre_BN.topk(self.k, dim=1, sorted=False)
        return torch.zeros_like(pre_BN).scatter(1, top.indices, top.values.relu())

    def describe(self) -> list[str]:
        """Say how sparse the code is."""
        return [f"each sample keeps at most {self.k} of {self.latent} latents"]


class AnyKObjective(TopKObjective):
    """See :class:`~isthmus.bottlenecks.AnyK`."""

    def __init__(self, config: AnyK) -> None:
        super().__init__(config)
        self._levels = Levels(config.ends, config.weights, by_rank=True)

    def rule(self, k: int | None = None) -> Rule:
        """Say which latents are active: no more than the last level holds."""
        return RowTopK(min(chosen_k(k, self.k, self.latent), self.k))

    def inference(self, k: int | None = None) -> Rule:
        """Say which latents are active."""
        return RowTopK(chosen_k(k, self.k, self.latent))

    def levels(self) -> Levels:
        """Say which partial sums count."""
        return self._levels

    def describe(self) -> list[str]:
        """Say what it is good for."""
        return [f"encode with any k up to {self.k}: encode(x, k=...)"]
