"""Importance-sampled likelihood against closed forms, and the errors met in other libraries."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from isthmus.errors import ConfigError, DataError
from isthmus.metrics import (
    ImportanceSums,
    LikelihoodSums,
    importance_estimate,
    linear_gaussian_nll,
    log_mean_exp,
    multi_sample_bound,
    ppca_nll,
)


class LinearGaussian:
    """x = W z + mean + noise, with its exact posterior, widened by choice."""

    def __init__(self, seed=0, width=6, latents=2, variance=0.3):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(size=(width, latents))
        self.mean, self.variance = rng.normal(size=width), variance
        noise = rng.normal(size=(40, width)) * np.sqrt(variance)
        self.x = rng.normal(size=(40, latents)) @ self.weights.T + self.mean + noise
        self.covariance = self.weights @ self.weights.T + variance * np.eye(width)

    def exact(self):
        return -multivariate_normal(self.mean, self.covariance).logpdf(self.x)

    def log_weights(self, samples, seed=1, widen=1.3):
        """log p(x, z) - log q(z | x), q the posterior with covariance times ``widen``: (n, B)."""
        rng = np.random.default_rng(seed)
        latents = self.weights.shape[1]
        precision = np.eye(latents) + self.weights.T @ self.weights / self.variance
        covariance = np.linalg.inv(precision)
        centres = (self.x - self.mean) @ self.weights @ covariance / self.variance
        noise = rng.multivariate_normal(
            np.zeros(latents), widen * covariance, (samples, len(self.x))
        )
        z = centres + noise
        error = self.x - self.mean - z @ self.weights.T
        likelihood = -0.5 * (error**2 / self.variance + np.log(2 * np.pi * self.variance)).sum(-1)
        prior = -0.5 * (z**2 + np.log(2 * np.pi)).sum(-1)
        proposal = multivariate_normal(np.zeros(latents), widen * covariance).logpdf(noise)
        return likelihood + prior - proposal


def test_exact_likelihoods_agree_with_scipy():
    model = LinearGaussian()
    exact = model.exact()
    found = linear_gaussian_nll(model.x, model.mean, model.weights, model.variance)
    np.testing.assert_allclose(found, exact, rtol=1e-10)
    values, vectors = np.linalg.eigh(model.covariance)
    for dims in (1, 2, 6):  # any number of directions whose other eigenvalues are the noise
        if dims == 1:
            continue
        rows, scales = vectors[:, ::-1].T[:dims], values[::-1][:dims]
        np.testing.assert_allclose(
            ppca_nll(torch.tensor(model.x), model.mean, rows, scales, model.variance), exact
        )


def test_estimate_meets_the_closed_form_within_its_own_error():
    model = LinearGaussian()
    estimate = importance_estimate(model.log_weights(4000))
    error = (estimate.nll - model.exact()) / estimate.standard_error
    assert np.abs(error).max() < 4.5
    assert 0.6 < error.std() < 1.4  # the standard error is neither idle nor boastful
    assert (-estimate.elbo > estimate.nll).all()


def test_the_exact_posterior_needs_one_sample():
    model = LinearGaussian()
    estimate = importance_estimate(model.log_weights(50, widen=1.0))
    np.testing.assert_allclose(estimate.nll, model.exact(), rtol=1e-10)
    np.testing.assert_allclose(estimate.effective_samples, 50)
    assert estimate.standard_error.max() < 1e-6


def test_nll_is_positive_where_the_probability_is_below_one():
    """Regression: pythae's get_nll returned +log p, and its test asserted nll < 0."""
    estimate = importance_estimate(np.log(np.full((4, 1), 0.125)))
    assert estimate.nll[0] == pytest.approx(math.log(8))


