"""Streaming mean and variance per column, and the full covariance, without cancellation."""

from __future__ import annotations

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix

__all__ = ["CovarianceSums", "MomentSums"]


class MomentSums:
    """Mean and variance of each column over batches of any size.

    Batches are merged by the update of Chan, Golub and LeVeque (1979), which does not subtract
    large sums from each other as E[x^2] - E[x]^2 does.

    Parameters
    ----------
    width
        Number of columns D.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(width)
        self._squares: Floats = np.zeros(width)

    def update(self, values: Array) -> None:
        """Add a batch (B, D).

        Raises
        ------
        DataError
            If the width differs or a value is not finite.
        """
        batch = _checked(values, len(self.mean))
        if not len(batch):
            return
        mean = batch.mean(axis=0)
        total = self.count + len(batch)
        gap = mean - self.mean
        centred = batch - mean
        self._squares += np.einsum("nd,nd->d", centred, centred)
        self._squares += gap * gap * (self.count * len(batch) / total)
        self.mean = self.mean + gap * (len(batch) / total)
        self.count = total

    @property
    def variance(self) -> Floats:
        """Variance of each column (D,), dividing by the number of samples.

        Raises
        ------
        DataError
            Before the first sample.
        """
        if not self.count:
            raise DataError("no sample was given, so there is no variance")
        return self._squares / self.count


class CovarianceSums:
    """Mean and covariance matrix over batches of any size, merged as in `MomentSums`.

    Parameters
    ----------
    width
        Number of columns D; memory is D^2 float64.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(width)
        self._scatter: Floats = np.zeros((width, width))

    def update(self, values: Array) -> None:
        """Add a batch (B, D).

        Raises
        ------
        DataError
            If the width differs or a value is not finite.
        """
        batch = _checked(values, len(self.mean))
        if not len(batch):
            return
        mean = batch.mean(axis=0)
        total = self.count + len(batch)
        gap = mean - self.mean
        centred = batch - mean
        self._scatter += centred.T @ centred
        self._scatter += np.outer(gap, gap * (self.count * len(batch) / total))
        self.mean = self.mean + gap * (len(batch) / total)
        self.count = total

    @property
    def covariance(self) -> Floats:
        """Covariance (D, D), dividing by the number of samples.

        Raises
        ------
        DataError
            Before the first sample.
        """
        if not self.count:
            raise DataError("no sample was given, so there is no covariance")
        return self._scatter / self.count


def _checked(values: Array, width: int) -> Floats:
    batch = as_matrix(values, "the batch")
    if batch.shape[1] != width:
        raise DataError(
            "the batch has another width than those before",
            why=f"{batch.shape[1]} instead of {width} columns",
        )
    return batch
