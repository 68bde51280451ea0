"""What every training by autograd does: steps on a clock, checkpoints, Ctrl-C, divergence."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from isthmus.errors import DivergedError
from isthmus.training import checkpoint
from isthmus.training.checkpoint import Position
from isthmus.training.config import Training
from isthmus.training.optimiser import optimiser_for
from isthmus.training.stopping import Stopped, stop_flag

__all__ = ["Stepping", "session"]

B = TypeVar("B")
_TOLD = 0.25
"""Seconds between two words on the progress."""


@contextlib.contextmanager
def session(config: Training) -> Iterator[threading.Event]:
    """Seed, hold threads and the random state for one training; yield what Ctrl-C sets."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), stop_flag() as stop:
        if config.threads:
            torch.set_num_threads(config.threads)
        try:
            torch.manual_seed(config.seed)
            yield stop
        finally:
            torch.set_num_threads(threads)


class Stepping:
    """Where a training stands, and how it goes on, whatever is trained.

    Parameters
    ----------
    trained
        Everything that has parameters, on its device.
    config
        The settings.
    device, generator
        Where it is trained, and what its noise is drawn from.
    folder
        Folder of the checkpoint; None for none.
    stop
        Set once the training is to end.
    minutes
        Time for all steps; 0: no limit.
    """

    def __init__(
        self,
        trained: nn.Module,
        config: Training,
        device: torch.device,
        generator: torch.Generator,
        folder: Path | None,
        stop: threading.Event,
        minutes: float = 0.0,
    ) -> None:
        self.trained, self.config, self.generator = trained, config, generator
        self.folder, self.stop, self.minutes = folder, stop, minutes
        self.optimiser = optimiser_for(trained, config, device)
        self.at = Position()
        self.kept: dict[str, Tensor] = {}
        """Weights beside the trained ones: the best so far, or an average."""
        self.saved = self.told = time.monotonic()

    def begin(self, resume: bool) -> None:
        """Read the checkpoint, or write the first one."""
        if resume and self.folder is not None:
            self.at, self.kept = checkpoint.read(
                self.folder, self.trained, self.optimiser, self.generator
            )
        else:
            self.save()

    def epoch(
        self, batches: Sequence[B], take: Callable[[B], None], tell: Callable[[], None]
    ) -> None:
        """Take the steps of one epoch, from wherever it stands.

        Parameters
        ----------
        batches
            What each step is taken on.
        take
            Takes one, with :meth:`descend`.
        tell
            Tells of the progress.

        Raises
        ------
        Stopped
            On Ctrl-C, after the checkpoint was written.
        """
        self.trained.train()
        started = time.monotonic() - self.at.seconds
        while self.at.batch < len(batches) and not self.is_late():
            take(batches[self.at.batch])
            self.at.batch += 1
            self.at.step += 1
            self.at.seconds = time.monotonic() - started
            if self.stop.is_set():
                self.save()
                raise Stopped(self.at.epoch + 1, self.folder)
            tell()
            if time.monotonic() - self.saved > self.config.checkpoint_seconds:
                before = time.monotonic()
                self.save()
                started += time.monotonic() - before  # a checkpoint is no training step

    def is_late(self) -> bool:
        """Say whether the time that was given is spent."""
        return bool(self.minutes) and self.spent() >= 60 * self.minutes

    def spent(self) -> float:
        """Return the seconds of all steps so far."""
        return sum(row["seconds"] for row in self.at.rows) + self.at.seconds

    def descend(self, loss: Tensor, value: float, lr: float) -> None:
        """Take one optimiser step.

        Raises
        ------
        DivergedError
            If the loss, whose value to tell is ``value``, is infinite or not a number.
        """
        if not math.isfinite(value):
            raise self._diverged(value)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.trained.parameters(), self.config.clip)
        self.optimiser.step()

    def end_epoch(self, row: dict[str, float]) -> None:
        """Keep the epoch's row, and stand at the start of the next."""
        self.at.rows.append(row)
        self.at.epoch += 1
        self.at.batch, self.at.seconds, self.at.sums = 0, 0.0, {}

    def is_due(self, row: dict[str, float] | None) -> bool:
        """Say whether there is something to tell: a row always, else now and then."""
        now = time.monotonic()
        if row is None and now - self.told < _TOLD:
            return False
        self.told = now
        return True

    def save(self) -> None:
        """Write the checkpoint, if there is a folder for it."""
        if self.folder is None:
            return
        # weights that a last step spoilt never replace a good checkpoint
        if all(bool(p.isfinite().all()) for p in self.trained.parameters()):
            checkpoint.write(
                self.folder, self.at, self.trained, self.optimiser, self.generator, self.kept
            )
        self.saved = time.monotonic()

    def _diverged(self, value: float) -> DivergedError:
        kept = f"; the last good state is in {self.folder}" if self.folder else ""
        return DivergedError(
            f"the loss became {value} in epoch {self.at.epoch + 1}, step {self.at.step + 1}{kept}",
            why="the steps were too large for this model and these data",
            fix=f"lower --lr (it was {self.config.lr:g}), add --clip 1 or --warmup-steps 500, or "
            "check the data's scale with `isthmus data describe`",
        )
