"""The README.md of a dictionary's run: its model card, filled from the run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.models.dictionary import storage

if TYPE_CHECKING:
    from isthmus.runs.dictionary.run import DictionaryRun

__all__ = ["card"]

_SHOWN = (
    ("fvu", "fraction of variance unexplained, about the training mean"),
    ("fvu_refined", "the same with refined encoding"),
    ("pca_fvu", "the same of PCA with as many dimensions as latents are active"),
    ("mse", "squared error per element"),
    ("cosine", "cosine of input and reconstruction"),
    ("l0", "active latents a sample"),
    ("mean_activation", "mean activation"),
    ("dead_fraction", "share of latents that never fire"),
    ("dense_10", "share of latents that fire on more than 10 %"),
    ("dense_25", "share of latents that fire on more than 25 %"),
    ("max_firing_rate", "firing rate of the busiest latent"),
    ("coherence_max", "largest cosine between two directions"),
)


def card(run: DictionaryRun) -> str:
    """Return the model card with what it was trained on, how, and what was measured."""
    samples = ", ".join(f"{count:,} {split}" for split, count in run.origin.samples.items())
    body = [
        "\n## Data\n",
        f"{run.origin.name} ({run.origin.source or 'arrays in memory'}): {samples} samples.\n",
        *_list((*run.notes, *run.trained.notes)),
        "## Numbers\n",
        *_table(run),
        "\n## Training\n",
        f"Preset {run.preset}; `{run.training}`. {run.trained.epochs} epochs were trained, and "
        f"the weights of epoch {run.trained.best_epoch} were kept.\n",
    ]
    return storage.card(run.model, "\n".join(body))


def _list(notes: tuple[str, ...]) -> list[str]:
    return ["\n".join(f"- {note}" for note in notes) + "\n"] if notes else []


def _table(run: DictionaryRun) -> list[str]:
    splits = list(run.metrics)
    if not splits:
        return ["Not measured.\n"]
    lines = ["| metric | " + " | ".join(splits) + " |", "|---|" + "---|" * len(splits)]
    for key, words in _SHOWN:
        values = [getattr(run.metrics[split], key) for split in splits]
        if any(value is not None for value in values):
            cells = ["" if value is None else f"{value:.4g}" for value in values]
            lines.append(f"| {words} (`{key}`) | " + " | ".join(cells) + " |")
    test = run.metrics.get("test")
    if test is not None and test.verdict:
        lines.append(f"\n{test.verdict}")
    return lines
