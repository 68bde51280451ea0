"""What one number of a sweep costs in another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.figures.picture import Picture
from isthmus.figures.style import (
    BLACK,
    colour,
    dash,
    draws,
    log_axis,
    mark,
    new_figure,
    plain,
    short,
)
from isthmus.figures.table import Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["pareto_front", "tradeoff"]

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Point:
    """One setting of a sweep, over its seeds."""

    group: str
    setting: str
    x: float
    x_sd: float
    y: float
    y_sd: float
    runs: int


@draws
def tradeoff(
    rows: Rows,
    x: str,
    y: str,
    group: str | None = None,
    pareto: bool = True,
    *,
    settings: Sequence[str] = (),
    lower_x: bool = True,
    lower_y: bool = True,
) -> Picture:
    """Draw the runs of a sweep by two of their columns, seeds drawn together.

    Rows of one group and equal ``settings`` are seeds of one point: their mean, with bars of
    one standard deviation. Without ``settings``, rows of one group and equal ``x`` are.

    Parameters
    ----------
    rows
        A mapping a run: its settings and metrics. Runs whose x or y is missing, NaN or infinite
        are left out and counted.
    x, y
        Columns of numbers.
    group
        The column that makes series (colour, mark and dash), if any.
    pareto
        Ring the points that no other beats in both columns, and draw what they attain.
    settings
        The columns that tell one point from another, such as those that were swept.
    lower_x, lower_y
        Whether lower is better.

    Returns
    -------
    Picture
        Its table, a row a point: ``group``, ``setting``, ``x``, ``x_sd``, ``y``, ``y_sd`` (the
        columns' own names), ``runs``, ``front``.

    Raises
    ------
    DataError
        If no run has both numbers.
    ConfigError
        If no row has a column that is named.
    """
    points, left_out = _gather(rows, x, y, group, settings)
    signs = np.array([1 if lower_x else -1, 1 if lower_y else -1])
    front = pareto_front(np.array([(p.x, p.y) for p in points]) * signs)
    if not pareto:
        front = np.zeros(len(points), dtype=np.bool_)
    figure = new_figure()
    axes = figure.subplots()
    groups = list(dict.fromkeys(p.group for p in points))
    for index, name in enumerate(groups):
        _draw_series(axes, [p for p in points if p.group == name], index, join=not settings)
    if pareto:
        _draw_front(axes, [p for p, on in zip(points, front, strict=True) if on], lower_x)
    _label(axes, points, (x, y), (lower_x if pareto else None, lower_y), left_out)
    if group is not None or pareto:
        title = None if group is None else short(group)
        figure.legend(loc="outside right upper", title=title, alignment="left")
    alt = f"{y} against {x} of {len(points)} settings" + (
        f"; {int(front.sum())} on the Pareto front" if pareto else ""
    )
    return Picture(figure, _table(points, front, x, y), f"{alt}.")


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Say which points no other beats: none is lower in one column and not higher in the other.

    Parameters
    ----------
    points
        ``(n, 2)``, lower is better in both.

    Returns
    -------
    ndarray
        ``(n,)`` booleans; equal points are on the front together.
    """
    not_higher = np.all(points[None] <= points[:, None], axis=-1)
    lower = np.any(points[None] < points[:, None], axis=-1)
    return np.asarray(~np.any(not_higher & lower, axis=1))


def _gather(
    rows: Rows, x: str, y: str, group: str | None, settings: Sequence[str]
) -> tuple[list[_Point], int]:
    """Put the seeds of one setting together."""
    for name in (x, y, *([] if group is None else [group]), *settings):
        if rows and not any(name in row for row in rows):
            has = ", ".join(dict.fromkeys(key for row in rows for key in row))
            raise ConfigError(f"the sweep has no column {name!r}", why=f"it has {has}")
    seeds: dict[tuple[str, Any], list[tuple[float, float]]] = {}
    for row in rows:
        pair = (_number(row.get(x)), _number(row.get(y)))
        if all(math.isfinite(value) for value in pair):
            what = ", ".join(f"{name} {row.get(name)}" for name in settings)
            name = "" if group is None else str(row.get(group))
            seeds.setdefault((name, what if settings else pair[0]), []).append(pair)
    if not seeds:
        raise DataError(f"no run has both {x!r} and {y!r}", why=f"{len(rows)} runs were given")
    points = []
    for (name, what), pairs in seeds.items():
        values = np.array(pairs)
        spread = values.std(axis=0, ddof=1) if len(pairs) > 1 else np.zeros(2)
        mean = values.mean(axis=0)
        text = what if settings else f"{x} {plain(what)}"
        points.append(
            _Point(name, text, mean[0], spread[0], mean[1], spread[1], len(pairs))
        )  # fmt: skip
    return points, len(rows) - sum(p.runs for p in points)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _draw_series(axes: Axes, points: list[_Point], index: int, join: bool) -> None:
    """Draw one group's points with their bars, joined where x is the knob itself."""
    points = sorted(points, key=lambda p: p.x)
    columns = np.array([(p.x, p.y, p.x_sd, p.y_sd) for p in points]).T
    x, y, x_sd, y_sd = columns
    axes.errorbar(
        x, y, xerr=x_sd if x_sd.any() else None, yerr=y_sd if y_sd.any() else None,
        color=colour(index), marker=mark(index), markersize=7, markeredgecolor="white",
        linestyle=dash(index) if join else "none", linewidth=1.2, elinewidth=1.2, capsize=3,
        label=short(points[0].group) if points[0].group else "runs", zorder=3,
    )  # fmt: skip


def _draw_front(axes: Axes, front: list[_Point], lower_x: bool) -> None:
    """Ring the points on the front and draw, as a step, what they attain."""
    front = sorted(front, key=lambda p: p.x)
    x, y = [p.x for p in front], [p.y for p in front]
    axes.plot(
        x, y, color=BLACK, linestyle=":", linewidth=1.3, marker="o", markersize=13,
        markerfacecolor="none", markeredgewidth=1.1, label="Pareto front", zorder=2,
        drawstyle="steps-post" if lower_x else "steps-pre",
    )  # fmt: skip


def _label(
    axes: Axes,
    points: list[_Point],
    names: tuple[str, str],
    lower: tuple[bool | None, bool],
    left_out: int,
) -> None:
    x, y = names
    for which, name, values, less in (
        ("x", x, np.array([p.x for p in points]), lower[0]),
        ("y", y, np.array([p.y for p in points]), lower[1]),
    ):
        log = " (log scale)" if log_axis(axes, which, values) else ""
        arrow = "\N{LEFTWARDS ARROW}" if less else "\N{RIGHTWARDS ARROW}"
        better = "" if less is None else f"  {arrow} better"
        (axes.set_xlabel if which == "x" else axes.set_ylabel)(f"{name}{log}{better}")
    runs = [p.runs for p in points]
    parts = []
    if max(runs) > 1:
        span = str(runs[0]) if min(runs) == max(runs) else f"{min(runs)} to {max(runs)}"
        parts.append(f"bars: one standard deviation over {span} runs")
    if left_out:
        runs_are = "run" if left_out == 1 else "runs"
        parts.append(f"{left_out} {runs_are} without both numbers left out")
    axes.set_title(";\n".join(parts) or f"{y} against {x}")
    axes.grid(True)
    axes.margins(0.1)


def _table(points: list[_Point], front: np.ndarray, x: str, y: str) -> Table:
    columns: dict[str, Column] = {
        "group": [p.group for p in points],
        "setting": [p.setting for p in points],
        x: np.array([p.x for p in points]),
        f"{x}_sd": np.array([p.x_sd if p.runs > 1 else math.nan for p in points]),
        y: np.array([p.y for p in points]),
        f"{y}_sd": np.array([p.y_sd if p.runs > 1 else math.nan for p in points]),
        "runs": [p.runs for p in points],
        "front": front,
    }
    return Table(columns)
