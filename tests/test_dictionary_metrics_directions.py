"""Directions of dictionaries: their overlap, their matching, and how many true ones are found."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from isthmus.errors import ConfigError, DataError
from isthmus.metrics import (
    decoder_coherence,
    match_decoders,
    random_like,
    recovery,
    seed_stability,
    superposition,
)
from isthmus.metrics.matching import best_cosines, hungarian, paired


def directions(rows, dim=6, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# ---------------------------------------------------------------- coherence


def test_coherence_by_hand():
    found = decoder_coherence(np.array([[2.0, 0.0], [0.0, 1.0], [-0.6, 0.8], [0.0, 0.0]]))
    assert found.max == pytest.approx(0.8)
    assert found.mean == pytest.approx((0.0 + 0.6 + 0.8) / 3)
    assert found.nearest[:3] == pytest.approx([0.0, 0.8, 0.8])
    assert found.nearest_index.tolist() == [1, 2, 1, -1]
    assert math.isnan(found.nearest[3])
    assert found.zero_rows == 1
    assert found.high_share == 0.0
    assert decoder_coherence(found.nearest[None, :3].T, high=0.75).max == pytest.approx(1.0)


def test_pairs_above_a_cosine_are_counted_once_and_of_either_sign():
    rows = np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.05], [0.0, 1.0]])
    found = decoder_coherence(rows, high=0.9)
    assert found.high_share == 3 / 6
    # an opposite direction is no duplicate: the nearest keeps its sign
    assert found.nearest[2] == pytest.approx(0.05 / math.hypot(1, 0.05))


def test_references_of_coherence():
    """Three directions at 120 degrees attain Welch's bound; random ones their mean."""
    angles = 2 * np.pi * np.arange(3) / 3
    found = decoder_coherence(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert found.max == pytest.approx(found.welch_bound)
    assert found.welch_bound == pytest.approx(0.5)
    found = decoder_coherence(directions(900, 24))
    assert found.mean == pytest.approx(found.random_mean, rel=0.01)
    assert decoder_coherence(np.eye(4)).welch_bound == 0.0
    # in the plane the mean of |cos| is 2 / pi
    assert decoder_coherence(directions(3, 2)).random_mean == pytest.approx(2 / np.pi)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 5))
def test_coherence_does_not_depend_on_blocks_and_equals_the_whole_matrix(rows, block, seed):
    decoder = directions(rows, 4, seed)
    found = decoder_coherence(decoder, high=0.5, block=block)
    cosines = unit(decoder) @ unit(decoder).T
    pairs = np.abs(cosines[np.triu_indices(rows, 1)])
    np.fill_diagonal(cosines, -np.inf)
    assert found.max == pytest.approx(pairs.max(), abs=1e-6)
    assert found.mean == pytest.approx(pairs.mean(), abs=1e-6)
    assert found.high_share == pytest.approx((pairs > 0.5).mean(), abs=1e-9)
    assert found.nearest == pytest.approx(cosines.max(axis=1), abs=1e-6)
    assert np.array_equal(found.nearest_index, cosines.argmax(axis=1))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_directions_have_no_length(scale):
    decoder = directions(5)
    a, b = decoder_coherence(decoder), decoder_coherence(decoder * scale)
    assert a.mean == pytest.approx(b.mean, rel=1e-6)
    assert decoder_coherence(torch.tensor(decoder)).mean == a.mean


@pytest.mark.parametrize(
    ("decoder", "options", "error", "words"),
    [
        (np.ones((1, 3)), {}, DataError, "two directions"),
        (np.zeros((3, 3)), {}, DataError, "two directions"),
        (np.ones(3), {}, DataError, "matrix"),
        (np.array([[np.nan], [1.0]]), {}, DataError, "not finite"),
        (np.eye(2), {"high": 1.0}, ConfigError, "high"),
        (np.eye(2), {"block": 0}, ConfigError, "block"),
    ],
)
def test_coherence_refuses_what_makes_no_sense(decoder, options, error, words):
    with pytest.raises(error, match=words):
        decoder_coherence(decoder, **options)


