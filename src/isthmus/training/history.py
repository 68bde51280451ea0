"""What happened in each epoch, and its CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from isthmus.errors import RunError
from isthmus.files import write_text

__all__ = ["History"]

Row = dict[str, float]
FIRST = ("epoch", "steps", "seconds", "samples_per_second", "lr")


class History:
    """A table with a row an epoch: each term of the loss, for training and validation.

    Values are means over samples, not over batches: a short last batch weighs what it holds.

    Examples
    --------
    >>> history = History([{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}])
    >>> history["train_loss"], len(history)
    ([0.5, 0.25], 2)
    """

    def __init__(self, rows: list[Row] | None = None) -> None:
        self.rows: list[Row] = list(rows or [])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> list[float]:
        """Return a column; NaN where an epoch has no such value.

        Raises
        ------
        KeyError
            If no epoch has it.
        """
        if column not in self.columns:
            raise KeyError(f"no column {column!r}; there are {', '.join(self.columns)}")
        return [row.get(column, float("nan")) for row in self.rows]

    @property
    def columns(self) -> list[str]:
        """Names of the columns, the epoch's own first."""
        seen = dict.fromkeys(name for row in self.rows for name in row)
        return [n for n in FIRST if n in seen] + [n for n in seen if n not in FIRST]

    def as_columns(self) -> dict[str, list[float]]:
        """Return every column by name."""
        return {name: self[name] for name in self.columns}

    def add(self, row: Mapping[str, float]) -> None:
        """Add an epoch."""
        self.rows.append(dict(row))

    def __repr__(self) -> str:
        last = ", ".join(f"{k}={v:.5g}" for k, v in self.rows[-1].items()) if self.rows else ""
        return f"History({len(self)} epochs; {last})"

    def save(self, path: Path) -> None:
        """Write the table as CSV, whole or not at all; numbers read back exactly."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({k: repr(v) for k, v in row.items()})
        write_text(path, text.getvalue())

    @classmethod
    def open(cls, path: Path) -> History:
        """Read the table.

        Raises
        ------
        RunError
            If the file is missing or damaged.
        """
        try:
            with Path(path).open(newline="", encoding="utf-8") as handle:
                lines = list(csv.DictReader(handle, strict=True))
            rows = [
                # a cell that is missing altogether is None, and has no isdigit
                {k: int(v) if v.isdigit() else float(v) for k, v in line.items() if v != ""}
                for line in lines
            ]
            if [row.get("epoch") for row in rows] != list(range(1, len(rows) + 1)) or not rows:
                raise ValueError("its rows are not the epochs 1, 2, ...")
        except FileNotFoundError as error:
            raise RunError("the history is missing", where=str(path)) from error
        except (csv.Error, ValueError, AttributeError, TypeError) as error:
            raise RunError("the history is damaged", where=str(path), why=str(error)) from error
        return cls(rows)
