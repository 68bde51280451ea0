"""Scores of a sparse dictionary: by hand, whatever the batches, and not as the libraries err."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix

from isthmus.errors import ConfigError, DataError
from isthmus.kernels.code import SparseCode
from isthmus.metrics import (
    CodeSums,
    DictionarySums,
    FiringSums,
    ReconstructionSums,
    as_csr,
    bootstrap_mean,
    bootstrap_ratio,
    published_errors,
)
from isthmus.metrics.kept_rows import KeptRows


def sparse_codes(rows, latents, share=0.2, seed=0, signed=False):
    rng = np.random.default_rng(seed)
    values = rng.lognormal(size=(rows, latents)) * (rng.random((rows, latents)) < share)
    return np.where(rng.random((rows, latents)) < 0.5, -values, values) if signed else values


def split(rows=60, dim=5, latents=8, seed=0, offset=3.0):
    """Inputs about a mean that is far from zero, what a dictionary makes of them, and codes."""
    rng = np.random.default_rng(seed)
    codes = sparse_codes(rows, latents, seed=seed)
    directions = rng.normal(size=(latents, dim))
    x = codes @ directions + offset + 0.3 * rng.normal(size=(rows, dim))
    return x, codes @ directions + offset, codes


def scored(x, out, codes, mean, cuts=(), **options):
    sums = DictionarySums(codes.shape[1], mean, **options)
    edges = [0, *cuts, len(x)]
    for start, stop in itertools.pairwise(edges):
        sums.update(x[start:stop], out[start:stop], csr_array(codes[start:stop]))
    return sums.result(resamples=100)


# ---------------------------------------------------------------- one make of codes


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a,
        csr_array,
        csr_matrix,
        csc_array,
        coo_array,
        lambda a: SparseCode.of(csr_array(a)),
        lambda a: torch.tensor(a),
        lambda a: torch.tensor(a).to_sparse(),
        lambda a: torch.tensor(a).to_sparse_csr(),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_codes_of_every_make_give_the_same_array(make):
    dense = sparse_codes(6, 4, seed=3).astype(np.float32)
    found = as_csr(make(dense))
    assert np.array_equal(found.toarray(), dense)
    assert found.has_canonical_format


def test_stored_zeros_and_duplicates_are_no_activations():
    codes = csr_array(
        (np.array([0.0, 1.0, 2.0, -2.0]), np.array([0, 1, 1, 1]), np.array([0, 1, 2, 4])),
        shape=(3, 2),
    )
    found = as_csr(codes)
    assert found.nnz == 1
    assert codes.nnz == 4  # what was given stays as it was
    sums = FiringSums(2)
    sums.update(codes)
    assert sums.result().firing_rate.tolist() == [0.0, 1 / 3]


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.zeros(3), "no batch of codes"),
        (np.zeros((2, 3)), "another width"),
        (np.array([[0.0, np.nan]]), "not finite"),
        (csr_array(np.array([[0.0, np.inf]])), r"\(0, 1\)"),
        (SparseCode(np.array([0, 1]), np.array([7]), np.array([1.0]), 2), "no batch of codes"),
        (SparseCode(np.array([0, 1]), np.array([-1]), np.array([1.0]), 2), "no batch of codes"),
        (SparseCode(np.array([0, 3]), np.array([0]), np.array([1.0]), 2), "no batch of codes"),
        ("codes", "no batch of codes"),
    ],
)
def test_codes_that_are_none_are_refused(codes, words):
    with pytest.raises(DataError, match=words):
        as_csr(codes, latents=2)


# ---------------------------------------------------------------- the scores by hand


def test_scores_by_hand():
    x = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0], [1.0, 1.0]])
    out = np.array([[2.0, 0.0], [3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    codes = np.array([[2.0, 0.0, 0.0], [1.0, 3.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = scored(x, out, codes, np.array([1.0, 0.0]))
    # errors 1, 9, 1, 2; about the mean (1, 0): 4, 17, 1, 1
    assert found.mse == 13 / 8
    assert found.fvu == 13 / 23
    assert found.explained_variance == pytest.approx(10 / 23)
    # the third input has no direction; the fourth reconstruction has none: cosine 0
    assert found.cosine == pytest.approx((1 + 16 / 20 + 0) / 3)
    assert found.cosine_of_mean == pytest.approx((1 + 0 + math.sqrt(0.5)) / 3)
    assert found.norm_ratio == pytest.approx((2 + 5 + 1) / (3 + 4 + math.sqrt(2)))
    assert found.relative_bias == pytest.approx((4 + 25 + 1) / (6 + 16))
    firing = found.firing
    assert found.samples == firing.samples == 4
    assert firing.l0 == 1.0
    assert firing.l0_quantiles == (0, 0, 1, 2, 2)
    assert firing.silent_fraction == 0.25
    assert firing.firing_rate.tolist() == [0.75, 0.25, 0.0]
    assert firing.dead_fraction == 1 / 3
    assert firing.dense_10 == 2 / 3
    assert firing.dense_25 == 1 / 3  # a quarter is not more than a quarter
    assert firing.max_firing_rate == 0.75
    assert firing.mean_activation == 10 / 12
    assert firing.mean_activation_per_latent.tolist() == [7 / 4, 3 / 4, 0.0]
    assert firing.mean_when_active[:2].tolist() == [7 / 3, 3.0]
    assert math.isnan(firing.mean_when_active[2])
    root = math.sqrt(3)
    two = (root - 4 / math.sqrt(10)) / (root - 1)
    assert firing.hoyer == pytest.approx((1 + two + 1) / 3)
    assert (firing.rate_decades.zeros, firing.rate_decades.counts.tolist()) == (1, [2])


def test_negative_activations_are_active_and_keep_their_sign():
    sums = FiringSums(2)
    sums.update(csr_array(np.array([[-1.0, 0.0], [3.0, 0.0]])))
    found = sums.result()
    assert found.firing_rate.tolist() == [1.0, 0.0]
    assert found.mean_when_active[0] == 1.0


@pytest.mark.parametrize("signed", [False, True])
def test_firing_agrees_with_the_dense_sums(signed):
    codes = sparse_codes(200, 30, share=0.07, seed=2, signed=signed)
    codes[:, 5] = 0
    sparse, dense = FiringSums(30), CodeSums(30)
    sparse.update(csr_array(codes))
    dense.update(codes)
    a, b = sparse.result(), dense.result()
    assert a.l0 == b.l0
    assert a.hoyer == pytest.approx(b.hoyer)
    assert a.silent_fraction == b.silent_fraction
    assert a.dead_fraction == b.dead_fraction > 0
    assert np.array_equal(a.firing_rate, b.firing_rate)
    assert np.allclose(a.mean_activation_per_latent, b.mean_activation_per_latent)


def test_errors_agree_with_the_dense_sums():
    x, out, codes = split()
    sums = ReconstructionSums(x.mean(axis=0))
    sums.update(x, out)
    found = scored(x, out, codes, x.mean(axis=0))
    assert found.fvu == pytest.approx(sums.result().fvu)
    assert found.mse == pytest.approx(sums.result().mse)


def test_decades_count_latents_by_rate():
    codes = np.zeros((1000, 5))
    for latent, count in enumerate((0, 1, 9, 90, 1000)):
        codes[:count, latent] = 1.0
    sums = FiringSums(5)
    sums.update(csr_array(codes))
    decades = sums.result().rate_decades
    assert decades.zeros == 1
    assert decades.counts.tolist() == [2, 1, 1]  # .001 and .009, .09, 1
    assert np.allclose(decades.edges, [1e-3, 1e-2, 1e-1, 1.0])


def test_one_latent_has_no_hoyer_and_silence_has_none():
    one, silent = FiringSums(1), FiringSums(3)
    one.update(csr_array(np.ones((2, 1))))
    silent.update(csr_array((2, 3)))
    assert one.result().hoyer is None
    assert silent.result().hoyer is None
    assert silent.result().silent_fraction == 1.0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_hoyer_has_no_scale(scale):
    codes = np.array([[1.0, 2.0, 0.0]])
    a, b = FiringSums(3), FiringSums(3)
    a.update(csr_array(codes))
    b.update(csr_array(codes * scale))
    assert a.result().hoyer == pytest.approx(b.result().hoyer)


# ---------------------------------------------------------------- promises


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 3))
def test_nothing_depends_on_the_batches(cuts, seed):
    x, out, codes = split(seed=seed)
    mean = np.arange(5.0)
    for keep in (20, 1000):
        whole = scored(x, out, codes, mean, keep=keep)
        cut = scored(x, out, codes, mean, sorted(cuts), keep=keep)
        for name in ("mse", "fvu", "cosine", "cosine_of_mean", "norm_ratio", "relative_bias"):
            assert getattr(cut, name) == pytest.approx(getattr(whole, name), rel=1e-12)
        assert cut.fvu_interval.low == pytest.approx(whole.fvu_interval.low)
        assert cut.cosine_interval.high == pytest.approx(whole.cosine_interval.high)
        assert cut.firing.hoyer == pytest.approx(whole.firing.hoyer, rel=1e-12)
        assert cut.firing.l0_quantiles == whole.firing.l0_quantiles
        assert np.array_equal(cut.firing.firing_rate, whole.firing.firing_rate)


def test_blocks_inside_a_large_batch_change_nothing():
    x, out, codes = split(rows=9000)
    whole = scored(x, out, codes, 3.0)
    cut = scored(x, out, codes, 3.0, cuts=range(100, 9000, 100))
    assert whole.fvu == pytest.approx(cut.fvu, rel=1e-12)
    assert whole.fvu_interval.low == pytest.approx(cut.fvu_interval.low)


def test_answering_the_mean_explains_nothing_and_no_error_everything():
    x, _, codes = split()
    mean = x.mean(axis=0)
    nothing = scored(x, np.tile(mean, (len(x), 1)), codes, mean)
    assert nothing.fvu == pytest.approx(1.0, abs=1e-14)
    assert nothing.explained_variance == pytest.approx(0.0, abs=1e-14)
    assert nothing.cosine == pytest.approx(nothing.cosine_of_mean)
    assert nothing.cosine > 0.5
    perfect = scored(x, x, codes, mean)
    assert (perfect.fvu, perfect.explained_variance, perfect.mse) == (0.0, 1.0, 0.0)
    assert perfect.cosine == pytest.approx(1.0)
    assert perfect.norm_ratio == perfect.relative_bias == 1.0


def test_the_mean_is_that_of_training_and_not_of_what_is_scored():
    """About its own mean, a split that drifted away would be judged too hard."""
    x, out, codes = split()
    far = scored(x, out, codes, x.mean(axis=0) - 10)
    near = scored(x, out, codes, x.mean(axis=0))
    drift = len(x) * 5 * 100
    total = ((x - x.mean(axis=0)) ** 2).sum()
    assert far.fvu == pytest.approx(near.fvu * total / (total + drift))


def test_shrinkage_shows():
    x, _, codes = split()
    found = scored(x, 0.5 * x, codes, 0.0)
    assert found.norm_ratio == pytest.approx(0.5)
    assert found.relative_bias == pytest.approx(0.5)
    assert found.cosine == pytest.approx(1.0)


def test_inputs_without_spread_or_length_have_no_ratio():
    x, codes = np.zeros((3, 2)), np.zeros((3, 4))
    found = scored(x, np.ones((3, 2)), codes, 0.0)
    assert found.mse == 1.0
    for name in ("fvu", "fvu_interval", "explained_variance", "cosine", "cosine_interval"):
        assert getattr(found, name) is None
    assert found.cosine_of_mean is found.norm_ratio is found.relative_bias is None
    # opposite reconstructions: no factor above zero helps, so there is no bias to speak of
    assert scored(x + 1, -x - 1, codes, 0.0).relative_bias is None


def test_tensors_and_float16_are_taken_as_they_are():
    x, out, codes = split()
    plain = scored(x.astype(np.float16), out.astype(np.float16), codes, 3.0)
    sums = DictionarySums(8, torch.tensor(3.0))
    sums.update(torch.tensor(x).half(), torch.tensor(out).half(), torch.tensor(codes).to_sparse())
    assert sums.result().fvu == plain.fvu


def test_a_refused_batch_leaves_nothing_behind():
    x, out, codes = split()
    sums = DictionarySums(8, np.zeros(5))
    sums.update(x, out, codes)
    before = sums.result(resamples=100)
    bad = x.copy()
    bad[59, 2] = np.nan
    for args, words in (
        ((bad, out, codes), "not finite"),
        ((x, bad, codes), "not finite"),
        ((x, out[:9], codes), "same shape"),
        ((x, out, codes[:9]), "differ in number"),
        ((x, out, codes[:, :3]), "another width"),
        ((x[:, :4], out[:, :4], codes), "another size"),
    ):
        with pytest.raises(DataError, match=words):
            sums.update(*args)
    after = sums.result(resamples=100)
    assert (after.fvu, after.samples, after.mse) == (before.fvu, before.samples, before.mse)
    assert after.fvu_interval == before.fvu_interval


def test_sums_refuse_what_makes_no_sense():
    with pytest.raises(ConfigError, match="latent"):
        DictionarySums(0, 0.0)
    with pytest.raises(ConfigError, match="kept"):
        DictionarySums(1, 0.0, keep=0)
    with pytest.raises(DataError, match="training mean"):
        DictionarySums(1, np.array([np.nan]))
    with pytest.raises(DataError, match="no sample"):
        DictionarySums(1, 0.0).result()
    with pytest.raises(DataError, match="no code"):
        FiringSums(1).result()
    sums = DictionarySums(2, 0.0)
    sums.update(np.zeros((0, 3)), np.zeros((0, 3)), csr_array((0, 2)))
    with pytest.raises(DataError, match="no sample"):
        sums.result()
    x, out, codes = split()
    sums = DictionarySums(8, 0.0)
    sums.update(x, out, codes)
    with pytest.raises(ConfigError, match="resamples"):
        sums.result(resamples=3)


# ---------------------------------------------------------------- intervals


def test_the_bootstrap_of_a_ratio_is_that_of_sums():
    """One large sample decides a ratio of sums; the mean of ratios would not see it."""
    above, below = np.array([1.0, 1.0, 90.0]), np.array([1.0, 1.0, 100.0])
    found = bootstrap_ratio(above, below)
    assert found.value == 92 / 102
    assert found.low == pytest.approx(0.9, abs=0.01)
    assert found.high == 1.0


def test_the_bootstrap_covers_as_often_as_it_says():
    """Of 200 samples of known ratio, about nine in ten 90 % intervals hold it."""
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        below = rng.exponential(size=80)
        above = 0.3 * below + 0.1 * rng.normal(size=80)
        found = bootstrap_ratio(above, below, resamples=300, confidence=0.9, seed=trial)
        inside += found.low <= 0.3 <= found.high
    assert 0.83 <= inside / 200 <= 0.96


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error():
    values = np.random.default_rng(1).normal(size=4000)
    found = bootstrap_mean(values, resamples=2000)
    half = 1.96 * values.std() / math.sqrt(4000)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_the_interval_of_a_subset_is_as_narrow_as_that_of_all():
    x, out, codes = split(rows=4000)
    whole = scored(x, out, codes, 3.0).fvu_interval
    part = scored(x, out, codes, 3.0, keep=500).fvu_interval
    assert (whole.samples, part.samples) == (4000, 500)
    assert part.value == whole.value
    assert part.high - part.low == pytest.approx(whole.high - whole.low, rel=0.35)
    assert part.low < part.value < part.high


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).normal(size=50)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_a_bootstrap_refuses_what_makes_no_sense():
    ones = np.ones(3)
    for args, options, error, words in (
        ((ones, np.ones(2)), {}, DataError, "both terms"),
        (([], []), {}, DataError, "both terms"),
        ((ones, np.zeros(3)), {}, DataError, "sum to zero"),
        ((np.array([1, np.inf]), np.ones(2)), {}, DataError, "not finite"),
        ((ones, ones), {"resamples": 10}, ConfigError, "100 resamples"),
        ((ones, ones), {"confidence": 1.0}, ConfigError, "confidence"),
        ((ones, ones), {"population": 2}, ConfigError, "population"),
    ):
        with pytest.raises(error, match=words):
            bootstrap_ratio(*args, **options)


def test_kept_rows_are_a_uniform_subset_in_order():
    counts = np.zeros(40)
    for seed in range(300):
        kept = KeptRows(10, width=1, seed=seed)
        for start in range(0, 40, 7):
            kept.update(np.arange(start, min(start + 7, 40))[:, None])
        rows = kept.rows()[:, 0]
        assert rows.size == 10
        assert (np.diff(rows) > 0).all()
        counts[rows.astype(int)] += 1
    # each row is kept with probability 1/4: 75 of 300, standard deviation 7.5
    assert np.abs(counts - 75).max() < 4.5 * 7.5


# ---------------------------------------------------------------- as the libraries err


def test_the_published_errors_by_hand():
    x = np.array([[1.0, 2.0], [3.0, 6.0]])
    out = np.array([[1.0, 3.0], [3.0, 7.0]])  # a constant error of (0, 1)
    found = published_errors(x, out, np.array([2.0, 3.0]))
    assert found.pooled == 2 / (1 + 1 + 1 + 9)
    assert found.batch_mean == 2 / (2 * (1 + 4))
    assert found.sample_ratios == (1 / 5 + 1 / 5) / 2
    assert found.ratios_about_zero == (1 / 5 + 1 / 45) / 2
    assert found.about_zero == 2 / 50
    assert found.without_bias == 0.0
    assert found.scalar_mean == 2 / (4 + 1 + 0 + 9)


def test_the_mean_of_squares_is_no_variance():
    """Catalogue 24: about zero, vectors with a common direction look explained by their mean."""
    x, _, codes = split(offset=10.0)
    mean = x.mean(axis=0)
    guess = np.tile(mean, (len(x), 1))
    wrong = published_errors(x, guess, mean)
    assert wrong.about_zero < 0.2  # "explained variance .8", and nothing was explained
    assert wrong.ratios_about_zero < 0.2
    assert scored(x, guess, codes, mean).explained_variance == pytest.approx(0.0, abs=1e-12)


def test_samples_near_the_mean_do_not_decide():
    """Catalogue 24, "legacy": a mean of ratios follows the samples that hardly matter."""
    x = np.array([[10.0, 0.0], [-10.0, 0.0], [0.0, 0.1], [0.0, -0.1]])
    out = x.copy()
    out[2:] += 1.0
    assert published_errors(x, out, 0.0).sample_ratios == pytest.approx(0.5 * 2 / 0.01)
    assert scored(x, out, np.ones((4, 1)), 0.0).fvu == pytest.approx(4 / 200.02)


def test_the_mse_does_not_depend_on_the_batch():
    """Catalogue 25: errors were divided by the samples of a batch once more."""
    x, out, codes = split()
    expected = ((x - out) ** 2).mean()
    for cuts in ((), (1,), range(1, 60), (32,)):
        assert scored(x, out, codes, 0.0, cuts).mse == pytest.approx(expected)


def test_batch_means_make_small_batches_look_worse():
    """B.10 a: about the batch's own mean, FVU grows by B / (B - 1)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 6))
    out = x + 0.5 * rng.normal(size=x.shape)
    found = published_errors(x, out, np.zeros(6), batch=4)
    assert found.batch_mean > 1.25 * found.pooled
    assert published_errors(x, out, np.zeros(6)).batch_mean == pytest.approx(found.pooled, rel=0.01)


