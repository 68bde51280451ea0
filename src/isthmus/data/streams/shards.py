"""Several sources as one: the shards of a folder, or any list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from isthmus.data.streams.source import Floats, Ints, VectorSource, fingerprint_of, prepared
from isthmus.errors import DataError

__all__ = ["Shards"]


class Shards:
    """The rows of several sources, one after the other.

    Parameters
    ----------
    parts
        At least one source; all of one width.
    name
        What to call them together.

    Raises
    ------
    DataError
        If there is none, or they differ in width.

    Examples
    --------
    >>> from isthmus.data.streams import open_vectors
    >>> both = Shards([open_vectors(np.zeros((3, 2))), open_vectors(np.ones((4, 2)))])
    >>> both.rows, both.read(2, 4).tolist()
    (7, [[0.0, 0.0], [1.0, 1.0]])
    """

    def __init__(self, parts: Sequence[VectorSource], name: str = "the shards") -> None:
        if not parts:
            raise DataError("there are no shards", where=name)
        first = parts[0]
        for i, part in enumerate(parts):
            if part.dim != first.dim:
                raise DataError(
                    "the shards are of unequal width",
                    where=f"shard {i}: {part.describe()}",
                    why=f"shard 0 is {first.describe()}",
                    fix="embed all of them with the same model, or remove those of another one",
                )
        if len({part.pieces is None for part in parts}) > 1:
            raise DataError(
                "Parquet files can't be mixed with other shards",
                where=name,
                fix="convert them all to one kind",
            )
        self.parts, self.name, self.dim = tuple(parts), name, first.dim
        self.starts: Ints = np.cumsum([0, *(part.rows for part in parts)], dtype=np.int64)

    @property
    def rows(self) -> int:
        """Vectors there are."""
        return int(self.starts[-1])

    @property
    def in_memory(self) -> bool:
        """Whether every part is in memory."""
        return all(part.in_memory for part in self.parts)

    @property
    def pieces(self) -> Ints | None:
        """First rows of the pieces of all parts."""
        pieces = [
            part.pieces + start
            for part, start in zip(self.parts, self.starts, strict=False)
            if part.pieces is not None
        ]
        return np.concatenate(pieces) if pieces else None

    def read(self, start: int, stop: int, out: Floats | None = None) -> Floats:
        """Read a range of rows, across shards, shape (n, D)."""
        out = prepared(stop - start, self.dim, out)
        for i in self._touched(start, stop):
            begin = int(self.starts[i])
            low, high = max(start, begin), min(stop, int(self.starts[i + 1]))
            self.parts[i].read(low - begin, high - begin, out[low - start : high - start])
        return out

    def take(self, rows: Ints, out: Floats | None = None) -> Floats:
        """Read rows by number, shape (n, D)."""
        out = prepared(len(rows), self.dim, out)
        if not len(rows):
            return out
        if self.in_memory and not bool((rows[1:] >= rows[:-1]).all()):
            order = np.argsort(rows, kind="stable")
            out[order] = self.take(rows[order])
            return out
        for i in self._touched(int(rows[0]), int(rows[-1]) + 1):
            low, high = np.searchsorted(rows, self.starts[i : i + 2])
            if low < high:
                self.parts[i].take(rows[low:high] - self.starts[i], out[low:high])
        return out

    def _touched(self, start: int, stop: int) -> Iterator[int]:
        """Yield the numbers of the parts that hold rows of a range."""
        if start < stop:
            first = int(np.searchsorted(self.starts, start, "right")) - 1
            last = int(np.searchsorted(self.starts, stop, "left"))
            yield from range(first, last)

    def where(self, row: int, column: int | None = None) -> str:
        """Name a row as its shard does."""
        i = int(np.searchsorted(self.starts, row, "right")) - 1
        return self.parts[i].where(row - int(self.starts[i]), column)

    def fingerprint(self) -> str:
        """Return a digest of the size and of a few rows."""
        return fingerprint_of(self)

    def describe(self) -> str:
        """Say what is read."""
        count = len(self.parts)
        return (
            f"{self.name}: {self.rows:,} x {self.dim:,} in {count:,} shard{'s' * (count != 1)}; "
            f"the first is {self.parts[0].describe()}"
        )
