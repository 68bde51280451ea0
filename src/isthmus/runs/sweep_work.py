"""The work of a sweep: one run, in this process or in others, and how they come by the data."""

from __future__ import annotations

import dataclasses
import enum
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from isthmus.data import Dataset, Samples, load
from isthmus.errors import ConfigError, DivergedError, IsthmusError, RunError
from isthmus.files import read_json, write_json
from isthmus.models import storage
from isthmus.models.dictionary.presets import DictionaryPreset
from isthmus.models.presets import Preset
from isthmus.runs.dictionary.metrics import DictionaryEvaluation
from isthmus.runs.dictionary.sweeping import NamedVectors, StoredVectors, train_one
from isthmus.runs.dictionary.vectors import Vectors
from isthmus.runs.evaluation import Evaluation
from isthmus.runs.settings import threads_held
from isthmus.runs.training import carry_out, job_for
from isthmus.training import Progress

__all__ = [
    "ERROR", "Named", "Source", "State", "Stored", "Work", "do", "in_processes", "state_of",
]  # fmt: skip

ERROR = "error.json"
_FINAL = DivergedError.__name__
E = TypeVar("E", Evaluation, DictionaryEvaluation)


# --- the data -------------------------------------------------------------------------------------


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


Source = Named | Stored | NamedVectors | StoredVectors
"""Small, and open to every process."""


# --- one run --------------------------------------------------------------------------------------


class State(enum.Enum):
    """How far a run's folder has come."""

    NEW = "new"
    HALF = "half"
    DONE = "done"
    FAILED = "failed"


def state_of(folder: Path) -> State:
    """Say how far a run has come; only one that diverged has failed for good."""
    if (folder / "metrics.json").is_file():  # what a run writes last
        return State.DONE
    if (folder / ERROR).is_file() and read_json(folder / ERROR).get("kind") == _FINAL:
        return State.FAILED
    checkpoints = folder / "checkpoints"
    begun = checkpoints.is_dir() and any(checkpoints.glob("*.safetensors"))
    return State.HALF if begun else State.NEW


@dataclass(frozen=True)
class Work:
    """Everything that another process needs for one run."""

    name: str
    """Name of the run."""
    folder: Path
    """Its folder."""
    preset: Preset | DictionaryPreset
    """The preset."""
    settings: Mapping[str, Any]
    """All settings, the seed too."""
    data: Source
    """Where the data are."""
    origin: tuple[str | None, Mapping[str, Any]]
    """Source and options to write down, so that the run finds its data again."""
    evaluation: Evaluation | DictionaryEvaluation | None
    """How to measure; None: by the settings."""
    figures: bool
    """Whether the run's own figures are drawn."""
    stop: Path
    """Once this file is there, the run writes its checkpoint and ends."""


def do(work: Work, dataset: Dataset | Vectors | None = None) -> bool:
    """Train, measure and write one run, or go on with it; False where it was interrupted.

    What goes wrong with this run alone is written into its folder as ``error.json``.

    Parameters
    ----------
    dataset
        The data, where this process has loaded them.
    """
    try:
        with threads_held(int(work.settings.get("threads", 1))):
            _train(work, dataset if dataset is not None else work.data.open())
    except KeyboardInterrupt:
        return False
    except (IsthmusError, ArithmeticError, RuntimeError, MemoryError) as error:
        work.folder.mkdir(parents=True, exist_ok=True)
        found = {"kind": type(error).__name__, "error": str(error) or repr(error)}
        write_json(work.folder / ERROR, found)
    return True


def _train(work: Work, data: Dataset | Vectors) -> None:
    resume = state_of(work.folder) is State.HALF
    (work.folder / ERROR).unlink(missing_ok=True)
    if not resume:
        _clear(work.folder)
    watch = _stopping(work.stop)
    if isinstance(work.preset, DictionaryPreset) and isinstance(data, Vectors):
        train_one(
            work.preset,
            data,
            work.settings,
            work.origin,
            work.folder,
            resume=resume,
            watch=watch,
            figures=work.figures,
            evaluation=_of_kind(work.evaluation, DictionaryEvaluation),
        )
        return
    job = job_for(_hourglass(work.preset), data, **work.settings)
    source, options = work.origin
    origin = dataclasses.replace(job.origin, source=source, options=options)
    carry_out(
        dataclasses.replace(job, origin=origin),
        work.folder,
        resume=resume,
        watch=watch,
        figures=work.figures,
        evaluation=_of_kind(work.evaluation, Evaluation),
    )


def _of_kind(evaluation: object, kind: type[E]) -> E | None:
    """Return how to measure, if it is for this kind of model."""
    if evaluation is None or isinstance(evaluation, kind):
        return evaluation
    raise ConfigError(
        f"this kind of model is measured by {kind.__name__} settings",
        why=f"got {type(evaluation).__name__}",
    )


def _hourglass(preset: Preset | DictionaryPreset) -> Preset:
    if isinstance(preset, DictionaryPreset):  # pragma: no cover - its data are always vectors
        raise ConfigError("a sparse dictionary is trained on vectors")
    return preset


def _clear(folder: Path) -> None:
    """Remove what a run leaves that was killed before its first checkpoint, and nothing else.

    Raises
    ------
    RunError
        If there is anything else in the folder.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        elif path.name == storage.CONFIG or (path.name[0] == "." and path.suffix == ".tmp"):
            path.unlink()
        else:
            raise RunError(
                "the run's folder holds something that is no part of a run; nothing was changed",
                where=str(path),
                fix="move it away",
            )


def _stopping(flag: Path) -> Callable[[Progress], None]:
    """Return a watcher that asks the training to stop, as Ctrl-C does, once the flag is there."""

    def watch(progress: Progress) -> None:
        if flag.exists():
            signal.raise_signal(signal.SIGINT)

    return watch


# --- several processes --------------------------------------------------------------------------


def in_processes(works: Iterable[Work], jobs: int, ended: Callable[[Work], None]) -> None:
    """Do the work in ``jobs`` fresh processes at a time, and tell of each that has ended.

    On Ctrl-C every run writes its checkpoint and ends before KeyboardInterrupt goes on.

    Raises
    ------
    RunError
        If a process died.
    """
    import multiprocessing

    todo = iter(works)
    running: dict[Future[bool], Work] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _prepare_process) as pool:
        try:
            while True:
                # no more than can run: what waits in the pool's own queue can't be called back
                while len(running) < jobs and (work := next(todo, None)) is not None:
                    running[pool.submit(do, work)] = work
                if not running:
                    return
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    work = running.pop(future)
                    if not future.result():
                        raise KeyboardInterrupt
                    ended(work)
        except KeyboardInterrupt:
            for work in running.values():
                work.stop.touch()
            wait(running)
            raise
        except BrokenProcessPool as error:
            raise RunError(
                "a process of the sweep died; what was finished is kept",
                why="it was killed (out of memory?), or this is a script without a main guard",
                fix="give the same sweep again, with fewer jobs; in a script call it under "
                "if __name__ == '__main__':",
            ) from error


def _prepare_process() -> None:
    """Leave Ctrl-C to the training, and end when the process that started this one is gone."""
    import multiprocessing
    from multiprocessing.connection import wait as wait_for

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        wait_for([parent.sentinel])
        # at once: a resumed sweep may already be writing into the same folders
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
