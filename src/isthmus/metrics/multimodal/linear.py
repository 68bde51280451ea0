"""Linear maps between modalities in closed form: what any model must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix

__all__ = ["Canonical", "Principal", "canonical", "principal", "ridge"]


@dataclass(frozen=True, eq=False)
class Principal:
    """Principal components of training rows."""

    mean: Floats
    """(D,)."""
    components: Floats
    """Orthonormal rows (k, D), the largest variance first."""
    scale: Floats
    """Standard deviation along each (k,)."""

    def __call__(self, rows: Array) -> Floats:
        """Return the coordinates of rows (n, D), (n, k)."""
        return np.asarray((as_matrix(rows, "the rows") - self.mean) @ self.components.T)


def principal(rows: Array, count: int, *, limit: int = 10_000, seed: int = 0) -> Principal:
    """Return the first components of rows (n, D), by eigenvectors.

    Parameters
    ----------
    count
        Components, at most D.
    limit
        Rows used at most, drawn with ``seed``.
    """
    from scipy.linalg import eigh

    x = as_matrix(rows, "the rows")
    if len(x) > limit:
        x = x[np.sort(np.random.default_rng(seed).choice(len(x), limit, replace=False))]
    mean = x.mean(axis=0)
    x = x - mean
    count = min(count, *x.shape)
    # the smaller of the two products has the same eigenvalues
    small = len(x) < x.shape[1]
    product = x @ x.T if small else x.T @ x
    values, vectors = eigh(product, subset_by_index=(len(product) - count, len(product) - 1))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    rows_of = vectors.T @ x / np.sqrt(np.maximum(values, 1e-300))[:, None] if small else vectors.T
    return Principal(mean, rows_of, np.sqrt(values / max(len(x) - 1, 1)))


@dataclass(frozen=True, eq=False)
class Canonical:
    """Canonical correlation: the directions of two modalities that correlate most."""

    left: tuple[Floats, Floats]
    """Mean (D,) and map (D, k) of the first modality."""
    right: tuple[Floats, Floats]
    """The same of the second."""
    correlation: Floats
    """Correlation of each pair of directions (k,), falling."""

    def of_left(self, rows: Array) -> Floats:
        """Return the coordinates of the first modality's rows, each times its correlation."""
        mean, weights = self.left
        return np.asarray((as_matrix(rows, "the rows") - mean) @ weights * self.correlation)

    def of_right(self, rows: Array) -> Floats:
        """Return the coordinates of the second modality's rows, each times its correlation."""
        mean, weights = self.right
        return np.asarray((as_matrix(rows, "the rows") - mean) @ weights * self.correlation)


def canonical(left: Array, right: Array, count: int, *, penalty: float = 1e-3) -> Canonical:
    """Fit linear canonical correlation analysis to rows that belong together.

    With covariances ``A``, ``B`` and ``C`` between them, the singular vectors of
    ``A^-1/2 C B^-1/2`` are the directions and its singular values the correlations.

    Parameters
    ----------
    left, right
        (n, D) and (n, E); row i of one belongs to row i of the other.
    count
        Directions, at most the smaller width.
    penalty
        Added to both covariances, as a share of their mean variance.

    Raises
    ------
    DataError
        If the numbers of rows differ, or there are fewer than two.

    Notes
    -----
    Source: Hotelling, Biometrika 28, 1936.
    """
    x, y = as_matrix(left, "the left rows"), as_matrix(right, "the right rows")
    if len(x) != len(y) or len(x) < 2:
        raise DataError("rows must belong together", why=f"{len(x)} and {len(y)} rows")
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    white_a, white_b = _whitener(a, penalty), _whitener(b, penalty)
    u, s, vt = np.linalg.svd(white_a @ (a.T @ b / (len(x) - 1)) @ white_b, full_matrices=False)
    k = min(count, len(s))
    return Canonical(
        (x.mean(axis=0), white_a @ u[:, :k]), (y.mean(axis=0), white_b @ vt[:k].T), s[:k]
    )


def _whitener(rows: Floats, penalty: float) -> Floats:
    covariance = rows.T @ rows / (len(rows) - 1)
    share = penalty * np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh(covariance + share * np.eye(len(covariance)))
    values = np.maximum(values, 1e-12)
    return np.asarray(vectors / np.sqrt(values) @ vectors.T)


def ridge(inputs: Array, outputs: Array, penalty: float = 1.0) -> tuple[Floats, Floats]:
    """Return weights (D, E) and offset (E,) of the penalised least-squares map.

    ``min |Y - X W - b|^2 + penalty |W|^2``, the offset not penalised.

    Raises
    ------
    DataError
        If the numbers of rows differ.
    """
    x, y = as_matrix(inputs, "the inputs"), as_matrix(outputs, "the outputs")
    if len(x) != len(y) or not len(x):
        raise DataError("rows must belong together", why=f"{len(x)} and {len(y)} rows")
    about, beside = x.mean(axis=0), y.mean(axis=0)
    centred = x - about
    gram = centred.T @ centred + penalty * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (y - beside))
    return np.asarray(weights), np.asarray(beside - about @ weights)
