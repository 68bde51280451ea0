"""What every bottleneck promises: from what the encoder says to the code and its price."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from isthmus.errors import ConfigError

__all__ = ["Bottleneck", "Code", "Waist", "positive"]


@dataclass(frozen=True)
class Code:
    """A batch of codes with what they cost. B batch, N latents, S samples a posterior."""

    z: Tensor
    """What the decoder reads: (B, N), or (S, B, N) for several posterior samples."""
    rate: Tensor | None = None
    """Nats that the code costs, weighted as in the loss: (B,) or (S, B); None for nothing."""
    penalty: Tensor | None = None
    """Regularisation, weighted as in the loss: (B,); None for nothing."""
    logs: dict[str, Tensor] = field(default_factory=dict)
    """Unweighted batch means worth a column in the history, as detached scalars."""


@runtime_checkable
class Bottleneck(Protocol):
    """A frozen description of a waist."""

    @property
    def latent(self) -> int:
        """Number of latents, the width of the code."""

    def build(self) -> Waist:
        """Return the module."""


class Waist(nn.Module):
    """Turns the encoder's output (B, encoded) into a :class:`Code`."""

    latent: int
    """Width of the code."""
    encoded: int
    """Width that the encoder must emit."""
    threshold: float = 0.0
    """A latent counts as active where its activation's magnitude exceeds this."""
    controlled: bool = False
    """Whether a controller moves the penalty's weight, so that penalties of two epochs are not
    comparable."""
    needs_inputs: bool = False
    """Whether ``forward`` differentiates with respect to the encoder's inputs."""

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the code; in training mode the waist's own state moves on."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def embed(self, h: Tensor) -> Tensor:
        """Return the deterministic code (B, N): the posterior mean, the chosen codes, ..."""
        raise TypeError(f"{type(self).__name__} defines no embed")

    def bound(self, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Combine (S, B) distortions and rates of several samples into (B,) each."""
        return distortion.mean(0), rate.mean(0)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes (count, N) from the prior.

        Raises
        ------
        ConfigError
            If this bottleneck has no prior.
        """
        raise ConfigError(
            f"{type(self).__name__} has no prior to draw codes from",
            fix="train a variational model (vae) to generate samples",
        )

    def describe(self) -> list[str]:
        """Return what the settings amount to, in plain sentences."""
        return []


def positive(**values: float) -> None:
    """Refuse settings that must be above zero.

    Raises
    ------
    ConfigError
        If one is not.
    """
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"{name} must be above 0, not {value}")
