"""The contrastive objective: reconstruction at k and 4k, and codes that tell samples apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from isthmus.bottlenecks import Contrastive
from isthmus.kernels.rules import RowTopK, Rule
from isthmus.models.dictionary.objective import Charge, Objective, chosen_k, fvu_terms

if TYPE_CHECKING:
    from isthmus.models.dictionary.model import SparseDictionary

__all__ = ["ContrastiveObjective", "info_nce"]


def info_nce(one_BN: Tensor, two_BN: Tensor, temperature: float) -> Tensor:
    """Return each row's symmetric InfoNCE over ``log B``, (B,): 1 for codes that tell nothing.

    Source: van den Oord, Li and Vinyals, arXiv:1807.03748, over cosines.

    Examples
    --------
    >>> info_nce(torch.ones(4, 3), torch.ones(4, 3), temperature=0.2)
    tensor([1., 1., 1., 1.])
    """
    cosines = functional.normalize(one_BN, dim=1) @ functional.normalize(two_BN, dim=1).T
    logits = cosines / temperature
    place = torch.arange(len(logits), device=logits.device)
    there = functional.cross_entropy(logits, place, reduction="none")
    back = functional.cross_entropy(logits.T, place, reduction="none")
    return (there + back) / (2 * math.log(max(2, len(logits))))


class ContrastiveObjective(Objective):
    """See :class:`~isthmus.bottlenecks.Contrastive`.

    Several processes contrast the rows of their own parts of a batch, each by itself.
    """

    k: int

    def __init__(self, config: Contrastive) -> None:
        super().__init__()
        self.config, self.latent, self.k = config, config.latent, config.k

    def inference(self, k: int | None = None) -> Rule:
        """Say which latents are active: the k largest."""
        return RowTopK(chosen_k(k, self.k, self.latent))

    def codes(self, pre_BN: Tensor, k: int | None = None) -> Tensor:
        """Return the dense codes, with ``k`` in place of the setting."""
        top = pre_BN.topk(min(k or self.k, self.latent), dim=1, sorted=False)
        return torch.zeros_like(pre_BN).scatter(1, top.indices, top.values.relu())

    def loss(
        self,
        model: SparseDictionary,
        x_BD: Tensor,
        variance: float,
        generator: torch.Generator | None = None,
    ) -> Charge:
        """Return the terms of a batch."""
        pre = model.preactivations(x_BD)
        a = self.codes(pre)
        more = self.codes(pre, 4 * self.k)
        penalty = fvu_terms(x_BD, model.decoded(more), variance) / 8
        if self.config.weight:
            one, two = (
                self.codes(model.preactivations(self._view(x_BD, model, generator)))
                for _ in range(2)
            )
            penalty = penalty + self.config.weight * info_nce(one, two, self.config.temperature)
        return Charge(fvu_terms(x_BD, model.decoded(a), variance), penalty, a)

    def _view(
        self, x_BD: Tensor, model: SparseDictionary, generator: torch.Generator | None
    ) -> Tensor:
        """Replace some coordinates by their means, near enough the pre-bias."""
        drawn = torch.rand(x_BD.shape, generator=generator, device=x_BD.device)
        return torch.where(drawn < self.config.mask, model.pre_bias.detach(), x_BD)

    def describe(self) -> list[str]:
        """Say what is trained for."""
        return [f"{self.k} of {self.latent} latents, trained to tell samples apart as well"]
