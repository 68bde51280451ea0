"""Negative log-likelihood by importance sampling, in nats, with the error that it carries.

With importance weights w_i = p(x, z_i) / q(z_i | x), z_i ~ q(z | x), the estimate of a datum is
NLL(x) = -log (1/n) sum_i w_i, where n is the number of weights that were *really* drawn. It is
positive where the likelihood is below one, and in expectation an upper bound of the true NLL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.arrays import Array, Floats, as_float64

if TYPE_CHECKING:
    import torch

__all__ = [
    "ImportanceEstimate",
    "ImportanceSums",
    "Likelihood",
    "LikelihoodSums",
    "importance_estimate",
    "log_mean_exp",
    "multi_sample_bound",
]


@overload
def log_mean_exp(log_weights: torch.Tensor, dim: int = ...) -> torch.Tensor: ...
@overload
def log_mean_exp(log_weights: Floats, dim: int = ...) -> Floats: ...
def log_mean_exp(log_weights: Array, dim: int = 0) -> Array:
    """Return log of the mean of exp(``log_weights``) along ``dim``, without overflow.

    A tensor gives a tensor (of its own dtype, differentiable), an array a float64 array. Weights
    of zero (-inf) are allowed; where all are zero the result is -inf.

    Raises
    ------
    DataError
        If there is nothing to average along ``dim``.
    """
    if not log_weights.shape[dim]:
        raise DataError("no importance weight was given, so there is no mean")
    if not isinstance(log_weights, np.ndarray) and hasattr(log_weights, "detach"):
        import torch

        count = torch.tensor(float(log_weights.shape[dim]), dtype=torch.float64).log()
        return log_weights.logsumexp(dim) - float(count)
    from scipy.special import logsumexp

    values = as_float64(log_weights)
    return np.asarray(logsumexp(values, axis=dim) - np.log(values.shape[dim]))


@dataclass(frozen=True, eq=False)
class ImportanceEstimate:
    """Importance-sampled likelihood of each datum of a batch, in nats."""

    nll: Floats
    """-log of the mean weight (B,)."""
    elbo: Floats
    """Mean log-weight (B,): the ordinary ELBO, by sampling. At most -`nll`."""
    effective_samples: Floats
    """(sum w)^2 / sum w^2 (B,), from 1 (one weight rules) to `samples`."""
    standard_error: Floats
    """Standard error of `nll` by the delta method (B,); NaN with one sample. It is too small where
    `effective_samples` is small: large weights that were not met are not in it."""
    samples: int
    """Weights that were drawn for each datum."""


class ImportanceSums:
    """Weights of one batch of data, streamed in chunks of samples of any size.

    Sums are kept relative to the largest weight so far, so the outcome equals that of all weights
    at once but for rounding, and no chunk has to divide the number of samples.

    Examples
    --------
    >>> sums = ImportanceSums()
    >>> sums.update(np.log([[1.0], [2.0]]))  # two samples of one datum
    >>> sums.update(np.log([[3.0]]))  # a shorter last chunk
    >>> round(float(np.exp(-sums.result().nll[0])), 12), sums.result().samples
    (2.0, 3)
    """

    def __init__(self) -> None:
        self._samples = 0
        self._peak: Floats = np.zeros(0)
        self._first: Floats = np.zeros(0)
        self._second: Floats = np.zeros(0)
        self._logs: Floats = np.zeros(0)

    def update(self, log_weights: Array) -> None:
        """Add log-weights (n, B): samples first, then data.

        Raises
        ------
        DataError
            If the shape is not (n, B) with the same B, or a value is NaN or +inf.
        """
        chunk = as_float64(log_weights)
        if chunk.ndim != 2 or (self._samples and chunk.shape[1] != self._peak.size):
            raise DataError(
                "log-weights must be (samples, data), with the same data in every chunk",
                why=f"got shape {chunk.shape}",
            )
        if np.isnan(chunk).any() or np.isposinf(chunk).any():
            raise DataError("log-weights hold NaN or +inf", fix="look for a variance of zero")
        if not len(chunk):
            return
        if not self._samples:
            self._peak = np.full(chunk.shape[1], -np.inf)
            self._first, self._second, self._logs = (np.zeros(chunk.shape[1]) for _ in range(3))
        peak = np.maximum(self._peak, chunk.max(axis=0))
        # Where every weight so far is zero the peak is -inf; any finite shift serves there.
        shift = np.where(np.isneginf(peak), 0.0, peak)
        keep = np.exp(self._peak - shift)
        weights = np.exp(chunk - shift)
        self._first = self._first * keep + weights.sum(axis=0)
        self._second = self._second * keep**2 + (weights**2).sum(axis=0)
        self._logs = self._logs + chunk.sum(axis=0)
        self._peak = peak
        self._samples += len(chunk)

    def result(self) -> ImportanceEstimate:
        """Return the estimate from all weights added so far.

        Raises
        ------
        DataError
            If no weight was added, or if all weights of a datum are zero.
        """
        n = self._samples
        if not n:
            raise DataError("no importance weight was given, so there is no likelihood")
        if np.isneginf(self._peak).any():
            raise DataError("every importance weight of a datum is zero, so its NLL is infinite")
        effective = self._first**2 / self._second
        # Var(log m) ~ Var(w) / (n mean(w)^2); with the unbiased variance that is (n/ESS-1)/(n-1).
        relative = np.maximum(n / effective - 1, 0.0)
        error = np.sqrt(relative / (n - 1)) if n > 1 else np.full_like(effective, np.nan)
        nll = np.log(n) - np.log(self._first) - self._peak
        return ImportanceEstimate(nll, self._logs / n, effective, error, n)


def importance_estimate(log_weights: Array) -> ImportanceEstimate:
    """Return the estimate from log-weights (n, B) that are all at hand; see `ImportanceSums`."""
    sums = ImportanceSums()
    sums.update(log_weights)
    return sums.result()


def multi_sample_bound(log_weights: Array, k: int) -> Floats:
    """Return the k-sample (IWAE) bound L_k of each datum, in nats (B,): at most log p(x).

    The n log-weights (n, B) are cut into n/k groups; L_k is the mean over groups of log of the
    group's mean weight. k = 1 is the ELBO, k = n is -NLL. (The training surrogate, the
    self-normalised mean of log-weights, is *not* the bound: it is larger.)

    Raises
    ------
    ConfigError
        If ``k`` is below 1 or does not divide n: no sample is left out quietly.
    DataError
        If ``log_weights`` is not (n, B).
    """
    values = as_float64(log_weights)
    if values.ndim != 2:
        raise DataError("log-weights must be (samples, data)", why=f"got shape {values.shape}")
    if k < 1 or len(values) % k or not len(values):
        raise ConfigError("k must divide the number of samples", why=f"{len(values)} and {k}")
    groups = values.reshape(len(values) // k, k, values.shape[1])
    return np.asarray(log_mean_exp(groups, 1).mean(axis=0))


@dataclass(frozen=True)
class Likelihood:
    """Importance-sampled likelihood of a whole split, in nats a sample."""

    nll: float
    """Negative log-likelihood, mean over samples: positive for binary data, and no less in
    expectation than the true one."""
    elbo: float
    """Sampled ELBO, mean over samples; at most -`nll`."""
    sampling_error: float | None
    """Standard error of `nll` from the finite number of importance samples alone; None with one."""
    standard_error: float | None
    """Standard error of `nll` as an estimate for new data (spread over samples / sqrt count);
    None with a single datum."""
    effective_samples_median: float
    """Median over data of the effective sample size."""
    effective_samples_min: float
    """Least effective sample size of any datum: near 1 the estimate can't be trusted there."""
    importance_samples: int
    """Importance samples drawn for each datum."""
    samples: int
    """Data that were counted."""
    protocol: str
    """How the data were made binary, if they were: "static", "dynamic", "none", ..."""


