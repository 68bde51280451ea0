"""Texts before embedding and vectors after it: what is let through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.search.embedders.base import Floats

__all__ = ["VectorError", "readable", "unit_rows"]


class VectorError(DataError):
    """A vector that can't be used.

    Parameters
    ----------
    number
        The number of its text, from 0.
    fault
        What it is.
    where, why
        As for every error.
    """

    def __init__(self, number: int, fault: str, *, where: str, why: str = "") -> None:
        self.number, self.fault = number, fault
        super().__init__(
            f"the vector of text {number} {fault}",
            where=where,
            why=why,
            fix="look at that text (counted from 0); try float32, or another embedder",
        )

    def renumbered(self, number: int) -> VectorError:
        """Return the same error under the number that the text has for whoever asked."""
        return VectorError(number, self.fault, where=self.where, why=self.why)


def readable(texts: Sequence[str]) -> list[str]:
    r"""Return texts that UTF-8 can hold, as long as they were: half surrogate pairs become "?".

    Raises
    ------
    ConfigError
        If it is one text instead of several, or holds anything but texts.

    Examples
    --------
    >>> readable(["caf\u00e9", "a\ud800b"])
    ['café', 'a?b']
    """
    if isinstance(texts, str):
        raise ConfigError("a list of texts is needed, not one text", fix="write [text]")
    return [_readable(text, i) for i, text in enumerate(texts)]


def _readable(text: str, number: int) -> str:
    if not isinstance(text, str):
        raise ConfigError(f"text {number} is no text but {type(text).__name__}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def unit_rows(vectors: Floats, whose: str, *, first: int = 0, zeros: bool = False) -> Floats:
    """Return the vectors scaled to length 1, in float32.

    Parameters
    ----------
    vectors
        (n, D), any kind of float.
    whose
        The embedder's name, for messages.
    first
        The number of the first text, for messages.
    zeros
        Whether a vector of zeros may stay; otherwise it is refused.

    Raises
    ------
    VectorError
        If a vector holds NaN or infinity, or nothing but zeros: with the number of its text.

    Examples
    --------
    >>> unit_rows(np.array([[3.0, 4.0]]), "toy")
    array([[0.6, 0.8]], dtype=float32)
    """
    exact = np.asarray(vectors, dtype=np.float64)
    broken = ~np.isfinite(exact).all(axis=1)
    if broken.any():
        number = first + int(np.flatnonzero(broken)[0])
        why = f"{int(broken.sum())} of {len(exact)} vectors hold NaN or infinite numbers"
        raise VectorError(number, "is not finite", where=whose, why=why)
    norms = np.sqrt(np.einsum("nd,nd->n", exact, exact))
    if not zeros and not norms.all():
        number = first + int(np.flatnonzero(norms == 0)[0])
        raise VectorError(number, "is zero, and has no direction", where=whose)
    norms[norms == 0] = 1.0
    return np.asarray(exact / norms[:, None], dtype=np.float32)