# ---------------------------------------------------------------- matching


def test_matching_by_hand():
    """Row by row, both rows of A are nearest to the same row of B: only one can have it."""
    a = np.array([[1.0, 0.0], [0.8, 0.6]])
    b = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = match_decoders(a, b)
    assert found.b.tolist() == [0, 1]
    assert found.cosine == pytest.approx([1.0, 0.6])
    assert found.mean == pytest.approx(0.8)
    assert found.mmcs == pytest.approx(((1 + 0.8) / 2 + (1 + 0.6) / 2) / 2)
    assert found.share_above(0.6 - 1e-7) == 1.0
    assert found.share_above(0.61) == 0.5
    assert found.method == "hungarian"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 9), st.booleans())
def test_matching_is_the_best_of_all(rows, others, seed, signed):
    """Against every one-to-one matching there is."""
    a, b = directions(rows, 3, seed), directions(others, 3, seed + 100)
    cosines = unit(a) @ unit(b).T
    cosines = cosines if signed else np.abs(cosines)
    small, large = (cosines, cosines.T)[:: 1 if rows <= others else -1]
    best = max(
        sum(small[i, j] for i, j in enumerate(chosen))
        for chosen in itertools.permutations(range(large.shape[0]), small.shape[0])
    )
    found = match_decoders(a, b, signed=signed)
    assert found.cosine.sum() == pytest.approx(best, abs=1e-6)
    assert len(set(found.b.tolist())) == len(found.a) == min(rows, others)
    # reported is the cosine of the rows that are said to be matched
    assert found.cosine == pytest.approx(cosines[found.a, found.b], abs=1e-6)


def test_a_permutation_is_found_however_it_is_matched():
    rng = np.random.default_rng(0)
    a = directions(300, 16)
    order = rng.permutation(300)
    for limit in (6000, 40):
        found = match_decoders(a, 3.0 * a[order], limit=limit, block=64)
        assert np.array_equal(order[found.b], np.arange(300))
        assert found.mean == pytest.approx(1.0)
        assert found.mmcs == pytest.approx(1.0)
        assert found.method == ("hungarian" if limit == 6000 else "greedy")


def test_opposite_directions_match_only_where_signs_do_not_count():
    a = directions(5, 4)
    assert match_decoders(a, -a, signed=False).mean == pytest.approx(1.0)
    assert match_decoders(a, -a).mean < 0.9


def test_greedy_matching_is_one_to_one_and_no_better_than_the_best():
    rng = np.random.default_rng(1)
    a = directions(250, 12)
    b = (a + 0.6 * rng.normal(size=a.shape))[rng.permutation(250)]
    best, greedy = match_decoders(a, b), match_decoders(a, b, limit=50, block=32)
    assert sorted(greedy.b.tolist()) == list(range(250))
    assert best.mean - 0.03 < greedy.mean <= best.mean + 1e-9
    assert greedy.mmcs == pytest.approx(best.mmcs)


def test_greedy_matching_takes_pairs_as_a_sorted_list_would():
    a, b = unit(directions(40, 5, 3)), unit(directions(40, 5, 4))
    cosines = a @ b.T
    wanted, rows, columns = [], set(range(40)), set(range(40))
    for flat in np.argsort(-cosines, axis=None):
        i, j = divmod(int(flat), 40)
        if i in rows and j in columns:
            wanted.append((i, j))
            rows.remove(i)
            columns.remove(j)
    pairs = paired(a.astype("f"), b.astype("f"), signed=True, limit=1, block=7)
    found = set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))
    # all but the last few, which the Hungarian rest may swap
    assert len(found & set(wanted)) >= 38


def test_equal_rows_do_not_stall_the_greedy_matching():
    a = np.ones((400, 3))
    found = match_decoders(a, a, limit=10, block=50)
    assert sorted(found.b.tolist()) == list(range(400))
    assert found.mean == pytest.approx(1.0)


