"""The distance of two sets of features as normal distributions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from isthmus.errors import DataError
from isthmus.metrics.multimodal import frechet


def features(seed, rows=40, width=4):
    generator = np.random.default_rng(seed)
    mix = generator.normal(size=(width, width))
    return generator.normal(size=(rows, width)) @ mix + generator.normal(size=width)


def test_of_numbers_it_is_that_of_means_and_deviations():
    """Means 0 and 3, variances 2 and 8: 9 + (sqrt 8 - sqrt 2)^2."""
    found = frechet(np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]]))
    assert found == pytest.approx(9 + (8**0.5 - 2**0.5) ** 2)


@settings(deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 2**16))
def test_it_is_the_formula_symmetric_and_the_same_in_any_frame(one, other):
    a, b = features(one), features(other, rows=30)
    s, t = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    apart = ((a.mean(0) - b.mean(0)) ** 2).sum()
    by_root = apart + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    found = frechet(a, b)
    scale = np.trace(s) + np.trace(t)
    assert found == pytest.approx(by_root, abs=1e-5 * scale)
    assert frechet(b, a) == pytest.approx(found, abs=1e-7 * scale)
    frame = np.linalg.qr(features(one + 1, rows=4))[0]
    assert frechet(a @ frame, b @ frame) == pytest.approx(found, abs=1e-7 * scale)


@given(st.integers(0, 2**16))
def test_a_shift_costs_its_square_and_nothing_costs_nothing(seed):
    a = features(seed)
    shift = np.array([1.0, -2.0, 0.0, 0.5])
    scale = np.trace(np.cov(a, rowvar=False))
    assert frechet(a, a) == pytest.approx(0, abs=1e-6 * scale)
    assert frechet(a, a + shift) == pytest.approx(5.25, abs=1e-6 * scale)


def test_fewer_rows_than_features_are_no_trouble():
    a = features(3, rows=5, width=12)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6 * np.trace(np.cov(a, rowvar=False)))


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (np.ones((3, 2)), np.ones((3, 4)), "same width"),
        (np.ones((1, 2)), np.ones((3, 2)), "two rows"),
        (np.full((3, 2), np.inf), np.ones((3, 2)), "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(left, right, said):
    with pytest.raises(DataError, match=said):
        frechet(left, right)
