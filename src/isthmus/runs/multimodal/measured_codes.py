"""What the codes are like: probes of every subset, leaks, geometry, mismatches, contributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.metrics.arrays import unit_rows
from isthmus.metrics.multimodal import clusters, detection, geometry, leak, probe, subsets
from isthmus.models.multimodal import MultimodalAutoencoder
from isthmus.models.multimodal.mixture_use import belongs
from isthmus.runs.multimodal.subject import Subject, spread

__all__ = ["contributions", "geometries", "joint_codes", "leaks", "mismatches", "probes"]

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


def joint_codes(subject: Subject, table: Labels, given: tuple[str, ...]) -> Floats:
    """Return the joint codes of rows of a table by some of their modalities, float64."""
    places = {name: subject.data.names.index(name) for name in given}
    items = {name: subject.items(name, table[:, i]) for name, i in places.items()}
    return subject.model.encode(items).shared.double().cpu().numpy()


def probes(subject: Subject) -> dict[str, Any]:
    """Probe the joint code of every subset of modalities for the class, and cluster it."""
    train = _labelled(subject, "train", subject.options.train_rows)
    test = _labelled(subject, "test", subject.options.gallery)
    report: dict[str, Any] = {}
    for given in subsets(subject.data.names):
        learned = joint_codes(subject, train[0], given)
        codes = joint_codes(subject, test[0], given)
        trained = probe(learned, train[1])
        grouped = clusters(spread_rows(codes, 2000), spread(test[1], 2000))
        report["+".join(given)] = {
            "accuracy": trained.accuracy(codes, test[1]),
            "chance": 1 / len(trained.classes),
            "cluster_accuracy": grouped.accuracy,
            "cluster_information": grouped.information,
        }
    return report


def _labelled(subject: Subject, split: str, most: int) -> tuple[Labels, Labels]:
    table = subject.table(split, most)
    labels = subject.data.row_labels(table)
    return table[labels >= 0], labels[labels >= 0]


def spread_rows(rows: Floats, most: int) -> Floats:
    """Return at most so many rows of a matrix, evenly spread."""
    chosen = spread(np.arange(len(rows)), most)
    return np.asarray(rows[chosen])


def leaks(subject: Subject) -> dict[str, Any]:
    """Probe shared and private codes for every other factor of a modality (the speaker).

    Tested on the test split; where its values are unseen in training, on the validation split.
    """
    report: dict[str, Any] = {}
    for name, modality in subject.data.modalities.items():
        train = spread(modality.rows("train"), subject.options.train_rows)
        for factor, values in modality.factors.items():
            split = "test" if np.isin(values[modality.rows("test")], values[train]).any() else ""
            held = modality.rows(split or "validation")
            try:
                found = {
                    part: leak(codes, values[train], tests, values[held])
                    for part, codes, tests in _both(subject, name, train, held)
                }
            except DataError:  # one value alone, such as the template of single words
                continue
            report.setdefault(name, {})[factor] = {
                **{part: one.accuracy for part, one in found.items()},
                "chance": next(iter(found.values())).chance,
                "split": split or "validation",
            }
    return report


def _both(
    subject: Subject, name: str, train: Labels, held: Labels
) -> list[tuple[str, Floats, Floats]]:
    codes, tests = subject.encoded(name, train), subject.encoded(name, held)
    sides = [("shared", codes.shared, tests.shared)]
    if name in codes.private and codes.private[name].shape[1]:
        sides.append(("private", codes.private[name], tests.private[name]))
    return [(part, a.double().cpu().numpy(), b.double().cpu().numpy()) for part, a, b in sides]


def geometries(subject: Subject) -> dict[str, Any]:
    """Describe how codes of each two modalities lie to each other, by rows of the test table."""
    report = {}
    table = subject.table("test", 2000)
    for one, other in _pairs(subject):
        found = geometry(joint_codes(subject, table, (one,)), joint_codes(subject, table, (other,)))
        report[f"{one}~{other}"] = {
            "gap": found.gap,
            "alignment": found.alignment,
            "uniformity": dict(zip((one, other), found.uniformity, strict=True)),
        }
    return report


def _pairs(subject: Subject) -> list[tuple[str, str]]:
    names = subject.data.names
    return [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]


def mismatches(subject: Subject) -> dict[str, Any]:
    """Tell rows of the test table from rows whose second item is of another class.

    Scored by the cosine of shared codes, and by the mixture's log-odds where there is one.
    """
    report: dict[str, Any] = {}
    table = subject.table("test", subject.options.queries)
    labels = subject.data.row_labels(table)
    classes = labels if subject.judges is not None else np.arange(len(table))
    partner = _others(classes, subject.options.seed)
    table, partner = table[partner >= 0], partner[partner >= 0]
    if len(table) < 2:
        return report
    whole = subject.table("test", subject.options.queries)
    for one, other in _pairs(subject):
        i, j = subject.data.names.index(one), subject.data.names.index(other)
        left, right, wrong = table[:, i], table[:, j], whole[partner, j]
        a, b, c = (
            unit_rows(subject.shared(name, rows))
            for name, rows in ((one, left), (other, right), (other, wrong))
        )
        scores = {"cosine": ((a * b).sum(1), (a * c).sum(1))}
        if subject.mixture is not None and isinstance(subject.model, MultimodalAutoencoder):
            sides = {one: subject.items(one, left)}
            scores["mixture"] = (
                belongs(
                    subject.model, subject.mixture, sides, {other: subject.items(other, right)}
                ),
                belongs(
                    subject.model, subject.mixture, sides, {other: subject.items(other, wrong)}
                ),
            )
        report[f"{one}~{other}"] = {
            name: {"auc": found.auc, "interval": [found.low, found.high]}
            for name, found in ((n, detection(*pair)) for n, pair in scores.items())
        }
    return report


def _others(classes: Labels, seed: int) -> Labels:
    """Return for each row another of a different class, drawn at random; -1 where there is none."""
    generator = np.random.default_rng(seed)
    found = np.full(len(classes), -1, np.int64)
    for number in np.unique(classes):
        rows = np.flatnonzero(classes == number)
        rest = np.flatnonzero(classes != number)
        if number >= 0 and len(rest):
            found[rows] = generator.choice(rest, len(rows))
    return found


def contributions(subject: Subject) -> dict[str, float]:
    """Return each modality's mean share of the joint code of whole test rows."""
    table = subject.table("test", 2000)
    places = dict(enumerate(subject.data.names))
    items = {name: subject.items(name, table[:, i]) for i, name in places.items()}
    weight = subject.model.encode(items).weight
    return {name: float(torch.as_tensor(share).double().mean()) for name, share in weight.items()}
