"""The classical baselines: each against another way to the same numbers."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.sparse import csr_array
from sklearn.decomposition import NMF as SklearnNMF

from isthmus.errors import ConfigError, DataError
from isthmus.kernels.code import SparseCode
from isthmus.metrics import DictionarySums, recovery, superposition
from isthmus.models.classical import (
    CLASSICAL,
    ICA,
    NMF,
    PCA,
    KMeans,
    LinearDictionary,
    NonnegativeDictionary,
    Pursuit,
    PursuitDictionary,
    SemiNMF,
)
from isthmus.models.classical.nonnegative import nonnegative_codes
from isthmus.models.classical.semi_nmf import factorise

pytestmark = pytest.mark.filterwarnings("error")

SMALL = {
    "pca": PCA(4),
    "ica": ICA(4),
    "nmf": NMF(4),
    "semi-nmf": SemiNMF(4, iterations=20),
    "k-means": KMeans(4),
    "pursuit": Pursuit(6, k=2, passes=2),
}


def vectors(rows=120, dim=8, seed=0, offset=2.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, dim)) @ rng.normal(size=(dim, dim)) + offset).astype(np.float32)


def parts(rows=150, dim=10, latents=4, seed=0):
    """Non-negative sums of non-negative parts."""
    rng = np.random.default_rng(seed)
    codes = rng.exponential(size=(rows, latents)) * (rng.random((rows, latents)) < 0.5)
    return (codes @ rng.exponential(size=(latents, dim))).astype(np.float32)


def fvu(model, x, train_mean=None):
    sums = DictionarySums(model.latent, x.mean(axis=0) if train_mean is None else train_mean)
    codes = model.encode(x)
    sums.update(x, model.decode(codes), codes)
    return sums.result(resamples=100).fvu


# ---------------------------------------------------------------- one face


def test_every_method_is_listed_and_named():
    assert set(SMALL) == set(CLASSICAL)
    for name, method in SMALL.items():
        assert type(method) is CLASSICAL[name]
        assert dataclasses.is_dataclass(method)
        with pytest.raises(dataclasses.FrozenInstanceError):
            method.latent = 3


@pytest.mark.parametrize("name", SMALL)
def test_every_method_shows_the_face_of_a_dictionary(name):
    x = parts()
    model = SMALL[name].fit(x)
    assert (model.dim, model.latent) == (10, SMALL[name].latent)
    assert model.decoder.shape == (model.latent, 10)
    assert model.pre_bias.shape == (10,)
    codes = model.encode(x)
    assert isinstance(codes, csr_array)
    assert (codes.shape, codes.dtype) == ((150, model.latent), np.float32)
    assert codes.has_sorted_indices
    assert codes.data.all()
    assert np.array_equal(model.encode(x, dense=True), codes.toarray())
    assert model.signed or codes.data.min() > 0
    out = model.decode(codes)
    assert out.dtype == np.float32
    exact = codes.toarray().astype(np.float64) @ model.decoder.astype(np.float64)
    assert out == pytest.approx(exact + model.pre_bias, abs=1e-4)
    assert model.decode(codes.toarray()) == pytest.approx(out, abs=1e-5)
    assert model.decode(SparseCode.of(codes)) == pytest.approx(out, abs=1e-6)
    assert model.reconstruct(x) == pytest.approx(out, abs=1e-6)
    assert fvu(model, x) < 1.0  # better than the mean


@pytest.mark.parametrize("name", SMALL)
def test_every_method_is_repeatable(name):
    x = parts()
    a, b = (SMALL[name].fit(x).encode(x, dense=True) for _ in range(2))
    assert np.array_equal(a, b)


@pytest.mark.parametrize("name", SMALL)
def test_a_code_does_not_depend_on_the_batch(name):
    x = parts()
    model = SMALL[name].fit(x)
    whole = model.encode(x, dense=True)
    model.block = 7
    assert model.encode(x, dense=True) == pytest.approx(whole, abs=1e-5)
    assert model.encode(x[31:32], dense=True)[0] == pytest.approx(whole[31], abs=1e-5)
    assert model.encode(x[:0]).shape == (0, model.latent)


@pytest.mark.parametrize("name", SMALL)
def test_every_method_takes_tensors_half_floats_and_constant_columns(name):
    x = parts()
    x[:, 3] = 1.0
    a = SMALL[name].fit(torch.tensor(x)).encode(torch.tensor(x), dense=True)
    assert np.array_equal(a, SMALL[name].fit(x).encode(x, dense=True))
    SMALL[name].fit(x.astype(np.float16)).encode(x.astype(np.float16))


@pytest.mark.parametrize("name", SMALL)
def test_every_method_names_the_row_that_is_broken(name):
    x = parts()
    model = SMALL[name].fit(x)
    for bad in (np.nan, np.inf, 1e300):
        broken = x.astype(np.float64)
        broken[17, 2] = bad
        for act in (SMALL[name].fit, model.encode):
            with pytest.raises(DataError, match="row 17"):
                act(broken)
    with pytest.raises(DataError, match="another width"):
        model.encode(x[:, :4])
    with pytest.raises(DataError, match="matrix"):
        SMALL[name].fit(x[0])
    with pytest.raises((DataError, ConfigError)):
        SMALL[name].fit(x[:1])
    with pytest.raises(ConfigError, match="latents"):
        SMALL[name].fit(x[:3])
    with pytest.raises(DataError, match="do not fit"):
        model.decode(np.zeros((2, 99)))


@pytest.mark.parametrize("name", SMALL)
def test_equal_rows_harm_nothing(name):
    x = np.repeat(parts(rows=8), 12, axis=0)
    model = SMALL[name].fit(x)
    assert np.isfinite(model.reconstruct(x)).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: PCA(0),
        lambda: PCA(4, k=5),
        lambda: ICA(4, k=-1),
        lambda: ICA(4, iterations=0),
        lambda: NMF(0),
        lambda: SemiNMF(4, iterations=0),
        lambda: KMeans(4, starts=0),
        lambda: KMeans(4, batch_size=-1),
        lambda: Pursuit(4, k=5),
        lambda: Pursuit(4, k=0),
        lambda: Pursuit(4, k=1, penalty=0.0),
        lambda: Pursuit(4, k=1, rows=-1),
        lambda: PursuitDictionary(np.eye(3), np.zeros(3), 4),
    ],
)
def test_settings_that_can_not_work_are_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_a_dictionary_refuses_weights_that_do_not_fit():
    for bias in (np.zeros(3), np.array([0.0, np.nan])):
        with pytest.raises(DataError, match="pre_bias"):
            LinearDictionary(np.eye(2), np.eye(2), bias)
    with pytest.raises(DataError, match="encoder"):
        LinearDictionary(np.ones((2, 3)), np.eye(2), np.zeros(2))


# ---------------------------------------------------------------- PCA and ICA


def test_pca_is_the_truncated_svd():
    x = vectors().astype(np.float64)
    u, s, v = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    for latent in (1, 3, 8):
        best = (u[:, :latent] * s[:latent]) @ v[:latent] + x.mean(axis=0)
        assert PCA(latent).fit(x).reconstruct(x) == pytest.approx(best, abs=1e-4)
        left = (s[latent:] ** 2).sum() / (s**2).sum()
        assert fvu(PCA(latent).fit(x), x) == pytest.approx(left, abs=1e-6)


def test_pca_keeps_the_best_k_coordinates():
    x = vectors()
    full, few = PCA(8).fit(x), PCA(8, k=3).fit(x)
    codes, kept = full.encode(x, dense=True), few.encode(x, dense=True)
    assert ((kept != 0).sum(axis=1) == 3).all()
    for row, own in zip(codes, kept, strict=True):
        top = np.sort(np.argsort(-np.abs(row))[:3])
        assert np.array_equal(np.flatnonzero(own), top)
        assert np.array_equal(own[top], row[top])
    # orthonormal directions: what is left out is all of the error
    error = ((few.reconstruct(x) - x) ** 2).sum(axis=1)
    assert error == pytest.approx((codes**2).sum(axis=1) - (kept**2).sum(axis=1), abs=1e-2)


def test_ica_with_all_components_loses_nothing_and_has_unit_directions():
    x = vectors()
    model = ICA(8).fit(x)
    assert model.reconstruct(x) == pytest.approx(x, abs=1e-3)
    assert np.linalg.norm(model.decoder, axis=1) == pytest.approx(np.ones(8), abs=1e-6)


def test_ica_spans_what_pca_spans():
    x = vectors()
    assert ICA(3).fit(x).reconstruct(x) == pytest.approx(PCA(3).fit(x).reconstruct(x), abs=1e-3)


def test_ica_finds_sources_that_pca_does_not():
    rng = np.random.default_rng(0)
    sources = rng.laplace(size=(3000, 4))
    mixing = rng.normal(size=(4, 4))
    x = sources @ mixing
    model = ICA(4).fit(x)
    assert model.converged
    assert not ICA(4, iterations=1).fit(x).converged
    assert recovery(model.decoder, mixing, signed=False).mcc > 0.98
    assert recovery(PCA(4).fit(x).decoder, mixing, signed=False).mcc < 0.95


def test_ica_refuses_more_components_than_directions_that_vary():
    x = vectors()
    x[:, 5:] = 1.0
    with pytest.raises(ConfigError, match="5 directions"):
        ICA(6).fit(x)
    with pytest.raises(ConfigError, match="0 directions"):
        ICA(1).fit(np.ones((9, 3)))


# ---------------------------------------------------------------- NMF and semi-NMF


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(2, 6), st.integers(0, 20))
@example(3, 2, 9)  # two directions that are all but opposite: descent alone crawls
@example(5, 4, 16)
def test_nonnegative_codes_solve_the_least_squares_problem(latents, dim, seed):
    """Against scipy's active-set solver: the same error, and the same code where it is unique."""
    rng = np.random.default_rng(seed)
    decoder, x = rng.normal(size=(latents, dim)), rng.normal(size=(4, dim))
    codes = nonnegative_codes(x, decoder, sweeps=5000, tolerance=1e-10)
    assert (codes >= 0).all()
    for row, code in zip(x, codes, strict=True):
        best, residual = nnls(decoder.T, row)
        assert np.linalg.norm(row - code @ decoder) == pytest.approx(residual, abs=1e-5)
        if latents <= dim and np.linalg.cond(decoder) < 20:
            assert code == pytest.approx(best, abs=1e-4)


