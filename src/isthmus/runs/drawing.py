"""The figures of a run: which ones its kind of model has, drawn from its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from isthmus import figures
from isthmus.bottlenecks.gaussian import GaussianWaist
from isthmus.bottlenecks.plain import PlainWaist
from isthmus.errors import ConfigError, IsthmusError
from isthmus.figures import Picture
from isthmus.models.autoencoder import evaluating
from isthmus.models.variational import interpolate, traverse

if TYPE_CHECKING:
    from isthmus.data import Samples
    from isthmus.runs.run import Run

__all__ = ["RunFigures"]

_MOST = 2000


class RunFigures:
    """Draws a run's figures; each method returns a :class:`~isthmus.figures.Picture`."""

    def __init__(self, run: Run) -> None:
        self.run = run

    # --- what every run has -----------------------------------------------------------------

    def loss_curves(self) -> Picture:
        """Draw every term of the loss over the epochs, training and validation."""
        best = int(self.run.history["epoch"][-1]) if self.run.training.patience == 0 else None
        return figures.loss_curves(self.run.history.as_columns(), best=best)

    def reconstructions(self, n: int = 10) -> Picture:
        """Draw ``n`` test samples over their reconstructions over the residuals."""
        part = self._held_out.take(n, self.run.training.seed)
        raw = part.all().numpy()
        labels = part.label_array()
        return figures.reconstructions(
            raw, self.run.model.reconstruct(raw), labels, value_range=self._range
        )

    def latent_map(self, perplexity: float = 30.0) -> Picture:
        """Draw the codes of up to 2,000 test samples by PCA and t-SNE, side by side."""
        codes, labels = self._codes
        names = self.run.dataset.label_names
        return figures.latent_maps(
            codes, labels, self.run.training.seed, perplexity, label_names=names
        )

    def codes(self) -> Picture:
        """Draw a histogram of code values, a heat map of codes, and the firing rates."""
        threshold = self.run.model.waist.threshold
        return figures.sparsity_panel(self._codes[0], active_above=threshold)

    # --- what some have ---------------------------------------------------------------------

    def dictionary_columns(self) -> Picture:
        """Draw a linear decoder's columns as images.

        Raises
        ------
        ConfigError
            If the decoder isn't one linear layer over images.
        """
        model = self.run.model
        layers = [m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear)]
        if len(layers) != 1 or len(model.shape) != 3:
            raise ConfigError("only a linear decoder of images has columns to draw")
        columns = layers[0].weight.detach().cpu().numpy().T
        rates = figures.firing(self._codes[0], model.waist.threshold).mean(axis=0)
        return figures.dictionary_columns(columns, model.shape, rates)

    def prior_samples(self, n: int = 40) -> Picture:
        """Draw samples decoded from the prior."""
        images = self.run.model.sample(n, self.run.training.seed)
        return figures.prior_samples(self._as_images(images), value_range=self._range)

    def interpolations(self, rows: int = 5, steps: int = 10) -> Picture:
        """Draw decoded straight lines between the codes of pairs of test samples."""
        codes, _ = self._codes
        start, end = torch.from_numpy(codes[:rows]), torch.from_numpy(codes[rows : 2 * rows])
        path = interpolate(start, end, steps).transpose(0, 1)
        images = self.run.model.decode(path.reshape(-1, codes.shape[1]).numpy())
        grid = self._as_images(images)
        return figures.interpolations(
            grid.reshape(len(start), steps, *grid.shape[1:]), value_range=self._range
        )

    def traversals(self, most: int = 8, steps: int = 9) -> Picture:
        """Draw one test sample with its busiest latents, one at a time, set to other values."""
        codes, _ = self._codes
        spread = codes.std(0)
        latents = [int(j) for j in np.argsort(spread)[::-1][: min(most, codes.shape[1])]]
        values = torch.linspace(-3, 3, steps)
        grid = traverse(torch.from_numpy(codes[0]), latents, values)
        images = self._as_images(self.run.model.decode(grid.flatten(0, 1).numpy()))
        return figures.traversals(
            images.reshape(len(latents), steps, *images.shape[1:]),
            latents,
            values.numpy(),
            value_range=self._range,
        )

    def kl_per_latent(self) -> Picture:
        """Draw the KL divergence of each latent, and how many are active.

        Raises
        ------
        ConfigError
            If the run has no such numbers.
        """
        waist = self.run.model.waist
        if not isinstance(waist, GaussianWaist):
            raise ConfigError("only a variational model has a KL divergence for each latent")
        samples = self._held_out.take(_MOST, self.run.training.seed)
        with evaluating(self.run.model), torch.no_grad():
            x = self.run.model.preprocessing(samples.all().to(self.run.model.device))
            mean, log_variance = waist.posterior(self.run.model.encoder(x).float())
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(0)
        active = mean.var(0, unbiased=False) > 0.01
        return figures.kl_per_latent(kl.cpu().numpy(), active.cpu().numpy())

    # --- all of them ------------------------------------------------------------------------

    def all(self) -> Iterator[tuple[str, Picture]]:
        """Draw every figure that this kind of model has, with its name."""
        for draw in self._suitable():
            yield draw.__name__, draw()

    def _suitable(self) -> list[Callable[[], Picture]]:
        chosen: list[Callable[[], Picture]] = [self.loss_curves] if len(self.run.history) else []
        chosen += [self.reconstructions, self.latent_map, self.codes]
        model = self.run.model
        linear = [m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear)]
        images = len(model.shape) == 3
        if len(linear) == 1 and images and not isinstance(model.waist, GaussianWaist):
            chosen.append(self.dictionary_columns)
        if isinstance(model.waist, GaussianWaist):
            chosen.append(self.kl_per_latent)
            chosen += [self.prior_samples, self.interpolations, self.traversals] if images else []
        elif isinstance(model.waist, PlainWaist) and images:
            chosen.append(self.interpolations)
        return chosen

    def save(self, folder: Path) -> list[Path]:
        """Write every figure as PNG with its numbers as CSV; return the PNGs.

        One that can't be drawn from these data (too few samples, say) is left out.
        """
        written = []
        for draw in self._suitable():
            try:
                picture = draw()
            except IsthmusError:
                continue
            written.append(picture.save(folder, draw.__name__)[0])
        return written

    # --- numbers ----------------------------------------------------------------------------

    @property
    def _held_out(self) -> Samples:
        splits = self.run.dataset.splits
        return splits.get("test") or splits.get("validation") or splits["train"]

    @cached_property
    def _codes(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Codes and labels of up to 2,000 held-out samples."""
        samples = self._held_out.take(_MOST, self.run.training.seed)
        return self.run.model.encode(samples.all().numpy()), samples.label_array()

    @property
    def _range(self) -> tuple[float, float] | None:
        return self.run.dataset.range

    def _as_images(self, samples: np.ndarray) -> np.ndarray:
        if len(self.run.model.shape) != 3:
            raise ConfigError("these samples are no images")
        return samples
