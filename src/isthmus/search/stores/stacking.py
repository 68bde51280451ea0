"""Sparse rows that came one by one, as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["stacked"]


def stacked(
    indices: Sequence[NDArray[Any]], values: Sequence[NDArray[Any]], latents: int
) -> csr_array:
    """Return rows given by their indices and values as codes (R, N), float32, ascending.

    Examples
    --------
    >>> rows = [np.array([2, 0]), np.array([], int)], [np.array([1, 2]), np.array([])]
    >>> stacked(*rows, 3).toarray()
    array([[2., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    from scipy.sparse import csr_array

    if not len(indices):
        return csr_array((0, latents), dtype=np.float32)
    bounds = np.concatenate(([0], np.cumsum([len(row) for row in indices])))
    found = csr_array(
        (np.concatenate(values).astype(np.float32), np.concatenate(indices), bounds),
        shape=(len(indices), latents),
    )
    found.sort_indices()
    return found
