"""Codes in two dimensions, with a measure of how far the picture can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from isthmus.errors import ConfigError
from isthmus.figures.checks import as_count, as_matrix

__all__ = ["Method", "Projection", "project"]

Method = Literal["pca", "tsne"]
_NEIGHBOURS = 5
_WIDE = 50


@dataclass(frozen=True)
class Projection:
    """Two coordinates for each code that was used."""

    coordinates: np.ndarray
    """(n, 2) float64."""
    rows: np.ndarray
    """(n,) which rows of the codes these are, in rising order."""
    method: str
    """The name to show: PCA or t-SNE."""
    trustworthiness: float
    """Venna and Kaski's measure over the nearest neighbours, 0 to 1; NaN where undefined."""
    neighbours: int
    """How many neighbours the trustworthiness looked at."""
    explained: float | None
    """Share of the codes' variance on the two axes; PCA only."""
    notes: tuple[str, ...]
    """Plain words on what was done beyond the asked: samples drawn, perplexity reduced."""


def project(
    codes: Any,
    method: Method = "tsne",
    seed: int = 0,
    *,
    perplexity: float = 30.0,
    limit: int = 2000,
) -> Projection:
    """Project codes to two dimensions.

    t-SNE starts from the PCA coordinates, so that its layout changes little with the seed;
    codes of more than 50 latents are reduced to 50 principal components before it (as van der
    Maaten and Hinton, 2008, do). Its perplexity is reduced to a third of the other samples
    where there are too few. Trustworthiness compares neighbours with those among the full
    codes.

    Parameters
    ----------
    codes
        ``(N, latents)``.
    method
        "pca" or "tsne".
    seed
        Of the samples drawn and of t-SNE.
    perplexity
        Of t-SNE.
    limit
        At most so many samples, drawn without replacement.

    Raises
    ------
    DataError
        If there are no codes, or they aren't finite.
    ConfigError
        If the method is unknown or the perplexity isn't positive.
    """
    values = as_matrix(codes).astype(np.float64)
    if method not in _METHODS:
        known = ", ".join(sorted(_METHODS))
        raise ConfigError(f"there is no projection {method!r}", fix=f"choose one of {known}")
    if not perplexity > 0:
        raise ConfigError("the perplexity must be positive", where=repr(perplexity))
    rows, notes = _chosen(len(values), as_count(limit, "limit"), seed)
    values = values[rows]
    # Distances don't care for a common scale; this keeps their squares from overflowing.
    spread = float(np.abs(values - values.mean(axis=0)).max())
    if spread <= 1e-12 * max(1.0, float(np.abs(values).max())):
        notes.append("all codes are the same")
        name = _METHODS[method][0]
        flat = np.zeros((len(rows), 2))
        return Projection(flat, rows, name, float("nan"), 0, None, tuple(notes))
    values = (values - values.mean(axis=0)) / spread
    name, run = _METHODS[method]
    coordinates, explained, said = run(values, seed, perplexity)
    trust, neighbours = _trustworthiness(values, coordinates)
    return Projection(
        coordinates, rows, name, trust, neighbours, explained, (*notes, *said)
    )  # fmt: skip


def _chosen(count: int, limit: int, seed: int) -> tuple[np.ndarray, list[str]]:
    if count <= limit:
        return np.arange(count), []
    drawn = np.random.default_rng(seed).choice(count, size=limit, replace=False)
    return np.sort(drawn), [f"{limit:,} of {count:,} samples"]


def _principal(values: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, float]:
    """Give the leading principal coordinates and the share of variance on the first two."""
    from sklearn.decomposition import PCA

    analysis = PCA(min(count, *values.shape), random_state=seed)
    scores = np.asarray(analysis.fit_transform(values))
    scores = np.pad(scores, ((0, 0), (0, count - scores.shape[1])))
    return scores, float(analysis.explained_variance_ratio_[:2].sum())


def _pca(values: np.ndarray, seed: int, perplexity: float) -> tuple[np.ndarray, float, list[str]]:
    coordinates, explained = _principal(values, 2, seed)
    return coordinates, explained, []


def _tsne(values: np.ndarray, seed: int, perplexity: float) -> tuple[np.ndarray, None, list[str]]:
    from sklearn.manifold import TSNE

    notes = []
    start, _ = _principal(values, 2, seed)
    if len(values) < 5:
        return start, None, ["too few samples for t-SNE: PCA shown"]
    if values.shape[1] > _WIDE:
        values, _ = _principal(values, min(_WIDE, len(values)), seed)
    largest = (len(values) - 1) / 3
    if perplexity > largest:
        notes.append(f"perplexity reduced from {perplexity:g} to {largest:.3g}")
    # A little seeded noise lets codes of one latent leave the line, and duplicates part.
    noise = np.random.default_rng(seed).standard_normal(start.shape)
    start = start / start[:, 0].std() * 1e-4 + 1e-6 * noise
    found = TSNE(
        perplexity=min(perplexity, largest), init=start.astype(np.float32), random_state=seed
    ).fit_transform(values.astype(np.float32))
    return np.asarray(found, dtype=np.float64), None, notes


_Run = Callable[[np.ndarray, int, float], tuple[np.ndarray, float | None, list[str]]]
_METHODS: Mapping[str, tuple[str, _Run]] = {"pca": ("PCA", _pca), "tsne": ("t-SNE", _tsne)}


def _trustworthiness(values: np.ndarray, coordinates: np.ndarray) -> tuple[float, int]:
    """Give scikit-learn's trustworthiness with up to 5 neighbours; it needs k below n/2."""
    from sklearn.manifold import trustworthiness

    neighbours = min(_NEIGHBOURS, (len(values) - 1) // 2)
    if neighbours < 1:
        return float("nan"), 0
    return float(trustworthiness(values, coordinates, n_neighbors=neighbours)), neighbours
