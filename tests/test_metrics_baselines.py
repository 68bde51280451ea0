"""PCA and probabilistic PCA against scikit-learn, closed forms and the real MNIST."""

import gzip
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from isthmus.errors import ConfigError, DataError
from isthmus.metrics import PCABaseline, bce_floor, knn_accuracy, pca_reconstruction


@pytest.fixture(scope="module")
def digits():
    return load_digits().images[:, None] / 16.0


def test_agrees_with_sklearn_on_digits(digits):
    train, test = digits[:1300], digits[1300:]
    ours = PCABaseline.fit(train, 12)
    theirs = PCA(12, svd_solver="full").fit(train.reshape(1300, -1))
    assert ours.exact
    assert ours.mean.shape == (1, 8, 8)
    np.testing.assert_allclose(ours.eigenvalues[:12], theirs.explained_variance_ * 1299 / 1300)
    np.testing.assert_allclose(
        ours.reconstruct(test).reshape(len(test), -1),
        theirs.inverse_transform(theirs.transform(test.reshape(len(test), -1))),
        atol=1e-10,
    )
    # sklearn divides by n - 1: its log-likelihood is that of variances larger by n / (n - 1).
    found = -ours.nll(test, 12).mean()
    assert found == pytest.approx(theirs.score(test.reshape(len(test), -1)), abs=0.15)


def test_one_fit_serves_many_dimensions(digits):
    wide = PCABaseline.fit(digits, 64)
    errors = []
    for dims in (1, 5, 32, 61):
        narrow = PCABaseline.fit(digits, dims)
        np.testing.assert_allclose(wide.encode(digits[:9], dims), narrow.encode(digits[:9]))
        assert wide.noise_variance(dims) == pytest.approx(narrow.noise_variance(dims))
        found = pca_reconstruction(wide, digits, dims)
        assert found.mse == pytest.approx(wide.train_mse(dims), rel=1e-9)
        assert 1 - found.fvu == pytest.approx(wide.explained(dims), rel=1e-9)
        errors.append(found.mse)
    assert errors == sorted(errors, reverse=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 119), max_size=5).map(sorted))
def test_fit_and_error_do_not_depend_on_batches(ends):
    x = np.random.default_rng(0).normal(size=(120, 3, 2)).astype(np.float32) + 50
    whole = PCABaseline.fit(x, 3)
    parts = PCABaseline.fit((torch.tensor(part) for part in np.split(x, ends)), 3)
    np.testing.assert_allclose(parts.components, whole.components, atol=1e-9)
    np.testing.assert_allclose(parts.eigenvalues, whole.eigenvalues, rtol=1e-10)
    one = pca_reconstruction(whole, torch.tensor(x), 2, clip=(49, 51))
    other = pca_reconstruction(whole, np.split(x, ends), 2, clip=(49, 51))
    assert other.mse == pytest.approx(one.mse, rel=1e-12)
    assert other.clipped_mse == pytest.approx(one.clipped_mse, rel=1e-12)


def test_probabilistic_pca_is_the_best_of_its_kind():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(500, 5))
    baseline = PCABaseline.fit(x, 5)
    assert baseline.noise_variance(2) == pytest.approx(0.09, rel=0.1)
    assert baseline.noise_variance(5) == 0
    # Closed form at the optimum: D/2 log 2 pi + 1/2 log det C + D/2.
    noise = baseline.noise_variance(2)
    logs = np.log(baseline.eigenvalues[:2]).sum() + 3 * np.log(noise)
    assert baseline.nll(x, 2).mean() == pytest.approx(0.5 * (5 * np.log(2 * np.pi) + logs + 5))
    assert baseline.nll(x, 2).mean() < baseline.nll(x, 1).mean()
    assert baseline.eigenvalues_above(0.2) == 2
    assert baseline.eigenvalues_above(0.0) == 5


def test_codes_go_back_and_forth(digits):
    baseline = PCABaseline.fit(digits, 64)
    np.testing.assert_allclose(baseline.decode(baseline.encode(digits)), digits, atol=1e-10)
    code = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(baseline.encode(baseline.decode(code), 3), code, atol=1e-10)
    assert (baseline.components[:, :].max(axis=1) > 0).all()


def test_more_dimensions_than_elements_are_cut(digits):
    baseline = PCABaseline.fit(digits, 500)
    assert baseline.dims == 64
    assert pca_reconstruction(baseline, digits, 500).mse == pytest.approx(0, abs=1e-20)
    with pytest.raises(ConfigError, match="so many dimensions"):
        baseline.encode(digits, 65)


