"""`mmvae-plus`: a mixture of experts for what is shared, private codes for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from isthmus.models.autoencoder import Terms
from isthmus.models.multimodal.gaussians import LARGEST, SMALLEST, Normal, standard
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.objective import Pass, Width, heads_of
from isthmus.models.multimodal.rows import Rows
from isthmus.models.multimodal.variational import (
    Masks,
    Variational,
    check_amounts,
    log_mixture,
    mixture_moments,
)

if TYPE_CHECKING:
    from isthmus.models.multimodal.channel import Channel

__all__ = ["MMVAEPlus"]


@dataclass(frozen=True)
class MMVAEPlus:
    """Shared z from a mixture of experts, private w_m, and auxiliary priors r_n of w_n.

    ::

        (1/M) sum_m E_{q(z|x_m) q(w_m|x_m)} E_{w~_n ~ r_n, n != m} [
            lambda_m -log p(x_m | z, w_m) + sum_{n != m} lambda_n -log p(x_n | z, w~_n)
            - beta ( log p(z) + log p(w_m) - log q_mix(z|X) - log q(w_m|x_m) ) ]

    r_n is normal with learned deviations and is used only to reconstruct n from m: what crosses
    must be in z, and no shortcut leads through w. Private codes at prediction come from r_n.
    Missing: M counts the modalities that the row has, and all sums run over them; a row with
    nothing costs 0, and is the prior.

    Source: Palumbo, Daunhawer and Vogt, "MMVAE+: enhancing the generative quality of multimodal
    VAEs without compromises", ICLR 2023; normal where the source has Laplace distributions.
    """

    shared: int = 32
    """Width of the shared code."""
    beta: float = 2.5
    """What a nat of a code costs."""

    def __post_init__(self) -> None:
        check_amounts(self.shared, self.beta)

    def width(self, modality: Modality) -> Width:
        """Return how wide the codes of a modality are."""
        return Width(2 * (self.shared + modality.private), self.shared + modality.private)

    def build(self, modalities: tuple[Modality, ...]) -> MMVAEPlusJoining:
        """Return the module that joins them."""
        return MMVAEPlusJoining(self, modalities)


class MMVAEPlusJoining(Variational):
    """See :class:`MMVAEPlus`."""

    even: ClassVar[bool] = True

    def __init__(self, config: MMVAEPlus, modalities: tuple[Modality, ...]) -> None:
        super().__init__(modalities, config.shared, config.beta)
        self.config = config
        self.auxiliary = nn.ParameterDict(
            {f"of {m.name}": nn.Parameter(torch.zeros(m.private)) for m in modalities}
        )

    def posterior(self, experts: Mapping[str, Normal], mask: Masks) -> Normal:
        """Return the moments of the mixture."""
        masks = [mask[name] for name in experts]
        first = next(iter(experts.values()))
        return mixture_moments(list(experts.values()), masks, standard(first.mean))

    def privates(self, heads: Mapping[str, Tensor]) -> dict[str, Normal]:
        """Return the distributions of the private codes."""
        return {name: Normal.read(head[:, 2 * self.shared :]) for name, head in heads.items()}

    def _deviation(self, name: str) -> Tensor:
        """Return the standard deviations of r_n, (W,)."""
        found: Tensor = (0.5 * self.auxiliary[f"of {name}"].clamp(SMALLEST, LARGEST)).exp()
        return found

    def private_prior(self, name: str, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of r_n, both (W,)."""
        deviation = self._deviation(name).detach()
        return torch.zeros_like(deviation), deviation

    def passed(
        self, channels: Mapping[str, Channel], rows: Rows, generator: torch.Generator | None
    ) -> Pass:
        """Return the terms of a batch, every component in turn, and the codes behind them."""
        heads = heads_of(channels, rows)
        experts, private = self.experts(heads), self.privates(heads)
        masks = [rows.mask[name] for name in experts]
        count = rows.there.clamp_min(1)
        distortion = torch.zeros(len(rows), device=rows.labels.device)
        rate, logs = distortion.clone(), {}
        for name, q in experts.items():
            there, z, own = rows.mask[name], q.sample(generator), private[name]
            w = own.sample(generator)
            for to, channel in channels.items():
                both = there & rows.mask[to]
                code = torch.cat([z, w if to == name else self._auxiliary(to, w, generator)], 1)
                nats = channel.distortion(code, rows.items[to], both)
                distortion = distortion + self.weights[to] * nats / count
                if to == name:
                    mean = nats.detach().sum() / both.sum().clamp_min(1)
                    logs[f"nats_{to}"] = mean / channel.modality.terms
            gain = standard(z).log_density(z) - log_mixture(z, list(experts.values()), masks)
            gain = gain - own.kl_standard()
            rate = rate - self.beta * torch.where(there, gain, gain.new_zeros(())) / count
        terms = Terms(distortion, rate, torch.zeros_like(rate), logs)
        means = {name: p.mean for name, p in private.items()}
        return Pass(terms, {name: q.mean for name, q in experts.items()}, means)

    def _auxiliary(self, name: str, like: Tensor, generator: torch.Generator | None) -> Tensor:
        deviation = self._deviation(name)
        noise = torch.empty(len(like), len(deviation), device=like.device)
        return deviation * noise.normal_(generator=generator)
