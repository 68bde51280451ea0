"""Metrics of a run as a table for reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from isthmus.cli.screen import NOTHING, Screen, number, percent

if TYPE_CHECKING:
    from isthmus.runs import SplitMetrics
    from isthmus.runs.dictionary import DictionaryMetrics

__all__ = ["show_dictionary", "show_metrics"]

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


OF_DICTIONARY: tuple[tuple[str, str, Write, str], ...] = (
    ("fvu", "variance unexplained (FVU)", number, "pca_fvu"),
    ("fvu_refined", "the same, refined encoding", number, ""),
    ("mse", "squared error (MSE)", number, "pca_mse"),
    ("cosine", "cosine with the input", number, "cosine_of_mean"),
    ("l0", "active latents a sample (L0)", number, ""),
    ("mean_activation", "mean activation", number, "target_activation"),
    ("dead_fraction", "latents that never fire", percent, ""),
    ("dense_10", "latents on more than 10 %", percent, ""),
    ("dense_25", "latents on more than 25 %", percent, ""),
    ("max_firing_rate", "firing rate of the busiest", percent, ""),
    ("coherence_max", "largest cosine of two directions", number, ""),
    ("samples_per_second", "samples encoded a second", number, ""),
)
"""As :data:`SHOWN`, for sparse dictionaries."""


def show_dictionary(screen: Screen, metrics: Mapping[str, DictionaryMetrics]) -> None:
    """Write a dictionary's numbers, a column a split, with what they are to be held against."""
    splits = [name for name in ("test", "data", "validation", "train") if name in metrics]
    if not splits:
        return
    first = metrics[splits[0]]
    pca = f"PCA-{first.pca_dims} {{}}"
    words_of = {"pca_fvu": pca, "pca_mse": pca, "cosine_of_mean": "mean {}"}
    rows = [("samples", "", *(f"{metrics[split].samples:,}" for split in splits))]
    for name, words, write, beside in OF_DICTIONARY:
        values = [getattr(metrics[split], name) for split in splits]
        if any(value is not None for value in values):
            against = getattr(first, beside) if beside else None
            template = words_of.get(beside, "target {}")
            note = "" if against is None else template.format(write(against))
            rows.append((words, note, *(write(value) for value in values)))
    screen.table(("metric", "against", *splits), rows, left=2)
    if first.fvu_low is not None and first.fvu_high is not None:
        interval = f"FVU {number(first.fvu_low)} to {number(first.fvu_high)} at 95 %, over samples"
        screen.words([("interval", interval)])
    if first.verdict:
        screen.words([("verdict", first.verdict)])
