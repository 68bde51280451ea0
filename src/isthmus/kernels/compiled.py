"""How the loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled"]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile, keeping the machine code for the next start where a folder can be written.

    The code releases the interpreter's lock. Divisions need no test for zero; sums may be
    reordered, but NaN and infinity keep their sense.
    """
    options: Any = {"nogil": True, "error_model": "numpy"}
    options["fastmath"] = {"reassoc", "contract", "nsz"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(**options)(function)
