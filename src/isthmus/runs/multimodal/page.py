"""One HTML page of a run, with numbers, figures, and sounds to be played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from isthmus.data.audio.wav_writing import wav_bytes
from isthmus.errors import DataError, RunError
from isthmus.figures.picture import Picture
from isthmus.figures.report import (
    ReportPicture,
    ReportSound,
    ReportTable,
    Section,
    html_report,
)
from isthmus.figures.table import Column, Table
from isthmus.models.multimodal.mixture_use import translations
from isthmus.runs.multimodal.drawing import examples_of
from isthmus.runs.multimodal.titles import title_of

if TYPE_CHECKING:
    from isthmus.runs.multimodal.run import MultimodalRun

__all__ = ["run_page"]

_CAPTIONS = {
    "translations": "One test item of each class, and the likeliest translation of each.",
    "retrieval_examples": "What is found for a few test items, by the cosine of shared codes.",
    "joint_map": "Where modalities share a space, the left panel is mixed and the right one is "
    "in patches.",
    "robustness": "Test items are taken away at random; every row keeps one.",
    "contributions": "Who the joint code depends on: each modality's share of its precision, or, "
    "where modalities count alike, of how far it moves when one is left out.",
    "modality_losses": "A modality that collapses stays near zero below.",
    "losses": "The loss and its terms over the epochs.",
}
_SPOKEN = 10


def run_page(run: MultimodalRun, pictures: Mapping[str, Picture] | None = None) -> str:
    """Return the page; it loads nothing from elsewhere, and sounds are in it.

    Where the run's data are gone, figures and sounds that need them are left out, and it says so.

    Parameters
    ----------
    pictures
        The run's figures by name, where they are drawn already.
    """
    sections = [_about(run)]
    if run.report is not None:
        sections += _numbers(run)
    drawn = dict(run.figures.all()) if pictures is None else pictures
    shown = [ReportPicture.of(found, _CAPTIONS.get(name, "")) for name, found in drawn.items()]
    try:
        sounds = _heard(run)
        words = []
    except (RunError, DataError) as error:
        sounds = []
        words = [f"Sounds and the figures that are not here need the run's data: {error}"]
    sections += [Section("Figures", words, pictures=shown), *sounds]
    return html_report(f"Run {run.name}", sections)


def _about(run: MultimodalRun) -> Section:
    samples = ", ".join(f"{count:,} {split}" for split, count in run.origin.samples.items())
    words = [
        f"Preset {run.preset} on {run.origin.name}: {', '.join(run.model.names)}; {samples} rows. "
        f"{run.model.parameters_count:,} parameters, {run.trained.epochs} epochs in "
        f"{run.trained.seconds:,.0f} seconds.",
        *run.model.describe(),
        *run.notes,
    ]
    return Section("The run", words)


def _numbers(run: MultimodalRun) -> list[Section]:
    report = run.report
    if report is None:
        return []
    sections = [
        Section(
            "Retrieval",
            [
                "Items of the same class are relevant; mAP over the whole gallery, ties by "
                "expectation. Chance, baselines and the bound of two supervised classifiers "
                "(oracle) stand beside it.",
                *report.notes,
            ],
            [
                ReportTable(
                    _table(
                        report.retrieval,
                        "direction",
                        (
                            "map",
                            "p@1",
                            "p@10",
                            "chance",
                            "random",
                            "paired",
                            "ridge",
                            "cca",
                            "oracle",
                        ),
                    ),
                    "mAP, P@1, P@10 of the model; mAP of the others.",
                )
            ],
        )
    ]
    made = {
        "coherence": (
            "Translations",
            report.coherence,
            (
                "coherence",
                "relative",
                "variance_ratio",
                "frechet",
                "frechet_floor",
                "exact",
                "heard",
            ),
            "Share of draws whose class the judge sees; the same over the judge's accuracy on real "
            "items; variance inside classes over the real one; Frechet distance of the judge's "
            "features to real test items, and that of real training items; words that are exact; "
            "sounds judged after they were made audible.",
        ),
        "joint": (
            "Drawn together",
            report.joint,
            ("coherence", "entropy", "least_class", "coherence*entropy"),
            "Rows whose modalities are judged alike, times the evenness of their classes.",
        ),
        "probes": (
            "What the joint code tells",
            report.probes,
            ("accuracy", "chance", "cluster_accuracy"),
            "Linear probe of the class, by the modalities that were given; k-means beside it.",
        ),
        "judges": (
            "The judges",
            report.judges,
            ("real", "reconstructed", "round_trip", "calibration_error"),
            "Accuracy on real, reconstructed and round-tripped test items: no coherence can be "
            "trusted beyond it.",
        ),
    }
    for heading, part, keys, caption in made.values():
        if part:
            sections.append(Section(heading, tables=[ReportTable(_table(part, "", keys), caption)]))
    rest = _flat(report.leakage, "shared", "private", "chance")
    if rest is not None:
        caption = "Accuracy of a linear probe of the factor from shared and private codes."
        sections.append(Section("What is hidden", tables=[ReportTable(rest, caption)]))
    rest = _flat(report.style, "class_kept", "recognised", "judge", "chance")
    if rest is not None:
        caption = "Translations in the style of a reference: class kept, factor recognised."
        sections.append(Section("Styles", tables=[ReportTable(rest, caption)]))
    rest = _flat(report.mismatch, "auc")
    if rest is not None:
        caption = "Area under the ROC curve of telling pairs from mismatches."
        sections.append(Section("What belongs together", tables=[ReportTable(rest, caption)]))
    return sections


def _table(part: Mapping[str, Any], first: str, keys: Sequence[str]) -> Table:
    shown = [key for key in keys if any(row.get(key) is not None for row in part.values())]
    columns: dict[str, Column] = {first: list(part)}
    columns |= {title_of(key): [row.get(key) for row in part.values()] for key in shown}
    return Table(columns)


def _flat(part: Mapping[str, Any], *keys: str) -> Table | None:
    """Return a table of two levels of names, or None where there is nothing."""
    rows = [(one, two, found) for one, inner in part.items() for two, found in inner.items()]
    if not rows:
        return None
    columns: dict[str, Column] = {"": [f"{one}, {two}" for one, two, _ in rows]}
    columns |= {title_of(key): [found.get(key) for _, _, found in rows] for key in keys}
    return Table(columns)


def _heard(run: MultimodalRun) -> list[Section]:
    """Return a section of sounds for each modality that has them."""
    sections = []
    for to in run.model.names:
        if run.adapter(to).kind != "audio":
            continue
        rows = examples_of(run, _SPOKEN)
        sounds = [
            *_sounds(run, to, run.data[to].items[torch.from_numpy(rows[to])], rows[to], "real"),
        ]
        for name in (other for other in run.model.names if other != to):
            items = run.data[name].items[torch.from_numpy(rows[name])]
            if run.mixture is None:
                made = run.model.translate({name: items}, to)
            else:
                made = translations(run.model, run.mixture, {name: items}, to).items[:, 0]
            sounds += _sounds(run, to, made, rows[to], f"from {name}")
        words = [
            "Every sound is made from its log-mel picture (mel bands to frequencies by least "
            "squares, phases by Griffin-Lim), the real ones too, so that they compare."
        ]
        sections.append(Section(f"Sounds of {to}", words, sounds=sounds))
    return sections


def _sounds(
    run: MultimodalRun, to: str, items: torch.Tensor, rows: Any, said: str
) -> list[ReportSound]:
    found = []
    for i, (clip, row) in enumerate(zip(run.adapter(to).inverse(items), rows, strict=True)):
        label = run.class_name(int(run.data[to].labels[row]))
        found.append(ReportSound(wav_bytes(clip), label or f"row {i + 1}", said))
    return found
