"""The numbers of a dictionary on a split, as they stand in ``metrics.json``, and how to measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.configs import validated
from isthmus.errors import ConfigError

__all__ = ["DictionaryEvaluation", "DictionaryMetrics"]


@dataclass(frozen=True)
class DictionaryEvaluation:
    """How a dictionary is measured."""

    refined_rows: int = 10_000
    """Rows of the test split (or of given data) that are encoded by a matching pursuit as well;
    0 for none."""
    train_rows: int = 100_000
    """Training rows that are measured at most: the first of the first epoch's order."""
    mean_rows: int = 1_000_000
    """Training rows that the mean is taken of at most: the point that FVU is about."""
    seed: int = 0
    """Seed of bootstraps and of random directions."""

    def __post_init__(self) -> None:
        if self.refined_rows < 0:
            raise ConfigError("refined_rows can't be negative", fix="give 0 for none")
        if self.train_rows < 1 or self.mean_rows < 1:
            raise ConfigError("train_rows and mean_rows must be at least 1")


@dataclass(frozen=True)
class DictionaryMetrics:
    """The numbers of one split, in the units of the data; None where one has no meaning."""

    samples: int
    """Samples that were measured: of training at most 100,000."""
    mse: float
    """Squared error per element."""
    fvu: float | None = None
    """Squared error over the squares about the training mean, both summed over the split."""
    fvu_low: float | None = None
    """Lower end of the 95 % bootstrap interval of ``fvu`` over samples."""
    fvu_high: float | None = None
    """Upper end of the same."""
    explained_variance: float | None = None
    """1 - ``fvu``."""
    fvu_refined: float | None = None
    """``fvu`` with refined encoding: a matching pursuit with as many active latents."""
    l0_refined: float | None = None
    """Active latents a sample of refined encoding."""
    refined_k: int | None = None
    """Most latents that refined encoding gives a sample."""
    refined_samples: int | None = None
    """Samples that were encoded so."""
    cosine: float | None = None
    """Cosine of input and reconstruction, mean over samples."""
    cosine_of_mean: float | None = None
    """What answering the training mean reaches as ``cosine``."""
    norm_ratio: float | None = None
    """Lengths of reconstructions over lengths of inputs; below 1 is shrinkage."""
    l0: float | None = None
    """Active latents a sample, mean."""
    l0_quantiles: tuple[int, ...] | None = None
    """Least, 5 %, median, 95 % and largest number of active latents of a sample."""
    silent_fraction: float | None = None
    """Share of samples on which no latent is active."""
    active_above: float | None = None
    """The activation above which a latent counts as active."""
    mean_activation: float | None = None
    """Mean of all activations, zeros included."""
    target_activation: float | None = None
    """The mean activation that was asked for."""
    dead_fraction: float | None = None
    """Share of latents active on no sample of the split."""
    dense_10: float | None = None
    """Share of latents active on more than 10 % of the samples."""
    dense_25: float | None = None
    """Share of latents active on more than 25 % of the samples."""
    max_firing_rate: float | None = None
    """Share of samples on which the busiest latent is active."""
    hoyer: float | None = None
    """Hoyer sparseness of a sample's code, mean: 0 dense, 1 one latent."""
    pca_mse: float | None = None
    """Squared error per element of PCA with ``pca_dims`` dimensions: a code of as many numbers."""
    pca_fvu: float | None = None
    """``fvu`` of the same PCA."""
    pca_dims: int | None = None
    """Dimensions of that PCA: ``l0``, rounded (all latents, for a code that is never zero)."""
    coherence_max: float | None = None
    """Largest magnitude of a cosine between two directions of the decoder."""
    coherence_mean: float | None = None
    """Mean magnitude of the cosines between all pairs of directions."""
    near_pairs: float | None = None
    """Share of pairs of directions whose cosine exceeds 0.9 in magnitude."""
    verdict: str | None = None
    """Whether the dictionary is worth it beside PCA, in words."""
    samples_per_second: float | None = None
    """Speed of encoding alone, in one pass."""
    refined_samples_per_second: float | None = None
    """Speed of refined encoding."""
    firing_rate: tuple[float, ...] | None = None
    """Share of samples on which each latent is active."""
    mean_activation_per_latent: tuple[float, ...] | None = None
    """Mean activation of each latent."""

    def as_json(self) -> dict[str, Any]:
        """Return the numbers that have a meaning, as JSON values."""
        found = dataclasses.asdict(self)
        return {
            k: list(v) if isinstance(v, tuple) else v for k, v in found.items() if v is not None
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DictionaryMetrics:
        """Build from what :meth:`as_json` gave; names of later versions are passed over."""
        known = {f.name for f in dataclasses.fields(cls)}
        return validated(cls, {k: v for k, v in values.items() if k in known})
