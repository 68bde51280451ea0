"""What every network promises: from shapes to two halves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from torch import nn

from isthmus.errors import ConfigError

__all__ = ["Halves", "Network", "Sizes", "activation_module", "activation_name"]


class Sizes(NamedTuple):
    """The sizes that two halves must fit."""

    shape: tuple[int, ...]
    """Shape of one sample, images as (channels, height, width)."""
    encoded: int
    """Width that the encoder emits, which the bottleneck reads."""
    latent: int
    """Width of the code, which the decoder reads."""
    output: tuple[int, ...]
    """Shape that the decoder emits: ``shape`` with its first axis times the number of
    parameters that the likelihood wants for each element."""

    @property
    def elements(self) -> int:
        """Number of values in one sample."""
        return math.prod(self.shape)


class Halves(NamedTuple):
    """An encoder and its decoder."""

    encoder: nn.Module
    """Maps (B, *shape) to (B, encoded)."""
    decoder: nn.Module
    """Maps (B, latent) to (B, *output)."""


@runtime_checkable
class Network(Protocol):
    """A frozen description of two halves, built once the sizes are known."""

    def build(self, sizes: Sizes) -> Halves:
        """Return the two halves; raise ConfigError where the sizes can't be met."""


def activation_name(activation: str | type[nn.Module] | Callable[[], nn.Module]) -> str:
    """Return the name in ``torch.nn`` of an activation given as a name or a class.

    Raises
    ------
    ConfigError
        If ``torch.nn`` has no activation of that name that needs no arguments.

    Examples
    --------
    >>> activation_name(nn.Tanh), activation_name("relu")
    ('Tanh', 'ReLU')
    """
    wanted = activation if isinstance(activation, str) else getattr(activation, "__name__", "")
    known = {name.lower(): name for name in nn.modules.activation.__all__}
    name = known.get(wanted.lower())
    if name is None or wanted.lower() in {"multiheadattention", "threshold"}:
        raise ConfigError(
            f"no activation {wanted!r}",
            why="an activation is one of torch.nn's: ReLU, Tanh, GELU, SiLU, ELU, Sigmoid, ...",
        )
    return name


def activation_module(name: str) -> nn.Module:
    """Return a fresh activation module by its name in ``torch.nn``."""
    module: nn.Module = getattr(nn, activation_name(name))()
    return module
