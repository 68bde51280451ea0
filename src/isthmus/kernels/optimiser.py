"""Adam's settings and state, and its step on the two biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.rules import Weights

__all__ = ["Knobs", "Moments", "rows_of", "small_steps"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Moments:
    """Adam's running means of gradients and of their squares."""

    mean: Weights
    """Of the gradients."""
    square: Weights
    """Of their squares."""


@dataclass(frozen=True)
class Knobs:
    """Adam's settings at one step (Kingma and Ba, arXiv:1412.6980)."""

    rate: float
    """Learning rate."""
    step: int
    """Number of the step, from 1."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.999
    """Decay of the mean of their squares."""
    epsilon: float = 6.25e-10
    """Added to the root of the mean square (Gao et al.'s value)."""
    decay: float = 0.0
    """Decoupled weight decay of the encoder (Loshchilov and Hutter, arXiv:1711.05101)."""

    def array(self) -> Array:
        """Return what the compiled loops read."""
        return np.array(
            [
                self.rate / (1 - self.beta1**self.step),
                self.beta1,
                self.beta2,
                (1 - self.beta2**self.step) ** -0.5,
                self.epsilon,
                1 - self.rate * self.decay,
                1 - self.beta1,
                1 - self.beta2,  # in float64: 1 - 0.999 taken in float32 is off by 1.3e-5
            ],
            dtype=np.float32,
        )


def rows_of(moments: Moments) -> tuple[Array, Array, Array, Array]:
    """Return mean and square of the encoder's, then of the decoder's rows."""
    mean, square = moments.mean, moments.square
    return mean.encoder_ND, square.encoder_ND, mean.decoder_ND, square.decoder_ND


def small_steps(gradients: Weights, weights: Weights, moments: Moments, knobs: Array) -> None:
    """Take Adam's step on the two biases; ``knobs`` as :meth:`Knobs.array` gives them."""
    rate, beta1, beta2, correction, epsilon, _, new1, new2 = knobs
    small: tuple[Callable[[Weights], Array], ...] = (
        lambda w: w.bias_N,
        lambda w: w.pre_bias_D,
    )
    for of in small:
        g, m, v = of(gradients), of(moments.mean), of(moments.square)
        m[:] = beta1 * m + new1 * g
        v[:] = beta2 * v + new2 * g * g
        of(weights)[:] -= rate * m / (np.sqrt(v) * correction + epsilon)
