"""Checkpoints of other libraries, measured as our own dictionaries are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.models.foreign import read
from isthmus.runs.dictionary.baselines import Baselines
from isthmus.runs.dictionary.coders import Foreign
from isthmus.runs.dictionary.evaluation import measure
from isthmus.runs.dictionary.metrics import DictionaryEvaluation, DictionaryMetrics
from isthmus.runs.dictionary.vectors import Vectors, blocks_of, opened_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isthmus.models.foreign import Imported

__all__ = ["Scored", "score_foreign"]

Array = NDArray[Any]
_DIMS = 512


@dataclass(frozen=True, eq=False)
class Scored:
    """The numbers of a dictionary that another library trained."""

    imported: Imported
    """The dictionary."""
    metrics: DictionaryMetrics
    """Its numbers on the vectors that were given."""
    notes: tuple[str, ...]
    """What a reader should know: what could not be carried over, what FVU is about."""


def score_foreign(
    path: str | PathLike[str],
    data: object,
    *,
    train: object | None = None,
    allow_pt: bool = False,
    load_options: Mapping[str, Any] | None = None,
    options: DictionaryEvaluation | None = None,
) -> Scored:
    """Measure another library's checkpoint with the metrics of our own dictionaries.

    Parameters
    ----------
    path
        The checkpoint's folder or file, in one of the layouts of
        :data:`~isthmus.models.foreign.LAYOUTS`.
    data
        Vectors of any kind: all rows are measured.
    train
        The vectors that it was trained on, whose mean FVU is about and that PCA is fitted on.
        None: ``data`` themselves, which flatters PCA and hardly moves FVU.
    allow_pt
        Whether PyTorch's pickles may be read (weights only).
    load_options
        Options of ``isthmus.load``, for ``data``.
    options
        How to measure.

    Raises
    ------
    DataError, MissingDataError
        If the checkpoint or the vectors are at fault.
    ConfigError
        If the vectors have another width.
    """
    options = options or DictionaryEvaluation()
    imported = read(path, allow_pt=allow_pt)
    vectors = opened_for(data, load_options or {}, imported.dim)
    before = vectors if train is None else opened_for(train, {}, imported.dim)
    drop = bool(vectors.options.get("drop_bad_rows"))
    baselines = Baselines.of(
        lambda most: _spread(before, most, drop), imported.dim, _DIMS, options.mean_rows
    )
    rows = sum(source.rows for source in vectors.whole())
    found = measure(
        Foreign(imported),
        lambda: _all(vectors, drop),
        rows,
        baselines,
        refine=options.refined_rows,
        seed=options.seed,
    )
    notes = imported.notes
    if train is None:
        notes = (*notes, "FVU is about the mean of these vectors: those of the training unknown.")
    return Scored(imported, found, notes)


def _all(vectors: Vectors, drop: bool) -> Iterator[Array]:
    for source in vectors.whole():
        yield from blocks_of(source, drop_bad=drop)


def _spread(vectors: Vectors, most: int, drop: bool) -> Iterator[Array]:
    """Yield at most so many rows, evenly spread over all of them."""
    rows = sum(source.rows for source in vectors.whole())
    step, seen = max(1, -(-rows // most)), 0
    for block in _all(vectors, drop):
        kept = block[-seen % step :: step]
        seen += len(block)
        if len(kept):
            yield np.ascontiguousarray(kept)
