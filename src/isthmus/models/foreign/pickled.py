"""PyTorch's own files (.pt, .pth, .bin), which are pickles: only when asked for, weights only."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.guards import gigabytes
from isthmus.errors import DataError, MissingDataError
from isthmus.models.foreign.weights import Weights, refuse_large

__all__ = ["SUFFIXES", "Pickled", "open_pt"]

SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt"})
_MOST_ENTRIES = 10_000
_NUMBERS = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64}
    | {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8}
)


@dataclass(frozen=True)
class Pickled:
    """What a PyTorch file holds."""

    weights: Weights
    """Its tensors, by name."""
    extras: Mapping[str, Any]
    """What else stands in it by name: plain texts, numbers and dictionaries."""


def open_pt(path: Path, limit: int, *, allow_pt: bool) -> Pickled:
    """Read a file that ``torch.save`` wrote, with ``weights_only=True``.

    A pickle is a program: PyTorch's restricted reader runs none of it but what rebuilds tensors
    and plain values. Before it starts, the archive is checked: nothing compressed (which could
    grow without end), no more bytes announced than the file has, every checksum right.

    Raises
    ------
    MissingDataError
        If there is no such file.
    DataError
        If it was not asked for, is no archive of ``torch.save``, is damaged or hostile, or
        would take more than ``limit`` bytes.
    """
    if not path.is_file():
        raise MissingDataError("the checkpoint's weights are missing", where=str(path))
    if not allow_pt:
        raise DataError(
            "the weights are in a pickle (a .pt file), which is not read unless asked for",
            where=str(path),
            why="a pickle is a program; PyTorch's restricted reader (weights_only=True) is used, "
            "but read it only if you trust where it comes from",
            fix="say so: foreign.read(path, allow_pt=True); safetensors need no such trust",
        )
    _check_archive(path, limit)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    # a hostile or damaged pickle can end in any error at all
    except Exception as error:
        said = [type(error).__name__, *str(error).splitlines()[:1]]  # some errors say nothing
        raise _refused(path, ": ".join(said)[:300]) from error
    if not isinstance(held, dict) or not all(isinstance(name, str) for name in held):
        raise _refused(path, f"it holds a {type(held).__name__}, not tensors by name")
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    for name, value in tensors.items():
        _check_tensor(path, name, value)
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    refuse_large(path, shapes, limit)
    types = {name: str(value.dtype).removeprefix("torch.") for name, value in tensors.items()}

    def load(name: str) -> NDArray[Any]:
        value = tensors[name].detach()
        values: NDArray[Any] = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        return np.asarray(values)

    weights = Weights(path, shapes, types, load)
    return Pickled(weights, {name: v for name, v in held.items() if name not in tensors})


def _check_archive(path: Path, limit: int) -> None:
    size = path.stat().st_size
    if size > limit:
        raise DataError(
            f"the file holds {gigabytes(size)}; the limit is {gigabytes(limit)}",
            where=str(path),
            fix="raise the limit with limit=... or ISTHMUS_LIMIT (bytes)",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(path, archive.infolist(), size)
            broken = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise _refused(
            path, f"it is no archive as torch.save has written since PyTorch 1.6: {error}"
        ) from error
    if broken is not None:
        raise _refused(path, f"the checksum of {broken!r} is wrong")


def _check_entries(path: Path, entries: Sequence[zipfile.ZipInfo], size: int) -> None:
    if len(entries) > _MOST_ENTRIES:
        raise _refused(path, f"its archive has {len(entries):,} entries")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise _refused(path, f"{entry.filename!r} is compressed, which torch.save never does")
    announced = sum(entry.file_size for entry in entries)
    if announced > size:
        raise _refused(path, f"it announces {announced:,} bytes and has {size:,}")


def _check_tensor(path: Path, name: str, value: Tensor) -> None:
    plain = value.layout is torch.strided and value.device.type == "cpu"
    if not plain or value.dtype not in _NUMBERS:
        raise _refused(path, f"{name!r} is no plain tensor of numbers ({value.dtype})")


def _refused(path: Path, why: str) -> DataError:
    return DataError(
        "the file is damaged, or is no PyTorch file of plain weights",
        where=str(path),
        why=why,
        fix="copy it again; or load it with the library that wrote it and save as safetensors",
    )
