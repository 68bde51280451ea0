"""Items of several modalities, and the tables that say which belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.dataset import SPLITS
from isthmus.data.modalities.base import Adapter
from isthmus.data.multimodal.drawing import class_pairs, few_pairs
from isthmus.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

__all__ = ["PAIR_RULES", "Batch", "ModalityData", "MultimodalData", "Numbers"]

Numbers = NDArray[np.int64]
PAIR_RULES = ("class", "table", "few")
"""How training rows are made: drawn anew each epoch by class; the fixed table, shuffled; or the
few rows that are paired mixed with the many that are not."""


@dataclass(frozen=True, eq=False)
class ModalityData:
    """The items of one modality."""

    adapter: Adapter
    """How raw items became these, and how they come back; fitted to training items."""
    items: torch.Tensor
    """Transformed items, shape (n, *adapter.shape)."""
    labels: Numbers
    """Class of each item, shape (n,), int64; -1: unknown."""
    split: NDArray[np.uint8]
    """0 training, 1 validation, 2 test; shape (n,), uint8."""
    factors: Mapping[str, Numbers] = field(default_factory=dict)
    """What else is known of each item (speaker, template), by name: int64 (n,), -1 unknown."""
    factor_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What the numbers of each factor are called."""
    names: tuple[str, ...] = ()
    """What each item is called, such as its file; none: by its number."""
    contents: str = ""
    """Digest of the raw items, where they are the user's own files."""

    def __post_init__(self) -> None:
        columns: dict[str, NDArray[Any]] = {"labels": self.labels, "split": self.split}
        columns |= self.factors
        for name, values in columns.items():
            if values.shape != (len(self.items),):
                raise DataError(
                    f"the modality {self.adapter.name!r} has {len(self.items):,} items",
                    where=name,
                    why=f"there are {values.shape} of these",
                )
        if tuple(self.items.shape[1:]) != tuple(self.adapter.shape):
            raise DataError(
                f"the items of {self.adapter.name!r} do not have the adapter's shape",
                where=f"{tuple(self.items.shape[1:])} and {tuple(self.adapter.shape)}",
            )

    def __len__(self) -> int:
        return len(self.items)

    def rows(self, split: str) -> Numbers:
        """Return the numbers of the items of a split, int64, in order."""
        return np.flatnonzero(self.split == split_number(split))

    def name_of(self, item: int) -> str:
        """Return what an item is called."""
        return self.names[item] if self.names else f"{self.adapter.name} {item}"


