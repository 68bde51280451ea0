"""Translations between modalities, and what is found by retrieval, as grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.picture import Picture
from isthmus.figures.pixels import as_images, centres, mosaic, nominal_range, shrink, to_bytes
from isthmus.figures.style import BLACK, BLUE, ORANGE, RAMP, draws, new_figure, short
from isthmus.figures.table import Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Found", "Strip", "retrieval_examples", "translation_grid"]

Range = tuple[float, float]
_TILE = 0.72  # inches across
_GAP = 0.08
_WORD = 0.3  # inches that a row of words is high


@dataclass(frozen=True)
class Strip:
    """A row of items of one modality."""

    title: str
    """What stands before it."""
    kind: str
    """``image``, ``audio`` (a log-mel picture, low bands below) or ``text``."""
    items: Any
    """(n, C, H, W) of an image or a sound, or n texts; a text may stand for anything else."""

    def __len__(self) -> int:
        return len(self.items)


@draws
def translation_grid(
    strips: Sequence[Strip], columns: Sequence[str], given: Sequence[int] = (0,)
) -> Picture:
    """Draw rows of pictures, spectrograms and words that say the same, a column an item.

    Parameters
    ----------
    strips
        The rows, all of one length.
    columns
        What stands above each column.
    given
        Which rows were given; the others were made from the given one above them.

    Returns
    -------
    Picture
        Its table: ``row``, ``title``, ``kind``, ``given``, ``column``, and ``text`` for words.

    Raises
    ------
    DataError
        If the lengths differ, or there is nothing to draw.
    """
    count = len(columns)
    if not strips or not count or any(len(strip) != count for strip in strips):
        raise DataError(
            "every row of a grid needs an item a column",
            why=f"{[len(strip) for strip in strips]} items, {count} columns",
        )
    heights = [_height(strip) for strip in strips]
    figure = new_figure(max(5.0, 2.0 + count * _TILE), 0.75 + 1.1 * sum(heights) + 0.05)
    grid = figure.add_gridspec(len(strips), 1, height_ratios=heights)
    loud = _loudness(strips)
    gap = next((_gap_share(strip) for strip in strips if strip.kind != "text"), _GAP)
    for row, strip in enumerate(strips):
        axes = figure.add_subplot(grid[row, 0])
        _draw(axes, strip, gap, loud)
        bold = "bold" if row in given else "normal"
        axes.set_ylabel(
            short(strip.title, 26), rotation=0, ha="right", va="center", fontsize=9, fontweight=bold
        )
        if row == 0:
            axes.xaxis.tick_top()
            axes.set_xticks(_middles(strip, gap), [short(name, 9) for name in columns])
            axes.tick_params(length=0)
    figure.suptitle(
        "translations: rows in bold were given, the rows below each were made from it",
        x=0.01, ha="left", fontsize=10.5,
    )  # fmt: skip
    table: dict[str, Column] = {
        "row": np.repeat(np.arange(len(strips)), count),
        "title": [strip.title for strip in strips for _ in range(count)],
        "kind": [strip.kind for strip in strips for _ in range(count)],
        "given": [row in given for row in range(len(strips)) for _ in range(count)],
        "column": list(columns) * len(strips),
        "text": [str(t) if s.kind == "text" else None for s in strips for t in s.items],
    }
    titles = ", ".join(strip.title for strip in strips)
    return Picture(figure, Table(table), f"A grid of {count} columns with the rows {titles}.")


def _height(strip: Strip) -> float:
    """Return how high a row is, in inches."""
    if strip.kind == "text":
        return _WORD
    height, width = np.shape(strip.items)[-2:]
    return float(min(1.2, max(0.45, _TILE * height / width)))


def _gap_share(strip: Strip) -> float:
    """Return the gap between tiles over a tile's width."""
    width = shrink(as_images(strip.items)).shape[-1]
    return float((centres(2, width)[1] - centres(2, width)[0] - width) / width)


def _middles(strip: Strip, gap: float) -> np.ndarray:
    if strip.kind == "text":
        return np.arange(len(strip)) * (1 + gap) + 0.5
    return centres(len(strip), shrink(as_images(strip.items)).shape[-1])


def _draw(axes: Axes, strip: Strip, gap: float, loud: Range) -> None:
    """Draw one row on bare axes; words stand under the tiles of other rows."""
    if strip.kind == "text":
        axes.set(xlim=(0, len(strip) * (1 + gap) - gap), ylim=(0, 1))
        for place, text in zip(_middles(strip, gap), strip.items, strict=True):
            axes.text(place, 0.5, short(text, 9), ha="center", va="center", fontsize=9)
    else:
        tiles, look = _tiles(strip.items, strip.kind, loud)
        axes.imshow(mosaic(tiles[None]), aspect="auto", interpolation="nearest", **look)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])


