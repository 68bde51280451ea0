"""What the compiled loops of the pursuit work on: the dictionary, and room for one thread."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRAM_STEP", "Atoms", "Scratch", "scratch"]

Array = NDArray[Any]
GRAM_STEP = np.float32(1 / 32767)
"""What one unit of the 16-bit Gram matrix stands for."""


class Atoms(NamedTuple):
    """A dictionary whose rows have unit length, or none."""

    rows_ND: Array
    """The rows, float32."""
    gram_NN: Array
    """Their inner products in steps of 1/32767, int16; (0, 0) to compute them when needed."""


class Scratch(NamedTuple):
    """Work space of one thread, for P candidates (a multiple of 16) and K picks."""

    basis: Array
    """Inner products of the orthonormal basis with the candidates, (K P,)."""
    inner: Array
    """Inner products of the picks with the candidates, (K P,)."""
    inverse: Array
    """Inverse of the Cholesky factor, (K K,)."""
    lower: Array
    """Cholesky factor of the Gram matrix of the picks, lower triangle, (K, K)."""
    columns: Array
    """Candidates, (N + 16,), uint32: unsigned, so that no index is tested for its sign."""
    alpha: Array
    """Their correlations with the residual, (P,)."""
    rest: Array
    """Their squared lengths outside the span, (P,)."""
    gains: Array
    """What picking each would take off the squared error, (P + 16,)."""
    keys: Array
    """Ranks as integers, (N,), int32."""
    held: Array
    """A row of the Gram matrix, (N,), int16."""
    own: Array
    """Correlations of the picks with the residual, (K,)."""
    along: Array
    """The sample along the basis, (K,)."""
    left: Array
    """A residual, (D,)."""


def scratch(latents: int, dim: int, picks: int, candidates: int) -> Scratch:
    """Return work space for one thread."""
    room = -(-min(candidates, latents) // 16) * 16
    return Scratch(
        basis=_aligned(picks * room),
        inner=_aligned(picks * room),
        inverse=_aligned(picks * picks),
        lower=_aligned(picks * picks).reshape(picks, picks),
        columns=np.zeros(latents + 16, np.uint32),
        alpha=_aligned(room),
        rest=_aligned(room),
        gains=_aligned(room + 16),
        keys=_aligned(latents).view(np.int32),
        held=_aligned(latents).view(np.int16)[:latents],
        own=_aligned(picks),
        along=_aligned(picks),
        left=_aligned(dim),
    )


def _aligned(size: int) -> Array:
    """Return zeros that begin on a cache line: loops that read across lines are half as fast."""
    raw = np.zeros(4 * size + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + 4 * size].view(np.float32)
