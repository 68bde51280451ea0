"""What data must withstand before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.dataset import Samples
from isthmus.errors import DataError

__all__ = [
    "Scan",
    "check_size",
    "constant_columns",
    "gigabytes",
    "refuse_bad",
    "repeated_across",
    "scan",
]

Array = NDArray[Any]
_HASHED_BYTES = 1 << 26


@dataclass(frozen=True)
class Scan:
    """What one pass over float values found."""

    low: float
    """The smallest finite value."""
    high: float
    """The largest finite value."""
    bad: Array
    """Positions of samples that hold a NaN or an infinite value, int64."""
    first: tuple[int, int, str] | None
    """Sample, position in the flattened sample, and ``NaN`` or ``infinite`` of the first one."""
    count: int
    """How many values are NaN or infinite."""


def check_size(needed: int, limit: int, *, where: str, what: str = "the data") -> None:
    """Refuse before memory is spent.

    Raises
    ------
    DataError
        If ``needed`` bytes exceed ``limit``.
    """
    if needed > limit:
        raise DataError(
            f"{what} would take {gigabytes(needed)} in memory; the limit is {gigabytes(limit)}",
            where=where,
            fix="raise the limit with limit=... or ISTHMUS_LIMIT (bytes), use fewer samples, "
            "or store them as .npy, which is read from the disk as needed",
        )


def gigabytes(count: int) -> str:
    """Write a number of bytes for people."""
    for size, unit in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"


def scan(samples: Samples) -> Scan:
    """Look at every value once, chunk by chunk, as the model would see it (float32)."""
    low, high, count, start = np.inf, -np.inf, 0, 0
    first: tuple[int, int, str] | None = None
    bad: list[Array] = []
    for chunk in samples.chunks():
        ends = chunk.min(), chunk.max()
        with np.errstate(over="ignore"):
            fine = bool(np.isfinite(np.array(ends).astype(np.float32)).all())
        if fine:
            low, high = min(low, float(ends[0])), max(high, float(ends[1]))
        else:
            flat = chunk.reshape(len(chunk), -1)
            with np.errstate(over="ignore"):
                broken = ~np.isfinite(flat.astype(np.float32))
            rows = np.flatnonzero(broken.any(axis=1))
            if first is None:
                column = int(broken[rows[0]].argmax())
                word = "NaN" if np.isnan(flat[rows[0], column]) else "infinite"
                first = (start + int(rows[0]), column, word)
            count += int(broken.sum())
            bad.append(rows + start)
            good = flat[~broken]
            if good.size:
                low, high = min(low, float(good.min())), max(high, float(good.max()))
        start += len(chunk)
    return Scan(low, high, np.concatenate(bad) if bad else np.empty(0, np.int64), first, count)


def refuse_bad(
    found: Scan,
    where: str,
    row_names: Array | None,
    feature_names: Sequence[str] | None,
    rows: int,
) -> None:
    """Raise :class:`DataError` that names the first NaN or infinite value, and how many."""
    if found.first is None:
        return
    row, column, word = found.first
    named = f" ({feature_names[column]})" if feature_names else ""
    line = row if row_names is None else int(row_names[row])
    raise DataError(
        f"{found.count:,} value{'s are' if found.count > 1 else ' is'} NaN or infinite, "
        f"in {len(found.bad):,} of {rows:,} rows",
        where=f"{where}, row {line}, column {column}{named} is the first: {word}",
        why="one such value would make every loss NaN",
        fix="fill or remove them, or leave those rows out with drop_bad_rows=True",
    )


def constant_columns(samples: Samples) -> int:
    """Count the values of a sample that are the same in all samples; stops when none is left."""
    first = samples.raw(slice(0, 1)).reshape(-1)
    alive = np.arange(len(first))
    # a short first look spares most of the work: few columns survive it
    for chunk in chain([samples.raw(slice(0, 64))], samples.chunks()):
        if not len(alive):
            break
        flat = chunk.reshape(len(chunk), -1)
        alive = alive[(flat[:, alive] == first[alive]).all(axis=0)]
    return len(alive)


def repeated_across(splits: Mapping[str, Samples]) -> dict[str, int]:
    """Count, for each split but ``train``, samples that are byte for byte also in ``train``.

    Returns nothing, and does no work, where the splits hold more than 64 MiB.
    """
    train = splits["train"]
    bytes_each = int(np.prod(train.shape)) * train.values.dtype.itemsize
    if bytes_each * sum(len(part) for part in splits.values()) > _HASHED_BYTES:
        return {}
    known = {hash(row.tobytes()) for chunk in train.chunks() for row in chunk}
    return {
        name: sum(hash(row.tobytes()) in known for chunk in part.chunks() for row in chunk)
        for name, part in splits.items()
        if name != "train"
    }
