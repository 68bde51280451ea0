"""What a variational model spends on its latents, and what that buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.checks import as_numbers
from isthmus.figures.picture import Picture
from isthmus.figures.style import (
    BLUE,
    GREY,
    colour,
    draws,
    mark,
    new_figure,
    plain,
    short,
)
from isthmus.figures.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["kl_per_latent", "rate_distortion"]


@draws
def kl_per_latent(kl: Any, active: Any) -> Picture:
    """Draw the KL divergence of each latent from the prior, the largest first.

    Parameters
    ----------
    kl
        ``(latents,)`` mean KL in nats.
    active
        ``(latents,)`` booleans: which latents are active units.

    Returns
    -------
    Picture
        Its table: ``latent``, ``kl``, ``active``, sorted as drawn.

    Raises
    ------
    DataError
        If the lengths differ or a value isn't finite.
    """
    values = as_numbers(kl, "KL values").astype(np.float64)
    flags = np.asarray(active)
    if values.ndim != 1 or flags.shape != values.shape or flags.dtype != np.bool_:
        raise DataError(
            "each latent needs one KL value and one flag",
            why=f"kl {values.shape}, active {flags.shape} of type {flags.dtype}",
        )
    order = np.argsort(-values, kind="stable")
    values, flags = values[order], flags[order]
    figure = new_figure()
    axes = figure.subplots()
    place = np.arange(len(values))
    # of no bars at all the legend would show another colour
    if flags.any():
        axes.bar(place[flags], values[flags], 0.85, color=BLUE, label=f"active: {flags.sum()}")
    if not flags.all():
        axes.bar(
            place[~flags], values[~flags], 0.85, facecolor="white", edgecolor=GREY, hatch="////",
            label=f"not active: {(~flags).sum()}",
        )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.8)
    few = len(values) <= 32
    axes.set_xticks(place if few else [], [str(i) for i in order] if few else [])
    axes.tick_params(axis="x", labelrotation=90 if len(values) > 20 else 0)
    axes.set(xlabel="latent, by KL" if few else f"{len(values)} latents, by KL", ylabel="KL (nats)")
    axes.set_title(
        f"{flags.sum()} of {len(values)} latents active, {plain(values.sum())} nats in all"
    )
    axes.legend(loc="upper right")
    alt = (
        f"KL of each latent: {flags.sum()} of {len(values)} are active; the sum is "
        f"{plain(values.sum())} nats and the largest {plain(values[0])}."
    )
    return Picture(figure, Table({"latent": order, "kl": values, "active": flags}), alt)


@draws
def rate_distortion(
    points: Mapping[str, tuple[float, float] | Sequence[tuple[float, float]]],
) -> Picture:
    """Draw models by rate and distortion, over lines of equal ELBO.

    On a grey line rate plus distortion, the negative ELBO, is the same (Alemi et al., 2018).

    Parameters
    ----------
    points
        Model name to its (rate, distortion) in nats a sample, or to several of them (a curve:
        seeds, or values of beta), which are joined in order of rate.

    Returns
    -------
    Picture
        Its table: ``model``, ``rate``, ``distortion``, ``negative_elbo``.

    Raises
    ------
    DataError
        If there is no point, or one isn't a pair of finite numbers.
    """
    if not points:
        raise DataError("there are no rate-distortion points to draw")
    series = {name: _pairs(value, name) for name, value in points.items()}
    figure = new_figure()
    axes = figure.subplots()
    for index, (name, pairs) in enumerate(series.items()):
        axes.plot(
            pairs[:, 0], pairs[:, 1], color=colour(index), marker=mark(index), markersize=8,
            markeredgecolor="white", linewidth=1.2, label=short(name), zorder=3,
        )  # fmt: skip
    every = np.concatenate(list(series.values()))
    _equal_elbo(axes, every)
    axes.set(xlabel="rate: KL from the prior (nats)", ylabel="distortion (nats)")
    axes.set_title("rate and distortion; grey: equal negative ELBO")
    figure.legend(loc="outside right upper")
    table = Table(
        {
            "model": [name for name, pairs in series.items() for _ in pairs],
            "rate": every[:, 0],
            "distortion": every[:, 1],
            "negative_elbo": every.sum(axis=1),
        }
    )
    said = "; ".join(f"{n}: {plain(p[0, 0])}, {plain(p[0, 1])}" for n, p in series.items())
    return Picture(figure, table, f"Rate and distortion in nats: {said}.")


def _pairs(value: Any, name: str) -> np.ndarray:
    pairs = np.atleast_2d(as_numbers(value, f"points of {name}").astype(np.float64))
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise DataError(
            "a point must be a pair (rate, distortion)", where=name, why=f"shape {pairs.shape}"
        )
    return np.asarray(pairs[np.argsort(pairs[:, 0], kind="stable")])


def _equal_elbo(axes: Axes, points: np.ndarray) -> None:
    """Draw about five lines of equal sum across the panel, each with its value."""
    from matplotlib.ticker import MaxNLocator

    low, high = points.min(axis=0), points.max(axis=0)
    pad = np.maximum(0.12 * (high - low), 0.02 * np.maximum(np.abs(high), 1.0))
    (x0, y0), (x1, y1) = low - pad, high + pad
    for total in MaxNLocator(6).tick_values(x0 + y0, x1 + y1):
        left, right = max(x0, total - y1), min(x1, total - y0)
        if right - left < 0.12 * (x1 - x0):
            continue
        inset = 0.04 * min(x1 - x0, y1 - y0)
        axes.plot([left, right], [total - left, total - right], color="#BBBBBB", lw=0.9, zorder=1)
        axes.annotate(
            plain(total), (right - inset, total - right + inset), color="#555555", fontsize=9,
            ha="right", va="center", annotation_clip=False, zorder=2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )  # fmt: skip
    axes.set(xlim=(x0, x1), ylim=(y0, y1))
