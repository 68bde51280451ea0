"""`moe`: an even mixture of experts (MMVAE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from isthmus.models.autoencoder import Terms
from isthmus.models.multimodal.gaussians import Normal, standard
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.objective import Width
from isthmus.models.multimodal.rows import Rows
from isthmus.models.multimodal.variational import (
    Masks,
    Variational,
    check_amounts,
    log_mixture,
    mixture_moments,
    plain_width,
)

if TYPE_CHECKING:
    from isthmus.models.multimodal.channel import Channel

__all__ = ["MoE"]


@dataclass(frozen=True)
class MoE:
    """``q(z|X) = (1/M) sum_m q_m(z|x_m)``, sampled from every component in turn.

    ::

        (1/M) sum_m E_{z ~ q_m} [ sum_n lambda_n -log p(x_n | z) - beta (log p(z) - log q(z|X)) ]

    Missing: M counts the modalities that the row has, and both sums run over them; a row with
    nothing costs 0, and its posterior is the prior.

    Source: Shi et al., "Variational mixture-of-experts autoencoders for multi-modal deep
    generative models", arXiv:1911.03393, with one sample a component.
    """

    shared: int = 32
    """Width of the shared code."""
    beta: float = 1.0
    """What a nat of the code costs."""

    def __post_init__(self) -> None:
        check_amounts(self.shared, self.beta)

    def width(self, modality: Modality) -> Width:
        """Return how wide the codes of a modality are."""
        return plain_width(self.shared)

    def build(self, modalities: tuple[Modality, ...]) -> MoEJoining:
        """Return the module that joins them."""
        return MoEJoining(self, modalities)


class MoEJoining(Variational):
    """See :class:`MoE`."""

    even: ClassVar[bool] = True

    def __init__(self, config: MoE, modalities: tuple[Modality, ...]) -> None:
        super().__init__(modalities, config.shared, config.beta)
        self.config = config

    def posterior(self, experts: Mapping[str, Normal], mask: Masks) -> Normal:
        """Return the moments of the mixture."""
        masks = [mask[name] for name in experts]
        first = next(iter(experts.values()))
        return mixture_moments(list(experts.values()), masks, standard(first.mean))

    def terms(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        experts: Mapping[str, Normal],
        generator: torch.Generator | None,
    ) -> Terms:
        """Return the terms of a batch, every component in turn."""
        count = rows.there.clamp_min(1)
        masks = [rows.mask[name] for name in experts]
        distortion = torch.zeros(len(rows), device=rows.labels.device)
        rate = distortion.clone()
        sums: dict[str, Tensor] = {}
        for name, q in experts.items():
            there, z = rows.mask[name], q.sample(generator)
            cost, logs = self.likelihoods(channels, rows, z, chosen=there)
            gain = standard(z).log_density(z) - log_mixture(z, list(experts.values()), masks)
            gain = torch.where(there, gain, gain.new_zeros(()))
            distortion, rate = distortion + cost / count, rate - self.beta * gain / count
            for key, value in logs.items():
                sums[key] = sums.get(key, 0.0) + value / len(experts)
        return Terms(distortion, rate, torch.zeros_like(rate), sums)
