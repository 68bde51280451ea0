"""The work of a sweep: one run, in this process or in others."""

from __future__ import annotations

import enum
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.errors import DivergedError, IsthmusError, RunError
from isthmus.files import read_json, write_json
from isthmus.models import storage
from isthmus.runs.settings import threads_held
from isthmus.runs.sweep_family import Source, SweepFamily
from isthmus.training import Progress

__all__ = ["ERROR", "State", "Work", "do", "in_processes", "state_of"]

ERROR = "error.json"
_FINAL = DivergedError.__name__


# --- one run --------------------------------------------------------------------------------------


class State(enum.Enum):
    """How far a run's folder has come."""

    NEW = "new"
    HALF = "half"
    DONE = "done"
    FAILED = "failed"


def state_of(folder: Path) -> State:
    """Say how far a run has come; only one that diverged has failed for good."""
    # what a run writes last: its numbers or its weights
    if all((folder / name).is_file() for name in ("metrics.json", storage.WEIGHTS)):
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
    place: Path
    """The sweep's folder."""
    family: SweepFamily
    """The preset, and how it is trained."""
    settings: Mapping[str, Any]
    """All settings, the seed too."""
    data: Source | None
    """Where the data are; None: the process that has loaded them does the work."""
    origin: tuple[str | None, Mapping[str, Any]]
    """Source and options to write down, so that the run finds its data again."""
    evaluation: Any
    """How to measure; None: by the settings."""
    figures: bool
    """Whether the run's own figures are drawn."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.place / "runs" / self.name

    @property
    def stop(self) -> Path:
        """Once this file is there, the run writes its checkpoint and ends."""
        return self.place / ".stop"


def do(work: Work, data: Any = None) -> bool:
    """Train, measure and write one run, or go on with it; False where it was interrupted.

    What goes wrong with this run alone is written into its folder as ``error.json``.

    Parameters
    ----------
    data
        The data, where this process has loaded them.
    """
    try:
        with threads_held(int(work.settings.get("threads", 1))):
            if data is None and work.data is not None:
                data = work.data.open()
            _train(work, data)
    except KeyboardInterrupt:
        return False
    except (IsthmusError, ArithmeticError, RuntimeError, MemoryError) as error:
        work.folder.mkdir(parents=True, exist_ok=True)
        found = {"kind": type(error).__name__, "error": str(error) or repr(error)}
        write_json(work.folder / ERROR, found)
    return True


def _train(work: Work, data: Any) -> None:
    resume = state_of(work.folder) is State.HALF
    (work.folder / ERROR).unlink(missing_ok=True)
    if not resume:
        _clear(work.folder)
    work.family.train(work, data, resume=resume, watch=_stopping(work.stop))


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