def test_a_constant_error_counts():
    """B.10 c: variances of errors forgive a wrong bias."""
    x, _, codes = split()
    out = x + 5.0
    assert published_errors(x, out, 3.0).without_bias == pytest.approx(0.0, abs=1e-20)
    assert scored(x, out, codes, x.mean(axis=0)).fvu > 1.0


def test_one_mean_for_all_elements_flatters():
    """Catalogue 14: elements whose means differ look explained."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)) + np.array([0.0, 10.0, 20.0, 30.0])
    guess = np.tile(x.mean(axis=0), (500, 1))
    assert published_errors(x, guess, x.mean(axis=0)).scalar_mean < 0.02
    assert scored(x, guess, np.ones((500, 1)), x.mean(axis=0)).fvu == pytest.approx(1.0)


def test_rates_count_samples_and_not_numbers():
    """Catalogue 19: B times d was counted, so that latents looked dead too soon."""
    x, out, codes = split(rows=40)
    codes[:] = 0
    codes[7, 3] = 1.0
    found = scored(x, out, codes, 0.0, cuts=(8, 20)).firing
    assert found.samples == 40
    assert found.firing_rate[3] == 1 / 40


def test_fvu_does_not_change_with_the_units_if_both_sides_have_them():
    """Catalogue 26: scaled inputs were held against outputs in the old units."""
    x, out, codes = split()
    plain = scored(x, out, codes, x.mean(axis=0))
    scaled = scored(7 * x, 7 * out, codes, 7 * x.mean(axis=0))
    mixed = scored(7 * x, out, codes, 7 * x.mean(axis=0))
    assert scaled.fvu == pytest.approx(plain.fvu)
    assert mixed.fvu > 0.5 > plain.fvu


def test_published_errors_refuse_what_makes_no_sense():
    with pytest.raises(DataError, match="same shape"):
        published_errors(np.ones((2, 2)), np.ones((2, 3)), 0.0)
    with pytest.raises(DataError, match="no sample"):
        published_errors(np.ones((0, 2)), np.ones((0, 2)), 0.0)
    with pytest.raises(ConfigError, match="batch"):
        published_errors(np.ones((2, 2)), np.ones((2, 2)), 0.0, batch=0)
    same = published_errors(np.ones((3, 2)), np.zeros((3, 2)), 1.0)
    assert same.pooled is same.batch_mean is same.sample_ratios is same.scalar_mean is None
    assert same.about_zero == 1.0
