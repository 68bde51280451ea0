"""Sweeps of the hourglass: how one is trained, read and drawn, and how its data travel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from isthmus.data import Dataset, Samples, load
from isthmus.models.presets import Preset
from isthmus.runs.evaluation import Evaluation
from isthmus.runs.holding import Held, held
from isthmus.runs.identity import fingerprint
from isthmus.runs.rows import HEAD, METRICS, Row, row_of
from isthmus.runs.run import of_one_modality, open_run
from isthmus.runs.settings import applied
from isthmus.runs.sweep_axes import Axes, axes_for
from isthmus.runs.sweep_family import measured_by
from isthmus.runs.training import carry_out, job_for
from isthmus.training import Watch

if TYPE_CHECKING:
    from isthmus.runs.compare import Comparison
    from isthmus.runs.sweep_work import Work

__all__ = ["HourglassSweep", "Named", "OneModality", "Stored"]


@dataclass(frozen=True)
class Named:
    """Data that every process loads for itself."""

    source: str
    """A named set, or a path in full."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of ``isthmus.load``."""

    def open(self) -> Dataset:
        """Load the data."""
        return load(self.source, **self.options)


@dataclass(frozen=True)
class Stored:
    """A data set that was in memory, laid out in files that every process maps."""

    folder: Path
    """Where ``SPLIT.npy`` and ``SPLIT-labels.npy`` are."""
    about: Mapping[str, Any]
    """The data set's other fields."""
    splits: tuple[str, ...]
    """Names of the splits."""

    @classmethod
    def write(cls, dataset: Dataset, folder: Path) -> Stored:
        """Write the splits into ``folder``, a few samples at a time."""
        for name, samples in dataset.splits.items():
            shape = (len(samples), *samples.shape)
            kept = np.lib.format.open_memmap(
                folder / f"{name}.npy", "w+", samples.values.dtype, shape
            )
            start = 0
            for chunk in samples.chunks():
                kept[start : start + len(chunk)] = chunk
                start += len(chunk)
            kept.flush()
            labels = samples.label_array()
            if labels is not None:
                np.save(folder / f"{name}-labels.npy", labels, allow_pickle=False)
        about = {
            key: getattr(dataset, key)
            for key in ("name", "source", "kind", "range", "label_names", "feature_names", "notes")
        }
        return cls(folder, about, tuple(dataset.splits))

    def open(self) -> Dataset:
        """Map the files."""
        splits = {}
        for name in self.splits:
            labels = self.folder / f"{name}-labels.npy"
            values = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            found = np.load(labels, allow_pickle=False) if labels.exists() else None
            splits[name] = Samples(values, found)
        return Dataset(splits=splits, **self.about)


class OneModality:
    """What sweeps of models of one modality have in common."""

    measure = "mse"
    columns = (*HEAD, *METRICS)

    def prepare(self, place: Path, data: Any) -> None:
        """Share nothing."""

    def row(self, folder: Path) -> Row:
        """Read the row of a run, on the test split where there is one."""
        run = of_one_modality(open_run(folder))
        return row_of(run, "test" if "test" in run.metrics else list(run.metrics)[-1])

    def comparison(self, folders: Sequence[Path], splits: tuple[str, ...]) -> Comparison:
        """Compare the runs, seeds together."""
        from isthmus.runs.compare import compare

        return compare(folders, splits)


@dataclass(frozen=True)
class HourglassSweep(OneModality):
    """See :class:`~isthmus.runs.sweep_family.SweepFamily`."""

    preset: Preset
    """The preset that a sweep starts from."""
    shown = (
        "parameters", "seconds", "mse", "pca_ratio", "knn_accuracy", "l0", "mean_activation",
        "dead_fraction", "nll", "rate", "distortion", "active_units",
    )  # fmt: skip

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return this with some settings of the preset changed."""
        return dataclasses.replace(self, preset=self.preset.with_settings(settings)[0])

    def check(self, settings: Mapping[str, Any], data: Dataset) -> None:
        """Build preset, training and model."""
        own = {name: value for name, value in settings.items() if name != "preprocess"}
        applied(self.preset, own)[0].model(data.shape)

    def held(
        self, what: str, fixed: Mapping[str, Any], settings: Mapping[str, Any], data: Dataset
    ) -> Held:
        """Adjust settings so that a quantity stays what the fixed ones give."""
        return held(what, self.preset, fixed, settings, data.shape)

    def fingerprint(self, data: Dataset) -> str:
        """Return what tells these data from others."""
        return fingerprint(data)

    def named(self, source: str, options: Mapping[str, Any], data: Dataset) -> Named:
        """Return how another process loads the data."""
        return Named(source, options)

    def stored(self, data: Dataset, folder: Path) -> Stored:
        """Lay the data out in files."""
        return Stored.write(data, folder)

    def train(self, work: Work, data: Dataset, *, resume: bool, watch: Watch) -> None:
        """Train, measure and write one run, or go on with it."""
        job = job_for(self.preset, data, **work.settings)
        source, options = work.origin
        origin = dataclasses.replace(job.origin, source=source, options=options)
        carry_out(
            dataclasses.replace(job, origin=origin),
            work.folder,
            resume=resume,
            watch=watch,
            figures=work.figures,
            evaluation=measured_by(work.evaluation, Evaluation),
        )

    def axes(self, rows: Sequence[Row], varied: Sequence[str], hold: str | None) -> Axes:
        """Choose what the trade-off figure shows."""
        return axes_for(self.preset.bottleneck, rows, varied, hold)
