"""The contractive bottleneck: codes that move little when the input moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.errors import ConfigError

__all__ = ["Contractive", "ContractiveWaist", "jacobian_norm"]


@dataclass(frozen=True)
class Contractive:
    """Charges ``weight * ||dz/dx||_F^2`` of a sigmoid code.

    Source: Rifai et al., "Contractive auto-encoders", ICML 2011. The squared Frobenius norm
    is exact for codes of at most ``exact_up_to`` latents; beyond, it is Hutchinson's unbiased
    estimate from ``probes`` random sign vectors.
    """

    latent: int = 32
    """Number of latents (the width of the code)."""
    weight: float = 1e-4
    """What the squared norm of the encoder's Jacobian is multiplied by."""
    probes: int = 1
    """Random vectors of the estimate of the norm."""
    exact_up_to: int = 0
    """Codes of at most this many latents get the exact norm (one backward pass a latent)."""

    def __post_init__(self) -> None:
        positive(latent=self.latent, probes=self.probes)
        if self.weight < 0:
            raise ConfigError(f"the weight can't be negative, as {self.weight} is")

    def build(self) -> ContractiveWaist:
        """Return the module."""
        return ContractiveWaist(self)


class ContractiveWaist(Waist):
    """See :class:`Contractive`."""

    needs_inputs = True
    threshold = 0.1

    def __init__(self, config: Contractive) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the sigmoid code and its charge, (B,)."""
        z = torch.sigmoid(h)
        if inputs is None:
            return Code(z)
        probes = 0 if self.latent <= self.config.exact_up_to else self.config.probes
        norm = jacobian_norm(z, inputs, probes, generator, keep_graph=self.training)
        return Code(z, None, self.config.weight * norm, {"jacobian": norm.detach().mean()})

    def embed(self, h: Tensor) -> Tensor:
        """Return the sigmoid code."""
        return torch.sigmoid(h)


def jacobian_norm(
    z: Tensor,
    inputs: Tensor,
    probes: int = 0,
    generator: torch.Generator | None = None,
    *,
    keep_graph: bool = True,
) -> Tensor:
    """Return ``||dz/dx||_F^2`` of each sample, (B,).

    Parameters
    ----------
    z, inputs
        Codes (B, N) and the inputs (B, ...) that they were computed from.
    probes
        0 for the exact norm, N backward passes; else the number of random sign vectors u in
        the estimate ``mean ||J^T u||^2`` (Hutchinson 1990), which is unbiased.
    keep_graph
        Whether the result itself can be differentiated.
    """
    if probes:
        signs = torch.randint(0, 2, (probes, *z.shape), generator=generator, device=z.device)
        vectors = (2.0 * signs - 1.0).to(z.dtype)
    else:
        vectors = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)[:, None, :].expand(
            -1, z.shape[0], -1
        )
    total = z.new_zeros(z.shape[0])
    for vector in vectors:
        (slope,) = torch.autograd.grad(
            z, inputs, vector, create_graph=keep_graph, retain_graph=True
        )
        total = total + slope.flatten(1).square().sum(1)
    return total / max(probes, 1)
