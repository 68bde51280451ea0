"""Geometry, mismatches, probes, curves, calibration and linear maps: against oracles."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.errors import DataError
from isthmus.metrics.latent import linear_probe
from isthmus.metrics.multimodal import (
    calibration_error,
    canonical,
    clusters,
    curve,
    curve_area,
    detection,
    geometry,
    leak,
    over_seeds,
    principal,
    probe,
    ridge,
    subsets,
    uniformity,
)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=8),
    st.lists(st.integers(0, 4), min_size=1, max_size=8),
)
def test_detection_counts_every_pair_of_a_match_and_a_mismatch(good, bad):
    expected = np.mean([[(g > b) + 0.5 * (g == b) for b in bad] for g in good])
    found = detection(np.array(good), np.array(bad))
    assert found.auc == pytest.approx(expected)
    assert found.low <= found.auc <= found.high


def test_the_interval_of_a_detection_covers_the_truth():
    # normal scores a standard deviation apart: the area is Phi(1 / sqrt 2) = .7602
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        found = detection(generator.normal(1, 1, 40), generator.normal(0, 1, 60))
        inside += found.low <= 0.7602 <= found.high
    assert 180 <= inside <= 200


def test_detection_refuses_nothing_and_nan():
    with pytest.raises(DataError, match="needs matched"):
        detection(np.array([]), np.array([1.0]))
    with pytest.raises(DataError, match="not finite"):
        detection(np.array([np.nan]), np.array([1.0]))


def test_geometry_worked_by_hand():
    left = np.array([[2.0, 0.0], [0.0, 1.0]])  # unit: (1, 0), (0, 1)
    right = np.array([[0.0, 3.0], [0.0, 5.0]])  # unit: (0, 1) twice
    found = geometry(left, right)
    inside = (math.sqrt(2) + 0) / 2
    assert found.gap == pytest.approx(math.sqrt(0.5**2 + 0.5**2) / inside)
    assert found.alignment == pytest.approx(0.5)
    assert found.uniformity == (pytest.approx(-4), pytest.approx(0))
    assert uniformity(left) == pytest.approx(-4)


def test_the_same_codes_have_no_gap():
    codes = np.random.default_rng(0).normal(size=(30, 5))
    found = geometry(codes, codes)
    assert (found.gap, found.alignment) == (0, pytest.approx(1))
    assert geometry(np.ones((3, 2)), np.ones((3, 2))).gap == 0
    assert geometry(np.ones((3, 2)), -np.ones((3, 2))).gap == math.inf
    with pytest.raises(DataError):
        geometry(codes, codes[:5])
    with pytest.raises(DataError):
        uniformity(codes[:1])


# --- probes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4])
def test_a_probe_is_the_linear_probe_of_one_modality(classes):
    generator = np.random.default_rng(2)
    labels = generator.integers(0, classes, 300)
    codes = generator.normal(size=(300, 6)) + 0.7 * np.eye(6)[labels]
    trained = probe(codes[:200], labels[:200], iterations=500)
    reference = linear_probe(codes[:200], labels[:200], codes[200:], labels[200:])
    assert trained.accuracy(codes[200:], labels[200:]) == pytest.approx(reference.accuracy)


def test_a_factor_leaks_where_it_is_in_the_codes_and_only_there():
    generator = np.random.default_rng(0)
    speaker = generator.integers(0, 3, 600)
    noise = generator.normal(size=(600, 4))
    told = noise + 4 * np.eye(4)[speaker]
    train, test = slice(0, 400), slice(400, 600)
    there = leak(told[train], speaker[train], told[test], speaker[test])
    hidden = leak(noise[train], speaker[train], noise[test], speaker[test])
    assert there.accuracy > 0.95
    assert abs(hidden.accuracy - hidden.chance) < 0.12
    assert (there.chance, there.values, there.codes) == (pytest.approx(1 / 3), 3, 200)


def test_unknown_and_unseen_values_of_a_factor_are_left_out():
    codes = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    found = leak(codes, np.array([0, 0, 1, 1, -1]), codes, np.array([0, 0, 1, 7, -1]))
    assert (found.accuracy, found.codes) == (1.0, 3)
    with pytest.raises(DataError, match="two values"):
        leak(codes, np.zeros(5), codes, np.zeros(5))
    with pytest.raises(DataError, match="to test on"):
        leak(codes, np.array([0, 0, 1, 1, 1]), codes, np.full(5, 8))
    with pytest.raises(DataError, match="two labels"):
        probe(codes, np.zeros(5))


def test_every_subset_of_modalities_comes_once():
    assert len(subsets("abc")) == len(set(subsets("abc"))) == 7
    assert subsets("abc")[-1] == ("a", "b", "c")


def test_clusters_are_matched_with_classes_one_to_one():
    codes = np.repeat(np.array([[0.0, 0], [9, 0], [0, 9]]), 5, axis=0)
    found = clusters(codes, np.repeat([4, 2, 7], 5))
    assert (found.accuracy, found.information) == (1.0, pytest.approx(1.0))
    # two classes in one place: one of them has no cluster of its own
    mixed = clusters(codes, np.array([0] * 5 + [1] * 5 + [0, 1, 0, 1, 0]))
    assert mixed.accuracy <= 13 / 15 + 1e-9
    with pytest.raises(DataError):
        clusters(codes, np.zeros(15))


# --- curves ----------------------------------------------------------------------


def test_the_area_under_a_curve_worked_by_hand():
    # .5 at 0, 1 at 1, 0 at 3: (.75 * 1 + .5 * 2) / 3
    assert curve_area([0, 1, 3], [0.5, 1.0, 0.0]) == pytest.approx(1.75 / 3)
    assert curve_area([2.0], [0.7]) == 0.7


@given(st.floats(-2, 2), st.integers(2, 6))
def test_the_area_of_a_constant_is_the_constant(value, count):
    assert curve_area(np.arange(count), [value] * count) == pytest.approx(value)


def test_curves_have_intervals_over_seeds():
    found = curve({0.5: [0.8, 0.9], 0.0: [1.0, 1.0]})
    assert found.at == (0.0, 0.5)
    assert found.means == (1.0, pytest.approx(0.85))
    assert found.loss == pytest.approx(0.15)
    assert found.points[0].half == 0
    # Student's t with one degree of freedom: 12.706 * sd / sqrt 2
    assert found.points[1].half == pytest.approx(12.706 * 0.0707107 / math.sqrt(2), rel=1e-4)


def test_few_pairs_have_their_area_on_a_logarithmic_axis():
    found = curve({1: [0.0], 10: [1.0], 100: [1.0]}, log=True)
    assert found.area == pytest.approx(0.75)


@pytest.mark.parametrize(
    "call",
    [
        lambda: curve({}),
        lambda: curve({0.0: []}),
        lambda: curve_area([0, 0], [1, 1]),
        lambda: curve_area([0, 1], [1]),
        lambda: curve_area([0, 1], [1, np.nan]),
        lambda: over_seeds([]),
    ],
)
def test_curves_refuse_what_they_cannot_draw(call):
    with pytest.raises(DataError):
        call()


def test_numbers_over_seeds_keep_their_path():
    reports = [
        {"retrieval": {"a->b": {"map": 0.9, "interval": [0, 1]}}, "notes": ["x"], "only": 1},
        {"retrieval": {"a->b": {"map": 0.7, "interval": [0, 1]}}, "notes": ["x"]},
    ]
    found = over_seeds(reports)
    assert list(found) == ["retrieval/a->b/map"]
    assert found["retrieval/a->b/map"].mean == pytest.approx(0.8)
    assert found["retrieval/a->b/map"].half == pytest.approx(12.706 * 0.1, rel=1e-4)


# --- calibration ---------------------------------------------------------------


def test_calibration_worked_by_hand():
    # bins of .5-.6 and .9-1 of ten: two at .55 (one right), two at .95 (both right)
    rows = np.array([[0.55, 0.45], [0.55, 0.45], [0.95, 0.05], [0.05, 0.95]])
    found = calibration_error(rows, np.array([0, 1, 0, 1]), bins=10)
    assert found == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)
    with pytest.raises(DataError):
        calibration_error(np.ones((2, 2)), np.zeros(2))


def test_a_certain_and_right_classifier_is_calibrated():
    assert calibration_error(np.eye(3), np.arange(3)) == 0


# --- linear maps ---------------------------------------------------------------


@pytest.mark.parametrize("shape", [(200, 12), (12, 40)])
def test_principal_components_are_those_of_scikit_learn(shape):
    from sklearn.decomposition import PCA

    x = np.random.default_rng(0).normal(size=shape) @ np.diag(np.linspace(3, 1, shape[1]))
    ours, theirs = principal(x, 5), PCA(5, svd_solver="full").fit(x)
    np.testing.assert_allclose(np.abs(ours.components @ theirs.components_.T), np.eye(5), atol=1e-6)
    np.testing.assert_allclose(ours.scale**2, theirs.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(np.abs(ours(x)), np.abs(theirs.transform(x)), atol=1e-6)


def test_canonical_correlations_are_those_of_the_definition():
    generator = np.random.default_rng(0)
    common = generator.normal(size=(4000, 2))
    x = np.column_stack([common[:, 0], generator.normal(size=4000)]) @ [[1, 2], [0, 1]]
    y = np.column_stack([common[:, 0] + common[:, 1], generator.normal(size=(4000, 2))])
    found = canonical(x, y, 2, penalty=0)
    assert found.correlation[0] == pytest.approx(math.sqrt(0.5), abs=0.03)
    assert found.correlation[1] < 0.06
    left, right = found.of_left(x), found.of_right(y)
    assert np.corrcoef(left[:, 0], right[:, 0])[0, 1] == pytest.approx(found.correlation[0])
    # coordinates are as wide as their correlation, and do not correlate among themselves
    np.testing.assert_allclose(np.cov(left.T), np.diag(found.correlation**2), atol=1e-9)


def test_canonical_correlation_is_that_of_scikit_learn():
    from sklearn.cross_decomposition import CCA

    generator = np.random.default_rng(3)
    common = generator.normal(size=(500, 3))
    x = np.column_stack([common, generator.normal(size=(500, 2))]) @ generator.normal(size=(5, 5))
    y = np.column_stack([common, generator.normal(size=(500, 3))]) @ generator.normal(size=(6, 6))
    ours = canonical(x, y, 3, penalty=0)
    a, b = CCA(3, max_iter=5000, tol=1e-9).fit_transform(x, y)
    theirs = [abs(np.corrcoef(a[:, i], b[:, i])[0, 1]) for i in range(3)]
    np.testing.assert_allclose(ours.correlation, theirs, atol=1e-4)


def test_ridge_is_that_of_scikit_learn():
    from sklearn.linear_model import Ridge

    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(50, 4)) + 3, generator.normal(size=(50, 2)) - 1
    weights, offset = ridge(x, y, 2.5)
    reference = Ridge(alpha=2.5).fit(x, y)
    np.testing.assert_allclose(weights, reference.coef_.T, atol=1e-9)
    np.testing.assert_allclose(offset, reference.intercept_, atol=1e-9)


def test_maps_between_rows_that_do_not_belong_together_are_refused():
    with pytest.raises(DataError, match="belong together"):
        ridge(np.ones((3, 1)), np.ones((2, 1)))
    with pytest.raises(DataError, match="belong together"):
        canonical(np.ones((3, 1)), np.ones((2, 1)), 1)