@pytest.mark.parametrize(("n", "chunk"), [(1000, 300), (10, 4), (3, 7)])
def test_every_sample_counts_once_whatever_the_chunks(n, chunk):
    """Regression: scvi drew ceil(n / chunk) chunks but took log n; pythae dropped the rest."""
    log_weights = np.random.default_rng(3).normal(scale=3, size=(n, 5)) - 500
    sums = ImportanceSums()
    for start in range(0, n, chunk):
        sums.update(log_weights[start : start + chunk])
    streamed, whole = sums.result(), importance_estimate(log_weights)
    assert streamed.samples == n
    np.testing.assert_allclose(streamed.nll, -log_mean_exp(log_weights), rtol=1e-13)
    for name in ("nll", "elbo", "effective_samples", "standard_error"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(whole, name), rtol=1e-10)
    # Equal weights: any bias of log(drawn / n) would show in full.
    flat = ImportanceSums()
    for start in range(0, n, chunk):
        flat.update(np.zeros((len(log_weights[start : start + chunk]), 1)))
    assert flat.result().nll[0] == pytest.approx(0, abs=1e-12)


def test_estimate_by_hand():
    estimate = importance_estimate(np.log([[1.0], [3.0]]))
    assert estimate.nll[0] == pytest.approx(-math.log(2))
    assert estimate.elbo[0] == pytest.approx(math.log(3) / 2)
    assert estimate.effective_samples[0] == pytest.approx(16 / 10)
    # s^2 = 2, mean 2: sqrt(2 / 2) / 2.
    assert estimate.standard_error[0] == pytest.approx(0.5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-800, 800), min_size=1, max_size=12),
    st.floats(-1e4, 1e4),
    st.integers(1, 12),
)
def test_properties_of_the_estimate(values, shift, end):
    column = np.array(values)[:, None]
    sums = ImportanceSums()
    sums.update(column[:end])
    sums.update(column[end:])
    base, moved = sums.result(), importance_estimate(column + shift)
    assert moved.nll[0] == pytest.approx(base.nll[0] - shift, abs=1e-7)
    assert -base.nll[0] >= base.elbo[0] - 1e-9
    assert 1 - 1e-9 <= base.effective_samples[0] <= len(values) + 1e-9


def test_zero_weights():
    sums = ImportanceSums()
    sums.update(np.array([[-np.inf, 0.0]]))
    with pytest.raises(DataError, match="infinite"):
        sums.result()
    sums.update(np.array([[0.0, -np.inf]]))
    np.testing.assert_allclose(sums.result().nll, np.log(2))
    assert sums.result().effective_samples.tolist() == [1.0, 1.0]


def test_log_mean_exp_of_arrays_and_tensors():
    values = np.array([[1000.0, -1000.0], [1000.0, -np.inf]])
    np.testing.assert_allclose(log_mean_exp(values), [1000, -1000 - math.log(2)])
    np.testing.assert_allclose(log_mean_exp(values, 1), [1000 - math.log(2)] * 2)
    assert np.isneginf(log_mean_exp(np.full((2, 1), -np.inf)))[0]
    tensor = torch.tensor([[1.0], [3.0]], dtype=torch.float64, requires_grad=True)
    result = log_mean_exp(tensor, 0)
    result.sum().backward()
    assert result.item() == pytest.approx(math.log((math.e + math.e**3) / 2))
    np.testing.assert_allclose(tensor.grad.sum(), 1)
    for empty in (np.zeros((0, 2)), torch.zeros(0, 2)):
        with pytest.raises(DataError, match="no importance weight"):
            log_mean_exp(empty)


def test_multi_sample_bound_is_the_bound_and_not_the_surrogate():
    """Regression: pythae reported sum w~ log w, which exceeds the bound, as the IWAE loss."""
    log_weights = np.random.default_rng(4).normal(scale=2, size=(100, 400))
    bounds = [multi_sample_bound(log_weights, k).mean() for k in (1, 5, 20, 100)]
    assert bounds == sorted(bounds)
    estimate = importance_estimate(log_weights)
    np.testing.assert_allclose(multi_sample_bound(log_weights, 1), estimate.elbo)
    np.testing.assert_allclose(multi_sample_bound(log_weights, 100), -estimate.nll)
    shares = np.exp(log_weights - np.logaddexp.reduce(log_weights))
    surrogate = (shares * log_weights).sum(axis=0)
    assert (surrogate > -estimate.nll).all()
    by_hand = multi_sample_bound(np.log([[1.0], [3.0], [4.0], [4.0]]), 2)
    assert by_hand[0] == pytest.approx((math.log(2) + math.log(4)) / 2)
    for k in (0, 3, 101):
        with pytest.raises(ConfigError, match="divide"):
            multi_sample_bound(log_weights, k)
    with pytest.raises(DataError, match="shape"):
        multi_sample_bound(np.zeros(3), 1)


