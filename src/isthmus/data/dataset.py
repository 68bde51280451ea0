"""What the rest of the house works with: samples, and data sets made of splits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.layout import arranged, integer_labels
from isthmus.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

__all__ = ["SPLITS", "Array", "Dataset", "Samples"]

Array = NDArray[Any]
SPLITS = ("train", "validation", "test")
"""The names of splits, in the order in which they are shown."""

_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class Samples:
    """One split: an array, and the rows of it that belong.

    The array is never copied whole, so it may be memory-mapped and larger than memory.
    """

    values: Array
    """Raw values, shape (rows, *sample shape), any real type; may be a memory map."""
    labels: Array | None = None
    """Class numbers of all rows of ``values``, shape (rows,), int64; None: no labels."""
    rows: Array | None = None
    """Which rows of ``values`` and ``labels`` belong, int64; None: all of them."""

    def __len__(self) -> int:
        return len(self.values) if self.rows is None else len(self.rows)

    def __repr__(self) -> str:
        labelled = "" if self.labels is None else ", labelled"
        return f"Samples({len(self):,} of shape {self.shape}, {self.values.dtype}{labelled})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.values.shape[1:])

    def raw(self, index: torch.Tensor | Array | slice) -> Array:
        """Return the samples at ``index`` in their stored type; a copy, except for some slices."""
        chosen = index if isinstance(index, slice) else np.asarray(index)
        if self.rows is not None:
            chosen = self.rows[chosen]
        if isinstance(chosen, slice) or chosen.dtype == np.bool_:
            return np.asarray(self.values[chosen])
        flags = self.values.flags
        if flags.c_contiguous and flags.aligned:  # else take would first copy the whole array
            return np.asarray(self.values.take(chosen, axis=0))
        return np.asarray(self.values[chosen])

    def batch(self, index: torch.Tensor | Array | slice) -> torch.Tensor:
        """Return the samples at ``index`` as float32 in raw units, shape (B, *sample shape).

        Parameters
        ----------
        index
            Positions within this split, 0 to ``len(self) - 1``, in any order, or a slice.
        """
        import torch

        taken = self.raw(index)
        if taken.dtype == np.uint8 and taken.flags.writeable and taken.flags.c_contiguous:
            return torch.from_numpy(taken).to(torch.float32)  # torch converts bytes in parallel
        if taken.dtype == np.float32 and not isinstance(index, slice):
            return torch.from_numpy(np.ascontiguousarray(taken, dtype=np.float32))
        return torch.from_numpy(np.array(taken, dtype=np.float32, order="C"))

    def all(self) -> torch.Tensor:
        """Return every sample as one float32 tensor in raw units, shape (N, *sample shape)."""
        return self.batch(slice(None))

    def chunks(self, rows: int | None = None) -> Iterator[Array]:
        """Yield the samples in order in their stored type, a few at a time.

        Parameters
        ----------
        rows
            Samples a chunk; None: as many as fill 16 MiB.
        """
        size = max(1, math.prod(self.shape) * self.values.dtype.itemsize)
        step = rows or max(1, _CHUNK_BYTES // size)
        for start in range(0, len(self), step):
            yield self.raw(slice(start, start + step))

    def label_array(self) -> Array | None:
        """Return the class numbers of this split, shape (N,), int64, or None."""
        if self.labels is None or self.rows is None:
            return self.labels
        return np.asarray(self.labels[self.rows])

    def take(self, n: int, seed: int) -> Samples:
        """Return ``n`` of the samples drawn without replacement, in their order; all if fewer."""
        if n >= len(self):
            return self
        chosen = np.random.default_rng(seed).choice(len(self), n, replace=False, shuffle=False)
        chosen.sort()
        return replace(self, rows=chosen if self.rows is None else self.rows[chosen])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Named splits of samples of one shape, with what is known about their values."""

    name: str
    """A short name, such as ``mnist``."""
    source: str
    """Where the data came from, in words."""
    splits: Mapping[str, Samples]
    """``train`` always, ``validation`` and ``test`` where there are any; never overlapping."""
    kind: str
    """``image`` (channels first), ``table`` (named columns) or ``vector``."""
    range: tuple[float, float] | None = None
    """The nominal smallest and largest raw value, such as (0, 255); None: unknown."""
    label_names: tuple[str, ...] | None = None
    """The name of each class number, where classes have names."""
    feature_names: tuple[str, ...] | None = None
    """The name of each column of a table."""
    notes: tuple[str, ...] = ()
    """What a reader of results should know: rows dropped, constant columns, choices made."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.splits) - set(SPLITS))
        if unknown or "train" not in self.splits:
            raise DataError(
                "a data set needs a split called train, and may have validation and test",
                where=f"splits given: {', '.join(map(str, self.splits)) or 'none'}",
            )
        if len({samples.shape for samples in self.splits.values()}) > 1:
            shapes = ", ".join(f"{name} {part.shape}" for name, part in self.splits.items())
            raise DataError("the splits hold samples of different shapes", where=shapes)
        ordered = {name: self.splits[name] for name in SPLITS if name in self.splits}
        object.__setattr__(self, "splits", ordered)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (channels, height, width) of an image, (values,) of a vector."""
        return self.splits["train"].shape

    def __getitem__(self, split: str) -> Samples:
        try:
            return self.splits[split]
        except KeyError:
            raise ConfigError(
                f"there is no split called {split!r}",
                where=self.name,
                fix=f"choose one of: {', '.join(self.splits)}",
            ) from None

    def __contains__(self, split: object) -> bool:
        return split in self.splits

    def __iter__(self) -> Iterator[str]:
        return iter(self.splits)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(part):,}" for name, part in self.splits.items())
        return f"Dataset({self.name!r}, {self.kind} {self.shape}, {sizes})"

    @classmethod
    def from_arrays(
        cls,
        train: object,
        *,
        validation: object = None,
        test: object = None,
        name: str = "arrays",
        kind: str | None = None,
        range: tuple[float, float] | None = None,
        label_names: tuple[str, ...] | None = None,
        feature_names: tuple[str, ...] | None = None,
    ) -> Dataset:
        """Make a data set of splits that are there already; nothing is copied or carved.

        Parameters
        ----------
        train, validation, test
            An array or CPU tensor of samples, or a pair (samples, labels). Arrangement as in
            :func:`isthmus.data.load`: (N, H, W) becomes images (1, H, W).
        name
            The name shown in tables.
        kind
            ``image``, ``table`` or ``vector``; None: decided from the shape.
        range, label_names, feature_names
            As the fields of this class. The range of bytes is taken as (0, 255) if None.

        Raises
        ------
        DataError
            If shapes disagree, labels have another length, or values are not real numbers.
        """
        splits: dict[str, Samples] = {}
        decided = kind
        for split, given in zip(SPLITS, (train, validation, test), strict=True):
            if given is None:
                continue
            values, labels = given if isinstance(given, tuple) else (given, None)
            layout = arranged(np.asarray(values), where=split, kind=kind)
            decided = layout.kind
            if range is None and layout.values.dtype == np.uint8:
                range = (0.0, 255.0)
            numbers = None
            if labels is not None:
                numbers = integer_labels(np.asarray(labels), len(layout.values), where=split)
            splits[split] = Samples(layout.values, numbers)
        return cls(
            name, "arrays in memory", splits, decided or "vector", range, label_names, feature_names
        )

    def binarised(self, seed: int) -> Dataset:
        """Replace each value once by a Bernoulli draw (static binarisation).

        The probability of a one is the value scaled from :attr:`range` to [0, 1]. Draws depend
        on the seed and the split alone. Source: Salakhutdinov and Murray, 2008.

        Parameters
        ----------
        seed
            Seed of the draws.

        Returns
        -------
        Dataset
            Values 0 and 1 as uint8, range (0, 1), held in memory.

        Raises
        ------
        ConfigError
            If the range of the values is unknown.
        DataError
            If a value lies outside the range.
        """
        if self.range is None:
            raise ConfigError(
                "values of unknown range can't be binarised",
                where=self.name,
                why="a value must become a probability between 0 and 1",
                fix="scale the data to [0, 1], or give the range when loading",
            )
        splits = {
            split: _binarised(
                part, self.range, [seed, SPLITS.index(split)], f"{self.name}, {split}"
            )
            for split, part in self.splits.items()
        }
        note = f"Binarised once with seed {seed}: each value is a Bernoulli draw."
        notes = (*self.notes, note)
        return replace(self, splits=splits, range=(0.0, 1.0), notes=notes)


def _binarised(part: Samples, bounds: tuple[float, float], seed: list[int], where: str) -> Samples:
    """Draw one split; chunk by chunk, so that only the result is held whole."""
    generator = np.random.default_rng(seed)
    low, high = bounds
    drawn = np.empty((len(part), *part.shape), np.uint8)
    start = 0
    for chunk in part.chunks():
        probability = (chunk.astype(np.float32) - low) / ((high - low) or 1.0)
        if probability.min() < 0 or probability.max() > 1:
            raise DataError(f"a value lies outside the range {low:g} to {high:g}", where=where)
        stop = start + len(chunk)
        drawn[start:stop] = generator.random(probability.shape, np.float32) < probability
        start = stop
    return Samples(drawn, part.label_array())
