"""Sizes and times as people write them."""

from __future__ import annotations

__all__ = ["bytes_of", "time_of"]


def bytes_of(count: float) -> str:
    """Write a number of bytes.

    Examples
    --------
    >>> bytes_of(12), bytes_of(1_234_567), bytes_of(2.5e10)
    ('12 bytes', '1.23 MB', '25 GB')
    """
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def time_of(seconds: float) -> str:
    """Write a duration.

    Examples
    --------
    >>> time_of(1.25), time_of(300), time_of(7200)
    ('1.25 s', '5 min', '2 h')
    """
    if seconds < 90:
        return f"{seconds:.3g} s"
    if seconds < 5400:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"
