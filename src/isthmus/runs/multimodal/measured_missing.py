"""What is left when items are missing at prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.multimodal import with_missing
from isthmus.metrics.multimodal import curve_area, probe
from isthmus.runs.multimodal.judges import Judges
from isthmus.runs.multimodal.measured_codes import joint_codes
from isthmus.runs.multimodal.subject import Subject, spread

__all__ = ["robustness"]

Labels = NDArray[np.int64]


def robustness(subject: Subject, judges: Judges) -> dict[str, Any]:
    """Take items out of test rows at random, at several rates; every row keeps one.

    ``probe`` is the accuracy of a class probe of the joint code (learned from whole training rows
    and from each modality alone), ``completion`` the share of what was missing that is filled
    with an item of the row's class. Areas are over the rates, losses at half against none.
    """
    names = subject.data.names
    if len(names) < 2:
        return {}
    table = subject.table("train", subject.options.train_rows)
    labels = subject.data.row_labels(table)
    table, labels = table[labels >= 0], labels[labels >= 0]
    learned = [joint_codes(subject, table, given) for given in (names, *((n,) for n in names))]
    trained = probe(np.concatenate(learned), np.tile(labels, len(learned)))
    found: dict[str, list[float]] = {"probe": [], "completion": []}
    for rate in subject.options.rates:
        thin = with_missing(subject.data, rate, subject.options.seed, splits=("test",))
        rows = spread(thin.pairs["test"], 2 * subject.options.queries)
        wanted = subject.data.row_labels(rows)
        rows, wanted = rows[wanted >= 0], wanted[wanted >= 0]
        batch = subject.data.batch(rows)
        joint = subject.model.encode(batch.items, batch.mask).shared.double().cpu().numpy()
        found["probe"].append(trained.accuracy(joint, wanted))
        found["completion"].append(_completed(subject, judges, rows, wanted))
    report: dict[str, Any] = {"rates": list(subject.options.rates), **found}
    for name, values in found.items():
        kept = np.isfinite(values)
        if kept.any():
            report[f"{name}_area"] = curve_area(
                np.array(subject.options.rates)[kept], np.array(values)[kept]
            )
    if {0.0, 0.5} <= set(subject.options.rates):
        none, half = (subject.options.rates.index(rate) for rate in (0.0, 0.5))
        report["probe_loss_at_half"] = found["probe"][none] - found["probe"][half]
    return {k: [None if v != v else v for v in x] if isinstance(x, list) else x  # NaN is no JSON
            for k, x in report.items()}  # fmt: skip


def _completed(subject: Subject, judges: Judges, table: Labels, wanted: Labels) -> float:
    """Return the share of missing items that are filled with one of their row's class."""
    there = table >= 0
    right = total = 0
    for kind in np.unique(there, axis=0):
        rows = np.flatnonzero((there == kind).all(axis=1))
        given = [i for i, held in enumerate(kind) if held]
        items = {
            subject.data.names[i]: subject.items(subject.data.names[i], table[rows, i])
            for i in given
        }
        for i in np.flatnonzero(~kind):
            to = subject.data.names[i]
            made = subject.translated(items, to)[:, 0]
            right += int((judges.of[to].labels(made) == wanted[rows]).sum())
            total += len(rows)
    return right / total if total else float("nan")