def test_rows_of_zeros_are_matched_with_nothing():
    a = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = match_decoders(a, np.array([[0.0, 1.0], [0.0, 0.0]]))
    assert (found.a.tolist(), found.b.tolist()) == ([2], [0])


def test_best_cosines_do_not_depend_on_blocks():
    a, b = unit(directions(30, 5, 1)).astype("f"), unit(directions(20, 5, 2)).astype("f")
    cosines = a @ b.T
    for block in (1, 7, 100):
        forth, back = best_cosines(a, b, block=block)
        assert np.array_equal(forth.index, cosines.argmax(axis=1))
        assert np.array_equal(back.index, cosines.argmax(axis=0))
        assert back.cosine == pytest.approx(cosines.max(axis=0), abs=1e-6)
    assert hungarian(np.array([[0.0, 1.0], [1.0, 0.0]]))[1].tolist() == [1, 0]


def test_matching_refuses_what_makes_no_sense():
    with pytest.raises(DataError, match="widths"):
        match_decoders(np.eye(2), np.eye(3))
    with pytest.raises(DataError, match="zeros"):
        match_decoders(np.eye(2), np.zeros((2, 2)))
    with pytest.raises(ConfigError, match="limit"):
        match_decoders(np.eye(2), np.eye(2), limit=0)
    with pytest.raises(DataError, match="zeros"):
        random_like(np.zeros((2, 2)))


# ---------------------------------------------------------------- stability over seeds


def test_stability_of_a_dictionary_that_is_half_found_again():
    rng = np.random.default_rng(0)
    shared = directions(60, 32, 1)
    dictionaries = [
        np.concatenate([shared, directions(60, 32, seed)])[rng.permutation(120)]
        for seed in (2, 3, 4)
    ]
    found = seed_stability(dictionaries)
    assert found.pairs == 3
    assert found.shares[0.9] == pytest.approx(0.5)
    assert found.shares[0.5] < 0.6
    assert set(found.shares) == {0.5, 0.7, 0.9}
    assert found.chance < 0.5 < found.mean < 0.8
    assert found.chance_mmcs < found.mmcs
    # each latent knows whether it is one of the shared ones
    own = match_decoders(dictionaries[0], shared).a
    others = np.setdiff1d(np.arange(120), own)
    assert found.per_latent[own].min() > 0.99
    assert found.per_latent[others].max() < 0.8
    assert found.interval.low < found.interval.value < found.interval.high
    assert found.interval.value == pytest.approx(found.per_latent.mean())
    assert found.method == "hungarian"


def test_stability_says_what_chance_gives():
    """Random dictionaries in a narrow cone agree at .9, and so does chance."""
    cone = np.array([3.0, 0, 0, 0, 0, 0])
    found = seed_stability([directions(80, 6, s) + 3 * cone for s in (1, 2)])
    assert found.mean > 0.95
    assert found.chance == pytest.approx(found.mean, abs=0.02)


def test_stability_of_one_dictionary_with_itself():
    a = directions(40, 8)
    found = seed_stability([a, a[::-1]], limit=20)
    assert found.mean == pytest.approx(1.0)
    assert found.method == "greedy"
    with pytest.raises(ConfigError, match="two dictionaries"):
        seed_stability([a])


def test_latents_that_were_never_matched_have_no_stability():
    a = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    found = seed_stability([a, a[:1]])
    assert found.per_latent[0] == pytest.approx(1.0)
    assert np.isnan(found.per_latent[1:]).all()


