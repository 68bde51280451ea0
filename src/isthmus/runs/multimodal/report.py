"""The report of an evaluation, as the run folder keeps it and ``--json`` prints it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isthmus.errors import RunError

__all__ = ["MultimodalReport", "summary"]

Part = Mapping[str, Any]


@dataclass(frozen=True)
class MultimodalReport:
    """Everything that was measured of a model of several modalities, as JSON values."""

    retrieval: Part
    """By direction (``image->audio``): ``map``, ``p@1``, ``p@10``, ``r_precision``,
    ``median_rank``, ``interval`` (95 % bootstrap of the mAP over queries, over speakers for
    sounds), ``asymmetry``; ``chance``, ``random``, ``paired``, ``cca``, ``ridge`` and ``oracle``
    beside them (mAP)."""
    coherence: Part = field(default_factory=dict)
    """By direction, several sources too (``image+text->audio``)."""
    joint: Part = field(default_factory=dict)
    """Joint coherence of draws from the mixture, and from the prior where there is one."""
    probes: Part = field(default_factory=dict)
    """Class probes of the joint code by subset of modalities."""
    leakage: Part = field(default_factory=dict)
    """By modality and factor: how well it is read from ``shared`` and ``private`` codes."""
    style: Part = field(default_factory=dict)
    """By direction and factor: translations in the style of a reference."""
    geometry: Part = field(default_factory=dict)
    """By pair of modalities: gap, alignment, uniformity."""
    mismatch: Part = field(default_factory=dict)
    """By pair of modalities: area under the ROC curve of telling pairs from mismatches."""
    robustness: Part = field(default_factory=dict)
    """Against the share of test items that are missing."""
    contribution: Part = field(default_factory=dict)
    """Each modality's mean share of the joint code."""
    judges: Part = field(default_factory=dict)
    """By modality: accuracy on real, reconstructed and round-tripped items, calibration."""
    summary: Part = field(default_factory=dict)
    """Means over directions, with and without text apart."""
    notes: tuple[str, ...] = ()
    """What a reader should know."""
    settings: Part = field(default_factory=dict)
    """How much was measured."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values; parts that were not measured are left out."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: _plain(value) for name, value in values.items() if value}

    def measures(self) -> dict[str, float]:
        """Return the numbers that models are compared by, by what they are called.

        Retrieval and translation from one modality to another, draws from the joint mixture,
        what codes tell of factors, styles that are kept, mismatches that are noticed.

        Examples
        --------
        >>> MultimodalReport({"image->audio": {"map": 0.98}}).measures()
        {'retrieval image->audio, mAP': 0.98}
        """
        return {
            name: float(value)
            for name, value in _measures(self)
            if value is not None and np.isfinite(value)
        }

    @classmethod
    def from_json(cls, values: Any) -> MultimodalReport:
        """Make the report again.

        Raises
        ------
        RunError
            If a part is unknown or of another form.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(values, Mapping) or not isinstance(values.get("retrieval"), Mapping):
            raise RunError("the metrics are damaged", why="there is no retrieval")
        odd = [n for n, v in values.items() if n not in known or not _fits(n, v)]
        if odd:
            raise RunError("the metrics are damaged", why=f"the part {odd[0]!r}")
        parts: dict[str, Any] = dict(values)
        return cls(**parts | {"notes": tuple(parts.get("notes", ()))})


def _measures(report: MultimodalReport) -> Iterator[tuple[str, float | None]]:
    for way, part in report.retrieval.items():
        yield f"retrieval {way}, mAP", part.get("map")
    for way, part in report.coherence.items():
        if "+" in way:
            continue
        yield f"translation {way}, coherence", part.get("coherence")
        yield f"translation {way}, variance of the real", part.get("variance_ratio")
        yield f"translation {way}, Frechet distance", part.get("frechet")
        beside = part.get("retrieve_then_decode") or {}
        yield f"nearest training code decoded {way}, coherence", beside.get("coherence")
    for source, part in report.joint.items():
        yield f"draws from the {source}, coherence times entropy", part.get("coherence*entropy")
    for modality, factors in report.leakage.items():
        for factor, part in factors.items():
            for codes in ("shared", "private"):
                yield f"{factor} read from the {codes} code of {modality}", part.get(codes)
    for way, factors in report.style.items():
        for factor, part in factors.items():
            given = f"translation {way} with a reference {factor}"
            yield f"{given}, class kept", part.get("class_kept")
            yield f"{given}, {factor} recognised", part.get("recognised")
    for pair, scores in report.mismatch.items():
        for score, part in scores.items():
            yield f"mismatch {pair} by {score}, ROC area", part.get("auc")
    for modality, part in report.judges.items():
        yield f"judge of {modality} on real items", part.get("real")
        if part.get("round_trip") is not None:
            yield f"judge of {modality} on items made audible", part["round_trip"]
            yield f"judge of {modality} on the same items as they were", part["before_round_trip"]


def _fits(name: str, value: Any) -> bool:
    return isinstance(value, list) if name == "notes" else isinstance(value, Mapping)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def summary(retrieval: Part, coherence: Part, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return means over directions, those with a text on a side apart from those without.

    A word is the label in disguise: what it finds, or is found by, is close to supervised.

    Parameters
    ----------
    kinds
        The kind of each modality.
    """
    text = {name for name, kind in kinds.items() if kind == "text"}
    found: dict[str, Any] = {"text_in_training": bool(text)}
    for title, wanted in (("without text", False), ("with text", True)):
        rows: dict[str, float] = {}
        for key, part, number in (
            ("retrieval_map", retrieval, "map"),
            ("retrieval_oracle", retrieval, "oracle"),
            ("coherence", coherence, "coherence"),
            ("variance_ratio", coherence, "variance_ratio"),
        ):
            values = [
                values[number]
                for name, values in part.items()
                if bool(set(name.replace("->", "+").split("+")) & text) == wanted
                and values.get(number) is not None
            ]
            if values:
                rows[key] = float(np.mean(values))
        if rows:
            found[title] = rows
    return found
