"""The most similar rows by dot product or cosine, for dense vectors and for sparse codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import as_matrix
from isthmus.metrics.sparse_codes import Codes, as_csr, is_sparse_tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Hits", "Measure", "most_similar", "sparse_or_dense"]

Measure = Literal["cosine", "dot"]

_ENTRIES = 1 << 23
"""Scores held at once (64 MB)."""


@dataclass(frozen=True, eq=False)
class Hits:
    """The k most similar documents of each query, best first."""

    index: NDArray[np.int64]
    """Rows of the documents (Q, k)."""
    score: NDArray[np.float64]
    """Their scores (Q, k)."""


def most_similar(
    documents: Codes, queries: Codes, k: int, *, measure: Measure = "cosine", seed: int = 0
) -> Hits:
    """Return the ``k`` most similar of ``documents`` (R, D) for each of ``queries`` (Q, D).

    Brute force over blocks of queries; two sparse sides are multiplied as they are. Documents of
    equal score come in an order drawn with ``seed``, the same for all queries: their place in the
    file, which often follows the labels, must not decide.

    Parameters
    ----------
    documents, queries
        Both sparse codes, or both dense vectors. A row of zeros has cosine 0 to everything.
    k
        Documents a query; at most R.
    measure
        "cosine" or "dot".
    seed
        Seed of the order of equals.

    Raises
    ------
    ConfigError
        If ``k`` is below 1 or above R, or the measure is unknown.
    DataError
        If one side is sparse and the other dense, the widths differ, or a value is not finite.
    """
    if measure not in ("cosine", "dot"):
        raise ConfigError("the measure must be 'cosine' or 'dot'", why=f"got {measure!r}")
    rows = sparse_or_dense(documents, "the documents")
    points = sparse_or_dense(queries, "the queries")
    if isinstance(rows, np.ndarray) != isinstance(points, np.ndarray):
        raise DataError("documents and queries must both be sparse, or both dense")
    if rows.shape[1] != points.shape[1]:
        raise DataError(
            "documents and queries differ in width", why=f"{rows.shape[1]} and {points.shape[1]}"
        )
    count = rows.shape[0]
    if not 1 <= k <= count:
        raise ConfigError(
            "k must be at least 1 and at most the number of documents", why=f"{k} of {count}"
        )
    if measure == "cosine":
        rows, points = _at_length_one(rows), _at_length_one(points)
    order = np.random.default_rng(seed).permutation(count)
    columns = rows[order].T
    found = Hits(np.empty((points.shape[0], k), dtype=np.int64), np.empty((points.shape[0], k)))
    step = max(1, _ENTRIES // count)
    for start in range(0, points.shape[0], step):
        part = slice(start, start + step)
        scores = points[part] @ columns
        dense = scores if isinstance(scores, np.ndarray) else scores.toarray()
        places = _best(dense, k)
        found.score[part] = np.take_along_axis(dense, places, axis=1)
        found.index[part] = order[places]
    return found


def sparse_or_dense(values: Any, name: str) -> Any:
    """Return sparse codes as a CSR array and dense vectors as an array, both float64 (B, D).

    Raises
    ------
    DataError
        As `as_csr` and `as_matrix`.
    """
    if isinstance(values, np.ndarray) or (
        hasattr(values, "detach") and not is_sparse_tensor(values)
    ):
        return as_matrix(values, name)
    return as_csr(values, name).astype(np.float64)


def _at_length_one(rows: Any) -> Any:
    """Divide each row by its length; rows of zeros stay."""
    if isinstance(rows, np.ndarray):
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return _scaled(rows)


def _scaled(rows: csr_array) -> csr_array:
    active = np.diff(rows.indptr)
    squares = np.bincount(
        np.repeat(np.arange(rows.shape[0]), active), rows.data**2, minlength=rows.shape[0]
    )
    scaled = rows.copy()
    scaled.data = rows.data / np.sqrt(np.repeat(squares, active))
    return scaled


def _best(scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return the places of the k largest of each row, falling; of equals the first."""
    found = np.empty((len(scores), k), dtype=np.int64)
    last = scores.shape[1] - k
    for row, values in enumerate(scores):
        enough = np.flatnonzero(values >= np.partition(values, last)[last])
        found[row] = enough[np.argsort(-values[enough], kind="stable")[:k]]
    return found
