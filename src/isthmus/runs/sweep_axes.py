"""What the trade-off figure of a sweep shows, and the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from isthmus.runs.rows import Row

if TYPE_CHECKING:
    from isthmus.figures import Picture

__all__ = ["Axes", "axes_along", "axes_for", "draw"]


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
    gain: bool = False
    """Whether more of y is better: then it is what is won."""


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
    return axes_along(costs, y, rows, varied, _HELD.get(hold, frozenset()))


def axes_along(
    costs: Sequence[str],
    y: str,
    rows: Sequence[Row],
    varied: Sequence[str],
    constant: frozenset[str] = frozenset(),
    *,
    gain: bool = False,
) -> Axes:
    """Draw ``y`` against the first cost that moves, else against a varied number.

    Parameters
    ----------
    costs
        Columns of which less is better, those that say most first.
    constant
        Columns that don't count as moving.
    gain
        Whether more of ``y`` is better.
    """
    knobs = [name for name in varied if all(_is_number(row.get(name)) for row in rows)]
    moving = [n for n in (*costs, *knobs) if n not in constant and _moves(rows, n)]
    x = moving[0] if moving else "parameters"
    group = _group(rows, varied, knobs, x)
    apart = tuple(name for name in varied if name != group)
    settings = () if apart in ((x,), ()) else apart
    return Axes(x, y, group, settings, x in costs and bool(moving), gain)


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

    picture = figures.tradeoff(
        rows, axes.x, axes.y, axes.group, axes.cost, settings=axes.settings, lower_y=not axes.gain
    )
    if not axes.cost:
        # a mere knob, such as a learning rate, has no better end
        plot = picture.figure.axes[0]
        plot.set_xlabel(plot.get_xlabel().split("  \N{LEFTWARDS ARROW}")[0])
    return picture
