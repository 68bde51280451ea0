"""Retrieval in every direction, with chance, baselines and the oracle beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.metrics.multimodal import CrossRetrieval, cross_retrieval
from isthmus.runs.multimodal.baselines import Ladder, asked_pair
from isthmus.runs.multimodal.subject import Subject

__all__ = ["directions", "retrieval", "retrievals"]

Labels = NDArray[np.int64]


def directions(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return every ordered pair of modalities."""
    return [(one, other) for one in names for other in names if one != other]


def retrievals(subject: Subject) -> dict[str, CrossRetrieval]:
    """Score retrieval by the cosine of shared codes, by direction.

    Items of one class are relevant; without classes, the item that stands in the same row of the
    test table is.
    """
    found = {}
    for one, other in directions(subject.data.names):
        if subject.judges is None:
            queries, gallery, asked, held, groups = _by_row(subject, one, other)
        else:
            left, right = asked_pair(subject.data, one, other, subject.options.gallery)
            queries, gallery = left.rows, right.rows
            asked, held, groups = left.labels, right.labels, left.groups
        found[f"{one}->{other}"] = cross_retrieval(
            subject.shared(one, queries),
            subject.shared(other, gallery),
            asked,
            held,
            groups=groups,
            seed=subject.options.seed,
        )
    return found


def _by_row(subject: Subject, one: str, other: str) -> tuple[Labels, Labels, Labels, Labels, None]:
    """Return items of the test table, each its own class, so that its partner is relevant."""
    i, j = (subject.data.names.index(name) for name in (one, other))
    table = subject.table("test", subject.options.gallery)
    held, index = np.unique(table[:, j], return_inverse=True)
    asked, first = np.unique(table[:, i], return_index=True)
    return asked, held, index.ravel()[first].astype(np.int64), np.arange(len(held)), None


def retrieval(found: dict[str, CrossRetrieval], ladder: Ladder | None) -> dict[str, Any]:
    """Return the part of the report: each direction's numbers, the ladder's mAP beside them.

    ``asymmetry`` is the mAP of the direction less that of the way back.
    """
    report: dict[str, Any] = {}
    for name, scores in found.items():
        one, other = name.split("->")
        report[name] = scores.as_json()
        report[name]["asymmetry"] = scores.map - found[f"{other}->{one}"].map
        if ladder is not None and name in ladder.scores:
            report[name] |= ladder.of(name)
            report[name]["oracle_p@1"] = ladder.scores[name]["oracle"].p1
    return report
