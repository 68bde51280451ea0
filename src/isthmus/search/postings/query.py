"""What a search is asked: terms with weights, and what is laid on rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.errors import ConfigError
from isthmus.search.postings.layout import Layout
from isthmus.search.postings.weighting import Saturation

__all__ = ["Laid", "Query", "checked_query", "checked_rows", "laid_on_rows"]

Array = NDArray[Any]
Ints = NDArray[np.int64]
Scores = NDArray[np.float64]

_LEAST, _MOST = 1e-200, 1e200  # no product with a float32 value vanishes, no sum overflows


@dataclass(frozen=True, eq=False)
class Query:
    """Terms that have a weight, in rising order."""

    terms: Ints
    """Numbers of terms (K,), each once."""
    weights: Scores
    """Their weights (K,), none 0."""


@dataclass(frozen=True, eq=False)
class Laid:
    """What counts for rows, read-only; empty arrays where nothing was asked for."""

    norms: Array
    """Norms of a saturation (R,), float32."""
    constant: float
    """What is added to every sum."""
    scaling: Array
    """Factors (R,), float32."""
    allowed: Array
    """Rows that may be found (R,), bool."""


def checked_query(terms: ArrayLike, weights: ArrayLike, count: int) -> Query:
    """Return a query over ``count`` terms, without the terms whose weight is 0.

    Raises
    ------
    ConfigError
        If terms repeat or do not exist, or a weight is not finite.
    """
    given, factors = np.asarray(terms), np.asarray(weights, np.float64)
    if given.ndim != 1 or given.shape != factors.shape:
        raise ConfigError(
            "a query has as many weights as terms", why=f"shapes {factors.shape}, {given.shape}"
        )
    if len(given) == 0:
        return Query(np.empty(0, np.int64), np.empty(0, np.float64))
    if given.dtype.kind not in "iu":
        raise ConfigError(f"a query's terms are whole numbers, not {given.dtype}")
    if given.min() < 0 or given.max() >= count:
        raise ConfigError(
            f"a query's terms are numbers below {count}", why=f"{given.min()} to {given.max()}"
        )
    sizes = np.abs(factors)
    if not (sizes <= _MOST).all():  # not a number compares as false
        raise ConfigError("a query's weights are finite, at most 1e200 in size")
    order = np.argsort(given, kind="stable")
    chosen = given[order].astype(np.int64)
    if (chosen[1:] == chosen[:-1]).any():
        raise ConfigError("a query names each term once", fix="add up the weights of a term")
    held = sizes[order] >= _LEAST
    return Query(chosen[held], factors[order][held])


def laid_on_rows(
    layout: Layout,
    allowed: Array | None,
    scaling: Array | None,
    saturation: Saturation | None,
    constant: float = 0.0,
) -> Laid:
    """Check what is given for each row, and for all.

    Raises
    ------
    ConfigError
        If it is of another shape or type, or values that may be negative would be saturated.
    """
    if saturation is not None and layout.signed:
        raise ConfigError("negative values can't be saturated")
    if not np.isfinite(constant):
        raise ConfigError(f"a constant of {constant} is no score")
    norms = None if saturation is None else saturation.norms
    return Laid(
        _by_row("norms of a saturation", norms, layout.rows, np.float32),
        float(constant),
        _by_row("scaling", scaling, layout.rows, np.float32),
        _by_row("allowed rows", allowed, layout.rows, np.bool_),
    )


def _by_row(what: str, values: Array | None, rows: int, kind: type[np.generic]) -> Array:
    """Return a read-only array of one value a row, or an empty one."""
    found: Array = np.empty(0, kind) if values is None else np.ascontiguousarray(values)
    if values is not None and (found.shape != (rows,) or found.dtype != kind):
        raise ConfigError(
            f"{what}: one {np.dtype(kind)} for each of {rows} rows",
            why=f"given are {found.dtype} of shape {found.shape}",
        )
    found = found.view()
    found.setflags(write=False)  # compiled loops are made for one kind of array, this one
    return found


def checked_rows(rows: ArrayLike, count: int) -> Ints:
    """Return numbers of rows, all below ``count``.

    Raises
    ------
    ConfigError
        If there is none such.
    """
    found = np.atleast_1d(np.asarray(rows))
    if found.size == 0:
        return np.empty(0, np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ConfigError(f"rows are whole numbers, not {found.dtype} of shape {found.shape}")
    if found.min() < 0 or found.max() >= count:
        raise ConfigError(f"rows are numbers below {count}", why=f"{found.min()} to {found.max()}")
    return found.astype(np.int64)