def test_random_directions_have_the_mean_and_covariance_of_what_they_imitate():
    decoder = directions(4000, 48) * np.linspace(1.5, 0.5, 48)
    decoder[:, 3] += 4.0
    units, drawn = unit(decoder), random_like(decoder, seed=1)
    assert drawn.shape == decoder.shape
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(np.ones(4000), abs=1e-6)
    # at length 1 again, the moments are near and not equal
    assert np.abs(drawn.mean(axis=0) - units.mean(axis=0)).max() < 0.02
    spread = [each.std(axis=0) for each in (drawn, units)]
    assert np.abs(np.delete(spread[0] / spread[1], 3) - 1).max() < 0.1
    assert spread[1][0] > 2 * spread[1][-1]
    assert np.array_equal(drawn, random_like(decoder, seed=1))
    assert not np.array_equal(drawn, random_like(decoder, seed=2))


# ---------------------------------------------------------------- the synthetic set


def test_the_set_is_what_it_says():
    made = superposition(16, 40, 4000, 3.0, seed=0)
    assert made.data_RD.shape == (4000, 16)
    assert made.data_RD.dtype == np.float32
    assert np.linalg.norm(made.directions_FD, axis=1) == pytest.approx(np.ones(40), abs=1e-6)
    assert made.activations.data.min() > 0
    whole = made.activations.toarray() @ made.directions_FD
    assert made.data_RD == pytest.approx(whole, abs=1e-5)
    assert made.rates.sum() == pytest.approx(3.0)
    assert made.activations.nnz / 4000 == pytest.approx(3.0, rel=0.05)
    rates = np.bincount(made.activations.indices, minlength=40) / 4000
    assert np.abs(rates - made.rates).max() < 5 * math.sqrt(0.2 * 0.8 / 4000)
    assert made.activations.data.mean() == pytest.approx(1.0, rel=0.03)
    assert np.log(made.activations.data).std() == pytest.approx(0.5, rel=0.03)


def test_rates_follow_zipf_below_their_cap():
    rates = superposition(4, 1000, 1, 5.0, seed=0, zipf=0.8, most=0.9).rates
    assert rates[0] < 0.9
    assert rates[99] / rates[9] == pytest.approx(10**-0.8, rel=1e-6)
    capped = superposition(4, 50, 1, 5.0, seed=0, zipf=2.0, most=0.3).rates
    assert capped.max() == pytest.approx(0.3)
    assert capped.sum() == pytest.approx(5.0)
    assert (np.diff(capped) <= 1e-12).all()
    assert superposition(4, 10, 1, 5.0, seed=0, zipf=0.0, most=0.5).rates == pytest.approx(
        np.full(10, 0.5)
    )
    assert superposition(4, 10, 1, 2.0, seed=0, most=0.2).rates == pytest.approx(np.full(10, 0.2))


def test_the_same_seed_gives_the_same_set():
    a, b, c = (superposition(8, 20, 50, 2.0, seed=s, noise=0.1) for s in (3, 3, 4))
    assert np.array_equal(a.data_RD, b.data_RD)
    assert not np.array_equal(a.data_RD, c.data_RD)


def test_features_of_a_group_fire_together_and_as_often_as_before():
    def together(correlated):
        made = superposition(4, 32, 6000, 3.2, seed=1, zipf=0.0, correlated=correlated, group=4)
        fires = made.activations.toarray() > 0
        assert fires.mean() == pytest.approx(0.1, abs=0.012)
        correlation = np.corrcoef(fires.T)[np.triu_indices(32, 1)]
        return np.sort(correlation)[::-1]

    apart, tied = together(0.0), together(0.9)
    assert np.abs(apart).max() < 0.08
    # eight groups of four hold 48 pairs
    assert tied[:48].min() > 0.4
    assert np.abs(tied[48:]).max() < 0.1


def test_noise_has_the_size_that_was_asked_for():
    quiet, loud = (superposition(8, 20, 3000, 2.0, seed=3, noise=n) for n in (0.0, 0.5))
    assert (loud.data_RD - quiet.data_RD).std() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim": 0}, "at least 1"),
        ({"active": 9.0}, "can't be reached"),
        ({"active": 0.0}, "can't be reached"),
        ({"correlated": 1.5}, "out of range"),
        ({"most": 0.0}, "out of range"),
        ({"sigma": -1.0}, "out of range"),
    ],
)
def test_a_set_that_can_not_be_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        superposition(**{"dim": 4, "features": 10, "rows": 5, "active": 1.0, "seed": 0, **change})


