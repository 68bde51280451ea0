"""`isthmus train` for sparse dictionaries: one, or several over one pass of the data."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.failures import Interrupted
from isthmus.cli.screen import Screen, number
from isthmus.cli.words import bytes_of, time_of
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.runs.dictionary import DictionaryRun
    from isthmus.runs.dictionary.jobs import DictionaryJob

__all__ = ["Typed", "dictionary_job", "is_first", "train_dictionary"]


@dataclasses.dataclass(frozen=True)
class Typed:
    """What was typed after `isthmus train`."""

    data: str | None
    """The data."""
    model: str
    """The preset; the usual one where none was named."""
    named: bool
    """Whether a preset was named."""
    members: str | None
    """Several dictionaries."""
    given: Mapping[str, Any]
    """All options that are made from settings."""
    resume: bool
    """Whether to go on."""
    folder: Path
    """Where the run goes."""

    @property
    def settings(self) -> dict[str, Any]:
        """Those that are settings of a model or its training."""
        from isthmus.cli.options import dictionary_options, model_options

        names = {option.name for option in (*model_options(), *dictionary_options())}
        return {name: value for name, value in self.given.items() if name in names}


def is_first() -> bool:
    """Say whether this is the process that speaks and writes: the first of `torchrun`'s."""
    import os

    return os.environ.get("RANK", "0") == "0" or "MASTER_ADDR" not in os.environ


def dictionary_job(typed: Typed, screen: Screen) -> DictionaryJob | None:
    """Put the job together where a sparse dictionary is meant; None for an autoencoder."""
    from isthmus.cli.dictionary_resuming import begun_dictionary
    from isthmus.cli.options import load_options
    from isthmus.cli.progress import fetching
    from isthmus.cli.values import dictionary_settings, members_of
    from isthmus.runs.dictionary.jobs import job_for, jobs_together
    from isthmus.runs.dictionary.routing import dictionary_for
    from isthmus.runs.dictionary.vectors import vectors_of
    from isthmus.runs.training import refuse_preprocessing

    loading = load_options(typed.given)
    if typed.resume:
        before = begun_dictionary(typed.folder)
        if before is None and typed.members is None:
            return None
        if before is None:
            raise ConfigError(
                "--members can't be added to this training",
                where=str(typed.folder),
                fix="leave --members out, or train into another folder",
            )
        if (typed.named and typed.model not in before.presets) or typed.members is not None:
            raise ConfigError(
                "a training is resumed with the dictionaries it was begun with",
                where=str(typed.folder),
                why=f"they are: {', '.join(before.presets)}",
                fix="leave --model and --members out, or train into another folder",
            )
        return before.job(typed.data, loading, typed.settings)
    with fetching(screen) as progress:
        options = loading | {"progress": progress}
        if typed.members is not None:
            refuse_preprocessing(typed.given.get("preprocess", "auto"))
            base = typed.model if typed.named else "topk"
            members = members_of(typed.members, base)
            vectors = vectors_of(typed.data, options, any_kind=True)
            if vectors is None:  # pragma: no cover - with any kind, what is loaded is opened
                return None
            settings = dictionary_settings(None, typed.settings)
            return jobs_together(members, vectors, **settings)
        found = dictionary_for(typed.model, typed.data, options, typed.settings)
    if found is None:
        return None
    refuse_preprocessing(typed.given.get("preprocess", "auto"))
    return job_for(*found, **dictionary_settings(found[0], typed.settings))


def train_dictionary(
    job: DictionaryJob,
    typed: Typed,
    screen: Screen,
    *,
    dry_run: bool,
    figures: bool,
) -> None:
    """Train, measure and write what a job says, and tell of it."""
    from isthmus.cli.values import dictionary_evaluation

    evaluation = dictionary_evaluation(typed.given)
    first = is_first()
    _announce(job, screen)
    if dry_run:
        if first:
            _plan(job, typed.folder, screen)
        return
    runs = _carried_out(job, typed, screen, figures=figures, evaluation=evaluation)
    if not first:
        return
    if screen.as_json:
        screen.json(_answer(runs, typed.folder, several=job.several))
        return
    _close(runs, typed.folder, screen, several=job.several)


def _announce(job: DictionaryJob, screen: Screen) -> None:
    """Say what was found and what will be trained."""
    rows = ", ".join(f"{count:,} {split}" for split, count in job.parts.rows.items())
    facts = [
        ("data", f"{job.origin.name}: vectors of {job.parts.vectors.dim:,} values; {rows}"),
        *(("note", note) for note in job.notes),
    ]
    for name, model in job.models.items():
        count = sum(p.numel() for p in model.parameters())
        title = f"{name}: " if job.several else ""
        facts.append(
            (
                "dictionary",
                f"{title}{job.presets[name]}, {model.latent:,} latents, {count:,} parameters",
            )
        )
        facts += [("", line) for line in model.describe()[1:]]
    training = job.own(next(iter(job.models)), 1)
    noise = f", noise {training.noise:.2g}" if training.noise > 0 else ""
    facts.append(
        (
            "training",
            f"{training.epochs} epochs of batches of {training.batch_size:,}, learning rate "
            f"{training.lr:.3g}{noise}, seed {training.seed}",
        )
    )
    screen.facts(facts)
    screen.say()


