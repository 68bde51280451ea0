"""The dictionary of an index: trained on the passages' own vectors."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.bottlenecks import TopK
from isthmus.data.streams import VectorStream, open_vectors
from isthmus.errors import ConfigError, DataError
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import DictionaryTraining, fit_dictionary
from isthmus.training.progress import Progress

__all__ = ["DictionarySettings", "TrainedDictionary", "train_dictionary"]

Floats = NDArray[np.float32]
_FEW = 24
"""Passages up to which each of them is a concept by itself."""
_SAMPLES = 300_000
_LEAST, _MOST = 256, 4096


@dataclass(frozen=True)
class DictionarySettings:
    """What kind of dictionary an index gets; zeros follow from the number of passages."""

    latents: int = 0
    """Concepts; 0: one for every 8 passages, at most 4,096 and, for few passages, at least 256 or
    one each. More of them found no more on judged collections, and fewer could be named."""
    k: int = 0
    """Active concepts of a passage; 0: a sixteenth of all, at least 16 (of fewer than 96, a
    sixth) and at most 64. More of them search no better, and say less each."""
    epochs: int = 0
    """Passes over the passages; 0: 20, and more for small corpora: some 300,000 samples in all,
    at most 100 passes."""
    seed: int = 0
    """Seed of the training."""

    def __post_init__(self) -> None:
        for name in ("latents", "k", "epochs", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} can't be negative, as {getattr(self, name)} is")
        if self.latents and self.latents < 2 * self.k:
            raise ConfigError(
                f"{self.latents} concepts are too few for {self.k} active ones",
                fix=f"at least {2 * self.k}, or a smaller k",
            )

    def sized(self, passages: int) -> DictionarySettings:
        """Fill in what follows from the number of passages.

        Examples
        --------
        >>> DictionarySettings().sized(5_000)
        DictionarySettings(latents=640, k=40, epochs=60, seed=0)
        """
        rule = max(round(passages / 8 / 32) * 32, min(_LEAST, passages))
        latents = self.latents or max(min(_MOST, rule), 4 * self.k)
        epochs = self.epochs or min(100, max(20, math.ceil(_SAMPLES / max(passages, 1))))
        k = self.k or min(64, max(1, min(16, latents // 6), latents // 16))
        return dataclasses.replace(self, latents=latents, k=k, epochs=epochs)


@dataclass(frozen=True, eq=False)
class TrainedDictionary:
    """A dictionary, and how it came about."""

    model: SparseDictionary
    """The dictionary."""
    how: dict[str, Any]
    """Settings and results, as JSON values."""


def train_dictionary(
    vectors: Floats,
    settings: DictionarySettings,
    *,
    start: SparseDictionary | None = None,
    also: Floats | None = None,
    threads: int = 0,
    watch: Callable[[Progress], None] | None = None,
) -> TrainedDictionary:
    """Train a dictionary on passages.

    Parameters
    ----------
    vectors
        Their vectors (P, D).
    settings
        Size, sparsity, passes.
    start
        A dictionary to go on from: the new one has its size and most of its concepts.
    also
        Further vectors (Q, D) to learn from, which are not searched.
    threads
        Threads; 0: as many as torch uses.
    watch
        Is told of the progress.

    Raises
    ------
    ConfigError
        If ``start`` or ``also`` is of another width.
    DataError
        If a vector is not finite.
    """
    if also is not None and (also.ndim != 2 or also.shape[1] != vectors.shape[1]):
        raise ConfigError(
            f"further vectors to learn from must be rows of {vectors.shape[1]} numbers",
            why=f"these are of shape {also.shape}",
        )
    if also is not None and not np.isfinite(also).all():
        raise DataError("a further vector to learn from is not finite")
    rows = vectors if also is None else np.concatenate([vectors, also.astype(np.float32)])
    if start is not None and start.dim != rows.shape[1]:
        raise ConfigError(
            f"the dictionary is for vectors of {start.dim} numbers, these have {rows.shape[1]}"
        )
    distinct = np.unique(rows[: _FEW + 1], axis=0) if len(rows) <= _FEW else rows
    if len(distinct) <= _FEW or not np.ptp(rows, axis=0).any():
        return _of_passages(np.unique(distinct, axis=0))
    sizes = settings.sized(len(vectors))
    if start is None:
        model = SparseDictionary(rows.shape[1], TopK(sizes.latents, sizes.k), seed=sizes.seed)
        asked = DictionaryTraining(epochs=sizes.epochs, seed=sizes.seed, threads=threads)
    else:
        # fewer passes at a lower rate: concepts are to move, not to be found anew
        model, passes = copy.deepcopy(start), max(5, sizes.epochs // 4)
        asked = DictionaryTraining(epochs=passes, seed=sizes.seed, threads=threads, warm=True)
    from isthmus.training.dictionary.rules import completed

    config = completed(asked, len(rows), model.latent)
    if start is not None:
        config = dataclasses.replace(config, lr=config.lr / 4)
    held = held_out(len(rows), sizes.seed)
    stream = VectorStream(
        open_vectors(np.delete(rows, held, axis=0)), config.batch_size, sizes.seed
    )
    fitted = fit_dictionary(model, stream, config, held_out=rows[held], watch=watch)
    how = {
        "rows": len(rows),
        "passes": config.epochs,
        "seed": sizes.seed,
        "warm": start is not None,
        "seconds": round(fitted.seconds, 2),
        "fvu": _unexplained(model, rows, np.setdiff1d(np.arange(len(rows)), held)[:20_000]),
        "fvu_held_out": _unexplained(model, rows, held),
    }
    return TrainedDictionary(model, how)


def held_out(rows: int, seed: int) -> NDArray[np.int64]:
    """Return the rows that the error is measured on and that are not learned from: 2 %."""
    count = min(2000, max(1, rows // 50))
    return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


def _of_passages(rows: Floats) -> TrainedDictionary:
    """Make each passage of a very small corpus a concept by itself: there is nothing to learn."""
    model = SparseDictionary(rows.shape[1], TopK(len(rows), max(1, len(rows) // 2)))
    with torch.no_grad():
        directions = torch.from_numpy(np.ascontiguousarray(rows, np.float32))
        directions = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-6)
        model.decoder.copy_(directions)
        model.encoder.copy_(directions)
    return TrainedDictionary(model, {"rows": len(rows), "passes": 0, "each_passage": True})


def _unexplained(model: SparseDictionary, rows: Floats, chosen: NDArray[np.int64]) -> float:
    """Return the fraction of variance unexplained of some rows, about the mean of all."""
    part = rows[chosen].astype(np.float64)
    errors = np.square(part - model.reconstruct(rows[chosen])).sum()
    spread = np.square(part - rows.mean(0, dtype=np.float64)).sum()
    return round(float(errors / spread), 5) if spread > 0 else 0.0
