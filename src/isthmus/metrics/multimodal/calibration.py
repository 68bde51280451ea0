"""How far a classifier's certainty can be believed."""

from __future__ import annotations

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, as_labels, as_matrix

__all__ = ["calibration_error"]


def calibration_error(probabilities: Array, labels: Array, bins: int = 15) -> float:
    """Return the expected calibration error over bins of even width.

    ``sum_b n_b / n |accuracy_b - confidence_b|`` of the most likely class.

    Parameters
    ----------
    probabilities
        (n, C), rows that sum to 1.
    labels
        Classes (n,).
    bins
        How many.

    Raises
    ------
    DataError
        If the rows are no probabilities.

    Notes
    -----
    Source: Guo et al., arXiv:1706.04599.

    Examples
    --------
    >>> round(calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])), 6)
    0.3
    """
    rows = as_matrix(probabilities, "the probabilities")
    truth = as_labels(labels, len(rows), "the labels")
    if bins < 1 or not len(rows) or rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > 1e-3:
        raise DataError("rows of probabilities must sum to 1")
    sure, right = rows.max(axis=1), rows.argmax(axis=1) == truth
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.bincount(place, right - sure, bins)
    return float(np.abs(gap[count > 0]).sum() / len(rows))
