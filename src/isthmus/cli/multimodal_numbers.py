"""The report of several modalities as tables for reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from isthmus.cli.screen import NOTHING, Screen, number
from isthmus.runs.multimodal.titles import title_of

if TYPE_CHECKING:
    from isthmus.runs.multimodal import MultimodalReport

__all__ = ["show_report"]

Rows = Iterator[tuple[str, ...]]

_RETRIEVAL = ("map", "p@1", "chance", "random", "paired", "ridge", "cca", "oracle")
_COHERENCE = (
    "coherence", "relative", "variance_ratio", "frechet", "frechet_floor", "exact", "heard",
)  # fmt: skip
_JUDGES = ("real", "reconstructed", "round_trip", "calibration_error")


def show_report(screen: Screen, report: MultimodalReport) -> None:
    """Write the numbers, each with what it is to be held against."""
    _by_key(screen, "retrieval", report.retrieval, _RETRIEVAL)
    _by_key(screen, "translation", report.coherence, _COHERENCE)
    rows = [row for title, make in _PARTS.items() for row in _titled(title, make(report))]
    if rows:
        screen.table(("measured", "of", "value", "against"), rows, left=2)
    _by_key(screen, "judge", report.judges, _JUDGES)
    screen.words(list(_summary(report)))
    screen.words([("note", note) for note in report.notes])


def _by_key(screen: Screen, title: str, part: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Write a table with a row a name, of the columns that have a number."""
    shown = [key for key in keys if any(row.get(key) is not None for row in part.values())]
    if not shown:
        return
    head = (title, *(title_of(key) for key in shown))
    screen.table(
        head, [(name, *(number(row.get(key)) for key in shown)) for name, row in part.items()]
    )


def _titled(title: str, rows: Rows) -> Rows:
    for i, row in enumerate(rows):
        yield (title if i == 0 else "", *row)


def _joint(report: MultimodalReport) -> Rows:
    for name, row in report.joint.items():
        entropy = number(row.get("entropy"))
        yield name, number(row.get("coherence*entropy")), f"evenness of classes {entropy}"


def _probes(report: MultimodalReport) -> Rows:
    for name, row in report.probes.items():
        yield name, number(row.get("accuracy")), f"chance {number(row.get('chance'))}"


def _leaks(report: MultimodalReport) -> Rows:
    for name, factors in report.leakage.items():
        for factor, row in factors.items():
            private = row.get("private")
            beside = f"private code {number(private)}, " if private is not None else ""
            chance = f"{beside}chance {number(row.get('chance'))}"
            yield f"{factor} of {name}", number(row.get("shared")), chance


def _styles(report: MultimodalReport) -> Rows:
    for name, factors in report.style.items():
        for factor, row in factors.items():
            kept = f"class kept {number(row.get('class_kept'))}"
            yield f"{factor}, {name}", number(row.get("recognised")), kept


def _mismatches(report: MultimodalReport) -> Rows:
    for name, scores in report.mismatch.items():
        for score, row in scores.items():
            yield f"{name}, {score}", number(row.get("auc")), "chance 0.5"


def _robustness(report: MultimodalReport) -> Rows:
    rates = report.robustness.get("rates", ())
    for rate, value in zip(rates, report.robustness.get("probe", ()), strict=False):
        yield f"{rate:.0%} of items missing", number(value), NOTHING


_PARTS: Mapping[str, Callable[[MultimodalReport], Rows]] = MappingProxyType(
    {
        "joint coherence x evenness": _joint,
        "class from the joint code": _probes,
        "factor from the shared code": _leaks,
        "reference recognised": _styles,
        "mismatch, ROC area": _mismatches,
        "class, thinned rows": _robustness,
    }
)


def _summary(report: MultimodalReport) -> Iterator[tuple[str, str]]:
    for title in ("without text", "with text"):
        row = report.summary.get(title)
        if not row:
            continue
        parts = [f"mAP {number(row.get('retrieval_map'))}"]
        if row.get("retrieval_oracle") is not None:
            parts[0] += f" (oracle {number(row['retrieval_oracle'])})"
        if row.get("coherence") is not None:
            parts.append(f"coherence {number(row['coherence'])}")
        yield title, ", ".join(parts)
