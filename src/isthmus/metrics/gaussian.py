"""Exact likelihoods of linear Gaussian models: what estimates are held against."""

from __future__ import annotations

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_float64, as_matrix

__all__ = ["linear_gaussian_nll", "ppca_nll"]


def ppca_nll(x: Array, mean: Array, basis: Array, eigenvalues: Array, variance: float) -> Floats:
    """Exact NLL of each sample under probabilistic PCA, in nats (B,).

    The covariance is U diag(eigenvalues) U^T on the span of U and ``variance`` elsewhere, so
    NLL = 1/2 [D log 2 pi + sum log eigenvalues + (D - d) log variance + sum c^2 / eigenvalues
    + |residual|^2 / variance], with c = U^T (x - mean). Source: Tipping and Bishop, 1999.

    Parameters
    ----------
    x
        Samples (B, *shape) of D elements each.
    mean
        Mean, D elements.
    basis
        Orthonormal rows U^T, shape (d, D).
    eigenvalues
        Variances along them (d,), noise included.
    variance
        Noise variance in the other D - d directions.

    Raises
    ------
    ConfigError
        If a variance is not positive, or the sizes do not fit.
    """
    samples, centre = as_matrix(x, "the sample"), as_float64(mean).reshape(-1)
    rows, scales = as_float64(basis), as_float64(eigenvalues)
    width = samples.shape[1]
    if rows.ndim != 2 or rows.shape != (scales.size, width) or centre.size != width:
        raise ConfigError(
            "mean, basis and eigenvalues must fit the samples",
            why=f"sizes {centre.size}, {rows.shape}, {scales.size}; samples have {width} elements",
        )
    rest = width - scales.size
    if (scales <= 0).any() or (rest and not variance > 0):
        raise ConfigError(
            "a density needs positive variances",
            why=f"least eigenvalue {scales.min(initial=np.inf):.3g}, noise variance {variance:.3g}",
            fix="use fewer dimensions than the rank of the data",
        )
    centred = samples - centre
    codes = centred @ rows.T
    # The residual itself, not |x|^2 - |c|^2, which would lose digits to cancellation.
    centred -= codes @ rows
    inside = (codes**2 / scales).sum(axis=1)
    outside = np.einsum("nd,nd->n", centred, centred) / variance if rest else 0.0
    logs = np.log(scales).sum() + (rest * np.log(variance) if rest else 0.0)
    return np.asarray(0.5 * (width * np.log(2 * np.pi) + logs + inside + outside))


def linear_gaussian_nll(x: Array, mean: Array, weights: Array, variance: float) -> Floats:
    """Exact NLL of x = W z + mean + noise, z ~ N(0, I), noise ~ N(0, variance I): nats (B,).

    The oracle of a linear variational autoencoder; ``weights`` W is its decoder (D, d).

    Raises
    ------
    ConfigError
        If the variance is not positive or the sizes do not fit.
    DataError
        If a value is not finite.
    """
    matrix = as_float64(weights)
    if matrix.ndim != 2:
        raise ConfigError("weights must be (D, d)", why=f"got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise DataError("the weights hold values that are not finite")
    left, singular, _ = np.linalg.svd(matrix, full_matrices=False)
    return ppca_nll(x, mean, left.T, singular**2 + variance, variance)
