"""Refined encoding: limits, screening, threads, broken and odd input."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isthmus.errors import ConfigError, DataError
from isthmus.kernels import compiled
from isthmus.kernels.code import SparseCode
from isthmus.kernels.pursuit import Pursuit, PursuitEncoder
from isthmus.kernels.pursuit_rows import _keys, _screen
from isthmus.kernels.pursuit_solve import factor
from test_pursuit import FULL, dictionary, errors, samples


def encoder(decoder, threads=1, **settings):
    return PursuitEncoder(decoder, np.zeros(decoder.shape[1]), Pursuit(**settings), threads)


def test_any_number_of_threads_gives_the_same_bytes():
    decoder, x = dictionary(200, 32), samples(1100, 32)
    one, *others = (encoder(decoder, threads, k=10).encode(x) for threads in (1, 2, 3))
    for other in others:
        assert one.values.tobytes() == other.values.tobytes()
        assert one.indices.tobytes() == other.indices.tobytes()
        assert one.indptr.tobytes() == other.indptr.tobytes()
    again = encoder(decoder, 2, k=10).refit(x, one)
    assert again.values.tobytes() == encoder(decoder, 1, k=10).refit(x, one).values.tobytes()


def test_blocks_do_not_show():
    decoder, x = dictionary(200, 32), samples(700, 32)
    whole = encoder(decoder, k=6).encode(x).dense()
    pieces = [encoder(decoder, k=6).encode(part).dense() for part in np.split(x, [1, 300])]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-4)


def test_each_sample_may_have_its_own_k():
    decoder, x = dictionary(100, 40), samples(60, 40)
    most = np.arange(60) % 12
    ours = encoder(decoder, k=4, non_negative=False, **FULL)
    code = ours.encode(x, k_B=most)
    assert np.diff(code.indptr).tolist() == most.tolist()
    full = ours.encode(x, k_B=11)
    for first, second, k in zip(code.indptr, full.indptr, most, strict=False):
        picks = code.indices[first : first + k]
        assert picks.tolist() == full.indices[second : second + k].tolist()
    assert np.diff(ours.encode(x).indptr).tolist() == [4] * 60
    assert len(ours.encode(x, k_B=0).values) == 0


@pytest.mark.parametrize("stages", [1, 3])
def test_a_tolerance_ends_the_picks_early(stages):
    decoder, x = dictionary(200, 24), samples(80, 24)
    x[::2] *= 100.0  # the tolerance is a share of the sample
    settings = {"k": 20, "stages": stages, "non_negative": False, "candidates": 200}
    sizes = []
    for tolerance in (0.5, 0.1, 0.02, 0.0):
        code = encoder(decoder, tolerance=tolerance, **settings).encode(x)
        left = errors(x, code, decoder) / (x**2).sum(axis=1)
        count = np.diff(code.indptr)
        assert ((left <= tolerance * 1.001) | (count == 20)).all()
        sizes.append(count)
        shorter = encoder(decoder, **settings).encode(x, k_B=np.maximum(count - 1, 0))
        before = errors(x, shorter, decoder) / (x**2).sum(axis=1)
        if stages == 1:  # one pick fewer would not have done
            exchanged = encoder(decoder, exchanges=0, **settings)
            before = errors(x, exchanged.encode(x, k_B=count - 1), decoder) / (x**2).sum(axis=1)
            assert (before > tolerance).all()
    assert sizes[0].mean() < sizes[1].mean() < sizes[2].mean() <= sizes[3].mean() == 20


def test_scores_choose_the_candidates():
    decoder, x = dictionary(100, 40), samples(50, 40)
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(50, 100))
    code = encoder(decoder, k=5, candidates=12).encode(x, scores_BN=scores)
    best = np.argsort(-scores, axis=1)[:, :12]
    for row, latents in enumerate(np.split(code.indices, code.indptr[1:-1])):
        assert set(latents) <= set(best[row])
    again = encoder(decoder, k=5, candidates=12, stages=1, exchanges=0)
    own = again.encode(x, scores_BN=x @ decoder.T)
    np.testing.assert_allclose(own.dense(), again.encode(x).dense(), atol=1e-5)


def test_scores_of_minus_infinity_keep_latents_out():
    decoder, x = dictionary(100, 40), samples(50, 40)
    scores = np.where(np.arange(100) < 90, -np.inf, -1.0) + np.zeros((50, 1))
    scores[3] = -np.inf
    code = encoder(decoder, k=20, candidates=50, non_negative=False).encode(x, scores_BN=scores)
    assert code.indices.min() >= 90
    assert np.diff(code.indptr).tolist() == [0 if row == 3 else 10 for row in range(50)]


@given(
    ranks=arrays(
        np.float32,
        st.integers(1, 70),
        elements=st.one_of(
            st.sampled_from([0.0, -0.0, 1.0, -1.0, -np.inf]),
            st.floats(-(2.0**99), 2.0**99, width=32),
        ),
    ),
    count=st.integers(1, 80),
    by_size=st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_screening_lists_the_best_ranked(ranks, count, by_size):
    out, keys = np.zeros(len(ranks) + 16, np.uint32), np.zeros(len(ranks), np.int32)
    _keys(ranks, by_size, keys)
    found = _screen(keys, count, out)
    ranks = np.abs(ranks) if by_size else ranks
    listed = out[:found].tolist()
    assert found == min(count, int((ranks > -np.inf).sum()))
    assert len(set(listed)) == found
    rest = np.delete(ranks, listed)
    assert found == 0 or len(rest) == 0 or ranks[listed].min() >= rest.max()


@given(size=st.integers(1, 20), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_factors_are_cholesky_s(size, seed):
    rows = np.random.default_rng(seed).normal(size=(size, size + 5))
    gram = rows @ rows.T / (size + 5)
    lower, inverse = gram.astype(np.float32), np.ones((size, size), np.float32)
    factor(lower, inverse, size)
    np.testing.assert_allclose(np.tril(lower), np.linalg.cholesky(gram), atol=2e-4)
    np.testing.assert_allclose(np.tril(lower) @ inverse, np.eye(size), atol=2e-4)


NUMBERS = st.integers(-6400, 6400).map(lambda number: number / 64)


@given(
    decoder=arrays(np.float32, st.tuples(st.integers(1, 12), st.just(5)), elements=NUMBERS),
    x=arrays(np.float32, st.tuples(st.integers(0, 4), st.just(5)), elements=NUMBERS),
    k=st.integers(1, 12),
    non_negative=st.booleans(),
    stages=st.integers(1, 3),
    exchanges=st.integers(0, 2),
)
@settings(deadline=None, max_examples=200)
def test_any_numbers_give_codes_that_do_no_harm(decoder, x, k, non_negative, stages, exchanges):
    k = min(k, len(decoder))
    ours = encoder(
        decoder, k=k, non_negative=non_negative, stages=stages, exchanges=exchanges, candidates=4
    )
    code = ours.encode(x)
    assert len(code) == len(x)
    assert np.isfinite(code.values).all()
    assert (np.diff(code.indptr) <= k).all()
    assert not non_negative or (code.values > 0).all()
    assert len(np.unique(code.rows * code.latents + code.indices)) == len(code.indices)
    left = errors(x.astype(np.float64), code, decoder.astype(np.float64))
    energy = (x.astype(np.float64) ** 2).sum(axis=1)
    assert (left <= energy * (1 + 1e-5)).all()


def test_a_sample_at_the_pre_bias_has_an_empty_code():
    bias = samples(1, 8)[0]
    ours = PursuitEncoder(dictionary(20, 8), bias, Pursuit(k=3))
    code = ours.encode(np.stack([bias, bias + 1.0, bias]))
    assert np.diff(code.indptr).tolist() == [0, 3, 0]


def test_no_samples_give_no_codes():
    code = encoder(dictionary(20, 8), k=3).encode(np.zeros((0, 8)))
    assert (len(code), code.indptr.tolist(), len(code.values)) == (0, [0], 0)
    assert len(encoder(dictionary(20, 8), k=3).refit(np.zeros((0, 8)), code)) == 0


def test_atoms_of_no_length_are_never_picked():
    decoder = dictionary(60, 20)
    decoder[::2] = 0.0
    decoder[1] *= 1e-30
    code = encoder(decoder, k=20, non_negative=False).encode(samples(30, 20))
    assert (code.indices % 2 == 1).all()
    assert 1 not in code.indices
    assert len(encoder(np.zeros((6, 4)), k=3).encode(samples(5, 4)).values) == 0


@pytest.mark.parametrize("gram_bytes", [0, 1 << 20])
@pytest.mark.parametrize("stages", [1, 3])
def test_atoms_that_stand_twice_are_picked_once(stages, gram_bytes):
    decoder, x = dictionary(50, 20, shift=0.3), samples(60, 20)
    twice = np.concatenate([decoder, decoder])
    settings = {"k": 10, "stages": stages, "candidates": 100, "gram_bytes": gram_bytes}
    one = encoder(decoder, **settings).encode(x)
    two = encoder(twice, **settings).encode(x)
    for latents in np.split(two.indices, two.indptr[1:-1]):
        assert len(np.unique(latents % 50)) == len(latents)
    np.testing.assert_allclose(errors(x, two, twice), errors(x, one, decoder), rtol=1e-3, atol=1e-5)
    assert two.values.max() < 10 * one.values.max()
    # A support that names both is fitted all the same.
    both = SparseCode.fixed(np.tile(np.array([[3, 53, 7]], np.int32), (60, 1)),
                            np.ones((60, 3), np.float32), 100)  # fmt: skip
    signed = encoder(twice, k=3, non_negative=False)
    pair = SparseCode.fixed(both.indices.reshape(60, 3)[:, 1:], both.values.reshape(60, 3)[:, 1:],
                            100)  # fmt: skip
    better, plain = signed.refit(x, both), signed.refit(x, pair)
    np.testing.assert_allclose(errors(x, better, twice), errors(x, plain, twice), rtol=1e-3)


def test_more_picks_than_dimensions_end_when_nothing_is_left():
    decoder, x = dictionary(60, 8), samples(30, 8)
    code = encoder(decoder, k=40, non_negative=False).encode(x)
    assert np.diff(code.indptr).max() <= 10
    assert (errors(x, code, decoder) < 1e-6 * (x**2).sum(axis=1)).all()


def test_k_above_the_candidates_raises_their_number():
    decoder, x = dictionary(60, 20), samples(30, 20)
    code = encoder(decoder, k=15, candidates=2, non_negative=False, stages=1).encode(x)
    assert np.diff(code.indptr).tolist() == [15] * 30


def test_one_latent():
    code = encoder(np.array([[0.0, 2.0]]), k=1).encode(np.array([[1.0, 3.0], [0.0, -1.0]]))
    np.testing.assert_allclose(code.dense(), [[1.5], [0.0]])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"candidates": 0}, "candidates"),
        ({"stages": 0}, "stages"),
        ({"exchanges": -1}, "exchanges"),
        ({"gram_bytes": -1}, "gram_bytes"),
        ({"exchanged": 0.0}, "exchanged"),
        ({"exchanged": 1.0}, "exchanged"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        Pursuit(**settings)


def test_encoders_that_cannot_work_are_refused():
    decoder = dictionary(6, 4)
    with pytest.raises(ConfigError, match="k = 7 is larger"):
        encoder(decoder, k=7)
    with pytest.raises(ConfigError, match="threads"):
        encoder(decoder, 0, k=2)
    with pytest.raises(DataError, match="decoder must be a matrix"):
        PursuitEncoder(decoder[0], np.zeros(4), Pursuit(k=1))
    with pytest.raises(DataError, match="decoder must be finite"):
        PursuitEncoder(np.where(np.eye(6, 4) > 0, np.nan, decoder), np.zeros(4), Pursuit(k=1))
    for bias in (np.zeros(5), np.array([0, 0, np.inf, 0])):
        with pytest.raises(DataError, match="pre-bias"):
            PursuitEncoder(decoder, bias, Pursuit(k=1))


def test_broken_samples_are_refused():
    ours, x = encoder(dictionary(6, 4), k=2), samples(5, 4)
    for value in (np.nan, np.inf):
        x[3, 1] = value
        with pytest.raises(DataError, match="row 3"):
            ours.encode(x)
    for wrong in (np.zeros((5, 3)), np.zeros(4), np.array([["a"] * 4]), np.zeros((2, 2, 4))):
        with pytest.raises(DataError, match="samples must"):
            ours.encode(wrong)
    with pytest.raises(DataError, match="sample is too large"):
        ours.encode(np.full((1, 4), 1e300))
    with pytest.raises(DataError, match="activations are too large"):
        encoder(dictionary(6, 4) * 1e-30, k=2).encode(x[:2] * 1e20)


def test_broken_limits_and_scores_are_refused():
    ours, x = encoder(dictionary(6, 4), k=2), samples(5, 4)
    for k in (-1, 7, 1.5, np.full(5, 7), np.zeros(5, bool)):
        with pytest.raises(ConfigError, match="every k"):
            ours.encode(x, k_B=k)
    with pytest.raises(DataError, match=r"scores must be \(5, 6\)"):
        ours.encode(x, scores_BN=np.zeros((5, 4)))
    for value in (np.nan, np.inf):
        with pytest.raises(DataError, match="finite"):
            ours.encode(x, scores_BN=np.full((5, 6), value))


def test_broken_supports_are_refused():
    ours, x = encoder(dictionary(6, 4), k=2), samples(2, 4)

    def code(*latents, of=6):
        wide = np.array(latents, np.int32)
        return SparseCode.fixed(wide, np.ones(wide.shape, np.float32), of)

    for wrong in (code([0, 0], [1, 2]), code([0, 6], [1, 2]), code([-1, 2], [1, 2])):
        with pytest.raises(DataError, match="support"):
            ours.refit(x, wrong)
    for wrong in (code([0, 1]), code([0, 1], [1, 2], of=7)):
        with pytest.raises(DataError, match="row a sample"):
            ours.refit(x, wrong)


def test_code_is_compiled_where_nothing_can_be_kept(monkeypatch):
    made = []

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        made.append(options)
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", njit)
    assert compiled.compiled(abs) is abs
    assert made[0]["nogil"]
    assert not {"nnan", "ninf"} & made[0]["fastmath"]


def test_the_settings_alone_do_not_start_numba():
    import subprocess

    program = "import sys, isthmus.kernels.pursuit; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
