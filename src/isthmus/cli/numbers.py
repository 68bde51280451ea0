"""Metrics of a run as a table for reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from isthmus.cli.screen import NOTHING, Screen, number, percent

if TYPE_CHECKING:
    from isthmus.runs import SplitMetrics

__all__ = ["show_metrics"]

Write = Callable[[float | None], str]

SHOWN: tuple[tuple[str, str, Write, str], ...] = (
    ("mse", "squared error (MSE)", number, "pca_mse"),
    ("fvu", "variance unexplained (FVU)", number, ""),
    ("bce", "cross-entropy, nats a pixel", number, "bce_floor"),
    ("knn_accuracy", "5-NN accuracy on codes", percent, "pca_knn_accuracy"),
    ("l0", "active latents a sample (L0)", number, ""),
    ("mean_activation", "mean activation", number, "target_activation"),
    ("dead_fraction", "latents never active", percent, ""),
    ("hoyer", "Hoyer sparseness", number, ""),
    ("nll", "NLL, nats a sample", number, ""),
    ("elbo", "ELBO, nats a sample", number, ""),
    ("rate", "rate (KL), nats a sample", number, ""),
    ("active_units", "active units", number, ""),
)
"""Metric, its words, how it is written, and the metric to hold it against."""

BESIDE = {
    "pca_mse": "PCA {}",
    "pca_knn_accuracy": "PCA {}",
    "bce_floor": "floor {}",
    "target_activation": "target {}",
}


def show_metrics(screen: Screen, metrics: Mapping[str, SplitMetrics]) -> None:
    """Write the numbers, a column a split, with what they are to be held against."""
    splits = [name for name in ("test", "data", "validation", "train") if name in metrics]
    if not splits:
        return
    first = metrics[splits[0]]
    rows = []
    for name, words, write, beside in SHOWN:
        values = [getattr(metrics[split], name) for split in splits]
        if any(value is not None for value in values):
            against = getattr(first, beside) if beside else None
            note = "" if against is None else BESIDE[beside].format(write(against))
            rows.append((words, note, *(write(value) for value in values)))
    counts = [f"{metrics[split].samples:,}" for split in splits]
    rows.insert(0, ("samples", "", *counts))
    screen.table(("metric", "against", *splits), rows, left=2)
    if first.nll_protocol:
        ess = NOTHING if first.nll_ess is None else number(first.nll_ess)
        text = (
            f"{first.nll_protocol}; {first.nll_samples} importance samples on {first.nll_rows:,} "
            f"data, median effective sample size {ess}"
        )
        screen.words([("likelihood", text)])
    if first.verdict:
        screen.words([("verdict", first.verdict)])
