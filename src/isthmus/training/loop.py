"""The loop: from a model and a data set to a trained model and its history."""

from __future__ import annotations

import contextlib
import math
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from isthmus.data.dataset import Dataset
from isthmus.errors import ConfigError, DataError
from isthmus.models.autoencoder import Autoencoder, Terms, evaluating
from isthmus.training.batches import Batches, order_of
from isthmus.training.config import Training
from isthmus.training.device import chosen_device
from isthmus.training.history import History
from isthmus.training.progress import Progress, Watch
from isthmus.training.schedule import rate_at
from isthmus.training.stepping import Stepping, session
from isthmus.training.stopping import Stopped
from isthmus.training.sums import add, means, named

__all__ = ["Fitted", "Stopped", "fit"]


@dataclass(frozen=True)
class Fitted:
    """What a training leaves behind, beside the trained model itself."""

    history: History
    """A row an epoch."""
    seconds: float
    """Time spent in training steps, in all epochs."""
    samples_per_second: float
    """Speed of the training steps alone."""
    best_epoch: int
    """The epoch whose weights were kept."""


def fit(
    model: Autoencoder,
    dataset: Dataset,
    config: Training | None = None,
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
) -> Fitted:
    """Train ``model`` in place on the data set's training split.

    The model's preprocessing must have been set. The same seed, machine and number of threads
    give the same weights, bit for bit, whether or not the training was interrupted.

    Parameters
    ----------
    checkpoints
        Folder of the checkpoint; None for none.
    resume
        Go on from the checkpoint in that folder.
    watch
        Is told of the progress.

    Raises
    ------
    DivergedError
        If the loss becomes infinite or not a number.
    Stopped
        On Ctrl-C, after the checkpoint was written.
    """
    config = config or Training()
    _check(model, dataset)
    with session(config) as stop:
        return _Loop(model, dataset, config, checkpoints, watch, stop).run(resume)


class _Loop:
    """One training: the pieces that every step needs."""

    def __init__(
        self,
        model: Autoencoder,
        dataset: Dataset,
        config: Training,
        folder: Path | None,
        watch: Watch | None,
        stop: threading.Event,
    ) -> None:
        self.device = chosen_device(config.device)
        self.model, self.config, self.watch = model.to(self.device), config, watch
        if config.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.train = self._batches(dataset, "train")
        self.validation = (
            self._batches(dataset, "validation") if "validation" in dataset.splits else None
        )
        self.generator = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.pace = Stepping(model, config, self.device, self.generator, folder, stop)
        self.batches = math.ceil(len(self.train) / config.batch_size)

    def _batches(self, dataset: Dataset, split: str) -> Batches:
        return Batches(
            dataset[split],
            self.model.preprocessing,
            self.device,
            dynamic=self.config.binarise == "dynamic",
            channels_last=self.config.channels_last,
        )

    def run(self, resume: bool) -> Fitted:
        """Train to the end, from the start or from the checkpoint."""
        pace, size = self.pace, self.config.batch_size
        pace.begin(resume)
        while pace.at.epoch < self.config.epochs and not self._is_stale():
            order = order_of(len(self.train), self.config.seed, pace.at.epoch)
            parts = [order[start : start + size] for start in range(0, len(order), size)]
            pace.epoch(parts, self._step, self._tell)
            self._end_epoch()
        if self.config.patience and pace.kept:
            self.model.load_state_dict(pace.kept)
        pace.save()
        self.model.eval()
        rows = pace.at.rows
        seconds = pace.spent()
        done = len(self.train) * len(rows)
        best = pace.at.best_epoch if self.config.patience and pace.kept else len(rows)
        return Fitted(History(rows), seconds, done / max(seconds, 1e-9), best)

    def _is_stale(self) -> bool:
        patience, at = self.config.patience, self.pace.at
        return bool(patience) and at.epoch - at.best_epoch >= patience

    def _step(self, index: Tensor) -> None:
        """Take one optimiser step, and add its terms to the epoch's sums."""
        x = self.train.at(index, self.generator)
        with self._arithmetic():
            terms = self.model.terms(x, self.generator)
            loss = terms.loss
        value = float(loss.detach())
        self.pace.descend(loss, value, self._rate(self.pace.at.step))
        add(self.pace.at.sums, _told(terms, value), len(x))

    def _rate(self, step: int) -> float:
        return rate_at(step, self.batches * self.config.epochs, self.config)

    def _arithmetic(self) -> contextlib.AbstractContextManager[object]:
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _end_epoch(self) -> None:
        """Validate, write the epoch's row, and remember the best weights."""
        at = self.pace.at
        row: dict[str, float] = {
            "epoch": at.epoch + 1,
            "steps": at.step,
            "seconds": at.seconds,
            "samples_per_second": len(self.train) / max(at.seconds, 1e-9),
            "lr": self._rate(at.step - 1),
        }
        row |= means("train_", at.sums)
        if self.validation is not None and len(self.validation):
            row |= means("validation_", self._validate(self.validation))
            # a weight that a controller moves makes penalties of two epochs incomparable
            moving = row["validation_penalty"] if self.model.waist.controlled else 0.0
            loss = row["validation_loss"] - moving
            if loss < at.best_loss:
                at.best_loss, at.best_epoch = loss, at.epoch + 1
                if self.config.patience:
                    self.pace.kept = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.pace.end_epoch(row)
        self._tell(row)

    @torch.no_grad()
    def _validate(self, batches: Batches) -> dict[str, float]:
        """Return the sums over the validation split, with the same noise in every epoch."""
        generator = torch.Generator(self.device).manual_seed(self.config.seed + 2)
        sums: dict[str, float] = {}
        with evaluating(self.model), self._arithmetic():
            for index in torch.arange(len(batches)).split(1024):  # type: ignore[no-untyped-call]
                terms = self.model.terms(batches.at(index, generator), generator)
                add(sums, _told(terms, float(terms.loss)), len(index))
        return sums

    def _tell(self, row: dict[str, float] | None = None) -> None:
        if self.watch is None or not self.pace.is_due(row):
            return
        at, size = self.pace.at, len(self.train)
        done = at.epoch * size + min(at.batch * self.config.batch_size, size)
        total = self.config.epochs * size
        speed = done / max(self.pace.spent(), 1e-9)
        epoch = at.epoch if row is not None else at.epoch + 1
        left = (total - done) / max(speed, 1e-9)
        self.watch(Progress(epoch, self.config.epochs, done, total, speed, left, row))


def _told(terms: Terms, loss: float) -> dict[str, float]:
    """Return what an epoch's row is made of."""
    logs = {name: float(value) for name, value in terms.logs.items()}
    return {"loss": loss} | named(terms) | logs


def _check(model: Autoencoder, dataset: Dataset) -> None:
    if dataset.shape != model.shape:
        raise ConfigError(
            f"the data's samples have the shape {dataset.shape}, the model's {model.shape}",
            fix="build the model with Autoencoder(data.shape, ...), or give resize when loading",
        )
    if len(dataset["train"]) < 2:
        raise DataError("training needs at least two samples", where=dataset.source)
    head = torch.arange(min(1024, len(dataset["train"])))
    model.readout.check(model.preprocessing(dataset["train"].batch(head).to(model.device)))
