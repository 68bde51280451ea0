"""`isthmus train` for models of several modalities."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.failures import Interrupted
from isthmus.cli.multimodal_options import measuring_options
from isthmus.cli.options import load_options
from isthmus.cli.screen import Screen, number
from isthmus.cli.train_dictionary import Typed
from isthmus.cli.words import time_of
from isthmus.errors import ConfigError, RunError

if TYPE_CHECKING:
    from isthmus.cli.multimodal_resuming import BegunMultimodal
    from isthmus.runs.multimodal import MultimodalRun
    from isthmus.runs.multimodal.jobs import MultimodalJob

__all__ = [
    "answer_of",
    "close",
    "model_and_training",
    "multimodal_job",
    "refuse_others",
    "refuse_own",
    "refuse_several",
    "train_multimodal",
]

_OF_OTHERS = {"nll_samples", "nll_rows", "refined_rows"}


def multimodal_job(typed: Typed, screen: Screen) -> MultimodalJob | None:
    """Put the job together where several modalities are meant; None for one."""
    from isthmus.cli.presets import is_multimodal

    before = None
    if typed.resume:
        from isthmus.cli.multimodal_resuming import begun_multimodal

        before = begun_multimodal(typed.folder)
        if before is not None and typed.named and typed.model != before.preset.name:
            raise ConfigError(
                "a training is resumed with the preset it was begun with",
                where=str(typed.folder),
                why=f"it was {before.preset.name}",
                fix="leave --model out, or train into another folder",
            )
    if before is None and (not is_multimodal(typed.model) or typed.members is not None):
        return None
    refuse_others(typed.given)
    return _job(typed, before, screen)


def refuse_several(typed: Typed, *, no_measure: bool) -> None:
    """Refuse what only several modalities have, and names that no preset has."""
    from isthmus.models.preset_names import unknown_preset

    unknown = None if typed.resume else unknown_preset(typed.model)
    if unknown is not None:
        raise unknown
    refuse_own(typed.given, *(["no_measure"] if no_measure else []))


def refuse_own(given: Iterable[str], *more: str) -> None:
    """Refuse options that only several modalities have.

    Raises
    ------
    ConfigError
        Naming the first.
    """
    from isthmus.cli.multimodal_options import several_data, several_training
    from isthmus.cli.options import dictionary_options, training_options

    usual = {option.name for option in (*training_options(), *dictionary_options())}
    own = {option.name for option in (*several_training(), *several_data(), *measuring_options())}
    odd = [*sorted((own - usual) & set(given)), *more]
    if odd:
        raise ConfigError(
            f"--{odd[0].replace('_', '-')} is for models of several modalities",
            fix="leave it out, or name one: --model aligned (`isthmus models` lists them)",
        )


def refuse_others(given: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing for several modalities.

    Raises
    ------
    ConfigError
        Naming the first.
    """
    for name in sorted(_OF_OTHERS & set(given)):
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag} means nothing for several modalities", fix="leave it out")
    if given.get("preprocess", "auto") != "auto":
        raise ConfigError(
            "--preprocess is for a single modality",
            why="each modality's adapter scales its items",
            fix="leave it out",
        )


def _job(typed: Typed, before: BegunMultimodal | None, screen: Screen) -> MultimodalJob:
    from isthmus.cli.multimodal_data import opened, several_options
    from isthmus.cli.multimodal_values import mixture_settings, settings_of
    from isthmus.models.multimodal import MixtureFit, multimodal_preset
    from isthmus.runs.multimodal.jobs import job_for, origin_of

    preset = multimodal_preset(typed.model) if before is None else before.preset
    options = load_options(typed.given) | several_options(typed.given)
    source = typed.data
    if before is not None and source is None:
        source, options = before.source, dict(before.options) | options
    if source is None:
        raise RunError(
            "this run was trained on data in memory, which it does not keep",
            where=str(typed.folder),
            fix="resume it from Python, with the same data",
        )
    place = Path(source).expanduser()
    source = str(place.resolve()) if place.exists() else source
    screen.say(f"opening {source}")
    data = opened(source, options)
    left = model_and_training(typed.given)
    fitted = {field.name for field in dataclasses.fields(MixtureFit)}
    own = {name: value for name, value in left.items() if name not in fitted}
    if before is None:
        job = job_for(
            preset,
            data,
            mixture=mixture_settings(left),
            **settings_of(preset.objective, own),
        )
    else:
        job = job_for(
            preset,
            data,
            modalities=before.modalities,
            mixture=before.fit(left),
            **before.settings(own),
        )
    return dataclasses.replace(job, origin=origin_of(data, source, options))


