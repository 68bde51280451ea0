"""One-to-one matching of unit vectors by cosine: Hungarian, and greedy where that is too large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.metrics.arrays import Floats

__all__ = ["Best", "Pairing", "best_cosines", "hungarian", "paired"]

Units = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Best:
    """For each row of one set, the row of the other with the largest cosine."""

    index: Rows
    """Which row; the lowest of equals."""
    cosine: Floats
    """Its cosine."""


@dataclass(frozen=True, eq=False)
class Pairing:
    """Rows of A matched with rows of B."""

    a: Rows
    """Rows of A, rising."""
    b: Rows
    """The row of B that each is matched with."""
    cosine: Floats
    """Cosine of each pair (its magnitude where signs do not count)."""
    exact: bool
    """Whether no other matching has a larger sum of cosines."""


def best_cosines(
    a: Units, b: Units, *, signed: bool = True, block: int = 2048
) -> tuple[Best, Best]:
    """Return the best partner in B of each row of A, and in A of each row of B, blockwise."""
    forth = Best(np.zeros(len(a), dtype=np.int64), np.full(len(a), -np.inf))
    back = Best(np.zeros(len(b), dtype=np.int64), np.full(len(b), -np.inf))
    for start in range(0, len(a), block):
        rows = slice(start, start + block)
        for begin in range(0, len(b), block):
            columns = slice(begin, begin + block)
            cosines = _cosines(a[rows], b[columns], signed)
            _better(forth, rows, begin, cosines)
            _better(back, columns, start, cosines.T)
    return forth, back


def hungarian(cosines: NDArray[np.floating]) -> tuple[Rows, Rows]:
    """Return rows and columns of the one-to-one matching with the largest sum."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cosines, maximize=True)
    return rows.astype(np.int64), columns.astype(np.int64)


def paired(a: Units, b: Units, *, signed: bool, limit: int, block: int) -> Pairing:
    """Match min(len(a), len(b)) unit rows; exactly where there are up to ``limit``^2 cosines.

    Beyond it, pairs that are each other's best are taken out until the rest is small enough: the
    order in which a greedy matching by falling cosine would take them. Where that stalls (many
    equal rows), the rest is matched a piece at a time.
    """
    left, right = np.arange(len(a)), np.arange(len(b))
    taken: list[tuple[Rows, Rows]] = []
    exact = len(a) * len(b) <= limit**2
    while left.size * right.size > limit**2:
        forth, back = best_cosines(a[left], b[right], signed=signed, block=block)
        mutual = back.index[forth.index] == np.arange(left.size)
        pairs = (np.flatnonzero(mutual), forth.index[mutual])
        if mutual.sum() < 0.01 * min(left.size, right.size):
            size = min(limit, left.size, right.size)
            pairs = _piece(a[left[:size]], b[right[:size]], signed)
        taken.append((left[pairs[0]], right[pairs[1]]))
        left, right = np.delete(left, pairs[0]), np.delete(right, pairs[1])
    if left.size and right.size:
        rows, columns = _piece(a[left], b[right], signed)
        taken.append((left[rows], right[columns]))
    rows = np.concatenate([pair[0] for pair in taken])
    columns = np.concatenate([pair[1] for pair in taken])
    order = np.argsort(rows)
    rows, columns = rows[order], columns[order]
    cosine = np.einsum("nd,nd->n", a[rows], b[columns], dtype=np.float64).clip(-1, 1)
    return Pairing(rows, columns, cosine if signed else np.abs(cosine), exact)


def _piece(a: Units, b: Units, signed: bool) -> tuple[Rows, Rows]:
    return hungarian(_cosines(a, b, signed))


def _cosines(a: Units, b: Units, signed: bool) -> NDArray[np.float32]:
    cosines = np.clip(a @ b.T, -1, 1)
    return cosines if signed else np.asarray(np.abs(cosines))


def _better(best: Best, rows: slice, offset: int, cosines: NDArray[np.float32]) -> None:
    found = cosines.argmax(axis=1)
    value = cosines[np.arange(len(found)), found]
    better = value > best.cosine[rows]
    best.cosine[rows][better] = value[better]
    best.index[rows][better] = found[better] + offset
