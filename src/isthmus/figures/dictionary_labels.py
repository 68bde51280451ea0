"""Labels beside points, each where it covers nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus.figures.style import GREY, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

__all__ = ["Line", "write_labels"]

Line: TypeAlias = Sequence[tuple[float, float]]
"""Places (x, y) in the units of the axes, joined by straight lines."""
_Label: TypeAlias = tuple[float, float, str]

_DISTANCES = (5, 14, 26)
_SIDES = ((1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0), (-1, 1), (1, -1))
_ACROSS = {-1: "right", 0: "center", 1: "left"}
_UP = {-1: "top", 0: "center", 1: "bottom"}


def write_labels(axes: Axes, labels: Sequence[_Label], lines: Sequence[Line]) -> int:
    """Write each label beside its point (x, y, text), where no line or other label is.

    Places near their points are given to all labels before farther ones, which get a thin line to
    their point. A label without a free place is left out. Call it last: limits must stand.

    Returns
    -------
    int
        Labels that were left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = axes.figure
    if not isinstance(figure, Figure):  # pragma: no cover - it is one, that new_figure made
        return len(labels)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    pixels = figure.dpi / 72
    frame = np.array(axes.get_window_extent().extents)
    taken = _boxes(_along(axes, lines), 4 * pixels)
    left = list(labels)
    for away in _DISTANCES:
        for label in list(left):
            start = axes.transData.transform(label[:2])
            for side in _SIDES:
                written = _annotated(axes, label, side, away)
                box = _extent(written, renderer)
                # The line to the point, but for its first 7 points, where the mark is.
                steps = np.linspace(7 / away, 0.95, 12)[:, None] * away * pixels * np.array(side)
                leader = _boxes(start + steps, pixels) if away > _DISTANCES[0] else taken[:0]
                if _inside(box, frame) and not any(_overlaps(b, taken) for b in (box, *leader)):
                    taken = np.vstack([taken, box, leader])
                    left.remove(label)
                    break
                written.remove()
    return len(left)


def _annotated(axes: Axes, label: _Label, side: tuple[int, int], away: int) -> Annotation:
    """Write a label on one side of its point, ``away`` points from it."""
    x, y, text = label
    line = {"arrowstyle": "-", "linewidth": 0.6, "color": GREY, "shrinkA": 0}
    written = axes.annotate(
        short(text, 20), (x, y), xytext=(side[0] * away, side[1] * away),
        textcoords="offset points", ha=_ACROSS[side[0]], va=_UP[side[1]], fontsize=8,
        color="#333333", arrowprops=line if away > _DISTANCES[0] else None,
    )  # fmt: skip
    written.set_in_layout(False)
    return written


def _extent(written: Annotation, renderer: Any) -> np.ndarray:
    """Give the box of the text alone: an annotation's own takes in the line to its point."""
    from matplotlib.text import Text

    written.update_positions(renderer)
    return np.asarray(Text.get_window_extent(written, renderer).extents)


def _along(axes: Axes, lines: Sequence[Line]) -> np.ndarray:
    """Give places (n, 2) in pixels all along the lines."""
    places = [np.empty((0, 2))]
    for line in lines:
        ends = np.asarray(axes.transData.transform(line))
        steps = np.linspace(0, len(ends) - 1, 60 * len(ends))
        columns = [np.interp(steps, np.arange(len(ends)), column) for column in ends.T]
        places.append(np.stack(columns, axis=1))
    return np.concatenate(places)


def _boxes(places: np.ndarray, half: float) -> np.ndarray:
    """Give squares (left, bottom, right, top) about places."""
    return np.concatenate([places - half, places + half], axis=1)


def _inside(box: np.ndarray, frame: np.ndarray) -> bool:
    return bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())


def _overlaps(box: np.ndarray, others: np.ndarray) -> bool:
    left, bottom, right, top = others.T
    return bool(((box[0] < right) & (left < box[2]) & (box[1] < top) & (bottom < box[3])).any())
