"""How arrays of any arrangement become samples: channels first, labels as whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

__all__ = ["KINDS", "Layout", "arranged", "check_real", "integer_labels", "named_labels"]

Array = NDArray[Any]
KINDS = ("image", "table", "vector")
"""What a sample can be."""
_CHANNELS = frozenset({1, 3, 4})


@dataclass(frozen=True)
class Layout:
    """An array arranged as samples."""

    values: Array
    """A view of the array given, shape (N, C, H, W) for images, (N, D) otherwise."""
    kind: str
    """``image``, ``table`` or ``vector``."""
    note: str = ""
    """What was decided where more than one reading was possible."""


def check_real(dtype: np.dtype[Any], where: str) -> None:
    """Raise :class:`DataError` unless ``dtype`` is a plain real number type."""
    if dtype.kind in "biuf":
        return
    reasons = {
        "O": "it holds Python objects, which only pickle could read, and pickle runs code",
        "c": "it holds complex numbers",
        "U": "it holds text",
        "S": "it holds text",
        "V": "it holds records with named fields",
        "M": "it holds dates",
        "m": "it holds durations",
    }
    raise DataError(
        "the array does not hold plain real numbers",
        where=where,
        why=reasons.get(dtype.kind, f"its type is {dtype}"),
        fix="convert it first, for example with array.astype('float32')",
    )


def arranged(
    values: Array, *, where: str, kind: str | None = None, channels_first: bool | None = None
) -> Layout:
    """Arrange an array as samples, without copying it.

    (N, D) is vectors; (N, H, W) is grey images; of (N, a, b, c) the axis that is 1, 3 or 4 long
    is the channels.

    Parameters
    ----------
    values
        An array of two to four axes; the first runs over samples.
    where
        What to call the array in messages.
    kind
        ``image``, ``table`` or ``vector`` where it is known; None: decide.
    channels_first
        What to take where both readings are possible; None: decide by the sides that are equal.

    Raises
    ------
    DataError
        If the array has another number of axes, no values, or no real numbers.
    """
    check_real(values.dtype, where)
    if values.ndim not in (2, 3, 4) or 0 in values.shape[1:]:
        raise DataError(
            "the array can't be read as samples",
            where=where,
            why=f"its shape is {values.shape}; known are (N, values), (N, height, width), "
            "(N, height, width, channels) and (N, channels, height, width)",
            fix="reshape it; a single column needs reshape(-1, 1)",
        )
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    if values.ndim == 2:
        return Layout(values, "vector" if kind in (None, "image") else kind)
    if kind in ("table", "vector"):
        raise DataError(f"a {kind} needs two axes", where=where, why=f"the shape is {values.shape}")
    if values.ndim == 3:
        _, height, width = values.shape
        sure = values.dtype == np.uint8 or kind == "image"
        note = "" if sure else f"Shape {values.shape} was read as grey images {height} x {width}."
        return Layout(values[:, None], "image", note)
    return _image_layout(values, channels_first)


def _image_layout(values: Array, channels_first: bool | None) -> Layout:
    """Put the channels of (N, a, b, c) first."""
    _, first, second, last = values.shape
    could_be_first, could_be_last = first in _CHANNELS, last in _CHANNELS
    note = ""
    if could_be_first and could_be_last:
        by_sides = first != second or second == last
        is_first = by_sides if channels_first is None else channels_first
        note = f"Shape {values.shape} could be read two ways; "
    elif could_be_first or could_be_last:
        is_first = could_be_first
    else:
        is_first = channels_first is not False
        note = f"Shape {values.shape} has no axis of 1, 3 or 4 channels; "
    if note:
        note += f"the {'second' if is_first else 'last'} axis was taken as channels."
    return Layout(values if is_first else np.moveaxis(values, 3, 1), "image", note)


def integer_labels(labels: Array, length: int, *, where: str) -> Array:
    """Return labels as int64 of shape (length,).

    Raises
    ------
    DataError
        If there are more or fewer than ``length``, or they are not whole numbers.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != length:
        found = f"shape {labels.shape}" if labels.ndim != 1 else f"{len(labels):,} labels"
        raise DataError(
            "labels and samples differ in number",
            where=where,
            why=f"{found} for {length:,} samples",
            fix="give one label a sample, in the same order",
        )
    if labels.dtype.kind not in "biuf":
        raise DataError("labels must be whole numbers", where=where, why=f"type {labels.dtype}")
    numbers = labels.astype(np.int64) if np.isfinite(labels).all() else None
    if numbers is None or not np.array_equal(numbers, labels):
        raise DataError(
            "labels must be whole numbers, one for each class",
            where=where,
            why="some are fractions or missing",
            fix="choose another label column, or none",
        )
    return numbers


def named_labels(texts: Array) -> tuple[Array, tuple[str, ...]]:
    """Give the distinct texts numbers in sorted order; whole numbers sort as numbers.

    Returns
    -------
    tuple
        Class numbers (N,) int64, and the name of each class.
    """
    names, numbers = np.unique(texts.astype(str), return_inverse=True)
    try:
        order = np.argsort([int(name) for name in names], kind="stable")
    except ValueError:
        order = np.arange(len(names))
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return rank[numbers.reshape(-1)], tuple(str(names[i]) for i in order)
