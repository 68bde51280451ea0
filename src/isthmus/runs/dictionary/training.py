"""From vectors and settings to runs: train, measure, draw, write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from isthmus._version import __version__
from isthmus.configs import to_json
from isthmus.errors import RunError
from isthmus.files import read_json, write_json
from isthmus.models import storage
from isthmus.models.dictionary import storage as dictionary_storage
from isthmus.runs.dictionary.coders import Own
from isthmus.runs.dictionary.evaluation import baselines_of, evaluate_parts
from isthmus.runs.dictionary.jobs import ALONE, DictionaryJob, among, jobs_together
from isthmus.runs.dictionary.metrics import DictionaryEvaluation
from isthmus.runs.dictionary.run import DictionaryRun, Trained
from isthmus.runs.dictionary.vectors import opened_for, vectors_of
from isthmus.runs.run import claim
from isthmus.training import History, Watch
from isthmus.training.dictionary import (
    FittedDictionary,
    fit_dictionaries,
    joined_processes,
)
from isthmus.training.progress import lines_to

__all__ = ["MEMBERS", "carry_out", "train_members"]

MEMBERS = "members.json"
"""What stands in the folder of several dictionaries that were trained together."""
_FREE = frozenset({"device", "threads", "patience", "checkpoint_seconds"})
"""Settings that may differ when a training is resumed: no step depends on them."""


def train_members(
    members: Mapping[str, Any],
    data: object,
    *,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: bool | Watch = False,
    figures: bool = True,
    load_options: Mapping[str, Any] | None = None,
    evaluation: DictionaryEvaluation | None = None,
    **settings: Any,
) -> dict[str, DictionaryRun]:
    """Train several dictionaries over one pass of the data: each batch is read once for all.

    Parameters
    ----------
    members
        By name: a dictionary, a preset or its name, or a pair of one of these and its settings.
    data, load_options
        As for ``isthmus.train``.
    out
        Folder of all; each dictionary's run is a folder of its name below it.
    resume
        Go on from the checkpoint in ``out``.
    progress, figures, evaluation
        As for ``isthmus.train``.
    settings
        Fields of :class:`~isthmus.training.dictionary.DictionaryTraining`, shared by all.

    Returns
    -------
    dict
        The runs by name.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    >>> members = {f"k{k}": ("topk", {"k": k, "latents": 16}) for k in (1, 4)}
    >>> runs = train_members(members, rows, epochs=2)
    >>> {name: run.model.bottleneck.k for name, run in runs.items()}
    {'k1': 1, 'k4': 4}
    """
    vectors = vectors_of(data, load_options, any_kind=True)
    pairs: dict[str, tuple[Any, Mapping[str, Any]]] = {
        name: found if isinstance(found, tuple) else (found, {}) for name, found in members.items()
    }
    if vectors is None:  # pragma: no cover - with any kind, what is loaded is opened
        vectors = opened_for(data, {}, 0)
    job = jobs_together(pairs, vectors, **settings)
    return carry_out(
        job,
        Path(out) if out is not None else None,
        resume=resume,
        watch=lines_to() if progress is True else (progress or None),
        figures=figures,
        evaluation=evaluation,
    )


def carry_out(
    job: DictionaryJob,
    folder: Path | None,
    *,
    resume: bool = False,
    watch: Watch | None = None,
    figures: bool = True,
    evaluation: DictionaryEvaluation | None = None,
) -> dict[str, DictionaryRun]:
    """Do what a job says: claim the folder, train, measure, write.

    Under ``torchrun`` every process calls this; only the first writes and measures.
    """
    first = among().rank == 0
    checkpoints = folder / "checkpoints" if folder is not None else None
    if folder is not None and resume:
        _same(job, folder)
        resume = not _never_saved(job, folder)
    elif folder is not None and first:
        _begin(job, folder)
    with joined_processes() as together:
        fitted = fit_dictionaries(
            job.models,
            job.parts.stream,
            job.training,
            held_out=job.parts.validation_rows(),
            checkpoints=checkpoints,
            resume=resume,
            watch=watch if first else None,
            together=together,
        )
    runs = {name: _run(job, name, fitted[name], folder) for name in job.models}
    if first:
        _measure(runs, job, evaluation or DictionaryEvaluation())
        if folder is not None:
            _write(runs, folder, figures=figures, several=job.several)
    return runs


def _run(
    job: DictionaryJob, name: str, fitted: FittedDictionary, folder: Path | None
) -> DictionaryRun:
    own = name if job.several else None
    place = folder / name if folder is not None and job.several else folder
    trained = Trained(
        len(fitted.history),
        fitted.best_epoch,
        fitted.seconds,
        fitted.samples_per_second,
        fitted.notes,
    )
    return DictionaryRun(
        job.models[name],
        fitted.history,
        {},
        fitted.config,
        job.origin,
        trained=trained,
        notes=_notes(job, name),
        preset=job.presets[name],
        folder=place,
        vectors=job.parts.vectors,
        name=own,
    )


def _notes(job: DictionaryJob, name: str) -> tuple[str, ...]:
    """Return what concerns this dictionary, and not another one by its name."""
    others = tuple(f"{other}: " for other in job.models if other != name)
    mine = (note for note in job.notes if not (job.several and note.startswith(others)))
    return tuple(note.removeprefix(f"{name}: ") for note in mine)


def _measure(
    runs: Mapping[str, DictionaryRun], job: DictionaryJob, options: DictionaryEvaluation
) -> None:
    """Measure each run, all about one training mean."""
    parts = job.parts.alone()
    l0 = max(run.history.rows[-1]["train_l0"] for run in runs.values())
    widest = max(runs.values(), key=lambda run: run.model.latent * run.model.objective.always_dense)
    baselines = baselines_of(parts, Own(widest.model), l0, options)
    for run in runs.values():
        run.keep_baselines(baselines)
        run.metrics = evaluate_parts(Own(run.model), parts, baselines, options)


# --- the folder -----------------------------------------------------------------------------------


def _begin(job: DictionaryJob, folder: Path) -> None:
    """Claim the folder, and write down what is going to be done."""
    claim(folder)
    if job.several:
        write_json(folder / MEMBERS, _plan(job))
    for name in job.models:
        place = claim(folder / name) if job.several else folder
        _started(job, name).write_config(place)


def _started(job: DictionaryJob, name: str) -> DictionaryRun:
    return DictionaryRun(
        job.models[name],
        History(),
        {},
        job.own(name, among().world),
        job.origin,
        notes=_notes(job, name),
        preset=job.presets[name],
    )


def _plan(job: DictionaryJob) -> dict[str, Any]:
    """Return what makes this training of several this training, as JSON values."""
    return {
        "format": storage.FORMAT,
        "isthmus": __version__,
        "members": {
            name: {"preset": job.presets[name], "model": dictionary_storage.config_of(model)}
            for name, model in job.models.items()
        },
        "training": to_json(job.training),
        "data": dataclasses.asdict(job.origin),
    }


def _write(
    runs: Mapping[str, DictionaryRun], folder: Path, *, figures: bool, several: bool
) -> None:
    for name, run in runs.items():
        run.write_results(folder / name if several else folder, figures=figures)


def _never_saved(job: DictionaryJob, folder: Path) -> bool:
    """Say whether a training was stopped before its first checkpoint, so that it starts anew."""
    place = folder / next(iter(job.models)) if job.several else folder
    saved = any((folder / "checkpoints").glob("*.safetensors"))
    return not saved and not (place / storage.WEIGHTS).exists()


def _same(job: DictionaryJob, folder: Path) -> None:
    """Refuse to resume with other dictionaries, other settings or other data.

    Raises
    ------
    RunError
        If the folder holds no such training.
    """
    path = folder / (MEMBERS if job.several else storage.CONFIG)
    if not path.is_file():
        raise RunError("there is no run to resume", where=str(folder), fix="leave --resume off")
    before = read_json(path)
    now = _plan(job)
    if job.several:
        _compare("dictionaries", before.get("members", {}), now["members"], path)
    else:
        model = dictionary_storage.config_of(job.one)
        _compare("model", before.get("model", {}), model, path)
        now["training"] = to_json(job.own(ALONE, among().world))
    for part in ("training", "data"):
        held, wanted = before.get(part, {}), now[part]
        if part == "data":
            held, wanted = ({"fingerprint": d.get("fingerprint")} for d in (held, wanted))
        _compare(part, held, {k: v for k, v in wanted.items() if k not in _FREE}, path)


def _compare(part: str, held: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    names = {**wanted, **(held if part == "dictionaries" else {})}
    for key in names:
        if held.get(key) != wanted.get(key):
            raise RunError(
                f"this run was started with another {part} {key}",
                where=str(path),
                why=f"{held.get(key)!r} then, {wanted.get(key)!r} now",
                fix="resume with the settings it was started with, or give another --out",
            )
