"""What the kernels are asked for: which latents are active, and which partial sums count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError

__all__ = ["Above", "BatchTopK", "Levels", "Revival", "RowTopK", "Rule", "Weights"]

Array = NDArray[Any]


@dataclass(frozen=True)
class RowTopK:
    """The k largest pre-activations of each sample, negative ones as 0."""

    k: int
    """Active latents of a sample."""


@dataclass(frozen=True)
class BatchTopK:
    """The k x B largest pre-activations of the whole batch, negative ones left out."""

    k: int
    """Active latents of a sample, on average."""


@dataclass(frozen=True, eq=False)
class Above:
    """Every pre-activation that is positive and above its latent's threshold."""

    threshold_N: Array
    """Thresholds (N,), float32."""


Rule = RowTopK | BatchTopK | Above


@dataclass(frozen=True)
class Levels:
    """Partial reconstructions whose squared errors count beside (or instead of) the whole one's.

    Level l reconstructs with the entries before ``ends[l]``: the ``ends[l]`` largest activations
    of a sample (``by_rank``), or the latents numbered below ``ends[l]``.
    """

    ends: tuple[int, ...]
    """Where the levels end, rising; the last holds everything."""
    weights: tuple[float, ...]
    """How much each level's squared error counts."""
    by_rank: bool
    """Whether ``ends`` counts activations from the largest, or latents from the first."""

    def __post_init__(self) -> None:
        if len(self.ends) != len(self.weights) or not self.ends:
            raise ConfigError(f"{len(self.ends)} levels have {len(self.weights)} weights")
        if any(b <= a for a, b in zip((0, *self.ends), self.ends, strict=False)):
            raise ConfigError(f"the ends of levels must rise from above 0, not {self.ends}")


@dataclass(frozen=True, eq=False)
class Revival:
    """The auxiliary loss that brings dead latents back (Gao et al., arXiv:2406.04093, 4.1 A.2)."""

    dead: Array
    """Numbers of the dead latents, rising, int64."""
    k: int
    """Dead latents that each sample may use."""
    weight: float
    """How much the auxiliary loss counts: alpha."""
    rows: slice
    """The samples of the batch on which it is computed."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A dictionary's weights as float32 arrays in C order; the step changes them in place."""

    encoder_ND: Array
    """Encoder rows."""
    bias_N: Array
    """Encoder bias."""
    decoder_ND: Array
    """Decoder rows: the directions of the latents."""
    pre_bias_D: Array
    """What is subtracted from the input and added to the output."""

    def like(self) -> Weights:
        """Return zeros of the same shapes."""
        return Weights(
            np.zeros_like(self.encoder_ND),
            np.zeros_like(self.bias_N),
            np.zeros_like(self.decoder_ND),
            np.zeros_like(self.pre_bias_D),
        )
