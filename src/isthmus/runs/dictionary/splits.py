"""The parts of some vectors that a dictionary is trained, validated and tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.streams import VectorSource, VectorStream
from isthmus.data.streams.memory import ChosenRows
from isthmus.errors import ConfigError, DataError
from isthmus.runs.dictionary.vectors import Vectors, blocks_of, some_rows
from isthmus.runs.identity import fingerprint
from isthmus.training.dictionary import DictionaryTraining, Together

__all__ = ["MOST_HELD_OUT", "Parts", "held_out_rows", "training_rows"]

Array = NDArray[Any]

MOST_HELD_OUT = 10_000
"""Rows held out at most."""
_BLOCK = 4096
_EVERY = 5
"""One in so many held-out rows is for validation, the others for the test."""


def held_out_rows(vectors: Vectors, training: DictionaryTraining) -> int:
    """Return how many training rows are held out.

    Where the data bring no splits: the share ``held_out``, at most 10,000 and at least 2 (or as
    many as leave 2 to train on). Where they bring a test split and none for validation: a fifth
    of that. Else none.
    """
    rows = vectors.train.rows
    if rows < 2:
        raise DataError(
            "there are fewer than 2 vectors",
            where=vectors.train.describe(),
            why="a dictionary learns from differences between vectors",
        )
    if vectors.validation is not None:
        return 0
    count = min(MOST_HELD_OUT, max(2, round(training.held_out * rows)))
    if vectors.test is not None:
        count = max(1, count // _EVERY)
    return max(0, min(count, rows - 2))


def training_rows(vectors: Vectors, training: DictionaryTraining) -> int:
    """Return how many rows are left to train on."""
    return vectors.train.rows - held_out_rows(vectors, training)


@dataclass(frozen=True, eq=False)
class Parts:
    """A stream of training rows, and what it is never shown.

    Of the rows that are held out, every fifth is for validation (which epoch's weights are kept
    is decided on it) and the others are the test; a single one is the test.
    """

    vectors: Vectors
    """Where they come from."""
    training: DictionaryTraining
    """The settings, complete: the batch size is known."""
    stream: VectorStream
    """The training rows, this process' share of each batch."""
    validation: VectorSource | None
    """Rows for validation."""
    test: VectorSource | None
    """Rows for the test."""

    @classmethod
    def of(
        cls, vectors: Vectors, training: DictionaryTraining, together: Together | None = None
    ) -> Parts:
        """Divide vectors as the settings say.

        Parameters
        ----------
        training
            With a batch size.
        together
            The processes that share each batch.
        """
        place = together or Together()
        count = held_out_rows(vectors, training)
        stream = VectorStream(
            vectors.train,
            training.batch_size,
            training.seed,
            held_out=count,
            split_seed=int(vectors.options.get("seed") or 0),
            rank=place.rank,
            world=place.world,
            drop_bad=training.drop_bad,
        )
        validation, test = vectors.validation, vectors.test
        if count:
            held = ChosenRows(vectors.train, stream.held_out_numbers())
            validation, test = _divided(held) if test is None else (held, test)
        return cls(vectors, training, stream, validation, test)

    def alone(self) -> Parts:
        """Return the same parts as a single process sees them."""
        return Parts.of(self.vectors, self.training)

    @property
    def rows(self) -> Mapping[str, int]:
        """Rows by split."""
        found = {"train": self.stream.rows}
        for name, part in (("validation", self.validation), ("test", self.test)):
            if part is not None and part.rows:
                found[name] = part.rows
        return found

    def validation_rows(self) -> Array:
        """Read the rows for validation, at most 10,000, (V, D) float32."""
        if self.validation is None:
            return np.empty((0, self.vectors.dim), np.float32)
        return some_rows(self.validation, MOST_HELD_OUT, drop_bad=self.training.drop_bad)

    def source(self, split: str) -> VectorSource:
        """Return the rows of a split in the order in which they are stored.

        Raises
        ------
        ConfigError
            If there is no such split.
        """
        if split not in self.rows:
            names = ", ".join(self.rows)
            raise ConfigError(f"these data have no split {split!r}", fix=f"choose one of: {names}")
        if split == "train":
            kept = np.ones(self.vectors.train.rows, np.bool_)
            kept[self.stream.held_out_numbers()] = False
            return ChosenRows(self.vectors.train, np.flatnonzero(kept))
        found = self.validation if split == "validation" else self.test
        if found is None:  # pragma: no cover - it would not be among the rows
            raise ConfigError(f"these data have no split {split!r}")
        return found

    def blocks(self, split: str, most: int) -> Iterator[Array]:
        """Yield rows of a split: of training at most so many, in the order of the first epoch."""
        if split != "train":
            part = self.validation if split == "validation" else self.test
            if part is not None:
                yield from blocks_of(part, drop_bad=self.training.drop_bad)
            return
        yield from _regrouped(self._first(most), _BLOCK)

    def _first(self, most: int) -> Iterator[Array]:
        """Yield the first training rows of the first epoch's order, a batch at a time."""
        left, batches = most, self.stream.epoch(0)
        try:
            for batch in batches:
                yield batch[:left]
                left -= len(batch)
                if left <= 0:
                    return
        finally:
            batches.close()  # type: ignore[attr-defined]

    def fingerprint(self) -> str:
        """Return a digest of the data and of how they are divided, whatever the training's seed."""
        held = self.stream.held_out_rows
        data = self.vectors.dataset
        if data is not None and not held:
            return fingerprint(data)
        digest = hashlib.sha256(f"{held} {self.training.drop_bad}".encode())
        digest.update(self.vectors.train.fingerprint().encode())
        numbers = self.stream.held_out_numbers()
        digest.update(numbers.astype("<i8", copy=False).tobytes())
        return digest.hexdigest()[:16]


def _divided(held: ChosenRows) -> tuple[VectorSource | None, VectorSource]:
    """Return every fifth row, and the others; a single one is all test."""
    if held.rows == 1:
        return None, held
    every = np.arange(held.rows) % _EVERY == 0
    return (ChosenRows(held.base, held.chosen[every]), ChosenRows(held.base, held.chosen[~every]))


def _regrouped(batches: Iterator[Array], rows: int) -> Iterator[Array]:
    """Join small batches into blocks of at least so many rows, the last one aside."""
    held: list[Array] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= rows:
            yield np.concatenate(held)
            held = []
    if sum(map(len, held)):
        yield np.concatenate(held)
