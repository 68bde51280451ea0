"""Maps of the latent space, coloured by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.figures.checks import as_labels, as_matrix
from isthmus.figures.picture import Picture
from isthmus.figures.projection import Method, Projection, project
from isthmus.figures.style import BLACK, BLUE, colour, draws, mark, new_figure, short
from isthmus.figures.table import Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["latent_map", "latent_maps"]

_MOST_NAMED = 30
# A name among fewer points would stand in empty space, and look like a point of its own.
_FEW = 3


@draws
def latent_map(
    codes: Any,
    labels: Sequence[Any] | np.ndarray | None = None,
    method: Method = "tsne",
    seed: int = 0,
    perplexity: float = 30.0,
    *,
    label_names: Sequence[str] | None = None,
    limit: int = 2000,
) -> Picture:
    """Draw the codes in two dimensions; the title says how far the map can be trusted.

    Each label has a colour and a mark of its own, and its name stands at the median of its
    points, so that the map reads without colour.

    Parameters
    ----------
    codes
        ``(N, latents)``.
    labels
        One a sample: numbers or strings.
    method
        "pca" or "tsne"; see :func:`~isthmus.figures.projection.project`.
    seed
        Of the samples drawn and of t-SNE.
    perplexity
        Of t-SNE; reduced, and said so, where there are too few samples.
    label_names
        What to call label 0, 1, ...
    limit
        At most so many samples are drawn.

    Returns
    -------
    Picture
        Its table: ``row`` (of the codes), ``label``, ``x``, ``y``.

    Raises
    ------
    DataError, ConfigError
        As :func:`~isthmus.figures.projection.project`; also if the labels don't fit.
    """
    kept = as_labels(labels, len(as_matrix(codes)))
    map_ = project(codes, method, seed, perplexity=perplexity, limit=limit)
    names = _names(kept, map_.rows, label_names)
    figure = new_figure(7.0, 5.2)
    axes = figure.subplots()
    _draw_map(axes, map_, names, label_names)
    _legend(axes, names)
    table = {**_leading(map_, names), "x": map_.coordinates[:, 0], "y": map_.coordinates[:, 1]}
    return Picture(figure, Table(table), f"Latent map: {_says(map_)}.")


@draws
def latent_maps(
    codes: Any,
    labels: Sequence[Any] | np.ndarray | None = None,
    seed: int = 0,
    perplexity: float = 30.0,
    *,
    label_names: Sequence[str] | None = None,
    limit: int = 2000,
) -> Picture:
    """Draw the map by PCA and the map by t-SNE of the same samples side by side.

    Parameters are those of :func:`latent_map`.

    Returns
    -------
    Picture
        Its table: ``row``, ``label``, ``pca_x``, ``pca_y``, ``tsne_x``, ``tsne_y``.

    Raises
    ------
    DataError, ConfigError
        As :func:`latent_map`.
    """
    kept = as_labels(labels, len(as_matrix(codes)))
    methods: tuple[Method, Method] = ("pca", "tsne")
    maps = {m: project(codes, m, seed, perplexity=perplexity, limit=limit) for m in methods}
    rows = maps["pca"].rows
    names = _names(kept, rows, label_names)
    figure = new_figure(9.0, 4.6)
    grid = figure.subplots(1, 2)
    table: dict[str, Column] = _leading(maps["pca"], names)
    for axes, (method, map_) in zip(grid, maps.items(), strict=True):
        _draw_map(axes, map_, names, label_names)
        table |= {f"{method}_x": map_.coordinates[:, 0], f"{method}_y": map_.coordinates[:, 1]}
    _legend(grid[-1], names)
    alt = "Latent maps: " + "; ".join(_says(map_) for map_ in maps.values()) + "."
    return Picture(figure, Table(table), alt)


def _names(
    labels: np.ndarray | None, rows: np.ndarray, label_names: Sequence[str] | None
) -> list[str] | None:
    """Give the name of each drawn sample's label."""
    if labels is None:
        return None
    known: Mapping[str, str] = {str(i): name for i, name in enumerate(label_names or ())}
    return [known.get(str(label), str(label)) for label in labels[rows]]


