"""`mvtcae`: a product of experts that every expert must foresee."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from isthmus.errors import ConfigError
from isthmus.models.autoencoder import Terms
from isthmus.models.multimodal.gaussians import Normal
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.objective import Width
from isthmus.models.multimodal.rows import Rows
from isthmus.models.multimodal.variational import (
    Masks,
    Variational,
    check_amounts,
    plain_width,
    product_of,
)

if TYPE_CHECKING:
    from isthmus.models.multimodal.channel import Channel

__all__ = ["MVTCAE"]


@dataclass(frozen=True)
class MVTCAE:
    """The total correlation of modalities and code, bounded; q is a product without the prior.

    ::

        (M - alpha)/M E_q sum_m lambda_m -log p(x_m | z)
        + beta [ (1 - alpha) KL(q || p) + alpha/M sum_m KL(q || q_m) ]

    Missing: M counts the modalities that the row has; an expert that it lacks has no factor, no
    likelihood and no divergence. A row with nothing is the prior and costs 0.

    Source: Hwang et al., "Multi-view representation learning via total correlation objective",
    NeurIPS 2021.
    """

    shared: int = 64
    """Width of the shared code."""
    alpha: float = 5 / 6
    """Weight of foresight (1) against the prior (0)."""
    beta: float = 2.5
    """What a nat of the code costs."""

    def __post_init__(self) -> None:
        check_amounts(self.shared, self.beta)
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha must be from 0 to 1, not {self.alpha}")

    def width(self, modality: Modality) -> Width:
        """Return how wide the codes of a modality are."""
        return plain_width(self.shared)

    def build(self, modalities: tuple[Modality, ...]) -> MVTCAEJoining:
        """Return the module that joins them."""
        return MVTCAEJoining(self, modalities)


class MVTCAEJoining(Variational):
    """See :class:`MVTCAE`."""

    def __init__(self, config: MVTCAE, modalities: tuple[Modality, ...]) -> None:
        super().__init__(modalities, config.shared, config.beta)
        self.config = config

    def posterior(self, experts: Mapping[str, Normal], mask: Masks) -> Normal:
        """Return the product without the prior."""
        return product_of(experts, mask, prior=False)

    def terms(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        experts: Mapping[str, Normal],
        generator: torch.Generator | None,
    ) -> Terms:
        """Return the terms of a batch."""
        alpha, count = self.config.alpha, rows.there
        q = self.posterior(experts, rows.mask)
        cost, logs = self.likelihoods(channels, rows, q.sample(generator))
        foresight = torch.stack(
            [torch.where(rows.mask[n], q.kl(e), cost.new_zeros(())) for n, e in experts.items()]
        ).sum(0)
        kl = q.kl_standard()
        some = count.clamp_min(1)
        rate = self.beta * ((1 - alpha) * kl + alpha / some * foresight)
        logs |= {"kl": kl.detach().mean(), "foresight": foresight.detach().mean()}
        return Terms(cost * (some - alpha) / some, rate, torch.zeros_like(rate), logs)
