"""A library's JSON configuration, read as what it is: values that others wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.errors import DataError, MissingDataError
from isthmus.files import read_json

__all__ = ["Settings", "peek"]

_MOST_BYTES = 4 << 20
_MOST = 1 << 40


@dataclass(frozen=True)
class Settings:
    """A JSON object whose values are checked as they are taken."""

    path: Path
    """The file, for messages."""
    values: Mapping[str, Any]
    """What it holds."""

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read a file of at most 4 MiB.

        Raises
        ------
        MissingDataError
            If there is none.
        DataError
            If it is too large, not JSON or no object.
        """
        if not path.is_file():
            raise MissingDataError(
                "the checkpoint's configuration is missing",
                where=str(path),
                fix="copy the whole folder, the configuration beside the weights",
            )
        try:
            return cls(path, read_json(path, _MOST_BYTES))
        # a deep nesting or a number of thousands of digits is none of JSON's own errors
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(
                "the checkpoint's configuration can't be read",
                where=str(path),
                why=getattr(error, "what", "") or str(error),
                fix="copy the checkpoint again",
            ) from error

    def has(self, name: str) -> bool:
        """Say whether the setting is there and not null."""
        return self.values.get(name) is not None

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number from 0 on; without a default it must be there."""
        value = self._value(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
            raise self.wrong(name, "a whole number")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number; without a default it must be there."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
            raise self.wrong(name, "a number")
        if math.isnan(value):
            raise self.wrong(name, "a number")
        return float(value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return true or false; without a default it must be there."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without a default it must be there."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        return value

    def part(self, name: str) -> Settings:
        """Return the object of that name; an empty one if it is not there."""
        value = self.values.get(name)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Settings(self.path, value)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers; empty if it is not there."""
        value = self.values.get(name)
        if value is None:
            value = []
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise self.wrong(name, "a list of whole numbers")
        return tuple(value)

    def same(self, name: str, found: int) -> None:
        """Refuse a size that is not the weights'; one that is not given is no matter."""
        if self.has(name) and self.integer(name) != found:
            raise DataError(
                "the configuration does not fit the weights",
                where=f"{self.path}, {name}",
                why=f"it says {self.integer(name):,}; the weights say {found:,}",
                fix="copy the checkpoint again: these two files are not of one model",
            )

    def wrong(self, name: str, wanted: str) -> DataError:
        """Return the error for a setting that can't be what it is."""
        value = self.values.get(name)
        said = "it is missing" if value is None else f"it is {str(value)[:60]!r}"
        return DataError(
            f"the checkpoint's setting {name!r} must be {wanted}",
            where=str(self.path),
            why=said,
            fix="copy the checkpoint again, or mend the file",
        )

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value


def peek(path: Path) -> Mapping[str, Any]:
    """Return what a JSON file holds, or nothing at all: for looking, not for reading."""
    try:
        return Settings.read(path).values
    except (DataError, MissingDataError):
        return {}
