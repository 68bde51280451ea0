"""Reconstruction error, cross-entropy and averages: values by hand, any batches, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.errors import ConfigError, DataError
from isthmus.metrics import (
    BernoulliSums,
    ReconstructionSums,
    SampleMeans,
    bce,
    bce_floor,
    bce_from_logits,
    squared_errors,
)


def cuts(count: int):
    """Every way to cut ``count`` samples into batches, empty ones included."""
    return st.lists(st.integers(0, count), max_size=6).map(sorted)


def test_reconstruction_by_hand():
    x = np.array([[1.0, 3.0], [5.0, 7.0]])
    xhat = np.array([[1.0, 2.0], [5.0, 9.0]])  # errors 0, -1, 0, 2
    sums = ReconstructionSums(np.array([3.0, 5.0]), clip=(0, 8))
    sums.update(x, xhat)
    result = sums.result()
    assert result.mse == 5 / 4
    assert result.sse == 5 / 2
    assert result.fvu == 5 / 16  # squares about (3, 5): 4 + 4 + 4 + 4
    assert result.mae == 3 / 4
    assert result.max_error == 2
    assert result.clipped_mse == 2 / 4  # 9 becomes 8
    assert result.samples == 2
    assert squared_errors(x, xhat).tolist() == [1.0, 4.0]


def test_fvu_is_about_the_training_mean_not_the_splits_own():
    x = np.array([[2.0], [4.0]])
    sums = ReconstructionSums(0.0)
    sums.update(x, np.array([[3.0], [3.0]]))
    # About the split's own mean, 3, this would be 1.
    assert sums.result().fvu == 2 / 20


def test_the_training_mean_scores_one_and_perfection_zero():
    x = np.random.default_rng(0).normal(size=(50, 3, 4))
    mean = np.full((3, 4), 0.5)
    for guess, expected in ((np.broadcast_to(mean, x.shape), 1.0), (x, 0.0)):
        sums = ReconstructionSums(mean)
        sums.update(x, guess)
        assert sums.result().fvu == pytest.approx(expected, abs=1e-15)


@settings(max_examples=40, deadline=None)
@given(cuts(23))
def test_reconstruction_does_not_depend_on_batches(ends):
    rng = np.random.default_rng(1)
    x, xhat = rng.normal(size=(2, 23, 5)).astype(np.float32)
    whole = ReconstructionSums(x.mean(axis=0), clip=(-1, 1))
    whole.update(x, xhat)
    parts = ReconstructionSums(torch.tensor(x.mean(axis=0)), clip=(-1, 1))
    for a, b in zip(np.split(x, ends), np.split(xhat, ends), strict=True):
        parts.update(torch.tensor(a, requires_grad=True), torch.tensor(b))
    one, other = whole.result(), parts.result()
    assert other.samples == 23
    for name in ("mse", "sse", "fvu", "mae", "max_error", "clipped_mse"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-13)


def test_a_short_last_batch_counts_for_what_it_holds():
    """Regression: the mean of batch means over-weights the last batch (pythae's trainers)."""
    sums = ReconstructionSums(0.0)
    sums.update(np.ones((9, 1)), np.ones((9, 1)))
    sums.update(np.ones((1, 1)), np.zeros((1, 1)))
    assert sums.result().mse == 0.1  # the mean of batch means is 0.5

    means = SampleMeans()
    means.update({"a": np.zeros(9), "b": np.ones(9)})
    means.update({"a": np.ones(1), "b": torch.ones(1)})
    assert means.result() == {"a": 0.1, "b": 1.0}


def test_float64_holds_a_small_error_on_top_of_many():
    sums = ReconstructionSums(0.0)
    big, small = np.full((1, 1), 1e4, np.float32), np.full((1, 1), 1e-1, np.float32)
    sums.update(big, np.zeros_like(big))
    for _ in range(1000):
        sums.update(small, np.zeros_like(small))
    # In float32 every one of the 1000 would vanish beside 1e8.
    assert sums.result().sse * 1001 == pytest.approx(1e8 + 1000 * float(small[0, 0]) ** 2, abs=1e-4)


def test_half_precision_tensors_are_read():
    x = torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16)
    assert squared_errors(x, torch.zeros(1, 2)).tolist() == [5.0]


def test_constant_data_have_no_fvu():
    sums = ReconstructionSums(np.array([2.0]))
    sums.update(np.array([[2.0]]), np.array([[1.0]]))
    assert sums.result().fvu is None


