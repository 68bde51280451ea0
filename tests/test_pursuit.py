"""Refined encoding against naive pursuits, scikit-learn, scipy and properties of least squares."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.linear_model import orthogonal_mp_gram

from isthmus.kernels.code import SparseCode
from isthmus.kernels.pursuit import Pursuit, PursuitEncoder

FULL = {"stages": 1, "exchanges": 0, "candidates": 10**6}


def unit(rows: NDArray) -> NDArray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def dictionary(latents: int, dim: int, seed: int = 0, shift: float = 0.0) -> NDArray:
    """Unit rows; a shift makes all of them resemble each other."""
    return unit(np.random.default_rng(seed).normal(shift, 1.0, (latents, dim)))


def samples(rows: int, dim: int, seed: int = 1) -> NDArray:
    return np.random.default_rng(seed).normal(size=(rows, dim))


def naive(
    decoder: NDArray, x: NDArray, k: int, *, non_negative: bool, by_gain: bool
) -> tuple[list[int], NDArray]:
    """Pursuit with a least-squares fit from scratch for every atom that might be picked."""
    support: list[int] = []
    coefs = np.zeros(0)
    for _ in range(k):
        left = x - coefs @ decoder[support]
        correlation = decoder @ left
        worth = np.full(len(decoder), -np.inf)
        for atom in set(range(len(decoder))) - set(support):
            if non_negative and correlation[atom] <= 0:
                continue
            worth[atom] = abs(correlation[atom])
            if by_gain:
                tried = decoder[[*support, atom]]
                fit = np.linalg.lstsq(tried.T, x, rcond=None)[0]
                worth[atom] = left @ left - ((x - fit @ tried) ** 2).sum()
        if worth.max() <= 0:
            break
        support.append(int(worth.argmax()))
        coefs = np.linalg.lstsq(decoder[support].T, x, rcond=None)[0]
    return support, coefs


def rows_of(code: SparseCode) -> list[tuple[NDArray, NDArray]]:
    """(latents, activations) of each sample, in the order of the picks."""
    pairs = zip(code.indptr[:-1], code.indptr[1:], strict=True)
    return [(code.indices[a:b], code.values[a:b]) for a, b in pairs]


def errors(x: NDArray, code: SparseCode, decoder: NDArray) -> NDArray:
    return ((x - code.dense() @ decoder) ** 2).sum(axis=1)


@pytest.mark.parametrize("by_gain", [True, False])
@pytest.mark.parametrize("non_negative", [True, False])
def test_picks_and_coefficients_are_those_of_a_naive_pursuit(non_negative, by_gain):
    decoder, x = dictionary(60, 24), samples(25, 24)
    config = Pursuit(k=8, non_negative=non_negative, by_gain=by_gain, **FULL)
    code = PursuitEncoder(decoder, np.zeros(24), config).encode(x)
    plain = 0
    for row, (latents, values) in zip(x, rows_of(code), strict=True):
        picks, coefs = naive(decoder, row, 8, non_negative=non_negative, by_gain=by_gain)
        if non_negative and coefs.min() < 0:
            continue  # taken out by a rule of ours; see the tests against scipy
        plain += 1
        assert latents.tolist() == picks
        np.testing.assert_allclose(values, coefs, atol=1e-5 * np.abs(coefs).max())
    assert plain >= 15


def test_a_full_signed_pursuit_is_scikit_learns():
    decoder, x = dictionary(100, 40, seed=3), samples(40, 40, seed=4)
    config = Pursuit(k=10, non_negative=False, by_gain=False, **FULL)
    code = PursuitEncoder(decoder, np.zeros(40), config).encode(x)
    expected = orthogonal_mp_gram(decoder @ decoder.T, decoder @ x.T, n_nonzero_coefs=10).T
    np.testing.assert_allclose(code.dense(), expected, atol=1e-4)


@pytest.mark.parametrize("non_negative", [True, False])
def test_stages_with_all_atoms_as_candidates_change_nothing(non_negative):
    decoder, x = dictionary(80, 30), samples(50, 30)
    one, three = (
        PursuitEncoder(
            decoder,
            np.zeros(30),
            Pursuit(k=9, stages=stages, exchanges=0, candidates=most, non_negative=non_negative),
        ).encode(x)
        for stages, most in ((1, 80), (3, 10**6))
    )
    # A coefficient that turns negative leaves at the end of its stage: only then may they differ.
    same = np.diff(one.indptr) == 9
    assert same.sum() >= 40
    np.testing.assert_allclose(one.dense()[same], three.dense()[same], atol=1e-4)


def test_few_candidates_and_stages_come_close_to_the_full_pursuit():
    decoder, x = dictionary(400, 40), samples(200, 40)

    def error(**settings):
        config = Pursuit(k=12, non_negative=False, **settings)
        return errors(x, PursuitEncoder(decoder, np.zeros(40), config).encode(x), decoder).sum()

    full = error(**FULL)
    one = error(stages=1, exchanges=0, candidates=40)
    three = error(stages=3, exchanges=0, candidates=40)
    swapped = error(stages=3, exchanges=2, candidates=40)
    six = error(stages=6, exchanges=0, candidates=40)
    # Measured 306, 836, 353, 314 and 311.
    assert full < six < 1.03 * full
    assert three < 0.5 * one
    assert swapped < 0.92 * three


def test_residuals_stand_at_right_angles_to_the_support():
    decoder, x = dictionary(300, 48, shift=0.3), samples(100, 48)
    code = PursuitEncoder(decoder, np.zeros(48), Pursuit(k=16, non_negative=False)).encode(x)
    left = x - code.dense() @ decoder
    for row, (latents, values) in zip(left, rows_of(code), strict=True):
        assert len(values) == 16
        assert np.abs(decoder[latents] @ row).max() < 2e-5


@pytest.mark.parametrize("stages", [1, 3])
def test_non_negative_coefficients_are_scipys_on_the_same_support(stages):
    decoder, x = dictionary(150, 24, shift=0.5), samples(120, 24)
    config = Pursuit(k=12, stages=stages, candidates=60)
    code = PursuitEncoder(decoder, np.zeros(24), config).encode(x)
    short = 0
    for row, (latents, values) in zip(x, rows_of(code), strict=True):
        expected, _ = nnls(decoder[latents].T, row)
        np.testing.assert_allclose(values, expected, atol=1e-4 * expected.max())
        short += len(values) < 12
    assert (code.values > 0).all()
    assert short > 0, "no coefficient ever left: the test shows nothing"


def test_later_stages_replace_coefficients_that_turned_negative():
    decoder, x = dictionary(150, 24, shift=0.5), samples(120, 24)

    def code(**settings):
        config = Pursuit(k=12, candidates=150, **settings)
        return PursuitEncoder(decoder, np.zeros(24), config).encode(x)

    one, three = code(stages=1, exchanges=0), code(stages=3, exchanges=0)
    swapped = code(stages=3, exchanges=1)
    assert len(one.values) < len(three.values) < len(swapped.values) <= 12 * 120
    found = [errors(x, each, decoder).sum() for each in (one, three, swapped)]
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_refit_with_non_negative_coefficients_is_scipys(shift):
    decoder, x = dictionary(80, 20, shift=shift), samples(150, 20)
    rng = np.random.default_rng(5)
    support = np.argsort(rng.random((150, 80)), axis=1)[:, :14].astype(np.int32)
    given = SparseCode.fixed(support, np.ones(support.shape, np.float32), 80)
    code = PursuitEncoder(decoder, np.zeros(20), Pursuit(k=14)).refit(x, given)
    expected = np.zeros((150, 80))
    for row, latents, out in zip(x, support, expected, strict=True):
        out[latents] = nnls(decoder[latents].T, row)[0]
    np.testing.assert_allclose(code.dense(), expected, atol=3e-4 * expected.max())
    assert len(code.values) < 0.8 * support.size  # many would be negative
    # Karush, Kuhn and Tucker: no pull on the active ones, none upwards on the others.
    pull = (x - code.dense() @ decoder) @ decoder.T
    active = code.dense() > 0
    offered = np.zeros_like(active)
    np.put_along_axis(offered, support.astype(np.int64), True, axis=1)
    assert np.abs(pull[active]).max() < 1e-4
    assert pull[offered & ~active].max() < 1e-3


def test_refit_with_signs_is_least_squares():
    decoder, x = dictionary(50, 20), samples(60, 20)
    rng = np.random.default_rng(6)
    dense = np.where(rng.random((60, 50)) < 0.2, 1.0, 0.0)  # supports of different sizes
    dense[7] = 0.0
    from scipy.sparse import csr_array

    given = SparseCode.of(csr_array(dense))
    encoder = PursuitEncoder(decoder, np.zeros(20), Pursuit(k=5, non_negative=False))
    code = encoder.refit(x, given)
    for row, (latents, values), (own, _) in zip(x, rows_of(code), rows_of(given), strict=True):
        assert latents.tolist() == own.tolist()
        expected = np.linalg.lstsq(decoder[own].T, row, rcond=None)[0]
        np.testing.assert_allclose(values, expected, atol=2e-4)


def test_sparse_combinations_of_orthonormal_atoms_are_recovered_exactly():
    rng = np.random.default_rng(7)
    decoder = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    truth = np.where(rng.random((60, 40)) < 0.15, rng.uniform(0.5, 3.0, (60, 40)), 0.0)
    most = int((truth > 0).sum(axis=1).max())
    code = PursuitEncoder(decoder, np.ones(40), Pursuit(k=most, candidates=20)).encode(
        truth @ decoder + 1.0
    )
    np.testing.assert_allclose(code.dense(), truth, atol=2e-5)
    # Nothing is picked when nothing is left: short codes stay short.
    assert (np.diff(code.indptr) == (truth > 0).sum(axis=1)).mean() > 0.95


@pytest.mark.parametrize("non_negative", [True, False])
def test_sparse_combinations_of_incoherent_atoms_are_recovered(non_negative):
    rng = np.random.default_rng(8)
    decoder = dictionary(600, 256, seed=9)
    truth = np.zeros((50, 600))
    for row in truth:
        signs = 1.0 if non_negative else rng.choice([-1.0, 1.0], 6)
        row[rng.choice(600, 6, replace=False)] = rng.uniform(1.0, 2.0, 6) * signs
    config = Pursuit(k=6, candidates=64, non_negative=non_negative)
    code = PursuitEncoder(decoder, np.zeros(256), config).encode(truth @ decoder)
    np.testing.assert_allclose(code.dense(), truth, atol=1e-5)


def test_atoms_of_any_length_give_the_same_reconstruction():
    decoder, x = dictionary(90, 30), samples(40, 30)
    scale = 10.0 ** np.random.default_rng(10).uniform(-5, 5, 90)
    plain = PursuitEncoder(decoder, np.zeros(30), Pursuit(k=6)).encode(x)
    scaled = PursuitEncoder(decoder * scale[:, None], np.zeros(30), Pursuit(k=6)).encode(x)
    np.testing.assert_array_equal(plain.indices, scaled.indices)
    np.testing.assert_allclose(scaled.values * scale[scaled.indices], plain.values, rtol=1e-5)


@pytest.mark.parametrize("factor", [1e-25, 1e6, 1e30])
def test_codes_scale_with_the_samples(factor):
    decoder, x = dictionary(90, 30), samples(40, 30)
    encoder = PursuitEncoder(decoder, np.zeros(30), Pursuit(k=6))
    one, other = encoder.encode(x), encoder.encode(x * factor)
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_allclose(other.values / factor, one.values, rtol=1e-5)


def test_the_pre_bias_is_taken_off_first():
    decoder, x, bias = dictionary(90, 30), samples(40, 30), samples(1, 30)[0]
    code = PursuitEncoder(decoder, bias, Pursuit(k=6)).encode(x + bias)
    same = PursuitEncoder(decoder, np.zeros(30), Pursuit(k=6)).encode(x)
    np.testing.assert_allclose(code.dense(), same.dense(), atol=1e-5)


def test_without_room_for_the_gram_matrix_codes_are_the_same():
    decoder, x = dictionary(120, 40, shift=0.2), samples(60, 40)
    bytes_needed = 2 * 120 * 120
    held, computed = (
        PursuitEncoder(decoder, np.zeros(40), Pursuit(k=8, gram_bytes=limit))
        for limit in (bytes_needed, bytes_needed - 1)
    )
    one, other = held.encode(x), computed.encode(x)
    assert held._gram is not None
    assert computed._gram is None
    np.testing.assert_allclose(one.dense(), other.dense(), atol=1e-5)


@pytest.mark.needs_data
def test_real_embeddings_are_written_in_other_embeddings(data_home):
    folder = data_home / "embeddings"
    names = ("opentriviaqa", "clinc150", "stackoverflow_titles")
    x = np.concatenate([np.load(folder / f"{name}.npy", allow_pickle=False) for name in names])
    x = x[np.random.default_rng(0).permutation(len(x))].astype(np.float32)
    train, held = x[:-10_000], x[-10_000:-9_000]
    mean = train.mean(axis=0, dtype=np.float64)
    atoms = train[:3072] - mean
    code = PursuitEncoder(atoms, mean, Pursuit(k=32)).encode(held)
    left = held - mean - code.csr() @ atoms
    assert (left**2).sum() / ((held - mean) ** 2).sum() < 0.21  # measured .20
