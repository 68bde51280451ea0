"""One row a run: what tables of several runs are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.runs.dictionary import DictionaryRun
    from isthmus.runs.run import Run

    AnyRun: TypeAlias = Run | DictionaryRun
else:
    AnyRun: TypeAlias = Any

__all__ = [
    "HEAD",
    "METRICS",
    "OF_DICTIONARIES",
    "AnyRun",
    "Row",
    "aligned",
    "plain_cell",
    "row_of",
    "without_nan",
]

Row = dict[str, Any]

HEAD = ("name", "split", "preset", "data", "seed", "latent", "parameters", "epochs", "seconds")
"""What a row says about the run itself; ``seconds`` are those of the training steps."""
METRICS = (
    "mse",
    "pca_mse",
    "pca_ratio",
    "fvu",
    "knn_accuracy",
    "pca_knn_accuracy",
    "l0",
    "mean_activation",
    "target_activation",
    "dead_fraction",
    "max_firing_rate",
    "hoyer",
    "nll",
    "nll_protocol",
    "elbo",
    "rate",
    "distortion",
    "active_units",
    "bce",
    "samples",
    "samples_per_second",
)
"""What a row says about a split, as in ``metrics.json``; ``pca_ratio`` is mse over pca_mse."""
OF_DICTIONARIES = ("fvu_refined", "refined_k", "cosine", "dense_10", "dense_25", "pca_dims")
"""What the row of a sparse dictionary says beyond that."""
TITLES: Mapping[str, str] = {
    "pca_ratio": "mse/pca",
    "knn_accuracy": "5-nn",
    "mean_activation": "mean act.",
    "dead_fraction": "dead",
    "fvu_refined": "refined",
    "max_firing_rate": "busiest",
    "active_units": "active",
    "parameters": "params",
}
"""Shorter titles of columns, for tables that people read."""


def row_of(run: AnyRun, split: str = "test", name: str | None = None) -> Row:
    """Return the row of a run: :data:`HEAD` and :data:`METRICS`, None where there is no number.

    A sparse dictionary's has :data:`OF_DICTIONARIES` as well.

    Parameters
    ----------
    name
        What to call it; default the run's own name.

    Raises
    ------
    ConfigError
        If the run was not measured on that split.
    """
    if split not in run.metrics:
        raise ConfigError(
            f"the run {run.name} has no numbers for the split {split!r}",
            where=str(run.folder or run.name),
            why=f"it has: {', '.join(run.metrics) or 'none'}",
            fix="choose one of these, or measure it with `isthmus evaluate`",
        )
    found = run.metrics[split]
    history = run.history.as_columns()
    head = (
        name or run.name,
        split,
        run.preset,
        run.origin.name,
        run.training.seed,
        run.model.latent,
        run.parameters,
        len(run.history),
        math.fsum(history.get("seconds", [])),
    )
    names = (*METRICS, *(name for name in OF_DICTIONARIES if hasattr(found, name)))
    numbers = {key: getattr(found, key, None) for key in names}
    if found.pca_mse:
        numbers["pca_ratio"] = found.mse / found.pca_mse
    return dict(zip(HEAD, head, strict=True)) | numbers


def without_nan(value: Any) -> Any:
    """Return JSON values with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def plain_cell(value: Any) -> str:
    """Write a value for a table that people read.

    Examples
    --------
    >>> [plain_cell(value) for value in (None, 0.0123456, 12, 1234567, "unit", 0.0001)]
    ['', '0.01235', '12', '1,234,567', 'unit', '0.0001']
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e9 else f"{value:.4g}"


def aligned(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return the lines of a table: a title, then a row a line; columns without a value left out.

    Numbers are set to the right, words to the left.
    """
    rows = list(rows)
    shown = [c for c in columns if any(row.get(c) is not None for row in rows)]
    cells = [[TITLES.get(c, c) for c in shown]]
    cells += [[plain_cell(row.get(c)) for c in shown] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(shown))]
    words = [any(isinstance(row.get(c), str) for row in rows) for c in shown]
    lines = [
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, words, strict=True)
        ).rstrip()
        for line in cells
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]