def test_likelihood_of_a_split():
    log_weights = np.random.default_rng(5).normal(size=(30, 11)) - 80
    whole, parts = LikelihoodSums("static"), LikelihoodSums("static")
    whole.update(importance_estimate(log_weights))
    for start in (0, 4, 8):  # a short last batch
        parts.update(importance_estimate(log_weights[:, start : start + 4]))
    a, b = whole.result(), parts.result()
    assert a == b
    each = importance_estimate(log_weights)
    assert a.nll == pytest.approx(each.nll.mean())
    assert a.nll > 0 > a.elbo
    assert a.effective_samples_median == np.median(each.effective_samples)
    assert a.effective_samples_min == each.effective_samples.min()
    assert a.sampling_error == pytest.approx(np.sqrt((each.standard_error**2).sum()) / 11)
    assert a.standard_error == pytest.approx(each.nll.std(ddof=1) / np.sqrt(11))
    assert (a.importance_samples, a.samples, a.protocol) == (30, 11, "static")


def test_likelihood_with_one_sample_or_one_datum():
    sums = LikelihoodSums("none")
    sums.update(importance_estimate(np.zeros((1, 1))))
    result = sums.result()
    assert (result.sampling_error, result.standard_error) == (None, None)
    assert result.effective_samples_min == 1


def test_likelihood_refuses():
    sums = LikelihoodSums("none")
    with pytest.raises(DataError, match="no estimate"):
        sums.result()
    sums.update(importance_estimate(np.zeros((3, 2))))
    with pytest.raises(DataError, match="different numbers"):
        sums.update(importance_estimate(np.zeros((4, 2))))
    streaming = ImportanceSums()
    with pytest.raises(DataError, match="no importance weight"):
        streaming.result()
    for bad in (np.full((1, 1), np.nan), np.full((1, 1), np.inf)):
        with pytest.raises(DataError, match="NaN"):
            streaming.update(bad)
    with pytest.raises(DataError, match="shape"):
        streaming.update(np.zeros(3))
    streaming.update(np.zeros((2, 3)))
    streaming.update(np.zeros((0, 3)))
    with pytest.raises(DataError, match="same data"):
        streaming.update(np.zeros((2, 4)))
    assert streaming.result().samples == 2


def test_exact_likelihood_refuses():
    eye = np.eye(3)
    with pytest.raises(ConfigError, match="fit the samples"):
        ppca_nll(np.zeros((2, 3)), np.zeros(3), eye[:2], np.ones(3), 1.0)
    with pytest.raises(ConfigError, match="fit the samples"):
        ppca_nll(np.zeros((2, 3)), np.zeros(2), eye[:2], np.ones(2), 1.0)
    for scales, variance in (([1.0, 0.0], 1.0), ([1.0, 1.0], 0.0), ([1.0, 1.0], np.nan)):
        with pytest.raises(ConfigError, match="positive"):
            ppca_nll(np.zeros((2, 3)), np.zeros(3), eye[:2], np.array(scales), variance)
    with pytest.raises(ConfigError, match=r"\(D, d\)"):
        linear_gaussian_nll(np.zeros((2, 3)), np.zeros(3), np.zeros(3), 1.0)
    with pytest.raises(DataError, match="not finite"):
        linear_gaussian_nll(np.zeros((2, 3)), np.zeros(3), np.full((3, 1), np.nan), 1.0)
