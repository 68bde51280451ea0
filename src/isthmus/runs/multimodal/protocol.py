"""The whole protocol: from a model, data and judges to a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from isthmus.data.multimodal import MultimodalData
from isthmus.errors import ConfigError
from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.runs.multimodal.baselines import Ladder, ladder
from isthmus.runs.multimodal.judges import Judges, class_count
from isthmus.runs.multimodal.measured_codes import (
    contributions,
    geometries,
    leaks,
    mismatches,
    probes,
)
from isthmus.runs.multimodal.measured_coherence import coherence, judge_report
from isthmus.runs.multimodal.measured_joint import joint
from isthmus.runs.multimodal.measured_missing import robustness
from isthmus.runs.multimodal.measured_retrieval import retrieval, retrievals
from isthmus.runs.multimodal.measured_style import styles
from isthmus.runs.multimodal.report import MultimodalReport, summary
from isthmus.runs.multimodal.subject import Measurable, MultimodalEvaluation, Subject

__all__ = ["evaluate_multimodal"]

Told = Callable[[str], None]


def evaluate_multimodal(
    model: Measurable,
    mixture: JointMixture | None,
    data: MultimodalData,
    judges: Judges | None = None,
    *,
    options: MultimodalEvaluation | None = None,
    baselines: Ladder | None = None,
    tell: Told | None = None,
) -> MultimodalReport:
    """Measure a model of several modalities on the test split.

    Parameters
    ----------
    model
        The model, or another library's behind the same verbs.
    mixture
        Of its codes: translations are then drawn from its conditionals; None: the model's own.
    data
        The data; modalities that the model lacks are left out.
    judges
        Of the data. Without them, or where the data have no classes, only what needs no class is
        measured, and an item's relevant item is the one in its row of the test table.
    options
        How much is measured.
    baselines
        The ladder, where it is known already: it depends on the data alone.
    tell
        Is told, in a line, what is measured next.

    Raises
    ------
    ConfigError
        If the data lack a modality of the model.
    """
    absent = sorted(set(model.names) - set(data.names))
    if absent:
        raise ConfigError(
            f"the model has a modality {absent[0]!r}, and the data don't",
            where=data.name,
            fix=f"the data have: {', '.join(data.names)}",
        )
    options = options or MultimodalEvaluation()
    told = tell or (lambda line: None)
    if class_count(data) < 2:
        judges = None
    subject = Subject(model, data.only(list(model.names)), mixture, judges, options)
    told("retrieval")
    if judges is not None and baselines is None and options.baselines:
        told("baselines of retrieval")
        baselines = ladder(subject.data, judges.oracle, most=options.gallery, seed=options.seed)
    parts: dict[str, Any] = {"retrieval": retrieval(retrievals(subject), baselines)}
    parts |= {"geometry": geometries(subject), "contribution": contributions(subject)}
    parts["mismatch"] = mismatches(subject)
    if judges is not None:
        parts |= _judged(subject, judges, told)
    kinds = {name: m.adapter.kind for name, m in subject.data.modalities.items()}
    return MultimodalReport(
        **parts,
        summary=summary(parts["retrieval"], parts.get("coherence", {}), kinds),
        notes=_notes(subject),
        settings=dataclasses.asdict(options) | {"data": data.name, "digest": data.digest},
    )


def _judged(subject: Subject, judges: Judges, told: Told) -> dict[str, Any]:
    told("judges")
    trusted = judge_report(subject, judges)
    told("translations")
    made = coherence(subject, judges, trusted)
    told("joint draws, styles, probes")
    return {
        "judges": trusted,
        "coherence": made,
        "joint": joint(subject, judges),
        "style": styles(subject, judges),
        "probes": probes(subject),
        "leakage": leaks(subject),
        "robustness": robustness(subject, judges),
    }


def _notes(subject: Subject) -> tuple[str, ...]:
    """Say what a reader of the numbers should know."""
    notes = list(subject.data.notes)
    for name, modality in subject.data.modalities.items():
        rows = modality.rows("test")
        if modality.adapter.kind == "text" and len(rows) < 100:
            notes.append(
                f"{name} has {len(rows)} test items: they are not as many queries as rows are "
                "drawn from them, and a word is the label in disguise."
            )
        for factor, values in modality.factors.items():
            train = np.unique(values[modality.rows("train")])
            if len(rows) and not np.isin(values[rows], train).any():
                notes.append(f"Every {factor} of {name} in the test split is unseen in training.")
    if subject.mixture is None:
        notes.append("There is no joint mixture: translations are the model's own.")
    return tuple(notes)
