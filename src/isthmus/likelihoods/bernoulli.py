"""Bernoulli likelihood from logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from isthmus.likelihoods.base import Readout, refuse_outside_unit

__all__ = ["Bernoulli", "BernoulliReadout"]


@dataclass(frozen=True)
class Bernoulli:
    """Independent binary elements: binary cross-entropy from logits, summed, in nats.

    On grey values in (0, 1) this is a cross-entropy with a floor (the values' own entropy)
    and no likelihood; binarise the data for likelihoods that can be compared.
    """

    @property
    def per_element(self) -> int:
        """One number an element: the logit."""
        return 1

    def build(self, shape: tuple[int, ...]) -> BernoulliReadout:
        """Return the module for samples of ``shape``."""
        return BernoulliReadout(shape)


class BernoulliReadout(Readout):
    """See :class:`Bernoulli`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def distortion(self, out: Tensor, x: Tensor) -> Tensor:
        """Return ``softplus(logit) - x * logit`` summed over the sample, in nats, (...,)."""
        return self._over_sample(F.softplus(out) - x * out)

    def mean(self, out: Tensor) -> Tensor:
        """Return the probabilities."""
        return torch.sigmoid(out)

    def distribution(self, out: Tensor) -> torch.distributions.Distribution:
        """Return independent Bernoullis over the sample (binary values only)."""
        bernoulli = torch.distributions.Bernoulli(logits=out, validate_args=False)
        return torch.distributions.Independent(bernoulli, len(self.shape))

    def describe(self) -> str:
        """Say what the distortion measures."""
        return "distortion is the Bernoulli cross-entropy from logits, summed, in nats"

    def check(self, x: Tensor) -> None:
        """Refuse values outside [0, 1]."""
        refuse_outside_unit(x, "the Bernoulli likelihood")
