"""Sparsity of codes: values by hand, extremes, any batches, the notes' mistakes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isthmus.errors import ConfigError, DataError
from isthmus.metrics import (
    SIGMOID,
    CodeSums,
    ValueHistogram,
    gini,
    hoyer,
    population_sparseness,
    rate_histogram,
    relative_threshold,
)


def measure(codes, threshold=0.0, ends=(), **settings_):
    sums = CodeSums(codes.shape[1], threshold, **settings_)
    for part in np.split(codes, list(ends)):
        sums.update(part)
    return sums.result()


def test_codes_by_hand():
    codes = np.array([[3.0, 4.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    result = measure(codes)
    assert result.l0 == 4 / 4
    assert result.mean_activation == pytest.approx(10 / 12)
    np.testing.assert_allclose(result.mean_activation_per_latent, [0.75, 1.75, 0])
    assert result.dead_fraction == pytest.approx(1 / 3)
    np.testing.assert_allclose(result.firing_rate, [0.25, 0.75, 0])
    assert result.max_firing_rate == 0.75
    assert result.dense_fraction == pytest.approx(1 / 3)
    assert result.silent_fraction == 0.25
    root = np.sqrt(3)
    first = (root - 7 / 5) / (root - 1)
    assert result.hoyer == pytest.approx((first + 1 + 1) / 3)
    # Latent 0: (3/4)^2 / (9/4) = 1/4; latent 1: (7/4)^2 / (21/4) = 7/12; latent 2 never lived.
    lifetime = np.array([1 - 1 / 4, 1 - 7 / 12]) / (1 - 1 / 4)
    np.testing.assert_allclose(result.lifetime_sparseness_per_latent[:2], lifetime)
    assert np.isnan(result.lifetime_sparseness_per_latent[2])
    assert result.lifetime_sparseness == pytest.approx(lifetime.mean())
    # Row 0: (7/3)^2 / (25/3) = 49/75.
    assert result.population_sparseness == pytest.approx(((1 - 49 / 75) / (2 / 3) + 2) / 3)
    # Row 0, magnitudes 0, 3, 4: 1 - 2 (3/7 * 1.5/3 + 4/7 * .5/3) = 1 - 13/21.
    assert result.gini == pytest.approx((8 / 21 + 2 / 3 + 2 / 3) / 3)
    assert (result.values.zeros, result.values.total, result.samples) == (8, 12, 4)


@pytest.mark.parametrize("width", [2, 3, 64])
def test_extremes_of_the_row_measures(width):
    one, flat = np.zeros((1, width)), np.full((1, width), -0.3)
    one[0, 1] = -7.0
    for measure_, top in ((hoyer, 1), (population_sparseness, 1), (gini, 1 - 1 / width)):
        assert measure_(one)[0] == pytest.approx(top)
        assert measure_(flat)[0] == pytest.approx(0, abs=1e-12)
        assert np.isnan(measure_(np.zeros((1, width)))[0])


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (4, 5), elements=st.floats(-50, 50, allow_subnormal=False)),
    st.sampled_from([1e-200, 1e-3, 7.0, 1e150]),
)
def test_row_measures_have_no_unit_and_stay_in_range(codes, factor):
    for measure_ in (hoyer, population_sparseness, gini):
        here, scaled = measure_(codes), measure_(codes * factor)
        lived = ~np.isnan(here)
        assert (lived == codes.any(axis=1)).all()
        assert ((here[lived] > -1e-9) & (here[lived] < 1 + 1e-9)).all()
        alike = (codes * factor).any(axis=1) & lived & (np.abs(codes).max(axis=1) > 1e-90)
        np.testing.assert_allclose(scaled[alike], here[alike], atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 17), max_size=6).map(sorted), st.sampled_from([0.0, 0.4]))
def test_sparsity_does_not_depend_on_batches(ends, threshold):
    rng = np.random.default_rng(2)
    codes = np.maximum(rng.normal(size=(17, 6)), 0) * rng.lognormal(sigma=3, size=(17, 1))
    codes[4] = 0
    one, other = measure(codes, threshold), measure(codes, threshold, ends)
    for name, value in vars(one).items():
        if name != "values":
            np.testing.assert_allclose(getattr(other, name), value, rtol=1e-12)
    np.testing.assert_array_equal(other.values.edges, one.values.edges)
    np.testing.assert_array_equal(other.values.counts, one.values.counts)


def test_tensors_are_read_as_arrays_are():
    codes = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    sums = CodeSums(4)
    sums.update(torch.tensor(codes, requires_grad=True))
    assert sums.result().hoyer == measure(codes).hoyer


def test_a_sigmoid_code_at_its_target_is_silent_and_an_off_unit_never_counts():
    """Regression: |sigmoid(z) - 0.5| > 0.4 calls the latents that are off active."""
    codes = np.full((10, 8), 0.05)
    assert (np.abs(codes - 0.5) > 0.4).mean() == 1.0  # the wrong measure: all active
    result = measure(codes, SIGMOID)
    assert (result.l0, result.dead_fraction, result.silent_fraction) == (0, 1, 1)
    assert result.mean_activation == pytest.approx(0.05)
    # What KL alone can't see: the mean is on target and the code says nothing.
    assert result.hoyer == pytest.approx(0, abs=1e-12)
    codes[0, 3] = 0.9
    assert measure(codes, SIGMOID).l0 == 0.1


def test_threshold_is_exclusive_and_counts_magnitudes():
    result = measure(np.array([[0.1, -0.2, 0.3]]), 0.1)
    assert result.l0 == 2
    assert measure(np.array([[0.0, -1e-30, 1.0]])).l0 == 2


def test_undefined_measures_are_none():
    dead = measure(np.zeros((3, 4)))
    assert (dead.hoyer, dead.gini, dead.population_sparseness) == (None, None, None)
    assert dead.lifetime_sparseness is None
    assert (dead.dead_fraction, dead.l0, dead.values.zeros) == (1, 0, 12)
    single = measure(np.ones((3, 1)))
    assert (single.hoyer, single.population_sparseness, single.gini) == (None, None, 0)
    assert measure(np.ones((1, 3))).lifetime_sparseness is None


def test_sparsity_refuses():
    with pytest.raises(DataError, match="another width"):
        CodeSums(3).update(np.zeros((2, 4)))
    with pytest.raises(DataError, match="not finite"):
        CodeSums(3).update(np.full((2, 3), np.nan))
    with pytest.raises(DataError, match="no code"):
        CodeSums(3).result()
    with pytest.raises(ConfigError, match="at least one latent"):
        CodeSums(0)
    for threshold in (-1.0, np.inf, np.nan):
        with pytest.raises(ConfigError, match="threshold"):
            CodeSums(3, threshold)
    with pytest.raises(DataError, match="two latents"):
        hoyer(np.ones((2, 1)))


def test_relative_threshold():
    assert relative_threshold(np.array([[0.0, -4.0]]), 0.25) == 1.0
    with pytest.raises(ConfigError, match="fraction"):
        relative_threshold(np.ones((1, 1)), 1.0)
    with pytest.raises(DataError, match="no code"):
        relative_threshold(np.ones((0, 1)))


def test_value_histogram_by_hand():
    histogram = ValueHistogram(bins=4)
    histogram.update(np.array([0.5, 0.0, -0.25, 0.99]))  # width 1/4: the largest is below 4 x 1/4
    first = histogram.result()
    assert first.edges.tolist() == [-0.25, 0.0, 0.25, 0.5, 0.75, 1.0]
    assert first.counts.tolist() == [1, 0, 0, 1, 1]
    histogram.update(torch.tensor([1.0]))  # does not fit: the width doubles
    second = histogram.result()
    assert second.edges.tolist() == [-0.5, 0.0, 0.5, 1.0, 1.5]
    assert second.counts.tolist() == [1, 0, 2, 1]
    assert (second.zeros, second.total) == (1, 5)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30),
    st.integers(0, 30),
)
def test_value_histogram_agrees_with_numpy_whatever_the_order(values, end):
    one, other = ValueHistogram(8), ValueHistogram(8)
    one.update(np.array(values))
    other.update(np.array(values[end:]))
    other.update(np.array(values[:end]))
    a, b = one.result(), other.result()
    np.testing.assert_array_equal(a.edges, b.edges)
    np.testing.assert_array_equal(a.counts, b.counts)
    assert a.total == len(values)
    index = np.searchsorted(a.edges, [v for v in values if v], side="right") - 1
    np.testing.assert_array_equal(np.bincount(index, minlength=len(a.counts)), a.counts)


def test_value_histogram_refuses():
    for bins in (0, 3):
        with pytest.raises(ConfigError, match="even"):
            ValueHistogram(bins)
    with pytest.raises(DataError, match="not finite"):
        ValueHistogram().update(np.array([np.inf]))
    assert ValueHistogram().result().total == 0


def test_rate_histogram():
    histogram = rate_histogram(np.array([0.0, 0.0, 0.02, 0.5, 1.0]), bins_per_decade=1)
    np.testing.assert_allclose(histogram.edges, [0.01, 0.1, 1.0])
    assert histogram.counts.tolist() == [1, 2]
    assert (histogram.zeros, histogram.total) == (2, 5)
    assert rate_histogram(np.zeros(3)).zeros == 3
    assert rate_histogram(np.ones(3)).total == 3
    exact = rate_histogram(np.array([1e-3, 1e-2, 1e-1]), 1)
    assert exact.total == 3
    with pytest.raises(DataError, match="firing rates"):
        rate_histogram(np.array([1.2]))
