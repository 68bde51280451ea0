"""Convolutional halves with batch normalisation, for pictures and log-mel sounds of any shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from isthmus.errors import ConfigError
from isthmus.networks.base import Halves, Sizes, activation_module, activation_name

__all__ = ["ConvNorm", "Cropped"]

Sides = tuple[int, int]


@dataclass(frozen=True)
class ConvNorm:
    """Stages of stride-2 convolutions with batch normalisation, and their way back.

    A side of less than four is not halved any more, so that any shape and any number of stages
    go together; the decoder crops odd sides exactly.

    Source of the normalisation: Ioffe and Szegedy, arXiv:1502.03167.

    Examples
    --------
    >>> halves = ConvNorm().build(Sizes((1, 40, 64), 48, 32, (1, 40, 64)))
    >>> sum(p.numel() for half in halves for p in half.parameters())
    488513
    """

    channels: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of the encoder after each stride-2 stage."""
    back: tuple[int, ...] = (64, 32, 16)
    """Channels of the decoder, from the smallest picture on; each stage doubles the sides."""
    second: int = 1
    """The stage, from 0, from which on each has a second convolution at stride 1."""
    pool: Literal["flatten", "mean"] = "flatten"
    """How the last stage becomes a vector: all of it, or its mean over the last axis (time)."""
    dropout: float = 0.1
    """Share of the last stage's values that are dropped while training."""
    activation: str = "ReLU"
    """Activation after each stage, by its name in torch.nn."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", activation_name(self.activation))
        for name in ("channels", "back"):
            widths = tuple(int(width) for width in getattr(self, name))
            object.__setattr__(self, name, widths)
            if not widths or min(widths) < 1:
                raise ConfigError(f"{name} must be positive and not empty, not {widths}")
        if self.second < 0 or not 0 <= self.dropout < 1:
            raise ConfigError(
                "second can't be negative, and dropout must be in [0, 1)",
                where=f"second={self.second}, dropout={self.dropout}",
            )

    def build(self, sizes: Sizes) -> Halves:
        """Return the two halves.

        Raises
        ------
        ConfigError
            If the samples are not pictures (channels, height, width).
        """
        if len(sizes.shape) != 3:
            raise ConfigError(
                f"a convolutional network needs samples of shape (channels, height, width), and "
                f"not {sizes.shape}",
                fix="use network MLP",
            )
        return Halves(self._encoder(sizes), self._decoder(sizes))

    def _encoder(self, sizes: Sizes) -> nn.Sequential:
        sides = _halved(sizes.shape[1:], len(self.channels))
        modules: list[nn.Module] = []
        widths = itertools.pairwise((sizes.shape[0], *self.channels))
        for stage, (a, b) in enumerate(widths):
            stride = _stride(sides[stage], sides[stage + 1])
            modules += [nn.Conv2d(a, b, 3, stride, 1, bias=False), *self._after(b)]
            if stage >= self.second:
                modules += [nn.Conv2d(b, b, 3, 1, 1, bias=False), *self._after(b)]
        height, width = sides[-1]
        if self.pool == "mean":
            modules.append(nn.AdaptiveAvgPool2d((height, 1)))
            width = 1
        modules += [nn.Flatten(1)]
        modules += [nn.Dropout(self.dropout)] if self.dropout else []
        return nn.Sequential(*modules, nn.Linear(self.channels[-1] * height * width, sizes.encoded))

    def _decoder(self, sizes: Sizes) -> nn.Sequential:
        sides = _halved(sizes.shape[1:], len(self.back))
        first, small = self.back[0], sides[-1]
        modules: list[nn.Module] = [
            nn.Linear(sizes.latent, first * math.prod(small), bias=False),
            nn.Unflatten(1, (first, *small)),
            *self._after(first),
        ]
        widths = itertools.pairwise((*self.back, sizes.output[0]))
        for stage, (a, b) in enumerate(widths):
            small, large = sides[-1 - stage], sides[-2 - stage]
            last = stage == len(self.back) - 1
            modules.append(_grown(a, b, small, large, bias=last))
            modules += [] if last else self._after(b)
        return nn.Sequential(*modules)

    def _after(self, width: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(width), activation_module(self.activation)]


class Cropped(nn.Module):
    """Keep the first rows and columns of a picture."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, height, width) of a picture at least as large."""
        return x[..., : self.height, : self.width]


def _halved(sides: Sequence[int], stages: int) -> list[Sides]:
    """Return (height, width) before the first and after each stage.

    Examples
    --------
    >>> _halved((28, 3), 3)
    [(28, 3), (14, 3), (7, 3), (4, 3)]
    """
    found = [(int(sides[0]), int(sides[1]))]
    for _ in range(stages):
        height, width = found[-1]
        found.append((_half(height), _half(width)))
    return found


def _half(side: int) -> int:
    return (side + 1) // 2 if side >= 4 else side


def _stride(large: Sides, small: Sides) -> Sides:
    return (2 if small[0] < large[0] else 1, 2 if small[1] < large[1] else 1)


def _grown(a: int, b: int, small: Sides, large: Sides, *, bias: bool) -> nn.Module:
    """Return the convolution that turns pictures of sides ``small`` into ``large``."""
    stride = _stride(large, small)
    # kernel 4 at stride 2 covers every place equally often: no checkerboard
    kernel = (4 if stride[0] == 2 else 3, 4 if stride[1] == 2 else 3)
    grown = nn.ConvTranspose2d(a, b, kernel, stride, 1, bias=bias)
    reached = tuple(s * n for s, n in zip(stride, small, strict=True))
    return grown if reached == large else nn.Sequential(grown, Cropped(*large))
