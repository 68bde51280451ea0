"""What is done to the input only, while training: the denoising autoencoder's noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.configs import by_name
from isthmus.errors import ConfigError

__all__ = ["CORRUPTIONS", "Masking", "Noise"]


@dataclass(frozen=True)
class Masking:
    """Sets a random share of the elements to zero; the target stays clean.

    Source: Vincent et al., "Extracting and composing robust features with denoising
    autoencoders", ICML 2008.
    """

    share: float = 0.3
    """Share of the elements set to zero."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ConfigError(f"the share of masked elements must be in [0, 1), not {self.share}")

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a corrupted copy of a batch."""
        draws = torch.rand(x.shape, generator=generator, device=x.device)
        return x * (draws >= self.share)


@dataclass(frozen=True)
class Noise:
    """Adds normal noise to the input; the target stays clean."""

    deviation: float = 0.2
    """Standard deviation of the noise, in the units that the model sees."""

    def __post_init__(self) -> None:
        if self.deviation < 0:
            raise ConfigError(f"the noise's deviation can't be negative, as {self.deviation} is")

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a corrupted copy of a batch."""
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        return x + self.deviation * noise


CORRUPTIONS: dict[str, type[Masking] | type[Noise]] = by_name(Masking, Noise)
