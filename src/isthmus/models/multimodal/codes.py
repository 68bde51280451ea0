"""What encoding several modalities gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Codes"]


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of B rows."""

    shared: Tensor
    """The joint code of what is there, shape (B, Z); the prior's mean where nothing is."""
    log_variance: Tensor
    """Logarithm of the joint posterior's variance, shape (B, Z), 0 (the prior's) where nothing is
    there; of models without a posterior the spread between the modalities' own codes."""
    private: Mapping[str, Tensor]
    """By modality, its own code, shape (B, W); the prior's mean where it is missing."""
    each: Mapping[str, Tensor]
    """By modality, the shared code that it alone gives, shape (B, Z); zeros where missing."""
    weight: Mapping[str, Tensor]
    """By modality, its share of the joint code, shape (B,), from 0 (missing) to 1; the rest is
    the prior's."""
    mask: Mapping[str, Tensor]
    """By modality, whether it was there, shape (B,), bool."""

    def __len__(self) -> int:
        return len(self.shared)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw shared codes (B, Z) from the joint posterior, as a normal of its moments."""
        noise = torch.empty_like(self.shared).normal_(generator=generator)
        return self.shared + (0.5 * self.log_variance).exp() * noise

    def similarity(self, other: Codes | Tensor) -> Tensor:
        """Return the cosines of these joint codes with others' (B, B').

        A code of zeros (a row with nothing) has a cosine of 0 with everything.
        """
        theirs = other.shared if isinstance(other, Codes) else other
        return F.normalize(self.shared, dim=-1) @ F.normalize(theirs, dim=-1).T


def joined(parts: list[Codes]) -> Codes:
    """Return the codes of several batches as one."""
    first = parts[0]

    def along(name: str) -> dict[str, Tensor]:
        return {
            key: torch.cat([getattr(p, name)[key] for p in parts]) for key in getattr(first, name)
        }

    return Codes(
        torch.cat([p.shared for p in parts]),
        torch.cat([p.log_variance for p in parts]),
        along("private"),
        along("each"),
        along("weight"),
        along("mask"),
    )
