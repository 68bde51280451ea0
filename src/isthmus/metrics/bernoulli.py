"""Binary cross-entropy of data in [0, 1], beside the floor that no model can go below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix, same_shape

__all__ = ["BernoulliSums", "CrossEntropy", "bce", "bce_floor", "bce_from_logits"]

_EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1: about where a float32 sigmoid saturates."""


@dataclass(frozen=True)
class CrossEntropy:
    """Binary cross-entropy over a whole split, in nats."""

    bce: float
    """Cross-entropy, mean over all elements of all samples."""
    floor: float
    """Mean Bernoulli entropy of the inputs themselves: the least that any model could reach."""
    excess: float
    """`bce` - `floor`: what the model is answerable for."""
    per_sample: float
    """Cross-entropy summed over a sample's elements, mean over samples."""
    samples: int
    """Samples that were counted."""


def bce(x: Array, probability: Array, *, clip: bool = False) -> Floats:
    """Binary cross-entropy of each sample, -sum [x log p + (1 - x) log(1 - p)], in nats.

    Parameters
    ----------
    x
        Inputs in [0, 1], shape (B, *shape).
    probability
        Probabilities of the same shape. Those within 1e-7 of 0 or 1 are moved to 1e-7 from it,
        so a saturated float32 sigmoid gives a large number and not infinity.
    clip
        Move outputs outside [0, 1] (of a linear decoder, say) into it instead of refusing them.

    Returns
    -------
    Floats
        One value a sample (B,), summed over elements.

    Raises
    ------
    DataError
        If inputs, or unclipped probabilities, lie outside [0, 1], or the shapes differ.
    """
    same_shape(x, probability, "inputs and probabilities")
    inputs = _in_unit(as_matrix(x, "the input"), "the input")
    outputs = as_matrix(probability, "the probability")
    if not clip:
        _in_unit(outputs, "the probability")
    outputs = np.clip(outputs, _EPSILON, 1 - _EPSILON)
    terms = inputs * np.log(outputs) + (1 - inputs) * np.log1p(-outputs)
    return -np.asarray(terms.sum(axis=1))


def bce_from_logits(x: Array, logits: Array) -> Floats:
    """Binary cross-entropy of each sample from logits l, sum [softplus(l) - x l], in nats.

    Exact at any logit: nothing is clipped. Shapes and errors as in `bce`.
    """
    same_shape(x, logits, "inputs and logits")
    inputs = _in_unit(as_matrix(x, "the input"), "the input")
    outputs = as_matrix(logits, "the logits")
    return np.asarray((np.logaddexp(0.0, outputs) - inputs * outputs).sum(axis=1))


def bce_floor(x: Array) -> Floats:
    """Bernoulli entropy of each sample, -sum [x log x + (1 - x) log(1 - x)], in nats (B,).

    Zero for binary data; on grey pixels it is most of the cross-entropy (0.0581 of the usual
    0.08 to 0.09 nats a pixel on MNIST).

    Raises
    ------
    DataError
        If an input lies outside [0, 1].
    """
    from scipy.special import entr

    inputs = _in_unit(as_matrix(x, "the input"), "the input")
    return np.asarray((entr(inputs) + entr(1 - inputs)).sum(axis=1))


class BernoulliSums:
    """Cross-entropy, its floor and the excess, accumulated over batches of any size."""

    def __init__(self) -> None:
        self._samples = self._elements = 0
        self._bce = self._floor = 0.0

    def update(self, x: Array, probability: Array, *, clip: bool = False) -> None:
        """Add a batch of inputs and probabilities; see `bce`."""
        self._add(x, bce(x, probability, clip=clip))

    def update_from_logits(self, x: Array, logits: Array) -> None:
        """Add a batch of inputs and logits; see `bce_from_logits`."""
        self._add(x, bce_from_logits(x, logits))

    def _add(self, x: Array, values: Floats) -> None:
        self._floor += float(bce_floor(x).sum())
        self._bce += float(values.sum())
        self._samples += len(values)
        self._elements += int(np.prod(tuple(x.shape)))

    def result(self) -> CrossEntropy:
        """Return the cross-entropy over everything added so far.

        Raises
        ------
        DataError
            If no sample was added.
        """
        if not self._samples:
            raise DataError("no sample was given, so there is no cross-entropy")
        mean, floor = self._bce / self._elements, self._floor / self._elements
        per_sample = self._bce / self._samples
        return CrossEntropy(mean, floor, mean - floor, per_sample, self._samples)


def _in_unit(values: Floats, name: str) -> Floats:
    if values.size and (values.min() < 0 or values.max() > 1):
        raise DataError(
            f"{name} must lie in [0, 1] for a binary cross-entropy",
            why=f"it spans {values.min():.4g} to {values.max():.4g}",
            fix="scale the data to [0, 1], or use the squared error",
        )
    return values
