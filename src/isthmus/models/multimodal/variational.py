"""What the variational ways of joining have in common."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from isthmus.errors import ConfigError
from isthmus.models.autoencoder import Terms
from isthmus.models.multimodal.codes import Codes
from isthmus.models.multimodal.gaussians import Normal, product, standard
from isthmus.models.multimodal.modality import Modality, balanced
from isthmus.models.multimodal.objective import Joining, Pass, Width, heads_of
from isthmus.models.multimodal.rows import Rows

if TYPE_CHECKING:
    from isthmus.models.multimodal.channel import Channel

__all__ = [
    "Masks",
    "Variational",
    "check_amounts",
    "log_mixture",
    "mixture_moments",
    "plain_width",
    "subsets",
]

Masks = Mapping[str, Tensor]


def check_amounts(shared: int, beta: float) -> None:
    """Refuse widths below 1 and negative weights.

    Raises
    ------
    ConfigError
        If one is such.
    """
    if shared < 1 or not beta >= 0 or math.isinf(beta):
        raise ConfigError(f"shared must be at least 1 and beta not negative: {shared}, {beta}")


def plain_width(shared: int) -> Width:
    """Return the widths of a modality without a private code: mean and log-variance of z."""
    return Width(2 * shared, shared)


def subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield every non-empty subset, small ones first.

    Examples
    --------
    >>> list(subsets(["a", "b"]))
    [('a',), ('b',), ('a', 'b')]
    """
    for size in range(1, len(names) + 1):
        yield from itertools.combinations(names, size)


def mixture_moments(components: Sequence[Normal], masks: Sequence[Tensor], prior: Normal) -> Normal:
    """Return mean and variance of the even mixture of the components that are there.

    ``mean = E[mu]``, ``variance = E[s^2 + mu^2] - mean^2``; rows with none have the prior's.
    """
    there = torch.stack(list(masks)).unsqueeze(-1)
    count = there.sum(0).clamp_min(1)
    zero = components[0].mean.new_zeros(())
    means = torch.where(there, torch.stack([c.mean for c in components]), zero)
    spreads = torch.where(there, torch.stack([c.log_variance.exp() for c in components]), zero)
    mean = means.sum(0) / count
    apart = torch.where(there, (means - mean).square(), zero).sum(0) / count
    variance = (spreads.sum(0) / count + apart).clamp_min(1e-12)
    return Normal(mean, variance.log()).where(there.any(0).squeeze(-1), prior)


def log_mixture(z: Tensor, components: Sequence[Normal], masks: Sequence[Tensor]) -> Tensor:
    """Return the log-density of codes under the even mixture of what is there, (B,).

    Rows with no component have the prior's density.
    """
    there = torch.stack(list(masks))
    none = z.new_tensor(-1e30)
    logs = torch.stack([c.log_density(z) for c in components])
    logs = torch.where(there, logs, none)
    # a finite floor keeps the gradient of rows without components free of NaN
    mixed = logs.logsumexp(0) - there.sum(0).clamp_min(1).log()
    return torch.where(there.any(0), mixed, standard(z).log_density(z))


