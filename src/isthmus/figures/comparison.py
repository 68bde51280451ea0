"""Several runs side by side, a small panel for each metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.figures.picture import Picture
from isthmus.figures.style import BLACK, BLUE, draws, new_figure, plain, short
from isthmus.figures.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Measure", "comparison"]

Value = float | Sequence[float] | None


@dataclass(frozen=True)
class Measure:
    """A metric to compare runs by."""

    name: str
    """Its name among the metrics of a run."""
    title: str = ""
    """What stands above its panel; by default the name."""
    better: str = ""
    """"lower", "higher", or empty where neither is better."""
    baseline: str = ""
    """The metric that holds the same number for PCA of the same size, if any."""
    reference: float | None = None
    """A value to draw a line at."""


_USUAL = (
    Measure("mse", "MSE", "lower", "pca_mse"),
    Measure("pca_ratio", "MSE / PCA's MSE", "lower", reference=1.0),
    Measure("knn_accuracy", "5-NN accuracy", "higher", "pca_knn_accuracy"),
    Measure("l0", "L0: active latents"),
)


@draws
def comparison(
    metrics: Mapping[str, Mapping[str, Value]],
    measures: Sequence[Measure | str] | None = None,
) -> Picture:
    """Draw metrics of several runs as bars, a panel a metric, PCA's value as a diamond.

    Parameters
    ----------
    metrics
        Run name to its metrics; a metric is a number, several numbers (seeds: their mean, with
        a bar of one standard deviation), or None. ``pca_ratio`` is worked out from ``mse`` and
        ``pca_mse`` where it isn't given.
    measures
        What to draw; by default those of MSE, ratio to PCA, 5-NN accuracy and L0 that any run
        has.

    Returns
    -------
    Picture
        Its table: ``run``, ``metric``, ``mean``, ``sd``, ``runs``, ``pca``.

    Raises
    ------
    DataError
        If there is no run, or no run has any of the metrics.
    ConfigError
        If a metric that was asked for is in no run.
    """
    if not metrics:
        raise DataError("there are no runs to compare")
    filled = {run: _with_ratio(values) for run, values in metrics.items()}
    shown = _chosen(filled, measures)
    across = min(len(shown), 4 if len(shown) != 3 else 3)
    down = -(-len(shown) // across)
    longest = max(len(short(run, 22)) for run in filled)
    width = max(7.0, 1.6 * across + 0.08 * longest + 0.4)
    figure = new_figure(width, down * (0.3 * len(filled) + 0.75) + 0.45)
    grid = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    table: dict[str, list[Any]] = {
        key: [] for key in ("run", "metric", "mean", "sd", "runs", "pca")
    }
    for axes, measure in zip(grid, shown, strict=False):
        _panel(axes, measure, filled, table)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    grid[0].set_yticks(range(len(filled)), [short(run, 22) for run in filled])
    grid[0].set_ylim(len(filled) - 0.4, -0.6)
    handles = {h.get_label(): h for axes in grid for h in axes.collections + axes.lines}
    if "PCA of the same size" in handles:
        figure.legend(handles=[handles["PCA of the same size"]], loc="outside lower right")
    names = ", ".join((m.title or m.name).replace("\n", " ") for m in shown)
    alt = f"{len(filled)} runs compared by {names}."
    return Picture(figure, Table(table), alt)


def _with_ratio(values: Mapping[str, Value]) -> dict[str, Value]:
    """Add the ratio to PCA where both errors are there."""
    mse, pca = _seeds(values.get("mse")), _seeds(values.get("pca_mse"))
    if "pca_ratio" in values or mse.size == 0 or pca.size == 0 or pca.mean() <= 0:
        return dict(values)
    return {**values, "pca_ratio": [float(value) for value in mse / pca.mean()]}


def _seeds(value: Value) -> np.ndarray:
    """Give the finite numbers of a metric."""
    array = np.atleast_1d(np.array(value, dtype=np.float64)) if value is not None else np.empty(0)
    return array[np.isfinite(array)]


def _chosen(
    metrics: Mapping[str, Mapping[str, Value]], measures: Sequence[Measure | str] | None
) -> list[Measure]:
    """Find the measures to draw."""

    def somewhere(name: str) -> bool:
        return any(_seeds(values.get(name)).size for values in metrics.values())

    if measures is None:
        found = [measure for measure in _USUAL if somewhere(measure.name)]
        if not found:
            names = ", ".join(measure.name for measure in _USUAL)
            raise DataError("no run has a metric to compare", why=f"looked for {names}")
        return found
    usual = {measure.name: measure for measure in _USUAL}
    asked = [usual.get(m, Measure(m)) if isinstance(m, str) else m for m in measures]
    missing = [measure.name for measure in asked if not somewhere(measure.name)]
    if missing or not asked:
        raise ConfigError("no run has this metric", where=", ".join(missing) or "none was named")
    return asked


def _panel(
    axes: Axes,
    measure: Measure,
    metrics: Mapping[str, Mapping[str, Value]],
    table: dict[str, list[Any]],
) -> None:
    """Draw one metric of every run."""
    for place, (run, values) in enumerate(metrics.items()):
        seeds, pca = _seeds(values.get(measure.name)), _seeds(values.get(measure.baseline))
        mean = float(seeds.mean()) if seeds.size else math.nan
        spread = float(seeds.std(ddof=1)) if seeds.size > 1 else math.nan
        base = float(pca.mean()) if pca.size else math.nan
        _bar(axes, place, mean, spread, base)
        row = (run, measure.name, mean, spread, int(seeds.size), base)
        for column, value in zip(table.values(), row, strict=True):
            column.append(value)
    if measure.reference is not None:
        axes.axvline(measure.reference, color=BLACK, linestyle=":", linewidth=1.2)
    arrow = {"lower": "\n(lower is better)", "higher": "\n(higher is better)"}
    axes.set_title((measure.title or measure.name) + arrow.get(measure.better, ""), fontsize=10)
    axes.locator_params(axis="x", nbins=3)
    axes.xaxis.set_major_formatter(plain)
    low, high = axes.get_xlim()
    if not any(axes.dataLim.intervalx):
        low, high = 0.0, 1.0
    # Room for the numbers, which stand in a column where no diamond can cover them.
    axes.set_xlim(min(low, 0.0), high + 0.8 * (high - low))
    axes.tick_params(axis="y", length=0)


def _bar(axes: Axes, place: int, mean: float, spread: float, base: float) -> None:
    """Draw one bar, its number, its spread and PCA's diamond."""
    if math.isnan(mean):
        axes.text(
            0.02, place, "none", transform=axes.get_yaxis_transform(), va="center", fontsize=9
        )
    else:
        axes.barh(place, mean, 0.7, color=BLUE, xerr=None if math.isnan(spread) else spread,
                  ecolor=BLACK, capsize=2.5)  # fmt: skip
        axes.text(
            1.0, place, plain(mean), transform=axes.get_yaxis_transform(), ha="right",
            va="center", fontsize=9,
        )  # fmt: skip
    if not math.isnan(base):
        axes.plot(
            base, place, "D", markerfacecolor="white", markeredgecolor=BLACK, markersize=6,
            linestyle="none", label="PCA of the same size", zorder=3,
        )  # fmt: skip
