"""Safetensors files: the header held against the file, the data mapped from the disk."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.guards import check_size
from isthmus.data.keys import chosen_keys
from isthmus.data.options import LoadOptions, Part, Raw
from isthmus.errors import DataError

__all__ = ["TENSOR_TYPES", "Safetensors", "TensorEntry", "entries_of", "mapped_tensor"]

Array = NDArray[Any]
TENSOR_TYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "BF16": "<u2",
    "F32": "<f4",
    "F64": "<f8",
}
_MOST_HEADER, _MOST_AXES = 100_000_000, 16


@dataclass(frozen=True)
class TensorEntry:
    """One entry of the header, checked."""

    kind: str
    """The type's name in the header."""
    shape: tuple[int, ...]
    """Entries along each axis."""
    begin: int
    """The byte of the file where its data begin."""

    @property
    def size(self) -> int:
        """Bytes of data."""
        return math.prod(self.shape) * np.dtype(TENSOR_TYPES[self.kind]).itemsize


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        "the safetensors file is damaged", where=str(path), why=why, fix="copy or write it again"
    )


def entries_of(path: Path) -> dict[str, TensorEntry]:
    """Read the header, and check that the tensors fill the file exactly, without overlap."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > min(_MOST_HEADER, size - 8):
            raise _damaged(path, f"its header claims {length:,} bytes of a file of {size:,}")
        try:
            header = json.loads(handle.read(length).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    start, tensors, spans = 8 + length, {}, []
    for name, entry in header.items():
        tensor, end = _entry(path, name, entry, start)
        tensors[name] = tensor
        spans.append((tensor.begin, end))
    expected = start
    for begin, end in sorted(spans):
        if begin != expected:
            raise _damaged(path, f"its tensors overlap or leave a gap at byte {expected:,}")
        expected = end
    if expected != size:
        raise _damaged(path, f"its header announces {expected:,} bytes; the file has {size:,}")
    return tensors


def _entry(path: Path, name: str, entry: Any, start: int) -> tuple[TensorEntry, int]:
    """Check one entry of the header; return it and the byte behind its data."""
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        whole = len(shape) <= _MOST_AXES
        whole = whole and all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"the entry of tensor {name!r} is incomplete") from error
    if not whole or not isinstance(kind, str):
        raise _damaged(path, f"the entry of tensor {name!r} holds impossible numbers")
    if kind not in TENSOR_TYPES:
        raise DataError(
            f"tensors of type {kind} can't be read as samples",
            where=f"{path}, {name}",
            fix="convert it to F32",
        )
    tensor = TensorEntry(kind, shape, start + begin)
    if end - begin != tensor.size:
        raise _damaged(
            path,
            f"tensor {name!r} of shape {shape} takes {tensor.size:,} bytes, not {end - begin:,}",
        )
    return tensor, start + end


def mapped_tensor(path: Path, name: str, tensor: TensorEntry, limit: int) -> Array:
    """Map a tensor; bfloat16, which NumPy lacks, is widened to float32 in memory."""
    if tensor.size == 0:
        return np.empty(tensor.shape, TENSOR_TYPES[tensor.kind])
    mapped = np.memmap(path, np.dtype(TENSOR_TYPES[tensor.kind]), "r", tensor.begin, tensor.shape)
    if tensor.kind != "BF16":
        return mapped
    check_size(2 * tensor.size, limit, where=f"{path}, {name}")
    return (mapped.astype("<u4") << 16).view("<f4")


class Safetensors:
    """A safetensors file with tensors named as Keras and others name arrays."""

    name = "a safetensors file"
    settings = frozenset({"key"})

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a safetensors file by name."""
        is_named = isinstance(source, Path) and source.suffix.lower() == ".safetensors"
        return is_named and isinstance(source, Path) and source.is_file()

    def read(self, source: Path, options: LoadOptions) -> Raw:
        """Check the header, then map the tensors that are needed."""
        tensors = entries_of(source)
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        parts = {}
        for split, (key, label_key) in chosen_keys(shapes, options.key, str(source)).items():
            labels = None
            if label_key is not None:
                labels = np.array(
                    mapped_tensor(source, label_key, tensors[label_key], options.limit)
                )
            values = mapped_tensor(source, key, tensors[key], options.limit)
            parts[split] = Part(values, labels, f"{source}, {key}")
        return Raw(source.stem, f"file {source}", parts, channels_first=True)
