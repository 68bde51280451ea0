"""Cosine distance between output and input, for embeddings whose length means nothing."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from isthmus.errors import ConfigError
from isthmus.likelihoods.base import Readout

__all__ = ["Cosine", "CosineReadout"]


@dataclass(frozen=True)
class Cosine:
    """One minus the cosine of input and output.

    Up to its normaliser this is the von Mises-Fisher log-density on the unit sphere, with
    ``concentration`` as its kappa.
    """

    concentration: float = 1.0
    """What the distance is multiplied by (kappa of the von Mises-Fisher distribution)."""

    def __post_init__(self) -> None:
        if not self.concentration > 0:
            raise ConfigError(f"the concentration must be above 0, not {self.concentration}")

    @property
    def per_element(self) -> int:
        """One number an element."""
        return 1

    def build(self, shape: tuple[int, ...]) -> CosineReadout:
        """Return the module for samples of ``shape``."""
        return CosineReadout(self, shape)


class CosineReadout(Readout):
    """See :class:`Cosine`."""

    def __init__(self, config: Cosine, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.shape = config, shape

    def distortion(self, out: Tensor, x: Tensor) -> Tensor:
        """Return ``kappa * (1 - cos(x, out))``, (...,)."""
        axes = -len(self.shape)
        cosine = F.cosine_similarity(out.flatten(axes), x.flatten(axes), dim=-1, eps=1e-8)
        return self.config.concentration * (1 - cosine)

    def mean(self, out: Tensor) -> Tensor:
        """Return the output itself."""
        return out

    def describe(self) -> str:
        """Say what the distortion measures."""
        return f"distortion is {self.config.concentration:g} times one minus the cosine"
