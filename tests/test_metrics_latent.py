"""Neighbours, probes and ranks of codes against scikit-learn and values by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from isthmus.errors import ConfigError, DataError
from isthmus.metrics import (
    effective_rank,
    knn_accuracy,
    linear_probe,
    neighbour_preservation,
    trustworthiness,
)
from isthmus.metrics.neighbours import nearest


def ranked(rows, points, k):
    """The slow truth: full float64 distances, ties to the lower row."""
    squared = ((points[:, None] - rows[None]) ** 2).sum(axis=2)
    return np.argsort(squared, axis=1, kind="stable")[:, :k]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 20),
    st.integers(1, 5),
    st.integers(0, 10**6),
    st.sampled_from(["normal", "grid", "constant", "offset", "tiny", "huge"]),
)
def test_nearest_is_exact_for_any_codes(count, queries, width, seed, kind):
    rng = np.random.default_rng(seed)
    rows, points = rng.normal(size=(count, width)), rng.normal(size=(queries, width))
    shape = {
        "normal": lambda a: a,
        "grid": np.round,  # many ties
        "constant": np.zeros_like,  # a collapsed code
        "offset": lambda a: a + 1e6,  # float32 alone would see only ties
        "tiny": lambda a: a * 1e-30,
        "huge": lambda a: a * 1e100,  # beyond float32's range
    }[kind]
    rows, points = shape(rows), shape(points)
    k = min(count, 3)
    found = nearest(rows, points, k)
    np.testing.assert_array_equal(found.index, ranked(rows, points, k))
    expected = np.linalg.norm(rows[found.index] - points[:, None], axis=2)
    np.testing.assert_allclose(found.distance, expected, rtol=1e-12)


def test_nearest_of_many_ties_beyond_the_candidates():
    rows = np.repeat(np.array([[0.0], [1.0]]), 100, axis=0)
    found = nearest(rows, np.array([[0.9], [0.1], [0.5]]), 5)
    assert found.index.tolist() == [[100, 101, 102, 103, 104], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_nearest_agrees_with_sklearn_on_digits():
    x = load_digits().data
    found = nearest(torch.tensor(x[:1000], dtype=torch.float32), x[1000:], 7)
    expected, _ = NearestNeighbors(n_neighbors=7).fit(x[:1000]).kneighbors(x[1000:])
    np.testing.assert_allclose(found.distance, expected, rtol=1e-9)


def test_knn_accuracy_agrees_with_sklearn_where_votes_do_not_tie():
    x, y = load_digits(return_X_y=True)
    x = x + np.random.default_rng(0).normal(scale=1e-3, size=x.shape)  # no ties in distance
    result = knn_accuracy(x[:1200], y[:1200], x[1200:], y[1200:])
    other = KNeighborsClassifier(5).fit(x[:1200], y[:1200])
    votes = np.sort(other.predict_proba(x[1200:]), axis=1)
    clear = votes[:, -1] > votes[:, -2]
    expected = other.predict(x[1200:]) == y[1200:]
    np.testing.assert_array_equal(result.correct[clear], expected[clear])
    assert result.accuracy == result.correct.mean() > 0.95
    assert (result.k, result.train_samples) == (5, 1200)


def test_ties_between_votes_go_to_the_nearest():
    train = np.array([[0.0], [1.0], [2.0], [3.0], [9.0]])
    labels = np.array([7, 3, 3, 7, 5])
    # Two votes each for 7 and 3: the nearest of all is a 7 at 0.1, a 3 at 1.1.
    result = knn_accuracy(train, labels, np.array([[0.1], [1.1]]), np.array([7, 3]), k=4)
    assert result.correct.tolist() == [True, True]
    assert result.chance == 0.5  # "3" and "7" are as common; the lower is answered


def test_knn_does_not_care_in_what_batch_a_code_comes():
    x, y = load_digits(return_X_y=True)
    whole = knn_accuracy(x[:900], y[:900], x[900:950], torch.tensor(y[900:950]))
    for i in (0, 17, 49):
        alone = knn_accuracy(x[:900], y[:900], x[900 + i : 901 + i], y[900 + i : 901 + i])
        assert alone.correct[0] == whole.correct[i]


def test_knn_refuses():
    x, y = np.zeros((4, 2)), np.zeros(4)
    with pytest.raises(DataError, match="one label a code"):
        knn_accuracy(x, y[:3], x, y, 1)
    with pytest.raises(DataError, match="whole numbers"):
        knn_accuracy(x, y + 0.5, x, y, 1)
    with pytest.raises(DataError, match="no code"):
        knn_accuracy(x, y, x[:0], y[:0], 1)
    with pytest.raises(DataError, match="not finite"):
        knn_accuracy(x, y, x + np.nan, y, 1)
    for k in (0, 5):
        with pytest.raises(ConfigError, match="k must"):
            knn_accuracy(x, y, x, y, k)
    with pytest.raises(ConfigError, match="width"):
        knn_accuracy(x, y, np.zeros((4, 3)), y, 1)


def test_neighbour_preservation():
    x = np.random.default_rng(0).normal(size=(80, 6))
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    kept = neighbour_preservation(x.reshape(80, 2, 3), 3 * x @ rotation + 1, k=5)
    assert (kept.share, kept.samples, kept.k) == (1.0, 80, 5)
    assert kept.chance == 5 / 79
    unrelated = np.random.default_rng(2).normal(size=(400, 3))
    random = neighbour_preservation(np.random.default_rng(3).normal(size=(400, 3)), unrelated, k=40)
    assert random.share == pytest.approx(random.chance, abs=0.03)
    # Not its own neighbour: of four points on a line only one neighbour each changes hands.
    line = np.array([[0.0], [1.0], [10.0], [11.0]])
    swapped = np.array([[0.0], [10.0], [1.0], [11.0]])
    assert neighbour_preservation(line, swapped, k=1).share == 0
    assert neighbour_preservation(line, line, k=1).share == 1


def test_neighbour_preservation_with_equal_rows():
    result = neighbour_preservation(np.zeros((30, 2)), np.zeros((30, 2)), k=3)
    assert 0 <= result.share <= 1


def test_subsets_are_seeded():
    x = np.random.default_rng(0).normal(size=(300, 4))
    codes = torch.tensor(x[:, :2])
    for measure, name in (
        (neighbour_preservation, "share"),
        (trustworthiness, "trustworthiness"),
    ):
        first = measure(x, codes, k=5, limit=100, seed=0)
        assert first == measure(x, codes, k=5, limit=100, seed=0)
        assert first.samples == 100
        assert getattr(first, name) != getattr(measure(x, codes, k=5, limit=100, seed=2), name)
        with pytest.raises(ConfigError, match="limit"):
            measure(x, codes, limit=0)
        with pytest.raises(ConfigError, match="k must"):
            measure(x, codes, k=300)
        with pytest.raises(DataError, match="differ in number"):
            measure(x, codes[:10])


def test_trustworthiness():
    x = np.random.default_rng(0).normal(size=(200, 2, 3))
    assert trustworthiness(x, 2 * x.reshape(200, 6)).trustworthiness == 1
    noise = np.random.default_rng(1).normal(size=(200, 2))
    assert trustworthiness(x, noise).trustworthiness == pytest.approx(0.5, abs=0.06)


def test_linear_probe():
    x, y = load_digits(return_X_y=True)
    result = linear_probe(x[:1200], y[:1200], x[1200:], y[1200:])
    assert result.accuracy > 0.9
    assert result.converged
    assert 0.05 < result.chance < 0.15
    assert result.train_samples == 1200
    few = linear_probe(x, y, x, y, limit=100, iterations=1)
    assert (few.train_samples, few.converged) == (100, False)
    # A unit of measurement and a constant latent change nothing.
    scaled = np.concatenate([x * 1e4, np.ones((len(x), 1))], axis=1)
    other = linear_probe(scaled[:1200], y[:1200], torch.tensor(scaled[1200:]), y[1200:])
    assert other.accuracy == pytest.approx(result.accuracy, abs=0.01)
    with pytest.raises(DataError, match="two labels"):
        linear_probe(x[:5], np.zeros(5), x[:5], np.zeros(5))
    with pytest.raises(DataError, match="codes to test"):
        linear_probe(x[:50], y[:50], x[:0], y[:0])


def test_effective_rank_by_hand():
    # Variances 2 and 2/4 along the axes.
    codes = np.array([[2.0, 0.0, 1.0], [-2.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, -1.0, 1.0]])
    result = effective_rank(codes + 5)
    np.testing.assert_allclose(result.eigenvalues, [2, 0.5, 0], atol=1e-12)
    assert result.participation == pytest.approx(2.5**2 / 4.25)
    assert result.entropy == pytest.approx(np.exp(-(0.8 * np.log(0.8) + 0.2 * np.log(0.2))))
    constant = effective_rank(torch.ones(4, 3))
    assert (constant.participation, constant.entropy) == (0, 0)
    with pytest.raises(DataError, match="no covariance"):
        effective_rank(np.zeros((0, 3)))


def test_effective_rank_of_equal_variances_is_the_width():
    codes = np.concatenate([np.eye(5), -np.eye(5)])
    result = effective_rank(codes)
    assert result.participation == pytest.approx(5)
    assert result.entropy == pytest.approx(5)
