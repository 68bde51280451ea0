"""A grid of runs: resumable, in several processes, with one table and the trade-off figure."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, cpu_count
from pathlib import Path
from typing import Any

from isthmus.data import load
from isthmus.errors import ConfigError, RunError
from isthmus.files import read_json, write_json
from isthmus.models.dictionary.presets import DictionaryPreset
from isthmus.models.multimodal.presets import MultimodalPreset
from isthmus.models.presets import Preset
from isthmus.models.presets import preset as preset_called
from isthmus.runs.dictionary.metrics import DictionaryEvaluation
from isthmus.runs.dictionary.routing import dictionary_for
from isthmus.runs.dictionary.sweeping import DictionarySweep
from isthmus.runs.evaluation import Evaluation
from isthmus.runs.multimodal.subject import MultimodalEvaluation
from isthmus.runs.multimodal.sweeping import MultimodalSweep
from isthmus.runs.run import claim
from isthmus.runs.settings import threads_held
from isthmus.runs.sweep_family import NamedSource, SweepFamily
from isthmus.runs.sweep_hourglass import HourglassSweep
from isthmus.runs.sweep_plan import plan_json, trials_of
from isthmus.runs.sweep_result import Sweep, SweepTable, first_line
from isthmus.runs.sweep_work import ERROR, State, Work, do, in_processes, state_of

__all__ = ["Sweep", "SweepProgress", "SweepStopped", "sweep"]

PLAN = "sweep.json"


class SweepStopped(KeyboardInterrupt):
    """The sweep was interrupted; what had been reached is on disk, and it can go on."""


@dataclass(frozen=True)
class SweepProgress:
    """Where a sweep stands; sent when it starts and after each run."""

    done: int
    """Runs that have ended, failed ones too."""
    total: int
    """Runs in all."""
    failed: int
    """Runs that failed."""
    name: str
    """The run that has just ended; empty at the start."""
    row: Mapping[str, Any] | None
    """Its row; None at the start."""
    seconds_left: float | None
    """Time left at the speed so far; None before there is one."""
    measure: str = "mse"
    """The column of the row that says most of this kind of model."""


Watch = Callable[[SweepProgress], None]


def sweep(
    data: object,
    preset: Preset | DictionaryPreset | MultimodalPreset | str,
    vary: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] = (0,),
    settings: Mapping[str, Any] | None = None,
    load_options: Mapping[str, Any] | None = None,
    out: str | PathLike[str],
    jobs: int = 1,
    resume: bool = True,
    hold: str | None = None,
    progress: bool | Watch | None = None,
    evaluation: Evaluation | DictionaryEvaluation | MultimodalEvaluation | None = None,
    figures: bool = False,
) -> Sweep:
    """Train every combination of some settings with every seed, and put the runs in one table.

    Each run uses one thread (unless ``settings`` say otherwise), in this process or in another,
    so that its numbers do not depend on ``jobs``. A run that fails is a row with its error.
    Given again, the same sweep reads the runs that are done and goes on with those that are
    not, to the same numbers.

    Parameters
    ----------
    data, load_options
        As for :func:`~isthmus.runs.train`; of several modalities as for
        :func:`~isthmus.runs.multimodal.train_multimodal`.
    preset
        A preset or its name; where two families share it, as for :func:`~isthmus.runs.train`.
    vary
        Settings of the preset's parts or of its training (or ``preprocess``), each with the
        values to try.
    seeds
        Every combination is trained once with each.
    settings
        Settings that are the same in all runs.
    out
        The sweep's folder.
    jobs
        Processes at a time; 0 for as many as there are cores. In a script, more than one needs
        the call to stand under ``if __name__ == "__main__":``.
    resume
        Go on where ``out`` holds this very sweep; False refuses any folder that isn't empty.
    hold
        "beta", "l0" or "parameters": what is held constant while the varied settings move, see
        :func:`~isthmus.runs.holding.held`.
    progress
        True for a line a run on standard error, or a function that is told.
    evaluation
        How to measure; default as in training.
    figures
        Whether each run's own figures are drawn.

    Raises
    ------
    ConfigError
        If a setting is unknown, or no combination can be built.
    DataError, MissingDataError
        If the data are at fault.
    RunError
        If ``out`` holds another sweep or anything else, or a process died.
    SweepStopped
        On Ctrl-C, once every run under way has written its checkpoint.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = sweep("digits", "linear", {"latent": [2, 4]}, out=folder)
    >>> [row["latent"] for row in found.rows], found.axes.x, found.axes.y
    ([2, 4], 'latent', 'mse')
    """
    fixed = {"threads": 1} | dict(settings or {})
    options = dict(load_options or {})
    if jobs < 0:
        raise ConfigError(f"jobs can't be negative, as {jobs} is")
    family, loaded = _opened(preset, data, options, {*fixed, *vary})
    trials = trials_of(family, loaded, vary, tuple(seeds), fixed, hold)
    named = _named(family, data, options, loaded)
    source, kept = (named.source, dict(named.options)) if named else (None, {})
    about = {
        "name": loaded.name,
        "source": source,
        "options": kept,
        "fingerprint": family.fingerprint(loaded),
    }
    place, plan = Path(out), (vary, tuple(seeds), fixed, hold)
    _settle(place, plan_json(family.preset, *plan, about, evaluation), resume)
    table = SweepTable(place, trials, tuple(vary), family.changed(fixed), hold)
    works = [
        Work(trial.name, place, family, trial.settings, named, (source, kept), evaluation, figures)
        for trial in trials
        if trial.error is None
    ]
    left = [w for w in works if state_of(w.folder) in (State.NEW, State.HALF)]
    _carry_out(left, loaded, jobs or cpu_count() or 1, table, _told(progress))
    return table.finish(fixed["threads"])


def _opened(
    preset: Preset | DictionaryPreset | MultimodalPreset | str,
    data: object,
    options: Mapping[str, Any],
    settings: set[str],
) -> tuple[SweepFamily, Any]:
    """Find the preset's family, and load the data as it takes them."""
    several = MultimodalSweep.of(preset)
    if several is not None:
        return several, several.opened(data, options)
    found = dictionary_for(preset, data, options, settings)
    if found is not None and isinstance(found[0], DictionaryPreset):
        return DictionarySweep(found[0]), found[1]
    chosen = preset_called(preset) if isinstance(preset, str) else preset
    if not isinstance(chosen, Preset):
        raise ConfigError("a sweep starts from a preset or its name", where=type(preset).__name__)
    return HourglassSweep(chosen), load(data, **options)


