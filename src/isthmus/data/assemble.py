"""From what a reader found to a checked data set with splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.dataset import Dataset, Samples
from isthmus.data.guards import Scan, constant_columns, refuse_bad, repeated_across, scan
from isthmus.data.layout import arranged, integer_labels, named_labels
from isthmus.data.options import WHOLE, LoadOptions, Raw
from isthmus.data.splits import carve, held_out_sizes
from isthmus.errors import DataError

__all__ = ["assemble"]

Array = NDArray[Any]


@dataclass(frozen=True)
class _Checked:
    """The parts of a source after the checks."""

    parts: Mapping[str, Samples]
    """Samples by part name, without the rows that were left out."""
    scans: Mapping[str, Scan]
    """What one pass over the values found, for the parts that were looked at."""
    notes: tuple[str, ...]
    """What was left out."""


def assemble(raw: Raw, options: LoadOptions) -> Dataset:
    """Arrange, check and split what a reader found.

    Parameters
    ----------
    raw
        The reader's findings.
    options
        The caller's choices.

    Raises
    ------
    DataError
        If the data can't be used as they are.
    ConfigError
        If the splits asked for leave nothing to train on.
    """
    layouts = {
        name: arranged(
            part.values, where=_where(raw, name), kind=raw.kind, channels_first=raw.channels_first
        )
        for name, part in raw.parts.items()
    }
    kind = layouts["train" if "train" in layouts else WHOLE].kind
    labels, label_names = _numbered(raw)
    parts = {
        name: Samples(layout.values, labels[name], raw.parts[name].rows)
        for name, layout in layouts.items()
    }
    for name, samples in parts.items():
        if len(samples) < (1 if name in ("validation", "test") else 2):
            raise DataError(
                "there are fewer than 2 samples" if len(samples) else "there are no samples",
                where=_where(raw, name),
                why="an autoencoder learns from differences between samples",
            )
    checked = _checked(raw, parts, options)
    splits, split_notes = _split(checked.parts, raw.stratify, options)
    bounds = options.range or raw.range or _nominal_range(kind, checked)
    _check_bounds(raw, options, checked.scans)
    notes = [*raw.notes, *dict.fromkeys(layout.note for layout in layouts.values() if layout.note)]
    dataset = Dataset(
        name=options.name or raw.name,
        source=raw.source,
        splits=splits,
        kind=kind,
        range=bounds,
        label_names=label_names,
        feature_names=raw.feature_names,
        notes=(*notes, *checked.notes, *split_notes),
    )
    return replace(dataset, notes=(*dataset.notes, *_observations(dataset)))


def _where(raw: Raw, name: str) -> str:
    """Name a part in messages."""
    return raw.parts[name].where or (raw.source if name == WHOLE else f"{raw.source}, {name}")


def _numbered(raw: Raw) -> tuple[dict[str, Array | None], tuple[str, ...] | None]:
    """Turn labels into class numbers that agree across the parts."""
    given = {name: part.labels for name, part in raw.parts.items()}
    texts = {name: found for name, found in given.items() if found is not None}
    if texts and all(found.dtype.kind in "US" for found in texts.values()):
        numbers, names = named_labels(
            np.concatenate([found.reshape(-1) for found in texts.values()])
        )
        start = 0
        for name, found in texts.items():
            given[name] = numbers[start : start + found.size]
            start += found.size
    else:
        names = raw.label_names or ()
    numbered = {
        name: None
        if found is None
        else integer_labels(found, len(raw.parts[name].values), where=_where(raw, name))
        for name, found in given.items()
    }
    return numbered, names or raw.label_names


def _checked(raw: Raw, parts: Mapping[str, Samples], options: LoadOptions) -> _Checked:
    """Look at every value, and refuse or leave out what is NaN or infinite."""
    kept, scans, notes = dict(parts), {}, []
    for name, samples in parts.items():
        if samples.values.dtype == np.uint8 and options.range is None:
            continue  # every byte is a fine value
        found = scans[name] = scan(samples)
        if not len(found.bad):
            continue
        where = _where(raw, name)
        if not options.drop_bad_rows:
            refuse_bad(found, where, raw.parts[name].row_names, raw.feature_names, len(samples))
        rows = np.arange(len(samples.values)) if samples.rows is None else samples.rows
        kept[name] = replace(samples, rows=np.delete(rows, found.bad))
        if len(kept[name]) < 2:
            raise DataError("fewer than 2 rows are free of NaN and infinite values", where=where)
        notes.append(
            f"Left out {len(found.bad):,} of {len(samples):,} rows with NaN or infinite values"
            f"{'' if name == WHOLE else f' ({name})'}."
        )
    return _Checked(kept, scans, tuple(notes))


def _split(
    parts: Mapping[str, Samples], stratify: bool, options: LoadOptions
) -> tuple[dict[str, Samples], list[str]]:
    """Keep the splits that are there and carve the others, by row positions."""
    base = parts["train"] if "train" in parts else parts[WHOLE]
    rows = np.arange(len(base.values)) if base.rows is None else base.rows
    n_validation, n_test = held_out_sizes(
        len(rows),
        options.validation,
        options.test,
        has_test="test" in parts,
        has_validation="validation" in parts,
    )
    splits = {name: part for name, part in parts.items() if name in ("validation", "test")}
    if n_validation + n_test == 0:
        return {"train": base, **splits}, []
    labels = base.label_array() if stratify else None
    train, validation, test = carve(rows, n_validation, n_test, options.seed, labels)
    splits["train"] = replace(base, rows=train)
    words = []
    for name, held in (("validation", validation), ("test", test)):
        if len(held):
            splits[name] = replace(base, rows=held)
            words.append(f"{len(held):,} for {name}")
    pool = "training samples" if "train" in parts else "samples"
    how = ", keeping the share of each class" if labels is not None else ""
    return splits, [
        f"Held out {' and '.join(words)} of {len(rows):,} {pool}, drawn with seed "
        f"{options.seed}{how}."
    ]


def _nominal_range(kind: str, checked: _Checked) -> tuple[float, float] | None:
    """Decide the range from the type and, for other types than bytes, from the values."""
    if kind == "table":
        return None
    if not checked.scans:
        binary = all(
            int(chunk.max()) <= 1 for part in checked.parts.values() for chunk in part.chunks()
        )
        return (0.0, 1.0) if binary else (0.0, 255.0)
    if len(checked.scans) < len(checked.parts):
        return None  # bytes in one split and other types in another
    low = min(found.low for found in checked.scans.values())
    high = max(found.high for found in checked.scans.values())
    whole = all(part.values.dtype.kind in "iu" for part in checked.parts.values())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if kind == "image" and low >= -1 and high <= 1:
        return -1.0, 1.0
    bytes_wide = kind == "image" and whole and low >= 0 and 127 < high <= 255
    return (0.0, 255.0) if bytes_wide else None


def _check_bounds(raw: Raw, options: LoadOptions, scans: Mapping[str, Scan]) -> None:
    """Refuse values outside the range that the caller stated."""
    if options.range is None:
        return
    low, high = options.range
    for name, found in scans.items():
        if found.low < low or found.high > high:
            raise DataError(
                f"values run from {found.low:g} to {found.high:g}, outside the range given",
                where=_where(raw, name),
                fix=f"give a range that holds them, not ({low:g}, {high:g})",
            )


def _observations(dataset: Dataset) -> list[str]:
    """Note constant columns and samples that are in several splits."""
    notes = []
    train = dataset["train"]
    if train.values.dtype == np.uint8 and dataset.range == (0.0, 1.0):
        notes.append("The values are 0 and 1 only; their range was taken as 0 to 1, not to 255.")
    constant, size = constant_columns(train), int(np.prod(dataset.shape))
    if constant:
        word = "pixels" if dataset.kind == "image" else "columns"
        notes.append(f"{constant:,} of {size:,} {word} never change in the training split.")
    for name, count in repeated_across(dataset.splits).items():
        if count:
            notes.append(
                f"{count:,} of {len(dataset[name]):,} {name} samples are exact copies of "
                "training samples."
            )
    return notes
