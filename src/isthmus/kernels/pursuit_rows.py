"""Compiled loops of the pursuit: one sample after the other, each among a few candidates.

A row of ``basis`` holds the inner products of one orthonormal direction q_l of the picked span
with every candidate. With a pick comes the next row,

    w = (<d_new, d_c> - sum_l R_l,new w_l) / sqrt(rest_new),

from which the correlation of every candidate with the residual and the share of its length
outside the span follow without touching the vectors themselves (Rubinstein et al., "Efficient
implementation of the K-SVD algorithm using batch orthogonal matching pursuit", 2008; the choice
by gain is orthogonal least squares, Chen, Billings and Luo, 1989). The Gram matrix is held in
16 bits, half of what moves through the caches: its error of 1.5e-5 can sway a pick between equals,
and :func:`pursuit_solve.settle` takes it out of the coefficients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.kernels.compiled import compiled
from isthmus.kernels.pursuit_solve import factor, residual, settle, subtract, take
from isthmus.kernels.pursuit_space import Atoms, Scratch

__all__ = ["Picks", "Rules", "refit_rows", "stage_rows"]

Array = NDArray[Any]
_SPENT = np.float32(1e-3)  # a candidate with less of its squared length outside the span is spent
_GAIN = np.float32(1e-9)  # picks that explain a smaller share of the sample are not made
_NEVER = np.int32(-2139095041)  # the key of minus infinity


class Rules(NamedTuple):
    """What the pursuit may do."""

    non_negative: bool
    """Only positive coefficients."""
    by_gain: bool
    """Pick what lowers the error most, not what correlates best."""
    tolerance: np.float32
    """A sample is done when this share of its squared length is left."""


class Picks(NamedTuple):
    """The codes of a block of samples while they grow; samples and atoms have unit length."""

    support_BK: Array
    """Atoms picked, uint32."""
    coefs_BK: Array
    """Their coefficients, float32."""
    sizes_B: Array
    """How many, int64."""
    limits_B: Array
    """How many there may be in the end, int64."""


@compiled
def _keys(ranks: Array, by_size: bool, keys: Array) -> None:  # pragma: no cover - compiled
    """Write integers that stand in the order of the floats, or of their magnitudes."""
    bits = ranks.view(np.int32)
    if by_size:
        for i in range(bits.size):
            keys[i] = bits[i] & 0x7FFFFFFF
    else:
        for i in range(bits.size):
            keys[i] = bits[i] ^ ((bits[i] >> 31) & 0x7FFFFFFF)


@compiled
def _reaching(keys: Array, level: int) -> int:  # pragma: no cover - compiled
    """Count the keys at or above a level."""
    count: Any = 0
    for i in range(keys.size):
        count += np.int32(keys[i] >= level)
    return int(count)


@compiled
def _screen(keys: Array, count: int, out: Array) -> int:  # pragma: no cover - compiled
    """List the ``count`` best-ranked atoms in order of number; equals from the lowest number.

    Those ranked minus infinity are left out. Returns how many there are.
    """
    low, high = np.int32(_NEVER + 1), np.int32(0x7F800001)
    if _reaching(keys, low) > count:
        while high - low > 1:
            middle = np.int32((np.int64(low) + high) >> 1)
            reached = _reaching(keys, middle)
            low, high = (middle, high) if reached >= count else (low, middle)
            if reached == count:
                break
    found: Any = 0
    for i in range(keys.size):  # without branches: a store that is not wanted is overwritten
        out[found] = np.uint32(i)
        found += np.int64(keys[i] > low)
    for i in range(keys.size):
        if found >= count:
            break
        out[found] = np.uint32(i)
        found += np.int64(keys[i] == low)
    return int(found)


@compiled
def _best(
    alpha: Array, rest: Array, width: int, rules: Rules, gains: Array
) -> int:  # pragma: no cover - compiled
    """Return the candidate to pick, or -1 where none is worth it."""
    for c in range(width):
        a = alpha[c]
        gain = a * abs(a) if rules.non_negative else a * a
        if rules.by_gain:
            gain /= rest[c]
        gains[c] = gain if rest[c] > _SPENT else np.float32(0)
    # Positive floats stand in the order of their bits, and integer maxima are vectorised.
    bits = gains.view(np.int32)
    gains[width] = _GAIN
    best, start = bits[width], -1
    for first in range(0, width, 16):
        top = np.int32(0)
        for c in range(first, first + 16):
            top = max(top, bits[c])
        if top > best:
            best, start = top, first
    if start < 0:
        return -1
    while bits[start] != best:
        start += 1
    return start


@compiled
def _span(
    w: Scratch, atoms: Atoms, support: Array, coefs: Array, size: int, width: int
) -> np.float32:  # pragma: no cover - compiled
    """Bring candidates up to a support that is given: its basis, and the best fit on it.

    Returns the squared length that the best fit takes off the residual.
    """
    inner = w.inner[: size * width].reshape((size, width))
    basis = w.basis[: size * width].reshape((size, width))
    inverse = w.inverse[: size * size].reshape((size, size))
    for m in range(size):
        take(atoms, support[m], w.columns, width, w.held, True, inner[m])
        take(atoms, support[m], support, m + 1, w.held, False, w.lower[m])
    factor(w.lower, inverse, size)
    np.dot(inverse, inner, basis)
    gained = np.float32(0)
    for m in range(size):
        t, row = np.float32(0), inverse[m]
        for j in range(m + 1):
            t += row[j] * w.own[j]
        gained += t * t
        w.along[m] = t
        q = basis[m]
        for c in range(width):
            w.rest[c] -= q[c] * q[c]
            w.alpha[c] -= t * q[c]
    for m in range(size):
        for j in range(m + 1):
            w.along[j] += coefs[m] * w.lower[m, j]
    return gained


@compiled
def _pick(
    w: Scratch,
    atoms: Atoms,
    rules: Rules,
    support: Array,
    size: int,
    limit: int,
    width: int,
    left: np.float32,
) -> tuple[int, np.float32]:  # pragma: no cover - compiled
    """Pick candidates one by one; return how many there are now and the squared error."""
    basis = w.basis[: limit * width].reshape((limit, width))
    alpha, rest = w.alpha, w.rest
    while size < limit and left > rules.tolerance:
        pick = _best(alpha, rest, width, rules, w.gains)
        if pick < 0:
            break
        q, row = basis[size], w.lower[size]
        take(atoms, w.columns[pick], w.columns, width, w.held, True, q)
        for m in range(size):
            row[m] = basis[m, pick]
        row[size] = np.sqrt(rest[pick])
        subtract(basis, row, size, width, q)
        scale = np.float32(1) / row[size]
        t = alpha[pick] * scale
        for c in range(width):
            p = q[c] * scale
            q[c] = p
            rest[c] -= p * p
            alpha[c] -= t * p
        w.along[size] = t
        support[size] = w.columns[pick]
        left -= t * t
        size += 1
    return size, left


@compiled
def _pursue(
    w: Scratch,
    atoms: Atoms,
    rules: Rules,
    alpha_N: Array,
    ranks_N: Array,
    scored: bool,
    candidates: int,
    support: Array,
    coefs: Array,
    size: int,
    limit: int,
    left: np.float32,
) -> tuple[int, np.float32]:  # pragma: no cover - compiled
    """Pick up to ``limit`` atoms for one sample and fit them all."""
    _keys(ranks_N, not (scored or rules.non_negative), w.keys)
    for m in range(size):
        w.own[m] = alpha_N[support[m]]
        w.keys[support[m]] = _NEVER
    found = _screen(w.keys, candidates - size if scored else candidates, w.columns)
    width = (found + 15) // 16 * 16
    for c in range(found):
        w.alpha[c] = alpha_N[w.columns[c]]
        w.rest[c] = 1
    for c in range(found, width):
        w.columns[c], w.alpha[c], w.rest[c] = 0, 0, 0
    if size > 0:
        left -= _span(w, atoms, support, coefs, size, width)
    size, left = _pick(w, atoms, rules, support, size, limit, width, left)
    for m in range(size - 1, -1, -1):  # R c = along, from the last
        row = w.lower[m]
        c = w.along[m] / row[m]
        coefs[m] = c
        for j in range(m):
            w.along[j] -= c * row[j]
    return size, left


@compiled
def _drop(
    support: Array, coefs: Array, size: int, count: int, non_negative: bool
) -> int:  # pragma: no cover - compiled
    """Take out coefficients that are not allowed and the smallest, ``count`` together or more."""
    goal = size - count
    m = 0
    while m < size:
        if non_negative and coefs[m] <= 0:
            size -= 1
            support[m], coefs[m] = support[size], coefs[size]
        else:
            m += 1
    while size > goal:
        worst = 0
        for m in range(size):
            if abs(coefs[m]) < abs(coefs[worst]):
                worst = m
        size -= 1
        support[worst], coefs[worst] = support[size], coefs[size]
    return size


@compiled
def stage_rows(
    w: Scratch,
    atoms: Atoms,
    rules: Rules,
    picks: Picks,
    x_BD: Array,
    residual_BD: Array,
    alpha_BN: Array,
    ranks_BN: Array,
    scored: bool,
    candidates: int,
    share: float,
    exchanged: float,
    last: bool,
) -> None:  # pragma: no cover - compiled
    """Screen candidates for each sample and pick among them; one stage of several.

    Parameters
    ----------
    w, atoms
        Work space of one thread; the dictionary.
    rules, picks
        What is allowed; the codes so far, changed in place.
    x_BD, residual_BD
        Samples of unit length; what their codes leave of them, changed in place.
    alpha_BN, ranks_BN
        Correlations of the residuals with all atoms; what candidates are chosen by.
    scored
        Whether the ranks are not those correlations, but the same for every stage.
    candidates
        Number of candidates of a sample.
    share
        Picks that a sample may have after this stage, as a share of its limit.
    exchanged
        Share of a full code's picks that is taken out again, for the next stage to replace.
    last
        Whether to settle the coefficients.
    """
    for b in range(len(x_BD)):
        support, coefs, size = picks.support_BK[b], picks.coefs_BK[b], picks.sizes_B[b]
        full = picks.limits_B[b]
        limit = min(full, np.int64(np.ceil(full * share)))
        left = np.float32(0)
        for i in range(residual_BD.shape[1]):
            left += residual_BD[b, i] * residual_BD[b, i]
        fitted = size < limit and left > rules.tolerance
        if fitted:
            size, left = _pursue(
                w, atoms, rules, alpha_BN[b], ranks_BN[b], scored, candidates,
                support, coefs, size, limit, left,
            )  # fmt: skip
        if last:
            size = settle(w, atoms, rules.non_negative, x_BD[b], support, coefs, size, fitted)
        elif fitted:
            swap = size == full and left > rules.tolerance
            out = np.int64(np.ceil(full * exchanged)) if swap else 0
            size = _drop(support, coefs, size, out, rules.non_negative)
            residual(atoms.rows_ND, support, coefs, size, x_BD[b], residual_BD[b])
        picks.sizes_B[b] = size


@compiled
def refit_rows(
    w: Scratch, atoms: Atoms, non_negative: bool, picks: Picks, x_BD: Array
) -> None:  # pragma: no cover - compiled
    """Fit the coefficients of supports that are given; those that end at zero are taken out."""
    for b in range(len(x_BD)):
        picks.sizes_B[b] = settle(
            w, atoms, non_negative, x_BD[b],
            picks.support_BK[b], picks.coefs_BK[b], picks.sizes_B[b], False,
        )  # fmt: skip
