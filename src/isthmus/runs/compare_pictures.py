"""What is drawn of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isthmus.runs.groups import Group
from isthmus.runs.rows import Row

if TYPE_CHECKING:
    from isthmus.figures import Measure, Picture

__all__ = ["fronts", "measures"]


def fronts(rows: Sequence[Row], groups: Sequence[Group]) -> list[tuple[str, Picture]]:
    """Draw FVU against L0 and against the busiest latent's rate, each with its name.

    Parameters
    ----------
    rows
        A row a run (and split, of which the first is drawn).
    groups
        Runs that differ only in their seed: one point each.
    """
    from isthmus import figures

    names = {run: group.name for group in groups for run in group.runs}
    shown = [
        {**row, "series": row["preset"], "label": names.get(row["name"], row["name"])}
        for row in rows
        if row["split"] == rows[0]["split"] and row["fvu"] is not None
    ]
    if not shown:
        return []
    return [
        ("fvu-l0", figures.fvu_against_l0(shown)),
        ("fvu-busiest", figures.fvu_against_max_rate(shown)),
    ]


def measures(groups: Sequence[Group], dictionaries: bool) -> list[Measure] | None:
    """Return what bars to draw; None for the usual ones."""
    from isthmus.figures import Measure

    if dictionaries:
        of_them = [
            Measure("fvu", "FVU", "lower"),
            Measure("fvu_refined", "FVU, refined encoding", "lower"),
            Measure("pca_ratio", "MSE / PCA's MSE", "lower", reference=1.0),
            Measure("knn_accuracy", "5-NN accuracy", "higher", "pca_knn_accuracy"),
            Measure("l0", "L0: active latents"),
            Measure("max_firing_rate", "busiest latent"),
        ]
        return [m for m in of_them if any(m.name in group.values for group in groups)]
    if sum("nll" in group.values for group in groups) < 2:  # one alone compares with nothing
        return None
    usual = [
        Measure("mse", "MSE", "lower", "pca_mse"),
        Measure("pca_ratio", "MSE / PCA's MSE", "lower", reference=1.0),
        Measure("knn_accuracy", "5-NN accuracy", "higher", "pca_knn_accuracy"),
        Measure("l0", "L0: active latents"),
        Measure("nll", "NLL, nats", "lower"),
    ]
    return [m for m in usual if any(m.name in group.values for group in groups)]