@dataclass(frozen=True, eq=False)
class Batch:
    """A few rows of a pair table with their items; what is missing is zeros and masked."""

    items: Mapping[str, torch.Tensor]
    """By modality, shape (B, *shape); zeros where missing."""
    mask: Mapping[str, torch.Tensor]
    """By modality, shape (B,), bool: whether the item is there."""
    labels: torch.Tensor
    """Class of each row, shape (B,), int64; -1: unknown."""
    rows: torch.Tensor
    """Item numbers, shape (B, M), int64, columns in the order of ``items``; -1: missing."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class MultimodalData:
    """Several modalities, their splits, and which items belong together."""

    name: str
    """A short name, such as ``digit-trio``."""
    source: str
    """Where the data came from, in words."""
    modalities: Mapping[str, ModalityData]
    """By name; the order is that of the columns of every table."""
    pairs: Mapping[str, Numbers]
    """Fixed tables by split: item numbers, shape (rows, M), int64; -1: missing."""
    pair_rule: str = "table"
    """How training rows are made, one of ``PAIR_RULES``."""
    classes: tuple[str, ...] = ()
    """Names of the classes."""
    epoch_rows: int = 30_000
    """Rows of an epoch where they are drawn."""
    hide_unpaired: bool = False
    """Whether rows with a single modality hide their class: unpaired data have no labels."""
    notes: tuple[str, ...] = ()
    """What a reader of results should know."""

    def __post_init__(self) -> None:
        if self.pair_rule not in PAIR_RULES:
            raise ConfigError(f"unknown rule {self.pair_rule!r}", fix=f"one of {PAIR_RULES}")
        if not self.modalities:
            raise DataError("a data set needs at least one modality", where=self.name)
        unknown = sorted(set(self.pairs) - set(SPLITS))
        if unknown or "train" not in self.pairs:
            raise DataError("pair tables belong to train, validation and test", where=self.name)
        for split, table in self.pairs.items():
            self._check(split, table)

    def _check(self, split: str, table: Numbers) -> None:
        """Refuse a table that points nowhere, crosses splits, or has a row with nothing."""
        where = f"{self.name}, {split}"
        if table.ndim != 2 or table.shape[1] != len(self.modalities) or table.dtype != np.int64:
            raise DataError(
                "a pair table has a column of item numbers for each modality",
                where=f"{where}: {table.shape} of {table.dtype}, {len(self.modalities)} modalities",
            )
        for column, (name, modality) in zip(table.T, self.modalities.items(), strict=True):
            if column.size and (column.min() < -1 or column.max() >= len(modality)):
                raise DataError("a pair table names an item that is not there", where=where)
            crossed = modality.split[column[column >= 0]] != split_number(split)
            if crossed.any():
                raise DataError(
                    f"{int(crossed.sum()):,} pairs cross splits", where=f"{where}, {name}"
                )
        empty = np.flatnonzero((table < 0).all(axis=1))
        if len(empty):
            raise DataError("a row has no modality at all", where=f"{where}, row {empty[0]}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the tables' columns."""
        return tuple(self.modalities)

    def __getitem__(self, name: str) -> ModalityData:
        try:
            return self.modalities[name]
        except KeyError:
            raise ConfigError(
                f"there is no modality called {name!r}",
                where=self.name,
                fix=f"choose one of: {', '.join(self.modalities)}",
            ) from None

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(data):,}" for name, data in self.modalities.items())
        return f"MultimodalData({self.name!r}, {parts}, pairs by {self.pair_rule})"

    @property
    def digest(self) -> str:
        """SHA-256 of classes, splits, labels, pairs, how they are drawn, and users' own files."""
        found = hashlib.sha256()
        found.update("\0".join([*self.names, self.pair_rule, *self.classes]).encode())
        found.update(f"{self.epoch_rows} {self.hide_unpaired}".encode())
        for modality in self.modalities.values():
            found.update(modality.split.astype("u1").tobytes())
            found.update(modality.labels.astype("<i8").tobytes())
            found.update(modality.contents.encode())
        for split in SPLITS:
            if split in self.pairs:
                found.update(split.encode() + self.pairs[split].astype("<i8").tobytes())
        return found.hexdigest()

    def table(self, split: str, seed: int = 0, epoch: int = 0) -> Numbers:
        """Return the rows of an epoch as item numbers, shape (rows, M), int64.

        Parameters
        ----------
        split
            ``train`` is made by ``pair_rule`` and shuffled; others are their fixed tables.
        seed, epoch
            What the training rows are drawn from: the same give the same rows.

        Raises
        ------
        ConfigError
            If there is no such split.
        """
        if split not in self.pairs:
            raise ConfigError(
                f"there is no split called {split!r}", fix=f"choose one of: {', '.join(self.pairs)}"
            )
        fixed = self.pairs[split]
        if split != "train":
            return fixed
        if self.pair_rule == "class":
            columns = [(data.rows("train"), data.labels) for data in self.modalities.values()]
            return class_pairs(columns, self.epoch_rows, [seed, epoch])
        if self.pair_rule == "few":
            return few_pairs(fixed, self.epoch_rows, [seed, epoch])
        return fixed[np.random.default_rng([seed, epoch]).permutation(len(fixed))]

    def row_labels(self, table: Numbers) -> Numbers:
        """Return the class of each row: that of its first item whose class is known, or -1."""
        found = np.full(len(table), -1, np.int64)
        for column, data in zip(table.T, self.modalities.values(), strict=True):
            labels = np.where(column >= 0, data.labels[column], -1) if len(data) else found
            found = np.where(found < 0, labels, found)
        if self.hide_unpaired:
            found[(table >= 0).sum(axis=1) < 2] = -1
        return found

    def batch(self, table: Numbers) -> Batch:
        """Return the items of some rows of a table, shape (B, M)."""
        import torch

        items, mask = {}, {}
        for column, (name, data) in zip(table.T, self.modalities.items(), strict=True):
            there = torch.from_numpy(column >= 0)
            taken = data.items[torch.from_numpy(np.maximum(column, 0))]
            if not bool(there.all()):
                taken[~there] = 0
            items[name], mask[name] = taken, there
        labels = torch.from_numpy(self.row_labels(table))
        return Batch(items, mask, labels, torch.from_numpy(np.ascontiguousarray(table)))

    def batches(
        self, split: str, size: int, *, seed: int = 0, epoch: int = 0, drop_last: bool = False
    ) -> Iterator[Batch]:
        """Yield an epoch in batches of ``size`` rows.

        Parameters
        ----------
        split, seed, epoch
            As for :meth:`table`.
        size
            Rows a batch.
        drop_last
            Whether a last batch of fewer rows is left out.
        """
        if size < 1:
            raise ConfigError("a batch has at least one row", where=f"size={size}")
        table = self.table(split, seed, epoch)
        for begin in range(0, len(table), size):
            if drop_last and begin + size > len(table):
                return
            yield self.batch(table[begin : begin + size])

    def only(self, names: Sequence[str]) -> MultimodalData:
        """Return the data with some of the modalities, in the order given.

        Rows of which nothing is left go.

        Raises
        ------
        ConfigError
            If one is unknown or named twice.
        """
        chosen = {name: self[name] for name in names}
        if not chosen or len(chosen) != len(names):
            raise ConfigError("name each modality once, and at least one", where=f"{list(names)}")
        columns = [self.names.index(name) for name in chosen]
        pairs = {}
        for split, table in self.pairs.items():
            left = table[:, columns]
            pairs[split] = np.ascontiguousarray(left[(left >= 0).any(axis=1)])
        return replace(self, modalities=chosen, pairs=pairs)


def split_number(split: str) -> int:
    """Return 0, 1 or 2 for ``train``, ``validation`` or ``test``.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if split not in SPLITS:
        raise ConfigError(f"there is no split called {split!r}", fix=f"one of {', '.join(SPLITS)}")
    return SPLITS.index(split)
