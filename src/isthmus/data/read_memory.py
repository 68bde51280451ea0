"""Data that are in memory already: arrays, tensors, torch data sets, dicts of splits."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.guards import check_size
from isthmus.data.options import SPLIT_WORDS, LoadOptions, Part, Raw, whole_if_alone
from isthmus.errors import DataError

__all__ = ["Memory"]

Array = NDArray[Any]


def _torch() -> Any:
    """Return torch if somebody imported it: without it there is no tensor to recognise."""
    return sys.modules.get("torch")


def _is_tensor(source: object) -> bool:
    torch = _torch()
    return torch is not None and isinstance(source, torch.Tensor)


def _is_torch_dataset(source: object) -> bool:
    torch = _torch()
    return torch is not None and isinstance(source, torch.utils.data.Dataset)


def _is_samples(source: object) -> bool:
    """Say whether ``source`` is one split: array, tensor, torch data set, or a pair with labels."""
    if isinstance(source, tuple | list) and len(source) == 2:
        return all(isinstance(part, np.ndarray) or _is_tensor(part) for part in source)
    return isinstance(source, np.ndarray) or _is_tensor(source) or _is_torch_dataset(source)


class Memory:
    """Arrays, tensors, pairs (samples, labels), torch data sets, and dicts of these by split."""

    name = "data in memory"
    settings: frozenset[str] = frozenset()

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is one split, or a mapping."""
        return _is_samples(source) or isinstance(source, Mapping)

    def read(self, source: Any, options: LoadOptions) -> Raw:
        """Take the arrays as they are; torch data sets are read item by item, once."""
        if isinstance(source, Mapping):
            parts = self._splits(source, options)
            first = next(iter(source.values()))
        else:
            parts, first = {"train": _part(source, "the data", options)}, source
        sample = first[0] if isinstance(first, tuple | list) else first
        torch_like = _is_tensor(sample) or _is_torch_dataset(sample)
        return Raw(
            name="arrays",
            source=f"{type(sample).__name__} in memory",
            parts=whole_if_alone(parts),
            channels_first=True if torch_like else None,
        )

    def _splits(self, source: Mapping[Any, Any], options: LoadOptions) -> dict[str, Part]:
        """Read each entry of a dict as the split that its key names."""
        parts: dict[str, Part] = {}
        for key, value in source.items():
            split = SPLIT_WORDS.get(str(key).lower())
            if split is None or split in parts or not _is_samples(value):
                raise DataError(
                    "a dict of splits can't be read",
                    where=f"its key {key!r}, a {type(value).__name__}",
                    fix="use the keys train, validation and test, each once, with arrays, tensors, "
                    "pairs (samples, labels) or torch data sets",
                )
            parts[split] = _part(value, str(key), options)
        if "train" not in parts:
            raise DataError("a dict of splits needs the key train", where=f"keys {list(source)}")
        return parts


def _part(source: Any, where: str, options: LoadOptions) -> Part:
    """Turn one split into arrays."""
    if isinstance(source, tuple | list):
        return Part(_array(source[0]), _array(source[1]), where)
    if _is_torch_dataset(source):
        tensors = getattr(source, "tensors", None)
        if isinstance(tensors, tuple) and 1 <= len(tensors) <= 2:
            return Part(_array(tensors[0]), _array(tensors[1]) if tensors[1:] else None, where)
        return _items(source, where, options)
    return Part(_array(source), None, where)


def _array(source: Any) -> Array:
    """Return a NumPy array that shares memory where it can."""
    if _is_tensor(source):
        source = source.detach().cpu()
        if str(source.dtype) == "torch.bfloat16":
            source = source.float()
        return np.asarray(source.numpy())
    return np.asarray(source)


def _items(source: Any, where: str, options: LoadOptions) -> Part:
    """Read a map-style torch data set item by item into one array."""
    if not hasattr(source, "__len__") or not hasattr(type(source), "__getitem__"):
        raise DataError(
            "a torch data set that only iterates can't be read",
            where=type(source).__name__,
            why="splits and shuffles need a length and access by number",
            fix="give a map-style Dataset, or collect the items in an array",
        )
    n = len(source)
    if n < 2:
        raise DataError("there are fewer than 2 samples", where=where)
    first, first_label = _item(source[0])
    check_size(n * math.prod(first.shape) * first.dtype.itemsize, options.limit, where=where)
    values = np.empty((n, *first.shape), first.dtype)
    labels: list[Any] = []
    for i in range(n):
        value, label = _item(source[i])
        if value.shape != first.shape or (label is None) != (first_label is None):
            raise DataError(
                "the items of the torch data set differ in shape or in having a label",
                where=f"{where}, item {i}: shape {value.shape}; item 0: {first.shape}",
                fix="resize them with a transform, so that all are alike",
            )
        values[i] = value
        if label is not None:
            labels.append(label)
    return Part(values, np.asarray(labels) if labels else None, where)


def _item(item: Any) -> tuple[Array, Any]:
    """Split an item into its values and its label; pictures become arrays, channels first."""
    label = None
    if isinstance(item, tuple | list):
        item, label = item[0], item[1] if len(item) > 1 else None
    if isinstance(item, Mapping):
        raise DataError(
            "the items of the torch data set are dicts",
            where=f"keys {list(item)}",
            fix="wrap it so that an item is a tensor, or a pair (tensor, label)",
        )
    value = _array(item)
    if value.ndim == 3 and not _is_tensor(item) and value.shape[2] in (1, 3, 4):
        value = np.moveaxis(value, 2, 0)  # pictures as Pillow and NumPy hold them
    return value, label if label is None else _one_label(label)


def _one_label(label: Any) -> Any:
    """Return a label as a plain number or text."""
    found = _array(label)
    if found.size != 1:
        raise DataError(
            "the labels of the torch data set are not single numbers",
            where=f"a label of shape {found.shape}",
            fix="give class numbers, not one-hot rows",
        )
    return found.reshape(-1)[0].item()
