"""Is this autoencoder worth it? A plain answer beside PCA with the same number of dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from isthmus.errors import ConfigError
from isthmus.metrics.arrays import Array
from isthmus.metrics.stats import PairedDifference, paired_bootstrap

__all__ = ["KNN_TIE", "MSE_TIE", "Outcome", "Verdict", "Worth", "verdict"]

MSE_TIE = 0.05
KNN_TIE = 0.004


class Outcome(StrEnum):
    """How the autoencoder does against PCA in one measure."""

    BETTER = "better"
    TIE = "tie"
    WORSE = "worse"


class Worth(StrEnum):
    """Whether the autoencoder earns its place over PCA."""

    YES = "yes"
    NO = "no"
    MIXED = "mixed"


@dataclass(frozen=True)
class Verdict:
    """An autoencoder against PCA of the same size."""

    worth: Worth
    """YES: better in one measure and worse in none; MIXED: better in one and worse in the other;
    NO: better in none, and PCA is the simpler model."""
    reconstruction: Outcome
    """By MSE; gaps under 5 % of PCA's are ties, and so are gaps that the paired test denies."""
    neighbours: Outcome | None
    """By 5-NN accuracy; gaps under 0.4 points are ties. None where there are no labels."""
    mse: float
    """MSE per element of the autoencoder."""
    pca_mse: float
    """MSE per element of PCA."""
    knn_accuracy: float | None
    """5-NN accuracy on the autoencoder's codes, in [0, 1]."""
    pca_knn_accuracy: float | None
    """5-NN accuracy on PCA's codes, in [0, 1]."""
    paired: PairedDifference | None
    """Paired test of per-sample squared errors, PCA's less the autoencoder's; None if not made."""
    sentence: str
    """The answer in plain words."""


def verdict(
    mse: float,
    pca_mse: float,
    knn: float | None = None,
    pca_knn: float | None = None,
    *,
    errors: Array | None = None,
    pca_errors: Array | None = None,
    seed: int = 0,
) -> Verdict:
    """Say whether an autoencoder beats PCA with the same number of dimensions.

    Parameters
    ----------
    mse, pca_mse
        MSE per element on the same held-out samples.
    knn, pca_knn
        5-NN accuracies in [0, 1] on the codes of each; both or neither.
    errors, pca_errors
        Squared errors of each held-out sample (N,), both or neither, for the paired test.
    seed
        Seed of the bootstrap.

    Raises
    ------
    ConfigError
        If one of a pair is missing, an error is negative, or an accuracy is outside [0, 1].
    """
    if (knn is None) != (pca_knn is None) or (errors is None) != (pca_errors is None):
        raise ConfigError("numbers of the autoencoder and of PCA are needed in pairs")
    if not (mse >= 0 and pca_mse >= 0):
        raise ConfigError("an MSE can't be negative or NaN", why=f"got {mse} and {pca_mse}")
    if knn is not None and pca_knn is not None and not (0 <= knn <= 1 and 0 <= pca_knn <= 1):
        raise ConfigError("accuracies must be in [0, 1]", why=f"got {knn} and {pca_knn}")
    paired = None
    if errors is not None and pca_errors is not None:
        paired = paired_bootstrap(pca_errors, errors, seed=seed)
    by_error = _outcome(pca_mse - mse, MSE_TIE * pca_mse)
    if paired is not None and not paired.differs:
        by_error = Outcome.TIE
    by_votes = None
    if knn is not None and pca_knn is not None:
        by_votes = _outcome(knn - pca_knn, KNN_TIE)
    worth = _worth({by_error, by_votes})
    parts = [_error_words(by_error, mse, pca_mse)]
    if by_votes is not None and knn is not None and pca_knn is not None:
        parts.append(_vote_words(by_votes, knn, pca_knn))
    sentence = f"{_LEAD[worth]}: {' and '.join(parts)}."
    return Verdict(worth, by_error, by_votes, mse, pca_mse, knn, pca_knn, paired, sentence)


_LEAD = {
    Worth.YES: "Worth it",
    Worth.NO: "Not worth it, PCA with as many dimensions is simpler and no worse",
    Worth.MIXED: "It depends on the use",
}


def _outcome(gain: float, margin: float) -> Outcome:
    """Judge a gain (positive: better); one of the margin itself counts, but for rounding."""
    if abs(gain) <= margin * (1 - 1e-9) or gain == 0:
        return Outcome.TIE
    return Outcome.BETTER if gain > 0 else Outcome.WORSE


def _worth(outcomes: set[Outcome | None]) -> Worth:
    if Outcome.BETTER not in outcomes:
        return Worth.NO
    return Worth.MIXED if Outcome.WORSE in outcomes else Worth.YES


def _error_words(outcome: Outcome, mse: float, pca_mse: float) -> str:
    against = f"(MSE {mse:.4g} against PCA's {pca_mse:.4g})"
    if outcome is Outcome.TIE:
        return f"the reconstruction error is about the same {against}"
    small, large = sorted((mse, pca_mse))
    times = f"{large / small:.2f} times" if small else "infinitely"
    word = "smaller" if outcome is Outcome.BETTER else "larger"
    return f"the reconstruction error is {times} {word} {against}"


def _vote_words(outcome: Outcome, knn: float, pca_knn: float) -> str:
    against = f"({100 * knn:.2f} % against PCA's {100 * pca_knn:.2f} %)"
    if outcome is Outcome.TIE:
        return f"5-NN accuracy is about the same {against}"
    word = "higher" if outcome is Outcome.BETTER else "lower"
    return f"5-NN accuracy is {100 * abs(knn - pca_knn):.2f} points {word} {against}"
