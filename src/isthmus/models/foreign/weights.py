"""Named arrays of a checkpoint: sizes known before memory is spent, values checked when taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data import read_safetensors as container
from isthmus.data.guards import gigabytes
from isthmus.errors import DataError, MissingDataError
from isthmus.models.foreign.record import Floats

__all__ = ["Weights", "open_safetensors", "refuse_large"]


@dataclass(frozen=True)
class Weights:
    """The arrays of one file."""

    path: Path
    """The file, for messages."""
    shapes: Mapping[str, tuple[int, ...]]
    """The shape of each, by name."""
    types: Mapping[str, str]
    """The stored type of each, by name, as NumPy or safetensors call it."""
    load: Callable[[str], NDArray[Any]]
    """Returns one array."""

    def has(self, name: str) -> bool:
        """Say whether there is such an array."""
        return name in self.shapes

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """Return the shape of an array that must have so many axes."""
        if name not in self.shapes:
            held = ", ".join(sorted(self.shapes)[:12]) or "nothing"
            raise self._damaged(f"it lacks {name!r}; it holds {held}")
        shape = self.shapes[name]
        if len(shape) != axes:
            raise self._damaged(f"{name!r} has the shape {shape}, which is not {axes}-dimensional")
        return shape

    def take(self, name: str, *shape: int) -> Floats:
        """Return an array of that shape as float32.

        Raises
        ------
        DataError
            If it is missing, of another shape, no numbers, or holds a NaN or infinite value.
        """
        found = self.shape(name, len(shape))
        if found != shape:
            raise self._damaged(f"{name!r} has the shape {found}, not {shape}")
        values = self.load(name)
        if values.dtype.kind not in "fiu":
            raise self._damaged(f"{name!r} holds {values.dtype}, which are no numbers")
        out = np.array(values, dtype=np.float32, order="C")
        if not np.isfinite(out).all():
            word = "NaN" if np.isnan(out).any() else "infinite"
            raise self._damaged(f"{name!r} holds {word} values in float32")
        return out

    def turned(self, name: str, *shape: int) -> Floats:
        """Return a matrix of that shape, transposed."""
        return np.ascontiguousarray(self.take(name, *shape).T)

    def wide(self, name: str, *shape: int) -> NDArray[np.float64]:
        """Return an array as float64, checked as :meth:`take` checks."""
        self.take(name, *shape)
        return np.array(self.load(name), dtype=np.float64)

    def scalar(self, name: str) -> float:
        """Return the only value of an array of shape () or (1,)."""
        shape = self.shapes.get(name, ())
        return float(self.take(name, *((1,) if shape == (1,) else ())).reshape(()))

    def only(self, *names: str) -> None:
        """Refuse arrays beyond those: a part that is not understood changes the outputs."""
        unknown = sorted(set(self.shapes) - set(names))
        if unknown:
            raise DataError(
                f"the checkpoint holds a part that is not understood: {unknown[0]}",
                where=str(self.path),
                why="leaving it out might change what the model computes",
                fix="say which library and version wrote it in an issue",
            )

    def stored(self, name: str) -> str:
        """Return the type that an array has on the disk, as PyTorch calls it."""
        kinds = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
        return kinds.get(self.types[name], self.types[name])

    def _damaged(self, why: str) -> DataError:
        return DataError(
            "the checkpoint's weights can't be used",
            where=str(self.path),
            why=why,
            fix="copy the checkpoint again, or check that it is of the layout that was named",
        )


def open_safetensors(path: Path, limit: int) -> Weights:
    """Check a safetensors file's header against its size; values are read when taken.

    Raises
    ------
    MissingDataError
        If there is no such file.
    DataError
        If the header does not fit the file, or the arrays would take more than ``limit`` bytes.
    """
    if not path.is_file():
        raise MissingDataError(
            "the checkpoint's weights are missing",
            where=str(path),
            fix="copy the whole folder, the weights beside the configuration",
        )
    entries = container.entries_of(path)
    shapes = {name: entry.shape for name, entry in entries.items()}
    refuse_large(path, shapes, limit)

    def load(name: str) -> NDArray[Any]:
        return container.mapped_tensor(path, name, entries[name], limit)

    return Weights(path, shapes, {name: entry.kind for name, entry in entries.items()}, load)


def refuse_large(path: Path, shapes: Mapping[str, tuple[int, ...]], limit: int) -> None:
    """Refuse arrays that would take more than ``limit`` bytes as float32.

    Raises
    ------
    DataError
        If they would.
    """
    needed = 4 * sum(math.prod(shape) for shape in shapes.values())
    if needed > limit:
        raise DataError(
            f"the weights would take {gigabytes(needed)} in memory; "
            f"the limit is {gigabytes(limit)}",
            where=str(path),
            fix="raise the limit with limit=... or ISTHMUS_LIMIT (bytes)",
        )
