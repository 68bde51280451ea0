"""The best non-negative code of a sample for given directions: descent, then active sets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

__all__ = ["nonnegative_codes"]


def nonnegative_codes(
    x: NDArray[Any], decoder: NDArray[Any], *, sweeps: int = 200, tolerance: float = 1e-5
) -> NDArray[np.float64]:
    """Minimise |x - z W|^2 over z >= 0 for each row of x (B, D) and W (N, D): (B, N).

    Cyclic coordinate descent, z_j <- max(0, z_j + (x - z W).w_j / |w_j|^2): the error falls with
    every step and, the problem being convex, ends at its least. A row leaves when none of its
    coordinates moves by more than ``tolerance`` of its length, so its code does not depend on the
    other rows. Between directions that nearly cancel, descent crawls: rows that are left after the
    last sweep are finished by active sets, from where they stand.

    Source of the active sets: Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23.
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
    with threadpool_limits(1):  # these are small: threads would only wait for each other
        for row in left:
            codes[row] = _finished(rows[row], directions, codes[row], limit[row])
    return codes


def _finished(
    x: NDArray[np.float64], directions: NDArray[np.float64], z: NDArray[np.float64], limit: float
) -> NDArray[np.float64]:
    """Return the best code of one row by active sets, begun at a code that is near it."""
    lengths = np.linalg.norm(directions, axis=1)
    held = z > 0
    for _ in range(3 * len(z)):
        z, held = _fitted(x, directions, z, held)
        slope = directions @ (x - z @ directions) / np.where(lengths > 0, lengths, 1)
        slope[held] = -np.inf
        best = int(slope.argmax())
        if slope[best] <= limit:
            break
        held[best] = True
    return z


def _fitted(
    x: NDArray[np.float64],
    directions: NDArray[np.float64],
    z: NDArray[np.float64],
    held: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fit the coordinates that are held, letting go of those that would turn negative."""
    held = held.copy()
    while held.any():
        goal = np.zeros_like(z)
        goal[held] = np.linalg.lstsq(directions[held].T, x, rcond=None)[0]
        below = held & (goal <= 0)
        if not below.any():
            return goal, held
        # as far towards the fit as none turns negative
        reach = np.min(z[below] / np.maximum(z[below] - goal[below], 1e-300))
        z = np.maximum(z + min(reach, 1.0) * (goal - z), 0.0)
        worst = below & (z <= 1e-14 * max(z.max(), 1e-300))
        held &= ~(worst if worst.any() else below)
        z[~held] = 0.0
    return np.zeros_like(z), held
