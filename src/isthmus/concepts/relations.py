"""Which concepts are nearly the same, and which are active together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.columns import Columns, tidy
from isthmus.concepts.concept import CoFiring, Neighbour
from isthmus.concepts.loops import co_firing_rows
from isthmus.errors import DataError
from isthmus.metrics.arrays import as_matrix

__all__ = ["Relating", "Relations", "relations_of"]

Array = NDArray[Any]
_BLOCK = 256


@dataclass(frozen=True)
class Relating:
    """When two concepts count as related."""

    near: int = 8
    """Neighbours kept at most."""
    cosine: float = 0.5
    """Cosine of two directions from which they are neighbours."""
    together: int = 8
    """Concepts that fire along with one, kept at most."""
    passages: int = 5
    """Passages that two concepts must share at least before anything is said about them."""
    lift: float = 2.0
    """How many times more passages than by chance they must share."""
    parent_share: float = 0.8
    """Share of a concept's passages on which its parent must be active too."""
    parent_size: float = 1.5
    """How many times more passages a parent must have than its child."""


@dataclass(frozen=True, eq=False)
class Relations:
    """What `relations_of` found, one entry a latent."""

    near: list[tuple[Neighbour, ...]]
    """Neighbours by direction, the nearest first."""
    together: list[tuple[CoFiring, ...]]
    """Co-firing concepts, by falling gain in information (shared passages times PMI)."""
    parent: NDArray[np.int64]
    """The parent of each (N,); -1 where there is none."""


def relations_of(columns: Columns, decoder_ND: Array | None, config: Relating) -> Relations:
    """Compare every two concepts by direction and by the passages that they share.

    ``lift = n_ij P / (n_i n_j)`` over P passages. A parent is active on at least ``parent_share``
    of the child's passages, has at least ``parent_size`` times as many, and shares ``lift`` times
    more with it than by chance; the smallest such concept is taken, so that families go from the
    general to the particular. Parents have strictly more passages: there are no circles.

    Parameters
    ----------
    columns
        Codes by latent.
    decoder_ND
        Directions (N, D); None: no neighbours are looked for.

    Raises
    ------
    DataError
        If the decoder has another number of rows or values that are not finite.
    """
    units = None if decoder_ND is None else _units(decoder_ND, columns.latents)
    near: list[tuple[Neighbour, ...]] = []
    together: list[tuple[CoFiring, ...]] = []
    parent = np.full(columns.latents, -1, dtype=np.int64)
    moments = _Moments(columns)
    for start, counts, products in _blocks(columns):
        rows = np.arange(start, start + len(counts))
        own = (np.arange(len(rows)), rows)
        counts[own] = 0  # with itself every concept fires
        if units is not None:
            near += _neighbours(units, rows, products, moments, config)
        else:
            near += [()] * len(rows)
        together += _companions(rows, counts, columns, config)
        parent[rows] = _parents(rows, counts, columns, config)
    return Relations(near, together, parent)


class _Moments:
    """Mean and standard deviation of each latent's activation over all passages."""

    def __init__(self, columns: Columns) -> None:
        owner = np.repeat(np.arange(columns.latents), columns.counts)
        values = columns.values.astype(np.float64)
        self.passages = columns.passages
        self.mean = np.bincount(owner, values, minlength=columns.latents) / columns.passages
        square = np.bincount(owner, values**2, minlength=columns.latents) / columns.passages
        self.deviation = np.sqrt(np.maximum(square - self.mean**2, 0))


def _units(decoder_ND: Array, latents: int) -> NDArray[np.float32]:
    if len(decoder_ND) != latents:
        raise DataError(
            "codes and decoder are not of one dictionary",
            why=f"{latents} columns of codes, {len(decoder_ND)} rows of the decoder",
        )
    rows = as_matrix(decoder_ND, "the decoder")
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    units = np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)
    return np.asarray(units, np.float32)


def _blocks(columns: Columns) -> Iterator[tuple[int, Array, Array]]:
    """Go through shared passages (block, N) and sums of products, a block of latents at a time."""
    csr, latents = columns.csr, columns.latents
    indptr, indices = csr.indptr.astype(np.int64), csr.indices.astype(np.int32)
    activations = csr.data.astype(np.float32)
    for start in range(0, latents, _BLOCK):
        stop = min(start + _BLOCK, latents)
        counts = np.zeros((stop - start, latents), np.int32)
        products = np.zeros((stop - start, latents), np.float32)
        co_firing_rows(
            start,
            stop,
            columns.indptr,
            columns.rows,
            columns.values,
            indptr,
            indices,
            activations,
            counts,
            products,
        )
        yield start, counts, products


def _neighbours(
    units: NDArray[np.float32], rows: Array, products: Array, moments: _Moments, config: Relating
) -> list[tuple[Neighbour, ...]]:
    cosines = units[rows] @ units.T
    cosines[np.arange(len(rows)), rows] = -1
    found = []
    for j, row, product in zip(rows, cosines, products, strict=True):
        ids = np.flatnonzero(row >= config.cosine)
        ids = ids[np.argsort(-row[ids], kind="stable")][: config.near]
        spread = moments.deviation[j] * moments.deviation[ids]
        joint = product[ids] / moments.passages - moments.mean[j] * moments.mean[ids]
        same = np.divide(joint, spread, out=np.zeros(len(ids)), where=spread > 0).clip(-1, 1)
        cosine = np.minimum(row[ids].astype(np.float64), 1)
        parts = zip(ids.tolist(), tidy(cosine).tolist(), tidy(same).tolist(), strict=True)
        found.append(tuple(Neighbour(*part) for part in parts))
    return found


def _companions(
    rows: Array, counts: Array, columns: Columns, config: Relating
) -> list[tuple[CoFiring, ...]]:
    found = []
    size = columns.counts
    for j, shared in zip(rows, counts, strict=True):
        ids = np.flatnonzero(shared >= config.passages)
        lift = shared[ids] * (columns.passages / max(int(size[j]), 1)) / size[ids]
        ids, lift = ids[lift >= config.lift], lift[lift >= config.lift]
        gain = shared[ids] * np.log2(lift)
        order = np.argsort(-gain, kind="stable")[: config.together]
        ids, lift = ids[order], lift[order]
        parts = zip(
            ids.tolist(),
            shared[ids].tolist(),
            tidy(lift).tolist(),
            tidy(np.log2(lift)).tolist(),
            strict=True,
        )
        found.append(tuple(CoFiring(*part) for part in parts))
    return found


def _parents(rows: Array, counts: Array, columns: Columns, config: Relating) -> Array:
    size = columns.counts
    own = size[rows][:, None]
    fits = counts >= np.maximum(config.parent_share * own, config.passages)
    parent = np.full(len(rows), -1, dtype=np.int64)
    for at in np.flatnonzero(fits.any(axis=1)):
        ids = np.flatnonzero(fits[at])
        n = int(size[rows[at]])
        ids = ids[size[ids] >= max(config.parent_size * n, n + 1)]
        lift = counts[at, ids] * (columns.passages / n) / size[ids]
        ids = ids[lift >= config.lift]
        if ids.size:  # the smallest; of equals the one that shares more, then the first
            parent[at] = ids[np.lexsort((ids, -counts[at, ids], size[ids]))[0]]
    return parent
