"""From data and a model of several modalities to a run: train, fit, measure, draw, write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from isthmus.configs import to_json, validated
from isthmus.data.multimodal import MultimodalData
from isthmus.errors import ConfigError, RunError
from isthmus.files import read_json
from isthmus.models import storage
from isthmus.models.multimodal import Modality, MultimodalAutoencoder, modality_of
from isthmus.models.multimodal.adding import add_modality
from isthmus.models.multimodal.mixture_fitting import MixtureFit
from isthmus.models.multimodal.mixture_use import fit_to
from isthmus.models.multimodal.presets import MultimodalPreset
from isthmus.models.multimodal.storage import model_config
from isthmus.networks.base import Halves
from isthmus.runs.multimodal.jobs import MultimodalJob, OwnHalves, data_for, job_for
from isthmus.runs.multimodal.judge_training import JudgeSettings
from isthmus.runs.multimodal.run import MultimodalRun
from isthmus.runs.multimodal.subject import MultimodalEvaluation
from isthmus.runs.multimodal.trained import MultimodalTrained
from isthmus.runs.run import claim
from isthmus.runs.settings import threads_held
from isthmus.training import History, Watch
from isthmus.training.device import chosen_device
from isthmus.training.multimodal import fit_multimodal
from isthmus.training.progress import lines_to

__all__ = ["carry_out", "join_modality", "train_multimodal"]

_FREE = frozenset({"device", "threads", "checkpoint_seconds"})
"""Settings that may differ when a training is resumed: no step depends on them, but for
rounding."""


def train_multimodal(
    model: MultimodalAutoencoder | MultimodalPreset | str,
    data: MultimodalData | str | PathLike[str],
    *,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: bool | Watch = False,
    figures: bool = True,
    load_options: Mapping[str, Any] | None = None,
    modalities: Mapping[str, Mapping[str, Any]] | None = None,
    halves: OwnHalves | None = None,
    mixture: MixtureFit | None = None,
    evaluation: MultimodalEvaluation | None = None,
    judges: JudgeSettings | None = None,
    judge_folder: str | PathLike[str] | None = None,
    measure: bool = True,
    **settings: Any,
) -> MultimodalRun:
    """Train a model of several modalities, fit its joint mixture, measure it, return the run.

    Parameters
    ----------
    model
        A model (trained in place), a preset, or a preset's name.
    data
        What ``open_multimodal`` returned, a set's name, or a CSV file of pairs.
    out
        Folder for the run; None writes nothing.
    resume
        Go on from the checkpoint in ``out``.
    progress
        True for a line an epoch on standard error, or a function that is told.
    figures
        Whether figures and the page are written into the run's folder.
    load_options, modalities, halves, mixture, settings
        See :func:`~isthmus.runs.multimodal.jobs.job_for`.
    evaluation, judges
        How to measure, and how the judges are trained that this needs.
    judge_folder
        Where judges are kept, so that runs on the same data share them; default: the run's folder.
    measure
        Whether the run is measured at all; ``run.evaluate()`` can do so later.

    Raises
    ------
    ConfigError, DataError, MissingDataError
        If settings or data are at fault.
    RunError
        If the folder is taken, or can't be resumed.
    DivergedError
        If the loss becomes infinite or not a number.
    Stopped
        On Ctrl-C, after the checkpoint was written.

    Examples
    --------
    >>> words = {"load_options": {"sounds": False}, "measure": False}
    >>> run = train_multimodal("aligned", "digits-words", epochs=1, batch_size=600, **words)
    >>> run.model.names, run.encode({"text": "seven"}).shared.shape
    (('image', 'text'), torch.Size([1, 32]))
    """
    job = job_for(
        model,
        data,
        load_options=load_options,
        modalities=modalities,
        halves=halves,
        mixture=mixture,
        **settings,
    )
    return carry_out(
        job,
        Path(out) if out is not None else None,
        resume=resume,
        watch=lines_to() if progress is True else (progress or None),
        figures=figures,
        evaluation=evaluation,
        judges=judges,
        judge_folder=Path(judge_folder) if judge_folder is not None else None,
        measure=measure,
    )


def carry_out(
    job: MultimodalJob,
    folder: Path | None,
    *,
    resume: bool = False,
    watch: Watch | None = None,
    figures: bool = True,
    evaluation: MultimodalEvaluation | None = None,
    judges: JudgeSettings | None = None,
    judge_folder: Path | None = None,
    measure: bool = True,
) -> MultimodalRun:
    """Do what a job says: claim the folder, train, fit the mixture, measure, write."""
    chosen_device(job.training.device)  # told before a folder is made for it
    if folder is not None and resume:
        _same(job, folder)
        resume = any((folder / "checkpoints").glob("*.safetensors"))
    elif folder is not None:
        claim(folder)
        _run(job, folder).write_config(folder)
    checkpoints = folder / "checkpoints" if folder is not None else None
    fitted = fit_multimodal(
        job.model, job.data, job.training, checkpoints=checkpoints, resume=resume, watch=watch
    )
    run = _run(job, folder, fitted.history, fitted.warnings)
    run.judge_settings = judges or JudgeSettings()
    run.judge_folder = judge_folder or run.judge_folder
    run.trained = MultimodalTrained(
        len(fitted.history), fitted.steps, fitted.seconds, fitted.samples_per_second
    )
    with threads_held(job.training.threads):
        run.mixture = _mixture(job)
    if measure:
        run.report = run.evaluate(options=evaluation)
    if folder is not None:
        run.write_results(folder, figures=figures)
    return run


def _mixture(job: MultimodalJob) -> Any:
    """Fit the joint mixture; a model of one modality has none."""
    if len(job.model.names) < 2:
        return None
    return fit_to(job.model, job.data, job.mixture, seed=job.training.seed)


def _run(
    job: MultimodalJob,
    folder: Path | None,
    history: History | None = None,
    warnings: tuple[str, ...] = (),
) -> MultimodalRun:
    return MultimodalRun(
        job.model,
        None,
        {name: job.data[name].adapter for name in job.model.names},
        history or History(),
        job.training,
        job.origin,
        classes=job.data.classes,
        mixture_fit=job.mixture,
        notes=(*job.data.notes, *warnings),
        preset=job.preset,
        folder=folder,
        data=job.data,
    )


def _same(job: MultimodalJob, folder: Path) -> None:
    """Refuse to resume with another model, other settings or other data.

    Raises
    ------
    RunError
        If the folder holds no such run.
    """
    path = folder / storage.CONFIG
    if not path.is_file():
        raise RunError("there is no run to resume", where=str(folder), fix="leave --resume off")
    before = read_json(path)
    training = {k: v for k, v in to_json(job.training).items() if k not in _FREE}
    now: dict[str, dict[str, Any]] = {
        "model": model_config(job.model),
        "training": training,
        "data": {"fingerprint": job.origin.fingerprint},
    }
    for part, values in now.items():
        held = before.get(part, {})
        for key, value in values.items():
            if held.get(key) != value:
                raise RunError(
                    f"this run was started with another {part} {key}",
                    where=str(path),
                    why=f"{held.get(key)!r} then, {value!r} now",
                    fix="resume with the settings it was started with, or give another --out",
                )


def join_modality(
    run: MultimodalRun,
    modality: Modality | str,
    data: MultimodalData | str | PathLike[str],
    *,
    out: str | PathLike[str] | None = None,
    halves: Halves | tuple[nn.Module, nn.Module] | OwnHalves | None = None,
    load_options: Mapping[str, Any] | None = None,
    evaluation: MultimodalEvaluation | None = None,
    measure: bool = True,
    progress: bool | Watch = False,
    figures: bool = True,
    **settings: Any,
) -> MultimodalRun:
    """Train a new modality's encoder and decoder against the frozen space of a run.

    Known modalities keep the run's adapters: their items in ``data`` must have been transformed
    by the same statistics.

    Raises
    ------
    ConfigError
        If the run has the modality already, or the data lack one that is needed.
    """
    found, origin = data_for(data, load_options)
    name = modality if isinstance(modality, str) else modality.name
    new = found[name]
    described = modality_of(new.adapter) if isinstance(modality, str) else modality
    known = [other for other in run.model.names if other in found.names]
    if not known:
        raise ConfigError(
            f"no row joins {name!r} to a modality of the run",
            where=found.name,
            fix=f"give data that also hold one of: {', '.join(run.model.names)}",
        )
    for other in known:
        _same_adapter(run, found, other)
    own = halves.get(name) if isinstance(halves, Mapping) else halves
    wider = add_modality(run.model, described, halves=own, seed=run.training.seed)
    absent = sorted(set(wider.names) - set(found.names))
    if absent:
        raise ConfigError(
            f"the run has a modality {absent[0]!r}, and the data don't",
            where=found.name,
            fix="give data with every modality of the run; rows may leave it out",
        )
    values = dataclasses.asdict(run.training) | {"sound": run.training.sound}
    values |= {"image": run.training.image, "hide": ""} | settings
    training = validated(type(run.training), values)
    job = MultimodalJob(
        wider, found.only(list(wider.names)), training, origin, run.preset, run.mixture_fit
    )
    return carry_out(
        job,
        Path(out) if out is not None else None,
        watch=lines_to() if progress is True else (progress or None),
        figures=figures,
        evaluation=evaluation,
        judges=run.judge_settings,
        measure=measure,
    )


def _same_adapter(run: MultimodalRun, data: MultimodalData, name: str) -> None:
    """Refuse items that were transformed in another way than the run's."""
    mine, theirs = run.adapter(name), data[name].adapter
    alike = mine.config() == theirs.config() and all(
        theirs.state().get(key) is not None and (value == theirs.state()[key]).all()
        for key, value in mine.state().items()
    )
    if not alike:
        raise ConfigError(
            f"items of {name!r} were transformed in another way than the run's",
            where=data.name,
            fix="use the data that the run was trained on, with the new modality beside",
        )