def _named(
    family: SweepFamily, data: object, options: Mapping[str, Any], loaded: Any
) -> NamedSource | None:
    """Return a name as it is and a path in full; None for what is in memory."""
    if not isinstance(data, str | PathLike):
        return None
    path = Path(data)
    return family.named(str(path.resolve()) if path.exists() else str(data), options, loaded)


def _settle(place: Path, plan: Mapping[str, Any], resume: bool) -> None:
    """Make the sweep's folder, or make sure that it holds this very sweep.

    Raises
    ------
    RunError
        If it holds anything else.
    """
    path = place / PLAN
    if not (resume and path.is_file()):
        claim(place)
        write_json(path, plan)
    before = read_json(path)
    for key, value in plan.items():
        if key != "isthmus" and before.get(key) != value:
            raise RunError(
                f"the folder holds another sweep: its {key} differs",
                where=str(path),
                why=f"{before.get(key)!r} there, {value!r} now",
                fix="give the sweep that it holds, or another --out",
            )
    (place / ".stop").unlink(missing_ok=True)
    for leftover in place.glob(".data-*"):
        shutil.rmtree(leftover)


def _carry_out(
    works: Sequence[Work],
    loaded: Any,
    jobs: int,
    table: SweepTable,
    watch: Watch | None,
) -> None:
    """Do what is left, here or in other processes, and keep the table up to date."""
    begun, count = time.monotonic(), 0

    def ended(work: Work) -> None:
        nonlocal count
        count += 1
        table.write()
        left = (time.monotonic() - begun) / count * (len(works) - count)
        if watch is not None:
            watch(_progress(table, work.name, left))

    for work in works:  # what failed before for another reason than divergence is tried again
        (work.folder / ERROR).unlink(missing_ok=True)
    table.write()
    if watch is not None:
        watch(_progress(table, "", None))
    try:
        if works:
            with threads_held(int(works[0].settings.get("threads", 1))):
                works[0].family.prepare(table.place, loaded)
        if min(jobs, len(works)) <= 1:
            for work in works:
                if not do(work, loaded):
                    raise KeyboardInterrupt
                ended(work)
            return
        with tempfile.TemporaryDirectory(prefix=".data-", dir=table.place) as folder:
            source = works[0].data or works[0].family.stored(loaded, Path(folder))
            in_processes([replace(w, data=source) for w in works], min(jobs, len(works)), ended)
    except KeyboardInterrupt as stop:
        table.write()
        raise SweepStopped(
            f"stopped with {len(table.rows())} of {len(table.trials)} runs done; give the same "
            f"sweep again to go on: {table.place}"
        ) from stop
    finally:
        (table.place / ".stop").unlink(missing_ok=True)


def _progress(table: SweepTable, name: str, left: float | None) -> SweepProgress:
    """Say how far the sweep has come."""
    rows = {row["name"]: row for row in table.rows()}
    failed = sum(row["error"] is not None for row in rows.values())
    return SweepProgress(
        len(rows), len(table.trials), failed, name, rows.get(name), left, table.family.measure
    )


def _told(progress: bool | Watch | None) -> Watch | None:
    if progress is not True:
        return progress or None

    def line(told: SweepProgress) -> None:
        if told.row is None:
            text = f"{told.done} of {told.total} runs are done"
        else:
            error, value = told.row["error"], told.row[told.measure]
            said = f"failed: {first_line(error)}" if error else f"{told.measure} {value:.5g}"
            text = f"{told.done}/{told.total}  {told.name}  {said}  {told.seconds_left:.0f} s left"
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    return line
