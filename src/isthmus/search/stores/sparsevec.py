"""pgvector's ``sparsevec`` as text and as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import RemoteError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["LARGEST", "from_bytes", "row_text", "to_text"]

LARGEST = 16_000
"""Non-zeros that one ``sparsevec`` may hold."""


def to_text(indices: NDArray[Any], values: NDArray[Any], latents: int) -> str:
    """Return a vector as it is written in SQL, where indices count from 1.

    Examples
    --------
    >>> to_text(np.array([0, 4]), np.array([0.5, -2], np.float32), 5)
    '{1:0.5,5:-2.0}/5'
    """
    shortest = values.astype(np.float32).astype(str).tolist()
    pairs = zip((indices + 1).tolist(), shortest, strict=True)
    return "{" + ",".join(f"{index}:{value}" for index, value in pairs) + f"}}/{latents}"


def row_text(codes: csr_array, row: int) -> str:
    """Return a row of codes as `to_text` does."""
    part = slice(codes.indptr[row], codes.indptr[row + 1])
    return to_text(codes.indices[part], codes.data[part], codes.shape[1])


def from_bytes(sent: bytes) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Read what ``sparsevec_send`` returns: indices from 0, ascending, and their values.

    Raises
    ------
    RemoteError
        If the bytes are none.
    """
    head = np.frombuffer(sent[:12], ">i4")
    if len(head) != 3 or head[1] < 0 or len(sent) != 12 + 8 * int(head[1]):
        raise RemoteError("the server sent a code that can't be read", why=f"{len(sent)} bytes")
    count = int(head[1])
    indices = np.frombuffer(sent, ">i4", count, 12).astype(np.int32)
    return indices, np.frombuffer(sent, ">f4", count, 12 + 4 * count).astype(np.float32)
