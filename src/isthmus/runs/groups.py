"""Runs that differ only in their seed, and which of such groups differ beyond seed noise."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isthmus.metrics.stats import Interval, compare_all, mean_interval
from isthmus.runs.run import Run

if TYPE_CHECKING:
    from isthmus.runs.rows import AnyRun, Row

__all__ = [
    "BETTER",
    "COMPARED",
    "Group",
    "GroupDifference",
    "common_name",
    "differences",
    "grouped",
    "same_but_seed",
    "units",
]

COMPARED: Mapping[str, str] = {
    "mse": "lower",
    "knn_accuracy": "higher",
    "l0": "",
    "mean_activation": "",
    "dead_fraction": "lower",
    "hoyer": "",
    "nll": "lower",
    "elbo": "higher",
    "rate": "",
    "active_units": "",
}
"""The metrics that are compared between groups, and which end is better, if any."""
BETTER: Mapping[str, str] = {
    **COMPARED,
    "fvu": "lower",
    "fvu_refined": "lower",
    "max_firing_rate": "",
}
"""The same, with those that are compared only where a sparse dictionary is among the runs."""


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, measured on one split."""

    name: str
    """What they have in common of their names."""
    split: str
    """The split."""
    runs: tuple[str, ...]
    """Names of the runs."""
    seeds: tuple[int, ...]
    """Their seeds, each once."""
    values: Mapping[str, tuple[float, ...]]
    """For each metric that all of them have, its value for each seed."""
    data: str
    """Fingerprint of the data."""
    units: str
    """Digest of the scale that errors are measured in."""
    protocol: str | None = None
    """How likelihoods were measured."""

    def interval(self, metric: str, confidence: float = 0.95) -> Interval | None:
        """Return mean, standard deviation and t interval; None where there is no such number."""
        values = self.values.get(metric)
        return mean_interval(values, confidence) if values else None

    def as_json(self) -> dict[str, Any]:
        """Return names, seeds and the interval of each metric, as JSON values."""
        return {
            "name": self.name,
            "split": self.split,
            "runs": list(self.runs),
            "seeds": list(self.seeds),
            "metrics": {
                metric: {
                    "values": list(values),
                    "mean": found.mean,
                    "sd": found.spread,
                    "half": found.half,
                    "confidence": found.confidence,
                }
                for metric, values in self.values.items()
                if (found := self.interval(metric)) is not None
            },
        }


