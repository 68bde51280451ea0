"""The README.md of a run of several modalities: its model card, filled from the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isthmus.models.multimodal.storage import model_card

if TYPE_CHECKING:
    from isthmus.runs.multimodal.run import MultimodalRun

__all__ = ["card"]


def card(run: MultimodalRun) -> str:
    """Return the model card with what it was trained on, how, and what was measured."""
    samples = ", ".join(f"{count:,} {split}" for split, count in run.origin.samples.items())
    body = [
        "\n## Data\n",
        f"{run.origin.name} ({run.origin.source or 'in memory'}): {samples} rows.\n",
        *_list(run.notes),
        "## Numbers\n",
        *_numbers(run),
        "\n## Training\n",
        f"Preset {run.preset}; `{run.training}`. {run.trained.epochs} epochs, "
        f"{run.trained.steps:,} steps, {run.trained.seconds:,.0f} s.\n",
    ]
    return model_card(run.model, "\n".join(body))


def _list(notes: tuple[str, ...]) -> list[str]:
    return ["\n".join(f"- {note}" for note in notes) + "\n"] if notes else []


def _numbers(run: MultimodalRun) -> list[str]:
    report = run.report
    if report is None:
        return ["Not measured.\n"]
    lines = [
        "Retrieval of items of the same class by the cosine of shared codes (test split, mAP over "
        "the whole gallery):\n",
        *_table(
            report.retrieval,
            ("map", "p@1", "chance", "random", "paired", "ridge", "cca", "oracle"),
        ),
    ]
    if report.coherence:
        lines += [
            "\nTranslations, judged by classifiers of real items (`coherence` and the variance "
            "inside classes over the real one are of draws):\n",
            *_table(report.coherence, ("coherence", "relative", "variance_ratio", "exact")),
        ]
    for title, part in (
        ("Rows drawn together", report.joint),
        ("Judges on real items", report.judges),
        ("Class probes of the joint code", report.probes),
    ):
        if part:
            keys = [k for k, v in next(iter(part.values())).items() if _is_number(v)]
            lines += [f"\n{title}:\n", *_table(part, keys)]
    return lines


def _table(part: Mapping[str, Any], keys: Any) -> list[str]:
    shown = [key for key in keys if any(_is_number(row.get(key)) for row in part.values())]
    lines = ["| | " + " | ".join(shown) + " |", "|---|" + "---|" * len(shown)]
    for name, row in part.items():
        cells = [f"{row[key]:.3g}" if _is_number(row.get(key)) else "" for key in shown]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
