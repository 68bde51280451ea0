"""Fitting a joint mixture: in closed form where classes are known, by EM where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.mixture_parts import (
    Values,
    gain_of,
    log_sum,
    patterns,
    table_of,
)

__all__ = ["MixtureFit", "fit_mixture"]


@dataclass(frozen=True)
class MixtureFit:
    """How a joint mixture is fitted."""

    components: int = 20
    """Components where classes are not known; k-means starts them."""
    per_class: int = 1
    """Components of each class where classes are known."""
    rounds: int = 10
    """Rounds of EM after the start; none are needed, and none run, where every row is whole and
    has its class, one component each."""
    ridge: float = 1e-2
    """Share of each coordinate's variance over all rows that is added to every component's."""
    shrink: float = 0.0
    """Share of the components' covariances that is replaced by their common mean."""
    tolerance: float = 1e-4
    """Gain in mean log-density below which EM stops."""

    def __post_init__(self) -> None:
        if min(self.components, self.per_class) < 1 or self.rounds < 0:
            raise ConfigError("components must be at least 1, and rounds not negative")
        if not self.ridge > 0 or not 0 <= self.shrink <= 1:
            raise ConfigError("ridge must be above 0, and shrink from 0 to 1")


def fit_mixture(
    blocks: Mapping[str, NDArray[Any]],
    mask: Mapping[str, NDArray[np.bool_]] | None = None,
    labels: NDArray[np.int64] | None = None,
    config: MixtureFit | None = None,
    seed: int = 0,
) -> JointMixture:
    """Fit a joint mixture to codes side by side.

    Parameters
    ----------
    blocks
        By name, (n, d_b).
    mask
        By name, (n,): whether a row has the block; default: all.
    labels
        Class of each row, -1: unknown; such rows are shared out by EM.
    seed
        Of k-means.

    Raises
    ------
    DataError
        If there are fewer than two rows with anything.

    Notes
    -----
    A row's missing coordinates count by their conditional mean and covariance under each
    component (Ghahramani and Jordan, 1993), so that incomplete rows teach what they have.
    """
    config = config or MixtureFit()
    widths = {name: int(np.asarray(v).shape[1]) for name, v in blocks.items()}
    x, there = table_of(widths, blocks, mask)
    some = there.any(1)
    x, there = x[some], there[some]
    if len(x) < 2 or not x.shape[1]:
        raise DataError("a joint mixture needs at least two rows with something in them")
    known = np.full(len(x), -1, np.int64) if labels is None else np.asarray(labels)[some]
    fit = _Fit(x, there, config, widths)
    weights, kinds, settled = fit.start(known, seed)
    mixture = fit.maximised(weights, kinds)
    before = -np.inf
    for _ in range(0 if settled else config.rounds):
        logs = mixture._log_joint(x, there)
        logs = np.where(_barred(known, kinds), -np.inf, logs)
        total = log_sum(logs)
        mixture = fit.maximised(np.exp(logs - total[:, None]), kinds, mixture)
        if total.mean() - before < config.tolerance:
            break
        before = float(total.mean())
    return mixture


def _barred(known: NDArray[np.int64], kinds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which components a row of known class can't come from, (n, K)."""
    both = (known[:, None] >= 0) & (kinds[None] >= 0)
    found: NDArray[np.bool_] = both & (known[:, None] != kinds[None])
    return found


class _Fit:
    """The rows, and what every round needs of them."""

    def __init__(
        self,
        x: Values,
        there: NDArray[np.bool_],
        config: MixtureFit,
        widths: Mapping[str, int],
    ) -> None:
        self.x, self.there, self.config, self.widths = x, there, config, widths
        count = np.maximum(there.sum(0), 1)
        self.mean = x.sum(0) / count
        variance = (np.where(there, x - self.mean, 0) ** 2).sum(0) / count
        self.variance = np.maximum(variance, 1e-8)
        self.patterns = patterns(there)

    def start(self, known: NDArray[np.int64], seed: int) -> tuple[Values, NDArray[np.int64], bool]:
        """Return responsibilities (n, K), the components' classes, and whether they are final."""
        from sklearn.cluster import KMeans

        filled = np.where(self.there, self.x, self.mean) / np.sqrt(self.variance)
        classes = np.unique(known[known >= 0])
        if not len(classes):
            k = min(self.config.components, len(self.x))
            found = KMeans(k, n_init=1, random_state=seed).fit_predict(filled)
            return np.eye(k)[found], np.full(k, -1, np.int64), False
        each = self.config.per_class
        kinds = np.repeat(classes, each)
        weights = np.full((len(self.x), len(kinds)), 1.0 / len(kinds))
        for i, label in enumerate(classes):
            rows = np.flatnonzero(known == label)
            k = min(each, len(rows))
            parts = KMeans(k, n_init=1, random_state=seed).fit_predict(filled[rows])
            weights[rows] = 0
            weights[rows, i * each + parts] = 1
        # rows of unknown class wait for the first round, once the classes have their shape
        weights[known < 0] = 0
        settled = each == 1 and bool((known >= 0).all()) and bool(self.there.all())
        return weights, kinds, settled

    def maximised(
        self, weights: Values, kinds: NDArray[np.int64], before: JointMixture | None = None
    ) -> JointMixture:
        """Return the mixture that responsibilities (n, K) ask for."""
        k, d = weights.shape[1], self.x.shape[1]
        means, covariances = np.empty((k, d)), np.empty((k, d, d))
        mass = weights.sum(0)
        for i in range(k):
            means[i], covariances[i] = self._moments(weights[:, i], before, i)
        if self.config.shrink:
            common = np.einsum("k,kde->de", mass / mass.sum(), covariances)
            covariances += self.config.shrink * (common - covariances)
        covariances += np.diag(self.config.ridge * self.variance)
        share = np.maximum(mass, 1e-8) / np.maximum(mass, 1e-8).sum()
        return JointMixture(self.widths, share, means, covariances, kinds)

    def _moments(self, w: Values, before: JointMixture | None, i: int) -> tuple[Values, Values]:
        """Return weighted mean and covariance of one component, missing values by expectation."""
        d = self.x.shape[1]
        filled, extra = self.x.copy(), np.zeros((d, d))
        everything = np.arange(d)
        for rows, seen in self.patterns:
            want = np.setdiff1d(everything, seen)
            if not len(want):
                continue
            if before is None:
                filled[np.ix_(rows, want)] = self._start_mean(w)[want]
                extra[want, want] += w[rows].sum() * self.variance[want]
                continue
            gain, left = gain_of(before.covariances[i], seen, want)
            apart = self.x[np.ix_(rows, seen)] - before.means[i, seen]
            filled[np.ix_(rows, want)] = before.means[i, want] + apart @ gain.T
            extra[np.ix_(want, want)] += w[rows].sum() * left
        total = w.sum()
        if total < 1e-8:  # a component that lost every row becomes the whole set
            return self.mean, np.diag(self.variance)
        mean = w @ filled / total
        centred = filled - mean
        return mean, ((centred * w[:, None]).T @ centred + extra) / total

    def _start_mean(self, w: Values) -> Values:
        """Return the component's mean of what is there, the whole set's where nothing is."""
        mass = w @ self.there
        mean: Values = np.where(
            mass > 1e-8, (w[:, None] * np.where(self.there, self.x, 0)).sum(0)
            / np.maximum(mass, 1e-8), self.mean
        )  # fmt: skip
        return mean
