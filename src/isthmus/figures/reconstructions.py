"""Originals over reconstructions over residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import DataError
from isthmus.figures.checks import as_count, as_labels, as_matrix, as_numbers
from isthmus.figures.picture import Picture
from isthmus.figures.pixels import (
    as_images,
    centres,
    nominal_range,
    show_mosaic,
    shrink,
    tile_table,
    to_bytes,
)
from isthmus.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    SIGNED,
    draws,
    fit_height,
    new_figure,
    plain,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["reconstructions"]

_KINDS = ("original", "reconstruction", "residual")


@draws
def reconstructions(
    originals: Any,
    reconstructions: Any,
    labels: Sequence[Any] | np.ndarray | None = None,
    n: int | None = None,
    *,
    value_range: tuple[float, float] | None = None,
) -> Picture:
    """Draw the first samples, their reconstructions, and original less reconstruction.

    Images become three rows of tiles, all in one range of values, the residuals in a map
    centred on zero with its own bar. Vectors become two lines over each other, and bars.

    Parameters
    ----------
    originals, reconstructions
        ``(N, C, H, W)`` images, or ``(N, D)`` vectors, in the same units.
    labels
        One a sample, written above it.
    n
        How many samples; by default 10 images or 4 vectors; fewer where there are fewer.
    value_range
        The values shown as black and white; by default the originals' own (0 to 1 where they
        keep within it, 0 to 255 for uint8). Values beyond it are clipped for display only.

    Returns
    -------
    Picture
        Its table: a row for each tile: ``sample``, ``label``, ``kind`` (original,
        reconstruction, residual), ``mse`` of the sample, and the values.

    Raises
    ------
    DataError
        If the shapes differ, there is no sample, or a value isn't finite.
    """
    before, after = as_numbers(originals, "originals"), as_numbers(reconstructions, "pictures")
    if before.shape != after.shape:
        raise DataError(
            "originals and reconstructions differ in shape", why=f"{before.shape}, {after.shape}"
        )
    names = as_labels(labels, len(before))
    vectors = before.ndim == 2
    count = min(len(before), as_count(n if n is not None else (4 if vectors else 10), "n"))
    before, after = before[:count], after[:count]
    errors = _sample_mse(before, after)
    kept = None if names is None else [str(name) for name in names[:count]]
    if vectors:
        figure, parts = _vectors(as_matrix(before), as_matrix(after), errors, kept)
    else:
        figure, parts = _images(before, after, errors, kept, value_range)
    leading: dict[str, Any] = {
        "sample": np.tile(np.arange(count), 3),
        "label": [None] * (3 * count) if kept is None else kept * 3,
        "kind": [kind for kind in _KINDS for _ in range(count)],
        "mse": np.tile(errors, 3),
    }
    alt = (
        f"{count} samples, their reconstructions and the residuals; mean squared error from "
        f"{plain(errors.min())} to {plain(errors.max())}."
    )
    return Picture(figure, tile_table(leading, np.concatenate(parts)), alt)


def _sample_mse(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    squares = (before.astype(np.float64) - after.astype(np.float64)) ** 2
    return np.asarray(squares.reshape(len(squares), -1).mean(axis=1))


def _images(
    before: np.ndarray,
    after: np.ndarray,
    errors: np.ndarray,
    labels: list[str] | None,
    value_range: tuple[float, float] | None,
) -> tuple[Figure, list[np.ndarray]]:
    """Draw three rows of tiles."""
    limits = nominal_range(before) if value_range is None else value_range
    first = shrink(as_images(before, "originals")).astype(np.float64)
    second = shrink(as_images(after, "reconstructions")).astype(np.float64)
    residual = first - second
    count, height, width = len(first), first.shape[-2], first.shape[-1]
    tile = min(1.1, max(0.53, 5.4 / count))
    figure = new_figure(max(7.0, count * tile + 1.6), 3.3 * tile * height / width + 1.1, tiles=True)
    grid = figure.add_gridspec(3, 2, width_ratios=(40, 1))
    rows = [figure.add_subplot(grid[row, 0]) for row in range(3)]
    show_mosaic(rows[0], to_bytes(first, limits)[None])
    show_mosaic(rows[1], to_bytes(second, limits)[None])
    # Residuals of a colour image are shown as their mean over the channels.
    signed = residual.mean(axis=1, keepdims=True)
    reach = float(np.abs(signed).max()) or 1.0
    artist = show_mosaic(rows[2], signed[None], cmap=SIGNED, vmin=-reach, vmax=reach)
    # Three marks: more would stand over one another beside a low row.
    marks = [-_one_figure(reach), 0.0, _one_figure(reach)]
    figure.colorbar(artist, cax=figure.add_subplot(grid[2, 1]), format=plain, ticks=marks)
    for axes, kind in zip(rows, _KINDS, strict=True):
        axes.set_anchor("W")
        axes.set_yticks([(height - 1) / 2], [kind])
        axes.tick_params(length=0)
    middles = centres(count, width)
    if labels is not None:
        rows[0].set_xticks(middles, [short(label, 9) for label in labels])
        rows[0].xaxis.tick_top()
        rows[0].tick_params(length=0)
    rows[2].set_xticks(middles, [_brief(error) for error in errors])
    rows[2].set_xlabel("mean squared error of each sample")
    fit_height(figure)
    return figure, [first, second, residual]


def _one_figure(value: float) -> float:
    """Round a positive number down to one significant figure."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(np.floor(value / power + 1e-9) * power)


