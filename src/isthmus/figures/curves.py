"""Losses over the epochs of one run, and of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.figures.picture import Picture
from isthmus.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    colour,
    dash,
    draws,
    log_axis,
    mark,
    new_figure,
    plain,
    short,
)
from isthmus.figures.table import Column, Table, stacked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["history_overlay", "loss_curves"]

History = Mapping[str, Sequence[Any]]
_SIDES = ("train", "validation")


@draws
def loss_curves(
    history: History,
    *,
    terms: Sequence[str] = ("loss", "distortion", "rate", "penalty"),
    best: int | None = None,
) -> Picture:
    """Draw the total loss and each of its terms over the epochs.

    Training is solid, validation dashed with marks; a panel's axis is logarithmic where its
    values are positive and span more than about 1.3 decades. A term that is zero throughout
    has no panel, nor has one that is the whole loss.

    Parameters
    ----------
    history
        Column name to its values, one an epoch: ``epoch``, ``train_loss``,
        ``validation_loss``, ``train_distortion``, ... Missing values are None or NaN.
    terms
        Which terms, the total first; a term without columns is passed over.
    best
        The epoch whose weights were kept, to mark it; by default the mark is at that of lowest
        validation loss, or of lowest training loss where nothing was validated.

    Returns
    -------
    Picture
        Its table: ``epoch`` and the columns that are drawn.

    Raises
    ------
    DataError
        If there is no epoch, no finite loss, or the columns differ in length.
    """
    epochs, columns = _read(history, "the history", terms)
    shown = _worth_drawing(columns, terms)
    said = "lowest loss" if best is None else "kept"
    best = _best_epoch(epochs, columns, terms[0]) if best is None else best
    across = min(len(shown), 3 if len(shown) == 3 else 2)
    rows = -(-len(shown) // across)
    figure = new_figure(8.0 if across == 3 else 7.0, 3.6 if rows == 1 else 2.6 * rows + 0.4)
    grid = figure.subplots(rows, across, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    for axes, term in zip(grid, shown, strict=False):
        alone = "" if len(shown) > 1 or term not in terms[1:] else " (the whole loss)"
        _draw_term(axes, epochs, columns, term)
        axes.axvline(best, color=BLACK, linestyle=":", linewidth=1.2, label=f"{said}: epoch {best}")
        axes.set_title(("total loss" if term == terms[0] else term) + alone)
    for axes in grid[max(0, len(shown) - across) : len(shown)]:
        axes.set_xlabel("epoch")
    handles = {h.get_label(): h for axes in grid[: len(shown)] for h in axes.get_lines()}
    figure.legend(handles=list(handles.values()), loc="outside upper right", ncols=3)
    table: dict[str, Column] = {"epoch": epochs}
    table |= {n: v for n, v in columns.items() if n.partition("_")[2] in shown}
    mark_says = f"{said}: epoch {best}"
    return Picture(figure, Table(table), _describe(epochs, columns, terms[0], mark_says))


@draws
def history_overlay(
    histories: Mapping[str, History], *, column: str = "validation_loss"
) -> Picture:
    """Draw one column of several runs' histories over one another.

    Losses of different likelihoods or weights are on different scales: compare
    ``validation_distortion`` or a metric where the objectives differ.

    Parameters
    ----------
    histories
        Run name to its history, as for :func:`loss_curves`.
    column
        Which column; each run must have it.

    Returns
    -------
    Picture
        Its table: ``run``, ``epoch`` and ``column``.

    Raises
    ------
    DataError
        If there is no run, or a run lacks the column or any finite value of it.
    """
    if not histories:
        raise DataError("there are no histories to draw")
    figure = new_figure(7.0, 4.0 + 0.16 * max(0, len(histories) - 12))
    axes = figure.subplots()
    tables: dict[str, Table] = {}
    for index, (run, history) in enumerate(histories.items()):
        epochs = _epochs(history, f"run {run!r}")
        values = _values(history, column, len(epochs), f"run {run!r}")
        _line(
            axes, epochs, values,
            color=colour(index), linestyle=dash(index), marker=mark(index), label=short(run),
        )  # fmt: skip
        tables[run] = Table({"epoch": epochs, column: values})
    log_axis(axes, "y", np.concatenate([np.asarray(t[column]) for t in tables.values()]))
    _whole_epochs(axes)
    axes.grid(True)
    axes.set(xlabel="epoch", ylabel=column.replace("_", " "))
    figure.legend(loc="outside right upper")
    last = ", ".join(f"{run} {plain(_finite(t[column])[-1])}" for run, t in tables.items())
    alt = f"{column.replace('_', ' ')} over the epochs of {len(tables)} runs; at the end: {last}."
    return Picture(figure, stacked(tables, by="run"), alt)


def _read(
    history: History, where: str, terms: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Take the epochs and the columns of ``terms`` out of a history."""
    if not terms:
        raise ConfigError("name at least one term of the loss to draw")
    epochs = _epochs(history, where)
    names = [f"{side}_{term}" for term in terms for side in _SIDES]
    columns = {
        name: _values(history, name, len(epochs), where, missing_ok=True)
        for name in names
        if name in history
    }
    if not any(np.isfinite(columns.get(f"{side}_{terms[0]}", np.nan)).any() for side in _SIDES):
        raise DataError(
            "the history holds no finite loss",
            where=f"columns train_{terms[0]}, validation_{terms[0]}",
            why=f"it has {', '.join(map(str, history)) or 'no columns'}",
        )
    return epochs, columns


