"""Runs of several modalities side by side: means over seeds, and which differences exceed them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.configs import to_json
from isthmus.errors import ConfigError
from isthmus.files import write_json, write_text
from isthmus.metrics.stats import compare_all, mean_interval
from isthmus.models.multimodal.storage import model_config
from isthmus.runs.compare import distinct_names
from isthmus.runs.groups import common_name
from isthmus.runs.multimodal.run import MultimodalRun
from isthmus.runs.rows import aligned
from isthmus.runs.run import open_run

if TYPE_CHECKING:
    from isthmus.figures import Picture
    from isthmus.runs.rows import AnyRun

__all__ = ["MultimodalComparison", "MultimodalGroup", "compare_multimodal"]

_FREE = frozenset({"seed", "device", "threads", "checkpoint_seconds"})
_DRAWN = ("retrieval ", "translation ")
_APART = ("variance", "reference", "Frechet")
"""Words of measures that are on another scale."""


@dataclass(frozen=True)
class MultimodalGroup:
    """Runs that differ only in their seed."""

    name: str
    """What they have in common of their names."""
    runs: tuple[str, ...]
    """Names of the runs."""
    seeds: tuple[int, ...]
    """Their seeds, each once."""
    data: str
    """What they were trained on."""
    values: Mapping[str, tuple[float, ...]]
    """By measure (:meth:`MultimodalReport.measures`), its value for each seed."""


@dataclass(frozen=True)
class MultimodalComparison:
    """Runs of several modalities side by side, made by :func:`compare_multimodal`."""

    groups: tuple[MultimodalGroup, ...]
    """In the order of their first runs."""
    notes: tuple[str, ...]
    """What a reader must know before comparing."""

    @property
    def measures(self) -> tuple[str, ...]:
        """What was measured in any group."""
        return tuple(dict.fromkeys(name for group in self.groups for name in group.values))

    @property
    def statements(self) -> tuple[str, ...]:
        """Sentences about what differs beyond seed noise (Welch's t test, Holm's rule, 95 %)."""
        if len(self.groups) < 2:
            return ()
        if len({group.data for group in self.groups}) > 1:
            return ()  # other test items: the notes say so
        said, single = [], True
        for measure in self.measures:
            values = {g.name: g.values[measure] for g in self.groups if measure in g.values}
            for pair in compare_all(values):
                single = single and pair.differs is None
                if pair.differs:
                    gap = pair.difference.gap
                    word = "higher" if gap > 0 else "lower"
                    said.append(f"{measure}: {pair.a} is {word} than {pair.b} by {abs(gap):.3g}.")
        if single:
            return ("One seed each: no statement about differences.",)
        tail = "(Beyond seed noise: Welch's t test at 95 %, pairs of a measure by Holm's rule.)"
        return (*said, tail) if said else ("Nothing differs by more than seed noise.",)

    def text(self) -> str:
        """Return the table, a measure a line, and sentences."""
        rows = []
        for measure in self.measures:
            row: dict[str, Any] = {"measure": measure}
            for group in self.groups:
                if measure in group.values:
                    found = mean_interval(group.values[measure])
                    half = "" if found.half is None else f" \N{PLUS-MINUS SIGN} {found.half:.2g}"
                    row[group.name] = f"{found.mean:.4f}{half}"
            rows.append(row)
        head = [
            f"{g.name}: seed{'s' if len(g.seeds) > 1 else ''} "
            f"{', '.join(map(str, g.seeds))}; {g.data}"
            for g in self.groups
        ]
        lines = [*head, "", *aligned(rows, ("measure", *(g.name for g in self.groups)))]
        for sentences in (self.statements, self.notes):
            lines += ["", *sentences] if sentences else []
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return {"groups", "statements", "notes"} as JSON values."""
        groups = []
        for group in self.groups:
            found = {name: mean_interval(values) for name, values in group.values.items()}
            measures = {
                name: {"values": list(group.values[name]), "mean": one.mean, "half": one.half}
                for name, one in found.items()
            }
            groups.append(asdict(group) | {"values": measures})
        return {"groups": groups, "statements": [*self.statements], "notes": [*self.notes]}

    def picture(self) -> Picture:
        """Draw retrieval and translation: a panel a measure, a bar a group."""
        from isthmus import figures
        from isthmus.figures.comparison import Measure

        drawn = [
            name
            for name in self.measures
            if name.startswith(_DRAWN) and not any(word in name for word in _APART)
        ]
        bars = {group.name: group.values for group in self.groups}
        return figures.comparison(bars, [Measure(name, _title(name)) for name in drawn])

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``comparison.json``, ``comparison.txt`` and the figure with its numbers.

        Raises
        ------
        RunError
            If a file can't be written.
        """
        place = Path(folder)
        drawn = self.picture().save(place, "comparison")
        written = [place / "comparison.json", place / "comparison.txt"]
        write_json(written[0], self.as_json())
        write_text(written[1], self.text())
        return [*written, *drawn]


def _title(measure: str) -> str:
    """Return a title of two lines, as panels are narrow: the direction, and what is measured."""
    _, way, *rest = measure.replace(",", "").split(" ")
    return f"{way}\n{' '.join(rest)}".strip()


def compare_multimodal(
    runs: Sequence[MultimodalRun | AnyRun | str | Path],
) -> MultimodalComparison:
    """Put runs of several modalities side by side, those that differ only in their seed together.

    Parameters
    ----------
    runs
        Measured runs or their folders, at least one.

    Raises
    ------
    ConfigError
        If there is none, one is of another kind, or one was not measured.
    RunError
        If a folder holds no run, or a damaged one.
    """
    if not runs:
        raise ConfigError("there is nothing to compare", fix="give at least one run")
    opened = [open_run(run) if isinstance(run, str | Path) else run for run in runs]
    found: list[MultimodalRun] = []
    for run in opened:
        if not isinstance(run, MultimodalRun):
            raise ConfigError(
                "runs of one modality and of several have other numbers",
                where=run.name,
                fix="compare each kind by itself",
            )
        if run.report is None:
            raise ConfigError(
                "this run was not measured",
                where=run.name,
                fix="train it with measure=True, the default",
            )
        found.append(run)
    names = distinct_names(found)
    members: dict[str, dict[int, int]] = {}
    notes = []
    for index, run in enumerate(found):
        kept = members.setdefault(_recipe(run), {})
        first = kept.setdefault(run.training.seed, index)
        if first != index:
            notes.append(f"{names[first]} and {names[index]} are the same training: counted once.")
    groups: list[MultimodalGroup] = []
    for kept in members.values():
        taken = {group.name for group in groups}
        groups.append(_group(found, names, kept, taken))
    if len({group.data for group in groups}) > 1:
        notes.append("These runs were measured on different data: their numbers don't compare.")
    return MultimodalComparison(tuple(groups), tuple(notes))


def _recipe(run: MultimodalRun) -> str:
    """Return everything that a run was asked for, but for its seed."""
    model = {key: value for key, value in model_config(run.model).items() if key != "seed"}
    training = {key: value for key, value in to_json(run.training).items() if key not in _FREE}
    parts = [model, training, to_json(run.mixture_fit), run.origin.fingerprint]
    return json.dumps(parts, sort_keys=True, default=str)


def _group(
    runs: Sequence[MultimodalRun], names: Sequence[str], kept: Mapping[int, int], taken: set[str]
) -> MultimodalGroup:
    reports = [run.report.measures() for run in (runs[i] for i in kept.values()) if run.report]
    common = [name for name in reports[0] if all(name in other for other in reports)]
    one = runs[next(iter(kept.values()))]
    return MultimodalGroup(
        common_name([(names[i], seed) for seed, i in kept.items()], taken),
        tuple(names[i] for i in kept.values()),
        tuple(kept),
        f"{one.origin.name} ({one.origin.fingerprint[:12]})",
        {name: tuple(report[name] for report in reports) for name in common},
    )
