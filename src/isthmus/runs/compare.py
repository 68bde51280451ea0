"""Several runs side by side: one table, one figure, and which differences exceed seed noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import ConfigError, IsthmusError
from isthmus.files import write_json, write_text
from isthmus.runs.compare_pictures import fronts, measures
from isthmus.runs.groups import (
    BETTER,
    COMPARED,
    Group,
    GroupDifference,
    differences,
    grouped,
    units,
)
from isthmus.runs.rows import (
    HEAD,
    METRICS,
    OF_DICTIONARIES,
    AnyRun,
    Row,
    aligned,
    row_of,
    without_nan,
)
from isthmus.runs.run import Run, of_one_modality, open_run

if TYPE_CHECKING:
    from isthmus.figures import Picture
    from isthmus.runs.multimodal import MultimodalRun

__all__ = ["Comparison", "compare", "distinct_names"]

_SHOWN_METRICS = (
    "mse", "pca_ratio", "fvu", "fvu_refined", "knn_accuracy", "l0", "mean_activation",
    "dead_fraction", "max_firing_rate", "hoyer", "nll", "elbo", "active_units",
)  # fmt: skip
_SHOWN = ("name", "split", "preset", "seed", "latent", "parameters", "epochs", "seconds")
_FEW_PAIRS = 10


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, made by :func:`compare`."""

    rows: tuple[Row, ...]
    """A row a run (and split): ``name``, ``split``, ``preset``, ``data``, ``seed``, ``latent``,
    ``parameters``, ``epochs``, ``seconds`` and metrics as in ``metrics.json``, with
    ``pca_ratio``; None where there is no number."""
    groups: tuple[Group, ...]
    """Runs that differ only in their seed, with the values of each metric over the seeds."""
    differences: tuple[GroupDifference, ...]
    """Each pair of groups by metric; ``differs`` is None where one seed can't tell."""
    notes: tuple[str, ...]
    """What a reader must know before comparing."""
    runs: tuple[AnyRun, ...]
    """The runs themselves, in the order in which they were given."""
    names: tuple[str, ...]
    """Their names, no two alike."""

    @property
    def has_dictionary(self) -> bool:
        """Whether a sparse dictionary is among the runs."""
        return not all(isinstance(run, Run) for run in self.runs)

    @property
    def _metrics(self) -> tuple[str, ...]:
        """The metrics that the tables show."""
        left_out = set() if self.has_dictionary else set(BETTER) - set(COMPARED)
        return tuple(name for name in _SHOWN_METRICS if name not in left_out)

    @property
    def statements(self) -> tuple[str, ...]:
        """Sentences about which groups differ beyond seed noise, for metrics with a better end."""
        if len(self.groups) < 2:
            return ()
        if not self.differences:
            return ("No two of these were measured alike: no statement about differences.",)
        if all(pair.differs is None for pair in self.differences):
            return ("One seed each: no statement about differences.",)
        said: list[str] = []
        # with dictionaries the fvu says the same as the mse, whatever units runs are measured in
        twice = "mse" if self.has_dictionary else ""
        judged = [d for d in self.differences if BETTER[d.metric] and d.metric != twice]
        for (metric, split), pairs in groupby(judged, lambda d: (d.metric, d.split)):
            told = [pair for pair in pairs if pair.differs is not None]
            # what is the same (no dead latents in either, say) needs no sentence
            uneven = [pair for pair in told if pair.gap]
            if len(uneven) > _FEW_PAIRS:
                said.append(_summed_up(metric, split, told))
            else:
                said += [f"{pair.sentence}." for pair in uneven]
        single = sorted({g.name for g in self.groups if len(g.seeds) == 1})
        if single:
            said.append(f"One seed each: no statement about {', '.join(single)}.")
        said.append(
            "(Welch's t test over seeds at 95 %; the pairs of a metric are taken together by "
            "Holm's rule.)"
        )
        return tuple(said)

    def text(self) -> str:
        """Return the table of runs, that of groups where there are several seeds, and sentences."""
        shown = [c for c in _SHOWN if c != "split" or len({r["split"] for r in self.rows}) > 1]
        lines = aligned(self.rows, (*shown, *self._metrics))
        if any(len(group.seeds) > 1 for group in self.groups):
            lines += ["", "Over seeds (mean ± half of the 95 % interval):", *self._group_table()]
        for sentences in (self.statements, self.notes):
            lines += ["", *sentences] if sentences else []
        return "\n".join(lines) + "\n"

    def _group_table(self) -> list[str]:
        several = len({group.split for group in self.groups}) > 1
        table = []
        for group in self.groups:
            row: Row = {"name": group.name, "split": group.split if several else None}
            row["seeds"] = len(group.seeds)
            for metric in self._metrics:
                found = group.interval(metric)
                if found is not None:
                    half = "" if found.half is None else f" ± {found.half:.2g}"
                    row[metric] = f"{found.mean:.4g}{half}"
            table.append(row)
        return aligned(table, ("name", "split", "seeds", *self._metrics))

    def as_json(self) -> dict[str, Any]:
        """Return {"runs", "groups", "differences", "statements", "notes"} as JSON values."""
        whole = {
            "runs": list(self.rows),
            "groups": [group.as_json() for group in self.groups],
            "differences": [pair.as_json() for pair in self.differences],
            "statements": list(self.statements),
            "notes": list(self.notes),
        }
        found: dict[str, Any] = without_nan(whole)
        return found

    def picture(self) -> Picture:
        """Draw MSE, its ratio to PCA's, 5-NN, L0 (and NLL): a bar a group, seeds together.

        Raises
        ------
        DataError
            If no run has any of these.
        """
        from isthmus import figures

        several = len({group.split for group in self.groups}) > 1
        bars: dict[str, Mapping[str, Sequence[float]]] = {
            f"{group.name} ({group.split})" if several else group.name: group.values
            for group in self.groups
        }
        return figures.comparison(bars, measures(self.groups, self.has_dictionary))

    def fronts(self) -> list[tuple[str, Picture]]:
        """Draw FVU against L0 and against the busiest latent's rate, where there are dictionaries.

        Runs of one preset are a series; those that differ only in their seed are one point.
        """
        return fronts(self.rows, self.groups) if self.has_dictionary else []

    def codes_picture(self, data: object | None = None, n: int = 2000) -> Picture:
        """Draw histograms, heat maps and firing rates of all runs' codes of the same samples.

        Parameters
        ----------
        data
            What to encode, anything that ``isthmus.load`` takes (its test split, or else all of
            it); default the test samples that the runs share.
        n
            At most so many samples, drawn with seed 0.

        Raises
        ------
        ConfigError
            If the runs share no data and none are given, or their samples differ in shape.
        RunError
            If the runs' data can't be loaded again.
        """
        from isthmus import figures

        runs = [run for run in self.runs if isinstance(run, Run)]
        if len(runs) < len(self.runs):
            raise ConfigError(
                "the codes of sparse dictionaries are too wide to be drawn beside one another",
                fix="look at each run's own figures",
            )
        shapes = {run.model.shape for run in runs}
        if len(shapes) > 1:
            raise ConfigError(
                "these runs can't encode the same samples", why=f"their shapes are {sorted(shapes)}"
            )
        samples = self._samples(data, n)
        codes = {
            name: run.model.encode(samples) for name, run in zip(self.names, runs, strict=True)
        }
        return figures.compare_codes(codes)

    def _samples(self, data: object | None, n: int) -> Any:
        from isthmus.data import load

        if data is not None:
            dataset = load(data)
        elif len({run.origin.fingerprint for run in self.runs}) > 1:
            raise ConfigError(
                "these runs were trained on different data and share no test samples",
                fix="say which samples to encode: codes_picture(data=...)",
            )
        else:
            first = self.runs[0]
            if not isinstance(first, Run):  # pragma: no cover - codes_picture has seen to it
                raise ConfigError("a dictionary's vectors are no data set")
            dataset = first.dataset
        split = "test" if "test" in dataset else list(dataset)[-1]
        return dataset[split].take(n, 0).all().numpy()

    def save(self, folder: str | Path) -> list[Path]:
        """Write everything into ``folder``, made where it is missing; return the files.

        ``comparison.json``, ``comparison.txt``, ``runs.csv``, ``comparison.png`` with its
        ``.csv``, and ``codes.png`` with its ``.csv`` where the runs' samples are at hand; where
        there are sparse dictionaries, ``fvu-l0.png`` and ``fvu-busiest.png`` instead.

        Raises
        ------
        RunError
            If a file can't be written.
        """
        from isthmus.figures import Table

        place = Path(folder)
        drawn = self.picture().save(place, "comparison")
        names = (*HEAD, *METRICS, *(OF_DICTIONARIES if self.has_dictionary else ()))
        columns = {key: [row.get(key) for row in self.rows] for key in names}
        written = [place / "comparison.json", place / "comparison.txt"]
        write_json(written[0], self.as_json())
        write_text(written[1], self.text())
        written += [Table(columns).to_csv(place / "runs.csv"), *drawn]
        for name, picture in self.fronts():
            written += picture.save(place, name)
        try:
            codes = self.codes_picture()
        except IsthmusError:
            return written  # other shapes, other data, or data that are gone: no such picture
        return [*written, *codes.save(place, "codes")]


