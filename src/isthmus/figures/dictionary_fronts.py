"""What a dictionary's error costs: in active latents, and in latents that are always on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.dictionary import percent
from isthmus.figures.dictionary_labels import Line, write_labels
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

__all__ = ["fvu_against_l0", "fvu_against_max_rate"]

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Point:
    """One setting, over its seeds."""

    series: str
    label: str
    x: np.ndarray
    """Least, mean and largest."""
    y: np.ndarray
    """Least, mean and largest."""
    runs: int


@draws
def fvu_against_l0(rows: Rows) -> Picture:
    """Draw what share of the variance is lost for how many active latents, series by series.

    Parameters
    ----------
    rows
        A mapping a run: ``series`` (a bottleneck, a library), ``l0`` and ``fvu``; where given,
        ``label`` is written beside the point where there is room, and runs of one series and
        label are seeds of one point: their mean, with bars from the least to the largest. Runs
        without both numbers are left out and counted.

    Returns
    -------
    Picture
        Its table, a row a point: ``series``, ``label``, ``runs``, then ``l0`` and ``fvu``, each
        also as ``_low`` and ``_high``.

    Raises
    ------
    DataError
        If no run has both numbers.
    """
    points, left_out = _gather(rows, "l0")
    figure = new_figure(7.4, 4.2)
    axes = figure.subplots()
    _draw(axes, points, join=True)
    logs = [log_axis(axes, which, _ends(points, which), 0.5) for which in "xy"]
    scale = ["" if not log else " (log scale)" for log in logs]
    axes.set(
        xlabel=f"L0: active latents a sample{scale[0]}  \N{LEFTWARDS ARROW} sparser",
        ylabel=f"FVU{scale[1]}  \N{LEFTWARDS ARROW} better",
    )
    _finish(axes, points, left_out, join=True)
    best = min(points, key=lambda p: p.y[1])
    alt = (
        f"FVU against L0 of {len(points)} settings in {len(_series(points))} series; the least "
        f"FVU is {plain(best.y[1])} at L0 {plain(best.x[1])} ({best.series})."
    )
    return Picture(figure, _table(points, "l0"), alt)


@draws
def fvu_against_max_rate(rows: Rows, *, dense: float = 0.25) -> Picture:
    """Draw the error against the firing rate of the busiest latent: some buy one with the other.

    Parameters
    ----------
    rows
        As for `fvu_against_l0`, with ``max_firing_rate`` (0 to 1) instead of ``l0``. Points of a
        series are not joined, for no knob runs along this axis.
    dense
        The rate above which a latent counts as dense: a line. Default .25.

    Returns
    -------
    Picture
        Its table, as of `fvu_against_l0`.

    Raises
    ------
    DataError
        If no run has both numbers.
    """
    points, left_out = _gather(rows, "max_firing_rate")
    figure = new_figure(7.4, 4.2)
    axes = figure.subplots()
    _draw(axes, points, join=False)
    axes.axvline(dense, color=BLACK, linestyle=":", linewidth=1.2, label=percent(dense))
    axes.set_xlim(0, min(1.04, 1.12 * max(float(_ends(points, "x").max()), dense)))
    axes.xaxis.set_major_formatter(percent)
    axes.set(
        xlabel="firing rate of the busiest latent  \N{LEFTWARDS ARROW} better",
        ylabel="FVU  \N{LEFTWARDS ARROW} better",
    )
    _finish(axes, points, left_out, join=False, marked=(dense,))
    below = [p.y[1] for p in points if p.x[2] <= dense]
    best = f"; the least without a dense latent is {plain(min(below))}" if below else ""
    alt = (
        f"FVU against the largest firing rate of {len(points)} settings, {len(below)} of them up "
        f"to {percent(dense)}{best}."
    )
    return Picture(figure, _table(points, "max_firing_rate"), alt)


def _gather(rows: Rows, x: str) -> tuple[list[_Point], int]:
    """Put the seeds of one point together."""
    seeds: dict[tuple[str, str | int], list[tuple[float, float]]] = {}
    left_out = 0
    for number, row in enumerate(rows):
        pair = (_number(row.get(x)), _number(row.get("fvu")))
        if not all(map(math.isfinite, pair)):
            left_out += 1
            continue
        label = row.get("label")
        key = number if label is None else str(label)
        seeds.setdefault((str(row.get("series", "runs")), key), []).append(pair)
    if not seeds:
        raise DataError(f"no run has both {x!r} and 'fvu'", why=f"{len(rows)} runs were given")
    points = []
    for (series, label), pairs in seeds.items():
        values = np.array(pairs)
        spread = np.stack([values.min(axis=0), values.mean(axis=0), values.max(axis=0)])
        text = label if isinstance(label, str) else ""
        points.append(_Point(series, text, spread[:, 0], spread[:, 1], len(pairs)))
    return points, left_out


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _series(points: list[_Point]) -> list[str]:
    return list(dict.fromkeys(p.series for p in points))


def _ends(points: list[_Point], which: str) -> np.ndarray:
    return np.concatenate([p.x if which == "x" else p.y for p in points])


def _draw(axes: Axes, points: list[_Point], join: bool) -> None:
    """Draw each series with its bars, a line where its points belong to one knob."""
    for index, name in enumerate(_series(points)):
        own = sorted((p for p in points if p.series == name), key=lambda p: p.x[1])
        x, y = np.array([p.x for p in own]).T, np.array([p.y for p in own]).T
        bars = [(v[1] - v[0], v[2] - v[1]) if np.ptp(v, axis=0).any() else None for v in (x, y)]
        axes.errorbar(
            x[1], y[1], xerr=bars[0], yerr=bars[1], color=colour(index), marker=mark(index),
            markersize=7, markeredgecolor="white", linewidth=1.2, elinewidth=1.2, capsize=3,
            linestyle=dash(index) if join else "none", label=short(name), zorder=3,
        )  # fmt: skip


def _finish(
    axes: Axes,
    points: list[_Point],
    left_out: int,
    *,
    join: bool,
    marked: Sequence[float] = (),
) -> None:
    """Say what bars are, and write the labels where they cover nothing."""
    axes.margins(0.12)
    axes.grid(True)
    parts = []
    if max(p.runs for p in points) > 1:
        parts.append("bars: least to largest of the seeds")
    if left_out:
        parts.append(f"{left_out} without both numbers left out")
    axes.set_title("; ".join(parts))
    axes.figure.legend(loc="outside right upper")
    labels = [(p.x[1], p.y[1], p.label) for p in points if p.label]
    write_labels(axes, labels, _lines(axes, points, join, marked))


def _lines(axes: Axes, points: list[_Point], join: bool, marked: Sequence[float]) -> list[Line]:
    """Give what labels must not cover: bars, the lines of series, and marked places on x."""
    lines: list[Line] = [
        line for p in points for line in ([(x, p.y[1]) for x in p.x], [(p.x[1], y) for y in p.y])
    ]
    low, high = axes.get_ylim()
    lines += [[(at, low), (at, high)] for at in marked]
    for name in _series(points) if join else ():
        own = sorted((p for p in points if p.series == name), key=lambda p: p.x[1])
        lines.append([(p.x[1], p.y[1]) for p in own])
    return lines


def _table(points: list[_Point], x: str) -> Table:
    columns: dict[str, Column] = {
        "series": [p.series for p in points],
        "label": [p.label for p in points],
        "runs": [p.runs for p in points],
    }
    for name, values in ((x, [p.x for p in points]), ("fvu", [p.y for p in points])):
        low, mean, high = np.array(values).T
        columns |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return Table(columns)
