"""`mopoe`: an even mixture of the products of all subsets of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from isthmus.errors import ConfigError
from isthmus.models.autoencoder import Terms
from isthmus.models.multimodal.gaussians import Normal, standard
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.objective import Width
from isthmus.models.multimodal.rows import Rows
from isthmus.models.multimodal.variational import (
    Masks,
    Variational,
    check_amounts,
    mixture_moments,
    plain_width,
    product_of,
    subsets,
)

if TYPE_CHECKING:
    from isthmus.models.multimodal.channel import Channel

__all__ = ["MoPoE"]

MOST = 6
"""Most modalities: their subsets are exponentially many."""


@dataclass(frozen=True)
class MoPoE:
    """``q(z|X) = (1/|P|) sum_{S in P} PoE_S(z|X)`` over all non-empty subsets.

    ::

        (1/|P|) sum_S E_{PoE_S} [ sum_m lambda_m -log p(x_m | z) + beta KL(PoE_S || p) ]

    where the divergences' mean bounds the mixture's. Training draws one subset a row, of what
    the row has; every modality of the row is reconstructed from it. A row with nothing is the
    prior and costs 0.

    Source: Sutter, Daunhawer and Vogt, "Generalized multimodal ELBO", arXiv:2105.02470.
    """

    shared: int = 32
    """Width of the shared code."""
    beta: float = 2.5
    """What a nat of the code costs."""

    def __post_init__(self) -> None:
        check_amounts(self.shared, self.beta)

    def width(self, modality: Modality) -> Width:
        """Return how wide the codes of a modality are."""
        return plain_width(self.shared)

    def build(self, modalities: tuple[Modality, ...]) -> MoPoEJoining:
        """Return the module that joins them."""
        if len(modalities) > MOST:
            raise ConfigError(
                f"mopoe takes at most {MOST} modalities, not {len(modalities)}",
                why="their subsets are exponentially many",
                fix="use mvtcae or aligned",
            )
        return MoPoEJoining(self, modalities)


class MoPoEJoining(Variational):
    """See :class:`MoPoE`."""

    even: ClassVar[bool] = True

    def __init__(self, config: MoPoE, modalities: tuple[Modality, ...]) -> None:
        super().__init__(modalities, config.shared, config.beta)
        self.config = config

    def posterior(self, experts: Mapping[str, Normal], mask: Masks) -> Normal:
        """Return the moments of the mixture over subsets of what is there."""
        parts, masks = [], []
        for subset in subsets(tuple(experts)):
            parts.append(product_of({n: experts[n] for n in subset}, mask, prior=False))
            # only subsets of what is there are components: each once
            masks.append(torch.stack([mask[n] for n in subset]).all(0))
        return mixture_moments(parts, masks, standard(parts[0].mean))

    def terms(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        experts: Mapping[str, Normal],
        generator: torch.Generator | None,
    ) -> Terms:
        """Return the terms of a batch, one subset drawn for each row."""
        mask = self._drawn(rows.mask, generator)
        q = product_of(experts, mask, prior=False)
        cost, logs = self.likelihoods(channels, rows, q.sample(generator))
        rate = self.beta * q.kl_standard()
        return Terms(cost, rate, torch.zeros_like(rate), logs)

    @staticmethod
    def _drawn(mask: Masks, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Return an evenly drawn non-empty subset of what each row has."""
        there = torch.stack(list(mask.values()))
        left, chosen = there.any(0), torch.zeros_like(there)
        # drawn again where it came out empty: even over the non-empty subsets
        while bool(left.any()):
            coins = torch.rand(there.shape, generator=generator, device=there.device) < 0.5
            chosen = torch.where(left, coins & there, chosen)
            left = left & ~chosen.any(0)
        return dict(zip(mask, chosen, strict=True))
