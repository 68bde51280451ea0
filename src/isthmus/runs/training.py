"""From data and a model to a run: train, measure, draw, write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from isthmus.configs import validated
from isthmus.data import Dataset, Preprocessing, load
from isthmus.errors import ConfigError, RunError
from isthmus.files import read_json
from isthmus.models import storage
from isthmus.models.autoencoder import Autoencoder
from isthmus.models.presets import Preset, preset
from isthmus.runs.evaluation import Evaluation, evaluate
from isthmus.runs.identity import fingerprint
from isthmus.runs.run import DataOrigin, Run, claim, prepared
from isthmus.runs.settings import applied
from isthmus.training import Fitted, History, Plan, Training, Watch, fit, plan
from isthmus.training.device import chosen_device
from isthmus.training.progress import lines_to

if TYPE_CHECKING:
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.models.dictionary.presets import DictionaryPreset
    from isthmus.runs.dictionary import DictionaryEvaluation, DictionaryRun

__all__ = ["Job", "job_for", "train"]


@dataclasses.dataclass(frozen=True)
class Job:
    """A training that is ready to start."""

    model: Autoencoder
    """The model, its preprocessing learned on the training split."""
    dataset: Dataset
    """The data as the training sees them."""
    training: Training
    """The settings."""
    origin: DataOrigin
    """Where the data came from."""
    preset: str
    """Name of the preset, or "custom"."""

    def plan(self) -> Plan:
        """Say what the training would do; nothing is changed."""
        return plan(self.model, self.dataset, self.training)

    def run(self, history: History | None = None, folder: Path | None = None) -> Run:
        """Return the run, so far without numbers."""
        return Run(
            self.model,
            history or History(),
            {},
            self.training,
            self.origin,
            preset=self.preset,
            folder=folder,
            dataset=self.dataset,
        )


def job_for(
    model: Autoencoder | Preset | str,
    data: object,
    *,
    preprocess: str = "auto",
    load_options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Job:
    """Put model, data and settings together.

    Parameters
    ----------
    model
        A model, a preset, or a preset's name.
    data
        Anything that ``isthmus.load`` takes.
    preprocess
        How raw values are scaled: "auto", "unit", "standardise", "centre" or "none"; learned on
        the training split and stored with the model. A model that brings its own keeps it.
    load_options
        Options of ``isthmus.load``.
    settings
        Fields of :class:`~isthmus.training.Training`; with a preset, of its parts too.

    Raises
    ------
    ConfigError
        If a setting is unknown or doesn't fit.
    """
    load_options = dict(load_options or {})
    chosen = preset(model) if isinstance(model, str) else model
    if isinstance(chosen, Preset):
        chosen, training = applied(chosen, settings)
    else:
        training = validated(Training, settings)
    dataset = prepared(load(data, **load_options), training)
    scaling = Preprocessing.fit(dataset["train"], dataset.kind, preprocess, range=dataset.range)
    if isinstance(chosen, Preset):
        built = chosen.model(dataset.shape, scaling.output_range, training.seed)
        built.preprocessing, name = scaling, chosen.name
    else:
        built, name = chosen, "custom"
        if built.preprocessing.method == "none" and preprocess != "none":
            built.preprocessing = scaling
    named = data if isinstance(data, str | PathLike) else None
    origin = DataOrigin(
        name=dataset.name,
        source=_source(named),
        options=load_options if named is not None else {},
        samples={split: len(part) for split, part in dataset.splits.items()},
        fingerprint=fingerprint(dataset),
    )
    return Job(built, dataset, training, origin, name)


def _source(given: str | PathLike[str] | None) -> str | None:
    """Return a name as it is and a path in full, so that a run finds its data from anywhere."""
    if given is None:
        return None
    path = Path(given)
    return str(path.resolve()) if path.exists() else str(given)


@overload
def train(model: Autoencoder | Preset, data: object, **options: Any) -> Run: ...
@overload
def train(
    model: SparseDictionary | DictionaryPreset, data: object, **options: Any
) -> DictionaryRun: ...
@overload
def train(model: str, data: object, **options: Any) -> Any: ...
def train(
    model: Autoencoder | SparseDictionary | Preset | DictionaryPreset | str,
    data: object,
    *,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: bool | Watch = False,
    figures: bool = True,
    preprocess: str = "auto",
    load_options: Mapping[str, Any] | None = None,
    evaluation: Evaluation | DictionaryEvaluation | None = None,
    **settings: Any,
) -> Run | DictionaryRun:
    """Train a model, measure it on every split, and return the run.

    A name that an autoencoder and a sparse dictionary share (``topk``, ``batch-topk``) means the
    dictionary where the data are vectors and no setting of an autoencoder's network is given.

    Parameters
    ----------
    model
        A model (trained in place), a preset, or a preset's name. A dictionary is trained from
        the start, whatever its weights are.
    data
        A named set, a path, an array, a torch Dataset, or what ``isthmus.load`` returned; for a
        dictionary also a folder or list of shards. Vectors that bring no splits keep a tenth of
        their rows back, at most 10,000: every fifth of these for validation, the others as test.
    out
        Folder for the run; None writes nothing (``run.save`` can do so later).
    resume
        Go on from the checkpoint in ``out``.
    progress
        True for a line an epoch on standard error, or a function that is told.
    figures
        Whether figures are written into the run's folder.
    preprocess, load_options, settings
        See :func:`job_for`. For a dictionary the settings are those of its bottleneck (with
        ``latents`` for ``latent``), ``normalise``, and the fields of
        :class:`~isthmus.training.dictionary.DictionaryTraining`; what is not given follows from
        the data.
    evaluation
        How to measure; by default with the settings' binarisation.

    Raises
    ------
    ConfigError, DataError, MissingDataError
        If settings or data are at fault.
    RunError
        If the folder is taken, or can't be resumed.
    DivergedError
        If the loss becomes infinite or not a number.

    Examples
    --------
    >>> run = train("linear", "digits", epochs=1, latent=8)
    >>> run.model.latent, len(run.history), sorted(run.metrics)
    (8, 1, ['test', 'train', 'validation'])

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    >>> run = train("topk", rows, latents=16, k=2, epochs=2)
    >>> run.metrics["test"].l0, run.model.encode(rows).shape
    (2.0, (200, 16))
    """
    from isthmus.runs.dictionary import DictionaryEvaluation
    from isthmus.runs.dictionary.routing import dictionary_for

    place = Path(out) if out is not None else None
    watch = lines_to() if progress is True else (progress or None)
    found = dictionary_for(model, data, load_options, settings)
    if found is not None:
        from isthmus.runs.dictionary.jobs import job_for as dictionary_job
        from isthmus.runs.dictionary.training import carry_out as carry_out_dictionary

        refuse_preprocessing(preprocess)
        if evaluation is not None and not isinstance(evaluation, DictionaryEvaluation):
            raise ConfigError("a dictionary is measured by DictionaryEvaluation settings")
        runs = carry_out_dictionary(
            dictionary_job(*found, **settings),
            place,
            resume=resume,
            watch=watch,
            figures=figures,
            evaluation=evaluation,
        )
        return next(iter(runs.values()))
    if isinstance(evaluation, DictionaryEvaluation):
        raise ConfigError("an autoencoder is measured by Evaluation settings")
    hourglass: Any = model
    job = job_for(hourglass, data, preprocess=preprocess, load_options=load_options, **settings)
    return carry_out(job, place, resume=resume, watch=watch, figures=figures, evaluation=evaluation)


def refuse_preprocessing(method: str) -> None:
    """Refuse a scaling of the values that a dictionary does not have.

    Raises
    ------
    ConfigError
        If the method is neither "auto" nor "none".
    """
    if method not in ("auto", "none"):
        raise ConfigError(
            f"a sparse dictionary has no preprocessing {method!r}",
            why="it is trained on the vectors as they are, divided by one number that is folded "
            "back into its weights",
            fix="choose what is done to each vector: normalise = none, layer or unit",
        )


def carry_out(
    job: Job,
    folder: Path | None,
    *,
    resume: bool = False,
    watch: Watch | None = None,
    figures: bool = True,
    evaluation: Evaluation | None = None,
) -> Run:
    """Do what a job says: claim the folder, train, measure, write; see :func:`train`."""
    chosen_device(job.training.device)  # told before a folder is made for it
    if folder is not None and resume:
        _same(job, folder)
    elif folder is not None:
        claim(folder)
        job.run().write_config(folder)
    checkpoints = folder / "checkpoints" if folder is not None else None
    fitted: Fitted = fit(
        job.model, job.dataset, job.training, checkpoints=checkpoints, resume=resume, watch=watch
    )
    run = job.run(fitted.history, folder)
    options = evaluation or Evaluation(binarise=job.training.binarise)
    run.metrics = evaluate(job.model, job.dataset, options)
    if folder is not None:
        run.write_results(folder, figures=figures)
    return run


def _same(job: Job, folder: Path) -> None:
    """Refuse to resume with another model, other settings or other data.

    Raises
    ------
    RunError
        If the folder holds no such run.
    """
    if not (folder / storage.CONFIG).is_file():
        raise RunError("there is no run to resume", where=str(folder), fix="leave --resume off")
    before = read_json(folder / storage.CONFIG)
    now = {
        "model": storage.model_config(job.model),
        "training": dataclasses.asdict(job.training),
        "data": {"fingerprint": job.origin.fingerprint},
    }
    for part, values in now.items():
        held = before.get(part, {})
        for key, value in values.items():
            plain = list(value) if isinstance(value, tuple) else value
            if held.get(key) != plain:
                raise RunError(
                    f"this run was started with another {part} {key}",
                    where=str(folder / storage.CONFIG),
                    why=f"{held.get(key)!r} then, {plain!r} now",
                    fix="resume with the settings it was started with, or give another --out",
                )