def _plan(job: DictionaryJob, folder: Path, screen: Screen) -> None:
    from isthmus.runs.dictionary.planning import plan

    found = plan(job)
    if screen.as_json:
        head = {"run": str(folder), "model": job.preset, "dry_run": True}
        members = {"members": list(job.models)} if job.several else {}
        screen.json(head | members | {"plan": dataclasses.asdict(found)})
        return
    screen.table(
        ("a dry run: nothing was trained or written", ""),
        [
            ("would be written to", str(folder)),
            ("parameters", f"{found.parameters:,}"),
            ("steps", f"{found.steps:,}"),
            ("memory", bytes_of(found.memory_bytes)),
            ("disk", bytes_of(found.disk_bytes)),
            ("time in training steps", time_of(found.seconds)),
            ("speed", f"{found.samples_per_second:,.0f} samples/s"),
            ("device", found.device),
        ],
    )


def _carried_out(
    job: DictionaryJob, typed: Typed, screen: Screen, *, figures: bool, evaluation: Any
) -> dict[str, DictionaryRun]:
    from isthmus.cli.progress import watching
    from isthmus.runs.dictionary.training import carry_out

    folder = typed.folder
    try:
        with watching(screen) as watch:
            return carry_out(
                job,
                folder,
                resume=typed.resume,
                watch=watch,
                figures=figures,
                evaluation=evaluation,
            )
    except KeyboardInterrupt as stop:
        epoch = getattr(stop, "epoch", None)
        where = f"in epoch {epoch}" if epoch is not None else "before the run was written"
        raise Interrupted(
            f"training was stopped {where}; what it had reached is kept in {folder}",
            f"go on with: isthmus train --resume --out {shlex.quote(str(folder))}",
        ) from stop


def _answer(runs: Mapping[str, DictionaryRun], folder: Path, *, several: bool) -> dict[str, Any]:
    """Return what --json prints."""
    first = next(iter(runs.values()))
    speed = {
        "seconds": first.trained.seconds,
        "samples_per_second": first.trained.samples_per_second,
    }
    if not several:
        return {"run": str(folder), **_of(first), **speed}
    members = {name: {"run": str(run.folder), **_of(run)} for name, run in runs.items()}
    return {"run": str(folder), "members": members, **speed}


def _of(run: DictionaryRun) -> dict[str, Any]:
    return {
        "model": run.preset,
        "metrics": {split: found.as_json() for split, found in run.metrics.items()},
        "notes": [*run.notes, *run.trained.notes],
    }


def _close(
    runs: Mapping[str, DictionaryRun], folder: Path, screen: Screen, *, several: bool
) -> None:
    """Write the numbers, where everything is, and what to type next."""
    from isthmus.cli.numbers import show_dictionary
    from isthmus.runs.rows import aligned, row_of

    first = next(iter(runs.values()))
    if several:
        split = "test" if "test" in first.metrics else "train"
        columns = ("name", "latent", "l0", "fvu", "fvu_refined", "dead_fraction")
        rows = [row_of(run, split, name) for name, run in runs.items()]
        screen.line(f"{len(runs)} dictionaries on {first.origin.name}, {split}", style="bold")
        for line in aligned(rows, (*columns, "max_firing_rate")):
            screen.line(line)
    else:
        screen.line(f"{first.preset} on {first.origin.name}", style="bold")
        show_dictionary(screen, first.metrics)
    facts = [
        *(("note", note) for run in runs.values() for note in run.trained.notes),
        (
            "trained",
            f"{first.trained.epochs} epochs in {time_of(first.trained.seconds)}, "
            f"{number(first.trained.samples_per_second)} samples/s",
        ),
        ("run", str(folder)),
    ]
    pictures = sorted(folder.glob("*/figures/*.png" if several else "figures/*.png"))
    if pictures:
        where = folder if several else folder / "figures"
        facts.append(("figures", f"{len(pictures)} in {where}"))
    if several:
        words = ["isthmus", "compare", *(str(run.folder) for run in runs.values())]
    else:
        source = first.origin.source or "VECTORS"
        words = ["isthmus", "encode", str(folder), source, "--out", str(folder / "codes.npz")]
    facts.append(("next", shlex.join(words)))
    screen.words(facts)
