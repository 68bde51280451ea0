"""What every likelihood promises: a distortion per sample, a mean, and its units in words."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from isthmus.errors import DataError

__all__ = ["Likelihood", "Readout", "chosen_output", "refuse_outside_unit"]


@runtime_checkable
class Likelihood(Protocol):
    """A frozen description of how output is compared with input."""

    @property
    def per_element(self) -> int:
        """How many numbers the decoder must emit for each element of a sample."""

    def build(self, shape: tuple[int, ...]) -> Readout:
        """Return the module that reads the decoder's output for samples of ``shape``."""


class Readout(nn.Module):
    """Turns the decoder's raw output into a distribution over samples.

    Shapes: ``out`` is (..., P * C, *rest) for samples (C, *rest) and P numbers an element;
    ``x`` is (..., C, *rest). Leading axes broadcast, so that several posterior samples can
    be compared with one input.
    """

    shape: tuple[int, ...]

    def distortion(self, out: Tensor, x: Tensor) -> Tensor:
        """Return what the sample costs, (...,), in the units that :meth:`units` names."""
        raise TypeError(f"{type(self).__name__} defines no distortion")

    def mean(self, out: Tensor) -> Tensor:
        """Return the reconstruction, the mean of the distribution, (..., C, *rest)."""
        raise TypeError(f"{type(self).__name__} defines no mean")

    def distribution(self, out: Tensor) -> torch.distributions.Distribution:
        """Return the distribution over samples, its event shape the sample's shape.

        Raises
        ------
        TypeError
            If this comparison is no normalised likelihood.
        """
        raise TypeError(f"{type(self).__name__} is not a normalised likelihood")

    def describe(self) -> str:
        """Return in one plain sentence what the distortion measures and in which units."""
        raise TypeError(f"{type(self).__name__} has no description")

    def check(self, x: Tensor) -> None:
        """Refuse samples outside the distribution's support.

        Raises
        ------
        DataError
            If a value lies outside.
        """

    def _over_sample(self, values: Tensor) -> Tensor:
        """Sum over the axes of a sample, keeping the leading ones."""
        return values.flatten(-len(self.shape)).sum(-1)


def chosen_output(out: Tensor, output: str) -> Tensor:
    """Return the mean from raw output: itself, or squashed into [0, 1]."""
    return torch.sigmoid(out) if output == "sigmoid" else out


def refuse_outside_unit(x: Tensor, name: str) -> None:
    """Refuse values outside [0, 1], for likelihoods of binary or grey pixels."""
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 1:
        raise DataError(
            f"{name} needs values in [0, 1], and found {low:.4g} to {high:.4g}",
            fix="scale the data to [0, 1] (preprocessing unit), or use a Gaussian likelihood",
        )
