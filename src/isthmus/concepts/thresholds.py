"""What cosine can't be luck: directions held against random ones of the same make."""

from __future__ import annotations

import numpy as np

from isthmus.metrics.arrays import Array
from isthmus.metrics.coherence import unit_rows
from isthmus.metrics.matching import best_cosines
from isthmus.metrics.stability import random_like

__all__ = ["chance_cosine"]


def chance_cosine(
    a_ND: Array, b_MD: Array, *, signed: bool = True, quantile: float = 0.999, seed: int = 0
) -> float:
    """Return the cosine that a direction hardly reaches with the best of so many random ones.

    The ``quantile`` over A's rows of the largest cosine with as many random directions as B has,
    of B's mean and covariance.

    Raises
    ------
    DataError
        If a side has no direction, or values that are not finite.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((50, 64))
    >>> 0.3 < chance_cosine(rows, rows) < 0.7
    True
    """
    units, _ = unit_rows(a_ND, "A")
    like = random_like(b_MD, seed)
    return float(np.quantile(best_cosines(units, like, signed=signed)[0].cosine, quantile))
