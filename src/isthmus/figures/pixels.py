"""From arrays to what a screen can show: bytes, tiles and mosaics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.figures.checks import as_numbers
from isthmus.figures.table import Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "as_images",
    "centres",
    "mosaic",
    "nominal_range",
    "show_mosaic",
    "shrink",
    "tile_table",
    "to_bytes",
]

_WHITE = 255


def as_images(values: Any, name: str = "images", leading: int = 1) -> np.ndarray:
    """Give an array of images, channels first, of 1 or 3 channels.

    Other channel counts become one channel, their mean, since there is no honest colour for
    them.

    Parameters
    ----------
    values
        ``(*leading, C, H, W)``.
    name
        What they are called in errors.
    leading
        How many dimensions come before C.

    Raises
    ------
    DataError
        If the shape is another, or a value isn't a finite number.
    """
    array = as_numbers(values, name)
    if array.ndim != leading + 3:
        names = ("N", "rows, columns")[leading - 1]
        raise DataError(
            f"{name} must have the shape ({names}, C, H, W)", why=f"their shape is {array.shape}"
        )
    if array.shape[-3] not in (1, 3):
        return np.asarray(array.mean(axis=-3, keepdims=True, dtype=np.float64))
    return array


def nominal_range(values: np.ndarray) -> tuple[float, float]:
    """Give the range to show values in: of the type for uint8, else from least to greatest."""
    if values.dtype == np.uint8 and values.max() > 1:
        return 0.0, 255.0
    low, high = float(values.min()), float(values.max())
    # Pixels that keep within [0, 1] are shown in [0, 1], so that pictures compare.
    if low >= 0 and 0 < high <= 1:
        return 0.0, 1.0
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def to_bytes(values: Any, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Turn pixel values into uint8 for display: scaled, clipped, rounded; nothing wraps around.

    Parameters
    ----------
    values
        Any shape, any real type.
    value_range
        The values that become 0 and 255; by default :func:`nominal_range`.

    Raises
    ------
    DataError
        If a value isn't a finite number.
    ConfigError
        If the range is empty.

    Examples
    --------
    >>> to_bytes(np.array([-0.2, 0.0, 0.5, 1.0, 1.3]), (0, 1))
    array([  0,   0, 128, 255, 255], dtype=uint8)
    """
    array = as_numbers(values, "pixel values")
    low, high = value_range if value_range is not None else nominal_range(array)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError("the range of pixel values is empty", where=f"({low}, {high})")
    scaled = (array.astype(np.float64) - low) * (255.0 / (high - low))
    return np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def shrink(images: np.ndarray, limit: int = 128) -> np.ndarray:
    """Average blocks of pixels until neither side of an image exceeds ``limit``.

    Rows and columns that don't fill a block are left out.
    """
    height, width = images.shape[-2:]
    block = -(-max(height, width) // limit)
    if block == 1:
        return images
    by, bx = min(block, height), min(block, width)
    rows, columns = height // by, width // bx
    cut = images[..., : rows * by, : columns * bx]
    blocks = cut.reshape(*images.shape[:-2], rows, by, columns, bx)
    return np.asarray(blocks.mean(axis=(-3, -1), dtype=np.float64))


def _gap(size: int) -> int:
    return max(1, round(0.08 * size))


def centres(count: int, size: int) -> np.ndarray:
    """Give the middles of ``count`` tiles of ``size`` pixels along one side of a mosaic."""
    return np.arange(count) * (size + _gap(size)) + (size - 1) / 2


def mosaic(tiles: np.ndarray) -> np.ndarray:
    """Lay tiles out in a grid with gaps.

    Parameters
    ----------
    tiles
        ``(rows, columns, C, H, W)``: uint8, whose gaps are white, or float, whose gaps are NaN.

    Returns
    -------
    ndarray
        ``(height, width)`` for one channel, ``(height, width, 3)`` for three.
    """
    rows, columns, channels, height, width = tiles.shape
    gap_y, gap_x = _gap(height), _gap(width)
    fill = _WHITE if tiles.dtype == np.uint8 else np.nan
    shape = (rows * (height + gap_y) - gap_y, columns * (width + gap_x) - gap_x, channels)
    sheet = np.full(shape, fill, dtype=tiles.dtype)
    for row in range(rows):
        for column in range(columns):
            y, x = row * (height + gap_y), column * (width + gap_x)
            sheet[y : y + height, x : x + width] = np.moveaxis(tiles[row, column], 0, -1)
    return sheet[..., 0] if channels == 1 else sheet


def show_mosaic(axes: Axes, tiles: np.ndarray, **look: Any) -> Any:
    """Draw :func:`mosaic` of ``tiles`` on bare axes and return the image artist."""
    sheet = mosaic(tiles)
    if tiles.dtype == np.uint8:
        look = {"cmap": "gray", "vmin": 0, "vmax": 255, **look}
    else:
        sheet = np.ma.masked_invalid(sheet)
    artist = axes.imshow(sheet, interpolation="nearest", **look)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
    return artist


def tile_table(leading: dict[str, Column], tiles: np.ndarray) -> Table:
    """Make a table of one row a tile: the columns of ``leading``, then one a value.

    Values of images are named ``c0_y3_x14``, those of vectors ``v17``.

    Parameters
    ----------
    leading
        The columns that say which tile it is.
    tiles
        ``(count, C, H, W)`` or ``(count, D)``.
    """
    names = [_value_name(index) for index in np.ndindex(tiles.shape[1:])]
    flat = tiles.reshape(len(tiles), -1)
    return Table({**leading, **{name: flat[:, i] for i, name in enumerate(names)}})


def _value_name(index: Sequence[int]) -> str:
    return f"v{index[0]}" if len(index) == 1 else "c{}_y{}_x{}".format(*index)
