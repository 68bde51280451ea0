"""What codes look like: their values, a few of them above one another, how often latents fire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.activity import NEAR_ZERO, activity, firing, full_scale
from isthmus.figures.checks import as_count, as_matrix, as_numbers
from isthmus.figures.picture import Picture
from isthmus.figures.style import BLUE, ORANGE, RAMP, SIGNED, draws, new_figure, plain
from isthmus.figures.table import Table, stacked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "code_heatmap",
    "code_histogram",
    "draw_firing_rates",
    "draw_heatmap",
    "draw_histogram",
    "firing_rates",
    "sparsity_panel",
]

_MOST_LATENTS = 256
# Where the bar of latents that never fire stands, in bins from the least rate.
_NEVER = -4.6


@draws
def code_histogram(codes: Any) -> Picture:
    """Draw how the values of codes are spread, exact zeros apart.

    Parameters
    ----------
    codes
        ``(N, latents)``.

    Returns
    -------
    Picture
        Its table: ``low`` and ``high`` of each bin, ``share`` of all values in it without the
        exact zeros, ``zeros``: the share of exact zeros, in the bin that holds zero.

    Raises
    ------
    DataError
        If there are no codes, or they aren't finite numbers.
    """
    values = as_matrix(codes)
    figure = new_figure()
    table = draw_histogram(figure.subplots(), values)
    return Picture(figure, table, f"Histogram of code values: {_says(values)}.")


@draws
def code_heatmap(codes: Any, n: int = 40) -> Picture:
    """Draw the first ``n`` codes above one another, a column a latent.

    Codes that are nowhere negative take a ramp from zero, others a map centred on zero. Of
    more than 256 latents, the 256 with the largest mean magnitude are drawn, in their order.

    Parameters
    ----------
    codes
        ``(N, latents)``.
    n
        How many samples at most.

    Returns
    -------
    Picture
        Its table: ``sample``, ``latent``, ``value``.

    Raises
    ------
    DataError
        If there are no codes, or they aren't finite numbers.
    """
    values = as_matrix(codes)
    shown = values[: as_count(n, "n")]
    figure = new_figure(7.0, min(5.0, 1.6 + 0.09 * len(shown)))
    table = draw_heatmap(figure.subplots(), shown)
    return Picture(figure, table, f"Heat map of {len(shown)} codes out of {_says(values)}.")


@draws
def firing_rates(rates: Any) -> Picture:
    """Draw how often the latents fire: a histogram over latents, the dead ones apart.

    Parameters
    ----------
    rates
        ``(latents,)``: the share of samples on which each is active, 0 to 1.

    Returns
    -------
    Picture
        Its table: ``low`` and ``high`` of each bin and the number of ``latents`` in it; the
        first row, from 0 to 0, counts those that never fire.

    Raises
    ------
    DataError
        If there are no rates, or one lies outside 0 to 1.
    """
    values = _as_rates(rates)
    figure = new_figure()
    table = draw_firing_rates(figure.subplots(), values)
    dead = int((values == 0).sum())
    alt = (
        f"Firing rates of {len(values)} latents: {dead} never fire; the median is "
        f"{plain(float(np.median(values)))} and the largest {plain(float(values.max()))}."
    )
    return Picture(figure, table, alt)


@draws
def sparsity_panel(codes: Any, n: int = 40, *, active_above: float | None = None) -> Picture:
    """Draw the histogram, the heat map and the firing rates of codes in one figure.

    A latent fires on a sample where its magnitude exceeds ``active_above``, by default 1 % of
    the codes' full scale (see :mod:`isthmus.figures.activity`).

    Parameters
    ----------
    codes
        ``(N, latents)``.
    n
        How many codes the heat map shows.
    active_above
        Magnitude that an activation must exceed to be active.

    Returns
    -------
    Picture
        Its table: the three tables under one another, by ``panel``.

    Raises
    ------
    DataError
        If there are no codes, or they aren't finite numbers.
    """
    values = as_matrix(codes)
    figure = new_figure(7.0, 6.2)
    grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1))
    heat = draw_heatmap(figure.add_subplot(grid[0, :]), values[: as_count(n, "n")])
    histogram = draw_histogram(figure.add_subplot(grid[1, 0]), values)
    fires = figure.add_subplot(grid[1, 1])
    rates = draw_firing_rates(fires, firing(values, active_above).mean(axis=0))
    said = _says(values, active_above)
    figure.suptitle(said, x=0.01, ha="left", fontsize=10)
    table = stacked({"heat map": heat, "histogram": histogram, "firing rates": rates})
    return Picture(figure, table, f"Sparsity of codes: {said}.")


def draw_histogram(
    axes: Axes,
    values: np.ndarray,
    edges: np.ndarray | None = None,
    scale: float = 1.0,
    legend: bool = True,
) -> Table:
    """Draw shares of values in bins on given axes; values beyond ``edges`` fall in the ends."""
    values = values.astype(np.float64).ravel() / scale
    edges = _edges(values) if edges is None else edges
    zero = values == 0
    inside = np.clip(values[~zero], edges[0], edges[-1])
    share = np.histogram(inside, bins=edges)[0] / values.size
    zeros = np.histogram(np.zeros(int(zero.sum())), bins=edges)[0] / values.size
    width, low = np.diff(edges), edges[:-1]
    axes.bar(low, share, width, align="edge", color=BLUE, label="not zero")
    if zero.any():
        here = zeros > 0
        axes.bar(
            low[here], zeros[here], width[here], bottom=share[here], align="edge",
            facecolor="white", edgecolor=ORANGE, hatch="////",
            label=f"exactly 0: {_percent(zero.mean())}",
        )  # fmt: skip
        if legend:
            axes.legend(loc="upper right")
    axes.set_yscale("log")
    shares = (share + zeros)[share + zeros > 0]
    axes.set_ylim(shares.min() / 2, min(1.0, shares.max()) * 2.5)
    axes.yaxis.set_major_formatter(_percent)
    axes.yaxis.set_minor_formatter("")
    axes.set(xlabel="value of the code", ylabel="share of values")
    axes.set_title("code values")
    return Table({"low": low, "high": edges[1:], "share": share, "zeros": zeros})


def _edges(values: np.ndarray, bins: int = 60) -> np.ndarray:
    """Give bin edges over all values, zero being the middle or the edge of a bin."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if high - low <= 0:
        return np.array([-0.5, 0.5])
    width = (high - low) / bins
    if low == 0:
        return np.asarray(np.linspace(0.0, high, bins + 1))
    # An odd step from the middle of the zero bin outwards, so that zero is no bin's border.
    first, last = np.floor(low / width - 0.5), np.ceil(high / width + 0.5)
    return np.asarray((np.arange(first, last) + 0.5) * width)


