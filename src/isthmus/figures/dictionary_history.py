"""Dead latents over the course of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.dictionary import percent
from isthmus.figures.picture import Picture
from isthmus.figures.style import colour, dash, draws, mark, new_figure, plain, short
from isthmus.figures.table import Table, stacked

__all__ = ["dead_latents"]

History = Mapping[str, Sequence[Any]]
_SIDES = ("", "train_", "validation_")


@draws
def dead_latents(
    histories: History | Mapping[str, History],
    *,
    column: str = "dead_fraction",
    over: str = "epoch",
) -> Picture:
    """Draw the share of latents that are dead, over the epochs of one run or of several.

    Parameters
    ----------
    histories
        Column name to its values, one an epoch; or run name to such a history. The share is
        looked for as ``dead_fraction``, ``train_dead_fraction`` and
        ``validation_dead_fraction``, in this order.
    column
        Name of the share, if it has another.
    over
        The column of the horizontal axis, such as ``epoch`` (default) or ``steps``.

    Returns
    -------
    Picture
        Its table, by ``run``: the column ``over`` and ``dead``.

    Raises
    ------
    DataError
        If there is no run, a run lacks a column, its columns differ in length, or a share lies
        outside 0 to 1.
    """
    from matplotlib.ticker import MaxNLocator

    runs = _named(histories)
    figure = new_figure(7.0, 3.9)
    axes = figure.subplots()
    tables: dict[str, Table] = {}
    for index, (name, history) in enumerate(runs.items()):
        x, dead = _columns(history, name, column, over)
        axes.plot(
            x, dead, color=colour(index), linestyle=dash(index), marker=mark(index),
            markevery=max(1, len(x) // 12), label=short(name), clip_on=False, zorder=3,
        )  # fmt: skip
        tables[name] = Table({over: x, "dead": dead})
    every = np.concatenate([np.asarray(table["dead"]) for table in tables.values()])
    axes.set_ylim(0, max(0.01, 1.08 * float(np.nanmax(every))))
    axes.yaxis.set_major_formatter(percent)
    axes.xaxis.set_major_formatter(plain)
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
    axes.grid(True)
    axes.set(xlabel=over.replace("_", " "), ylabel="latents that are dead")
    axes.set_title("dead latents over the training")
    if len(runs) > 1:
        figure.legend(loc="outside right upper")
    ends = ", ".join(f"{n} {percent(float(_last(t['dead'])))}" for n, t in tables.items())
    alt = f"Share of dead latents over {over} of {len(runs)} run(s); at the end: {ends}."
    return Picture(figure, stacked(tables, by="run"), alt)


def _named(histories: History | Mapping[str, History]) -> dict[str, History]:
    """Give several histories by name; one by itself is named "run"."""
    if not histories:
        raise DataError("there are no histories to draw")
    if all(isinstance(value, Mapping) for value in histories.values()):
        runs = cast("Mapping[str, History]", histories)
        return {str(name): history for name, history in runs.items()}
    return {"run": cast("History", histories)}


def _columns(history: History, name: str, column: str, over: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the horizontal axis and the share of one run, NaN where nothing was recorded."""
    found = next((s + column for s in _SIDES if s + column in history), None)
    for wanted, there in ((column, found is not None), (over, over in history)):
        if not there:
            has = ", ".join(map(str, history))
            raise DataError(
                f"there is no column {wanted!r}", where=f"run {name!r}", why=f"it has {has}"
            )
    x, dead = (_floats(history[key]) for key in (over, str(found)))
    if len(x) != len(dead) or not np.isfinite(dead).any() or not np.isfinite(x).all():
        raise DataError(
            f"the columns {over!r} and {found!r} can't be drawn",
            where=f"run {name!r}",
            why=f"{len(x)} and {len(dead)} values, {int(np.isfinite(dead).sum())} shares",
        )
    if np.nanmin(dead) < 0 or np.nanmax(dead) > 1:
        raise DataError(
            "the share of dead latents lies between 0 and 1",
            where=f"run {name!r}, column {found!r}",
            why=f"it goes from {np.nanmin(dead):g} to {np.nanmax(dead):g}",
            fix="divide the count by the number of latents",
        )
    return x, dead


def _floats(values: Sequence[Any]) -> np.ndarray:
    found = np.array([np.nan if v is None else float(v) for v in values])
    found[~np.isfinite(found)] = np.nan
    return found


def _last(values: Any) -> float:
    array = np.asarray(values)
    return float(array[np.isfinite(array)][-1])