def model_and_training(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed but for data and measuring."""
    from isthmus.cli.multimodal_data import SeveralOptions
    from isthmus.cli.options import data_options

    known = {option.name for option in (*data_options(), *measuring_options())}
    known |= {field.name for field in dataclasses.fields(SeveralOptions)} | {"preprocess"}
    return {name: value for name, value in given.items() if name not in known}


def train_multimodal(
    job: MultimodalJob, typed: Typed, screen: Screen, *, dry_run: bool, figures: bool, measure: bool
) -> None:
    """Train, measure and write what a job says, and tell of it."""
    from isthmus.cli.multimodal_values import measuring
    from isthmus.training.device import chosen_device

    evaluation, judges = measuring(typed.given)
    chosen_device(job.training.device)  # a wrong one is told before the folder is made
    _announce(job, screen)
    if dry_run:
        _plan(job, typed.folder, screen)
        return
    run = _carried_out(job, typed, screen, evaluation, judges, figures=figures, measure=measure)
    if screen.as_json:
        screen.json(answer_of(run, typed.folder))
        return
    close(run, typed.folder, screen)


def _announce(job: MultimodalJob, screen: Screen) -> None:
    """Say what was found and what will be trained."""
    data, training = job.data, job.training
    facts = [("data", f"{data.name}: {data.source}")]
    for name, modality in data.modalities.items():
        shape = " x ".join(map(str, modality.adapter.shape))
        count = len(modality.rows("train"))
        facts.append(("", f"{name}: {modality.adapter.kind} of {shape}; {count:,} for training"))
    facts += [("note", note) for note in data.notes]
    facts.append(("model", f"{job.preset}, {job.model.parameters_count:,} parameters"))
    facts += [("objective" if i == 0 else "", line) for i, line in enumerate(job.model.describe())]
    cap = f", {training.minutes:g} minutes at most" if training.minutes else ""
    facts.append(
        (
            "training",
            f"{training.epochs} epochs of {_rows(job):,} rows in batches of "
            f"{training.batch_size}, learning rate {training.lr:g}, seed {training.seed}{cap}",
        )
    )
    screen.facts(facts)
    screen.say()


def _rows(job: MultimodalJob) -> int:
    """Return the rows of an epoch."""
    data = job.data
    return len(data.pairs["train"]) if data.pair_rule == "table" else data.epoch_rows


def _plan(job: MultimodalJob, folder: Path, screen: Screen) -> None:
    """Say what a training would be."""
    steps = math.ceil(_rows(job) / job.training.batch_size) * job.training.epochs
    plan = {
        "parameters": job.model.parameters_count,
        "rows": _rows(job),
        "steps": steps,
        "minutes": job.training.minutes or None,
        "modalities": list(job.model.names),
    }
    if screen.as_json:
        head = {"run": str(folder), "model": job.preset, "dry_run": True}
        screen.json(head | {"plan": plan})
        return
    rows = [
        ("would be written to", str(folder)),
        ("modalities", ", ".join(job.model.names)),
        ("parameters", f"{plan['parameters']:,}"),
        ("steps", f"{steps:,}"),
    ]
    screen.table(("a dry run: nothing was trained or written", ""), rows)


def _carried_out(
    job: MultimodalJob,
    typed: Typed,
    screen: Screen,
    evaluation: Any,
    judges: Any,
    *,
    figures: bool,
    measure: bool,
) -> MultimodalRun:
    from isthmus.cli.progress import watching
    from isthmus.runs.multimodal.training import carry_out

    folder = typed.folder
    try:
        with watching(screen) as watch, _silent(screen):
            return carry_out(
                job,
                folder,
                resume=typed.resume,
                watch=watch,
                figures=figures,
                evaluation=evaluation,
                judges=judges,
                measure=measure,
            )
    except KeyboardInterrupt as stop:
        epoch = getattr(stop, "epoch", None)
        where = f"in epoch {epoch}" if epoch is not None else "before the run was written"
        raise Interrupted(
            f"training was stopped {where}; what it had reached is kept in {folder}",
            f"go on with: isthmus train --resume --out {shlex.quote(str(folder))}",
        ) from stop


@contextlib.contextmanager
def _silent(screen: Screen) -> Iterator[None]:
    """Keep alarms from standard error where no messages are wanted; the notes hold them."""
    logger = logging.getLogger("isthmus")
    before = logger.level
    if screen.quiet:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def answer_of(run: MultimodalRun, folder: Path) -> dict[str, Any]:
    """Return what --json prints of a run that was just trained."""
    return {
        "run": str(folder),
        "model": run.preset,
        "modalities": list(run.model.names),
        "metrics": run.metrics,
        "seconds": run.trained.seconds,
        "samples_per_second": run.trained.samples_per_second,
        "notes": list(run.notes),
    }


def close(run: MultimodalRun, folder: Path, screen: Screen) -> None:
    """Write the numbers, where everything is, and what to type next."""
    from isthmus.cli.multimodal_numbers import show_report

    screen.line(f"{run.preset} on {run.origin.name}", style="bold")
    if run.report is not None:
        show_report(screen, run.report)
    trained = run.trained
    facts = [
        *(("note", note) for note in run.notes),
        (
            "trained",
            f"{trained.epochs} epochs in {time_of(trained.seconds)}, "
            f"{number(trained.samples_per_second)} rows/s",
        ),
        ("run", str(folder)),
    ]
    if (folder / "page.html").is_file():
        facts.append(("page", f"{folder / 'page.html'}, with sounds to be played"))
    names = run.model.names
    if len(names) > 1:
        words = ["isthmus", "retrieve", str(folder), "--from", names[0], "ITEM", "--to", names[1]]
        facts.append(("next", shlex.join(words)))
    screen.words(facts)