def _epochs(history: History, where: str) -> np.ndarray:
    if "epoch" not in history or len(history["epoch"]) == 0:
        raise DataError("there is no epoch to draw", where=where, fix="train for at least one")
    return np.asarray(history["epoch"], dtype=np.float64).astype(np.int64)


def _values(
    history: History, name: str, length: int, where: str, missing_ok: bool = False
) -> np.ndarray:
    """Give a column as float64, with NaN where nothing finite was recorded."""
    if name not in history:
        has = ", ".join(map(str, history))
        raise DataError(f"there is no column {name!r}", where=where, why=f"it has {has}")
    values = np.array([np.nan if v is None else float(v) for v in history[name]])
    if len(values) != length:
        why = f"{len(values)} values, {length} epochs"
        raise DataError(f"column {name!r} has another length", where=where, why=why)
    values[~np.isfinite(values)] = np.nan
    if not missing_ok and np.isnan(values).all():
        raise DataError(f"column {name!r} holds no finite value", where=where)
    return values


def _finite(values: Column) -> np.ndarray:
    array = np.asarray(values)
    return np.asarray(array[np.isfinite(array)])


def _worth_drawing(columns: Mapping[str, np.ndarray], terms: Sequence[str]) -> list[str]:
    """Leave out the terms that are zero throughout, and the total where one term is all of it."""

    def values(term: str) -> np.ndarray:
        return np.concatenate([columns.get(f"{side}_{term}", np.empty(0)) for side in _SIDES])

    parts = [term for term in terms[1:] if np.any(np.nan_to_num(values(term)) != 0)]
    total = values(terms[0])
    if len(parts) == 1 and np.array_equal(values(parts[0]), total, equal_nan=True):
        return parts
    return [terms[0], *parts]


def _best_epoch(epochs: np.ndarray, columns: Mapping[str, np.ndarray], total: str) -> int:
    for side in reversed(_SIDES):
        values = columns.get(f"{side}_{total}")
        if values is not None and np.isfinite(values).any():
            return int(epochs[np.nanargmin(values)])
    return int(epochs[-1])  # pragma: no cover - _read has seen a finite loss


def _draw_term(
    axes: Axes, epochs: np.ndarray, columns: Mapping[str, np.ndarray], term: str
) -> None:
    """Draw one term's two curves."""
    looks: dict[str, dict[str, Any]] = {
        "train": {"color": BLUE, "linestyle": "-", "marker": "" if len(epochs) > 2 else "s"},
        "validation": {"color": ORANGE, "linestyle": "--", "marker": "o"},
    }
    drawn = {s: columns[f"{s}_{term}"] for s in _SIDES if f"{s}_{term}" in columns}
    drawn = {side: values for side, values in drawn.items() if np.isfinite(values).any()}
    for side, values in drawn.items():
        _line(axes, epochs, values, label=side, **looks[side])
    if drawn:
        log_axis(axes, "y", np.concatenate(list(drawn.values())))
    _whole_epochs(axes)
    axes.grid(True)


def _line(axes: Axes, epochs: np.ndarray, values: np.ndarray, **look: Any) -> None:
    """Draw a curve with about a dozen marks, whatever its length."""
    axes.plot(epochs, values, markevery=max(1, len(epochs) // 12), **look)


def _whole_epochs(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))


def _describe(
    epochs: np.ndarray, columns: Mapping[str, np.ndarray], total: str, mark_says: str
) -> str:
    parts = []
    for side in _SIDES:
        values = _finite(columns.get(f"{side}_{total}", np.empty(0)))
        if values.size:
            parts.append(f"{side} {total} goes from {plain(values[0])} to {plain(values[-1])}")
    return (
        f"Loss over {len(epochs)} epoch{'s' * (len(epochs) != 1)}: {'; '.join(parts)}; {mark_says}."
    )
