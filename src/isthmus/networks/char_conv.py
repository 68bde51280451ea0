"""One-dimensional convolutions over the characters of short texts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from isthmus.errors import ConfigError
from isthmus.networks.base import Halves, Sizes, activation_module, activation_name

__all__ = ["CharConv"]


@dataclass(frozen=True)
class CharConv:
    """Symbols (B, T) to an embedding, convolutions, a vector; and back to a score a symbol.

    The number of symbols is what the likelihood wants for each position.

    Examples
    --------
    >>> halves = CharConv().build(Sizes((8,), 16, 16, (8 * 38,)))
    >>> import torch
    >>> halves.decoder(halves.encoder(torch.zeros(2, 8, dtype=torch.int64))).shape
    torch.Size([2, 304])
    """

    width: int = 64
    """Channels of the embedding and of every convolution."""
    layers: int = 2
    """Convolutions in each half."""
    kernel: int = 3
    """Characters that a convolution sees at once (odd)."""
    dropout: float = 0.0
    """Share of the encoder's last values that are dropped while training."""
    activation: str = "ReLU"
    """Activation after each convolution, by its name in torch.nn."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", activation_name(self.activation))
        if self.width < 1 or self.layers < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(
                "width and layers must be at least 1, and kernel odd",
                where=f"width={self.width}, layers={self.layers}, kernel={self.kernel}",
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1), not {self.dropout}")

    def build(self, sizes: Sizes) -> Halves:
        """Return the two halves.

        Raises
        ------
        ConfigError
            If the samples are not symbols (T,), or the likelihood wants no score a symbol.
        """
        if len(sizes.shape) != 1 or sizes.output[0] % sizes.shape[0]:
            raise ConfigError(
                f"a network over characters needs symbols of shape (length,), and not "
                f"{sizes.shape}",
                fix="use network MLP",
            )
        length = sizes.shape[0]
        symbols = sizes.output[0] // length
        last = [nn.Dropout(self.dropout)] if self.dropout else []
        encoder = nn.Sequential(
            nn.Embedding(symbols, self.width),
            _Swapped(),
            *self._convolutions(),
            nn.Flatten(1),
            *last,
            nn.Linear(self.width * length, sizes.encoded),
        )
        decoder = nn.Sequential(
            nn.Linear(sizes.latent, self.width * length),
            nn.Unflatten(1, (self.width, length)),
            activation_module(self.activation),
            *self._convolutions(),
            nn.Conv1d(self.width, symbols, 1),
            nn.Flatten(1),
        )
        return Halves(encoder, decoder)

    def _convolutions(self) -> list[nn.Module]:
        found: list[nn.Module] = []
        for _ in range(self.layers):
            found += [
                nn.Conv1d(self.width, self.width, self.kernel, padding=self.kernel // 2),
                activation_module(self.activation),
            ]
        return found


class _Swapped(nn.Module):
    """Positions last: (B, T, C) to (B, C, T)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)
