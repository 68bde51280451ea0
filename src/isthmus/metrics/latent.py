"""Is the latent space any good: neighbours, probes, effective rank, faithfulness of a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_labels, as_matrix
from isthmus.metrics.moments import CovarianceSums

__all__ = [
    "EffectiveRank",
    "KNNAccuracy",
    "NeighbourPreservation",
    "ProbeAccuracy",
    "Trustworthiness",
    "effective_rank",
    "knn_accuracy",
    "linear_probe",
    "neighbour_preservation",
    "trustworthiness",
]


@dataclass(frozen=True, eq=False)
class KNNAccuracy:
    """Accuracy of a k-nearest-neighbour vote on codes."""

    accuracy: float
    """Share of codes whose label was found, in [0, 1]."""
    chance: float
    """What always answering the commonest training label would reach."""
    correct: NDArray[np.bool_]
    """Whether each code's label was found (Q,), for paired comparisons."""
    k: int
    """Neighbours that vote."""
    train_samples: int
    """Codes that could be neighbours."""


def knn_accuracy(
    train_codes: Array, train_labels: Array, codes: Array, labels: Array, k: int = 5
) -> KNNAccuracy:
    """Classify ``codes`` by the majority among their k nearest ``train_codes``; exact.

    Euclidean distance, brute force. Where two labels have as many votes, the one with the nearest
    neighbour wins (scikit-learn takes the lower label). Equal distances: the lower row is nearer.

    Parameters
    ----------
    train_codes, train_labels
        Codes (R, Z) and labels (R,) of the training split.
    codes, labels
        Codes (Q, Z) and labels (Q,) to be classified.
    k
        Neighbours that vote. Default 5.

    Raises
    ------
    ConfigError
        If ``k`` is below 1 or above R, or the widths differ.
    DataError
        If labels and codes differ in number, there are no codes, or a value is not finite.
    """
    from isthmus.metrics.neighbours import nearest

    known = as_labels(train_labels, len(train_codes), "the training labels")
    wanted = as_labels(labels, len(codes), "the labels")
    if not wanted.size:
        raise DataError("no code was given, so there is no accuracy")
    votes = known[nearest(train_codes, codes, k).index]
    support = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    # argmax takes the first of equals, and the first is the nearest.
    winner = votes[np.arange(len(votes)), support.argmax(axis=1)]
    correct = winner == wanted
    values, counts = np.unique(known, return_counts=True)
    chance = float((wanted == values[counts.argmax()]).mean())
    return KNNAccuracy(float(correct.mean()), chance, correct, k, len(known))


@dataclass(frozen=True)
class NeighbourPreservation:
    """How many neighbours in the inputs are still neighbours in the codes."""

    share: float
    """Share of each sample's k nearest inputs that are among its k nearest codes, mean."""
    chance: float
    """What unrelated codes would reach: k / (samples - 1)."""
    k: int
    """Neighbours that were compared."""
    samples: int
    """Samples that were compared, after subsampling."""


def neighbour_preservation(
    x: Array, codes: Array, k: int = 10, *, limit: int = 5000, seed: int = 0
) -> NeighbourPreservation:
    """Compare each sample's k nearest others in ``x`` (N, *shape) and in ``codes`` (N, Z).

    Parameters
    ----------
    k
        Neighbours. Default 10.
    limit
        Samples used at most, drawn with ``seed``; the number depends on it, so compare only equal
        ones. Default 5000.

    Raises
    ------
    ConfigError
        If ``k`` is below 1 or not below the number of samples.
    DataError
        If the numbers of samples differ or a value is not finite.
    """
    from isthmus.metrics.neighbours import nearest

    inputs, points = _paired_subset(x, codes, limit, seed)
    if not 1 <= k < len(inputs):
        raise ConfigError("k must be at least 1 and below the number of samples", why=f"k = {k}")
    before = _others(nearest(inputs, inputs, k + 1).index)
    after = _others(nearest(points, points, k + 1).index)
    shared = (before[:, :, None] == after[:, None, :]).sum(axis=(1, 2))
    return NeighbourPreservation(float(shared.mean()) / k, k / (len(inputs) - 1), k, len(inputs))


