"""Arrays and tensors in, float64 numpy out: the one border that every metric shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

if TYPE_CHECKING:
    import torch

    Array: TypeAlias = NDArray[Any] | torch.Tensor
else:
    Array: TypeAlias = Any

Floats: TypeAlias = NDArray[np.float64]

__all__ = ["Array", "Floats", "as_float64", "as_labels", "as_matrix", "check_finite", "same_shape",
           "unit_rows"]  # fmt: skip


def as_float64(values: Array | float) -> Floats:
    """Return ``values`` as a float64 numpy array of the same shape; gradients are dropped.

    A tensor is moved to the host first and widened there, since not every device has float64.
    """
    if not isinstance(values, np.ndarray | float | int) and hasattr(values, "detach"):
        import torch

        return np.asarray(values.detach().cpu().to(torch.float64).numpy())
    return np.asarray(values, dtype=np.float64)


def as_matrix(values: Array, name: str) -> Floats:
    """Return ``values`` (N, *shape) as a finite float64 matrix (N, D).

    Raises
    ------
    DataError
        If there is no sample axis, if a sample has no element, or if a value is not finite.
    """
    array = as_float64(values)
    if array.ndim == 0:
        raise DataError(f"{name} must have a first axis of samples", why="it is a single number")
    matrix = array.reshape(len(array), int(np.prod(array.shape[1:])))
    if matrix.shape[1] == 0:
        raise DataError(f"{name} holds samples without elements", why=f"its shape is {array.shape}")
    check_finite(matrix, name)
    return matrix


def as_labels(labels: Array, count: int, name: str) -> NDArray[np.int64]:
    """Return ``labels`` as (count,) int64.

    Raises
    ------
    DataError
        If there are more or fewer than ``count``, or if they are not whole numbers.
    """
    array = as_float64(labels)
    if array.shape != (count,):
        raise DataError(
            f"{name} must hold one label a code", why=f"shape {array.shape}, {count} codes"
        )
    whole = array.astype(np.int64)
    if not np.array_equal(whole, array):
        raise DataError(f"{name} must be whole numbers")
    return whole


def check_finite(values: Floats, name: str) -> None:
    """Refuse NaN and infinite values.

    Raises
    ------
    DataError
        Naming the first offending index.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    first = tuple(int(i) for i in np.argwhere(~finite)[0])
    raise DataError(
        f"{name} holds values that are not finite",
        where=f"first at index {first}",
        why=f"{int((~finite).sum())} of {values.size} values are NaN or infinite",
        fix="look at the input for NaN, or train with a lower learning rate",
    )


def same_shape(a: Array, b: Array, names: str) -> None:
    """Refuse two arrays of different shape: broadcasting would give a wrong number quietly.

    Raises
    ------
    DataError
        If the shapes differ.
    """
    if tuple(a.shape) != tuple(b.shape):
        raise DataError(
            f"{names} must have the same shape", why=f"{tuple(a.shape)} and {tuple(b.shape)}"
        )


def unit_rows(rows: Floats) -> Floats:
    """Return rows (n, d) of length 1; a row of zeros stays as it is."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))