@pytest.mark.parametrize(
    ("x", "xhat", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 1)), "same shape"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "another size"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), "input holds"),
        (np.zeros((2, 3)), np.full((2, 3), np.inf), "reconstruction holds"),
        (np.zeros(()), np.zeros(()), "first axis"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "without elements"),
    ],
)
def test_reconstruction_refuses(x, xhat, message):
    with pytest.raises(DataError, match=message):
        ReconstructionSums(np.zeros(3)).update(x, xhat)


def test_nothing_given_is_an_error_everywhere():
    for sums in (ReconstructionSums(0.0), BernoulliSums(), SampleMeans()):
        with pytest.raises(DataError, match="no sample"):
            sums.result()
    with pytest.raises(ConfigError, match="low < high"):
        ReconstructionSums(0.0, clip=(1, 1))


def test_the_place_of_a_nan_is_named():
    x = np.zeros((4, 3))
    x[2, 1] = np.nan
    with pytest.raises(DataError, match=r"\(2, 1\)"):
        squared_errors(x, np.zeros((4, 3)))


def test_bce_by_hand():
    x = np.array([[1.0, 0.0], [0.5, 1.0]])
    p = np.array([[0.5, 0.25], [0.5, 0.1]])
    expected = [math.log(2) - math.log(0.75), math.log(2) - math.log(0.1)]
    np.testing.assert_allclose(bce(x, p), expected, rtol=1e-14)
    np.testing.assert_allclose(bce_from_logits(x, np.log(p / (1 - p))), expected, rtol=1e-12)
    np.testing.assert_allclose(bce_floor(x), [0, math.log(2)], rtol=1e-14)

    sums = BernoulliSums()
    sums.update(x[:1], p[:1])
    sums.update(torch.tensor(x[1:]), torch.tensor(p[1:]))
    result = sums.result()
    assert result.bce == pytest.approx(sum(expected) / 4)
    assert result.per_sample == pytest.approx(sum(expected) / 2)
    assert result.floor == pytest.approx(math.log(2) / 4)
    assert result.excess == pytest.approx(result.bce - result.floor)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 99))
def test_no_probability_goes_below_the_floor(values, seed):
    x = np.array([values])
    p = np.random.default_rng(seed).uniform(size=x.shape)
    assert bce(x, p)[0] >= bce_floor(x)[0] - 1e-12
    # The inputs themselves reach it, but for the guard against a logarithm of zero.
    assert bce(x, x)[0] == pytest.approx(bce_floor(x)[0], abs=2e-6)


def test_bce_stays_finite_where_float32_saturates():
    assert np.isfinite(bce(np.array([[1.0]]), np.array([[0.0]])))[0]
    assert bce_from_logits(np.array([[1.0]]), np.array([[-1000.0]]))[0] == 1000.0
    assert bce_from_logits(np.array([[1.0]]), np.array([[1000.0]]))[0] == 0.0


def test_bce_outside_the_unit_interval_is_refused():
    """Regression: cross-entropy on inputs outside [0, 1] is a number without meaning."""
    with pytest.raises(DataError, match="the input must lie"):
        bce(np.array([[1.5]]), np.array([[0.5]]))
    with pytest.raises(DataError, match="the input must lie"):
        bce_from_logits(np.array([[-0.1]]), np.array([[0.5]]))
    with pytest.raises(DataError, match="the probability must lie"):
        bce(np.array([[1.0]]), np.array([[1.01]]))
    assert bce(np.array([[1.0]]), np.array([[1.01]]), clip=True)[0] == pytest.approx(1e-7, rel=1e-3)
    sums = BernoulliSums()
    sums.update(np.array([[1.0]]), np.array([[-1.0]]), clip=True)
    sums.update_from_logits(np.array([[1.0]]), np.array([[0.0]]))
    assert sums.result().bce == pytest.approx((math.log(1e7) + math.log(2)) / 2)


def test_averages_refuse_batch_means_and_changed_terms():
    means = SampleMeans()
    with pytest.raises(DataError, match="one value a sample"):
        means.update({"loss": np.float64(3.0)})
    with pytest.raises(DataError, match="one value a sample"):
        means.update({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(DataError, match="one value a sample"):
        means.update({})
    means.update({"loss": np.ones(2)})
    with pytest.raises(DataError, match="differ from those"):
        means.update({"other": np.ones(2)})
    with pytest.raises(DataError, match="'loss' holds"):
        means.update({"loss": np.array([np.nan])})
    assert means.result() == {"loss": 1.0}
