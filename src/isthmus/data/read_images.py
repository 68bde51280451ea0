"""Folders of PNG and JPEG pictures; subfolders name classes, or splits, or both."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.guards import check_size
from isthmus.data.options import SPLIT_WORDS, WHOLE, LoadOptions, Part, Raw, whole_if_alone
from isthmus.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["ImageFolder"]

Array = NDArray[Any]
_ENDINGS = frozenset({".png", ".jpg", ".jpeg"})
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError)
_MOST_PIXELS = 1 << 26
_SMALLEST = 8
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


@dataclass(frozen=True)
class _Found:
    """The pictures of one split."""

    paths: tuple[Path, ...]
    """The files, sorted by path."""
    classes: tuple[str, ...] | None
    """The class of each file; None: they lie in no class folders."""
    others: int
    """How many files are not PNG or JPEG."""


class ImageFolder:
    """A folder of pictures."""

    name = "a folder of images"
    settings = frozenset({"resize", "colour"})

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a folder with a PNG or JPEG file somewhere inside."""
        if not isinstance(source, Path) or not source.is_dir():
            return False
        return any(path.suffix.lower() in _ENDINGS for path in _files(source))

    def read(self, source: Path, options: LoadOptions) -> Raw:
        """Decode every picture into one uint8 array a split."""
        found = {split: _found(folder) for split, folder in _split_folders(source).items()}
        if len(found) > 1 and "train" not in found:
            raise DataError("there is no folder of training images", where=str(source))
        plan = _Plan(options)
        total = sum(len(part.paths) for part in found.values())
        parts = {}
        with warnings.catch_warnings():
            # our own cap is lower than the number of pixels at which Pillow warns
            warnings.simplefilter("ignore")
            for split, part in found.items():
                classes = None if part.classes is None else np.array(part.classes)
                where = str(source) if split == WHOLE else f"{source} ({split})"
                parts[split] = Part(plan.decode(part.paths, total), classes, where)
        others = sum(part.others for part in found.values())
        notes = [*plan.notes()]
        if others:
            notes.append(f"{others:,} files that are not PNG or JPEG were left out.")
        return Raw(
            source.resolve().name,
            f"folder {source}",
            whole_if_alone(parts),
            kind="image",
            channels_first=True,
            range=(0.0, 255.0),
            notes=tuple(notes),
        )


def _files(folder: Path) -> Iterator[Path]:
    """Yield every file below ``folder`` that is not hidden; links to folders are not followed."""
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(base) / name for name in sorted(names) if not name.startswith("."))


def _split_folders(source: Path) -> dict[str, Path]:
    """Return the folder of each split; the whole folder if its subfolders do not name splits."""
    folders = [path for path in sorted(source.iterdir()) if path.is_dir() and path.name[0] != "."]
    named = {
        SPLIT_WORDS[path.name.lower()]: path for path in folders if path.name.lower() in SPLIT_WORDS
    }
    if "train" not in named:
        return {WHOLE: source}
    strange = [path.name for path in folders if path not in named.values()]
    if strange:
        raise DataError(
            "the folder holds a split called train and other folders that are not splits",
            where=f"{source}: {', '.join(strange[:5])}",
            fix="keep only train, validation and test, each once; or rename train",
        )
    return named


def _found(folder: Path) -> _Found:
    """List the pictures of one split, with the classes that their folders name."""
    files = list(_files(folder))
    paths = [path for path in files if path.suffix.lower() in _ENDINGS and path.is_file()]
    if not paths:
        raise DataError("the folder holds no PNG or JPEG file", where=str(folder))
    heads = [path.relative_to(folder).parts for path in paths]
    loose = sum(len(parts) == 1 for parts in heads)
    if 0 < loose < len(paths):
        raise DataError(
            "some images lie in class folders and some beside them",
            where=f"{folder}: {loose:,} of {len(paths):,} lie beside",
            fix="move each image into the folder of its class, or all into one folder",
        )
    classes = None if loose else tuple(parts[0] for parts in heads)
    return _Found(tuple(paths), classes, len(files) - len(paths))


