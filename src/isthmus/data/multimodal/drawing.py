"""Pairs drawn by class or from few examples: the tables of item numbers behind every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

__all__ = ["class_pairs", "few_pairs", "fixed_class_pairs", "stable_order"]

Numbers = NDArray[np.int64]
Column = tuple[Numbers, Numbers]
"""The item numbers of a split, and the labels of all items."""


def class_pairs(columns: Sequence[Column], rows: int, seed: Sequence[int]) -> Numbers:
    """Draw rows whose items share a class.

    The largest modality leads: its items come at most once (each as often as any other where
    there are fewer than ``rows``), and items of the same class go with them. Within a class,
    every item is used before one is used again.

    Parameters
    ----------
    columns
        For each modality the item numbers of the split, and the labels of all its items.
    rows
        How many rows.
    seed
        Of the generator, such as (seed, epoch).

    Returns
    -------
    numpy.ndarray
        Shape (rows, M), int64.

    Raises
    ------
    DataError
        If a class of the leading modality has no item in another one, or labels are unknown.
    """
    generator = np.random.default_rng(list(seed))
    return _drawn(columns, rows, generator.permutation)


def fixed_class_pairs(columns: Sequence[Column], rows: int, seed: int) -> Numbers:
    """Draw rows as :func:`class_pairs` does, in a way that no version of numpy changes.

    Only raw bits of PCG64 are used, which numpy promises to keep, so that the table can be
    frozen by its SHA-256.
    """
    bits = np.random.PCG64(seed)
    return _drawn(columns, rows, lambda n: stable_order(n, bits))


def stable_order(n: int, bits: np.random.PCG64) -> Numbers:
    """Return a random order of n things from raw bits alone."""
    return np.argsort(bits.random_raw(n), kind="stable").astype(np.int64)


def _drawn(columns: Sequence[Column], rows: int, permutation: object) -> Numbers:
    shuffled = permutation if callable(permutation) else np.random.permutation
    for i, (items, labels) in enumerate(columns):
        if not len(items) or labels[items].min() < 0:
            raise DataError(
                "pairs by class need items, and the class of every one",
                where=f"modality {i}: {len(items):,} items",
            )
    lead = max(range(len(columns)), key=lambda i: len(columns[i][0]))
    table = np.empty((rows, len(columns)), np.int64)
    items, labels = columns[lead]
    table[:, lead] = items[_cycled(len(items), rows, shuffled)]
    classes = labels[table[:, lead]]
    for i, (others, other_labels) in enumerate(columns):
        if i == lead:
            continue
        for number in np.unique(classes):
            places = np.flatnonzero(classes == number)
            alike = others[other_labels[others] == number]
            if not len(alike):
                raise DataError("a class has no item in one modality", where=f"class {number}")
            table[places, i] = alike[_cycled(len(alike), len(places), shuffled)]
    return table


def _cycled(n: int, wanted: int, permutation: object) -> Numbers:
    """Return ``wanted`` positions below n, every one used before one is used again."""
    if not callable(permutation):
        raise TypeError("permutation must be callable")
    rounds = [permutation(n) for _ in range(-(-wanted // n))]
    return np.concatenate(rounds)[:wanted].astype(np.int64) if rounds else np.empty(0, np.int64)


def few_pairs(table: Numbers, rows: int, seed: Sequence[int], share: float = 0.5) -> Numbers:
    """Mix the few rows that are paired with the many that hold one modality alone.

    Parameters
    ----------
    table
        All rows, shape (R, M); -1 is missing.
    rows
        Rows of the epoch.
    seed
        Of the generator.
    share
        Share of paired rows, which are repeated as often as that takes. The rest is split
        evenly between the modalities that have unpaired rows.
    """
    generator = np.random.default_rng(list(seed))
    there = table >= 0
    paired = np.flatnonzero(there.sum(axis=1) > 1)
    alone = [np.flatnonzero(there[:, m] & (there.sum(axis=1) == 1)) for m in range(table.shape[1])]
    alone = [found for found in alone if len(found)]
    n_paired = rows if not alone else round(rows * share) if len(paired) else 0
    groups = [(paired, n_paired)] if n_paired else []
    for i, found in enumerate(alone):
        left = rows - n_paired
        groups.append((found, (i + 1) * left // len(alone) - i * left // len(alone)))
    chosen = [found[_cycled(len(found), wanted, generator.permutation)] for found, wanted in groups]
    mixed = np.concatenate(chosen)
    return table[mixed[generator.permutation(len(mixed))]]