def compare(runs: Sequence[AnyRun | str | Path], split: str | Sequence[str] = "test") -> Comparison:
    """Put runs side by side.

    Runs that differ only in their seed are one group; groups are compared by Welch's t test
    over seeds, all pairs of a metric together by Holm's rule. One seed makes no statement.

    Parameters
    ----------
    runs
        Runs or their folders, at least one.
    split
        The split, or splits, whose numbers are compared.

    Raises
    ------
    ConfigError
        If there is no run, or one was not measured on a split.
    RunError
        If a folder holds no run, or a damaged one.

    Examples
    --------
    >>> import isthmus as im
    >>> runs = [im.train("linear", "digits", epochs=1, latent=4, seed=seed) for seed in (0, 1)]
    >>> found = compare(runs)
    >>> [group.seeds for group in found.groups], found.rows[0]["parameters"]
    ([(0, 1)], 580)
    """
    chosen = (split,) if isinstance(split, str) else tuple(split)
    if not runs or not chosen:
        raise ConfigError("there is nothing to compare", fix="give at least one run and one split")
    opened = tuple(
        of_one_modality(open_run(run) if isinstance(run, str | Path) else run) for run in runs
    )
    names = distinct_names(opened)
    rows = tuple(
        row_of(run, part, name) for run, name in zip(opened, names, strict=True) for part in chosen
    )
    groups, twice = grouped(opened, names, rows, chosen)
    notes = (*_warnings(opened, names, rows), *twice)
    return Comparison(rows, groups, differences(groups), notes, opened, names)


