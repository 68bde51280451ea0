"""What a sparse dictionary is worth on a split: its error and how its latents fire, in one pass.

FVU is pooled: squared errors over squares about the mean of the *training* split, both summed
over all samples in float64. Means of batches' ratios, means of batches and sums about zero, all
found in the wild, give other numbers (`isthmus.metrics.published`). Nothing here depends on how
the split was cut into batches, and no code is ever made dense.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import DataError
from isthmus.metrics.arrays import Array, Floats, as_float64, as_matrix, check_finite, same_shape
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_ratio
from isthmus.metrics.firing import Firing, FiringSums
from isthmus.metrics.kept_rows import KeptRows
from isthmus.metrics.sparse_codes import Codes, as_csr

__all__ = ["DictionaryScores", "DictionarySums"]

_ROWS = 4096
"""Samples widened to float64 at once."""

_TERMS = ("error", "total", "along", "squares", "length", "other", "cosine", "of_mean", "points")


@dataclass(frozen=True, eq=False)
class DictionaryScores:
    """The numbers of a dictionary over a whole split."""

    samples: int
    """Samples that were counted."""
    mse: float
    """Squared error, mean over all elements of all samples."""
    fvu: float | None
    """Squared errors over squares about the training mean, both summed over the split; None where
    every input equals the training mean."""
    fvu_interval: BootstrapInterval | None
    """`fvu` with its bootstrap interval over samples; None where `fvu` is."""
    explained_variance: float | None
    """1 - `fvu`: 0 for answering the training mean, 1 for no error."""
    cosine: float | None
    """Cosine of input and reconstruction, mean over inputs that are not zero (a reconstruction
    of zero counts 0); None where all inputs are zero."""
    cosine_interval: BootstrapInterval | None
    """`cosine` with its bootstrap interval over samples."""
    cosine_of_mean: float | None
    """What answering the training mean would reach as `cosine`: much, where vectors share a
    direction."""
    norm_ratio: float | None
    """Lengths of reconstructions over lengths of inputs, both summed: below 1 is shrinkage."""
    relative_bias: float | None
    """sum |xhat|^2 / sum x.xhat (Rajamanoharan et al., arXiv:2404.16014): 1 where no common
    factor would lower the error, below 1 for shrinkage; None where the sum below is not above 0."""
    firing: Firing
    """How the latents fire: L0, dead and dense latents, firing rates."""


class DictionarySums:
    """Scores of a dictionary accumulated in float64 over batches of any size.

    Parameters
    ----------
    latents
        Number of latents N.
    train_mean
        Mean of the *training* split (D,), or one number for all elements, in the units of the
        inputs and reconstructions that are added (both normalised, or neither).
    keep
        Samples whose own errors are kept (28 bytes each) for the bootstrap; of more, as many are
        drawn at random with ``seed``, and the intervals are scaled to all. Default 100,000.
    seed
        Seed of this draw and of the bootstrap.

    Raises
    ------
    ConfigError
        If there is no latent, or ``keep`` is below 1.
    DataError
        If the training mean is not finite.

    Examples
    --------
    >>> sums = DictionarySums(latents=2, train_mean=np.zeros(2))
    >>> x, codes = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[0.5, 0.0], [0.0, 2.0]])
    >>> sums.update(x, codes @ np.eye(2), codes)
    >>> scores = sums.result()
    >>> scores.fvu, scores.firing.l0, scores.firing.dead_fraction
    (0.05, 1.0, 0.0)
    """

    def __init__(
        self, latents: int, train_mean: Array | float, *, keep: int = 100_000, seed: int = 0
    ) -> None:
        self._mean = as_float64(train_mean).reshape(-1)
        check_finite(self._mean, "the training mean")
        self._firing = FiringSums(latents)
        self._kept = KeptRows(keep, width=4, seed=seed)
        self._seed, self._elements = seed, 0
        self._sums = dict.fromkeys(_TERMS, 0.0)

    def update(self, x: Array, reconstruction: Array, codes: Codes) -> None:
        """Add a batch: inputs and reconstructions (B, D), codes (B, N) sparse or dense.

        Raises
        ------
        DataError
            If the shapes do not fit each other, the training mean or N, or if a value is not
            finite. Nothing is added then.
        """
        same_shape(x, reconstruction, "inputs and reconstructions")
        rows = as_csr(codes, latents=self._firing.latents)
        if rows.shape[0] != len(x):
            raise DataError(
                "inputs and codes differ in number", why=f"{len(x)} and {rows.shape[0]}"
            )
        blocks = [slice(start, start + _ROWS) for start in range(0, len(x), _ROWS)]
        parts = [self._terms(x[block], reconstruction[block]) for block in blocks]
        for part in parts:
            for name, values in part.items():
                self._sums[name] += float(values.sum())
            kept = (part["error"], part["total"], part["cosine"], part["points"])
            self._kept.update(np.stack(kept, axis=1))
        self._firing.update(rows)
        self._elements += int(np.prod(x.shape))

    def _terms(self, x: Array, reconstruction: Array) -> dict[str, Floats]:
        """Return what is summed, one number a sample: each (B,)."""
        inputs = as_matrix(x, "the input")
        outputs = as_matrix(reconstruction, "the reconstruction")
        if self._mean.size not in (1, inputs.shape[1]):
            raise DataError(
                "the training mean has another size than a sample",
                why=f"{self._mean.size} and {inputs.shape[1]} elements",
            )
        mean = np.broadcast_to(self._mean, inputs.shape[1])
        squares = _dots(outputs, outputs)
        length, other = np.sqrt(_dots(inputs, inputs)), np.sqrt(squares)
        along = _dots(inputs, outputs)
        return {
            "error": _dots(outputs - inputs, outputs - inputs),
            "total": _dots(inputs - mean, inputs - mean),
            "along": along,
            "squares": squares,
            "length": length,
            "other": other,
            "cosine": _ratio(along, length * other),
            "of_mean": _ratio(inputs @ mean, length * float(np.linalg.norm(mean))),
            "points": (length > 0).astype(np.float64),
        }

    def result(self, *, resamples: int = 1000, confidence: float = 0.95) -> DictionaryScores:
        """Return the scores over everything added so far.

        Parameters
        ----------
        resamples
            Resamples of the bootstrap. Default 1000 (under a second for 10,000 samples).
        confidence
            Coverage of the intervals. Default 0.95.

        Raises
        ------
        ConfigError
            If there are fewer than 100 resamples, or ``confidence`` is not between 0 and 1.
        DataError
            If no sample was added.
        """
        if not self._firing.samples:
            raise DataError("no sample was given, so there are no scores")
        sums = self._sums
        fvu = _share(sums["error"], sums["total"])
        cosine = _share(sums["cosine"], sums["points"])
        error, total, cosines, points = self._kept.rows().T
        settings = (resamples, confidence)
        return DictionaryScores(
            samples=self._firing.samples,
            mse=sums["error"] / self._elements,
            fvu=fvu,
            fvu_interval=self._interval(fvu, error, total, *settings),
            explained_variance=None if fvu is None else 1 - fvu,
            cosine=cosine,
            cosine_interval=self._interval(cosine, cosines, points, *settings),
            cosine_of_mean=_share(sums["of_mean"], sums["points"]),
            norm_ratio=_share(sums["other"], sums["length"]),
            relative_bias=_share(sums["squares"], max(sums["along"], 0.0)),
            firing=self._firing.result(),
        )

    def _interval(
        self, value: float | None, above: Floats, below: Floats, resamples: int, confidence: float
    ) -> BootstrapInterval | None:
        """Bootstrap a ratio on the kept samples, and lay the interval about that of all."""
        if value is None or not below.sum():
            return None
        found = bootstrap_ratio(
            above,
            below,
            resamples=resamples,
            confidence=confidence,
            seed=self._seed,
            population=self._firing.samples,
        )
        low, high = (value + end - found.value for end in (found.low, found.high))
        return BootstrapInterval(value, low, high, confidence, found.samples)


def _dots(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("nd,nd->n", a, b))


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divide; 0 where the divisor is 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _share(above: float, below: float) -> float | None:
    return above / below if below else None
