"""Bottlenecks that presume a linear decoder: they belong to sparse dictionaries alone."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.bottlenecks.base import Waist, positive
from isthmus.errors import ConfigError

__all__ = ["LinearOnly"]


@dataclass(frozen=True)
class LinearOnly:
    """A frozen description whose objective decodes several times, or parts of the code."""

    latent: int = 3072
    """Number of latents (the width of the code)."""

    def __post_init__(self) -> None:
        positive(latent=self.latent)

    def build(self) -> Waist:
        """Refuse: there is no waist of this kind.

        Raises
        ------
        ConfigError
            Always.
        """
        name = type(self).__name__
        raise ConfigError(
            f"{name} needs a linear decoder",
            fix=f"use it in a sparse dictionary: SparseDictionary(dim, {name}(...))",
        )