def distinct_names(runs: Sequence[AnyRun | MultimodalRun]) -> tuple[str, ...]:
    """Return the runs' names; folders of one name get the folder above in front, or a number."""
    plain = [run.name for run in runs]
    names: list[str] = []
    for run, name in zip(runs, plain, strict=True):
        if plain.count(name) > 1 and run.folder is not None and run.folder.parent.name:
            name = f"{run.folder.parent.name}/{name}"
        copy, number = name, 1
        while copy in names:
            number += 1
            copy = f"{name} ({number})"
        names.append(copy)
    return tuple(names)


def _warnings(runs: Sequence[AnyRun], names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Say what stands in the way of comparing these numbers."""
    notes = []
    by_data: dict[str, list[str]] = {}
    for run, name in zip(runs, names, strict=True):
        by_data.setdefault(f"{run.origin.name} {run.origin.fingerprint}", []).append(name)
    if len(by_data) > 1:
        parts = "; ".join(f"{', '.join(found)} on {data}" for data, found in by_data.items())
        notes.append(f"These runs were trained on different data or splits: {parts}.")
    elif len({units(run) for run in runs}) > 1:
        notes.append(
            "These runs scale the data differently, so their mse are in different units: compare "
            "fvu, or their ratios to PCA."
        )
    protocols = dict.fromkeys(row["nll_protocol"] for row in rows if row["nll_protocol"])
    if len(protocols) > 1:
        notes.append(f"Their likelihoods are of different kinds: {'; '.join(protocols)}.")
    return notes


def _summed_up(metric: str, split: str, pairs: Sequence[GroupDifference]) -> str:
    """Say of many pairs which group is best and which can't be told from it."""
    means = {pair.a: pair.mean_a for pair in pairs} | {pair.b: pair.mean_b for pair in pairs}
    best = (min if BETTER[metric] == "lower" else max)(means, key=lambda name: means[name])
    level = [
        pair.b if pair.a == best else pair.a
        for pair in pairs
        if best in (pair.a, pair.b) and not pair.differs
    ]
    beyond = sum(bool(pair.differs) for pair in pairs)
    tail = f"; within seed noise of it: {', '.join(level)}" if level else ""
    return (
        f"{metric} ({split}): {beyond} of {len(pairs)} pairs differ by more than seed noise; best "
        f"is {best} ({means[best]:.4g}){tail}."
    )
