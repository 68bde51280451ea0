"""How the loops of the postings are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["strict"]


def strict(function: Callable[..., Any]) -> Any:
    """Compile with sums in the order they are written, and -0.0 kept apart from 0.0.

    Scores are the same to the bit on every machine. The machine code is kept for the next start
    where a folder can be written; the interpreter's lock is released.
    """
    options: Any = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(**options)(function)
