"""The table of a sweep, read from the folders of its runs, what it says, and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import DataError, IsthmusError
from isthmus.files import read_json
from isthmus.runs.rows import Row, aligned, without_nan
from isthmus.runs.sweep_axes import Axes, draw
from isthmus.runs.sweep_family import SweepFamily
from isthmus.runs.sweep_plan import Trial, column, shown
from isthmus.runs.sweep_work import ERROR, State, state_of

if TYPE_CHECKING:
    from isthmus.figures import Picture
    from isthmus.runs.compare import Comparison
    from isthmus.runs.multimodal.comparing import MultimodalComparison

__all__ = ["Sweep", "SweepTable", "first_line"]

TABLE = "sweep.csv"

# --- the table ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """What a sweep found, made by :func:`sweep`."""

    folder: Path
    """Where it is: ``sweep.json``, ``sweep.csv``, ``runs/NAME``, ``figures/tradeoff.png``."""
    rows: tuple[Row, ...]
    """A row a run: ``name``, the varied settings, ``seed``, ``held`` (what was adjusted),
    ``error`` (None where it went well), and what :func:`~isthmus.runs.compare` has in its rows."""
    varied: tuple[str, ...]
    """The columns of the settings that were varied."""
    axes: Axes
    """What the trade-off figure shows."""
    notes: tuple[str, ...]
    """What was adjusted to hold something constant, and anything else to know."""
    family: SweepFamily
    """The kind of model that was swept."""

    @property
    def failed(self) -> tuple[Row, ...]:
        """Rows of the runs that failed."""
        return tuple(row for row in self.rows if row["error"] is not None)

    def comparison(self) -> Comparison | MultimodalComparison:
        """Compare the runs that went well; seeds of one setting are one group.

        Raises
        ------
        ConfigError
            If every run failed.
        """
        well = [row for row in self.rows if row["error"] is None]
        splits = dict.fromkeys(row["split"] for row in well)
        folders = [self.folder / "runs" / row["name"] for row in well]
        return self.family.comparison(folders, tuple(splits))

    def picture(self) -> Picture:
        """Draw the trade-off: see :func:`~isthmus.runs.sweep_axes.axes_for`.

        Raises
        ------
        DataError
            If every run failed.
        """
        return draw(self.rows, self.axes)

    def text(self) -> str:
        """Return the table, what differs beyond seed noise, what failed, and notes."""
        short = [row | {"error": row["error"] and "failed"} for row in self.rows]
        names = () if self.varied else ("name",)
        lines = aligned(short, (*names, *self.varied, "seed", *self.family.shown, "error"))
        if len({row["seed"] for row in self.rows}) > 1 and len(self.failed) < len(self.rows):
            lines += ["", *self.comparison().statements]
        if self.failed:
            lines += ["", f"{len(self.failed)} of {len(self.rows)} runs failed:"]
            lines += [f"{row['name']}: {first_line(row['error'])}" for row in self.failed]
        return "\n".join([*lines, "", *self.notes]) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return {"sweep", "rows", "varied", "failed", "notes"} as JSON values."""
        found: dict[str, Any] = without_nan(
            {
                "sweep": str(self.folder),
                "rows": list(self.rows),
                "varied": list(self.varied),
                "failed": len(self.failed),
                "notes": list(self.notes),
            }
        )
        return found


class SweepTable:
    """The sweep's rows, read from the runs' folders, and what is written of them."""

    def __init__(
        self,
        place: Path,
        trials: Sequence[Trial],
        varied: Sequence[str],
        family: SweepFamily,
        hold: str | None,
    ) -> None:
        self.place, self.trials, self.family, self.hold = place, trials, family, hold
        self.varied = tuple(column(name) for name in varied)
        self._rows: dict[str, Row] = {}

    def rows(self) -> list[Row]:
        """Return the rows of the runs that have ended, in the order of the plan."""
        for trial in self.trials:
            if trial.name not in self._rows and (row := self._row(trial)) is not None:
                self._rows[trial.name] = row
        return [self._rows[t.name] for t in self.trials if t.name in self._rows]

    def _row(self, trial: Trial) -> Row | None:
        folder = self.place / "runs" / trial.name
        state = state_of(folder)
        head: Row = {"name": trial.name}
        head |= {column(name): shown(value) for name, value in trial.varied.items()}
        head |= {"seed": trial.seed, "held": trial.held or None, "error": trial.error}
        empty = dict.fromkeys(self.family.columns)
        if trial.error is None and state is State.DONE:
            try:
                found = self.family.row(folder)
                return head | {k: v for k, v in found.items() if k not in head}
            except IsthmusError as error:
                head["error"] = str(error)
        elif trial.error is None:
            if not (folder / ERROR).is_file():
                return None
            head["error"] = str(read_json(folder / ERROR).get("error"))
        return head | {k: v for k, v in empty.items() if k not in head}

    def write(self) -> None:
        """Write ``sweep.csv``."""
        from isthmus.figures import Table

        rows = self.rows()
        names = dict.fromkeys(name for row in rows for name in row)
        Table({name: [row.get(name) for row in rows] for name in names}).to_csv(self.place / TABLE)

    def finish(self, threads: int) -> Sweep:
        """Write the table and the figure, and return the sweep."""
        self.write()
        rows = self.rows()
        well = [row for row in rows if row["error"] is None]
        notes = [*dict.fromkeys(f"{_setting(t)}: {t.held}." for t in self.trials if t.held)]
        if threads:
            notes.append(f"Each run used {threads} CPU thread(s), whatever the number of jobs.")
        axes = self.family.axes(well, self.varied, self.hold)
        found = Sweep(self.place, tuple(rows), self.varied, axes, tuple(notes), self.family)
        if well:
            try:
                found.picture().save(self.place / "figures", "tradeoff")
            except DataError as error:
                found = replace(found, notes=(*notes, f"No trade-off figure: {error.what}."))
        return found


def _setting(trial: Trial) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in trial.varied.items())


def first_line(text: str | None) -> str | None:
    """Return the first line of an error, which says what went wrong."""
    return None if text is None else text.splitlines()[0]
