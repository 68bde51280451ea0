"""How the processes of a sweep come by the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data import Dataset, Samples, load

__all__ = ["Named", "Source", "Stored"]


@dataclass(frozen=True)
class Named:
    """Data that every process loads for itself."""

    source: str
    """A named set, or a path in full."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of ``isthmus.load``."""

    def open(self) -> Dataset:
        """Load the data."""
        return load(self.source, **self.options)


@dataclass(frozen=True)
class Stored:
    """A data set that was in memory, laid out in files that every process maps."""

    folder: Path
    """Where ``SPLIT.npy`` and ``SPLIT-labels.npy`` are."""
    about: Mapping[str, Any]
    """The data set's other fields."""
    splits: tuple[str, ...]
    """Names of the splits."""

    @classmethod
    def write(cls, dataset: Dataset, folder: Path) -> Stored:
        """Write the splits into ``folder``, a few samples at a time."""
        for name, samples in dataset.splits.items():
            shape = (len(samples), *samples.shape)
            kept = np.lib.format.open_memmap(
                folder / f"{name}.npy", "w+", samples.values.dtype, shape
            )
            start = 0
            for chunk in samples.chunks():
                kept[start : start + len(chunk)] = chunk
                start += len(chunk)
            kept.flush()
            labels = samples.label_array()
            if labels is not None:
                np.save(folder / f"{name}-labels.npy", labels, allow_pickle=False)
        about = {
            key: getattr(dataset, key)
            for key in ("name", "source", "kind", "range", "label_names", "feature_names", "notes")
        }
        return cls(folder, about, tuple(dataset.splits))

    def open(self) -> Dataset:
        """Map the files."""
        splits = {}
        for name in self.splits:
            labels = self.folder / f"{name}-labels.npy"
            values = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            found = np.load(labels, allow_pickle=False) if labels.exists() else None
            splits[name] = Samples(values, found)
        return Dataset(splits=splits, **self.about)


Source = Named | Stored
"""Small, and open to every process."""
