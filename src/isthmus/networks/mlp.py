"""Fully connected halves of any depth, width and activation, and the linear case."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.errors import ConfigError
from isthmus.networks.base import Halves, Sizes, activation_module, activation_name

__all__ = ["MLP", "Linear", "TiedDecoder"]


@dataclass(frozen=True)
class MLP:
    """Mirrored stacks of linear layers: shape - hidden - code - reversed hidden - shape.

    Examples
    --------
    >>> halves = MLP(hidden=(128,)).build(Sizes((1, 28, 28), 32, 32, (1, 28, 28)))
    >>> [tuple(p.shape) for p in halves.encoder.parameters()]
    [(128, 784), (128,), (32, 128), (32,)]
    """

    hidden: tuple[int, ...] = (256, 128)
    """Widths of the encoder's hidden layers; the decoder mirrors them."""
    activation: str = "ReLU"
    """Activation after each hidden layer, by its name in torch.nn."""
    tied: bool = False
    """Use the encoder's transposed weights in the decoder (its biases stay its own)."""
    dropout: float = 0.0
    """Share of hidden units dropped while training."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", activation_name(self.activation))
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        if any(width < 1 for width in self.hidden):
            raise ConfigError(f"hidden widths must be at least 1, not {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1), not {self.dropout}")

    def build(self, sizes: Sizes) -> Halves:
        """Return the two halves.

        Raises
        ------
        ConfigError
            If weights are to be tied although the two halves' widths differ.
        """
        widths = (sizes.elements, *self.hidden)
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise((*widths, sizes.encoded))]
        encoder = nn.Sequential(nn.Flatten(1), *self._between(layers))
        if self.tied:
            if sizes.encoded != sizes.latent or sizes.output != sizes.shape:
                raise ConfigError(
                    "weights can't be tied here",
                    why=f"the encoder emits {sizes.encoded} numbers and the decoder reads "
                    f"{sizes.latent}; or the likelihood wants several numbers an element",
                    fix="leave tied off, or choose a bottleneck whose code is as wide as its input",
                )
            return Halves(encoder, TiedDecoder(layers, self.activation, sizes.output))
        back = [
            nn.Linear(a, b)
            for a, b in itertools.pairwise(
                (sizes.latent, *reversed(self.hidden), _count(sizes.output))
            )
        ]
        return Halves(encoder, nn.Sequential(*self._between(back), nn.Unflatten(1, sizes.output)))

    def _between(self, layers: Sequence[nn.Linear]) -> list[nn.Module]:
        """Return the layers with activation (and dropout) between them, none at the end."""
        modules: list[nn.Module] = []
        for layer in layers[:-1]:
            modules += [layer, activation_module(self.activation)]
            modules += [nn.Dropout(self.dropout)] if self.dropout else []
        return [*modules, layers[-1]]


@dataclass(frozen=True)
class Linear:
    """One linear layer each way: with a plain bottleneck and squared error, PCA's subspace.

    Source: Baldi and Hornik, Neural Networks 2(1), 1989.
    """

    tied: bool = False
    """Use the encoder's transposed weights in the decoder."""

    def build(self, sizes: Sizes) -> Halves:
        """Return the two halves; raises as :meth:`MLP.build` does."""
        return MLP(hidden=(), tied=self.tied).build(sizes)


class TiedDecoder(nn.Module):
    """Decoder that reads the encoder's weights transposed, through ``F.linear``.

    The weights are neither copied nor registered twice: one tensor, one optimiser state,
    and the tie survives ``.to()`` and ``deepcopy`` of the whole model.
    """

    def __init__(
        self, layers: Sequence[nn.Linear], activation: str, output: tuple[int, ...]
    ) -> None:
        super().__init__()
        # a tuple hides the layers from registration: they belong to the encoder
        self._layers = tuple(reversed(layers))
        self.biases = nn.ParameterList(
            [nn.Parameter(layer.weight.new_zeros(layer.in_features)) for layer in self._layers]
        )
        self.activation = activation_module(activation)
        self.output = output

    def forward(self, z_BN: Tensor) -> Tensor:
        """Return (B, *output) from codes (B, latent)."""
        hidden = z_BN
        for index, (layer, bias) in enumerate(zip(self._layers, self.biases, strict=True)):
            hidden = F.linear(hidden, layer.weight.t(), bias)
            if index + 1 < len(self._layers):
                hidden = self.activation(hidden)
        return hidden.reshape(-1, *self.output)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
