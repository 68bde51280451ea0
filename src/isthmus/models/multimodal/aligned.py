"""`aligned`: autoencoders whose shared codes a contrast pulls together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.errors import ConfigError
from isthmus.models.autoencoder import Terms
from isthmus.models.multimodal.codes import Codes
from isthmus.models.multimodal.contrast import (
    HOTTEST,
    Look,
    Relation,
    contrast,
    covariance,
    guessed,
    variance,
)
from isthmus.models.multimodal.gaussians import SMALLEST, Normal
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.objective import Joining, Pass, Width
from isthmus.models.multimodal.rows import Rows

if TYPE_CHECKING:
    from isthmus.models.multimodal.channel import Channel

__all__ = ["Aligned", "AlignedJoining"]


@dataclass(frozen=True)
class Aligned:
    """Deterministic shared codes on a sphere, private codes beside them, and a contrast.

    ::

        sum_m 1/D_m [ -log p(x_m | z_n, w_m) + rate KL(q(w_m | x_m) || N(0, I)) ]
        + contrast InfoNCE(z) + spread (variance + covariance of z)

    where n is m itself, or in a share ``cross`` of the rows another modality of the row: a
    decoder that has read every modality's codes translates. The private code pays for what it
    carries, and what the shared code says already is not worth its price.

    Missing: a modality that a row lacks has no term. Joint code: the mean of the unit codes that
    are there, on the sphere again; a row with nothing gives zeros.

    Sources: van den Oord et al., arXiv:1807.03748; Khosla et al., arXiv:2004.11362; Bardes et
    al., arXiv:2105.04906; cross-decoding as in Aguila et al. and many before.
    """

    shared: int = 32
    """Width of the shared code."""
    reconstruction: float = 1.0
    """Weight of the likelihoods, which count in nats per dimension."""
    contrast: float = 1.0
    """Weight of the contrast."""
    alike: Relation = "positive"
    """Rows of one class are "positive" (pulled together), "masked" (not compared) or
    "negative" (pushed apart, as where classes are not known)."""
    temperature: float = 0.1
    """Temperature of the contrast, at the start where it is learned."""
    learned: bool = False
    """Whether the temperature is learned."""
    cross: float = 0.5
    """Share of rows whose decoders read another modality's shared code."""
    guess: float = 0.95
    """Certainty from which a row of unknown class takes that of labelled rows of its batch;
    1: never."""
    rate: float = 1.0
    """What a nat of a private code costs; 1 is the bound on the likelihood's own scale."""
    spread: float = 0.01
    """Weight of the shortfall of the codes' variance, and of their covariances."""

    def __post_init__(self) -> None:
        amounts = (self.reconstruction, self.contrast, self.rate, self.spread)
        if self.shared < 1 or min(amounts) < 0:
            raise ConfigError("shared must be at least 1, and weights not negative")
        if not 0 <= self.cross <= 1 or not 0 < self.guess <= 1:
            raise ConfigError("cross must be from 0 to 1, and guess above 0 and at most 1")
        if not 0.01 <= self.temperature <= 10:
            raise ConfigError(f"the temperature must be in [0.01, 10], not {self.temperature}")

    def width(self, modality: Modality) -> Width:
        """Return how wide the codes of a modality are."""
        return Width(self.shared + 2 * modality.private, self.shared + modality.private)

    def build(self, modalities: tuple[Modality, ...]) -> AlignedJoining:
        """Return the module that joins them."""
        return AlignedJoining(self, modalities)


