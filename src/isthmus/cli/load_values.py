"""Values of the options of loading data, read from what was typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from isthmus.errors import ConfigError

__all__ = ["read_option"]


def read_option(name: str, value: Any) -> Any:
    """Return the value of an option of loading.

    Raises
    ------
    ConfigError
        If it can't be read.

    Examples
    --------
    >>> read_option("resize", "28x32"), read_option("range", "0,255"), read_option("key", "x")
    ((28, 32), (0.0, 255.0), 'x')
    """
    return _READ[name](value) if name in _READ else value


def _side(value: str) -> int | tuple[int, int]:
    parts = value.lower().split("x")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"--resize can't be {value!r}", fix="give a side (28) or 28x32")
    sides = [int(part) for part in parts]
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _pair(value: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in value.split(","))
    except ValueError as error:
        raise ConfigError(
            f"--range can't be {value!r}", fix="give two numbers, such as 0,255"
        ) from error
    return low, high


def _share(value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(
            f"a split's size can't be {value!r}", fix="give a share (0.1) or a number (500)"
        ) from error


def _seed(value: str) -> int:
    if not value.isdecimal():
        raise ConfigError(f"--split-seed can't be {value!r}", fix="give a whole number")
    return int(value)


def _yes(value: str) -> bool:
    known = {"yes": True, "true": True, "no": False, "false": False}
    if value.lower() not in known:
        raise ConfigError(f"--header can't be {value!r}", fix="give yes or no")
    return known[value.lower()]


def _column(value: str) -> str | int:
    return int(value) if value.isdecimal() else value


_READ: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "resize": _side,
        "header": _yes,
        "range": _pair,
        "validation": _share,
        "test": _share,
        "split_seed": _seed,
        "label_column": _column,
    }
)