@dataclass(frozen=True)
class GroupDifference:
    """One metric of two groups."""

    metric: str
    """The metric."""
    split: str
    """The split."""
    a: str
    """Name of the first group."""
    b: str
    """Name of the second group."""
    mean_a: float
    """Mean of the first over its seeds."""
    mean_b: float
    """Mean of the second over its seeds."""
    gap: float
    """Mean of a less mean of b."""
    low: float | None
    """Lower end of Welch's interval of the gap; None with one seed on either side."""
    high: float | None
    """Upper end of the same."""
    differs: bool | None
    """Whether the gap exceeds seed noise, all pairs of this metric taken together (Holm's rule,
    Welch's t test, 95 %); None: one seed can't tell."""

    @property
    def better(self) -> str | None:
        """Name of the better group; None where they don't differ or neither end is better."""
        end = BETTER[self.metric]
        if not self.differs or not end:
            return None
        return self.a if (self.gap < 0) == (end == "lower") else self.b

    @property
    def sentence(self) -> str:
        """The finding in words."""
        if self.differs is None:
            return f"{self.metric}: {self.a} against {self.b}: one seed can't tell: no statement"
        span = f"gap {self.gap:.3g}, 95 % interval {self.low:.3g} to {self.high:.3g}"
        if not self.differs:
            alone = self.low is not None and self.high is not None and self.low * self.high > 0
            tail = "; only this pair taken by itself would differ" if alone else ""
            return (
                f"{self.metric}: {self.a} ({self.mean_a:.4g}) and {self.b} ({self.mean_b:.4g}) "
                f"differ by no more than seed noise can explain ({span}{tail})"
            )
        word = "lower" if self.gap < 0 else "higher"
        judged = f": {self.better} is better" if self.better else ""
        return (
            f"{self.metric}: {self.a} ({self.mean_a:.4g}) is {word} than {self.b} "
            f"({self.mean_b:.4g}) by more than seed noise ({span}){judged}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the numbers and the sentence, as JSON values."""
        return dataclasses.asdict(self) | {"better": self.better, "sentence": self.sentence}


def same_but_seed(run: AnyRun) -> str:
    """Return a digest of everything that a run was asked for, but for its seed."""
    return _digest(json.dumps(run.recipe(), sort_keys=True, default=str).encode())


def units(run: AnyRun) -> str:
    """Return a digest of the scale that a run's errors are measured in."""
    return _digest(run.scale())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def grouped(
    runs: Sequence[AnyRun], names: Sequence[str], rows: Sequence[Row], splits: Sequence[str]
) -> tuple[tuple[Group, ...], list[str]]:
    """Put the runs that differ only in their seed together, split by split.

    Parameters
    ----------
    names
        The runs' names, no two alike.
    rows
        Their rows, run after run, and split after split within a run.

    Returns
    -------
    The groups in the order of their first runs, and sentences about trainings that came twice.
    """
    members: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        members.setdefault(same_but_seed(run), []).append(index)
    taken: set[str] = set()
    metrics = COMPARED if all(isinstance(run, Run) for run in runs) else BETTER
    groups, notes = [], []
    for found in members.values():
        kept: dict[int, int] = {}
        for index in found:
            first = kept.setdefault(runs[index].training.seed, index)
            if first != index:
                notes.append(
                    f"{names[first]} and {names[index]} are the same training (settings, data "
                    "and seed): counted once."
                )
        chosen = list(kept.values())
        name = common_name([(names[i], runs[i].training.seed) for i in chosen], taken)
        taken.add(name)
        for place, split in enumerate(splits):
            lines = [rows[i * len(splits) + place] for i in chosen]
            groups.append(
                Group(
                    name=name,
                    split=split,
                    runs=tuple(names[i] for i in chosen),
                    seeds=tuple(kept),
                    values=_values(lines, tuple(metrics)),
                    data=runs[chosen[0]].origin.fingerprint,
                    units=units(runs[chosen[0]]),
                    protocol=lines[0].get("nll_protocol"),
                )
            )
    return tuple(groups), notes


def _values(rows: Sequence[Row], metrics: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for metric in ("pca_mse", "pca_ratio", "pca_knn_accuracy", "seconds", *metrics):
        numbers = [row.get(metric) for row in rows]
        kept = tuple(float(n) for n in numbers if n is not None and math.isfinite(n))
        if len(kept) == len(rows):
            found[metric] = kept
    return found


def common_name(members: Sequence[tuple[str, int]], taken: Iterable[str]) -> str:
    """Return what the names share once the seed, or the number of a copy, is left out."""
    first = members[0][0]
    name = first
    if len(members) > 1:
        bare = [(re.sub(r" \(\d+\)$", "", n), seed) for n, seed in members]
        stems = {re.sub(rf"[-_. ]*(seed|s)?[-_=. ]*{seed}$", "", n) for n, seed in bare}
        name = (stems.pop() if len(stems) == 1 else "") or " + ".join(n for n, _ in members)
    if name in set(taken):
        name = first if first not in set(taken) else f"{name} ({first})"
    return name


def differences(groups: Sequence[Group]) -> tuple[GroupDifference, ...]:
    """Compare every pair of groups that can be compared, metric by metric.

    Groups on other data are never compared; errors only where they are in the same units;
    likelihoods only where they were measured by the same protocol.
    """
    found = []
    for metric in BETTER:
        cells: dict[tuple[str | None, ...], dict[str, tuple[float, ...]]] = {}
        for group in groups:
            if metric in group.values:
                scale = group.units if metric == "mse" else ""
                protocol = group.protocol if metric in {"nll", "elbo"} else None
                cell = (group.split, group.data, scale, protocol)
                cells.setdefault(cell, {})[group.name] = group.values[metric]
        for (split, *_), values in cells.items():
            for pair in compare_all(values):
                mean_a, mean_b = (math.fsum(values[n]) / len(values[n]) for n in (pair.a, pair.b))
                gap = pair.difference
                found.append(
                    GroupDifference(
                        metric, str(split), pair.a, pair.b, mean_a, mean_b,
                        gap.gap, gap.low, gap.high, pair.differs,
                    )
                )  # fmt: skip
    return tuple(found)
