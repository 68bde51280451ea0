"""Convolutional halves for images of any size from 8x8 and any number of channels."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from torch import nn

from isthmus.errors import ConfigError
from isthmus.networks.base import Halves, Sizes, activation_module, activation_name

__all__ = ["Conv"]


@dataclass(frozen=True)
class Conv:
    """Strided convolutions down, transposed convolutions back up.

    Each stage halves height and width (rounding up); the decoder restores every size
    exactly, odd ones too, by the transposed convolution's output padding. With the
    defaults and 28x28 images: 1-32-64 channels at stride 2, then linear to the code.

    Examples
    --------
    >>> halves = Conv().build(Sizes((1, 28, 28), 32, 32, (1, 28, 28)))
    >>> [tuple(m.weight.shape) for m in halves.encoder if hasattr(m, "weight")]
    [(32, 1, 3, 3), (64, 32, 3, 3), (32, 3136)]
    """

    channels: tuple[int, ...] = (32, 64)
    """Channels after each stride-2 stage; the decoder mirrors them."""
    kernel: int = 3
    """Side of the square kernels (odd)."""
    activation: str = "ReLU"
    """Activation after each stage, by its name in torch.nn."""
    hidden: int = 0
    """Width of a fully connected layer between the last stage and the code; 0 for none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", activation_name(self.activation))
        object.__setattr__(self, "channels", tuple(int(width) for width in self.channels))
        if not self.channels or any(width < 1 for width in self.channels):
            raise ConfigError(f"channels must be positive and not empty, not {self.channels}")
        if self.hidden < 0:
            raise ConfigError(f"hidden can't be negative, as {self.hidden} is")
        if self.kernel < 3 or self.kernel % 2 == 0:
            raise ConfigError(f"kernel must be odd and at least 3, not {self.kernel}")

    def build(self, sizes: Sizes) -> Halves:
        """Return the two halves.

        Raises
        ------
        ConfigError
            If the samples are not images of at least 8x8, or there are more stages than
            the image can be halved.
        """
        if len(sizes.shape) != 3 or min(sizes.shape[1:]) < 8:
            raise ConfigError(
                f"a convolutional network needs images of at least 8x8, not samples of "
                f"shape {sizes.shape}",
                fix="use network MLP, or load the data as images",
            )
        sides = _halvings(sizes.shape[1:], len(self.channels))
        if min(sides[-1]) < 2:
            raise ConfigError(
                f"{len(self.channels)} stages shrink {sizes.shape[1:]} to {sides[-1]}",
                fix="give fewer channels",
            )
        flat = self.channels[-1] * math.prod(sides[-1])
        return Halves(self._encoder(sizes, flat), self._decoder(sizes, sides, flat))

    def _encoder(self, sizes: Sizes, flat: int) -> nn.Sequential:
        modules: list[nn.Module] = []
        for a, b in itertools.pairwise((sizes.shape[0], *self.channels)):
            modules += [
                nn.Conv2d(a, b, self.kernel, stride=2, padding=self.kernel // 2),
                activation_module(self.activation),
            ]
        modules += [nn.Flatten(1), *self._dense(flat, sizes.encoded)]
        return nn.Sequential(*modules)

    def _decoder(self, sizes: Sizes, sides: list[tuple[int, int]], flat: int) -> nn.Sequential:
        modules: list[nn.Module] = [
            *self._dense(sizes.latent, flat),
            activation_module(self.activation),
            nn.Unflatten(1, (self.channels[-1], *sides[-1])),
        ]
        widths = (*reversed(self.channels), sizes.output[0])
        for stage, (a, b) in enumerate(itertools.pairwise(widths)):
            small, large = sides[-1 - stage], sides[-2 - stage]
            # stride 2 gives 2 * small - 1 rows back; the output padding adds the missing one
            extra = (large[0] - (2 * small[0] - 1), large[1] - (2 * small[1] - 1))
            modules += [activation_module(self.activation)] if stage else []
            modules.append(
                nn.ConvTranspose2d(
                    a, b, self.kernel, stride=2, padding=self.kernel // 2, output_padding=extra
                )
            )
        return nn.Sequential(*modules)

    def _dense(self, width_in: int, width_out: int) -> list[nn.Module]:
        if not self.hidden:
            return [nn.Linear(width_in, width_out)]
        return [
            nn.Linear(width_in, self.hidden),
            activation_module(self.activation),
            nn.Linear(self.hidden, width_out),
        ]


def _halvings(sides: tuple[int, ...], stages: int) -> list[tuple[int, int]]:
    """Return (height, width) before the first and after each stage.

    Examples
    --------
    >>> _halvings((28, 9), 2)
    [(28, 9), (14, 5), (7, 3)]
    """
    found = [(sides[0], sides[1])]
    for _ in range(stages):
        found.append(((found[-1][0] + 1) // 2, (found[-1][1] + 1) // 2))
    return found