def _brief(value: float) -> str:
    """Write an error in at most six characters, so that it fits under a tile."""
    text = f"{value:.4f}" if value < 1 else f"{value:.3g}"
    return text.removeprefix("0") if value < 1 and value >= 5e-5 else plain(value)


def _vectors(
    before: np.ndarray, after: np.ndarray, errors: np.ndarray, labels: list[str] | None
) -> tuple[Figure, list[np.ndarray]]:
    """Draw each sample as two lines, and its residual as bars beside them."""
    first, second = before.astype(np.float64), after.astype(np.float64)
    residual = first - second
    count, size = first.shape
    figure = new_figure(7.0, 1.25 * count + 0.9)
    grid = figure.subplots(count, 2, squeeze=False, sharex=True, width_ratios=(3, 2))
    for row, (line, bars) in enumerate(grid):
        _draw_vector(line, bars, first[row], second[row], residual[row])
        title = f"sample {row}" if labels is None else f"sample {row}: {short(labels[row])}"
        line.set_title(title)
        bars.set_title(f"residual, MSE {plain(errors[row])}")
    reach = float(np.abs(residual).max()) or 1.0
    for _, bars in grid:
        bars.set_ylim(-1.1 * reach, 1.1 * reach)
    for axes in grid[-1]:
        axes.set_xlabel("feature")
        axes.set_xlim(-0.5, size - 0.5)
    figure.legend(handles=grid[0, 0].get_lines(), loc="outside upper right", ncols=2)
    return figure, [first, second, residual]


def _draw_vector(
    line: Axes, bars: Axes, before: np.ndarray, after: np.ndarray, residual: np.ndarray
) -> None:
    from matplotlib.ticker import MaxNLocator

    where = np.arange(len(before))
    few = len(before) <= 40
    line.plot(where, before, color=BLUE, marker="o" if few else "", label="original", lw=1.5)
    line.plot(
        where, after, color=ORANGE, linestyle="--", marker="x" if few else "", lw=1.5,
        label="reconstruction",
    )  # fmt: skip
    if few:
        bars.bar(where, residual, width=0.8, color=BLACK)
    else:  # one outline: hundreds of separate bars take seconds to draw
        bars.stairs(residual, np.arange(len(where) + 1) - 0.5, fill=True, color=BLACK)
    bars.axhline(0, color=BLACK, linewidth=0.8)
    line.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
