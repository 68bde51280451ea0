"""What a variational code carries: active units, KL per latent, rate, information, moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_matrix, same_shape
from isthmus.metrics.averages import SampleMeans
from isthmus.metrics.moments import CovarianceSums, MomentSums

__all__ = [
    "InformationBound",
    "PosteriorSummary",
    "PosteriorSums",
    "RateDistortion",
    "gaussian_kl",
    "mutual_information_bound",
    "rate_distortion",
]


@dataclass(frozen=True, eq=False)
class PosteriorSummary:
    """Diagonal Gaussian posteriors q(z | x) of a whole split; Z is the number of latents."""

    active_units: int
    """Latents whose posterior mean varies over data by more than `active_variance`."""
    active_variance: float
    """The threshold of `active_units`."""
    mean_variance: Floats
    """Variance over data of the posterior mean of each latent (Z,): Var_x E_q[z]."""
    kl: Floats
    """KL(q(z_j | x) || N(0, 1)) of each latent, mean over samples, in nats (Z,)."""
    rate: float
    """Sum of `kl`: nats a sample that the code may carry."""
    aggregate_mean: Floats
    """Mean of the aggregate posterior q(z) = E_x q(z | x) (Z,); the prior has 0."""
    aggregate_covariance: Floats
    """Covariance of the aggregate posterior (Z, Z); the prior has the identity."""
    moment_gap: float
    """KL between a Gaussian of these two moments and the prior, in nats: how far the aggregate
    posterior is from the prior as far as mean and covariance can tell. 0 where they agree."""
    samples: int
    """Samples that were counted."""


class PosteriorSums:
    """Posterior statistics accumulated in float64 over batches of any size.

    Parameters
    ----------
    latents
        Number of latents Z.
    active_variance
        Var_x E_q[z_j] above which a latent is active. Default 0.01 (Burda et al., 2015).

    Raises
    ------
    ConfigError
        If there is no latent.
    """

    def __init__(self, latents: int, *, active_variance: float = 0.01) -> None:
        if latents < 1:
            raise ConfigError("a code needs at least one latent", why=f"got {latents}")
        self._active_variance = active_variance
        self._means = CovarianceSums(latents)
        self._variances = MomentSums(latents)
        self._kl = MomentSums(latents)

    def update(self, mean: Array, log_variance: Array) -> None:
        """Add the posteriors of a batch: means and log-variances, both (B, Z).

        Raises
        ------
        DataError
            If shapes differ or a value is not finite.
        """
        kl = gaussian_kl(mean, log_variance)
        self._kl.update(kl)
        self._means.update(mean)
        self._variances.update(np.exp(as_matrix(log_variance, "the log-variance")))

    def result(self) -> PosteriorSummary:
        """Return the statistics over everything added so far.

        Raises
        ------
        DataError
            If no sample was added.
        """
        if not self._means.count:
            raise DataError("no posterior was given, so there are no statistics")
        spread = self._means.covariance
        mean_variance = np.diag(spread).copy()
        # Law of total covariance: that of the means plus the mean of the posteriors' own.
        covariance = spread + np.diag(self._variances.mean)
        centre = self._means.mean.copy()
        determinant = float(np.linalg.slogdet(covariance)[1])
        gap = 0.5 * (float(np.trace(covariance)) + float(centre @ centre) - len(centre))
        return PosteriorSummary(
            active_units=int((mean_variance > self._active_variance).sum()),
            active_variance=self._active_variance,
            mean_variance=mean_variance,
            kl=self._kl.mean.copy(),
            rate=float(self._kl.mean.sum()),
            aggregate_mean=centre,
            aggregate_covariance=covariance,
            moment_gap=max(gap - 0.5 * determinant, 0.0),
            samples=self._means.count,
        )


def gaussian_kl(mean: Array, log_variance: Array) -> Floats:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of each latent of each sample, in nats (B, Z).

    1/2 (mean^2 + variance - 1 - log variance); with expm1, so that it stays right near 0.

    Raises
    ------
    DataError
        If shapes differ or a value is not finite.
    """
    same_shape(mean, log_variance, "means and log-variances")
    centre, logs = as_matrix(mean, "the mean"), as_matrix(log_variance, "the log-variance")
    return np.asarray(0.5 * (centre**2 + (np.expm1(logs) - logs)))


