"""Measure a run on data that it was not trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from isthmus.data import Dataset, Samples, load
from isthmus.errors import ConfigError, DataError, MissingDataError, RunError
from isthmus.runs.evaluation import Evaluation, SplitMetrics, evaluate

if TYPE_CHECKING:
    from isthmus.runs.run import Run

__all__ = ["measured_on"]


def measured_on(run: Run, data: object, options: Evaluation) -> SplitMetrics:
    """Return the numbers of all of ``data`` as one split.

    FVU, PCA and neighbours are about the run's training split where it can be loaded again,
    and else about the data themselves.

    Raises
    ------
    ConfigError
        If the samples have another shape than the model's.
    """
    given = load(data, **{k: v for k, v in run.origin.options.items() if k in {"resize", "colour"}})
    if given.shape != run.model.shape:
        raise ConfigError(
            f"the data's samples have the shape {given.shape}, the model's {run.model.shape}"
        )
    if options.binarise == "static":
        given = given.binarised(0)
    whole = _whole(given)
    try:
        train = run.dataset["train"]
    except (RunError, MissingDataError, DataError):
        train = whole
    joined = replace(given, splits={"train": train, "test": whole})
    return evaluate(run.model, joined, options, ("test",))["test"]


def _whole(dataset: Dataset) -> Samples:
    """Return every sample of every split, in the order in which they are stored where possible."""
    parts = list(dataset.splits.values())
    if len(parts) == 1:
        return parts[0]
    shared = all(part.values is parts[0].values for part in parts)
    if shared:
        rows = [part.rows if part.rows is not None else np.arange(len(part)) for part in parts]
        return replace(parts[0], rows=np.sort(np.concatenate(rows)))
    values = np.concatenate([part.raw(slice(None)) for part in parts])
    labels = [part.label_array() for part in parts]
    known = [label for label in labels if label is not None]
    return Samples(values, np.concatenate(known) if len(known) == len(labels) else None)
