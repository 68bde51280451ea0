"""Reconstruction error: MSE, FVU about the training mean, absolute and largest errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_float64, as_matrix, same_shape

__all__ = ["Reconstruction", "ReconstructionSums", "squared_errors"]


@dataclass(frozen=True)
class Reconstruction:
    """How far reconstructions are from their inputs, over a whole split."""

    mse: float
    """Squared error, mean over all elements of all samples."""
    sse: float
    """Squared error summed over a sample's elements, mean over samples."""
    fvu: float | None
    """Squared errors over squares about the training mean, both summed over the split; None where
    every input equals the training mean."""
    mae: float
    """Absolute error, mean over all elements."""
    max_error: float
    """Largest absolute error of any element."""
    clipped_mse: float | None
    """`mse` of reconstructions clipped to the nominal range; None where no range was given."""
    samples: int
    """Samples that were counted."""


class ReconstructionSums:
    """Reconstruction error accumulated in float64 over batches of any size.

    Parameters
    ----------
    train_mean
        Mean of the *training* split, of the shape of one sample (or one number for all elements):
        FVU is about this mean, never about the evaluated split's own.
    clip
        Range (low, high) to which reconstructions are clipped for `clipped_mse`; None leaves
        that number out.

    Raises
    ------
    ConfigError
        If ``clip`` is not a rising pair.

    Examples
    --------
    >>> sums = ReconstructionSums(train_mean=np.array([0.0, 0.0]))
    >>> sums.update(np.array([[1.0, 0.0]]), np.array([[0.5, 0.0]]))
    >>> sums.result().mse, sums.result().fvu
    (0.125, 0.25)
    """

    def __init__(self, train_mean: Array | float, clip: tuple[float, float] | None = None) -> None:
        if clip is not None and not clip[0] < clip[1]:
            raise ConfigError("clip must be a pair low < high", why=f"got {clip}")
        self._mean = as_float64(train_mean).reshape(-1)
        self._clip = clip
        self._samples = self._elements = 0
        self._squared = self._absolute = self._largest = self._total = self._clipped = 0.0

    def update(self, x: Array, reconstruction: Array) -> None:
        """Add a batch of inputs and reconstructions, both (B, *shape).

        Raises
        ------
        DataError
            If the shapes differ from each other or from the training mean's, or if a value is
            not finite.
        """
        same_shape(x, reconstruction, "inputs and reconstructions")
        inputs = as_matrix(x, "the input")
        outputs = as_matrix(reconstruction, "the reconstruction")
        if self._mean.size not in (1, inputs.shape[1]):
            raise DataError(
                "the training mean has another size than a sample",
                why=f"{self._mean.size} and {inputs.shape[1]} elements",
            )
        if not len(inputs):
            return
        error = outputs - inputs
        centred = inputs - self._mean
        self._squared += float(np.vdot(error, error))
        self._total += float(np.vdot(centred, centred))
        if self._clip is not None:
            clipped = np.clip(outputs, *self._clip) - inputs
            self._clipped += float(np.vdot(clipped, clipped))
        np.abs(error, out=error)
        self._absolute += float(error.sum())
        self._largest = max(self._largest, float(error.max()))
        self._samples += len(inputs)
        self._elements += inputs.size

    def result(self) -> Reconstruction:
        """Return the errors over everything added so far.

        Raises
        ------
        DataError
            If no sample was added.
        """
        if not self._samples:
            raise DataError("no sample was given, so there is no reconstruction error")
        return Reconstruction(
            mse=self._squared / self._elements,
            sse=self._squared / self._samples,
            fvu=self._squared / self._total if self._total else None,
            mae=self._absolute / self._elements,
            max_error=self._largest,
            clipped_mse=None if self._clip is None else self._clipped / self._elements,
            samples=self._samples,
        )


def squared_errors(x: Array, reconstruction: Array) -> Floats:
    """Return the squared error of each sample, summed over its elements: (B,) float64.

    Raises
    ------
    DataError
        If the shapes differ or a value is not finite.
    """
    same_shape(x, reconstruction, "inputs and reconstructions")
    error = as_matrix(reconstruction, "the reconstruction") - as_matrix(x, "the input")
    return np.asarray(np.einsum("nd,nd->n", error, error))