class Variational(Joining):
    """Encoders that give normal distributions of z; likelihoods balanced by dimensions.

    The loss is in nats: ``distortion = sum_m lambda_m -log p(x_m | z)`` with the weights of
    :func:`balanced`, ``rate = beta`` times divergences.
    """

    prior_is_expert: ClassVar[bool] = False
    """Whether the prior is a factor of the joint posterior."""
    even: ClassVar[bool] = False
    """Whether modalities share the joint code evenly, and not by their precision."""

    def __init__(self, modalities: tuple[Modality, ...], shared: int, beta: float) -> None:
        super().__init__()
        self.modalities, self.shared, self.beta = modalities, shared, beta
        self.weights = balanced(modalities)
        self.dimensions = float(max(m.terms for m in modalities))

    # --- what an objective defines -----------------------------------------------------------

    def terms(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        experts: Mapping[str, Normal],
        generator: torch.Generator | None,
    ) -> Terms:
        """Return the terms of a batch for the experts' distributions."""
        raise TypeError(f"{type(self).__name__} defines no terms")

    def posterior(self, experts: Mapping[str, Normal], mask: Masks) -> Normal:
        """Return the joint posterior's mean and variance; the prior where nothing is there."""
        raise TypeError(f"{type(self).__name__} defines no posterior")

    def experts(self, heads: Mapping[str, Tensor]) -> dict[str, Normal]:
        """Return the distribution of z in each encoder's output."""
        return {name: Normal.read(head[:, : 2 * self.shared]) for name, head in heads.items()}

    # --- what they share -----------------------------------------------------------------------

    def passed(
        self, channels: Mapping[str, Channel], rows: Rows, generator: torch.Generator | None
    ) -> Pass:
        """Return the terms of a batch, and the codes behind them."""
        heads = heads_of(channels, rows)
        experts = self.experts(heads)
        terms = self.terms(channels, rows, experts, generator)
        own = {name: q.mean for name, q in self.privates(heads).items()}
        return Pass(terms, {name: q.mean for name, q in experts.items()}, own)

    def privates(self, heads: Mapping[str, Tensor]) -> dict[str, Normal]:
        """Return the distributions of the private codes; none here."""
        return {}

    def likelihoods(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        z: Tensor,
        names: Sequence[str] | None = None,
        chosen: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return weighted nats of the items that are there, (B,), and nats per dimension.

        Parameters
        ----------
        names
            The modalities that count; default: all.
        chosen
            Rows that count, (B,), bool; default: all.
        """
        total = torch.zeros(len(rows), device=z.device)
        logs = {}
        for name in [m.name for m in self.modalities] if names is None else names:
            there = rows.mask[name] if chosen is None else rows.mask[name] & chosen
            nats = channels[name].distortion(z, rows.items[name], there)
            total = total + self.weights[name] * nats
            terms = channels[name].modality.terms
            logs[f"nats_{name}"] = nats.detach().sum() / there.sum().clamp_min(1) / terms
        return total, logs

    def codes(self, heads: Mapping[str, Tensor], mask: Masks) -> Codes:
        """Return the deterministic codes: the joint posterior's mean and variance."""
        experts = self.experts(heads)
        joint = self.posterior(experts, mask)
        each, weight = {}, {}
        shares = self._shares(experts, mask)
        for name in experts:
            alone = {other: mask[other] & (other == name) for other in experts}
            own = self.posterior(experts, alone).mean
            each[name] = torch.where(mask[name].unsqueeze(1), own, own.new_zeros(()))
            weight[name] = shares[name]
        private = {
            n: torch.where(mask[n].unsqueeze(1), w.mean, w.mean.new_zeros(()))
            for n, w in self.privates(heads).items()
        }
        return Codes(joint.mean, joint.log_variance, private, each, weight, dict(mask))

    def _shares(self, experts: Mapping[str, Normal], mask: Masks) -> dict[str, Tensor]:
        """Return each modality's share of the joint code, (B,): of precision, or even."""
        there = torch.stack([mask[name] for name in experts])
        if self.even:
            parts = there.float() / there.sum(0).clamp_min(1)
        else:
            zero = next(iter(experts.values())).mean.new_zeros(())
            precisions = torch.stack([(-q.log_variance).exp() for q in experts.values()])
            precisions = torch.where(there.unsqueeze(-1), precisions, zero)
            total = precisions.sum(0) + (1.0 if self.prior_is_expert else 0.0)
            parts = (precisions / total.clamp_min(1e-12)).mean(-1)
        return dict(zip(experts, parts, strict=True))

    def log_weights(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return importance weights log p(x, z) - log q(z) in nats, without rescaling, (K, B).

        q is the normal with the joint posterior's moments, and the private codes' own
        posteriors; items that are missing don't count.
        """
        heads = heads_of(channels, rows)
        q, privates = self.posterior(self.experts(heads), rows.mask), self.privates(heads)
        found = []
        for _ in range(samples):
            z = q.sample(generator)
            weight = standard(z).log_density(z) - q.log_density(z)
            for name, channel in channels.items():
                there, code = rows.mask[name], z
                if name in privates:
                    own = privates[name]
                    w = own.sample(generator)
                    gain = standard(w).log_density(w) - own.log_density(w)
                    weight = weight + torch.where(there, gain, gain.new_zeros(()))
                    code = torch.cat([z, w], 1)
                weight = weight - channel.distortion(code, rows.items[name], there)
            found.append(weight)
        return torch.stack(found)

    def describe(self) -> list[str]:
        """Return what the objective amounts to."""
        weights = ", ".join(f"{name} {value:g}" for name, value in self.weights.items())
        return [f"likelihoods are weighted by {weights}; a nat of the code costs {self.beta:g}"]


def product_of(experts: Mapping[str, Normal], mask: Masks, *, prior: bool) -> Normal:
    """Return the product of the experts that are there; see :func:`product`."""
    return product(list(experts.values()), [mask[name] for name in experts], prior=prior)


def any_there(mask: Masks) -> Tensor:
    """Return which rows have anything, (B,), bool."""
    return torch.stack(list(mask.values())).any(0)
