"""The gated bottleneck: which latents are active, and how much, are asked separately."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.bottlenecks.linear_only import LinearOnly
from isthmus.errors import ConfigError

__all__ = ["Gated"]


@dataclass(frozen=True)
class Gated(LinearOnly):
    """Gates and magnitudes share one encoder product; only the gates are charged.

    With p = (x - c) E^T: the gate is ``p + b_gate``, the magnitude ``exp(r) * p + b_mag``, and

        a = [gate > 0] * relu(magnitude)
        loss = ||x - x_hat(a)||^2 + weight * ||relu(gate)||_1 + ||x - x_hat_frozen(relu(gate))||^2

    where the last term's decoder is held constant. The charge shrinks the gates and leaves the
    magnitudes alone. Source: Rajamanoharan et al., "Improving dictionary learning with gated
    sparse autoencoders", arXiv:2404.16014, equations 3 to 8.
    """

    l0: float | None = None
    """Mean number of active latents a sample to reach; a controller then finds the weight."""
    weight: float | None = None
    """What the sum of open gates is multiplied by (0.001 where nothing is asked for)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.l0 is not None and self.weight is not None:
            raise ConfigError(
                "ask for one of weight and l0", why="an l0 asked for sets the weight by itself"
            )
        if self.l0 is not None and not 0 < self.l0 < self.latent:
            raise ConfigError(f"l0 must lie between 0 and {self.latent} latents, not {self.l0}")
        if self.weight is not None and self.weight < 0:
            raise ConfigError(f"weight can't be negative, as {self.weight} is")
