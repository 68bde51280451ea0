"""The loop: from a multimodal model and data to a trained model and its history."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from isthmus.data.multimodal import MultimodalData
from isthmus.data.multimodal.dataset import Numbers
from isthmus.errors import ConfigError, DivergedError
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.training import checkpoint
from isthmus.training.checkpoint import Position
from isthmus.training.device import chosen_device
from isthmus.training.history import History
from isthmus.training.loop import optimiser_for
from isthmus.training.multimodal.averaging import averaged, follow
from isthmus.training.multimodal.config import MultimodalTraining
from isthmus.training.multimodal.critics import Critics
from isthmus.training.multimodal.feeding import Feed
from isthmus.training.multimodal.fit_quality import alarms, explained
from isthmus.training.multimodal.validation import add, means, named, validated
from isthmus.training.progress import Progress, Watch
from isthmus.training.schedule import rate_at
from isthmus.training.stopping import Stopped, stop_flag

__all__ = ["MultimodalFitted", "fit_multimodal"]

logger = logging.getLogger(__name__)
EARLIEST = 200
"""Steps before which no alarm is sounded."""


@dataclass(frozen=True)
class MultimodalFitted:
    """What a training leaves behind, beside the trained model itself."""

    history: History
    """A row an epoch: every term, nats per dimension and R^2 of each modality."""
    seconds: float
    """Time spent in training steps, in all epochs."""
    samples_per_second: float
    """Rows a second of the training steps alone."""
    steps: int
    """Optimiser steps in all."""
    warnings: tuple[str, ...]
    """What the collapse alarm said."""


def fit_multimodal(
    model: MultimodalAutoencoder,
    data: MultimodalData,
    config: MultimodalTraining | None = None,
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    references: Mapping[str, float] | None = None,
) -> MultimodalFitted:
    """Train ``model`` in place on the data's training rows.

    The same seed, machine and number of threads give the same weights, bit for bit, whether or
    not the training was interrupted, unless ``minutes`` cut it short.

    Parameters
    ----------
    checkpoints
        Folder of the checkpoint; None for none.
    resume
        Go on from the checkpoint in that folder.
    watch
        Is told of the progress.
    references
        R^2 of each modality's own unimodal autoencoder, for the collapse alarm.

    Raises
    ------
    ConfigError
        If the data lack a modality of the model, or a shape differs.
    DivergedError
        If the loss becomes infinite or not a number.
    Stopped
        On Ctrl-C, after the checkpoint was written.
    """
    config = config or MultimodalTraining()
    _check(model, data)
    data = data.only(model.names)
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), stop_flag() as stop:
        if config.threads:
            torch.set_num_threads(config.threads)
        try:
            torch.manual_seed(config.seed)
            loop = _Loop(model, data, config, checkpoints, watch, stop)
            loop.references = references
            return loop.run(resume)
        finally:
            torch.set_num_threads(threads)


class _Loop:
    """One training: the pieces that every step needs, and where it stands."""

    references: Mapping[str, float] | None = None

    def __init__(
        self,
        model: MultimodalAutoencoder,
        data: MultimodalData,
        config: MultimodalTraining,
        folder: Path | None,
        watch: Watch | None,
        stop: threading.Event,
    ) -> None:
        self.device = chosen_device(config.device)
        self.model, self.data, self.config, self.folder = (
            model.to(self.device),
            data,
            config,
            folder,
        )
        self.watch, self.stop = watch, stop
        if config.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        views = model.joining.uses_views
        self.feed = Feed(data, config, views=views, device=self.device)
        self.critics: Critics | None = None
        critics = Critics(model, data, config).to(self.device)
        if critics.posts:
            self.critics = critics
        self.trained = nn.ModuleDict({"model": model})
        if self.critics is not None:
            self.trained["critics"] = self.critics
        self.optimiser = optimiser_for(self.trained, config, self.device)
        # draws are made on the CPU, where items are changed; models on a GPU have another
        self.generator = torch.Generator().manual_seed(config.seed + 1)
        self.at = Position()
        self.average: dict[str, Tensor] = {}
        self.size = len(data.table("train", config.seed, 0))
        self.batches = math.ceil(self.size / config.batch_size)
        self.saved = self.told = time.monotonic()
        self.warnings: list[str] = []
        self.unwarmed = replace(config, warmup_steps=0)

    def run(self, resume: bool) -> MultimodalFitted:
        """Train to the end, from the start or from the checkpoint."""
        if resume and self.folder is not None:
            self.at, self.average = checkpoint.read(
                self.folder, self.trained, self.optimiser, self.generator
            )
        else:
            self._save()
        while self.at.epoch < self.config.epochs and not self._is_late():
            self._epoch()
            self._end_epoch()
        if self.average:
            self.model.load_state_dict(self.average)
        self.model.eval()
        rows = self.at.rows
        seconds = sum(row["seconds"] for row in rows)
        speed = self.at.step * self.config.batch_size / max(seconds, 1e-9)
        return MultimodalFitted(History(rows), seconds, speed, self.at.step, tuple(self.warnings))

    def _spent(self) -> float:
        return sum(row["seconds"] for row in self.at.rows) + self.at.seconds

    def _is_late(self) -> bool:
        return bool(self.config.minutes) and self._spent() >= 60 * self.config.minutes

    def _share(self) -> float:
        """Return how far the training is, from 0 to 1, by steps or by the clock."""
        share = self.at.step / max(self.batches * self.config.epochs, 1)
        if self.config.minutes:
            share = max(share, self._spent() / (60 * self.config.minutes))
        return min(share, 1.0)

    def _epoch(self) -> None:
        """Take the steps of one epoch, from wherever it stands."""
        self.trained.train()
        table = self.data.table("train", self.config.seed, self.at.epoch)
        size = self.config.batch_size
        started = time.monotonic() - self.at.seconds
        while self.at.batch < self.batches and not self._is_late():
            self._step(table[self.at.batch * size : (self.at.batch + 1) * size])
            self.at.batch += 1
            self.at.step += 1
            self.at.seconds = time.monotonic() - started
            if self.stop.is_set():
                self._save()
                raise Stopped(self.at.epoch + 1, self.folder)
            self._tell(None)
            if time.monotonic() - self.saved > self.config.checkpoint_seconds:
                before = time.monotonic()
                self._save()
                started += time.monotonic() - before  # a checkpoint is no training step

    def _step(self, table: Numbers) -> None:
        """Take one optimiser step, and add its terms to the epoch's sums."""
        share = self._share()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(share)
        rows = self.feed.rows(table, self.generator)
        if self.config.precision == "bf16":
            with torch.autocast(self.device.type, torch.bfloat16):
                found = self.model.passed(rows, self._noise())
        else:
            found = self.model.passed(rows, self._noise())
        loss = found.terms.loss / self.model.joining.dimensions
        logs = dict(found.terms.logs)
        if self.critics is not None:
            cost, seen = self.critics.penalty(found, rows, share)
            loss, logs = loss + cost.mean(), logs | seen
        value = float(loss.detach()) * self.model.joining.dimensions
        if not math.isfinite(value):
            self._diverged(value)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.trained.parameters(), self.config.clip)
        self.optimiser.step()
        follow(self.average, self.model, self.config.average, self.at.step)
        values = {"loss": value} | named(found.terms) | {k: float(v) for k, v in logs.items()}
        add(self.at.sums, values, len(rows))

    def _noise(self) -> torch.Generator | None:
        return self.generator if self.device.type == "cpu" else None

    def _rate(self, share: float) -> float:
        """Return the learning rate; see :func:`rate_at`, with the clock as well as the steps."""
        # a short training must not spend itself on warming up
        warm_steps = min(self.config.warmup_steps, self.batches * self.config.epochs // 10)
        warm = min(1.0, (self.at.step + 1) / max(warm_steps, 1))
        return warm * rate_at(round(share * 1_000_000), 1_000_000, self.unwarmed)

    def _end_epoch(self) -> None:
        """Validate, write the epoch's row, and sound the alarm where a modality collapses."""
        done = self.at.batch * self.config.batch_size
        row: dict[str, float] = {
            "epoch": self.at.epoch + 1,
            "steps": self.at.step,
            "seconds": self.at.seconds,
            "samples_per_second": min(done, self.size) / max(self.at.seconds, 1e-9),
            "lr": self._rate(self._share()),
        }
        row |= means("train_", self.at.sums)
        row |= self._judged(self.at.epoch + 1)
        self.at.rows.append(row)
        self.at.epoch += 1
        self.at.batch, self.at.seconds, self.at.sums = 0, 0.0, {}
        self._tell(row)
        self._save()

    def _judged(self, epoch: int) -> dict[str, float]:
        """Return the validation's terms and each modality's R^2, by the averaged weights."""
        row: dict[str, float] = {}
        with averaged(self.model, self.average):
            whole = "validation" in self.data.pairs and len(self.data.pairs["validation"])
            if whole:
                sums = validated(self.model, self.feed, self.config.seed + 2)
                row |= means("validation_", sums)
            found = explained(self.model, self.data, "validation" if whole else "train")
        # nothing is to be expected of a first epoch of a few steps
        due = epoch in {1, 5} and self.at.step >= EARLIEST
        if due or epoch == self.config.epochs or self._is_late():
            for said in alarms(found, self.references, epoch):
                logger.warning(said)
                self.warnings.append(said)
        return row | {f"r2_{name}": value for name, value in found.items()}

    def _tell(self, row: dict[str, float] | None) -> None:
        now = time.monotonic()
        if self.watch is None or (row is None and now - self.told < 0.25):
            return
        self.told = now
        share, spent = self._share(), self._spent()
        left = spent / share - spent if share else 0.0
        done = self.at.step * self.config.batch_size
        epoch = self.at.epoch if row is not None else self.at.epoch + 1
        total = self.config.epochs * self.size
        speed = done / max(spent, 1e-9)
        self.watch(Progress(epoch, self.config.epochs, min(done, total), total, speed, left, row))

    def _save(self) -> None:
        if self.folder is None:
            return
        # weights that a last step spoilt never replace a good checkpoint
        if all(bool(p.isfinite().all()) for p in self.trained.parameters()):
            checkpoint.write(
                self.folder, self.at, self.trained, self.optimiser, self.generator, self.average
            )
        self.saved = time.monotonic()

    def _diverged(self, value: float) -> None:
        kept = f"; the last good state is in {self.folder}" if self.folder else ""
        raise DivergedError(
            f"the loss became {value} in epoch {self.at.epoch + 1}, step {self.at.step + 1}{kept}",
            why="the steps were too large for this model and these data",
            fix=f"lower --lr (it was {self.config.lr:g}), or add --clip 1 or --warmup-steps 500",
        )


def _check(model: MultimodalAutoencoder, data: MultimodalData) -> None:
    for name, modality in model.modalities.items():
        if name not in data.modalities:
            raise ConfigError(
                f"the model has a modality {name!r}, and the data don't",
                where=data.name,
                fix=f"the data have: {', '.join(data.names)}",
            )
        found = tuple(data[name].items.shape[1:])
        if found != modality.shape:
            raise ConfigError(
                f"items of {name!r} have the shape {found}, the model's {modality.shape}",
                fix="describe the modality by the data's adapter: modality_of(adapter)",
            )
        channel, head = model.channel(name), data[name].items[:1024]
        channel.readout.check(head)