def test_wide_samples_use_a_seeded_subset():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 3)) * [9.0, 5.0, 3.0] @ rng.normal(size=(3, 50))
    x += 0.01 * rng.normal(size=x.shape) + 4
    fit = partial(PCABaseline.fit, dims=3, exact_limit=49, seed=5)
    exact, full = PCABaseline.fit(x, 3), fit(x)
    assert not full.exact
    assert full.total_variance == pytest.approx(exact.total_variance)
    assert fit(x, dims=1).total_variance == pytest.approx(exact.total_variance)
    np.testing.assert_allclose(full.mean, exact.mean)
    np.testing.assert_allclose(full.components, exact.components, atol=1e-3)
    np.testing.assert_allclose(full.eigenvalues, exact.eigenvalues[:3], rtol=1e-3)
    np.testing.assert_allclose(full.components @ full.components.T, np.eye(3), atol=1e-12)

    small = fit(x, memory=100 * 50 * 4)  # a quarter of the rows
    cut = fit(np.array_split(x, 9), memory=100 * 50 * 4)
    np.testing.assert_allclose(cut.components, small.components, atol=1e-5)
    assert np.abs(fit(x, memory=100 * 50 * 4, seed=6).eigenvalues - small.eigenvalues).max() > 1e-3
    error = pca_reconstruction(small, x, 3).mse
    assert error == pytest.approx(pca_reconstruction(exact, x, 3).mse, rel=0.2)
    assert small.eigenvalues_above(float(small.eigenvalues[1])) == 1
    with pytest.raises(ConfigError, match="too few"):
        small.eigenvalues_above(1e-9)


def test_fewer_rows_than_dimensions_in_the_subset():
    x = np.random.default_rng(3).normal(size=(4, 30))
    assert PCABaseline.fit(x, 10, exact_limit=5).dims == 4


def test_pca_refuses(digits):
    with pytest.raises(ConfigError, match="at least one"):
        PCABaseline.fit(digits, 0)
    for nothing in ([], np.zeros((0, 3))):
        with pytest.raises(DataError, match="no sample"):
            PCABaseline.fit(nothing, 2)
    with pytest.raises(DataError, match="another width"):
        PCABaseline.fit([np.zeros((2, 3)), np.zeros((2, 4))], 2)
    with pytest.raises(DataError, match="not finite"):
        PCABaseline.fit(np.full((2, 3), np.nan), 2)
    baseline = PCABaseline.fit(digits, 64)
    with pytest.raises(DataError, match="another size"):
        baseline.encode(np.zeros((2, 9)))
    with pytest.raises(ConfigError, match="leave none"):
        baseline.nll(digits, 61)  # digits has rank 61: three corner pixels are always 0
    with pytest.raises(ConfigError, match="leave none"):
        PCABaseline.fit(np.ones((5, 3)), 1).nll(np.ones((5, 3)), 1)
    with pytest.raises(DataError, match="no sample"):
        pca_reconstruction(baseline, [], 3)


def test_constant_data_are_all_explained():
    baseline = PCABaseline.fit(np.ones((5, 3)), 2)
    assert (baseline.explained(1), baseline.train_mse(1)) == (1, 0)


def idx(path, header):
    with gzip.open(path) as handle:
        return np.frombuffer(handle.read(), np.uint8, offset=header)


@pytest.mark.needs_data
def test_mnist_references(data_home):
    folder = data_home / "mnist"
    train = idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 784) / np.float32(255)
    test = idx(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784) / np.float32(255)
    known = idx(folder / "train-labels-idx1-ubyte.gz", 8)
    wanted = idx(folder / "t10k-labels-idx1-ubyte.gz", 8)
    baseline = PCABaseline.fit(train, 64)
    expected = {8: (0.03744, 0.03641), 32: (0.01683, 0.01521), 64: (0.00905, 0.00775)}
    for dims, (mse, clipped) in expected.items():
        found = pca_reconstruction(baseline, test, dims, clip=(0, 1))
        assert found.mse == pytest.approx(mse, abs=6e-6)
        assert found.clipped_mse == pytest.approx(clipped, abs=6e-6)
    assert baseline.noise_variance(32) == pytest.approx(0.01798, abs=6e-6)
    assert baseline.nll(test, 32).mean() == pytest.approx(-409.4, abs=0.06)
    assert baseline.nll(test, 64).mean() == pytest.approx(-579.8, abs=0.06)
    assert baseline.eigenvalues_above(1.0) == 12
    assert baseline.eigenvalues_above(0.1) == 69
    assert bce_floor(test).mean() / 784 == pytest.approx(0.0581, abs=6e-5)
    # 97.56 % was measured with another rule for ties between votes.
    votes = knn_accuracy(baseline.encode(train, 32), known, baseline.encode(test, 32), wanted)
    assert votes.accuracy == pytest.approx(0.9756, abs=0.001)
