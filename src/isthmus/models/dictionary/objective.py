"""What every bottleneck of a sparse dictionary promises, and how the terms of a batch look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from isthmus.errors import ConfigError
from isthmus.kernels.code import SparseCode
from isthmus.kernels.rules import Levels, Rule, Weights

if TYPE_CHECKING:
    from isthmus.models.dictionary.model import SparseDictionary

__all__ = ["Charge", "Objective", "chosen_k", "fixed_k", "fvu_terms"]


@dataclass(frozen=True)
class Charge:
    """The terms of a batch, per sample; the loss is the mean of their plain sum."""

    distortion: Tensor
    """Squared error over the data's total variance, (B,): its mean is the batch's FVU."""
    penalty: Tensor
    """What the bottleneck charges, weighted, (B,)."""
    codes: Tensor
    """The codes, (B, N)."""
    logs: dict[str, Tensor] = field(default_factory=dict)
    """Batch means worth a column of the history."""


class Objective(nn.Module):
    """The bottleneck at work: which latents are active, and what that costs.

    Those with ``sparse`` set are trained by the kernels, which need only :meth:`rule` and
    :meth:`levels`; the others give their whole loss to automatic differentiation. What moves
    while training (thresholds, controllers) is in buffers.
    """

    sparse = False
    """Whether the kernels train it."""
    always_dense = False
    """Whether every latent of a code is active, so that no selection is made."""
    limited = True
    """Whether the training may lower the biases of latents that fire too often: not where that
    changes activations as well as which are active."""
    pace = 1.0
    """What the learning rate of the rule is multiplied by."""
    watches = False
    """Whether it takes note of each batch's code."""
    unit_decoder = True
    """Whether decoder rows are held at unit norm."""
    k: int | None = None
    """Active latents of a sample, where that is a setting."""

    def __init__(self) -> None:
        super().__init__()
        self.add_up: Callable[[Tensor], Tensor] = _alone
        """Adds sums over the processes that share a batch."""

    def row_mean(self, values_BX: Tensor) -> Tensor:
        """Return the mean over the rows of the whole batch, held constant."""
        sums = self.add_up(values_BX.detach().sum(0, keepdim=True))
        return (sums / self.add_up(sums.new_tensor(float(len(values_BX)))))[0]

    def rule(self, k: int | None = None) -> Rule:
        """Say which latents are active while training; ``k`` replaces the setting."""
        raise ConfigError(f"{type(self).__name__} is not trained by the kernels")

    def levels(self) -> Levels | None:
        """Say which partial reconstructions count; None: the whole one alone."""
        return None

    def inference(self, k: int | None = None) -> Rule:
        """Say which latents are active outside training; ``k`` replaces the setting.

        Raises
        ------
        ConfigError
            If ``k`` is given and this bottleneck's sparsity is not a number to choose.
        """
        raise ConfigError(f"{type(self).__name__} defines no inference")

    def values(self, code: SparseCode, weights: Weights) -> SparseCode:
        """Turn selected pre-activations into activations; by default they are the same."""
        return code

    def codes(self, pre_BN: Tensor) -> Tensor:
        """Return the dense codes (B, N) of inference, differentiable."""
        raise ConfigError(f"{type(self).__name__} defines no codes")

    def encoded(self, model: SparseDictionary, x_BD: Tensor) -> Tensor:
        """Return the dense codes (B, N) of prepared inputs, differentiable."""
        return self.codes(model.preactivations(x_BD))

    def loss(
        self,
        model: SparseDictionary,
        x_BD: Tensor,
        variance: float,
        generator: torch.Generator | None = None,
    ) -> Charge:
        """Return the terms of a batch, differentiable by all parameters.

        Parameters
        ----------
        x_BD
            Inputs in the units in which the model is trained.
        variance
            Total variance of the data, which the squared error is divided by.
        """
        raise ConfigError(f"{type(self).__name__} defines no dense loss")

    def begin(self, model: SparseDictionary, x_BD: Tensor) -> None:
        """Set the start from some rows in the units of training, the weights being ready."""

    def shared(self, model: SparseDictionary) -> list[Tensor]:
        """Return the parameters that :meth:`steer` wants to know as they were before a step."""
        return []

    def steer(self, model: SparseDictionary, before: list[Tensor]) -> None:
        """Correct the parameters after a step of automatic differentiation."""

    def observed(self, code: SparseCode, least: Callable[[float], float] = float) -> None:
        """Take note of a batch's code after a step of the kernels.

        Parameters
        ----------
        least
            Returns the least of a number over the processes that share the batch.
        """

    def calibrate(self, code: SparseCode) -> None:
        """Set what inference needs from the code that :meth:`rule` gives for clean rows."""

    def rescale(self, factor: float) -> None:
        """Follow the inputs into units ``factor`` times as large: thresholds scale with them."""

    def describe(self) -> list[str]:
        """Say what the settings amount to, in plain sentences."""
        return []


def _alone(sums: Tensor) -> Tensor:
    return sums


def fvu_terms(x_BD: Tensor, output_BD: Tensor, variance: float) -> Tensor:
    """Return each sample's squared error over the data's total variance, (B,)."""
    return (output_BD - x_BD).square().sum(1) / variance


def fixed_k(name: str, k: int | None) -> None:
    """Refuse a k where there is none to choose.

    Raises
    ------
    ConfigError
        If one is given.
    """
    if k is not None:
        raise ConfigError(
            f"a {name} dictionary has no k to choose", fix="leave k out, or use refined encoding"
        )


def chosen_k(k: int | None, own: int, latents: int) -> int:
    """Return the k that was asked for, or the bottleneck's own.

    Raises
    ------
    ConfigError
        If there are not so many latents.
    """
    k = own if k is None else k
    if not 1 <= k <= latents:
        raise ConfigError(f"k must lie between 1 and the {latents} latents, not {k}")
    return k