def draw_heatmap(axes: Axes, values: np.ndarray, title: str = "codes", bar: bool = True) -> Table:
    """Draw codes above one another on given axes."""
    from matplotlib.ticker import MaxNLocator

    latents = np.arange(values.shape[1])
    what = "latent"
    if len(latents) > _MOST_LATENTS:
        strongest = np.argsort(-np.abs(values).mean(axis=0), kind="stable")[:_MOST_LATENTS]
        what = f"{_MOST_LATENTS} strongest of {len(latents):,}" + " latents" * bar
        latents = np.sort(strongest)
        values = values[:, latents]
    reach = float(np.abs(values).max()) or 1.0
    signed = bool((values < 0).any())
    artist = axes.imshow(
        values, aspect="auto", interpolation="nearest", cmap=SIGNED if signed else RAMP,
        vmin=-reach if signed else 0.0, vmax=reach,
    )  # fmt: skip
    if bar:
        axes.figure.colorbar(artist, ax=axes, label="value", pad=0.02, format=plain)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=8 if bar else 5, integer=True, min_n_ticks=1))
    axes.set(xlabel=what, ylabel="sample")
    axes.set_title(title)
    rows = np.repeat(np.arange(len(values)), len(latents))
    columns = np.tile(latents, len(values))
    return Table({"sample": rows, "latent": columns, "value": values.ravel()})


