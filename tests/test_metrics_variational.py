"""Active units, KL, rate and information of Gaussian posteriors against closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from isthmus.errors import ConfigError, DataError
from isthmus.metrics import (
    CovarianceSums,
    MomentSums,
    PosteriorSums,
    gaussian_kl,
    mutual_information_bound,
    rate_distortion,
)


def test_kl_agrees_with_torch_and_stays_right_near_the_prior():
    rng = np.random.default_rng(0)
    mean, logs = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    q = Normal(torch.tensor(mean), torch.tensor(np.exp(0.5 * logs)))
    expected = kl_divergence(q, Normal(torch.tensor(0.0), torch.tensor(1.0)))
    np.testing.assert_allclose(gaussian_kl(mean, logs), expected, rtol=1e-10)
    # Half of exp(1e-7) - 1 - 1e-7 is 2.5e-15, which plain float64 gets wrong in the second digit.
    tiny = gaussian_kl(np.zeros((1, 1)), np.full((1, 1), 1e-7))[0, 0]
    assert tiny == pytest.approx(2.5e-15, rel=1e-4, abs=0)
    assert (gaussian_kl(mean, logs) >= 0).all()  # the sign: pythae's kin logged it reversed


def test_posterior_summary_by_hand():
    mean = np.array([[1.0, 0.05], [-1.0, -0.05]])
    logs = np.log([[0.5, 1.0], [0.25, 1.0]])
    sums = PosteriorSums(2)
    sums.update(mean, logs)
    result = sums.result()
    assert result.active_units == 1
    np.testing.assert_allclose(result.mean_variance, [1, 0.0025])
    first = 0.5 * (1 + 0.375 - 1 - (math.log(0.5) + math.log(0.25)) / 2)
    np.testing.assert_allclose(result.kl, [first, 0.5 * 0.0025])
    assert result.rate == pytest.approx(first + 0.00125)
    np.testing.assert_allclose(result.aggregate_mean, 0, atol=1e-15)
    covariance = np.array([[1.375, 0.05], [0.05, 1.0025]])
    np.testing.assert_allclose(result.aggregate_covariance, covariance)
    gap = 0.5 * (2.3775 - 2 - math.log(np.linalg.det(covariance)))
    assert result.moment_gap == pytest.approx(gap)


def test_active_units_exceed_their_threshold():
    mean = np.array([[0.1, 0.11, 5.0], [-0.1, -0.11, 5.0]])  # variances .01, .0121, 0
    sums = PosteriorSums(3, active_variance=0.0101)
    sums.update(mean, np.zeros((2, 3)))
    assert sums.result().active_units == 1


def test_a_posterior_that_is_the_prior_has_no_rate_and_no_gap():
    sums = PosteriorSums(4)
    sums.update(torch.zeros(9, 4), torch.zeros(9, 4))
    result = sums.result()
    assert (result.active_units, result.rate, result.moment_gap) == (0, 0, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 19), max_size=5).map(sorted))
def test_posterior_sums_do_not_depend_on_batches(ends):
    rng = np.random.default_rng(1)
    mean, logs = rng.normal(size=(19, 3)) + 1000, rng.normal(size=(19, 3))
    whole, parts = PosteriorSums(3), PosteriorSums(3)
    whole.update(mean, logs)
    for a, b in zip(np.split(mean, ends), np.split(logs, ends), strict=True):
        parts.update(a, b)
    one, other = whole.result(), parts.result()
    for name, value in vars(one).items():
        np.testing.assert_allclose(getattr(other, name), value, rtol=1e-9, atol=1e-9)


def test_moments_survive_a_large_offset():
    values = np.random.default_rng(2).normal(size=(1000, 3)) * 1e-3
    moments, covariance = MomentSums(3), CovarianceSums(3)
    for part in np.array_split(values + 1e6, 7):
        moments.update(part)
        covariance.update(part)
    # E[x^2] - E[x]^2 would leave nothing of a variance of 1e-6 beside 1e12.
    np.testing.assert_allclose(moments.variance, (values + 1e6).var(axis=0), rtol=1e-6)
    expected = np.cov((values + 1e6).T, bias=True)
    np.testing.assert_allclose(covariance.covariance, expected, rtol=1e-6, atol=1e-12)


def test_information_of_well_separated_posteriors_is_log_n():
    mean = 1000.0 * np.arange(32)[:, None]
    result = mutual_information_bound(mean, np.zeros((32, 1)))
    assert result.bound == pytest.approx(math.log(32))
    assert result.ceiling == pytest.approx(math.log(32))


def test_information_of_equal_posteriors_is_zero():
    result = mutual_information_bound(np.ones((50, 3)), np.full((50, 3), -2.0))
    assert result.bound == pytest.approx(0, abs=1e-12)


def test_information_of_a_gaussian_channel():
    # x ~ N(0, 3), z = x + N(0, 1): I = 1/2 log(1 + 3) = log 2.
    mean = np.random.default_rng(3).normal(scale=math.sqrt(3), size=(4000, 1))
    result = mutual_information_bound(mean, np.zeros((4000, 1)), seed=1)
    assert abs(result.bound - math.log(2)) < 4 * result.standard_error
    assert result.standard_error < 0.02
    # The rate is above it by KL(N(0, 4) || N(0, 1)): the code's mismatch with the prior.
    rate = gaussian_kl(mean, np.zeros((4000, 1))).mean()
    gap = 0.5 * (4 - 1 - math.log(4))
    assert rate - result.bound == pytest.approx(gap, abs=0.1)


def test_information_does_not_depend_on_chunks_but_on_the_seed():
    rng = np.random.default_rng(4)
    mean, logs = torch.tensor(rng.normal(size=(30, 2))), torch.tensor(rng.normal(size=(30, 2)))
    first = mutual_information_bound(mean, logs, chunk=7)
    assert first.bound == pytest.approx(mutual_information_bound(mean, logs).bound, rel=1e-12)
    assert first.bound != mutual_information_bound(mean, logs, seed=9).bound
    assert mutual_information_bound(mean[:1], logs[:1]).standard_error == 0


def test_rate_distortion_point():
    point = rate_distortion(np.array([70.0, 80.0]), torch.tensor([20.0, 30.0]))
    assert (point.rate, point.distortion, point.elbo) == (25.0, 75.0, -100.0)
    with pytest.raises(DataError, match="one value a sample"):
        rate_distortion(np.zeros(2), np.zeros(3))


def test_variational_refuses():
    with pytest.raises(DataError, match="same shape"):
        gaussian_kl(np.zeros((2, 3)), np.zeros((2, 1)))
    with pytest.raises(DataError, match="same shape"):
        mutual_information_bound(np.zeros((2, 3)), np.zeros((2, 1)))
    with pytest.raises(DataError, match="no posterior"):
        mutual_information_bound(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(DataError, match="no posterior"):
        PosteriorSums(2).result()
    with pytest.raises(ConfigError, match="at least one latent"):
        PosteriorSums(0)
    with pytest.raises(DataError, match="another width"):
        PosteriorSums(2).update(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(DataError, match="no variance"):
        _ = MomentSums(2).variance
    with pytest.raises(DataError, match="no covariance"):
        _ = CovarianceSums(2).covariance
