"""The loop: from a model and a data set to a trained model and its history."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from isthmus.data.dataset import Dataset
from isthmus.errors import ConfigError, DataError, DivergedError
from isthmus.models.autoencoder import Autoencoder, Terms, evaluating
from isthmus.training import checkpoint
from isthmus.training.batches import Batches, order_of
from isthmus.training.checkpoint import Position
from isthmus.training.config import Training
from isthmus.training.device import chosen_device
from isthmus.training.history import History
from isthmus.training.progress import Progress, Watch
from isthmus.training.schedule import rate_at
from isthmus.training.stopping import Stopped, stop_flag

__all__ = ["Fitted", "Stopped", "fit", "optimiser_for"]


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
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), stop_flag() as stop:
        if config.threads:
            torch.set_num_threads(config.threads)
        try:
            torch.manual_seed(config.seed)
            return _Loop(model, dataset, config, checkpoints, watch, stop).run(resume)
        finally:
            torch.set_num_threads(threads)


class _Loop:
    """One training: the pieces that every step needs, and where it stands."""

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
        self.model, self.config, self.folder = model.to(self.device), config, folder
        self.watch, self.stop = watch, stop
        if config.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.train = self._batches(dataset, "train")
        self.validation = (
            self._batches(dataset, "validation") if "validation" in dataset.splits else None
        )
        self.optimiser = optimiser_for(model, config, self.device)
        self.generator = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.at = Position()
        self.best: dict[str, Tensor] = {}
        self.batches = math.ceil(len(self.train) / config.batch_size)
        self.saved = self.told = time.monotonic()

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
        if resume and self.folder is not None:
            self.at, self.best = checkpoint.read(
                self.folder, self.model, self.optimiser, self.generator
            )
        else:
            self._save()
        while self.at.epoch < self.config.epochs and not self._is_stale():
            self._epoch()
            self._end_epoch()
        if self.config.patience and self.best:
            self.model.load_state_dict(self.best)
        self._save()
        self.model.eval()
        rows = self.at.rows
        seconds = sum(row["seconds"] for row in rows)
        done = len(self.train) * len(rows)
        best = self.at.best_epoch if self.config.patience and self.best else len(rows)
        return Fitted(History(rows), seconds, done / max(seconds, 1e-9), best)

    def _is_stale(self) -> bool:
        patience = self.config.patience
        return bool(patience) and self.at.epoch - self.at.best_epoch >= patience

    def _epoch(self) -> None:
        """Take the steps of one epoch, from wherever it stands."""
        self.model.train()
        order = order_of(len(self.train), self.config.seed, self.at.epoch)
        size = self.config.batch_size
        started = time.monotonic() - self.at.seconds
        while self.at.batch < self.batches:
            index = order[self.at.batch * size : (self.at.batch + 1) * size]
            self._step(self.train.at(index, self.generator))
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

    def _step(self, x: Tensor) -> None:
        """Take one optimiser step, and add its terms to the epoch's sums."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(self.at.step)
        with self._arithmetic():
            terms = self.model.terms(x, self.generator)
            loss = terms.loss
        value = float(loss.detach())
        if not math.isfinite(value):
            self._diverged(value)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimiser.step()
        _add(self.at.sums, terms, value, len(x))

    def _rate(self, step: int) -> float:
        return rate_at(step, self.batches * self.config.epochs, self.config)

    def _arithmetic(self) -> contextlib.AbstractContextManager[object]:
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _end_epoch(self) -> None:
        """Validate, write the epoch's row, and remember the best weights."""
        row: dict[str, float] = {
            "epoch": self.at.epoch + 1,
            "steps": self.at.step,
            "seconds": self.at.seconds,
            "samples_per_second": len(self.train) / max(self.at.seconds, 1e-9),
            "lr": self._rate(self.at.step - 1),
        }
        row |= _means("train_", self.at.sums)
        if self.validation is not None and len(self.validation):
            row |= _means("validation_", self._validate(self.validation))
            # a weight that a controller moves makes penalties of two epochs incomparable
            moving = row["validation_penalty"] if self.model.waist.controlled else 0.0
            loss = row["validation_loss"] - moving
            if loss < self.at.best_loss:
                self.at.best_loss, self.at.best_epoch = loss, self.at.epoch + 1
                if self.config.patience:
                    self.best = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.at.rows.append(row)
        self.at.epoch += 1
        self.at.batch, self.at.seconds, self.at.sums = 0, 0.0, {}
        self._tell(row)

    @torch.no_grad()
    def _validate(self, batches: Batches) -> dict[str, float]:
        """Return the sums over the validation split, with the same noise in every epoch."""
        generator = torch.Generator(self.device).manual_seed(self.config.seed + 2)
        sums: dict[str, float] = {}
        with evaluating(self.model), self._arithmetic():
            for index in torch.arange(len(batches)).split(1024):  # type: ignore[no-untyped-call]
                terms = self.model.terms(batches.at(index, generator), generator)
                _add(sums, terms, float(terms.loss), len(index))
        return sums

    def _tell(self, row: dict[str, float] | None) -> None:
        now = time.monotonic()
        if self.watch is None or (row is None and now - self.told < 0.25):
            return
        self.told = now
        size = len(self.train)
        done = self.at.epoch * size + min(self.at.batch * self.config.batch_size, size)
        spent = sum(r["seconds"] for r in self.at.rows) + self.at.seconds
        total = self.config.epochs * size
        speed = done / max(spent, 1e-9)
        epoch = self.at.epoch if row is not None else self.at.epoch + 1
        left = (total - done) / max(speed, 1e-9)
        self.watch(Progress(epoch, self.config.epochs, done, total, speed, left, row))

    def _save(self) -> None:
        if self.folder is None:
            return
        # weights that a last step spoilt never replace a good checkpoint
        if all(bool(p.isfinite().all()) for p in self.model.parameters()):
            checkpoint.write(
                self.folder, self.at, self.model, self.optimiser, self.generator, self.best
            )
        self.saved = time.monotonic()

    def _diverged(self, value: float) -> None:
        kept = f"; the last good state is in {self.folder}" if self.folder else ""
        raise DivergedError(
            f"the loss became {value} in epoch {self.at.epoch + 1}, step {self.at.step + 1}{kept}",
            why="the steps were too large for this model and these data",
            fix=f"lower --lr (it was {self.config.lr:g}), add --clip 1 or --warmup-steps 500, or "
            "check the data's scale with `isthmus data describe`",
        )


def optimiser_for(
    model: torch.nn.Module, config: Training, device: torch.device
) -> torch.optim.Optimizer:
    """Return fused Adam(W); weight decay falls on matrices only, decoupled from the gradient."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    # a likelihood's own variance is no weight, whatever its shape
    decays = {name: p.ndim >= 2 and not name.startswith("readout.") for name, p in trained}
    matrices = [p for name, p in trained if decays[name]]
    others = [p for name, p in trained if not decays[name]]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=device.type in {"cpu", "cuda"},
    )


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


def _add(sums: dict[str, float], terms: Terms, loss: float, count: int) -> None:
    """Add a batch's terms, each weighted by its number of samples."""
    values = {
        "count": 1.0,
        "loss": loss,
        "distortion": float(terms.distortion.detach().mean()),
        "rate": float(terms.rate.detach().mean()),
        "penalty": float(terms.penalty.detach().mean()),
    }
    values |= {name: float(value) for name, value in terms.logs.items()}
    for name, value in values.items():
        sums[name] = sums.get(name, 0.0) + count * value


def _means(prefix: str, sums: dict[str, float]) -> dict[str, float]:
    return {prefix + k: v / sums["count"] for k, v in sums.items() if k != "count"}