@dataclass(frozen=True)
class RateDistortion:
    """A model as a point in the plane of rate and distortion, in nats a sample."""

    rate: float
    """KL(q(z | x) || p(z)), mean over samples."""
    distortion: float
    """-E_q log p(x | z), mean over samples."""
    elbo: float
    """-(`rate` + `distortion`): points on one falling diagonal share it."""


def rate_distortion(distortion: Array, rate: Array) -> RateDistortion:
    """Return the point of a split from its per-sample terms, both (N,), unweighted.

    Use `isthmus.metrics.averages.SampleMeans` for terms that come in batches. No weight (beta,
    capacity, free bits, warm-up) belongs in either term.

    Raises
    ------
    DataError
        If the lengths differ, there is no sample, or a value is not finite.
    """
    means = SampleMeans()
    means.update({"distortion": distortion, "rate": rate})
    point = means.result()
    total = point["rate"] + point["distortion"]
    return RateDistortion(point["rate"], point["distortion"], -total)


@dataclass(frozen=True)
class InformationBound:
    """A lower bound of the information that a sampled code carries about its input, in nats."""

    bound: float
    """Lower bound of I_q(x; z), in expectation; at most `ceiling`."""
    ceiling: float
    """log of the number of samples: a bound near it says only "at least this much"."""
    standard_error: float
    """Standard error of `bound` over the samples (0 with one)."""
    samples: int
    """Samples that were used."""


def mutual_information_bound(
    mean: Array, log_variance: Array, *, seed: int = 0, chunk: int = 256
) -> InformationBound:
    """Bound I_q(x; z) from below for diagonal Gaussian posteriors.

    With z_i ~ q(z | x_i), the mean over i of log q(z_i | x_i) - log (1/n) sum_j q(z_i | x_j) is
    at most the information in expectation (InfoNCE with the known conditional; Poole et al.,
    "On variational bounds of mutual information", 2019), and never more than log n. The mean
    rate less this bound is about KL(q(z) || p(z)), the mismatch of the aggregate posterior.

    Parameters
    ----------
    mean, log_variance
        Posterior means and log-variances (n, Z). Time is n^2 Z; a few thousand samples serve.
    seed
        Seed of the codes that are drawn.
    chunk
        Rows handled at once; memory is chunk x n float64. The result does not depend on it.

    Raises
    ------
    DataError
        If shapes differ, there is no sample, or a value is not finite.
    """
    from scipy.special import logsumexp

    same_shape(mean, log_variance, "means and log-variances")
    centre, logs = as_matrix(mean, "the mean"), as_matrix(log_variance, "the log-variance")
    count = len(centre)
    if not count:
        raise DataError("no posterior was given, so there is no information")
    noise = np.random.default_rng(seed).standard_normal(centre.shape)
    codes = centre + np.exp(0.5 * logs) * noise
    precision = np.exp(-logs)
    weighted = centre * precision
    offset = (centre * weighted + logs).sum(axis=1)
    own = -0.5 * (noise**2 + logs).sum(axis=1)
    values = np.empty(count)
    for start in range(0, count, chunk):
        part = slice(start, start + chunk)
        z = codes[part]
        density = -0.5 * (z**2 @ precision.T - 2 * z @ weighted.T + offset)
        # The sample's own density is known without cancellation; use it in the sum as well.
        rows = np.arange(len(z))
        density[rows, rows + start] = own[part]
        values[part] = own[part] - logsumexp(density, axis=1) + np.log(count)
    error = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0
    return InformationBound(float(values.mean()), float(np.log(count)), error, count)
