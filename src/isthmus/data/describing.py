"""What is in a data set, as numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, overload

import numpy as np

from isthmus.data.corpora.describing import CorpusDescription, describe_corpus
from isthmus.data.corpora.documents import Corpus
from isthmus.data.dataset import Dataset, Samples

__all__ = ["DataDescription", "describe"]


@dataclass(frozen=True)
class DataDescription:
    """What `isthmus data describe` prints."""

    name: str
    """The name of the data set."""
    source: str
    """Where it came from."""
    kind: str
    """``image``, ``table`` or ``vector``."""
    shape: tuple[int, ...]
    """The shape of one sample."""
    dtype: str
    """The type in which values are stored."""
    splits: Mapping[str, int]
    """Samples in each split."""
    classes: Mapping[str, Mapping[str, int]] | None
    """For each class, by name, the samples in each split; None: no labels."""
    range: tuple[float, float] | None
    """The nominal range of raw values."""
    minimum: float
    """The smallest raw value of the training split."""
    maximum: float
    """The largest raw value of the training split."""
    mean: float
    """The mean of all raw values of the training split."""
    feature_names: tuple[str, ...] | None
    """The columns of a table."""
    notes: tuple[str, ...]
    """What a reader of results should know."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return the description as lines for people."""
        sizes = ", ".join(f"{split} {count:,}" for split, count in self.splits.items())
        span = f"nominally {self.range[0]:g} to {self.range[1]:g}; " if self.range else ""
        lines = [
            f"{self.name}: {self.kind} of shape {' x '.join(map(str, self.shape))}, {self.dtype}",
            f"from     {self.source}",
            f"splits   {sizes}",
            f"values   {span}training split {self.minimum:g} to {self.maximum:g}, "
            f"mean {self.mean:.6g}",
        ]
        if self.classes is not None:
            lines.append(f"classes  {len(self.classes)}")
            width = max(len(name) for name in self.classes)
            for name, counts in self.classes.items():
                shown = ", ".join(f"{split} {count:,}" for split, count in counts.items())
                lines.append(f"  {name:>{width}}  {shown}")
        if self.feature_names:
            shown = ", ".join(self.feature_names[:12])
            lines.append(f"columns  {shown}{', ...' if len(self.feature_names) > 12 else ''}")
        return "\n".join([*lines, *(f"note     {note}" for note in self.notes)])


@overload
def describe(data: Dataset) -> DataDescription: ...
@overload
def describe(data: Corpus) -> CorpusDescription: ...
def describe(data: Dataset | Corpus) -> DataDescription | CorpusDescription:
    """Look at a data set or a corpus.

    Parameters
    ----------
    data
        Any data set, whose training split is read once, in pieces; or any corpus, which is gone
        through once.

    Returns
    -------
    DataDescription or CorpusDescription
        Sizes, classes with their counts, and the values of the training split; of a corpus its
        documents, lengths, metadata and what could not be read.
    """
    return _samples(data) if isinstance(data, Dataset) else describe_corpus(data)


def _samples(dataset: Dataset) -> DataDescription:
    train = dataset["train"]
    low, high, mean = _values(train)
    return DataDescription(
        name=dataset.name,
        source=dataset.source,
        kind=dataset.kind,
        shape=dataset.shape,
        dtype=str(train.values.dtype),
        splits={split: len(dataset[split]) for split in dataset},
        classes=_classes(dataset),
        range=dataset.range,
        minimum=low,
        maximum=high,
        mean=mean,
        feature_names=dataset.feature_names,
        notes=dataset.notes,
    )


def _values(samples: Samples) -> tuple[float, float, float]:
    """Return minimum, maximum and mean of all values, summed in float64."""
    low, high, total, count = np.inf, -np.inf, 0.0, 0
    for chunk in samples.chunks():
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
        total += float(chunk.sum(dtype=np.float64))
        count += chunk.size
    return low, high, total / count


def _classes(dataset: Dataset) -> dict[str, dict[str, int]] | None:
    """Count each class in each split that has labels."""
    counts: dict[int, dict[str, int]] = {}
    for split in dataset:
        labels = dataset[split].label_array()
        if labels is None:
            continue
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            counts.setdefault(int(label), {})[split] = int(count)
    if not counts:
        return None
    names = dataset.label_names or ()
    return {
        names[label] if 0 <= label < len(names) else str(label): counts[label]
        for label in sorted(counts)
    }