def test_nonnegative_codes_leave_directions_of_zeros_alone():
    codes = nonnegative_codes(np.array([[2.0, -1.0]]), np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert codes.tolist() == [[0.0, 2.0]]


def test_nmf_is_that_of_sklearn():
    x = parts()
    found = SklearnNMF(4, init="nndsvda", max_iter=200, random_state=0)
    best = found.fit_transform(x.astype(np.float64)) @ found.components_
    ours = NMF(4).fit(x).reconstruct(x)
    # the code of the last iteration is not quite the best for its directions; ours is
    assert ((ours - x) ** 2).sum() <= ((best - x) ** 2).sum() * (1 + 1e-3)
    assert fvu(NMF(4).fit(x), x) < 0.01
    NMF(12).fit(x)  # more parts than dimensions start at random


def test_nmf_refuses_negative_data_and_says_what_to_do():
    x = parts()
    model = NMF(4).fit(x)
    x[[5, 9], 1] = -0.1
    for act in (NMF(4).fit, model.encode):
        with pytest.raises(DataError, match="row 5, and 2 of 150") as caught:
            act(x)
        assert "SemiNMF" in caught.value.fix


def test_semi_nmf_never_gets_worse():
    """The theorem of Ding, Li and Jordan, on data of either sign."""
    x = vectors(offset=0.0).astype(np.float64)
    rng = np.random.default_rng(0)
    directions, codes, errors = factorise(
        x, rng.random((120, 5)) + 0.2, iterations=60, tolerance=0.0
    )
    assert len(errors) == 60
    assert (np.diff(errors) <= 1e-8 * errors[0]).all()
    assert errors[-1] < 0.8 * errors[0]
    assert (codes >= 0).all()
    assert errors[-1] == pytest.approx(np.linalg.norm(x - codes @ directions) ** 2)
    # the directions are the least-squares ones: the error is orthogonal to the codes
    assert np.abs(codes.T @ (x - codes @ directions)).max() < 1e-6 * np.abs(x).sum()


def test_semi_nmf_stops_where_it_stands_still():
    x = vectors().astype(np.float64)
    _, _, errors = factorise(x, np.full((120, 1), 0.5), iterations=500, tolerance=1e-3)
    assert len(errors) < 100


def test_semi_nmf_takes_data_of_either_sign_and_lies_between_k_means_and_pca():
    x = vectors(rows=400)
    model = SemiNMF(4).fit(x)
    assert isinstance(model, NonnegativeDictionary)
    assert fvu(PCA(4).fit(x), x) - 1e-6 <= fvu(model, x) < fvu(KMeans(4).fit(x), x)
    assert model.pre_bias == pytest.approx(x.mean(axis=0), abs=1e-4)
    assert not SemiNMF(4, centre=False).fit(x).pre_bias.any()


# ---------------------------------------------------------------- k-means


def test_k_means_codes_are_one_hot_at_the_nearest_centroid():
    x = vectors(rows=300)
    for method in (KMeans(7), KMeans(7, batch_size=50), KMeans(7, batch_size=0, starts=3)):
        model = method.fit(x)
        codes = model.encode(x, dense=True)
        assert ((codes == 1).sum(axis=1) == 1).all()
        assert codes.sum() == 300
        distance = ((x[:, None] - model.decoder[None]) ** 2).sum(axis=2)
        assert np.array_equal(codes.argmax(axis=1), distance.argmin(axis=1))
        assert np.array_equal(model.reconstruct(x), model.decoder[distance.argmin(axis=1)])


def test_k_means_finds_clusters_that_are_there():
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(5)
    x = centres[rng.integers(0, 5, 400)] + 0.1 * rng.normal(size=(400, 5))
    model = KMeans(5, starts=4).fit(x)
    order = model.decoder.argmax(axis=1)
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert model.decoder == pytest.approx(centres[order], abs=0.05)


def test_more_starts_are_no_worse():
    x = vectors(rows=200)
    few, many = (fvu(KMeans(12, starts=s, batch_size=0).fit(x), x) for s in (1, 8))
    assert many <= few + 1e-6


# ---------------------------------------------------------------- pursuit


def test_pursuit_on_an_orthonormal_dictionary_takes_the_largest():
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    x = vectors(offset=0.0)
    codes = PursuitDictionary(basis, np.zeros(8), 3).encode(x, dense=True)
    plain = x @ basis.T
    for own, row in zip(codes, plain, strict=True):
        top = np.argsort(-np.abs(row))[:3]
        wanted = np.zeros(8)
        wanted[top] = row[top]
        assert own == pytest.approx(wanted, abs=1e-4)


def test_pursuit_leaves_an_error_orthogonal_to_what_it_picked():
    rng = np.random.default_rng(1)
    decoder, x = rng.normal(size=(20, 8)), vectors()
    last = np.inf
    for k in (1, 2, 4, 8):
        model = PursuitDictionary(decoder, x.mean(axis=0), k)
        assert np.linalg.norm(model.decoder, axis=1) == pytest.approx(np.ones(20), abs=1e-6)
        codes = model.encode(x, dense=True)
        assert ((codes != 0).sum(axis=1) <= k).all()
        error = x - model.decode(codes)
        along = np.where(codes != 0, error @ model.decoder.T, 0.0)
        assert np.abs(along).max() < 1e-3
        assert (error**2).sum() < last
        last = (error**2).sum()
    assert last < 1e-4  # eight of twenty directions span all


def test_pursuit_reads_another_dictionary_and_beats_its_own_encoder():
    made = superposition(16, 40, 600, 3.0, seed=0)

    class Other:
        decoder = torch.tensor(made.directions_FD * 3.0)
        pre_bias = torch.zeros(16, requires_grad=True)

    model = PursuitDictionary.of(Other(), k=3)
    top = made.data_RD @ made.directions_FD.T
    top[np.arange(600)[:, None], np.argsort(-top, axis=1)[:, 3:]] = 0
    one_pass = ((made.data_RD - top @ made.directions_FD) ** 2).sum()
    assert ((made.data_RD - model.reconstruct(made.data_RD)) ** 2).sum() < 0.3 * one_pass


def test_pursuit_never_picks_a_direction_of_zeros():
    decoder = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    codes = PursuitDictionary(decoder, np.zeros(2), 3).encode(np.array([[3.0, 0.0], [1.0, 2.0]]))
    assert codes.toarray().tolist() == [[0.0, 3.0, 0.0], [0.0, 1.0, 2.0]]


def test_a_learned_dictionary_beats_the_samples_themselves_and_finds_true_directions():
    made = superposition(16, 32, 3000, 2.0, seed=0, zipf=0.5)
    x = made.data_RD
    model = Pursuit(32, k=2, passes=8, rows=2000).fit(x)
    rows = x[np.random.default_rng(0).choice(3000, 32, replace=False)] - x.mean(axis=0)
    assert fvu(model, x) < fvu(PursuitDictionary(rows, x.mean(axis=0), 2), x)
    found = recovery(model.decoder, made.directions_FD, signed=False)
    assert found.mcc > found.chance + 0.2


def test_the_learned_dictionary_does_not_depend_on_the_scale_of_the_data():
    x = parts()
    a, b = (Pursuit(6, k=2, passes=2).fit(s * x).decoder for s in (1.0, 256.0))
    assert a == pytest.approx(b, abs=1e-4)
