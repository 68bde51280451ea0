"""Averages over samples, never over batches: a short last batch counts for what it holds."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, as_float64, check_finite

__all__ = ["SampleMeans"]


class SampleMeans:
    """Means of named per-sample terms over a whole split.

    The mean of batch means gives a short last batch too much weight; here every *sample* has the
    same weight, whatever the batches were.

    Examples
    --------
    >>> import numpy as np
    >>> means = SampleMeans()
    >>> means.update({"loss": np.array([1.0, 1.0, 1.0])})
    >>> means.update({"loss": np.array([5.0])})
    >>> means.result()
    {'loss': 2.0}
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, float] = {}

    def update(self, terms: Mapping[str, Array]) -> None:
        """Add the terms of one batch, each of shape (B,).

        Raises
        ------
        DataError
            If the names differ from the first batch's, if a term has no value per sample (a batch
            mean, say), if the terms differ in length, or if a value is not finite.
        """
        batch = {name: as_float64(values) for name, values in terms.items()}
        if self.count and set(batch) != set(self._sums):
            raise DataError(
                "the terms differ from those of the batches before",
                why=f"{sorted(batch)} instead of {sorted(self._sums)}",
            )
        shapes = {values.shape for values in batch.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise DataError(
                "every term needs one value a sample",
                why=f"the shapes are {sorted(shapes)}",
                fix="pass the terms before they are averaged over the batch",
            )
        for name, values in batch.items():
            check_finite(values, f"the term {name!r}")
        for name, values in batch.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())
        self.count += next(iter(shapes))[0]

    def result(self) -> dict[str, float]:
        """Return the mean of each term over all samples.

        Raises
        ------
        DataError
            If no sample was given.
        """
        if not self.count:
            raise DataError("no sample was given, so there is no mean")
        return {name: total / self.count for name, total in self._sums.items()}
