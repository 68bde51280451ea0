"""Intervals, paired bootstrap, seed noise and the verdict against PCA."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from isthmus.errors import ConfigError, DataError
from isthmus.metrics import (
    Outcome,
    Worth,
    compare_all,
    differs,
    mean_interval,
    paired_bootstrap,
    permutation_test,
    verdict,
)


def test_mean_interval_by_hand():
    result = mean_interval([1.0, 2.0, 3.0])
    # t(.975, 2) = 4.302653; s = 1; n = 3.
    assert (result.mean, result.spread, result.count) == (2, 1, 3)
    assert result.half == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    single = mean_interval(np.array([5.0]))
    assert (single.mean, single.half, single.spread) == (5, None, None)
    assert mean_interval(torch.tensor([1.0, 1.0])).half == 0


def test_mean_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(2000, 3))
    covered = [abs(r.mean) <= r.half for r in (mean_interval(row, 0.9) for row in draws)]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=6),
    st.lists(st.floats(-100, 100), min_size=2, max_size=6),
)
def test_differs_is_welchs_test(a, b):
    result = differs(a, b)
    assert result.gap == pytest.approx(np.mean(a) - np.mean(b))
    if np.std(a) + np.std(b) > 1e-6:
        expected = scipy_stats.ttest_ind(a, b, equal_var=False)
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
        interval = expected.confidence_interval()
        assert result.low == pytest.approx(interval.low, rel=1e-6, abs=1e-9)
        assert result.high == pytest.approx(interval.high, rel=1e-6, abs=1e-9)
    # Inside or outside of the interval says the same as the p-value.
    assert result.differs == (result.p_value < 0.05)
    back = differs(b, a)
    assert (back.gap, back.differs) == (-result.gap, result.differs)


def test_differs_of_seeds_that_agree_or_are_too_few():
    assert differs([1.0, 1.0], [1.0, 1.0]).differs is False
    certain = differs([1.0, 1.0], [2.0, 2.0])
    assert (certain.differs, certain.p_value, certain.low) == (True, 0, -1)
    assert differs([0.0, 0.0], [0.0, 0.0]).p_value == 1
    assert differs([0.0, 0.0], [0.0, 1e-99]).differs is False  # squares of variances underflow
    unknown = differs([1.0], [2.0, 3.0])
    assert (unknown.gap, unknown.differs, unknown.p_value) == (-1.5, None, None)


def test_compare_all_corrects_for_many_pairs():
    p = differs([0.0, 1.0, 2.0], [2.0, 3.1, 4.0]).p_value
    assert 0.05 / 3 < p < 0.1
    values = {
        "a": [0.0, 1.0, 2.0],
        "b": [2.0, 3.1, 4.0],
        "far": [50.0, 51.0, 52.0],
        "one": [7.0],
    }
    confidence = 1 - p * 1.5  # alone "a" and "b" differ
    rows = {(row.a, row.b): row for row in compare_all(values, confidence)}
    assert list(rows) == [
        ("a", "b"), ("a", "far"), ("a", "one"), ("b", "far"), ("b", "one"), ("far", "one"),
    ]  # fmt: skip
    assert rows["a", "far"].differs is True
    assert rows["b", "far"].differs is True
    assert rows["a", "b"].differs is True
    assert rows["a", "one"].differs is None

    near = {name: values[name] for name in ("a", "b")}
    near["c"] = [0.5, 1.0, 1.6]
    rows = {(row.a, row.b): row for row in compare_all(near, confidence)}
    assert rows["a", "b"].difference.differs is True
    assert rows["a", "b"].differs is False


def test_compare_all_stops_at_the_first_pair_that_fails():
    # Three pairs with p about .003, .03 and .04 against .05/3, .05/2 and .05: the second fails,
    # so the third does not count either.
    base = np.array([0.0, 1.0, 2.0])
    rows = compare_all({"a": base, "b": base + 2.693, "c": base - 2.449})
    np.testing.assert_allclose(
        [row.difference.p_value for row in rows], [0.03, 0.04, 0.0032], atol=5e-4
    )
    assert [row.differs for row in rows] == [False, False, True]


def test_compare_all_rarely_calls_noise_a_difference():
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(400):
        values = {str(i): rng.normal(size=3) for i in range(5)}
        false += any(row.differs for row in compare_all(values))
    assert false / 400 < 0.07


def test_permutation_test_by_hand():
    # 2 of the 20 splits of six values are as extreme as the observed one.
    assert permutation_test([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) == pytest.approx(0.1)
    assert permutation_test([1.0, 2.0], [1.0, 2.0]) == 1
    rng = np.random.default_rng(0)
    far = permutation_test(rng.normal(size=30), rng.normal(size=30) + 9, limit=500)
    assert far == pytest.approx(1 / 501)
    assert permutation_test([0.0, 0.0], [0.0, 0.0]) == 1


def test_paired_bootstrap():
    rng = np.random.default_rng(2)
    common = rng.normal(size=500) * 10
    a, b = common + 0.3 + rng.normal(size=500), common
    result = paired_bootstrap(torch.tensor(a), b)
    assert result.mean == pytest.approx((a - b).mean())
    assert result.low < result.mean < result.high
    error = (a - b).std() / np.sqrt(500)
    assert result.high - result.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert result.differs
    assert result == paired_bootstrap(a, b)
    assert not paired_bootstrap(a, a).differs
    back = paired_bootstrap(b, a)
    assert back.differs
    assert back.high < 0
    # Not paired, the same gap drowns in what the samples have in common.
    assert not paired_bootstrap(a, rng.permutation(b)).differs


def test_stats_refuse():
    with pytest.raises(DataError, match="no value"):
        mean_interval([])
    with pytest.raises(DataError, match="not finite"):
        differs([np.nan, 1.0], [1.0, 2.0])
    for confidence in (0, 1):
        with pytest.raises(ConfigError, match="confidence"):
            mean_interval([1.0], confidence)
        with pytest.raises(ConfigError, match="confidence"):
            differs([1.0], [2.0], confidence)
        with pytest.raises(ConfigError, match="confidence"):
            paired_bootstrap([1.0], [2.0], confidence=confidence)
    with pytest.raises(DataError, match="equal lengths"):
        paired_bootstrap([1.0], [2.0, 3.0])
    with pytest.raises(ConfigError, match="100 resamples"):
        paired_bootstrap([1.0], [2.0], resamples=10)


@pytest.mark.parametrize(
    ("mse", "knn", "reconstruction", "neighbours", "worth"),
    [
        (0.0055, 0.9744, "better", "tie", Worth.YES),
        (0.0055, 0.9600, "better", "worse", Worth.MIXED),
        (0.0170, 0.9790, "tie", "tie", Worth.NO),
        (0.0170, 0.9810, "tie", "better", Worth.YES),
        (0.0218, 0.9460, "worse", "worse", Worth.NO),
        (0.0218, 0.9900, "worse", "better", Worth.MIXED),
        (0.0055, None, "better", None, Worth.YES),
        (0.0168, None, "tie", None, Worth.NO),
    ],
)
def test_verdict(mse, knn, reconstruction, neighbours, worth):
    result = verdict(mse, 0.01683, knn, None if knn is None else 0.9756)
    assert result.reconstruction == reconstruction
    assert result.neighbours == neighbours
    assert result.worth is worth
    assert result.paired is None


def test_the_margins_of_the_verdict():
    # Under 5 % and under 0.4 points are ties; the margin itself is not, whatever rounding does.
    assert verdict(0.951, 1.0).reconstruction is Outcome.TIE
    assert verdict(1.049, 1.0).reconstruction is Outcome.TIE
    assert verdict(0.95, 1.0).reconstruction is Outcome.BETTER
    assert verdict(1.05, 1.0).reconstruction is Outcome.WORSE
    assert verdict(1, 1, 0.9795, 0.9756).neighbours is Outcome.TIE
    assert verdict(1, 1, 0.9796, 0.9756).neighbours is Outcome.BETTER
    assert verdict(1, 1, 0.9716, 0.9756).neighbours is Outcome.WORSE


def test_the_sentence_is_plain():
    assert verdict(0.0055, 0.01683, 0.9744, 0.9756).sentence == (
        "Worth it: the reconstruction error is 3.06 times smaller (MSE 0.0055 against PCA's "
        "0.01683) and 5-NN accuracy is about the same (97.44 % against PCA's 97.56 %)."
    )
    worse = verdict(0.0218, 0.009, 0.946, 0.9749).sentence
    assert worse.startswith("Not worth it, PCA with as many dimensions is simpler and no worse: ")
    assert "2.42 times larger" in worse
    assert "2.89 points lower" in worse
    assert "infinitely smaller" in verdict(0.0, 0.1).sentence


def test_pca_that_loses_nothing():
    assert verdict(0.0, 0.0).reconstruction is Outcome.TIE
    assert verdict(0.1, 0.0).reconstruction is Outcome.WORSE


def test_the_paired_test_can_deny_a_gain():
    rng = np.random.default_rng(3)
    pca = rng.exponential(size=20) + 0.5
    noisy = pca.copy()
    noisy[0] = pca[0] * 0.1 - 0.0
    noisy[1:3] *= 0.9
    noisy[3:] = pca[3:] * (1 + rng.normal(size=17))
    noisy = np.abs(noisy) * 0.9 * pca.mean() / np.abs(noisy).mean()
    alone = verdict(noisy.mean(), pca.mean())
    tested = verdict(noisy.mean(), pca.mean(), errors=noisy, pca_errors=pca)
    assert alone.reconstruction is Outcome.BETTER
    assert tested.reconstruction is Outcome.TIE
    assert not tested.paired.differs
    real = verdict(0.5, 1.0, errors=0.5 * pca, pca_errors=pca)
    assert real.reconstruction is Outcome.BETTER
    assert real.paired.low > 0


def test_verdict_refuses():
    with pytest.raises(ConfigError, match="in pairs"):
        verdict(0.1, 0.1, knn=0.5)
    with pytest.raises(ConfigError, match="in pairs"):
        verdict(0.1, 0.1, errors=np.ones(3))
    for bad in (-1.0, np.nan):
        with pytest.raises(ConfigError, match="negative"):
            verdict(bad, 0.1)
    with pytest.raises(ConfigError, match=r"\[0, 1\]"):
        verdict(0.1, 0.1, 97.4, 97.5)
