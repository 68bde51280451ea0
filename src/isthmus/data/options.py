"""What the caller may choose when loading, and what a reader hands on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Protocol

from numpy.typing import NDArray

from isthmus.errors import ConfigError

__all__ = [
    "SPLIT_WORDS",
    "WHOLE",
    "LoadOptions",
    "Part",
    "Raw",
    "Reader",
    "default_limit",
    "whole_if_alone",
]

WHOLE = "whole"
"""The name of the only part of data that came without splits."""


SPLIT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "validation": "validation",
        "valid": "validation",
        "val": "validation",
        "dev": "validation",
        "test": "test",
        "testing": "test",
        "t10k": "test",
    }
)
"""What people call splits, in folders, files and dicts, and which split is meant."""


def default_limit() -> int:
    """Return the bytes one data set may take in memory: ``ISTHMUS_LIMIT``, or 8 GiB.

    Raises
    ------
    ConfigError
        If ``ISTHMUS_LIMIT`` is not a positive whole number.
    """
    given = os.environ.get("ISTHMUS_LIMIT", "")
    if not given:
        return 1 << 33
    if not given.isdecimal() or int(given) == 0:
        raise ConfigError(
            "ISTHMUS_LIMIT must be a positive whole number of bytes", where=f"ISTHMUS_LIMIT={given}"
        )
    return int(given)


@dataclass(frozen=True)
class LoadOptions:
    """Choices of :func:`isthmus.data.load`."""

    resize: tuple[int, int] | None = None
    """Height and width that images from files are resized to."""
    colour: str | None = None
    """``grey`` or ``rgb`` for images from files; None: as they are."""
    label_column: str | int | None = None
    """The column of a table that holds the labels, by name or by position from 0."""
    header: bool | None = None
    """Whether the first line of a CSV file names the columns; None: detect."""
    key: str | None = None
    """The array to take from an npz or safetensors file."""
    validation: float | None = None
    """Share (below 1) or number of samples for validation; None: 0.1, or with an official test
    split 5 % of training and at most 5,000."""
    test: float | None = None
    """Share (below 1) or number of samples for test where there is no test split; None: 0.1."""
    seed: int = 0
    """Seed of the splits."""
    limit: int = field(default_factory=default_limit)
    """Bytes that the data may take in memory; memory-mapped files are exempt."""
    drop_bad_rows: bool = False
    """Leave out samples with NaN or infinite values instead of refusing the data."""
    range: tuple[float, float] | None = None
    """Nominal smallest and largest raw value; None: decided from the type and the source."""
    name: str | None = None
    """The name shown in tables; None: from the source."""

    def __post_init__(self) -> None:
        if self.colour not in (None, "grey", "rgb"):
            raise ConfigError(f"unknown colour {self.colour!r}", fix="choose grey or rgb")
        if self.resize is not None and not all(8 <= side <= 4096 for side in self.resize):
            raise ConfigError(
                "images can be resized to sides of 8 to 4096 pixels", where=f"{self.resize}"
            )
        for name, share in (("validation", self.validation), ("test", self.test)):
            if share is not None and (share < 0 or (share >= 1 and share != int(share))):
                raise ConfigError(
                    f"{name} must be a share from 0 to below 1, or a whole number of samples",
                    where=f"{name}={share}",
                )
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ConfigError("the range must run from low to high", where=f"{self.range}")

    def chosen(self) -> set[str]:
        """Return the names of the settings that differ from their defaults."""
        plain = LoadOptions(limit=self.limit)
        return {
            item.name
            for item in fields(self)
            if getattr(self, item.name) != getattr(plain, item.name)
        }


@dataclass(frozen=True)
class Part:
    """One part as a reader found it."""

    values: NDArray[Any]
    """Values, samples first, in whatever arrangement the source has."""
    labels: NDArray[Any] | None = None
    """One label a sample, numbers or texts; None: no labels."""
    where: str = ""
    """The file or name to show in messages."""
    rows: NDArray[Any] | None = None
    """Which rows of ``values`` belong; None: all."""
    row_names: NDArray[Any] | None = None
    """What people call each row, such as its line in a CSV file; None: its position from 0."""


@dataclass(frozen=True)
class Raw:
    """What a reader found, before checks and splits."""

    name: str
    """A short name for tables."""
    source: str
    """Where it came from, in words."""
    parts: Mapping[str, Part]
    """``whole``, or ``train`` with ``validation`` and ``test`` where the source has them."""
    kind: str | None = None
    """``image``, ``table`` or ``vector`` where the source says so."""
    channels_first: bool | None = None
    """How to read an image array that could be read both ways."""
    range: tuple[float, float] | None = None
    """The nominal range of raw values where the source fixes it."""
    label_names: tuple[str, ...] | None = None
    """Names of class numbers."""
    feature_names: tuple[str, ...] | None = None
    """Names of columns."""
    notes: tuple[str, ...] = ()
    """What the reader decided or left out."""
    stratify: bool = False
    """Whether splits keep the share of each class."""


class Reader(Protocol):
    """One kind of source: says what it takes, and reads it."""

    name: str
    """What the source is called in messages."""
    settings: frozenset[str]
    """The loading options that mean something for this kind, beyond those that always do."""

    def accepts(self, source: object) -> bool:
        """Say whether this reader reads ``source``; cheap, and never raises."""

    def read(self, source: Any, options: LoadOptions) -> Raw:
        """Read ``source``.

        Raises
        ------
        DataError
            If it is broken, hostile or too large.
        """


def whole_if_alone(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Call a single part ``whole``, whatever split it came as: splits are carved from it."""
    return {WHOLE: next(iter(parts.values()))} if len(parts) == 1 else dict(parts)