def draw_firing_rates(axes: Axes, rates: np.ndarray, edges: np.ndarray | None = None) -> Table:
    """Draw numbers of latents by firing rate, in bins of equal ratio, the dead ones apart."""
    from matplotlib.ticker import MaxNLocator

    edges = rate_edges(rates) if edges is None else edges
    alive = rates[rates > 0]
    counts = np.histogram(np.clip(alive, edges[0], edges[-1]), bins=edges)[0]
    dead = int((rates == 0).sum())
    places = np.arange(len(counts)) + 0.5
    axes.bar(places, counts, 1.0, color=BLUE, edgecolor="white", linewidth=0.5)
    if dead:
        axes.bar(_NEVER, dead, 1.6, facecolor="white", edgecolor=ORANGE, hatch="////")
        axes.annotate(
            str(dead), (_NEVER, dead), ha="center", va="bottom", fontsize=9, xytext=(0, 1),
            textcoords="offset points",
        )  # fmt: skip
    ticks, names = _rate_ticks(edges)
    axes.set_xticks([_NEVER, *ticks], ["never", *names])
    axes.set_xlim(_NEVER - 1.6, len(counts) + 0.6)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.margins(y=0.12)
    axes.set(xlabel="share of samples a latent fires on", ylabel="latents")
    axes.set_title(f"firing rates of {len(rates):,} latents")
    return Table(
        {
            "low": np.array([0.0, *edges[:-1]]),
            "high": np.array([0.0, *edges[1:]]),
            "latents": np.array([dead, *counts]),
        }
    )


def _rate_ticks(edges: np.ndarray) -> tuple[list[float], list[str]]:
    """Give up to five round rates, at their places on the axis of equal-ratio bins."""
    steps = np.log(edges[-1] / edges[0])
    powers = [10.0**p for p in range(-12, 1) if 10.0**p >= edges[0] * (1 - 1e-9)]
    finer = [m * 10.0**p for p in range(-12, 1) for m in (1, 2, 5)]
    inside = [r for r in finer if edges[0] * (1 - 1e-9) <= r <= 1]
    inside = powers if len(powers) >= 3 else inside
    ticks: list[float] = []
    for rate in reversed(inside):
        place = float(np.log(rate / edges[0]) / steps * (len(edges) - 1))
        if not ticks or ticks[-1] - place >= 0.2 * (len(edges) - 1):
            ticks.append(place)
    rates = edges[0] * np.exp(np.array(ticks) * steps / (len(edges) - 1))
    return ticks, [_percent(rate) for rate in rates]


def rate_edges(rates: np.ndarray, bins: int = 20) -> np.ndarray:
    """Give edges of equal ratio from the least rate above zero (at most 10 %) to 1."""
    alive = rates[rates > 0]
    least = min(0.1, float(alive.min())) if alive.size else 0.1
    return np.asarray(np.append(np.geomspace(least, 1.0, bins + 1)[:-1], 1.0))


def _as_rates(rates: Any) -> np.ndarray:
    values = as_numbers(rates, "firing rates").astype(np.float64)
    if values.ndim != 1:
        raise DataError("firing rates must have one dimension", why=f"shape {values.shape}")
    if values.min() < 0 or values.max() > 1:
        raise DataError(
            "firing rates must lie between 0 and 1",
            why=f"they go from {values.min():g} to {values.max():g}",
            fix="divide the counts by the number of samples",
        )
    return values


def _percent(share: float, _position: object = None) -> str:
    return f"{plain(100 * share)} %"


def _says(values: np.ndarray, active_above: float | None = None) -> str:
    found = activity(values, active_above)
    if full_scale(values) == 0:
        return f"{found.samples:,} codes of {found.latents:,} latents, all exactly zero"
    # A mean that is only rounding error is shown as the zero that it stands for.
    mean = found.mean if abs(found.mean) > 1e-6 * found.full_scale else 0.0
    edge = f"{_percent(NEAR_ZERO)} of full scale" if active_above is None else plain(active_above)
    return (
        f"{found.samples:,} codes: L0 {plain(found.l0)} of {found.latents:,} latents "
        f"(|value| > {edge}), mean {plain(mean)}, "
        f"Hoyer {plain(found.hoyer)}, {found.dead:,} dead"
    )
