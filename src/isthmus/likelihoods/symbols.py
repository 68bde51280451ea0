"""Likelihood of short texts: each position is one of S symbols, up to the text's end."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from isthmus.errors import ConfigError, DataError
from isthmus.likelihoods.base import Readout

__all__ = ["Symbols", "SymbolsReadout"]


@dataclass(frozen=True)
class Symbols:
    """Each position takes one of S symbols, 0 being the end; cross-entropy in nats.

    What follows the first end is padding, and costs nothing.
    """

    symbols: int = 38
    """Number of symbols S, the end among them."""

    def __post_init__(self) -> None:
        if self.symbols < 2:
            raise ConfigError(f"symbols must be at least 2, not {self.symbols}")

    @property
    def per_element(self) -> int:
        """One logit a symbol."""
        return self.symbols

    def build(self, shape: tuple[int, ...]) -> SymbolsReadout:
        """Return the module for texts of ``shape`` (T,)."""
        if len(shape) != 1:
            raise ConfigError(f"symbols stand in a row, (length,), and not {shape}")
        return SymbolsReadout(self, shape)


class SymbolsReadout(Readout):
    """See :class:`Symbols`. ``out`` is (..., S * T), symbol-major; ``x`` int64 (..., T)."""

    def __init__(self, config: Symbols, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.shape = config, shape

    def _logits(self, out: Tensor) -> Tensor:
        """Return logits (..., T, S)."""
        return out.reshape(*out.shape[:-1], self.config.symbols, *self.shape).transpose(-1, -2)

    def distortion(self, out: Tensor, x: Tensor) -> Tensor:
        """Return the cross-entropy up to and with the text's end, in nats, (...,)."""
        log_p = self._logits(out).log_softmax(-1)
        chosen = log_p.gather(-1, x.expand(log_p.shape[:-1]).unsqueeze(-1)).squeeze(-1)
        return -(chosen * counted(x)).sum(-1)

    def mean(self, out: Tensor) -> Tensor:
        """Return the probability of each symbol, (..., T, S)."""
        return self._logits(out).softmax(-1)

    def symbols(self, out: Tensor) -> Tensor:
        """Return the most likely symbols, int64, (..., T)."""
        return self._logits(out).argmax(-1)

    def one_hot(self, x: Tensor) -> Tensor:
        """Return symbols (..., T) as probabilities (..., T, S)."""
        return F.one_hot(x, self.config.symbols).float()

    def counted(self, x: Tensor) -> Tensor:
        """Return 1 for all symbols of the positions up to the text's end, else 0, (..., T, S)."""
        return counted(x).unsqueeze(-1).expand(*x.shape, self.config.symbols)

    def describe(self) -> str:
        """Say what the distortion measures."""
        return (
            f"distortion is the cross-entropy over {self.config.symbols} symbols, summed up to "
            "the text's end, in nats"
        )

    def check(self, x: Tensor) -> None:
        """Refuse what is not a symbol."""
        if x.is_floating_point() or (
            x.numel() and (int(x.min()) < 0 or int(x.max()) >= self.config.symbols)
        ):
            raise DataError(
                f"a text is whole numbers from 0 to {self.config.symbols - 1}",
                fix="transform texts with the adapter that the model was made for",
            )


def counted(x: Tensor) -> Tensor:
    """Return 1 for the positions of symbols (..., T) up to the first end, else 0; float.

    Examples
    --------
    >>> import torch
    >>> counted(torch.tensor([[3, 1, 0, 0], [1, 2, 3, 4]]))
    tensor([[1., 1., 1., 0.],
            [1., 1., 1., 1.]])
    """
    ended = (x == 0).cumsum(-1) - (x == 0).long()
    return (ended == 0).float()
