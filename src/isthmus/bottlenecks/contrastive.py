"""The contrastive sparse bottleneck: codes that also tell samples apart (CSR)."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.bottlenecks.base import positive
from isthmus.bottlenecks.linear_only import LinearOnly
from isthmus.errors import ConfigError

__all__ = ["Contrastive"]


@dataclass(frozen=True)
class Contrastive(LinearOnly):
    """TopK at k and at 4k, and codes of two views of a sample nearer than those of others.

        loss = FVU(k) + FVU(4k) / 8 + weight * InfoNCE / log B

    with InfoNCE over the cosines of the non-negative codes of the batch at ``temperature``. Each
    term is 1 for the trivial predictor (the mean; codes that tell nothing), where the published
    programs add an element mean near 1e-4 to terms near 1 and near log B, so that the
    reconstruction hardly counts. A view is the sample with a share ``mask`` of its coordinates
    set to their means: with two identical views, as in the first author's program, the positives
    are free and only uniformity is left. Sources: Wen et al., "Beyond Matryoshka", CSR,
    arXiv:2503.01776; views without labels as in SimCSE (Gao, Yao and Chen, arXiv:2104.08821).
    """

    k: int = 32
    """Active latents of a sample."""
    weight: float = 0.1
    """What the contrastive term is multiplied by."""
    temperature: float = 0.2
    """What the cosines are divided by."""
    mask: float = 0.1
    """Share of a view's coordinates that are replaced by their means."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(k=self.k, temperature=self.temperature)
        if self.k > self.latent:
            raise ConfigError(f"k = {self.k} is larger than the number of latents, {self.latent}")
        if not 0 <= self.mask < 1:
            raise ConfigError(f"mask must be in [0, 1), not {self.mask}")
        if self.weight < 0:
            raise ConfigError(f"weight can't be negative, as {self.weight} is")
