"""How many of the true directions of a synthetic set a dictionary has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats
from isthmus.metrics.bootstrap import BootstrapInterval, bootstrap_mean
from isthmus.metrics.sparse_codes import Codes, as_csr, column_sums
from isthmus.metrics.stability import match_decoders, random_like

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Recovery", "recovery"]


@dataclass(frozen=True, eq=False)
class Recovery:
    """True features F matched one to one with latents."""

    mcc: float
    """Mean cosine of each true direction with its latent's (Hungarian matching); a feature
    without a latent of its own counts 0."""
    interval: BootstrapInterval
    """`mcc` with its bootstrap interval over features."""
    chance: float
    """`mcc` of random directions with the dictionary's own mean and covariance."""
    recovered: float
    """Share of features whose cosine is at least `threshold`."""
    threshold: float
    """The cosine from which a feature counts as recovered."""
    cosine: Floats
    """Cosine of each feature with its latent (F,)."""
    latent: NDArray[np.int64]
    """The latent of each feature (F,); -1 for none."""
    f1: float | None
    """Mean over features of the F1 of "the latent is active" against "the feature is active";
    None without codes."""
    precision: float | None
    """Mean precision of the same: 0 for a latent that never fires."""
    recall: float | None
    """Mean recall of the same."""
    f1_per_feature: Floats | None
    """F1 of each feature (F,); NaN for a feature that is never active."""
    correlation: float | None
    """Mean Pearson correlation of a feature's and its latent's activations; a constant latent
    counts 0."""


def recovery(
    decoder_ND: Array,
    directions_FD: Array,
    *,
    codes: Codes | None = None,
    activations: Codes | None = None,
    signed: bool = True,
    threshold: float = 0.9,
    limit: int = 6000,
    seed: int = 0,
) -> Recovery:
    """Match latents with the true features, and score directions and firing.

    Parameters
    ----------
    decoder_ND
        The dictionary's directions (N, D).
    directions_FD
        The true directions (F, D).
    codes, activations
        The dictionary's codes (R, N) and the true activations (R, F) of the same samples; without
        them only directions are scored.
    signed
        Whether an opposite direction is a miss. False for codes of either sign (PCA, ICA).
    threshold
        Cosine from which a feature counts as recovered. Default 0.9.
    limit
        As in `match_decoders`.
    seed
        Seed of the random directions and of the bootstrap.

    Raises
    ------
    ConfigError
        If only one of ``codes`` and ``activations`` is given.
    DataError
        If shapes do not fit, or no feature is ever active.
    """
    if (codes is None) != (activations is None):
        raise ConfigError("codes and true activations must be given together")
    features = directions_FD.shape[0]
    matching = match_decoders(directions_FD, decoder_ND, signed=signed, limit=limit)
    cosine = np.zeros(features)
    latent = np.full(features, -1, dtype=np.int64)
    cosine[matching.a], latent[matching.a] = matching.cosine, matching.b
    like = match_decoders(
        directions_FD, random_like(decoder_ND, seed), signed=signed, limit=limit
    ).cosine
    found: dict[str, float | Floats | None] = dict.fromkeys(_FIRING)
    if codes is not None and activations is not None:
        true = as_csr(activations, "the true activations", latents=features)
        given = as_csr(codes, latents=decoder_ND.shape[0])
        found |= _firing(given, true, latent)
    return Recovery(
        mcc=float(cosine.mean()),
        interval=bootstrap_mean(cosine, seed=seed),
        chance=float(like.sum()) / features,
        recovered=float((cosine >= threshold).mean()),
        threshold=threshold,
        cosine=cosine,
        latent=latent,
        **found,  # type: ignore[arg-type]
    )


_FIRING = ("f1", "precision", "recall", "f1_per_feature", "correlation")


def _firing(
    codes: csr_array, true: csr_array, latent: NDArray[np.int64]
) -> dict[str, float | Floats | None]:
    """Score each feature's latent against the feature, sample by sample."""
    rows = true.shape[0]
    if codes.shape[0] != rows:
        raise DataError(
            "codes and true activations differ in number", why=f"{codes.shape[0]} and {rows}"
        )
    lived = np.bincount(true.indices, minlength=true.shape[1])
    if not lived.any():
        raise DataError("no feature is ever active, so there is no firing to score")
    matched = codes.astype(np.float64)[:, np.maximum(latent, 0)]
    fired = np.where(latent >= 0, np.bincount(matched.indices, minlength=len(latent)), 0)
    hits = np.where(latent >= 0, _count(matched.sign().power(2) * true.sign()), 0)
    precision = np.divide(hits, fired, out=np.zeros(len(latent)), where=fired > 0)
    known = lived > 0
    f1 = np.full(len(latent), np.nan)
    f1[known] = 2 * hits[known] / (fired[known] + lived[known])
    correlation = np.where(latent >= 0, _correlations(matched, true.astype(np.float64)), 0.0)
    return {
        "f1": float(f1[known].mean()),
        "precision": float(precision[known].mean()),
        "recall": float((hits[known] / lived[known]).mean()),
        "f1_per_feature": f1,
        "correlation": float(correlation[known].mean()),
    }


def _count(values: csr_array) -> NDArray[np.int64]:
    """Count the entries of each column."""
    return np.bincount(as_csr(values).indices, minlength=values.shape[1])


def _correlations(a: csr_array, b: csr_array) -> Floats:
    """Pearson correlation of each column of A with that of B; 0 where one is constant."""
    rows = a.shape[0]
    means = column_sums(a) / rows, column_sums(b) / rows
    both = column_sums((a * b).tocsr()) / rows - means[0] * means[1]
    spread = [
        np.clip(column_sums(m, m.data**2) / rows - mean**2, 0, None)
        for m, mean in zip((a, b), means, strict=True)
    ]
    below = np.sqrt(spread[0] * spread[1])
    return np.asarray(np.divide(both, below, out=np.zeros(a.shape[1]), where=below > 1e-12))
