"""The loop: one pass over a stream of rows trains one dictionary or several."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.streams import VectorStream
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.kernels.cpu import CPUKernels
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.device import chosen_device
from isthmus.training.dictionary import checkpoint
from isthmus.training.dictionary.checkpoint import Place
from isthmus.training.dictionary.config import DictionaryTraining
from isthmus.training.dictionary.member import Member
from isthmus.training.dictionary.rules import completed, rate_at
from isthmus.training.dictionary.start import started
from isthmus.training.dictionary.together import Together
from isthmus.training.history import History
from isthmus.training.progress import Progress, Watch
from isthmus.training.stopping import Stopped, stop_flag

__all__ = ["FittedDictionary", "fit_dictionaries", "fit_dictionary"]

Array = NDArray[Any]
_SAMPLE = 8192  # rows to initialise from: a quarter of what Gao et al. take, for memory's sake


@dataclass(frozen=True)
class FittedDictionary:
    """What a training leaves behind, beside the trained dictionary itself."""

    history: History
    """A row an epoch."""
    seconds: float
    """Time spent in training steps."""
    samples_per_second: float
    """Speed of the training steps alone."""
    best_epoch: int
    """The epoch whose weights were kept."""
    config: DictionaryTraining
    """The settings, with what followed from the data filled in."""
    notes: tuple[str, ...] = ()
    """What a user should know: over-fitting, rows left out."""


def fit_dictionary(
    model: SparseDictionary,
    stream: VectorStream,
    config: DictionaryTraining | None = None,
    **options: Any,
) -> FittedDictionary:
    """Train one dictionary in place; see :func:`fit_dictionaries`."""
    return fit_dictionaries({"dictionary": model}, stream, config, **options)["dictionary"]


def fit_dictionaries(
    models: Mapping[str, SparseDictionary],
    stream: VectorStream,
    config: DictionaryTraining | None = None,
    *,
    held_out: Array | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    together: Together | None = None,
) -> dict[str, FittedDictionary]:
    """Train dictionaries in place on one stream: each batch is read once and trains them all.

    The same seed, data, batch size and number of threads give the same weights, bit for bit,
    whether or not the training was interrupted; what the kernels train (TopK, BatchTopK,
    Matryoshka, any-k) is the same for any number of threads, too.

    Parameters
    ----------
    models
        Dictionaries by name. Each starts from its own ``seed``; the rows come in one order.
    stream
        Rows to train on. Its batch size holds; see
        :func:`~isthmus.training.dictionary.rules.completed` for the one that suits.
    held_out
        Rows to measure on after each epoch, (V, D); None: the stream's own held-out rows.
    checkpoints
        Folder of the checkpoint; None for none.
    resume
        Go on from the checkpoint in that folder.
    watch
        Is told of the progress of the first dictionary.
    together
        The processes that share each batch.

    Raises
    ------
    ConfigError
        If widths differ, or there is no dictionary.
    DataError
        If the held-out rows don't fit.
    DivergedError
        If a loss is not finite.
    Stopped
        On Ctrl-C, after the checkpoint was written.
    """
    config = config or DictionaryTraining()
    together = together or Together()
    if not models:
        raise ConfigError("there is no dictionary to train")
    if held_out is not None:
        held_out = _measurable(held_out, stream.dim)
    for name, model in models.items():
        if model.dim != stream.dim:
            raise ConfigError(
                f"the rows have {stream.dim} values, the dictionary {name!r} takes {model.dim}"
            )
    threads = config.threads or torch.get_num_threads()
    device = chosen_device(config.device)
    for model in models.values():
        model.to(device)
    kernels = CPUKernels(threads, fast=config.precision == "fast")
    before = torch.get_num_threads()
    try:
        with stop_flag() as stop, kernels.team.at_work():
            if config.threads:
                torch.set_num_threads(config.threads)
            loop = _Loop(models, stream, config, kernels, together, checkpoints, watch, stop)
            return loop.run(held_out, resume)
    finally:
        torch.set_num_threads(before)
        kernels.close()


def _measurable(held_out: Array, dim: int) -> Array:
    """Return held-out rows as float32, refusing those that no error can be measured on.

    Raises
    ------
    DataError
        If they have another width, or hold NaN or infinite values.
    """
    rows = np.asarray(held_out, np.float32)
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise DataError(f"rows held out of shape {rows.shape} don't fit rows of {dim} values")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise DataError(f"row {row}, column {column} of those held out is {rows[row, column]}")
    return rows


class _Loop:
    """One pass after another, and where it stands."""

    def __init__(
        self,
        models: Mapping[str, SparseDictionary],
        stream: VectorStream,
        config: DictionaryTraining,
        kernels: CPUKernels,
        together: Together,
        folder: Path | None,
        watch: Watch | None,
        stop: threading.Event,
    ) -> None:
        self.stream, self.config, self.together = stream, config, together
        self.folder, self.watch, self.stop = folder, watch, stop
        self.steps = stream.batches * config.epochs
        self.at = Place()
        self.dropped = 0
        self.saved = self.told = time.monotonic()
        self.fingerprint = stream.fingerprint()
        sample = stream.sample(_SAMPLE)
        self.members: dict[str, Member] = {}
        for name, model in models.items():
            own = completed(
                dataclasses.replace(config, batch_size=stream.batch_size),
                stream.rows,
                model.latent,
                together.world,
                model.objective.pace,
            )
            scale = started(model, sample, model.seed, warm=config.warm)
            mean = model.prepared(torch.from_numpy(sample))[0].mean(0, dtype=torch.float64)
            about = mean.numpy().astype(np.float32)
            member = Member(model, own, scale, about, kernels, together, sample)
            self.members[name] = member

    def run(self, held_out: Array | None, resume: bool) -> dict[str, FittedDictionary]:
        """Train to the end, from the start or from the checkpoint."""
        if held_out is None:
            held_out = self._held_out()
        if resume and self.folder is not None:
            self.at = checkpoint.read(
                self.folder, self.members, self.fingerprint, self.stream.batches
            )
        else:
            self._save()
        while self.at.epoch < self.config.epochs and not self._is_stale():
            self._epoch()
            self._end_epoch(held_out)
        self._save()
        return {name: self._fitted(member) for name, member in self.members.items()}

    def _held_out(self) -> Array:
        """Read at most 10,000 held-out rows."""
        parts, count = [np.empty((0, self.stream.dim), np.float32)], 0
        for part in self.stream.held_out(2048):
            parts.append(part)
            count += len(part)
            if count >= 10_000:
                break
        return np.concatenate(parts)

    def _epoch(self) -> None:
        started_at = time.monotonic() - self.at.seconds
        rows = self.stream.epoch(self.at.epoch, self.at.batch)
        try:
            for x in rows:
                self.at.batch += 1
                self.at.step += 1
                if self.together.world > 1 or len(x):
                    for member in self.members.values():
                        member.step(x, self.at.step, self.steps)
                self.at.seconds = time.monotonic() - started_at
                if self._asked_to_stop():
                    self._save()
                    raise Stopped(self.at.epoch + 1, self.folder)
                self._tell(None)
                if time.monotonic() - self.saved > self.config.checkpoint_seconds:
                    before = time.monotonic()
                    self._save()
                    started_at += time.monotonic() - before  # a checkpoint is no training step
        finally:
            rows.close()  # type: ignore[attr-defined]
        self.dropped = self.stream.dropped

    def _asked_to_stop(self) -> bool:
        """Whether any process was: all stop after the same step."""
        if self.together.world == 1:
            return self.stop.is_set()
        return bool(self.together.add_up(np.array([float(self.stop.is_set())]))[0])

    def _end_epoch(self, held_out: Array) -> None:
        head = {
            "epoch": self.at.epoch + 1,
            "steps": self.at.step,
            "seconds": self.at.seconds,
            "samples_per_second": self.stream.rows / max(self.at.seconds, 1e-9),
        }
        first: dict[str, float] | None = None
        for member in self.members.values():
            rate = rate_at(self.at.step - 1, self.steps, member.config)
            row = member.end_epoch(held_out, head | {"lr": rate})
            first = first or row
        self.at.epoch += 1
        self.at.batch, self.at.seconds = 0, 0.0
        self._tell(first)

    def _is_stale(self) -> bool:
        patience = self.config.patience
        best = max(member.at.best_epoch for member in self.members.values())
        return bool(patience) and self.at.epoch - best >= patience

    def _fitted(self, member: Member) -> FittedDictionary:
        member.finish()
        rows = member.at.rows
        seconds = sum(row["seconds"] for row in rows)
        notes = member.notes()
        if self.dropped:
            notes.append(f"{self.dropped:,} rows with NaN or infinite values were left out")
        return FittedDictionary(
            History(rows),
            seconds,
            self.stream.rows * len(rows) / max(seconds, 1e-9),
            member.at.best_epoch or len(rows),
            member.config,
            tuple(notes),
        )

    def _tell(self, row: dict[str, float] | None) -> None:
        now = time.monotonic()
        if self.watch is None or (row is None and now - self.told < 0.25):
            return
        self.told = now
        rows, size = self.stream.rows, self.stream.batch_size
        done = self.at.epoch * rows + min(self.at.batch * size, rows)
        first = next(iter(self.members.values()))
        spent = sum(r["seconds"] for r in first.at.rows) + self.at.seconds
        total = self.config.epochs * rows
        speed = done / max(spent, 1e-9)
        epoch = self.at.epoch if row is not None else self.at.epoch + 1
        left = (total - done) / max(speed, 1e-9)
        self.watch(Progress(epoch, self.config.epochs, done, total, speed, left, row))

    def _save(self) -> None:
        if self.folder is not None and self.together.rank == 0:
            for name, member in self.members.items():
                if not all(bool(p.isfinite().all()) for p in member.model.parameters()):
                    raise RunError(f"the weights of {name!r} are no longer finite")
            checkpoint.write(self.folder, self.at, self.members, self.fingerprint)
        self.saved = time.monotonic()
