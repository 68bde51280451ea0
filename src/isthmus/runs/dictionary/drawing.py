"""The figures of a dictionary's run, drawn from its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isthmus import figures
from isthmus.errors import DataError, IsthmusError
from isthmus.figures import Picture
from isthmus.metrics import decoder_coherence

if TYPE_CHECKING:
    from isthmus.runs.dictionary.run import DictionaryRun

__all__ = ["DictionaryFigures"]

_RANDOM_MOST = 8192  # latents up to which random directions are drawn beside the decoder's
_TERMS = ("loss", "FVU", "penalty", "revival")


class DictionaryFigures:
    """Draws a run's figures; each method returns a :class:`~isthmus.figures.Picture`."""

    def __init__(self, run: DictionaryRun) -> None:
        self.run = run

    def loss_curves(self) -> Picture:
        """Draw the loss, its parts and the FVU over the epochs, training and validation."""
        columns = {
            name.replace("fvu", "FVU"): values
            for name, values in self.run.history.as_columns().items()
        }
        if columns.get("train_loss") != columns.get("train_FVU"):
            columns.pop("validation_loss", None)  # that is the FVU alone
        best = self.run.trained.best_epoch or None
        return figures.loss_curves(columns, terms=_TERMS, best=best)

    def firing_rates(self, dense: float = 0.25) -> Picture:
        """Draw how often latents fire on the test split: a histogram, and all of them by rank.

        Raises
        ------
        DataError
            If the run was not measured.
        """
        metrics = self.run.metrics
        found = next((metrics[s] for s in ("test", "validation", "train") if s in metrics), None)
        if found is None or found.firing_rate is None:
            raise DataError("there are no firing rates to draw", fix="measure the run first")
        return figures.firing_profile(np.array(found.firing_rate), dense=dense)

    def decoder_neighbours(self) -> Picture:
        """Draw the cosine of each direction to its nearest other one, random ones beside."""
        decoder = self.run.model.decoder.detach().cpu().numpy()
        chance = None
        if len(decoder) <= _RANDOM_MOST:
            draws = np.random.default_rng(0).standard_normal(decoder.shape, dtype=np.float32)
            chance = decoder_coherence(draws).nearest
        return figures.decoder_cosines(decoder_coherence(decoder).nearest, random=chance)

    def dead_latents(self) -> Picture:
        """Draw the share of dead latents over the epochs."""
        dead = np.array(self.run.history["dead"]) / self.run.model.latent
        columns = {"epoch": self.run.history["epoch"], "dead_fraction": dead.tolist()}
        return figures.dead_latents(columns)

    def all(self) -> Iterator[tuple[str, Picture]]:
        """Draw every figure, with its name."""
        for draw in self._suitable():
            yield draw.__name__, draw()

    def _suitable(self) -> list[Callable[[], Picture]]:
        chosen = [self.loss_curves, self.dead_latents] if len(self.run.history) else []
        return [*chosen, self.firing_rates, self.decoder_neighbours]

    def save(self, folder: Path) -> list[Path]:
        """Write every figure as PNG with its numbers as CSV; return the PNGs.

        One that can't be drawn (a decoder of one direction, say) is left out.
        """
        written = []
        for draw in self._suitable():
            try:
                picture = draw()
            except IsthmusError:
                continue
            written.append(picture.save(folder, draw.__name__)[0])
        return written
