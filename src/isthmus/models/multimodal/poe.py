"""`poe`: a product of experts with the prior among them (MVAE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

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
    subsets,
)

if TYPE_CHECKING:
    from isthmus.models.multimodal.channel import Channel

__all__ = ["PoE"]


@dataclass(frozen=True)
class PoE:
    """``q(z|X_S) ~ p(z) prod_{m in S} q_m(z|x_m)``, trained on subsets S of the modalities.

    ::

        sum over S in {all, each alone, k at random}
            of E_{q_S} sum_{m in S} lambda_m -log p(x_m | z) + beta KL(q_S || p)

    Without subsets single encoders are never trained. Missing: an expert that a row lacks is no
    factor of the product, and subsets hold what is there of them; a row with nothing costs 0.

    Source: Wu and Goodman, "Multimodal generative models for scalable weakly-supervised
    learning", arXiv:1802.05335.
    """

    shared: int = 32
    """Width of the shared code."""
    beta: float = 1.0
    """What a nat of the code costs."""
    drawn: int = 1
    """Subsets k drawn at random for each batch, beside all and each alone."""

    def __post_init__(self) -> None:
        check_amounts(self.shared, self.beta)
        if self.drawn < 0:
            raise ConfigError(f"drawn can't be negative, as {self.drawn} is")

    def width(self, modality: Modality) -> Width:
        """Return how wide the codes of a modality are."""
        return plain_width(self.shared)

    def build(self, modalities: tuple[Modality, ...]) -> PoEJoining:
        """Return the module that joins them."""
        return PoEJoining(self, modalities)


class PoEJoining(Variational):
    """See :class:`PoE`."""

    prior_is_expert: ClassVar[bool] = True

    def __init__(self, config: PoE, modalities: tuple[Modality, ...]) -> None:
        super().__init__(modalities, config.shared, config.beta)
        self.config = config

    def posterior(self, experts: Mapping[str, Normal], mask: Masks) -> Normal:
        """Return the product with the prior."""
        return product_of(experts, mask, prior=True)

    def terms(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        experts: Mapping[str, Normal],
        generator: torch.Generator | None,
    ) -> Terms:
        """Return the terms of a batch, summed over subsets."""
        names = tuple(experts)
        # a row of one modality counts both as all and as alone, however many the model has
        wanted = [names, *((name,) for name in names)]
        if len(names) > 2 and self.training:
            between = [s for s in subsets(names) if 1 < len(s) < len(names)]
            draws = torch.randint(len(between), (self.config.drawn,), generator=generator)
            wanted += [between[int(i)] for i in draws]
        distortion = torch.zeros(len(rows), device=rows.labels.device)
        rate = distortion.clone()
        logs: dict[str, Tensor] = {}
        for subset in wanted:
            mask = {name: rows.mask[name] & (name in subset) for name in names}
            q = self.posterior(experts, mask)
            z = q.sample(generator)
            cost, found = self.likelihoods(channels, rows, z, subset)
            logs = found | logs  # those of all modalities together came first
            distortion, rate = distortion + cost, rate + self.beta * q.kl_standard()
        return Terms(distortion, rate, torch.zeros_like(rate), logs)
