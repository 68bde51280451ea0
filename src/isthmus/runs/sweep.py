"""A grid of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.models.presets import Preset
from isthmus.runs.compare import Comparison
from isthmus.runs.evaluation import Evaluation

if TYPE_CHECKING:
    from isthmus.figures import Picture

__all__ = ["Sweep", "SweepProgress", "SweepStopped", "sweep"]


class SweepStopped(KeyboardInterrupt):
    """The sweep was interrupted; str() says how far it came and how to go on."""


@dataclass(frozen=True)
class SweepProgress:
    """Where a sweep stands; sent when it starts and after each run."""

    done: int
    """Runs that have ended, failed ones too."""
    total: int
    """Runs in all."""
    failed: int
    """Runs that failed."""
    name: str
    """The run that has just ended; empty at the start."""
    row: Mapping[str, Any] | None
    """Its row."""
    seconds_left: float | None
    """Estimated time left."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep found."""

    folder: Path
    """Where it is: sweep.json, sweep.csv, runs/NAME, figures/tradeoff.png and .csv."""
    rows: tuple[dict[str, Any], ...]
    """A row a run: name, varied settings, seed, error (None: it went well), metrics."""
    varied: tuple[str, ...]
    """The columns of the settings that were varied."""
    notes: tuple[str, ...]
    """What was adjusted to hold something constant, and anything else to know."""

    @property
    def failed(self) -> tuple[dict[str, Any], ...]:
        """Rows of the runs that failed."""
        raise NotImplementedError

    def comparison(self) -> Comparison:
        """Compare the runs that went well."""
        raise NotImplementedError

    def picture(self) -> Picture:
        """Draw the trade-off."""
        raise NotImplementedError

    def text(self) -> str:
        """Return a table and sentences."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """Return {"sweep": folder, "rows": [...], "failed": n, "notes": [...]}."""
        raise NotImplementedError


def sweep(
    data: object,
    preset: Preset | str,
    vary: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] = (0,),
    settings: Mapping[str, Any] | None = None,
    load_options: Mapping[str, Any] | None = None,
    out: str | PathLike[str],
    jobs: int = 1,
    resume: bool = True,
    hold: str | None = None,
    progress: bool | Callable[[SweepProgress], None] | None = None,
    evaluation: Evaluation | None = None,
    figures: bool = False,
) -> Sweep:
    """Train a grid of settings."""
    raise NotImplementedError
