"""The shared space of several modalities on a map, by modality and by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.checks import as_labels, as_matrix
from isthmus.figures.picture import Picture
from isthmus.figures.projection import Method, Projection, project
from isthmus.figures.style import colour, draws, mark, new_figure, short
from isthmus.figures.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["joint_map"]


@draws
def joint_map(
    codes: Any,
    modalities: Sequence[str] | np.ndarray,
    labels: Sequence[str] | np.ndarray | None = None,
    method: Method = "tsne",
    seed: int = 0,
    *,
    class_names: Sequence[str] = (),
    limit: int = 2000,
) -> Picture:
    """Draw shared codes of several modalities twice: coloured by modality, and by class.

    Where modalities share a space, the left panel is mixed and the right one is in patches.
    Codes are brought to unit length first, as cosines see them.

    Parameters
    ----------
    codes
        ``(N, Z)``, of all modalities under one another.
    modalities
        The modality of each (N,).
    labels
        The class of each (N,), as text; None draws the left panel alone.
    class_names
        Names of classes in the order of the legend; others follow.
    method, seed, limit
        As for :func:`~isthmus.figures.projection.project`.

    Returns
    -------
    Picture
        Its table: ``row``, ``modality``, ``label``, ``x``, ``y``.

    Raises
    ------
    DataError
        If the lengths differ, or codes aren't finite.
    """
    values = as_matrix(codes).astype(np.float64)
    kinds = as_labels(np.asarray(modalities, dtype=object), len(values))
    if kinds is None:
        raise DataError("a joint map needs the modality of every code")
    classes = None if labels is None else as_labels(np.asarray(labels, object), len(values))
    length = np.linalg.norm(values, axis=1, keepdims=True)
    map_ = project(values / np.where(length > 0, length, 1), method, seed, limit=limit)
    panels = [("by modality", kinds)] + ([] if classes is None else [("by class", classes)])
    figure = new_figure(4.8 * len(panels), 4.9)
    for axes, (title, names) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        _scatter(axes, map_, np.asarray(names)[map_.rows], class_names)
        axes.set_title(title)
    trust = (
        "" if np.isnan(map_.trustworthiness) else f", trustworthiness {map_.trustworthiness:.3f}"
    )
    said = f"{map_.method} of {len(map_.rows):,} shared codes{trust}"
    figure.suptitle(said, x=0.01, ha="left", fontsize=10.5)
    table = Table(
        {
            "row": map_.rows,
            "modality": [str(k) for k in kinds[map_.rows]],
            "label": [None] * len(map_.rows)
            if classes is None
            else [str(c) for c in classes[map_.rows]],
            "x": map_.coordinates[:, 0],
            "y": map_.coordinates[:, 1],
        }
    )
    shown = " and ".join(title for title, _ in panels)
    return Picture(figure, table, f"Map of shared codes, coloured {shown}: {said}.")


def _scatter(axes: Axes, map_: Projection, names: np.ndarray, first: Sequence[str]) -> None:
    """Draw the points of one panel with its legend below."""
    points = map_.coordinates
    size = float(np.clip(7000 / len(points), 7, 45))
    there = list(dict.fromkeys(str(n) for n in names))
    order = [n for n in first if n in there] + [n for n in there if n not in first]
    for index, name in enumerate(order):
        # rare ones (ten words among thousands) are drawn larger, and on top
        where = np.flatnonzero([str(n) == name for n in names])
        rare = len(where) < 0.03 * len(points)
        axes.scatter(
            points[where, 0], points[where, 1], s=size * (5 if rare else 1), color=colour(index),
            marker=mark(index), alpha=1.0 if rare else 0.65, label=short(name, 14),
            linewidths=0.8 if rare else 0.2, edgecolors="black" if rare else "white",
            zorder=3 if rare else 2,
        )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.margins(0.05)
    axes.spines[:].set_visible(False)
    legend = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=min(5, len(order)),
        handletextpad=0.1, columnspacing=0.9,
    )  # fmt: skip
    from matplotlib.collections import PathCollection

    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([38.0])
            handle.set_alpha(1.0)