# ---------------------------------------------------------------- recovery


def test_the_truth_recovers_itself():
    made = superposition(24, 40, 800, 3.0, seed=0)
    order = np.random.default_rng(0).permutation(40)
    found = recovery(
        5.0 * made.directions_FD[order],
        made.directions_FD,
        codes=made.activations[:, order] * 0.2,
        activations=made.activations,
    )
    assert found.mcc == pytest.approx(1.0)
    assert found.recovered == 1.0
    assert np.array_equal(order[found.latent], np.arange(40))
    assert found.f1 == found.precision == found.recall == 1.0
    assert found.correlation == pytest.approx(1.0)
    assert found.chance < 0.7


def test_recovery_by_hand():
    true = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    decoder = np.array([[0.0, 2.0], [0.8, 0.6]])  # the third feature has no latent of its own
    activations = np.array([[1.0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 2, 0]])
    codes = np.array([[0.0, 1.0], [0, 2], [0, 0], [3, 4]])
    found = recovery(decoder, true, codes=csr_array(codes), activations=activations, threshold=0.9)
    assert found.latent.tolist() == [1, 0, -1]
    assert found.cosine == pytest.approx([0.8, 1.0, 0.0])
    assert found.mcc == pytest.approx(0.6)
    assert found.recovered == pytest.approx(1 / 3)
    # first: fired on rows 0, 1, 3 and active on 0, 1, 2; second: fired on 3, active on 2, 3
    assert found.f1_per_feature == pytest.approx([2 / 3, 2 / 3, 0.0])
    assert found.precision == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.recall == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    pearson = [np.corrcoef(activations[:, i], codes[:, j])[0, 1] for i, j in ((0, 1), (1, 0))]
    assert found.correlation == pytest.approx(sum(pearson) / 3)


def test_a_latent_that_never_fires_scores_nothing_and_an_unused_feature_does_not_count():
    true, activations = np.eye(3), np.array([[1.0, 0, 0], [1, 1, 0], [0, 0, 0]])
    codes = np.array([[1.0, 0, 0], [1, 0, 5], [0, 0, 0]])
    found = recovery(true, true, codes=codes, activations=activations)
    assert found.f1 == 0.5
    assert math.isnan(found.f1_per_feature[2])
    assert (found.precision, found.recall) == (0.5, 0.5)
    assert found.correlation == pytest.approx(0.5)


def test_opposite_directions_are_misses_unless_signs_do_not_count():
    true = np.eye(3)
    assert recovery(-true, true).mcc <= 0.0
    assert recovery(-true, true, signed=False).recovered == 1.0
    only = recovery(true, true)
    assert only.f1 is only.precision is only.correlation is only.f1_per_feature is None


def test_random_dictionaries_score_what_chance_does():
    made = superposition(16, 60, 10, 3.0, seed=0)
    found = recovery(directions(120, 16, 5), made.directions_FD)
    assert found.mcc == pytest.approx(found.chance, abs=0.03)
    assert found.mcc > 0.5  # which is why chance stands beside it
    assert found.interval.low < found.mcc < found.interval.high


def test_recovery_refuses_what_makes_no_sense():
    true, codes = np.eye(2), np.ones((3, 2))
    with pytest.raises(ConfigError, match="together"):
        recovery(true, true, codes=codes)
    with pytest.raises(DataError, match="differ in number"):
        recovery(true, true, codes=codes, activations=codes[:2])
    with pytest.raises(DataError, match="another width"):
        recovery(true, true, codes=codes[:, :1], activations=codes)
    with pytest.raises(DataError, match="ever active"):
        recovery(true, true, codes=codes, activations=np.zeros((3, 2)))
