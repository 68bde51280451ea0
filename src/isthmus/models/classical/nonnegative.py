"""The best non-negative code of a sample for given directions, by coordinate descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["nonnegative_codes"]


def nonnegative_codes(
    x: NDArray[Any], decoder: NDArray[Any], *, sweeps: int = 200, tolerance: float = 1e-5
) -> NDArray[np.float64]:
    """Minimise |x - z W|^2 over z >= 0 for each row of x (B, D) and W (N, D): (B, N).

    Cyclic coordinate descent, z_j <- max(0, z_j + (x - z W).w_j / |w_j|^2): the error falls with
    every step and, the problem being convex, ends at its least. A row leaves when none of its
    coordinates moves by more than ``tolerance`` of its length, so its code does not depend on the
    other rows.
    """
    directions = decoder.astype(np.float64)
    gram = directions @ directions.T
    squares = np.diag(gram)
    used = np.flatnonzero(squares > 0)
    rows = x.astype(np.float64)
    codes = np.zeros((len(rows), len(directions)))
    limit = tolerance * np.linalg.norm(rows, axis=1)
    left = np.arange(len(rows))
    slope = rows @ directions.T
    for _ in range(sweeps):
        if not left.size:
            break
        z, g = codes[left], slope[left]
        largest = np.zeros(left.size)
        for j in used:
            step = np.maximum(z[:, j] + g[:, j] / squares[j], 0.0) - z[:, j]
            z[:, j] += step
            g -= step[:, None] * gram[j]
            largest = np.maximum(largest, np.abs(step) * np.sqrt(squares[j]))
        codes[left], slope[left] = z, g
        left = left[largest > limit[left]]
    return codes