class _Plan:
    """How pictures become arrays: the first one decides size and channels for all."""

    def __init__(self, options: LoadOptions) -> None:
        self.options = options
        self.first: tuple[Path, tuple[int, int], int] | None = None
        self.narrowed = self.dropped_alpha = 0

    def decode(self, paths: Sequence[Path], total: int) -> Array:
        """Decode pictures into (N, C, H, W) uint8; memory is claimed after the first header."""
        values = np.empty((0, 0, 0, 0), np.uint8)
        for i, path in enumerate(paths):
            with _opened(path) as picture:
                size, channels = self._shape(path, picture)
                if i == 0:
                    check_size(
                        total * channels * math.prod(size),
                        self.options.limit,
                        where=str(path.parent),
                    )
                    values = np.empty((len(paths), channels, *size), np.uint8)
                pixels = self._pixels(path, picture, size, channels)
            values[i] = pixels if channels == 1 else np.moveaxis(pixels, 2, 0)
        return values

    def _shape(self, path: Path, picture: Picture) -> tuple[tuple[int, int], int]:
        """Check a picture's header against the limits and against the first picture."""
        width, height = picture.size
        if width * height > _MOST_PIXELS:
            raise DataError(
                "the image is too large to decode",
                where=str(path),
                why=f"{width} x {height} = {width * height:,} pixels; at most {_MOST_PIXELS:,}",
                fix="remove it, or shrink it with a picture editor",
            )
        size = self.options.resize or (height, width)
        if min(size) < _SMALLEST:
            raise DataError(
                f"the image is smaller than {_SMALLEST} x {_SMALLEST}",
                where=f"{path}, {width} x {height}",
                fix="choose a size with resize=...",
            )
        channels = 1 if picture.mode in _GREY_MODES else 3
        if self.options.colour is not None:
            channels = 1 if self.options.colour == "grey" else 3
        if self.first is None:
            self.first = path, size, channels
        first, first_size, first_channels = self.first
        if size != first_size:
            raise DataError(
                "the images differ in size",
                where=f"{path} is {height} x {width}; {first} is {first_size[0]} x {first_size[1]} "
                "(height x width)",
                fix="choose one size for all with resize=..., for example resize=64",
            )
        if channels != first_channels:
            words = {1: "grey", 3: "in colour"}
            raise DataError(
                "some images are grey and some in colour",
                where=f"{path} is {words[channels]}; {first} is {words[first_channels]}",
                fix="choose colour='grey' or colour='rgb' for all",
            )
        return size, channels

    def _pixels(self, path: Path, picture: Picture, size: tuple[int, int], channels: int) -> Array:
        """Decode one picture; its orientation tag is ignored."""
        from PIL import Image

        try:
            picture.load()
            if picture.mode.startswith("I"):  # 16 bits: Pillow would clip them at 255
                picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
                self.narrowed += 1
            self.dropped_alpha += "A" in picture.getbands() or "transparency" in picture.info
            picture = picture.convert("L" if channels == 1 else "RGB")
            if picture.size != size[::-1]:
                picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
        except _BROKEN as error:
            raise _unreadable(path, error) from error
        return np.asarray(picture)

    def notes(self) -> list[str]:
        """Say what was changed on the way."""
        notes = []
        if self.options.resize is not None:
            height, width = self.options.resize
            notes.append(f"Images were resized to {height} x {width} (bilinear).")
        if self.narrowed:
            notes.append(f"{self.narrowed:,} images of 16 bits were narrowed to 8 bits.")
        if self.dropped_alpha:
            notes.append(f"{self.dropped_alpha:,} images had transparency, which was dropped.")
        return notes


def _opened(path: Path) -> Picture:
    """Open a picture and read its header; nothing is decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path, formats=("PNG", "JPEG"))
    except Image.DecompressionBombError as error:
        raise DataError(
            "the image is too large to decode",
            where=str(path),
            why=f"{error}; at most {_MOST_PIXELS:,} pixels are read here",
            fix="remove it, or shrink it with a picture editor",
        ) from error
    except UnidentifiedImageError as error:
        raise _unreadable(path, ValueError("it is neither PNG nor JPEG inside")) from error
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> DataError:
    return DataError(
        "the image can't be read",
        where=str(path),
        why=str(error) or type(error).__name__,
        fix="remove it, or copy it again",
    )
