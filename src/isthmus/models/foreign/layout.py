"""What every layout of another library promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from isthmus.errors import DataError
from isthmus.models.foreign.record import Imported
from isthmus.models.foreign.weights import Weights

__all__ = ["Layout", "ReadOptions", "stored_note", "unsupported"]


@dataclass(frozen=True)
class ReadOptions:
    """Choices of :func:`isthmus.models.foreign.read`."""

    limit: int
    """Bytes that the weights may take in memory, as float32."""
    allow_pt: bool = False
    """Whether PyTorch's pickles may be read (weights only)."""


class Layout(Protocol):
    """One library's way to lay a dictionary on the disk."""

    @property
    def name(self) -> str:
        """The library's name, by which the layout is asked for."""

    @property
    def files(self) -> str:
        """The files by which it is known, for messages."""

    def find(self, path: Path) -> Path | None:
        """Return the folder or file to read if ``path`` is of this layout; no error whatever."""

    def read(self, place: Path, options: ReadOptions) -> Imported:
        """Read what :meth:`find` returned."""


def unsupported(where: Path, what: str, why: str) -> DataError:
    """Return the error for a model that is no dictionary of the kind that is read here."""
    return DataError(
        f"{what} can't be read as a sparse dictionary",
        where=str(where),
        why=why,
        fix="score it with the library that wrote it",
    )


def stored_note(weights: Weights, name: str) -> tuple[str, ...]:
    """Return a note where the weights are not stored as float32."""
    stored = weights.stored(name)
    if stored == "float32":
        return ()
    return (f"the weights are stored as {stored} and computed with in float32",)