def _groups(names: list[str] | None, known: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Give the positions of each name, known ones first, then numbers, then words."""
    if names is None:
        return {}
    array = np.array(names)
    first = [name for name in dict.fromkeys(known or ()) if name in set(names)]
    order = [*first, *sorted(set(names) - set(first), key=_numbers_first)]
    return {name: np.flatnonzero(array == name) for name in order}


def _numbers_first(name: str) -> tuple[bool, float, str]:
    try:
        return (False, float(name), name)
    except ValueError:
        return (True, 0.0, name)


def _leading(map_: Projection, names: list[str] | None) -> dict[str, Column]:
    return {"row": map_.rows, "label": [None] * len(map_.rows) if names is None else names}


def _draw_map(
    axes: Axes, map_: Projection, names: list[str] | None, known: Sequence[str] | None
) -> None:
    """Draw the points, a name at the median of each label, and what can be said of the map."""
    points = map_.coordinates
    size = float(np.clip(9000 / len(points), 9, 50))
    look: dict[str, Any] = {"s": size, "alpha": 0.8, "linewidths": 0.25, "edgecolors": "white"}
    groups = _groups(names, known)
    if not groups:
        axes.scatter(points[:, 0], points[:, 1], color=BLUE, **look)
    for index, (name, where) in enumerate(groups.items()):
        axes.scatter(
            points[where, 0], points[where, 1],
            color=colour(index), marker=mark(index), label=short(name, 18), **look,
        )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.margins(0.06)
    axes.spines[:].set_visible(False)
    axes.set_title(_title(map_))
    unnamed = [f"{len(groups)} labels: too many for a legend"] * (len(groups) > _MOST_NAMED)
    for line, note in enumerate([*map_.notes, *unnamed]):
        axes.text(
            0.0, -0.02 - 0.05 * line, note, transform=axes.transAxes, va="top", fontsize=9,
            color="#333333",
        )  # fmt: skip
    if 1 < len(groups) <= _MOST_NAMED and np.ptp(points, axis=0).any():
        _write_names(axes, points, groups)


def _title(map_: Projection) -> str:
    parts = [f"{map_.method} of {len(map_.rows):,} codes"]
    if map_.explained is not None:
        parts.append(f"{100 * map_.explained:.0f} % of the variance")
    trust = f"trustworthiness {map_.trustworthiness:.3f}"
    parts.append("trustworthiness undefined" if np.isnan(map_.trustworthiness) else trust)
    return f"{', '.join(parts[:-1])}\n{parts[-1]}" + (
        f" ({map_.neighbours} neighbours)" if map_.neighbours else ""
    )


def _says(map_: Projection) -> str:
    return ", ".join([_title(map_).replace("\n", ", "), *map_.notes])


def _write_names(axes: Axes, points: np.ndarray, groups: Mapping[str, np.ndarray]) -> None:
    """Write each label's name at its median, moved apart where two would overlap."""
    from matplotlib.patheffects import withStroke

    groups = {name: where for name, where in groups.items() if len(where) >= _FEW}
    if not groups:
        return
    medians = np.array([np.median(points[where], axis=0) for where in groups.values()])
    extent = np.ptp(points, axis=0)
    extent[extent == 0] = 1.0
    # A long name needs more room sideways than up and down.
    wide = np.array([max(1.0, 0.45 * min(14, max(map(len, groups)))), 1.0])
    places = _apart(medians / extent / wide) * extent * wide
    for name, (x, y) in zip(groups, places, strict=True):
        axes.text(
            x, y, short(name, 14), ha="center", va="center", fontsize=12, fontweight="bold",
            color=BLACK, path_effects=[withStroke(linewidth=3, foreground="white")],
            in_layout=False,
        )  # fmt: skip


def _apart(places: np.ndarray, least: float = 0.055) -> np.ndarray:
    """Push places apart until none are nearer than ``least``, as far as 60 rounds allow."""
    places = places + 1e-6 * np.arange(len(places))[:, None] * np.array([1.0, -1.0])
    for _ in range(60):
        delta = places[:, None] - places[None]
        distance = np.sqrt((delta**2).sum(axis=-1))
        np.fill_diagonal(distance, np.inf)
        if distance.min() >= least:
            break
        push = np.clip(least - distance, 0, None) / 2
        places = places + (delta / distance[..., None] * push[..., None]).sum(axis=1)
    return places


def _legend(axes: Axes, names: list[str] | None) -> None:
    from matplotlib.collections import PathCollection

    if names is None or len(set(names)) > _MOST_NAMED:
        return
    legend = axes.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1, labelspacing=0.35,
        ncols=1 if len(set(names)) <= 15 else 2,
    )  # fmt: skip
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([42.0])
            handle.set_alpha(1.0)
