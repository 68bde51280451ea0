"""A bounded random subset of rows that stream past, whatever the batches were."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.metrics.arrays import Array, Floats, as_float64

__all__ = ["KeptRows"]


class KeptRows:
    """Keeps every row up to a limit, then a uniform random subset of that size.

    Each row draws a number, in order; those with the least numbers are kept. So the subset depends
    on the seed and the order of the rows, and not on the batches.

    Parameters
    ----------
    limit
        Rows kept at most.
    width
        Numbers a row, kept as float32.
    seed
        Seed of the draw.

    Raises
    ------
    ConfigError
        If ``limit`` is below 1.
    """

    def __init__(self, limit: int, width: int, seed: int = 0) -> None:
        if limit < 1:
            raise ConfigError("at least one row must be kept", why=f"the limit is {limit}")
        self.count = 0
        self._limit, self._draw = limit, np.random.default_rng(seed)
        self._keys: Floats = np.empty(0)
        self._numbers: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._rows: NDArray[np.float32] = np.empty((0, width), dtype=np.float32)

    def update(self, rows: Array) -> None:
        """Take a batch (B, width)."""
        batch = as_float64(rows).astype(np.float32)
        numbers = np.arange(self.count, self.count + len(batch))
        self.count += len(batch)
        self._keys = np.concatenate([self._keys, self._draw.random(len(batch))])
        self._numbers = np.concatenate([self._numbers, numbers])
        self._rows = np.concatenate([self._rows, batch])
        if self._keys.size > self._limit:
            kept = np.argpartition(self._keys, self._limit - 1)[: self._limit]
            self._keys, self._numbers = self._keys[kept], self._numbers[kept]
            self._rows = self._rows[kept]

    def rows(self) -> Floats:
        """Return the kept rows (kept, width) in the order in which they came, as float64."""
        return self._rows[np.argsort(self._numbers)].astype(np.float64)
