"""Vectors in an endpoint's answer, checked before anybody computes with them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import RemoteError
from isthmus.remote.failures import rubbish

__all__ = ["RemoteVectorError", "read_vectors"]


class RemoteVectorError(RemoteError):
    """A vector of an endpoint's that is not finite.

    Parameters
    ----------
    number
        The number of its text, from 0.
    where, why
        As for every error.
    """

    def __init__(self, number: int, *, where: str, why: str) -> None:
        self.number = number
        super().__init__(
            f"the vector of text {number} is not finite",
            where=where,
            why=why,
            fix="look at that text (counted from 0), and at the server's numeric precision",
        )

    def renumbered(self, number: int) -> RemoteVectorError:
        """Return the same error under the number that the text has for whoever asked."""
        return RemoteVectorError(number, where=self.where, why=self.why)


def read_vectors(answer: dict[str, Any], count: int, first: int, url: str) -> NDArray[np.float32]:
    """Return the vectors (count, D) of an answer to ``/embeddings``, in the order of the texts.

    Parameters
    ----------
    answer
        The JSON object; its ``data`` hold lists of numbers, or float32 in base64.
    count
        How many texts were sent.
    first
        The number of the first of them, for messages.
    url
        For messages.

    Raises
    ------
    RemoteError
        If vectors are missing, too many, stand twice, differ in width, or hold anything but
        numbers: with the number of the text.
    RemoteVectorError
        If one is not finite.
    """
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise rubbish(url, 'it has no list of objects under "data"')
    if len(data) != count:
        raise rubbish(url, f"it holds {len(data)} vectors for {count} texts")
    order = _order(data, url)
    rows = [_row(data[place].get("embedding"), first + i, url) for i, place in enumerate(order)]
    width = len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != width:
            why = f"text {first + i} has {len(row)} numbers, text {first} has {width}"
            raise rubbish(url, why)
    vectors = np.stack(rows)
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        number = first + int(np.flatnonzero(broken)[0])
        why = f"{int(broken.sum())} of {count} vectors hold NaN or infinite numbers"
        raise RemoteVectorError(number, where=url, why=why)
    return vectors


def _order(data: Sequence[dict[str, Any]], url: str) -> list[int]:
    """Return where the vector of each text stands; servers may send them in any order."""
    named = [item.get("index") for item in data]
    if all(index is None for index in named):
        return list(range(len(data)))
    whole = all(isinstance(index, int) and not isinstance(index, bool) for index in named)
    if not whole or sorted(named) != list(range(len(data))):  # type: ignore[type-var]
        raise rubbish(url, f'the numbers under "index" are not 0 to {len(data) - 1}, each once')
    return sorted(range(len(data)), key=lambda place: int(data[place]["index"]))


def _row(value: Any, text: int, url: str) -> NDArray[np.float32]:
    if isinstance(value, str):
        return _from_base64(value, text, url)
    if not isinstance(value, list) or not value:
        raise rubbish(url, f"the vector of text {text} is no list of numbers")
    if isinstance(value[0], list):
        fix = "have the server pool the tokens (llama.cpp: --pooling mean)"
        raise rubbish(url, f"text {text} has a vector for each token", fix)
    numbers = [float("nan") if item is None else item for item in value]  # null is NaN in JSON
    if not all(type(item) in (int, float) for item in numbers):
        raise rubbish(url, f"the vector of text {text} holds something that is no number")
    try:
        with np.errstate(over="ignore"):
            return np.array(numbers, dtype=np.float64).astype(np.float32)
    except OverflowError as error:
        raise rubbish(url, f"the vector of text {text} holds a number beyond all bounds") from error


def _from_base64(value: str, text: int, url: str) -> NDArray[np.float32]:
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise rubbish(url, f"the vector of text {text} is damaged base64") from error
    if not raw or len(raw) % 4:
        raise rubbish(url, f"the vector of text {text} is {len(raw)} bytes, no row of float32")
    return np.frombuffer(raw, dtype="<f4").astype(np.float32)
