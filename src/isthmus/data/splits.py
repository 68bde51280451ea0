"""Seeded splits as row positions: disjoint, complete, and nothing copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError

__all__ = ["carve", "held_out_sizes"]

Array = NDArray[Any]
_OFFICIAL_SHARE, _OFFICIAL_MOST, _SHARE = 0.05, 5000, 0.1


def held_out_sizes(
    n: int, validation: float | None, test: float | None, *, has_test: bool, has_validation: bool
) -> tuple[int, int]:
    """Return how many of ``n`` samples validation and test get.

    Parameters
    ----------
    n
        Samples there are to divide.
    validation, test
        A share below 1, or a number of samples; None: the default.
    has_test, has_validation
        Whether the source brings that split itself; then nothing is carved for it.

    Raises
    ------
    ConfigError
        If nothing would be left to train on.
    """
    share = min(_OFFICIAL_SHARE, _OFFICIAL_MOST / n) if has_test else _SHARE
    n_validation = 0 if has_validation else _count(n, share if validation is None else validation)
    n_test = 0 if has_test else _count(n, _SHARE if test is None else test)
    if n_validation + n_test >= n and n_validation == n_test == 1 and validation is None:
        n_validation = 0  # two samples: one to train on, one to test
    if n_validation + n_test >= n:
        raise ConfigError(
            "no sample is left to train on",
            where=f"validation {n_validation:,} and test {n_test:,} of {n:,} samples",
            fix="choose smaller splits",
        )
    return n_validation, n_test


def _count(n: int, share: float) -> int:
    """Turn a share or a number into a number; a share above 0 gives at least one."""
    if share >= 1:
        return int(share)
    return max(1, round(share * n)) if share > 0 else 0


def carve(
    rows: Array, n_validation: int, n_test: int, seed: int, labels: Array | None = None
) -> tuple[Array, Array, Array]:
    """Divide ``rows`` by a seeded permutation.

    Parameters
    ----------
    rows
        Row positions, shape (N,).
    n_validation, n_test
        How many go to each.
    seed
        The same seed gives the same splits.
    labels
        Class numbers of ``rows``, shape (N,), to keep the share of each class; None: plain.

    Returns
    -------
    tuple
        Rows of train, validation and test, each in ascending order.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(rows))
    if labels is not None:
        order = _spread_classes(order, labels)
    held = n_validation + n_test
    test, validation, train = order[:n_test], order[n_test:held], order[held:]
    return tuple(np.sort(rows[part]) for part in (train, validation, test))  # type: ignore[return-value]


def _spread_classes(order: Array, labels: Array) -> Array:
    """Reorder so that every stretch holds the classes in their overall shares.

    The k-th of the n members of a class gets the position (k + 1/2) / n; sorted by position,
    any prefix holds each class in proportion.
    """
    position = np.empty(len(order))
    shuffled = labels[order]
    for label in np.unique(labels):
        members = np.flatnonzero(shuffled == label)
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.asarray(order[np.argsort(position, kind="stable")])
