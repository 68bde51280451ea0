"""The README.md of a run: its model card, filled from the run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.models.storage import model_card

if TYPE_CHECKING:
    from isthmus.runs.run import Run

__all__ = ["card"]

_SHOWN = (
    ("mse", "squared error per element"),
    ("pca_mse", "the same of PCA with as many dimensions"),
    ("fvu", "fraction of variance unexplained"),
    ("knn_accuracy", "5-NN accuracy on codes"),
    ("pca_knn_accuracy", "the same on PCA's codes"),
    ("l0", "active latents a sample"),
    ("mean_activation", "mean activation"),
    ("dead_fraction", "share of dead latents"),
    ("elbo", "ELBO, nats a sample"),
    ("nll", "negative log-likelihood, nats a sample"),
    ("active_units", "active units"),
)


def card(run: Run) -> str:
    """Return the model card with what it was trained on, how, and what was measured."""
    samples = ", ".join(f"{count:,} {split}" for split, count in run.origin.samples.items())
    body = [
        "\n## Data\n",
        f"{run.origin.name} ({run.origin.source or 'arrays in memory'}): {samples} samples.\n",
        "## Numbers\n",
        *_table(run),
        *_words(run),
        "\n## Training\n",
        f"Preset {run.preset}; `{run.training}`. {len(run.history)} epochs were trained.\n",
    ]
    return model_card(run.model, "\n".join(body))


def _table(run: Run) -> list[str]:
    splits = list(run.metrics)
    if not splits:
        return ["Not measured.\n"]
    lines = ["| metric | " + " | ".join(splits) + " |", "|---|" + "---|" * len(splits)]
    for key, words in _SHOWN:
        values = [getattr(run.metrics[split], key) for split in splits]
        if any(value is not None for value in values):
            cells = ["" if value is None else f"{value:.5g}" for value in values]
            lines.append(f"| {words} (`{key}`) | " + " | ".join(cells) + " |")
    return lines


def _words(run: Run) -> list[str]:
    test = run.metrics.get("test")
    if test is None:
        return []
    words = [f"\n{test.verdict}\n"] if test.verdict else []
    if test.nll is not None:
        words.append(
            f"The likelihood: {test.nll_protocol}; {test.nll_samples} importance samples for each "
            f"of {test.nll_rows} data, median effective sample size {test.nll_ess:.3g}.\n"
        )
    return words