def _tiles(items: Any, kind: str, loud: Range) -> tuple[np.ndarray, dict[str, Any]]:
    """Return tiles as bytes or floats, and how they are coloured."""
    values = shrink(as_images(items))
    if kind == "audio":
        flipped = values[:, :, ::-1].astype(np.float64)  # low bands below
        return np.ascontiguousarray(flipped), {"cmap": RAMP, "vmin": loud[0], "vmax": loud[1]}
    return to_bytes(values, nominal_range(values)), {"cmap": "gray", "vmin": 0, "vmax": 255}


def _loudness(strips: Sequence[Strip]) -> Range:
    """Return the range that all sounds of a figure are shown in, so that they compare."""
    sounds = [np.asarray(s.items, np.float64).ravel() for s in strips if s.kind == "audio"]
    if not sounds:
        return (0.0, 1.0)
    low, high = np.quantile(np.concatenate(sounds), [0.02, 0.995])
    return (float(low), float(high)) if low < high else (float(low) - 0.5, float(low) + 0.5)


@dataclass(frozen=True)
class Found:
    """One query with what was found for it."""

    query: Strip
    """The query alone: a strip of one item."""
    hits: Strip
    """What was found, the best first."""
    right: Sequence[bool]
    """Whether each is of the query's class."""
    scores: Sequence[float]
    """Cosine of each."""


@draws
def retrieval_examples(examples: Sequence[Found]) -> Picture:
    """Draw queries, each with the best items of another modality.

    Under each item stands its cosine, with a mark: ``+`` of the query's class, ``x`` of another.

    Parameters
    ----------
    examples
        One row each; all have as many hits.

    Returns
    -------
    Picture
        Its table: ``example``, ``query``, ``hits``, ``rank``, ``score``, ``right``.

    Raises
    ------
    DataError
        If there is no example, or their numbers of hits differ.
    """
    widths = {len(found.hits) for found in examples}
    if not examples or len(widths) != 1 or not widths.pop():
        raise DataError("examples of retrieval need as many hits each, and at least one")
    top = len(examples[0].hits)
    heights = [max(_height(f.query), _height(f.hits)) + 0.34 for f in examples]
    figure = new_figure(1.9 + _TILE * 1.45 * (top + 1), 0.6 + 1.08 * sum(heights))
    grid = figure.add_gridspec(
        len(examples), top + 1, height_ratios=heights, width_ratios=[1.25] + [1] * top
    )
    loud = _loudness([strip for found in examples for strip in (found.query, found.hits)])
    for row, found in enumerate(examples):
        axes = figure.add_subplot(grid[row, 0])
        _draw_one(axes, found.query, 0, loud)
        axes.set_ylabel(short(found.query.title, 22), rotation=0, ha="right", va="center")
        axes.set_xlabel("query", fontsize=9)
        for place in range(top):
            axes = figure.add_subplot(grid[row, place + 1])
            _draw_one(axes, found.hits, place, loud)
            good = bool(found.right[place])
            axes.set_xlabel(
                f"{'+' if good else 'x'} {found.scores[place]:.2f}",
                fontsize=9, color=BLUE if good else ORANGE, labelpad=2,
            )  # fmt: skip
            axes.spines[:].set_visible(True)
            axes.spines[:].set_color(BLUE if good else ORANGE)
            axes.spines[:].set_linestyle("-" if good else "--")
    figure.suptitle(
        f"the best {top} of another modality, with their cosine: + of the query's class, "
        "x of another",
        x=0.01, ha="left", fontsize=10.5,
    )  # fmt: skip
    count = len(examples)
    table: dict[str, Column] = {
        "example": np.repeat(np.arange(count), top),
        "query": [f.query.title for f in examples for _ in range(top)],
        "hits": [f.hits.title for f in examples for _ in range(top)],
        "rank": np.tile(np.arange(1, top + 1), count),
        "score": [float(s) for f in examples for s in f.scores],
        "right": [bool(r) for f in examples for r in f.right],
    }
    share = float(np.mean([r for f in examples for r in f.right]))
    alt = f"{count} queries with their best {top} hits; {share:.0%} are of the query's class."
    return Picture(figure, Table(table), alt)


def _draw_one(axes: Axes, strip: Strip, place: int, loud: Range) -> None:
    """Draw one item of a strip on axes of its own."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if strip.kind == "text":
        axes.text(
            0.5, 0.5, short(strip.items[place], 10), ha="center", va="center", fontsize=10,
            color=BLACK, transform=axes.transAxes,
        )  # fmt: skip
        return
    tiles, look = _tiles(strip.items[place : place + 1], strip.kind, loud)
    axes.imshow(mosaic(tiles[None]), interpolation="nearest", **look)
