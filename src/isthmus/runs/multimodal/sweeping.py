"""Sweeps of several modalities: how one is trained, read and drawn, and how its data travel."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from isthmus.configs import validated
from isthmus.data.multimodal import MultimodalData, open_multimodal
from isthmus.errors import ConfigError, RunError
from isthmus.models.multimodal.mixture_fitting import MixtureFit
from isthmus.models.multimodal.presets import MULTIMODAL_PRESETS, MultimodalPreset
from isthmus.runs.holding import Held
from isthmus.runs.multimodal.folder import JUDGES
from isthmus.runs.multimodal.jobs import MultimodalJob, data_for, job_for, origin_of
from isthmus.runs.multimodal.judges import Judges, class_count
from isthmus.runs.multimodal.subject import MultimodalEvaluation
from isthmus.runs.multimodal.training import carry_out
from isthmus.runs.rows import HEAD, Row
from isthmus.runs.run import open_run
from isthmus.runs.sweep_axes import Axes, axes_along
from isthmus.runs.sweep_family import cannot_hold, measured_by
from isthmus.training import Watch

if TYPE_CHECKING:
    from isthmus.runs.multimodal.comparing import MultimodalComparison
    from isthmus.runs.sweep_work import Work

__all__ = ["MultimodalSweep", "NamedSeveral"]

_FITTED = frozenset(f.name for f in dataclasses.fields(MixtureFit))


@dataclass(frozen=True)
class NamedSeveral:
    """Data of several modalities that every process opens for itself."""

    source: str
    """A named set, or a CSV file of pairs in full."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of ``isthmus.multimodal``."""

    def open(self) -> MultimodalData:
        """Open the data."""
        return open_multimodal(self.source, **self.options)


@dataclass(frozen=True)
class MultimodalSweep:
    """See :class:`~isthmus.runs.sweep_family.SweepFamily`.

    Rows have the measures of the run's report, and over them ``retrieval`` (mean mAP of all
    directions), ``translation`` (mean share judged right of translations from one modality) and
    ``joint`` (coherence of draws times evenness of their classes).
    """

    preset: MultimodalPreset
    """The preset that a sweep starts from."""
    measure = "retrieval"
    columns = (*HEAD, "retrieval", "translation", "joint")
    shown = ("latent", "parameters", "seconds", "retrieval", "translation", "joint")

    @classmethod
    def of(cls, preset: object) -> MultimodalSweep | None:
        """Return the family of a preset that joins several modalities; None for others."""
        if isinstance(preset, MultimodalPreset):
            return cls(preset)
        return next((cls(known) for known in MULTIMODAL_PRESETS if known.name == preset), None)

    def opened(self, data: Any, options: Mapping[str, Any]) -> MultimodalData:
        """Open the data, if they aren't open."""
        return data_for(data, options)[0]

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return this with some settings of the preset changed."""
        return dataclasses.replace(self, preset=self.preset.with_settings(settings)[0])

    def check(self, settings: Mapping[str, Any], data: MultimodalData) -> None:
        """Build the model, and put its training together."""
        self._job(settings, data)

    def held(
        self, what: str, fixed: Mapping[str, Any], settings: Mapping[str, Any], data: MultimodalData
    ) -> Held:
        """Refuse: nothing is held."""
        raise cannot_hold(what, "several modalities")

    def fingerprint(self, data: MultimodalData) -> str:
        """Return what tells these data from others."""
        return data.digest

    def named(self, source: str, options: Mapping[str, Any], data: MultimodalData) -> NamedSeveral:
        """Return how another process opens the data."""
        return NamedSeveral(source, options)

    def stored(self, data: MultimodalData, folder: Path) -> NamedSeveral:
        """Refuse: what is in memory stays in its process."""
        raise ConfigError(
            "data of several modalities that are in memory are swept one run at a time",
            where=data.name,
            fix="leave jobs at 1, or give the data's name or CSV file",
        )

    def prepare(self, place: Path, data: MultimodalData) -> None:
        """Train the judges, which all runs share."""
        if class_count(data) > 1:
            Judges.trained(data, place / JUDGES)

    def train(self, work: Work, data: MultimodalData, *, resume: bool, watch: Watch) -> None:
        """Train, measure and write one run, or go on with it."""
        job = self._job(work.settings, data)
        source, options = work.origin
        carry_out(
            dataclasses.replace(job, origin=origin_of(job.data, source, options)),
            work.folder,
            resume=resume,
            watch=watch,
            figures=work.figures,
            evaluation=measured_by(work.evaluation, MultimodalEvaluation),
            judge_folder=work.place / JUDGES,
        )

    def _job(self, settings: Mapping[str, Any], data: MultimodalData) -> MultimodalJob:
        own = {name: value for name, value in settings.items() if name not in _FITTED}
        fit = validated(MixtureFit, {k: v for k, v in settings.items() if k in _FITTED})
        return job_for(self.preset, data, mixture=fit, **own)

    def row(self, folder: Path) -> Row:
        """Read the row of a run from its folder."""
        from isthmus.runs.multimodal.run import MultimodalRun

        run = open_run(folder)
        if not isinstance(run, MultimodalRun) or run.report is None:
            raise RunError("this is no measured run of several modalities", where=str(folder))
        report, told = run.report, run.trained
        head = (
            run.name, "test", run.preset, run.origin.name, run.training.seed, run.model.shared,
            run.model.parameters_count, told.epochs, told.seconds,
        )  # fmt: skip
        singles = [part for way, part in report.coherence.items() if "+" not in way]
        means = {
            "retrieval": _mean(part.get("map") for part in report.retrieval.values()),
            "translation": _mean(part.get("coherence") for part in singles),
            "joint": _mean(part.get("coherence*entropy") for part in report.joint.values()),
        }
        return dict(zip(HEAD, head, strict=True)) | means | report.measures()

    def axes(self, rows: Sequence[Row], varied: Sequence[str], hold: str | None) -> Axes:
        """Choose what the trade-off figure shows: retrieval, against what it costs."""
        costs = [*(["shared"] if "shared" in varied else []), "parameters"]
        return axes_along(costs, "retrieval", rows, varied, gain=True)

    def comparison(self, folders: Sequence[Path], splits: tuple[str, ...]) -> MultimodalComparison:
        """Compare the runs, seeds together."""
        from isthmus.runs.multimodal.comparing import compare_multimodal

        return compare_multimodal(folders)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None
