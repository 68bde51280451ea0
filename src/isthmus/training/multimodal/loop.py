"""The loop: from a multimodal model and data to a trained model and its history."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from isthmus.data.multimodal import MultimodalData
from isthmus.data.multimodal.dataset import Numbers
from isthmus.errors import ConfigError
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.training.device import chosen_device
from isthmus.training.history import History
from isthmus.training.multimodal.averaging import averaged, follow
from isthmus.training.multimodal.config import MultimodalTraining
from isthmus.training.multimodal.critics import Critics
from isthmus.training.multimodal.feeding import Feed
from isthmus.training.multimodal.fit_quality import alarms, explained
from isthmus.training.multimodal.validation import validated
from isthmus.training.progress import Progress, Watch
from isthmus.training.schedule import rate_at
from isthmus.training.stepping import Stepping, session
from isthmus.training.sums import add, means, named

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
    with session(config) as stop:
        loop = _Loop(model, data, config, checkpoints, watch, stop)
        loop.references = references
        return loop.run(resume)


class _Loop:
    """One training: the pieces that every step needs."""

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
        self.model, self.data, self.config = model.to(self.device), data, config
        self.watch = watch
        if config.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        views = model.joining.uses_views
        self.feed = Feed(data, config, views=views, device=self.device)
        self.critics: Critics | None = None
        critics = Critics(model, data, config).to(self.device)
        if critics.posts:
            self.critics = critics
        trained = nn.ModuleDict({"model": model})
        if self.critics is not None:
            trained["critics"] = self.critics
        # draws are made on the CPU, where items are changed; models on a GPU have another
        self.generator = torch.Generator().manual_seed(config.seed + 1)
        self.pace = Stepping(
            trained, config, self.device, self.generator, folder, stop, config.minutes
        )
        self.size = len(data.table("train", config.seed, 0))
        self.batches = math.ceil(self.size / config.batch_size)
        self.unwarmed = replace(config, warmup_steps=0)

    def run(self, resume: bool) -> MultimodalFitted:
        """Train to the end, from the start or from the checkpoint."""
        pace, size = self.pace, self.config.batch_size
        pace.begin(resume)
        while pace.at.epoch < self.config.epochs and not pace.is_late():
            table = self.data.table("train", self.config.seed, pace.at.epoch)
            parts = [table[start : start + size] for start in range(0, len(table), size)]
            pace.epoch(parts, self._step, self._tell)
            self._end_epoch()
        if pace.kept:
            self.model.load_state_dict(pace.kept)
        self.model.eval()
        rows, seconds = pace.at.rows, pace.spent()
        speed = pace.at.step * size / max(seconds, 1e-9)
        said = tuple(said for row in rows for said in self._alarms(row))
        return MultimodalFitted(History(rows), seconds, speed, pace.at.step, said)

    def _share(self) -> float:
        """Return how far the training is, from 0 to 1, by steps or by the clock."""
        share = self.pace.at.step / max(self.batches * self.config.epochs, 1)
        if self.config.minutes:
            share = max(share, self.pace.spent() / (60 * self.config.minutes))
        return min(share, 1.0)

    def _step(self, table: Numbers) -> None:
        """Take one optimiser step, and add its terms to the epoch's sums."""
        share = self._share()
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
        self.pace.descend(loss, value, self._rate(share))
        at = self.pace.at
        follow(self.pace.kept, self.model, self.config.average, at.step)
        values = {"loss": value} | named(found.terms) | {k: float(v) for k, v in logs.items()}
        add(at.sums, values, len(rows))

    def _noise(self) -> torch.Generator | None:
        return self.generator if self.device.type == "cpu" else None

    def _rate(self, share: float) -> float:
        """Return the learning rate; see :func:`rate_at`, with the clock as well as the steps."""
        # a short training must not spend itself on warming up
        warm_steps = min(self.config.warmup_steps, self.batches * self.config.epochs // 10)
        warm = min(1.0, (self.pace.at.step + 1) / max(warm_steps, 1))
        return warm * rate_at(round(share * 1_000_000), 1_000_000, self.unwarmed)

    def _end_epoch(self) -> None:
        """Validate, write the epoch's row, and sound the alarm where a modality collapses."""
        at = self.pace.at
        done = at.batch * self.config.batch_size
        row: dict[str, float] = {
            "epoch": at.epoch + 1,
            "steps": at.step,
            "seconds": at.seconds,
            "samples_per_second": min(done, self.size) / max(at.seconds, 1e-9),
            "lr": self._rate(self._share()),
        }
        row |= means("train_", at.sums)
        row |= self._measured()
        self.pace.end_epoch(row)
        for said in self._alarms(row):
            logger.warning(said)
        self._tell(row)
        self.pace.save()

    def _measured(self) -> dict[str, float]:
        """Return the validation's terms and each modality's R^2, by the averaged weights."""
        row: dict[str, float] = {}
        with averaged(self.model, self.pace.kept):
            whole = "validation" in self.data.pairs and len(self.data.pairs["validation"])
            if whole:
                sums = validated(self.model, self.feed, self.config.seed + 2)
                row |= means("validation_", sums)
            found = explained(self.model, self.data, "validation" if whole else "train")
        return row | {f"r2_{name}": value for name, value in found.items()}

    def _alarms(self, row: Mapping[str, float]) -> Sequence[str]:
        """Return what the collapse alarm says of an epoch, by its row."""
        epoch, at = int(row["epoch"]), self.pace.at
        # nothing is to be expected of a first epoch of a few steps
        due = epoch in {1, 5} and row["steps"] >= EARLIEST
        last = epoch == self.config.epochs or (self.pace.is_late() and epoch == at.epoch)
        found = {n: row[f"r2_{n}"] for n in self.model.names if f"r2_{n}" in row}
        return alarms(found, self.references, epoch) if due or last else ()

    def _tell(self, row: dict[str, float] | None = None) -> None:
        if self.watch is None or not self.pace.is_due(row):
            return
        at, share, spent = self.pace.at, self._share(), self.pace.spent()
        left = spent / share - spent if share else 0.0
        done = at.step * self.config.batch_size
        epoch = at.epoch if row is not None else at.epoch + 1
        total = self.config.epochs * self.size
        speed = done / max(spent, 1e-9)
        self.watch(Progress(epoch, self.config.epochs, min(done, total), total, speed, left, row))


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
