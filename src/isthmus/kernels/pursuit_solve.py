"""Compiled least squares on a small support: Cholesky factors, refinement, non-negativity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.compiled import compiled
from isthmus.kernels.pursuit_space import GRAM_STEP, Atoms, Scratch

__all__ = ["factor", "residual", "settle", "subtract", "take"]

Array = NDArray[Any]
_LEAST = np.float32(1e-6)  # squared length below which a direction counts as inside the span
_ROUNDS = 4  # of refinement and of taking out negative coefficients
_SWEEPS = 200  # of coordinate descent at most


@compiled
def take(
    atoms: Atoms, atom: int, columns: Array, count: int, held: Array, fresh: bool, out: Array
) -> None:  # pragma: no cover - compiled
    """Write the inner products of an atom with others.

    ``fresh`` says that ``held`` does not have this atom's row of the Gram matrix yet: it is
    copied first, since reading it in order is several times faster than here and there.
    """
    if atoms.gram_NN.size > 0:
        if fresh:
            row = atoms.gram_NN[atom]
            for i in range(row.size):
                held[i] = row[i]
        for c in range(count):
            out[c] = np.float32(held[columns[c]]) * GRAM_STEP
    else:
        vector = atoms.rows_ND[atom]
        for c in range(count):
            other, t = atoms.rows_ND[columns[c]], np.float32(0)
            for i in range(vector.size):
                t += vector[i] * other[i]
            out[c] = t


@compiled
def subtract(
    rows: Array, weights: Array, count: int, width: int, out: Array
) -> None:  # pragma: no cover - compiled
    """Take ``weights @ rows`` off ``out``; eight at a time, so that it is stored less often."""
    m = 0
    while m + 8 <= count:
        a, b, c, d = rows[m], rows[m + 1], rows[m + 2], rows[m + 3]
        e, f, g, h = rows[m + 4], rows[m + 5], rows[m + 6], rows[m + 7]
        p, q, r, s = weights[m], weights[m + 1], weights[m + 2], weights[m + 3]
        t, u, v, w = weights[m + 4], weights[m + 5], weights[m + 6], weights[m + 7]
        for i in range(width):
            out[i] -= (p * a[i] + q * b[i] + r * c[i] + s * d[i]) + (
                t * e[i] + u * f[i] + v * g[i] + w * h[i]
            )
        m += 8
    while m < count:
        a, p = rows[m], weights[m]
        for i in range(width):
            out[i] -= p * a[i]
        m += 1


@compiled
def factor(lower: Array, inverse: Array, size: int) -> None:  # pragma: no cover - compiled
    """Replace a Gram matrix (lower triangle) by its Cholesky factor; write that one's inverse.

    A direction inside the span of those before it gets a tiny diagonal and nothing blows up.
    """
    for m in range(size):
        row, out = lower[m], inverse[m]
        length = row[m]
        for j in range(m):
            t, other = np.float32(0), inverse[j]
            for i in range(j + 1):
                t += other[i] * row[i]
            out[j] = t
        for j in range(m):
            row[j] = out[j]
            length -= row[j] * row[j]
        row[m] = np.sqrt(max(length, _LEAST))
        for j in range(size):
            out[j] = 0
        subtract(inverse, row, m, m, out)
        scale = np.float32(1) / row[m]
        for j in range(m):
            out[j] *= scale
        out[m] = scale


@compiled
def _correct(lower: Array, pull: Array, size: int, coefs: Array) -> None:  # pragma: no cover
    """Add the solution of (lower lower^T) c = pull to the coefficients; ``pull`` is spoilt."""
    for m in range(size):
        t, row = pull[m], lower[m]
        for j in range(m):
            t -= row[j] * pull[j]
        pull[m] = t / row[m]
    for m in range(size - 1, -1, -1):
        row = lower[m]
        t = pull[m] / row[m]
        coefs[m] += t
        for j in range(m):
            pull[j] -= t * row[j]


@compiled
def residual(
    rows_ND: Array, support: Array, coefs: Array, size: int, x: Array, out: Array
) -> None:  # pragma: no cover - compiled
    """Write the sample less its reconstruction."""
    for i in range(x.size):
        out[i] = x[i]
    for m in range(size):
        row, c = rows_ND[support[m]], coefs[m]
        for i in range(x.size):
            out[i] -= c * row[i]


@compiled
def _pulls(
    rows_ND: Array, support: Array, coefs: Array, size: int, x: Array, left: Array, out: Array
) -> None:  # pragma: no cover - compiled
    """Write the residual and its correlations with the picks, from the vectors themselves."""
    residual(rows_ND, support, coefs, size, x, left)
    for m in range(size):
        row, t = rows_ND[support[m]], np.float32(0)
        for i in range(x.size):
            t += left[i] * row[i]
        out[m] = t


@compiled
def _raise(gram: Array, coefs: Array, pull: Array, size: int) -> None:  # pragma: no cover
    """Move least-squares coefficients to the best that are not negative: coordinate descent.

    The pull of the error on each coefficient is ``gram @ (least squares - coefs)``.
    """
    top = np.float32(0)
    for m in range(size):
        pull[m] = 0
    for m in range(size):
        c = coefs[m]
        top = max(top, c)
        if c < 0:
            coefs[m] = 0
            for j in range(size):
                pull[j] += c * gram[m, j]
    for _ in range(_SWEEPS):
        moved = np.float32(0)
        for m in range(size):
            row = gram[m]
            new = max(np.float32(0), coefs[m] + pull[m] / max(row[m], _LEAST))
            step = new - coefs[m]
            if step != 0:
                coefs[m] = new
                moved = max(moved, abs(step))
                for j in range(size):
                    pull[j] -= step * row[j]
        if moved <= np.float32(1e-6) * top:
            break


@compiled
def settle(
    w: Scratch,
    atoms: Atoms,
    non_negative: bool,
    x: Array,
    support: Array,
    coefs: Array,
    size: int,
    factored: bool,
) -> int:  # pragma: no cover - compiled
    """Fit the coefficients of one sample's support, to float32's precision; return its size.

    ``factored`` says that ``w.lower`` is this support's factor and ``coefs`` are nearly right.
    Where coefficients may not be negative, the best such are found, and those at zero leave.
    """
    for attempt in range(_ROUNDS):
        if not factored:
            for m in range(size):
                take(atoms, support[m], support, m + 1, w.held, True, w.lower[m])
            factor(w.lower, w.inverse[: size * size].reshape((size, size)), size)
        _pulls(atoms.rows_ND, support, coefs, size, x, w.left, w.own)
        _correct(w.lower, w.own, size, coefs)
        lowest = np.float32(0)
        for m in range(size):
            lowest = min(lowest, coefs[m])
        if not non_negative or lowest >= 0:
            break
        gram = w.inverse[: size * size].reshape((size, size))
        for m in range(size):
            take(atoms, support[m], support, size, w.held, True, gram[m])
        if attempt + 1 < _ROUNDS:
            _raise(gram, coefs, w.own, size)
        kept = 0
        for m in range(size):
            if coefs[m] > 0:
                support[kept], coefs[kept] = support[m], coefs[m]
                kept += 1
        size, factored = kept, False
    return size
