"""Frechet distance: how far two sets of features are apart as normal distributions."""

from __future__ import annotations

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix

__all__ = ["frechet"]


def frechet(left: Array, right: Array) -> float:
    """Return the squared Frechet distance of two sets of features, (n, D) and (m, D).

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of their means and covariances, the distance
    that the FID is of one network's features. It falls with the number of rows, so that only
    distances of as many rows compare, and the distance of two real sets is what to expect at best.

    Raises
    ------
    DataError
        If the widths differ, a value is not finite, or a set has fewer than two rows.

    Notes
    -----
    Sources: Dowson and Landau, "The Frechet distance between multivariate normal distributions",
    J. Multivariate Analysis 12, 1982; Heusel et al., arXiv:1706.08500.

    Examples
    --------
    >>> import numpy as np
    >>> frechet(np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]]))  # (0 - 3)^2 + (1 - 2)^2 * 2
    11.0
    """
    a, b = as_matrix(left, "features"), as_matrix(right, "other features")
    if a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise DataError(
            "two sets of features of the same width, of two rows at least each, have a distance",
            why=f"their shapes are {a.shape} and {b.shape}",
        )
    s, t = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # the product's square root has the trace of the symmetric S^(1/2) T S^(1/2)'s
    root = _root(s)
    mixed = np.linalg.eigvalsh(root @ t @ root)
    apart = float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum())
    spread = float(np.trace(s) + np.trace(t) - 2 * np.sqrt(np.maximum(mixed, 0)).sum())
    return apart + max(spread, 0.0)


def _root(symmetric: Floats) -> Floats:
    """Return the symmetric square root of a matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(symmetric)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
