"""Where the codes of two modalities lie: gap, alignment, uniformity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix, same_shape, unit_rows

__all__ = ["Geometry", "geometry", "uniformity"]


@dataclass(frozen=True)
class Geometry:
    """How the unit codes of two modalities lie to each other."""

    gap: float
    """Distance of the two means over the mean distance inside a modality (0: none)."""
    alignment: float
    """Mean cosine of items that belong together."""
    uniformity: tuple[float, float]
    """``log E exp(-2 |u - v|^2)`` of each modality; lower is more even."""


def geometry(left: Array, right: Array, *, limit: int = 1000) -> Geometry:
    """Describe the codes of rows that belong together, (n, Z) both.

    Parameters
    ----------
    left, right
        Row i of one belongs to row i of the other.
    limit
        Rows used at most for distances between all pairs, the first.

    Raises
    ------
    DataError
        If the shapes differ, or there are fewer than two rows.

    Notes
    -----
    Sources: Liang et al., "Mind the gap", arXiv:2203.02053; Wang and Isola, arXiv:2005.10242.
    """
    a, b = _units(left), _units(right)
    same_shape(a, b, "codes of two modalities")
    if len(a) < 2:
        raise DataError("geometry needs at least two rows")
    inside = (_distances(a[:limit]).mean() + _distances(b[:limit]).mean()) / 2
    between = float(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)))
    gap = between / inside if inside > 0 else (0.0 if between == 0 else float("inf"))
    return Geometry(
        float(gap),
        float((a * b).sum(axis=1).mean()),
        (uniformity(a, limit=limit), uniformity(b, limit=limit)),
    )


def uniformity(codes: Array, *, limit: int = 1000) -> float:
    """Return ``log E exp(-2 |u - v|^2)`` over pairs of different unit codes."""
    rows = _units(codes)[:limit]
    if len(rows) < 2:
        raise DataError("uniformity needs at least two rows")
    return float(np.log(np.exp(-2 * _distances(rows) ** 2).mean()))


def _units(codes: Array) -> Floats:
    return unit_rows(as_matrix(codes, "the codes"))


def _distances(rows: Floats) -> Floats:
    """Return the distances of all pairs of different rows."""
    from scipy.spatial.distance import pdist

    return np.asarray(pdist(rows), np.float64)
