"""Families of concepts, from the general to the particular."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["children_of"]


def children_of(parent_N: NDArray[np.int64], size_N: NDArray[np.int64]) -> list[Sequence[int]]:
    """Turn parents round: each concept's children, the most frequent first.

    Parameters
    ----------
    parent_N
        The parent of each concept; -1 where there is none.
    size_N
        Passages on which each is active.

    Examples
    --------
    >>> children_of(np.array([-1, 0, 0]), np.array([9, 2, 4]))
    [(2, 1), (), ()]
    """
    found: list[list[int]] = [[] for _ in range(len(parent_N))]
    for child in np.lexsort((np.arange(len(size_N)), -size_N)).tolist():
        if parent_N[child] >= 0:
            found[int(parent_N[child])].append(child)
    return [tuple(children) for children in found]
