"""Grids of images: dictionary columns, samples from the prior, interpolations, traversals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.figures.checks import as_count, as_matrix
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
from isthmus.figures.style import SIGNED, draws, fit_height, new_figure, plain
from isthmus.figures.table import Column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["dictionary_columns", "interpolations", "prior_samples", "traversals"]

Range = tuple[float, float]


@draws
def dictionary_columns(
    columns: Any, shape: Sequence[int], rates: Any = None, n: int = 50
) -> Picture:
    """Draw decoder columns as images, in a map centred on zero, the latent's number above each.

    Parameters
    ----------
    columns
        ``(latents, D)``: a row a latent (a linear layer's ``weight.T``).
    shape
        ``(C, H, W)`` with C·H·W = D. Of several channels the mean is drawn, since a signed
        value has no colour.
    rates
        ``(latents,)`` firing rates; the most frequent come first and their rates stand beside
        each row. Without them latents come in their order.
    n
        How many at most.

    Returns
    -------
    Picture
        Its table: a row a latent: ``latent``, ``rate``, and the values.

    Raises
    ------
    DataError
        If the shapes don't fit, or a value isn't finite.
    """
    values = as_matrix(columns, "dictionary columns").astype(np.float64)
    size = tuple(int(side) for side in shape)
    if len(size) != 3 or int(np.prod(size)) != values.shape[1]:
        raise DataError(
            "the shape doesn't fit the dictionary",
            why=f"columns {values.shape}, shape {size}: need (latents, C*H*W) and (C, H, W)",
            fix="give a row a latent: transpose a linear layer's weight",
        )
    order, sorted_rates = _order(rates, len(values))
    order = order[: as_count(n, "n")]
    images = shrink(values[order].reshape(len(order), *size).mean(axis=1, keepdims=True))
    reach = float(np.abs(images).max()) or 1.0
    across = min(10, len(order))
    figure, axes, artists = _labelled_rows(
        images, across, [str(latent) for latent in order], cmap=SIGNED, vmin=-reach, vmax=reach
    )
    figure.colorbar(artists[0], ax=list(axes), label="weight", pad=0.02, aspect=30, format=plain)
    rate_column: Column = [None] * len(order)
    if sorted_rates is not None:
        rate_column = sorted_rates[: len(order)]
        for row, panel in enumerate(axes):
            here = sorted_rates[row * across : (row + 1) * across][: len(order) - row * across]
            span = f"{plain(100 * here[0])}\N{EN DASH}{plain(100 * here[-1])} %"
            panel.set_yticks([(images.shape[-2] - 1) / 2], [span])
    what = "decoder columns, the latent above each"
    rated = "" if sorted_rates is None else "; beside each row how often its latents fire"
    figure.suptitle(what + rated, x=0.01, ha="left", fontsize=10.5)
    fit_height(figure)
    alt = f"{len(order)} of {len(values)} decoder columns as images of shape {size}{rated}."
    return Picture(figure, tile_table({"latent": order, "rate": rate_column}, images), alt)


@draws
def prior_samples(images: Any, *, columns: int = 10, value_range: Range | None = None) -> Picture:
    """Draw images decoded from draws of the prior.

    Parameters
    ----------
    images
        ``(N, C, H, W)``.
    columns
        How many stand side by side.
    value_range
        The values shown as black and white; by default the images' own (0 to 1 where they
        keep within it).

    Returns
    -------
    Picture
        Its table: a row a sample: ``sample`` and the values.

    Raises
    ------
    DataError
        If they aren't images, or a value isn't finite.
    """
    values = shrink(as_images(images))
    across = min(as_count(columns, "columns"), len(values))
    rows = -(-len(values) // across)
    shown = to_bytes(values, value_range or nominal_range(values))
    blank = np.full((rows * across - len(values), *values.shape[1:]), 255, dtype=np.uint8)
    sheet = np.concatenate([shown, blank]).reshape(rows, across, *values.shape[1:])
    figure, axes = _sheet_figure(sheet)
    show_mosaic(axes, sheet)
    axes.set_title(f"{len(values)} samples from the prior")
    fit_height(figure)
    alt = f"{len(values)} images decoded from draws of the prior."
    return Picture(figure, tile_table({"sample": np.arange(len(values))}, values), alt)


@draws
def interpolations(images: Any, *, value_range: Range | None = None) -> Picture:
    """Draw rows of images decoded along the way from one code to another.

    Parameters
    ----------
    images
        ``(rows, steps, C, H, W)``; the first and last of a row are its ends.
    value_range
        As for :func:`prior_samples`.

    Returns
    -------
    Picture
        Its table: a row a tile: ``row``, ``step``, ``t`` (0 to 1), and the values.

    Raises
    ------
    DataError
        If they aren't rows of at least two images, or a value isn't finite.
    """
    values = _as_grid(images)
    rows, steps = values.shape[:2]
    if steps < 2:
        raise DataError("an interpolation needs at least its two ends", why=f"{steps} step")
    t = np.linspace(0.0, 1.0, steps)
    figure, axes = _grid(values, value_range)
    axes.set_xticks(centres(steps, values.shape[-1]), [plain(round(x, 2)) for x in t])
    axes.set_xlabel("from one end (0) to the other (1)")
    axes.set_title("interpolations between two codes")
    fit_height(figure)
    leading = _grid_columns(rows, steps, "row", np.arange(rows), "step", np.arange(steps))
    leading["t"] = np.tile(t, rows)
    alt = f"{rows} interpolations of {steps} steps between pairs of codes."
    return Picture(figure, tile_table(leading, _flat(values)), alt)


@draws
def traversals(
    images: Any,
    latents: Sequence[int] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    *,
    value_range: Range | None = None,
) -> Picture:
    """Draw what changes when one latent at a time is moved.

    Parameters
    ----------
    images
        ``(len(latents), len(values), C, H, W)``.
    latents
        Which latent each row moves.
    values
        The value it takes in each column.
    value_range
        As for :func:`prior_samples`.

    Returns
    -------
    Picture
        Its table: a row a tile: ``latent``, ``value``, and the values of the pixels.

    Raises
    ------
    DataError
        If the sizes don't fit, or a value isn't finite.
    """
    grid = _as_grid(images)
    ids, points = np.asarray(latents), np.asarray(values, dtype=np.float64)
    if grid.shape[:2] != (len(ids), len(points)):
        raise DataError(
            "the images don't fit the latents and values",
            why=f"images {grid.shape[:2]}, latents {len(ids)}, values {len(points)}",
        )
    figure, axes = _grid(grid, value_range)
    axes.set_yticks(centres(len(ids), grid.shape[-2]), [f"latent {i}" for i in ids])
    axes.set_xticks(centres(len(points), grid.shape[-1]), [plain(round(v, 2)) for v in points])
    axes.tick_params(length=0)
    axes.set_xlabel("value of the latent, the others held")
    axes.set_title("latent traversals")
    fit_height(figure)
    leading = _grid_columns(len(ids), len(points), "latent", ids, "value", points)
    alt = (
        f"Traversals of {len(ids)} latents over {len(points)} values from "
        f"{plain(points.min())} to {plain(points.max())}."
    )
    return Picture(figure, tile_table(leading, _flat(grid)), alt)


def _order(rates: Any, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Give the latents from most to least frequent, and their rates in that order."""
    if rates is None:
        return np.arange(count), None
    values = np.asarray(rates, dtype=np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise DataError(
            "there must be one finite firing rate a latent",
            why=f"rates {values.shape}, latents {count}",
        )
    order = np.argsort(-values, kind="stable")
    return order, values[order]


def _as_grid(images: Any) -> np.ndarray:
    return shrink(as_images(images, "images", leading=2))


def _flat(grid: np.ndarray) -> np.ndarray:
    return grid.reshape(-1, *grid.shape[2:])


def _grid_columns(
    rows: int, columns: int, first: str, down: np.ndarray, second: str, along: np.ndarray
) -> dict[str, Column]:
    return {first: np.repeat(down, columns), second: np.tile(along, rows)}


def _grid(grid: np.ndarray, value_range: Range | None) -> tuple[Figure, Axes]:
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ConfigError("the range of pixel values is empty", where=str(value_range))
    sheet = to_bytes(grid, value_range or nominal_range(grid))
    figure, axes = _sheet_figure(sheet)
    show_mosaic(axes, sheet)
    return figure, axes


def _sheet_figure(sheet: np.ndarray) -> tuple[Figure, Axes]:
    """Make a figure as high as its tiles need, none wider than an inch."""
    rows, columns, _, height, width = sheet.shape
    tile = min(1.0, max(0.4, 5.8 / columns))
    over = 1.2 * height / width
    figure = new_figure(max(7.0, columns * tile + 1.2), rows * tile * over + 1.5, tiles=True)
    axes = figure.subplots()
    axes.set_anchor("W")
    return figure, axes


def _labelled_rows(
    images: np.ndarray, across: int, labels: list[str], **look: Any
) -> tuple[Figure, list[Axes], list[Any]]:
    """Draw signed tiles in rows, each with its label above."""
    rows = -(-len(images) // across)
    height, width = images.shape[-2:]
    tile = min(1.0, 5.4 / across)
    figure = new_figure(7.0, rows * (tile * height / width + 0.4) + 1.0, tiles=True)
    panels = list(figure.subplots(rows, 1, squeeze=False).ravel())
    artists = []
    for row, axes in enumerate(panels):
        here = images[row * across : (row + 1) * across]
        blank = np.full((across - len(here), *images.shape[1:]), np.nan)
        artists.append(show_mosaic(axes, np.concatenate([here, blank])[None], **look))
        axes.set_anchor("W")
        axes.xaxis.tick_top()
        names = labels[row * across : (row + 1) * across]
        axes.set_xticks(centres(len(here), width), names)
        axes.tick_params(length=0, pad=1)
    return figure, panels, artists
