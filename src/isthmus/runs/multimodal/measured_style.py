"""Say this digit in that voice: whether the class is kept, and the voice recognised."""

from __future__ import annotations

from typing import Any

import numpy as np

from isthmus.runs.multimodal.judges import Judges
from isthmus.runs.multimodal.measured_retrieval import directions
from isthmus.runs.multimodal.subject import Subject

__all__ = ["styles"]


def styles(subject: Subject, judges: Judges) -> dict[str, Any]:
    """Translate test items with the private code of a real test item of the target.

    For every factor of the target that has a judge: ``class_kept`` is the share of translations
    of the wanted class, ``recognised`` the share whose factor is that of the reference,
    ``judge`` the judge's accuracy on real test items.
    """
    report: dict[str, Any] = {}
    generator = np.random.default_rng(subject.options.seed)
    for one, to in directions(subject.data.names):
        for factor, judge in judges.factors.get(to, {}).items():
            modality = subject.data[to]
            values = modality.factors[factor]
            held = modality.rows("test")
            held = held[values[held] >= 0]
            rows = subject.test_rows(one, subject.options.queries)
            if not len(held) or not len(rows):
                continue
            if len(rows) < len(held):  # a few words: each is said in several voices
                rows = np.resize(rows, min(len(held), subject.options.queries))
            reference = generator.choice(held, len(rows))
            codes = subject.encoded(to, held)
            if to not in codes.private or not codes.private[to].shape[1]:
                continue
            made = subject.translated(
                {one: subject.items(one, rows)}, to, style=subject.items(to, reference)
            )[:, 0]
            unheard = held[~np.isin(held, judges.heard[to])]
            real = judge.labels(subject.items(to, unheard))
            report[f"{one}->{to}"] = report.get(f"{one}->{to}", {}) | {
                factor: {
                    "class_kept": float(
                        (judges.of[to].labels(made) == subject.data[one].labels[rows]).mean()
                    ),
                    "recognised": float((judge.labels(made) == values[reference]).mean()),
                    "judge": float((real == values[unheard]).mean()) if len(unheard) else None,
                    "chance": 1 / judge.classes,
                    "items": len(rows),
                }
            }
    return report