class AlignedJoining(Joining):
    """See :class:`Aligned`."""

    uses_views: ClassVar[bool] = True
    log_scale: Tensor

    def __init__(self, config: Aligned, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.config, self.modalities = config, modalities
        value = torch.tensor(-math.log(config.temperature))
        if config.learned:
            self.log_scale = nn.Parameter(value)
        else:
            self.register_buffer("log_scale", value)

    def _parts(self, head: Tensor) -> tuple[Tensor, Normal]:
        """Return the shared code on its sphere, and the private code's distribution."""
        z, rest = head[:, : self.config.shared], head[:, self.config.shared :]
        return self._sphere(z), Normal.read(rest)

    def _sphere(self, z: Tensor) -> Tensor:
        """Return codes of length sqrt(Z), so that coordinates are about 1; zeros stay zeros."""
        return F.normalize(z, dim=-1) * math.sqrt(self.config.shared)

    def passed(
        self, channels: Mapping[str, Channel], rows: Rows, generator: torch.Generator | None
    ) -> Pass:
        """Return the terms of a batch, and the codes behind them."""
        shared: dict[str, Tensor] = {}
        private: dict[str, Normal] = {}
        looks = []
        for name, channel in channels.items():
            there = rows.mask[name]
            view = rows.views.get(name) if self.training else None
            if view is None:
                head = channel.encode(rows.items[name], there)
            else:  # one pass for both: a normalisation sees what it will meet later, and more
                both = torch.cat([rows.items[name], view])
                head, other = channel.encode(both, torch.cat([there, there])).chunk(2)
                looks.append(Look(F.normalize(other[:, : self.config.shared], dim=-1), there))
            shared[name], private[name] = self._parts(head)
            looks.append(Look(F.normalize(shared[name], dim=-1), there))
        scale = self.log_scale.clamp(max=HOTTEST).exp()
        labels = rows.labels
        if self.training and self.config.guess < 1:
            labels = guessed(looks, labels, self.config.guess, scale)
        penalty = self.config.contrast * contrast(looks, labels, scale, self.config.alike)
        if self.config.spread:
            penalty = penalty + self.config.spread * self._spread(shared, rows)
        distortion, rate, logs = self._decoding(channels, rows, shared, private, generator)
        logs["contrast"] = penalty.detach().mean()
        means = {name: q.mean for name, q in private.items()}
        return Pass(Terms(distortion, rate, penalty, logs), shared, means)

    def _spread(self, shared: Mapping[str, Tensor], rows: Rows) -> Tensor:
        parts = [z[rows.mask[name]] for name, z in shared.items()]
        return torch.stack([variance(z, 0.5) + covariance(z) for z in parts]).mean()

    def _decoding(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        shared: Mapping[str, Tensor],
        private: Mapping[str, Normal],
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        distortion = torch.zeros(len(rows), device=rows.labels.device)
        rate, logs = distortion.clone(), {}
        for modality in self.modalities:
            name, there = modality.name, rows.mask[modality.name]
            z, q = shared[name], private[name]
            if self.training:
                z = self._source(name, shared, rows, generator)
            w = q.sample(generator) if self.training else q.mean
            nats = channels[name].distortion(torch.cat([z, w], 1), rows.items[name], there)
            count = there.sum().clamp_min(1)
            logs[f"nats_{name}"] = nats.detach().sum() / count / modality.terms
            weight = self.config.reconstruction * modality.weight / modality.terms
            distortion = distortion + weight * nats
            if modality.private:
                kl = torch.where(there, q.kl_standard(), nats.new_zeros(()))
                logs[f"rate_{name}"] = kl.detach().sum() / count
                rate = rate + weight * self.config.rate * kl
        return distortion, rate, logs

    def _source(
        self,
        name: str,
        shared: Mapping[str, Tensor],
        rows: Rows,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return for each row its own code, or that of another modality that it has."""
        own = shared[name]
        others = [other for other in shared if other != name]
        if not others or not self.config.cross:
            return own
        count, device = len(own), own.device
        draws = torch.rand(len(others), count, generator=generator, device=device)
        there = torch.stack([rows.mask[other] for other in others])
        # the largest draw among those that are there: each as likely as the others
        best, pick = torch.where(there, draws, draws.new_tensor(-1.0)).max(0)
        chosen = torch.rand(count, generator=generator, device=device) < self.config.cross
        codes = torch.stack([shared[other] for other in others])
        other = codes[pick, torch.arange(count, device=device)]
        return torch.where((chosen & (best >= 0)).unsqueeze(1), other, own)

    def codes(self, heads: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Codes:
        """Return the deterministic codes of what the encoders said."""
        each, private = {}, {}
        for name, head in heads.items():
            z, q = self._parts(head)
            blank = mask[name].unsqueeze(1)
            each[name] = torch.where(blank, z, z.new_zeros(()))
            private[name] = torch.where(blank, q.mean, q.mean.new_zeros(()))
        there = torch.stack([mask[name] for name in heads]).float()
        count = there.sum(0)
        stacked = torch.stack(list(each.values()))
        mean = stacked.sum(0) / count.clamp_min(1).unsqueeze(1)
        apart = (stacked - mean).square() * there.unsqueeze(-1)
        spread = apart.sum(0) / count.clamp_min(1).unsqueeze(1)
        log_variance = spread.clamp_min(math.exp(SMALLEST)).log()
        log_variance = torch.where(count.unsqueeze(1) > 0, log_variance, spread.new_zeros(()))
        weight = {name: mask[name].float() / count.clamp_min(1) for name in heads}
        return Codes(self._sphere(mean), log_variance, private, each, weight, dict(mask))

    def describe(self) -> list[str]:
        """Return what the objective amounts to."""
        c = self.config
        return [
            f"likelihoods count {c.reconstruction:g} a nat per dimension, private codes "
            f"{c.rate:g} a nat of theirs on the same scale",
            f"shared codes of {c.shared} values lie on a sphere; the contrast counts "
            f"{c.contrast:g} at temperature {c.temperature:g}"
            f"{' (learned)' if c.learned else ''}, rows of one class being {c.alike}",
        ]