def _others(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop each row's own index; where equal rows crowd it out, drop the farthest instead."""
    own = index == np.arange(len(index))[:, None]
    own[~own.any(axis=1), -1] = True
    return np.asarray(index[~own]).reshape(len(index), -1)


@dataclass(frozen=True)
class Trustworthiness:
    """Whether neighbours on a map (or in a code) are neighbours in the data."""

    trustworthiness: float
    """1 - a penalty for false neighbours by their true rank; 1 is perfect, about 0.5 is random."""
    k: int
    """Neighbours that were looked at."""
    samples: int
    """Samples that were looked at, after subsampling."""


def trustworthiness(
    x: Array, codes: Array, k: int = 10, *, limit: int = 2000, seed: int = 0
) -> Trustworthiness:
    """Trustworthiness of ``codes`` (N, Z) about ``x`` (N, *shape); scikit-learn's computation.

    Source: Venna and Kaski, 2001.

    Parameters
    ----------
    k
        Neighbours. Default 10.
    limit
        Samples used at most, drawn with ``seed``: memory and time grow with its square (2000
        samples: 32 MB, well under a second). Default 2000.

    Raises
    ------
    ConfigError
        If ``k`` is below 1 or not below half the number of samples.
    DataError
        If the numbers of samples differ or a value is not finite.
    """
    from sklearn.manifold import trustworthiness as sklearn_trustworthiness

    inputs, points = _paired_subset(x, codes, limit, seed)
    if not 1 <= k < len(inputs) / 2:
        raise ConfigError(
            "k must be at least 1 and below half the number of samples",
            why=f"k = {k}, {len(inputs)} samples",
        )
    value = float(sklearn_trustworthiness(inputs, points, n_neighbors=k))
    return Trustworthiness(value, k, len(inputs))


@dataclass(frozen=True)
class ProbeAccuracy:
    """Accuracy of a linear classifier trained on codes."""

    accuracy: float
    """Share of codes whose label was found, in [0, 1]."""
    chance: float
    """What always answering the commonest training label would reach."""
    converged: bool
    """Whether the solver finished within its iterations."""
    train_samples: int
    """Training codes that were used, after subsampling."""


def linear_probe(
    train_codes: Array,
    train_labels: Array,
    codes: Array,
    labels: Array,
    *,
    limit: int = 20000,
    iterations: int = 500,
    seed: int = 0,
) -> ProbeAccuracy:
    """Train multinomial logistic regression (L-BFGS, C = 1) on standardised codes and test it.

    Mean and scale are those of the training codes. A least-squares probe gives lower numbers, so
    compare probes of one kind only.

    Parameters
    ----------
    train_codes, train_labels
        Codes (R, Z) and labels (R,) to train on.
    codes, labels
        Codes (Q, Z) and labels (Q,) to test on.
    limit
        Training codes used at most, drawn with ``seed``. Default 20000.
    iterations
        Most iterations of the solver. Default 500.

    Raises
    ------
    DataError
        If there are fewer than two training labels, no codes, or labels and codes do not fit.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    known = as_labels(train_labels, len(train_codes), "the training labels")
    wanted = as_labels(labels, len(codes), "the labels")
    points, tests = as_matrix(train_codes, "the training code"), as_matrix(codes, "the code")
    keep = _subset(len(points), limit, seed)
    points, known = points[keep], known[keep]
    if not wanted.size or np.unique(known).size < 2:
        raise DataError("a probe needs codes to test and two labels to tell apart")
    shift, scale = points.mean(axis=0), points.std(axis=0)
    scale[scale == 0] = 1.0
    with warnings.catch_warnings():
        # Not converging is reported in the result instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LogisticRegression(max_iter=iterations).fit((points - shift) / scale, known)
    correct = probe.predict((tests - shift) / scale) == wanted
    values, counts = np.unique(known, return_counts=True)
    return ProbeAccuracy(
        accuracy=float(correct.mean()),
        chance=float((wanted == values[counts.argmax()]).mean()),
        converged=bool(int(np.max(probe.n_iter_)) < iterations),
        train_samples=len(points),
    )


@dataclass(frozen=True, eq=False)
class EffectiveRank:
    """How many directions a code really uses, from the eigenvalues of its covariance."""

    participation: float
    """(sum of eigenvalues)^2 / sum of their squares: 1 to Z; 0 for a constant code."""
    entropy: float
    """exp of the entropy of the eigenvalues as shares; never below `participation`."""
    eigenvalues: Floats
    """Eigenvalues of the covariance, falling (Z,)."""


def effective_rank(codes: Array) -> EffectiveRank:
    """Return the effective rank of codes (N, Z) about their mean.

    Raises
    ------
    DataError
        If there is no code or a value is not finite.
    """
    points = as_matrix(codes, "the code")
    sums = CovarianceSums(points.shape[1])
    sums.update(points)
    eigenvalues = np.clip(np.linalg.eigvalsh(sums.covariance)[::-1], 0.0, None)
    total = float(eigenvalues.sum())
    if total == 0:
        return EffectiveRank(0.0, 0.0, eigenvalues)
    share = eigenvalues / total
    positive = share[share > 0]
    entropy = float(np.exp(-(positive * np.log(positive)).sum()))
    return EffectiveRank(1 / float((share**2).sum()), entropy, eigenvalues)


def _subset(count: int, limit: int, seed: int) -> NDArray[np.int64]:
    """Return at most ``limit`` of ``count`` rows, rising, drawn with ``seed``."""
    if limit < 1:
        raise ConfigError("limit must be at least 1", why=f"got {limit}")
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))


def _paired_subset(x: Array, codes: Array, limit: int, seed: int) -> tuple[Floats, Floats]:
    if len(x) != len(codes):
        raise DataError("inputs and codes differ in number", why=f"{len(x)} and {len(codes)}")
    keep = _subset(len(x), limit, seed)
    return as_matrix(x[keep], "the input"), as_matrix(codes[keep], "the code")
