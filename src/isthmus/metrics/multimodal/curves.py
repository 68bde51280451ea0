"""Curves against how much is missing, and how few pairs there are; numbers over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, as_float64, check_finite
from isthmus.metrics.stats import Interval, mean_interval

__all__ = ["Curve", "curve", "curve_area", "over_seeds"]


@dataclass(frozen=True)
class Curve:
    """A measure at several settings, over seeds."""

    at: tuple[float, ...]
    """The settings: missing rates, or pairs per class; rising."""
    points: tuple[Interval, ...]
    """The measure at each, over seeds."""
    area: float
    """Area under the mean over the range of settings, so that a constant gives itself."""
    loss: float
    """Mean at the first setting less mean at the last."""

    @property
    def means(self) -> tuple[float, ...]:
        """Mean at each setting."""
        return tuple(point.mean for point in self.points)


def curve(values: Mapping[float, Sequence[float]], *, log: bool = False) -> Curve:
    """Make a curve of the values of each setting, one value a seed.

    Parameters
    ----------
    values
        By setting, such as ``{0.0: [.97, .98], 0.5: [.95, .94]}``.
    log
        Whether the area is taken over the logarithm of the settings (pairs per class).

    Raises
    ------
    DataError
        If there are no settings, or one has no values.

    Examples
    --------
    >>> found = curve({0.0: [1.0], 0.5: [0.9], 1.0: [0.4]})
    >>> round(found.area, 3), round(found.loss, 2)
    (0.8, 0.6)
    """
    if not values:
        raise DataError("a curve needs at least one setting")
    at = tuple(sorted(float(setting) for setting in values))
    points = tuple(mean_interval(list(values[setting])) for setting in sorted(values))
    means = [point.mean for point in points]
    places = np.log(np.array(at)) if log else np.array(at)
    return Curve(at, points, curve_area(places, means), means[0] - means[-1])


def curve_area(at: Array | Sequence[float], values: Array | Sequence[float]) -> float:
    """Return the area under straight lines between points, over the width of the range.

    Raises
    ------
    DataError
        If lengths differ, places don't rise, or a number isn't finite.
    """
    x, y = as_float64(np.asarray(at)), as_float64(np.asarray(values))
    if x.shape != y.shape or x.ndim != 1 or not x.size:
        raise DataError("a curve needs one value a place", why=f"{x.shape} and {y.shape}")
    check_finite(x, "the places")
    check_finite(y, "the values")
    if x.size == 1:
        return float(y[0])
    if (np.diff(x) <= 0).any():
        raise DataError("the places of a curve must rise")
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (x[-1] - x[0]))


def over_seeds(reports: Sequence[Mapping[str, Any]]) -> dict[str, Interval]:
    """Return mean and interval over seeds of every number that all reports hold.

    Parameters
    ----------
    reports
        Nested JSON objects of the same measures, one a seed.

    Returns
    -------
    dict
        By the path of the number, joined with ``/``: ``retrieval/image->audio/map``.

    Examples
    --------
    >>> found = over_seeds([{"a": {"map": 0.9}}, {"a": {"map": 0.8}}])
    >>> round(found["a/map"].mean, 3), found["a/map"].count
    (0.85, 2)
    """
    if not reports:
        raise DataError("there is no report to take intervals over")
    flat = [dict(_numbers(report, "")) for report in reports]
    names = [name for name in flat[0] if all(name in other for other in flat)]
    return {name: mean_interval([found[name] for found in flat]) for name in names}


def _numbers(value: Any, path: str) -> list[tuple[str, float]]:
    if isinstance(value, Mapping):
        found = []
        for key, inner in value.items():
            found += _numbers(inner, f"{path}/{key}" if path else str(key))
        return found
    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
        return [(path, float(value))]
    return []
