"""Pictures of one dictionary: how often its latents fire, how near its directions are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.figures.checks import as_numbers
from isthmus.figures.codes import draw_firing_rates, rate_edges
from isthmus.figures.picture import Picture
from isthmus.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    colour,
    dash,
    draws,
    new_figure,
    plain,
    short,
)
from isthmus.figures.table import Column, Table, stacked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decoder_cosines", "firing_profile", "percent"]


@draws
def firing_profile(rates: Any, *, dense: float = 0.25) -> Picture:
    """Draw how often the latents of a dictionary fire: a histogram, and all of them by rank.

    Parameters
    ----------
    rates
        ``(latents,)``: the share of samples on which each is active, 0 to 1.
    dense
        The rate above which a latent counts as dense: a line in both panels. Default .25.

    Returns
    -------
    Picture
        Its table, by ``panel``: ``histogram`` with ``low``, ``high`` and ``latents`` (the first
        row, from 0 to 0, counts those that never fire); ``ranks`` with ``rank`` and ``rate``.

    Raises
    ------
    ConfigError
        If ``dense`` is not between 0 and 1.
    DataError
        If there are no rates, or one lies outside 0 to 1.
    """
    values = as_numbers(rates, "firing rates").astype(np.float64)
    if values.ndim != 1 or values.min() < 0 or values.max() > 1:
        raise DataError(
            "firing rates must be one number between 0 and 1 a latent",
            why=f"shape {values.shape}, from {values.min():g} to {values.max():g}",
            fix="divide the counts by the number of samples",
        )
    if not 0 < dense < 1:
        raise ConfigError("dense must lie between 0 and 1", why=f"got {dense}")
    figure = new_figure(9.0, 3.9)
    left, right = figure.subplots(1, 2)
    histogram = draw_firing_rates(left, values)
    _mark_place(left, rate_edges(values), dense)
    ranks = _draw_ranks(right, values, dense)
    return Picture(figure, stacked({"histogram": histogram, "ranks": ranks}), _says(values, dense))


@draws
def decoder_cosines(
    nearest: Any, *, random: Any = None, high: float = 0.9, bins: int = 40
) -> Picture:
    """Draw how near each direction of a dictionary is to its nearest neighbour.

    Parameters
    ----------
    nearest
        ``(latents,)``: the largest cosine of each direction to another one
        (``Coherence.nearest``), or a mapping of names to such arrays. NaN (rows of zeros) is left
        out.
    random
        The same of random directions, drawn in grey behind: what chance gives.
    high
        Cosine above which two directions are near duplicates: a line. Default .9.
    bins
        Number of bins. Default 40.

    Returns
    -------
    Picture
        Its table, by ``dictionary``: ``low``, ``high`` and the ``share`` of its directions.

    Raises
    ------
    ConfigError
        If there are fewer than 1 bin.
    DataError
        If there is nothing to draw or a cosine lies outside -1 to 1.
    """
    if bins < 1:
        raise ConfigError("a histogram needs at least one bin", why=f"got {bins}")
    named = dict(nearest) if isinstance(nearest, Mapping) else {"dictionary": nearest}
    values = {str(name): _as_cosines(found, str(name)) for name, found in named.items()}
    if not values:
        raise DataError("there is no dictionary to draw")
    chance = None if random is None else _as_cosines(random, "random directions")
    everything = [*values.values(), *([] if chance is None else [chance])]
    low = min(0.0, min(float(found.min()) for found in everything))
    edges = np.linspace(low, 1.0, bins + 1)
    figure = new_figure(7.0, 3.9)
    axes = figure.subplots()
    tables: dict[str, Table] = {}
    if chance is not None:
        share = np.histogram(chance, edges)[0] / len(chance)
        axes.stairs(share, edges, fill=True, color="#DDDDDD", label="random directions")
        tables["random directions"] = _binned(edges, share)
    for index, (name, found) in enumerate(values.items()):
        share = np.histogram(found, edges)[0] / len(found)
        axes.stairs(
            share, edges, color=colour(index), linestyle=dash(index), linewidth=1.8,
            label=short(name),
        )  # fmt: skip
        tables[name] = _binned(edges, share)
    axes.axvline(high, color=BLACK, linestyle=":", linewidth=1.2, label=f"cosine {plain(high)}")
    axes.yaxis.set_major_formatter(percent)
    axes.set(xlabel="cosine to the nearest other direction", ylabel="share of directions")
    axes.set_title("nearest neighbours among the decoder's directions")
    axes.set_ylim(bottom=0)
    axes.grid(True, axis="y")
    figure.legend(loc="outside right upper")
    parts = [
        f"{name}: median {plain(float(np.median(found)))}, "
        f"{percent(float((found > high).mean()))} above {plain(high)}"
        for name, found in values.items()
    ]
    alt = f"Cosine of each decoder direction to its nearest other one. {'; '.join(parts)}."
    return Picture(figure, stacked(tables, by="dictionary"), alt)


def percent(share: float, _position: object = None) -> str:
    """Write a share as a percentage."""
    return f"{plain(100 * share)} %"


def _mark_place(axes: Axes, edges: np.ndarray, dense: float) -> None:
    """Draw the line of dense latents on the axis of equal-ratio bins."""
    place = float(np.interp(np.log(dense), np.log(edges), np.arange(len(edges))))
    if dense >= edges[0]:
        axes.axvline(place, color=BLACK, linestyle=":", linewidth=1.2)
        axes.annotate(
            percent(dense), (place, 1.0), xycoords=("data", "axes fraction"), ha="right", va="top",
            xytext=(-3, 0), textcoords="offset points", fontsize=9,
        )  # fmt: skip


def _draw_ranks(axes: Axes, rates: np.ndarray, dense: float) -> Table:
    """Draw all rates, highest first, on logarithmic axes; those that never fire at the end."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    falling = np.sort(rates)[::-1]
    rank = np.arange(1, len(falling) + 1)
    alive = falling > 0
    least = float(falling[alive].min()) if alive.any() else dense / 10
    axes.set(xscale="log", yscale="log")
    axes.plot(rank[alive], falling[alive], color=BLUE)
    above = falling > dense
    if above.any():
        axes.plot(rank[above], falling[above], "o", color=ORANGE, markersize=4.5, clip_on=False)
    axes.axhline(dense, color=BLACK, linestyle=":", linewidth=1.2)
    axes.set_xlim(1, max(2, len(falling)))
    axes.set_ylim(min(least, dense) / 1.6, 1.25)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_major_formatter(FuncFormatter(percent))
    axes.grid(True)
    axes.set(xlabel="latents, busiest first", ylabel="share of samples")
    count = int(above.sum())
    axes.set_title(f"{count:,} above {percent(dense)}, {int((~alive).sum()):,} never fire")
    return Table({"rank": rank, "rate": falling})


def _says(rates: np.ndarray, dense: float) -> str:
    return (
        f"Firing rates of {len(rates):,} latents: the busiest fires on "
        f"{percent(float(rates.max()))} of the samples, the median one on "
        f"{percent(float(np.median(rates)))}; {int((rates > dense).sum()):,} above "
        f"{percent(dense)}, {int((rates == 0).sum()):,} never."
    )


def _as_cosines(values: Any, name: str) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64).ravel()
    found = as_numbers(numbers[~np.isnan(numbers)], f"cosines of {name}")
    if np.abs(found).max() > 1 + 1e-6:
        raise DataError(
            "a cosine lies between -1 and 1", where=name, why=f"found {np.abs(found).max():g}"
        )
    return np.asarray(np.clip(found, -1.0, 1.0))


def _binned(edges: np.ndarray, share: np.ndarray) -> Table:
    columns: dict[str, Column] = {"low": edges[:-1], "high": edges[1:], "share": share}
    return Table(columns)
