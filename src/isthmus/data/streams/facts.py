"""What is known about vectors before training on them: one pass, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.data.streams.held import chosen_rows
from isthmus.data.streams.source import (
    Floats,
    Ints,
    VectorSource,
    bad_value,
    rows_with_bad_values,
)
from isthmus.errors import DataError

__all__ = ["VectorFacts", "checked"]

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, eq=False)
class VectorFacts:
    """What one pass over vectors found."""

    rows: int
    """Rows of the source."""
    dim: int
    """Values of a vector, D."""
    seen: int
    """Rows that were looked at and are free of bad values; all numbers below are of these."""
    mean: NDArray[np.float64]
    """The mean vector, shape (D,)."""
    variance: float
    """Mean squared distance from the mean vector, summed over columns: what FVU divides by."""
    mean_norm: float
    """The mean length of the vectors."""
    norms: tuple[float, float]
    """The smallest and the largest length."""
    constant_columns: Ints
    """Columns whose values are all the same."""
    duplicates: int
    """Rows that are exact copies of an earlier row that was looked at."""
    bad_rows: int
    """Rows with NaN or infinite values among those looked at."""
    notes: tuple[str, ...]
    """What a reader of results should know."""


def checked(
    source: VectorSource, sample_rows: int = 1_000_000, *, drop_bad: bool = False, seed: int = 0
) -> VectorFacts:
    """Look at vectors: all of them, or a seeded sample where there are more than ``sample_rows``.

    Parameters
    ----------
    source
        Where rows come from.
    sample_rows
        Rows to look at, at most. Memory grows by 8 bytes for each, to find duplicates.
    drop_bad
        Count rows with NaN or infinite values instead of refusing them.
    seed
        Seed of the sample.

    Returns
    -------
    VectorFacts
        Sums are taken in float64, by chunks, as Chan, Golub and LeVeque (1979) merge them.

    Raises
    ------
    DataError
        If there are fewer than 2 rows free of bad values, or, without ``drop_bad``, any bad
        row, named.

    Examples
    --------
    >>> from isthmus.data.streams import open_vectors
    >>> facts = checked(open_vectors(np.array([[3.0, 4.0], [3.0, 0.0], [3.0, 4.0]])))
    >>> facts.mean.round(3).tolist(), round(facts.variance, 3), facts.mean_norm
    ([3.0, 2.667], 3.556, 4.333333333333333)
    >>> for note in facts.notes:
    ...     print(note)
    1 of 2 columns never changes: 0.
    1 of the 3 rows is an exact copy of an earlier one.
    The vectors are not normalised: their lengths run from 3 to 5.
    """
    sums, bad, first_bad = _Sums(source.dim, seed), 0, None
    for numbers, values in _chunks(source, sample_rows, seed):
        wrong = rows_with_bad_values(values)
        if len(wrong):
            first_bad = first_bad or (int(numbers[wrong[0]]), values[wrong[0]].copy())
            bad += len(wrong)
            values = np.delete(values, wrong, axis=0)
        sums.add(values)
    looked = sums.rows + bad
    of = f"the {looked:,} rows" + ("" if looked == source.rows else " looked at")
    if first_bad is not None and not drop_bad:
        raise bad_value(source, *first_bad, f"; {bad:,} of {of} {_are(bad, 'do', 'does')}")
    if sums.rows < 2:
        raise DataError(
            "there are fewer than 2 vectors free of NaN and infinite values",
            where=source.describe(),
            why="a dictionary learns from differences between vectors",
        )
    return sums.facts(source, bad, of)


class _Sums:
    """Running sums over chunks of rows."""

    def __init__(self, dim: int, seed: int) -> None:
        self.rows = 0
        self.mean, self.squares = np.zeros(dim), np.zeros(dim)
        self.low, self.high = np.full(dim, np.inf), np.full(dim, -np.inf)
        self.norm, self.norms = 0.0, (np.inf, 0.0)
        generator = np.random.default_rng(seed)
        self.factors = generator.integers(0, 1 << 64, (2, dim + 1), np.uint64)
        self.hashes: list[NDArray[np.uint64]] = []

    def add(self, values: Floats) -> None:
        """Take in a chunk, shape (n, D)."""
        n = len(values)
        if not n:
            return
        wide = values.astype(np.float64)
        lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        self.norm += float(lengths.sum())
        self.norms = min(self.norms[0], lengths.min()), max(self.norms[1], lengths.max())
        np.minimum(self.low, values.min(axis=0), out=self.low)
        np.maximum(self.high, values.max(axis=0), out=self.high)
        self.hashes.append(_hashes(values, self.factors))
        mean = wide.mean(axis=0)
        wide -= mean
        squares, step = np.einsum("nd,nd->d", wide, wide), mean - self.mean
        total = self.rows + n
        self.squares += squares + step**2 * (self.rows * n / total)
        self.mean += step * (n / total)
        self.rows = total

    def facts(self, source: VectorSource, bad: int, of: str) -> VectorFacts:
        """Sum up."""
        constant = np.flatnonzero(self.low == self.high)
        duplicates = self.rows - len(np.unique(np.concatenate(self.hashes)))
        norms = float(self.norms[0]), float(self.norms[1])
        notes = [
            *_note_constant(constant, source.dim),
            *_note_duplicates(duplicates, of),
            *_note_norms(norms),
        ]
        if bad:
            notes.append(
                f"{bad:,} of {of} {_are(bad, 'hold', 'holds')} NaN or infinite values, and "
                f"{_are(bad, 'are', 'is')} left out."
            )
        if self.rows + bad < source.rows:
            notes.append(f"{of[0].upper()}{of[1:]} are a sample of {source.rows:,}.")
        return VectorFacts(
            rows=source.rows,
            dim=source.dim,
            seen=self.rows,
            mean=self.mean,
            variance=float(self.squares.sum() / self.rows),
            mean_norm=self.norm / self.rows,
            norms=norms,
            constant_columns=constant,
            duplicates=duplicates,
            bad_rows=bad,
            notes=tuple(notes),
        )


def _chunks(source: VectorSource, most: int, seed: int) -> Iterator[tuple[Ints, Floats]]:
    """Yield row numbers and rows, ascending, a few at a time."""
    step = max(1, _CHUNK_BYTES // (4 * source.dim))
    if source.rows <= most:
        for start in range(0, source.rows, step):
            stop = min(start + step, source.rows)
            yield np.arange(start, stop), source.read(start, stop)
        return
    sample = chosen_rows(source.rows, most, np.random.default_rng(seed), source.pieces)
    for start in range(0, sample.rows, step):
        numbers = sample.numbers(start, min(start + step, sample.rows))
        yield numbers, source.take(numbers)


def _hashes(values: Floats, factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row, shape (n,).

    Two 32-bit multilinear hashes side by side; each is strongly universal: the upper half of
    ``c_0 + sum_i c_i x_i`` mod 2^64 with random c (Lemire and Kaser, 2014). Among a million
    different rows, two share a hash with probability 3e-8.
    """
    bits = (values + np.float32(0)).view(np.uint32)  # -0 becomes 0
    upper = [
        (np.einsum("nd,d->n", bits, row[1:], dtype=np.uint64, casting="safe") + row[0])
        >> np.uint64(32)
        for row in factors
    ]
    return np.asarray((upper[0] << np.uint64(32)) | upper[1], np.uint64)


def _are(count: int, many: str, one: str) -> str:
    return one if count == 1 else many


def _note_constant(columns: Ints, dim: int) -> list[str]:
    if not len(columns):
        return []
    shown = ", ".join(map(str, columns[:10])) + (", ..." if len(columns) > 10 else "")
    word = _are(len(columns), "change", "changes")
    return [f"{len(columns):,} of {dim:,} columns never {word}: {shown}."]


def _note_duplicates(count: int, of: str) -> list[str]:
    if not count:
        return []
    words = _are(count, "are exact copies", "is an exact copy")
    return [f"{count:,} of {of} {words} of an earlier one."]


def _note_norms(norms: tuple[float, float]) -> list[str]:
    if abs(norms[0] - 1) < 1e-2 and abs(norms[1] - 1) < 1e-2:
        return []
    span = f"their lengths run from {norms[0]:.4g} to {norms[1]:.4g}"
    return [f"The vectors are not normalised: {span}."]
