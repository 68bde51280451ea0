"""The samples that a run's model is applied to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.data import Dataset, Samples
    from isthmus.runs import Run

__all__ = ["loaded_for", "parts_of"]

_KEPT = frozenset({"resize", "colour", "label_column", "key", "header"})


def loaded_for(run: Run, data: str, options: Mapping[str, Any]) -> Dataset:
    """Load data for a model, images resized and coloured as they were for its training.

    The run's own data are loaded just as they were, so that their splits are the same.

    Raises
    ------
    ConfigError
        If the samples have another shape than the model's.
    """
    from isthmus.data import load

    own = str(Path(data).resolve()) if Path(data).exists() else data
    before = run.origin.options
    if own != run.origin.source:
        before = {name: value for name, value in before.items() if name in _KEPT}
    try:
        found = load(data, **{**before, **options})
    except ConfigError:
        if not before or own == run.origin.source:
            raise
        # the run's data were of another kind, whose options mean nothing here
        found = load(data, **options)
    if found.shape != run.model.shape:
        raise ConfigError(
            f"the data's samples have the shape {found.shape}, the model's {run.model.shape}",
            where=found.source,
            fix="give data of the model's shape; images can be made to fit with --resize, --colour",
        )
    return found


def parts_of(dataset: Dataset, split: str | None) -> list[Samples]:
    """Return one split, or every sample in the order in which they are stored.

    Raises
    ------
    ConfigError
        If there is no such split.
    """
    if split is not None:
        if split not in dataset.splits:
            names = ", ".join(dataset.splits)
            raise ConfigError(f"these data have no split {split!r}", fix=f"choose one of: {names}")
        return [dataset[split]]
    stored: dict[int, list[Samples]] = {}
    for part in dataset.splits.values():
        stored.setdefault(id(part.values), []).append(part)
    return [_joined(parts) for parts in stored.values()]


def _joined(parts: list[Samples]) -> Samples:
    """Join splits that are rows of one array, in the order of the rows."""
    if len(parts) == 1 and parts[0].rows is None:
        return parts[0]
    rows = [p.rows if p.rows is not None else np.arange(len(p)) for p in parts]
    return replace(parts[0], rows=np.sort(np.concatenate(rows)))
