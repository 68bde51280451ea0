"""Pictures in any form to float arrays (channels, height, width) between 0 and 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

__all__ = ["decoded", "pixels_of_array", "pixels_of_picture", "resized", "stored_array"]

_MOST_PIXELS = 1 << 26
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def pixels_of_array(values: NDArray[Any], channels: int, where: str) -> NDArray[np.float32]:
    """Return (channels, H, W) of an array (H, W), (C, H, W) or (H, W, C).

    Parameters
    ----------
    values
        Whole numbers from 0 to 255 (0 to 65,535 where they are uint16), or floats from 0 to 1.
    channels
        1: colour becomes grey (ITU-R 601); 3: grey is repeated.
    where
        What is shown in messages.

    Raises
    ------
    DataError
        If it is not a picture, or holds values out of range.
    """
    plain = values.dtype.kind in "uifb" and values.ndim in (2, 3) and values.size
    if plain and values.ndim == 3 and values.shape[0] not in (1, 3):
        values = np.moveaxis(values, -1, 0)
    if not plain or (values.ndim == 3 and values.shape[0] not in (1, 3)):
        raise DataError(
            "this is not a picture",
            where=where,
            why=f"it is an array of shape {values.shape} and type {values.dtype}",
            fix="give (height, width), or 1 or 3 channels as first or last axis",
        )
    layers = values if values.ndim == 3 else values[None]
    top = 1.0 if values.dtype.kind in "fb" else 65535.0 if values.dtype == np.uint16 else 255.0
    pixels = layers.astype(np.float32) / np.float32(top)
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1 + 1e-6:
        raise DataError(
            "the picture holds values out of range",
            where=where,
            why="whole numbers run from 0 to 255 and floats from 0 to 1",
        )
    if len(pixels) == 3 and channels == 1:
        pixels = np.tensordot(_GREY, pixels, 1)[None]
    elif len(pixels) == 1 and channels == 3:
        pixels = np.repeat(pixels, 3, axis=0)
    return np.asarray(np.clip(pixels, 0, 1), np.float32)


def pixels_of_picture(picture: Any, channels: int, where: str) -> NDArray[np.float32]:
    """Return (channels, H, W) of a Pillow image; transparency is laid on black."""
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        wide = np.asarray(picture).astype(np.int64)
        depth = np.uint16 if wide.max(initial=0) > 255 or ";" in picture.mode else np.uint8
        return pixels_of_array(wide.clip(0, 65535).astype(depth), channels, where)
    if "A" in picture.getbands() or "transparency" in picture.info:
        from PIL import Image

        shown = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", shown.size, (0, 0, 0, 255)), shown)
    pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return pixels_of_array(pixels, channels, where)


def resized(pixels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return (C, H, W) at another height and width, bilinear."""
    from PIL import Image

    height, width = size
    layers = [
        np.asarray(Image.fromarray(layer).resize((width, height), Image.Resampling.BILINEAR))
        for layer in np.ascontiguousarray(pixels)
    ]
    return np.asarray(np.clip(np.stack(layers), 0, 1), np.float32)


def stored_array(path: Path) -> NDArray[Any]:
    """Return the array in a .npy file.

    Raises
    ------
    DataError
        If it is damaged, or as large as no picture is.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError("the array can't be read", where=str(path), why=str(error)) from error
    if found.size > 3 * _MOST_PIXELS:
        raise DataError("the array is too large for a picture", where=f"{path}: {found.shape}")
    return np.array(found)


def decoded(path: Path) -> Any:
    """Return the Pillow image in a PNG or JPEG file of bounded size, decoded.

    Raises
    ------
    DataError
        If it can't be decoded.
    """
    from PIL import Image

    try:
        picture = Image.open(path, formats=("PNG", "JPEG"))
        if picture.size[0] * picture.size[1] > _MOST_PIXELS:
            raise DataError(
                "the image is too large to decode",
                where=str(path),
                why=f"{picture.size[0]} x {picture.size[1]} pixels",
                fix="shrink it with a picture editor",
            )
        picture.load()
    except DataError:
        raise
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(
            "the image can't be read",
            where=str(path),
            why=str(error) or type(error).__name__,
            fix="give a PNG or JPEG file",
        ) from error
    return picture
