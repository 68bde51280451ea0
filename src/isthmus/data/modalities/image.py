"""Pictures: PNG files, Pillow images and arrays to tensors between 0 and 1, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.data.modalities.base import State, check_tensor
from isthmus.data.modalities.pictures import (
    decoded,
    pixels_of_array,
    pixels_of_picture,
    resized,
    stored_array,
)
from isthmus.errors import ConfigError, DataError, MissingDataError
from isthmus.files import written_whole

if TYPE_CHECKING:
    import torch

__all__ = ["ImageAdapter"]


@dataclass(frozen=True)
class ImageAdapter:
    """Pictures of one size.

    A picture in colour is made grey where the modality is grey (ITU-R 601 weights), and a grey
    one is repeated over the channels where it is in colour; transparency is laid on black.
    Another size is refused, unless ``resize`` allows it.

    Examples
    --------
    >>> import numpy as np
    >>> pictures = ImageAdapter(shape=(1, 8, 8))
    >>> values = pictures.transform([np.full((8, 8), 51, np.uint8)])
    >>> tuple(values.shape), round(float(values.max()), 3)
    ((1, 1, 8, 8), 0.2)
    >>> int(pictures.inverse(values)[0][0, 0])
    51
    """

    name: str = "image"
    """What the modality is called."""
    shape: tuple[int, int, int] = (1, 28, 28)
    """Channels (1 or 3), height, width."""
    resize: bool = False
    """Whether pictures of another size are resized (bilinear) instead of refused."""

    kind = "image"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if len(self.shape) != 3 or self.shape[0] not in (1, 3) or min(self.shape) < 1:
            raise ConfigError(
                "the shape of images is (channels, height, width) with 1 or 3 channels",
                where=f"{self.shape}",
            )

    def fit(self, items: Sequence[Any]) -> Self:
        """Return the adapter itself: pictures need no statistics."""
        return self

    def transform(self, items: Sequence[Any] | NDArray[Any]) -> torch.Tensor:
        """Return pictures as float32 between 0 and 1, shape (n, *shape).

        Parameters
        ----------
        items
            Pillow images, or arrays (H, W), (C, H, W) or (H, W, C) of whole numbers from 0 to
            255 or floats from 0 to 1; one array may hold them all.

        Raises
        ------
        DataError
            If one is of another size, or holds values out of range.
        """
        import torch

        channels, height, width = self.shape
        fitting = {self.shape, (height, width)} if channels == 1 else {self.shape}
        plain = isinstance(items, np.ndarray) and items.dtype == np.uint8
        if isinstance(items, np.ndarray) and plain and items.shape[1:] in fitting:
            whole = torch.from_numpy(np.array(items)).float()  # all in one step
            return whole.div_(255).reshape(len(items), *self.shape)
        rows = [
            self.pixels(item, f"modality {self.name!r}, item {i}") for i, item in enumerate(items)
        ]
        return torch.from_numpy(np.stack(rows) if rows else np.empty((0, *self.shape), np.float32))

    def pixels(self, item: Any, where: str) -> NDArray[np.float32]:
        """Return one picture as an array of the modality's shape.

        Raises
        ------
        DataError
            As for :meth:`transform`; says ``where``.
        """
        drawn = hasattr(item, "getbands")
        found = (
            pixels_of_picture(item, self.shape[0], where)
            if drawn
            else pixels_of_array(np.asarray(item), self.shape[0], where)
        )
        if found.shape == self.shape:
            return np.ascontiguousarray(found)
        if self.resize:
            return resized(found, self.shape[1:])
        raise DataError(
            "the image has another size than the modality",
            where=where,
            why=f"it is {found.shape[1]} x {found.shape[2]} (height x width); the modality is "
            f"{self.shape[1]} x {self.shape[2]}",
            fix="resize it with a picture editor, or let it be done with resize=True",
        )

    def inverse(self, values: torch.Tensor) -> list[NDArray[np.uint8]]:
        """Return pictures of bytes 0 to 255: (H, W) where grey, (H, W, 3) in colour.

        Parameters
        ----------
        values
            Shape (n, *shape); what lies outside 0 to 1 is cut off.
        """
        check_tensor(values, self.shape, self.name)
        scaled = values.detach().float().clamp(0, 1).mul(255).round()
        pixels = scaled.cpu().numpy().astype(np.uint8)
        if self.shape[0] == 1:
            return list(pixels[:, 0])
        return list(np.ascontiguousarray(np.moveaxis(pixels, 1, -1)))

    def read(self, source: str | Path) -> Any:
        """Return the picture in a PNG or JPEG file, or the array in a .npy file.

        Raises
        ------
        MissingDataError
            If there is no such file.
        DataError
            If it can't be decoded, or is of another size than the modality.
        """
        path = Path(source).expanduser()
        if not path.is_file():
            raise MissingDataError("there is no such picture", where=str(path))
        picture = stored_array(path) if path.suffix.lower() == ".npy" else decoded(path)
        self.pixels(picture, str(path))
        return picture

    def write(self, item: Any, path: str | Path) -> None:
        """Write a picture (Pillow image or array) as PNG, whole or not at all."""
        from PIL import Image

        picture = item
        if not hasattr(item, "getbands"):
            pixels = np.round(self.pixels(item, str(path)) * 255).astype(np.uint8)
            grey = self.shape[0] == 1
            picture = Image.fromarray(pixels[0] if grey else np.moveaxis(pixels, 0, -1).copy())
        with written_whole(Path(path)) as temporary:
            picture.save(temporary, format="PNG")

    def config(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {"kind": self.kind, **dataclasses.asdict(self), "shape": list(self.shape)}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return nothing: pictures need no statistics."""
        return {}

    @classmethod
    def rebuilt(cls, values: dict[str, Any], state: State) -> Self:
        """Make the adapter again from what :meth:`config` and :meth:`state` returned."""
        return cls(**values)