class LikelihoodSums:
    """Likelihood of a split from the estimates of its batches.

    Parameters
    ----------
    protocol
        Named in the result: numbers on static and on dynamic binarisation can't be compared.
    """

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self._parts: list[ImportanceEstimate] = []

    def update(self, estimate: ImportanceEstimate) -> None:
        """Add a batch.

        Raises
        ------
        DataError
            If it was made with another number of importance samples than those before.
        """
        if self._parts and estimate.samples != self._parts[0].samples:
            raise DataError(
                "batches were estimated with different numbers of importance samples",
                why=f"{self._parts[0].samples} and {estimate.samples}",
            )
        self._parts.append(estimate)

    def result(self) -> Likelihood:
        """Return the likelihood over all batches.

        Raises
        ------
        DataError
            If there is none.
        """
        nll = np.concatenate([part.nll for part in self._parts] or [np.zeros(0)])
        if not nll.size:
            raise DataError("no estimate was given, so there is no likelihood")
        effective = np.concatenate([part.effective_samples for part in self._parts])
        errors = np.concatenate([part.standard_error for part in self._parts])
        drawn = self._parts[0].samples
        sampling = float(np.sqrt((errors**2).sum())) / nll.size if drawn > 1 else None
        spread = float(nll.std(ddof=1) / np.sqrt(nll.size)) if nll.size > 1 else None
        return Likelihood(
            nll=float(nll.mean()),
            elbo=float(np.concatenate([part.elbo for part in self._parts]).mean()),
            sampling_error=sampling,
            standard_error=spread,
            effective_samples_median=float(np.median(effective)),
            effective_samples_min=float(effective.min()),
            importance_samples=drawn,
            samples=nll.size,
            protocol=self._protocol,
        )
