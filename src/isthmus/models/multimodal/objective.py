"""What every way of joining modalities promises: terms, codes, and the widths it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from isthmus.errors import ConfigError
from isthmus.models.autoencoder import Terms
from isthmus.models.multimodal.codes import Codes
from isthmus.models.multimodal.modality import Modality
from isthmus.models.multimodal.rows import Rows

if TYPE_CHECKING:
    from isthmus.models.multimodal.channel import Channel

__all__ = ["Joining", "Objective", "Pass", "Width"]


@dataclass(frozen=True)
class Width:
    """How wide a modality's codes are."""

    encoded: int
    """What its encoder emits."""
    latent: int
    """What its decoder reads: the shared code, then the private one."""


@dataclass(frozen=True, eq=False)
class Pass:
    """A batch gone through a model, for training."""

    terms: Terms
    """The loss's terms, each (B,)."""
    shared: Mapping[str, Tensor]
    """By modality, the shared code that it alone gives, (B, Z), with gradients."""
    private: Mapping[str, Tensor] = field(default_factory=dict)
    """By modality, its private code, (B, W), with gradients."""


@runtime_checkable
class Objective(Protocol):
    """A frozen description of how modalities are joined, built once they are known."""

    @property
    def shared(self) -> int:
        """Width of the shared code."""

    def width(self, modality: Modality) -> Width:
        """Return how wide the codes of a modality are."""

    def build(self, modalities: tuple[Modality, ...]) -> Joining:
        """Return the module that joins them."""


class Joining(nn.Module):
    """Joins what the encoders say, and charges for it.

    ``channels`` are those of the model, by modality; they are passed in and not owned.
    """

    uses_views: ClassVar[bool] = False
    """Whether a second view of an item makes a difference."""
    dimensions: float = 1.0
    """What the loss is divided by in training: that of a whole item counts in nats, and limits
    of gradients and costs of critics are meant for a nat per dimension."""

    modalities: tuple[Modality, ...]

    def passed(
        self, channels: Mapping[str, Channel], rows: Rows, generator: torch.Generator | None
    ) -> Pass:
        """Return the terms of a batch, and the codes behind them."""
        raise TypeError(f"{type(self).__name__} defines no terms")

    def codes(self, heads: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Codes:
        """Return the deterministic codes of what the encoders said, (B, encoded) each."""
        raise TypeError(f"{type(self).__name__} defines no codes")

    def private_prior(self, name: str, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of a modality's private code, both (W,)."""
        width = next(m.private for m in self.modalities if m.name == name)
        return like.new_zeros(width), like.new_ones(width)

    def log_weights(
        self,
        channels: Mapping[str, Channel],
        rows: Rows,
        samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return importance weights of joint likelihoods, in nats, (K, B).

        Raises
        ------
        ConfigError
            If the objective has no likelihood of items without their codes.
        """
        raise ConfigError(
            f"{type(self).__name__} has no posterior, and so no likelihood of its own",
            fix="fit a joint mixture to its codes",
        )

    def describe(self) -> list[str]:
        """Return what the objective amounts to, in plain sentences."""
        return []


def heads_of(channels: Mapping[str, Channel], rows: Rows) -> dict[str, Tensor]:
    """Return what each encoder says of the rows, (B, encoded), 0 where missing."""
    return {
        name: channel.encode(rows.items[name], rows.mask[name])
        for name, channel in channels.items()
    }
