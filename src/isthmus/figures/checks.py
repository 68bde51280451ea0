"""What arrays must be before they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.errors import ConfigError, DataError

__all__ = ["as_count", "as_labels", "as_matrix", "as_numbers", "need_finite"]


def need_finite(values: np.ndarray, name: str) -> None:
    """Refuse NaN and infinite values and say where the first one is.

    Raises
    ------
    DataError
        With the position of the first such value.
    """
    wrong = ~np.isfinite(values)
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{name} hold a NaN or infinite value",
            where=f"position {first}; {int(wrong.sum())} of {values.size} values",
            fix="look for the step that made it: a diverged run, or broken input",
        )


def as_numbers(values: Any, name: str) -> np.ndarray:
    """Give a finite, non-empty array of real numbers, as float64 unless it is uint8 or float32.

    Raises
    ------
    DataError
        If it is empty, isn't made of real numbers, or isn't finite.
    """
    array = np.asarray(values)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name} must be real numbers", why=f"their type is {array.dtype}")
    if array.size == 0:
        raise DataError(f"there are no {name} to draw", why=f"the shape is {array.shape}")
    if array.dtype not in (np.uint8, np.float32):
        array = array.astype(np.float64)
    need_finite(array, name)
    return array


def as_matrix(values: Any, name: str = "codes") -> np.ndarray:
    """Give a finite (samples, latents) array with at least one of each.

    Raises
    ------
    DataError
        As :func:`as_numbers`, or if there aren't two dimensions.
    """
    array = as_numbers(values, name)
    if array.ndim != 2:
        raise DataError(
            f"{name} must have two dimensions (samples, latents)", why=f"shape {array.shape}"
        )
    return array


def as_labels(labels: Sequence[Any] | np.ndarray | None, count: int) -> np.ndarray | None:
    """Give one label a sample, or None.

    Raises
    ------
    DataError
        If their number differs from ``count``.
    """
    if labels is None:
        return None
    array = np.asarray(labels)
    if array.shape != (count,):
        raise DataError(
            "there must be one label a sample", why=f"labels {array.shape}, samples {count}"
        )
    return array


def as_count(value: int, name: str) -> int:
    """Give a whole number of at least one.

    Raises
    ------
    ConfigError
        If it isn't one.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1", where=repr(value))
    return int(value)
