"""Several runs side by side: one table, one figure, and which differences exceed seed noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.runs.run import Run

if TYPE_CHECKING:
    from isthmus.figures import Picture

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    rows: tuple[dict[str, Any], ...]
    """A row a run (and split): name, preset, seed, latent, parameters, epochs, seconds, metrics."""
    groups: tuple[Any, ...]
    """Runs that differ only in their seed, with means and intervals."""
    differences: tuple[Any, ...]
    """Pairs of groups, by metric."""
    notes: tuple[str, ...]
    """What a reader must know before comparing."""

    def text(self) -> str:
        """Return a table and sentences."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """Return {"runs": [...], "groups": [...], "differences": [...], "notes": [...]}."""
        raise NotImplementedError

    def picture(self) -> Picture:
        """Draw the runs' metrics side by side."""
        raise NotImplementedError

    def codes_picture(self, data: object | None = None, n: int = 2000) -> Picture:
        """Draw the runs' codes of the same samples side by side."""
        raise NotImplementedError

    def save(self, folder: str | Path) -> list[Path]:
        """Write comparison.json, comparison.txt, runs.csv, comparison.png/.csv, codes.png/.csv."""
        raise NotImplementedError


def compare(
    runs: Sequence[Run | str | Path], splits: str | Sequence[str] = "test"
) -> Comparison:
    """Put runs side by side."""
    raise NotImplementedError
