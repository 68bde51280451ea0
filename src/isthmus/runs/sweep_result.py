"""The table of a sweep, read from the folders of its runs, what it says, and its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.bottlenecks import (
    L1,
    AnyK,
    BatchTopK,
    Contrastive,
    Gated,
    Gaussian,
    JumpReLU,
    KLSparse,
    Matryoshka,
    TopK,
)
from isthmus.bottlenecks.base import Bottleneck
from isthmus.errors import DataError, IsthmusError
from isthmus.files import read_json
from isthmus.models.dictionary.presets import DictionaryPreset
from isthmus.models.presets import Preset
from isthmus.runs.compare import Comparison, compare
from isthmus.runs.rows import HEAD, METRICS, Row, aligned, row_of, without_nan
from isthmus.runs.run import of_one_modality, open_run
from isthmus.runs.sweep_plan import Trial, column, shown
from isthmus.runs.sweep_work import ERROR, State, state_of

if TYPE_CHECKING:
    from isthmus.figures import Picture

__all__ = ["Axes", "Sweep", "SweepTable", "axes_for", "first_line"]

TABLE = "sweep.csv"
_SHOWN = (
    "parameters", "seconds", "mse", "pca_ratio", "knn_accuracy", "l0", "mean_activation",
    "dead_fraction", "nll", "rate", "distortion", "active_units", "error",
)  # fmt: skip
_OF_DICTIONARIES = (
    "latent", "parameters", "seconds", "fvu", "fvu_refined", "pca_ratio", "l0", "dead_fraction",
    "max_firing_rate", "error",
)  # fmt: skip


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

    @property
    def failed(self) -> tuple[Row, ...]:
        """Rows of the runs that failed."""
        return tuple(row for row in self.rows if row["error"] is not None)

    def comparison(self) -> Comparison:
        """Compare the runs that went well; seeds of one setting are one group.

        Raises
        ------
        ConfigError
            If every run failed.
        """
        well = [row for row in self.rows if row["error"] is None]
        splits = dict.fromkeys(row["split"] for row in well)
        return compare([self.folder / "runs" / row["name"] for row in well], tuple(splits))

    def picture(self) -> Picture:
        """Draw the trade-off: see :func:`axes_for`.

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
        # only dictionaries have this one, and only they need those that follow it
        more = any(row.get("dense_25") is not None for row in self.rows)
        columns = _OF_DICTIONARIES if more else _SHOWN
        lines = aligned(short, (*names, *self.varied, "seed", *columns))
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
        preset: Preset | DictionaryPreset,
        hold: str | None,
    ) -> None:
        self.place, self.trials, self.preset, self.hold = place, trials, preset, hold
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
        empty = dict.fromkeys((*HEAD, *METRICS))
        if trial.error is None and state is State.DONE:
            try:
                run = of_one_modality(open_run(folder))
                split = "test" if "test" in run.metrics else list(run.metrics)[-1]
                return head | {k: v for k, v in row_of(run, split).items() if k not in head}
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
        axes = axes_for(self.preset.bottleneck, well, self.varied, self.hold)
        if isinstance(self.preset, DictionaryPreset):
            axes = replace(axes, y="fvu")
        found = Sweep(self.place, tuple(rows), self.varied, axes, tuple(notes))
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


# --- the figure -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axes:
    """What a trade-off figure shows."""

    x: str
    """The column along: what is paid."""
    y: str
    """The column up: what is lost."""
    group: str | None
    """The column that makes series, if any."""
    settings: tuple[str, ...]
    """The columns that tell the points of a series apart; none where x does."""
    cost: bool
    """Whether less of x is better, so that there is a front of best settings."""


_FEW = 8
_COUNTED = (L1, TopK, BatchTopK, JumpReLU, Gated, Matryoshka, AnyK, Contrastive)
"""Bottlenecks whose codes have zeros."""
_HELD: Mapping[str | None, frozenset[str]] = {
    "l0": frozenset({"l0", "mean_activation"}),
    "parameters": frozenset({"parameters"}),
}


def axes_for(
    bottleneck: Bottleneck, rows: Sequence[Row], varied: Sequence[str], hold: str | None = None
) -> Axes:
    """Choose what to draw.

    Variational: rate against distortion. Sparse: L0 (or mean activation, where no latent is
    ever quite off) against MSE. Else the number of latents, or of parameters, or the setting
    that was varied, against MSE.

    Parameters
    ----------
    rows
        The runs that went well.
    varied
        The columns of the settings that were varied.
    hold
        What was held constant, and so does not count as moving.
    """
    y = "mse"
    if isinstance(bottleneck, Gaussian) and all(r.get("distortion") is not None for r in rows):
        y = "distortion"
    costs = [*_measured(bottleneck), *(["latent"] if "latent" in varied else []), "parameters"]
    knobs = [name for name in varied if all(_is_number(row.get(name)) for row in rows)]
    constant = _HELD.get(hold, frozenset())
    moving = [n for n in (*costs, *knobs) if n not in constant and _moves(rows, n)]
    x = moving[0] if moving else "parameters"
    group = _group(rows, varied, knobs, x)
    apart = tuple(name for name in varied if name != group)
    return Axes(x, y, group, () if apart in ((x,), ()) else apart, x in costs and bool(moving))


def _group(rows: Sequence[Row], varied: Sequence[str], knobs: Sequence[str], x: str) -> str | None:
    """Choose the varied setting that makes series: words before numbers, the last of several."""
    rest = [name for name in varied if name != x]
    words = [name for name in rest if name not in knobs]
    if words:
        return words[0]
    if len(rest) > 1 or (rest and x in varied):
        return rest[-1]
    few = rest and len({row.get(rest[0]) for row in rows}) <= _FEW
    return rest[0] if few else None


def _measured(bottleneck: Bottleneck) -> tuple[str, ...]:
    if isinstance(bottleneck, Gaussian):
        return ("rate",)
    if isinstance(bottleneck, KLSparse) or (
        isinstance(bottleneck, L1) and bottleneck.unit == "sigmoid"
    ):
        return ("mean_activation",)
    return ("l0",) if isinstance(bottleneck, _COUNTED) else ()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moves(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Say whether every row has the number, and not always the same (but for rounding)."""
    values = [row.get(name) for row in rows]
    if not values or not all(_is_number(value) for value in values):
        return False
    numbers = [float(value) for value in values if value is not None]
    return max(numbers) - min(numbers) > 1e-6 * max(abs(number) for number in numbers)


def draw(rows: Sequence[Row], axes: Axes) -> Picture:
    """Draw the trade-off; failed runs are left out and counted.

    Raises
    ------
    DataError
        If no run has both numbers.
    """
    from isthmus import figures

    picture = figures.tradeoff(rows, axes.x, axes.y, axes.group, axes.cost, settings=axes.settings)
    if not axes.cost:
        # a mere knob, such as a learning rate, has no better end
        plot = picture.figure.axes[0]
        plot.set_xlabel(plot.get_xlabel().split("  \N{LEFTWARDS ARROW}")[0])
    return picture
