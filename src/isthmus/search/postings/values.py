"""How activations are kept in 16 bits: twelve significant bits, whatever their size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOWEST", "dequantised", "lowest_for", "quantised", "rounded"]

LOWEST = -20
"""Exponent of the smallest value that is kept apart: 2**-20; the largest is just below 2**12."""
_KEPT, _OCTAVES = 11, 32
_DROPPED = 23 - _KEPT


def lowest_for(largest: float) -> int:
    """Return the exponent of the smallest value where ``largest`` must fit.

    It is `LOWEST` unless ``largest`` is 4,096 or more.
    """
    return max(LOWEST, int(np.frexp(np.float32(largest))[1]) - _OCTAVES)


def quantised(values: NDArray[Any], lowest: int = LOWEST) -> NDArray[np.uint16]:
    """Round positive float32 values to 12 significant bits and 32 octaves from ``2**lowest``.

    An exponent and 11 bits of mantissa, the leading bit left out: the relative error is at most
    2**-12. Integers up to 4,096 are exact. Values below ``2**lowest`` become ``2**lowest``, so
    that none is lost; those from ``2**(lowest + 32)`` on become the largest there is. Rounding
    does not depend on the other values: parts of an index, and other stores, agree to the bit.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64)
    half_to_even = (1 << (_DROPPED - 1)) - 1 + ((bits >> _DROPPED) & 1)
    steps = ((bits + half_to_even) >> _DROPPED) - ((127 + lowest) << _KEPT)
    words: NDArray[np.uint16] = np.clip(steps, 0, 65_535).astype(np.uint16)
    return words


def dequantised(words: NDArray[np.uint16], lowest: int = LOWEST) -> NDArray[np.float32]:
    """Return the values that ``quantised`` stands for, exactly."""
    bits = (words.astype(np.uint32) + np.uint32((127 + lowest) << _KEPT)) << np.uint32(_DROPPED)
    return bits.view(np.float32)


def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return positive values as postings keep them; rounding twice changes nothing more.

    Examples
    --------
    >>> rounded(np.float32([1 / 3, 17, 1e-9]))
    array([3.3337402e-01, 1.7000000e+01, 9.5367432e-07], dtype=float32)
    """
    lowest = lowest_for(float(np.max(values, initial=0.0)))
    return dequantised(quantised(values, lowest), lowest)
