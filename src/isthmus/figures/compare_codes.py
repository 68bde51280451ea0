"""Codes of several models side by side, all held to one measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.activity import NEAR_ZERO, Activity, activity, firing
from isthmus.figures.checks import as_count, as_matrix
from isthmus.figures.codes import draw_firing_rates, draw_heatmap, draw_histogram, rate_edges
from isthmus.figures.picture import Picture
from isthmus.figures.style import ORANGE, draws, new_figure, plain, short
from isthmus.figures.table import Table, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compare_codes"]


@draws
def compare_codes(codes: Mapping[str, Any], n: int = 20) -> Picture:
    """Draw histogram, heat map and firing rates of several models' codes, a column a model.

    Widths may differ. All models are measured alike: values are divided by the model's own
    full scale (99.9th percentile of its non-zero magnitudes), go into the same bins, and count
    as near zero below 1 % of it; the firing rates of all share their bins too.

    Parameters
    ----------
    codes
        Model name to its ``(N, latents)`` codes; one model or more.
    n
        How many codes the heat maps show.

    Returns
    -------
    Picture
        Its table: by ``model`` and ``panel`` ("measures", "histogram", "heat map", "firing
        rates").

    Raises
    ------
    DataError
        If there is no model, or its codes aren't finite numbers.
    """
    count = as_count(n, "n")
    if not codes:
        raise DataError("there are no codes to compare")
    arrays = {name: as_matrix(values, f"codes of {name}") for name, values in codes.items()}
    found = {name: activity(values) for name, values in arrays.items()}
    rates = {name: firing(values).mean(axis=0) for name, values in arrays.items()}
    shared = rate_edges(np.concatenate(list(rates.values())))
    signed = any((values < 0).any() for values in arrays.values())
    # Zero is the middle of a bin, or its lower edge.
    bins = np.linspace(-1.025, 1.025, 42) if signed else np.linspace(0.0, 1.0, 41)
    figure = new_figure(max(7.0, 2.3 * len(arrays)), 7.4)
    grid = figure.subplots(3, len(arrays), squeeze=False, height_ratios=(1, 1.2, 1))
    tables: dict[str, Table] = {}
    for column, (name, values) in enumerate(arrays.items()):
        scale = found[name].full_scale or 1.0
        top, middle, bottom = grid[:, column]
        tables[name] = stacked(
            {
                "measures": _measures(found[name]),
                "histogram": draw_histogram(top, values, bins, scale, legend=False),
                "heat map": draw_heatmap(middle, values[:count], "", bar=False),
                "firing rates": draw_firing_rates(bottom, rates[name], shared),
            }
        )
        top.set_title(f"{short(name, 21)}\n{_says(found[name])}", fontsize=9)
        top.set_xlabel("value / full scale")
        bottom.set(title="", xlabel="firing rate")
    _share_axes(grid)
    least = f"{plain(100 * NEAR_ZERO)} %"
    measure = f"active: |value| > {least} of the model's own full scale; else near zero"
    figure.suptitle(measure, x=0.01, ha="left", fontsize=9)
    _legend(figure, any(a.exact_zero > 0 for a in found.values()))
    alt = "; ".join(f"{name}: {_says(a)}".replace("\n", ", ") for name, a in found.items())
    return Picture(figure, stacked(tables, by="model"), f"Codes compared: {alt}.")


def _share_axes(grid: np.ndarray) -> None:
    """Give the histograms one vertical scale, and label only the first column."""
    limits = np.array([axes.get_ylim() for axes in grid[0]])
    for axes in grid[0]:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())
    for axes in grid[:, 1:].ravel():
        axes.set_ylabel("")
    for axes in grid[2]:
        axes.tick_params(axis="x", labelrotation=45)


def _legend(figure: Figure, zeros: bool) -> None:
    """Say below what the hatched part of the histograms is, where there is one."""
    from matplotlib.patches import Patch

    if zeros:
        exact = Patch(facecolor="white", edgecolor=ORANGE, hatch="////", label="exactly 0")
        figure.legend(handles=[exact], loc="outside lower right")


def _measures(found: Activity) -> Table:
    return Table({name: [value] for name, value in vars(found).items()})


def _says(found: Activity) -> str:
    return (
        f"L0 {plain(found.l0)} of {found.latents:,}\n"
        f"{found.dead:,} dead, near zero {100 * found.near_zero:.0f} %\n"
        f"Hoyer {plain(found.hoyer)}\n"
        f"full scale {plain(found.full_scale)}"
    )
