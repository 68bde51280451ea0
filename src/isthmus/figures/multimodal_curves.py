"""Curves of several modalities: what missing items cost, each one's loss, who contributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.checks import as_numbers
from isthmus.figures.picture import Picture
from isthmus.figures.style import (
    GREY,
    colour,
    dash,
    draws,
    mark,
    new_figure,
    plain,
    short,
)
from isthmus.figures.table import Column, Table

__all__ = ["contribution_bars", "modality_losses", "robustness_curves"]

_HATCHES = ("", "//", "..", "xx", "\\\\", "++")


@draws
def robustness_curves(
    at: Sequence[float],
    curves: Mapping[str, Sequence[float | None]],
    halves: Mapping[str, Sequence[float | None]] | None = None,
    *,
    across: str = "share of items that are missing",
    up: str = "score",
    references: Mapping[str, float] | None = None,
    log: bool = False,
) -> Picture:
    """Draw measures against how much is missing, or against pairs per class.

    Parameters
    ----------
    at
        The settings, rising.
    curves
        By name, a value a setting; None where there is none.
    halves
        By name, half the width of each value's interval over seeds, drawn as a band.
    across, up
        What the axes show.
    references
        Levels to draw as lines, such as chance and an oracle.
    log
        Whether the settings are on a logarithmic axis.

    Returns
    -------
    Picture
        Its table: ``curve``, ``at``, ``value``, ``half``.

    Raises
    ------
    DataError
        If lengths differ, or there is nothing to draw.
    """
    places = as_numbers(at, "settings").astype(np.float64)
    if not curves or any(len(values) != len(places) for values in curves.values()):
        raise DataError("every curve needs a value a setting")
    figure = new_figure(6.6, 3.9)
    axes = figure.subplots()
    table: dict[str, Column] = {"curve": [], "at": [], "value": [], "half": []}
    for index, (name, values) in enumerate(curves.items()):
        numbers = np.array([np.nan if v is None else float(v) for v in values])
        spread = list((halves or {}).get(name, [None] * len(places)))
        if len(spread) != len(places):
            raise DataError("every interval needs a value a setting", where=name)
        kept = np.isfinite(numbers)
        axes.plot(
            places[kept], numbers[kept], color=colour(index), linestyle=dash(index),
            marker=mark(index), label=short(name, 40),
        )  # fmt: skip
        wide = np.array([0.0 if s is None else float(s) for s in spread])
        if (wide > 0).any():
            axes.fill_between(
                places[kept], (numbers - wide)[kept], (numbers + wide)[kept],
                color=colour(index), alpha=0.15, linewidth=0,
            )  # fmt: skip
        rows: tuple[list[Any], ...] = (
            [name] * len(places), places.tolist(), list(values), spread,
        )  # fmt: skip
        for column, added in zip(table, rows, strict=True):
            table[column] = [*table[column], *added]
    for name, level in (references or {}).items():
        axes.axhline(level, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            short(name, 24), (1.0, level), xycoords=("axes fraction", "data"), ha="right",
            va="bottom", fontsize=8.5, color="#555555",
        )  # fmt: skip
    if log:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(places, [plain(place) for place in places])
    axes.set(xlabel=across, ylabel=up)
    axes.grid(axis="y")
    figure.legend(loc="outside upper left", ncols=2)
    alt = f"{', '.join(curves)} against {across}, at {len(places)} settings."
    return Picture(figure, Table(table), alt)


@draws
def modality_losses(history: Mapping[str, Sequence[Any]]) -> Picture:
    """Draw each modality's loss in nats per dimension, and what is explained of it, over epochs.

    Training is solid, validation dashed; a modality that collapses stays at an R^2 of 0.

    Parameters
    ----------
    history
        Columns, one value an epoch: ``epoch``, ``train_nats_NAME``, ``validation_nats_NAME``,
        ``r2_NAME``.

    Returns
    -------
    Picture
        Its table: ``epoch`` and the columns drawn.

    Raises
    ------
    DataError
        If there are no such columns.
    """
    from matplotlib.ticker import MaxNLocator

    names = [n.removeprefix("train_nats_") for n in history if n.startswith("train_nats_")]
    if not names or not len(history.get("epoch", ())):
        raise DataError("the history has no losses of modalities to draw")
    epochs = np.asarray(history["epoch"], np.float64)
    figure = new_figure(max(6.5, 2.7 * len(names) + 0.6), 4.6)
    grid = figure.subplots(2, len(names), squeeze=False, sharex=True)
    table: dict[str, Column] = {"epoch": epochs}
    for column, name in enumerate(names):
        upper, lower = grid[0][column], grid[1][column]
        for side, look in (("train", "-"), ("validation", "--")):
            key = f"{side}_nats_{name}"
            if key in history:
                table[key] = np.asarray(history[key], np.float64)
                upper.plot(
                    epochs, table[key], look, color=colour(0 if look == "-" else 1),
                    marker="o" if len(epochs) < 3 else None,
                    label="training" if look == "-" else "validation",
                )  # fmt: skip
        upper.set_title(short(name, 18))
        key = f"r2_{name}"
        if key in history:
            table[key] = np.asarray(history[key], np.float64)
            lower.plot(
                epochs, table[key], color=colour(2), linestyle="-.",
                marker="o" if len(epochs) < 3 else None, label="R\N{SUPERSCRIPT TWO}, validation",
            )  # fmt: skip
        low = float(np.nanmin(table[key])) if key in table else 0.0
        lower.set_ylim(min(-0.05, max(low, -1.0) - 0.05), 1.03)
        lower.axhline(0, color=GREY, linewidth=1, linestyle=":")
        lower.set_xlabel("epoch")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (upper, lower):
            axes.grid(axis="y")
            axes.yaxis.set_major_formatter(plain)
    grid[0][0].set_ylabel("nats per dimension")
    grid[1][0].set_ylabel("share explained")
    handles = {h.get_label(): h for axes in grid[:, 0] for h in axes.get_lines()}
    wanted = [h for label, h in handles.items() if not str(label).startswith("_")]
    figure.legend(handles=wanted, loc="outside upper right", ncols=3)
    alt = f"Loss in nats per dimension and share explained of {', '.join(names)} over the epochs."
    return Picture(figure, Table(table), alt)


@draws
def contribution_bars(
    shares: Mapping[str, Mapping[str, float]], across: str = "share of the joint code's precision"
) -> Picture:
    """Draw who contributes to the joint code: each modality's share of its precision.

    Parameters
    ----------
    shares
        By row (a class, or what was given), by modality, a share from 0 to 1; what is left to 1
        is the prior's.
    across
        What the shares are of.

    Returns
    -------
    Picture
        Its table: ``row``, ``part``, ``share``.

    Raises
    ------
    DataError
        If there are no rows, or shares don't lie in [0, 1] or sum to more than 1.
    """
    names = list(dict.fromkeys(name for parts in shares.values() for name in parts))
    rows = list(shares)
    values = np.array([[shares[row].get(name, 0.0) for name in names] for row in rows], np.float64)
    if not rows or not names or not np.isfinite(values).all():
        raise DataError("contributions need rows of finite shares")
    if values.min() < -1e-6 or values.sum(axis=1).max() > 1 + 1e-4:
        raise DataError("shares of a joint code lie in [0, 1] and sum to 1 at most")
    rest = np.clip(1 - values.sum(axis=1), 0, None)
    parts = [*names, "prior"] if rest.max() > 1e-4 else names
    table_values = np.column_stack([values, rest])[:, : len(parts)]
    figure = new_figure(6.6, 1.2 + 0.32 * len(rows))
    axes = figure.subplots()
    left = np.zeros(len(rows))
    for index, name in enumerate(parts):
        grey = name == "prior" and index == len(names)
        axes.barh(
            np.arange(len(rows)), table_values[:, index], left=left, height=0.75,
            color="#DDDDDD" if grey else colour(index), edgecolor="white",
            hatch=_HATCHES[index % len(_HATCHES)], label=short(name, 18),
        )  # fmt: skip
        left = left + table_values[:, index]
    axes.set_yticks(np.arange(len(rows)), [short(row, 24) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(across)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper left", ncols=min(5, len(parts)))
    table: dict[str, Column] = {
        "row": [row for row in rows for _ in parts],
        "part": parts * len(rows),
        "share": table_values.ravel(),
    }
    alt = "Share of each modality in the joint code: " + "; ".join(
        f"{row} " + ", ".join(f"{n} {v:.0%}" for n, v in zip(parts, line, strict=True))
        for row, line in zip(rows[:4], table_values[:4], strict=True)
    )
    return Picture(figure, Table(table), alt + ".")
