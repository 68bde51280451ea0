"""Where a dictionary's training starts, and what follows from the data."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from dictionary_toys import member, mixtures
from isthmus.bottlenecks import L1, BatchTopK, KLSparse, TopK
from isthmus.configs import field_docs
from isthmus.errors import ConfigError, DataError
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import DictionaryTraining, batch_for, latents_for
from isthmus.training.dictionary.rules import completed, k_at, learning_rate, rate_at
from isthmus.training.dictionary.start import geometric_median, started

# --- the geometric median -------------------------------------------------------------------------


def summed_distance(rows, point):
    return float(np.linalg.norm(rows - point, axis=1).sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 40), st.integers(1, 5), st.floats(0.01, 100))
def test_the_median_is_the_best_point_that_a_search_finds(seed, rows, dim, unit):
    draws = np.random.default_rng(seed)
    x = unit * draws.standard_t(2, size=(rows, dim))
    found = geometric_median(x, steps=2000, tolerance=1e-12)
    best = minimize(lambda p: summed_distance(x, p), np.median(x, 0), method="Nelder-Mead").fun
    assert summed_distance(x, found) <= best * (1 + 1e-4)


def test_medians_that_are_known():
    corners = np.array([[0, 0], [4, 0], [4, 2], [0, 2]])  # a rectangle: where its diagonals cross
    assert np.allclose(geometric_median(corners), [2, 1], atol=1e-4)
    angle = 2 * np.pi * np.arange(3) / 3
    triangle = np.stack([np.cos(angle), np.sin(angle)], 1)
    assert np.allclose(geometric_median(triangle), 0, atol=1e-4)
    wide = np.array([[0, 0], [1, 0.1], [-1, 0.1]])  # an angle above 120 degrees: that corner
    assert np.allclose(geometric_median(wide, steps=2000, tolerance=1e-9), [0, 0], atol=1e-2)


def test_a_few_far_rows_hardly_move_the_median():
    draws = np.random.default_rng(0)
    rows = np.concatenate([draws.normal(size=(990, 4)), 1e4 + draws.normal(size=(10, 4))])
    assert np.abs(geometric_median(rows)).max() < 0.2
    assert np.abs(rows.mean(0)).min() > 90


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_the_median_of_equal_rows_is_that_row(value):
    assert np.allclose(geometric_median(np.full((30, 3), value)), value, atol=1e-9)


# --- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["none", "layer", "unit"])
def test_a_dictionary_starts_tied_with_unit_rows_at_the_median(normalise):
    rows = 50 + 3 * mixtures(500, 8)
    model = SparseDictionary(8, TopK(32, 4), normalise=normalise, seed=4)
    scale = started(model, rows, 4)
    x = model.prepared(torch.tensor(rows))[0].double().numpy()
    assert scale == pytest.approx(math.sqrt(x.var(0).sum()), rel=1e-6)
    assert torch.equal(model.encoder, model.decoder)
    assert torch.allclose(model.decoder.detach().norm(dim=1), torch.ones(32))
    assert not model.bias.any()
    centre = geometric_median(x)
    assert np.allclose(model.pre_bias.detach() * scale, centre, rtol=1e-4, atol=1e-5)
    # in the units of training a reconstruction by the mean costs 1
    assert np.square((x - x.mean(0)) / scale).sum(1).mean() == pytest.approx(1)


def test_the_start_is_a_function_of_the_seed():
    rows = mixtures(100, 8)
    models = [SparseDictionary(8, TopK(32, 4), seed=s) for s in (1, 1, 2)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for model in models:
        started(model, rows, model.seed)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(models[0].decoder, models[1].decoder)
    assert not torch.allclose(models[0].decoder, models[2].decoder)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, 1.234567e-30])
@pytest.mark.parametrize("rows", [2, 1001, 40_000])
def test_rows_that_are_all_the_same_are_refused(value, rows):
    same = np.full((rows, 3), value, np.float32) * np.float32([1, -2.7, 0.3])
    with pytest.raises(DataError, match="all rows are the same"):
        started(SparseDictionary(3, TopK(8, 2)), same, 0)


def test_rows_that_are_the_same_but_for_their_size_are_refused_where_that_is_taken_out():
    rows = np.outer([1.0, 2, 4, 8], [3.0, 4.0]).astype(np.float32)
    with pytest.raises(DataError, match="all rows are the same"):
        started(SparseDictionary(2, TopK(8, 2), normalise="unit"), rows, 0)
    assert started(SparseDictionary(2, TopK(8, 2)), rows, 0) > 0


@pytest.mark.filterwarnings("error")
def test_no_rows_at_all_are_refused():
    with pytest.raises(DataError, match="no rows"):
        started(SparseDictionary(2, TopK(8, 2)), np.empty((0, 2), np.float32), 0)


# --- what follows from the data -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "dim", "latents"),
    [(100_000, 384, 3072), (49_152, 384, 3072), (49_151, 384, 3056), (1000, 384, 48), (10, 4, 16)],
)
def test_latents_are_eight_a_dimension_with_sixteen_rows_each(rows, dim, latents):
    assert latents_for(rows, dim) == latents


@given(st.integers(2, 10**9), st.integers(1, 8192))
def test_latents_never_exceed_eight_a_dimension_or_fall_below_a_few(rows, dim):
    assert 1 <= latents_for(rows, dim) <= max(16, 8 * dim)
    assert latents_for(2 * rows, dim) >= latents_for(rows, dim)


@given(st.integers(1, 10**9), st.integers(1, 1000))
def test_batches_are_powers_of_two_that_leave_enough_steps(rows, epochs):
    size = batch_for(rows, epochs)
    assert size & (size - 1) == 0
    assert 64 <= size <= 4096
    assert size == 64 or rows * epochs / size >= 1500
    assert size == 4096 or rows * epochs / size <= 3000


def test_the_learning_rate_falls_with_the_root_of_latents_and_with_steps():
    assert learning_rate(2**14, 10**6) == pytest.approx(2e-4)  # the published law, long trainings
    assert learning_rate(2**12, 10**6) == pytest.approx(4e-4)
    assert learning_rate(2**14, 1) == pytest.approx(12 * 2e-4)
    assert learning_rate(2**14, 10**6, 256) == pytest.approx(1e-4)  # the root of a quarter
    assert learning_rate(2**14, 10**6, 4096) == pytest.approx(2e-4)
    rates = [learning_rate(3072, steps) for steps in (100, 1000, 5000, 20_000, 10**5, 10**6)]
    assert rates == sorted(rates, reverse=True)


def test_what_is_given_is_kept_and_the_rest_filled_in():
    config = completed(DictionaryTraining(), 10_000, 512)
    assert (config.batch_size, config.noise) == (128, 0.3)
    assert config.lr == pytest.approx(learning_rate(512, 79 * 20, 128))
    own = DictionaryTraining(batch_size=100, lr=0.5, noise=0.0, encoder_decay=0.0)
    assert completed(own, 10_000, 512) == own
    assert completed(DictionaryTraining(epochs=1), 10_000, 512).noise == 0  # no row seen twice
    assert completed(own, 10_000, 512, world=3).batch_size == 99


@pytest.mark.parametrize(("epochs", "share"), [(1, 0.0), (2, 0.1), (6, 0.5), (11, 1.0), (40, 1.0)])
def test_noise_and_the_encoders_decay_follow_from_the_passes(epochs, share):
    """Rows seen once can't be learned by heart; eleven passes take all of it."""
    config = completed(DictionaryTraining(epochs=epochs), 10_000, 512)
    assert config.encoder_decay == pytest.approx(0.4 * share)
    assert config.noise == pytest.approx(0.3 * share)
    given = DictionaryTraining(epochs=epochs, encoder_decay=0.07, noise=0.02)
    kept = completed(given, 10_000, 512)
    assert (kept.encoder_decay, kept.noise) == (0.07, 0.02)


def test_a_slower_pace_slows_the_rule_and_not_what_is_given():
    full = completed(DictionaryTraining(), 10_000, 512).lr
    assert completed(DictionaryTraining(), 10_000, 512, pace=0.2).lr == pytest.approx(0.2 * full)
    assert completed(DictionaryTraining(lr=0.5), 10_000, 512, pace=0.2).lr == 0.5


# --- schedules ------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(1e-5, 1))
def test_the_rate_rises_stays_and_falls_to_nearly_nothing(steps, warmup, decay, top):
    config = DictionaryTraining(lr=top, warmup=warmup, decay=decay)
    rates = [rate_at(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= top for rate in rates)
    peak = int(np.argmax(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    if decay and not warmup:
        assert rates[-1] == pytest.approx(top * min(1, 1 / (steps * decay)))
    if not decay and not warmup:
        assert set(rates) == {top}


def test_the_rate_of_a_step_by_hand():
    config = DictionaryTraining(lr=8.0, warmup=0.25, decay=0.5)
    found = [rate_at(step, 8, config) for step in range(8)]
    assert found == [4, 8, 8, 8, 8, 6, 4, 2]


def test_k_falls_linearly_to_its_value():
    config = DictionaryTraining(anneal_k=4.0, anneal=0.5)
    assert [k_at(8, step, 8, config) for step in range(8)] == [32, 26, 20, 14, 8, 8, 8, 8]
    assert [k_at(8, step, 8, DictionaryTraining()) for step in (0, 7)] == [8, 8]
    low = DictionaryTraining(anneal_k=0.01, anneal=1.0)
    assert [k_at(8, step, 8, low) for step in (0, 4, 7)] == [1, 4, 7]


@pytest.mark.parametrize("kind", [TopK, BatchTopK])
def test_an_annealed_k_is_what_the_step_uses(kind):
    rows = mixtures(64, 8)
    model = SparseDictionary(8, kind(16, 2))
    one = member(model, rows, anneal_k=3.0, anneal=0.5)
    used = []
    for number in range(1, 9):
        one.at.sums = {}
        one.step(rows, number, 8)
        used.append(one.at.sums["l0"] / one.at.sums["count"])
    # TopK keeps 6, 5, 4, 3, 2, ... of which a few are below zero
    assert all(found <= k for found, k in zip(used, (6, 5, 4, 3, 2, 2, 2, 2), strict=True))
    assert used[0] > 4
    assert used[4] == pytest.approx(2, abs=0.2)


def test_annealing_from_more_latents_than_there_are_takes_all():
    rows = mixtures(64, 8)
    for bottleneck in (TopK(16, 4), BatchTopK(16, 4)):
        one = member(SparseDictionary(8, bottleneck), rows, anneal_k=100.0)
        one.step(rows, 1, 8)
        assert one.at.sums["l0"] / one.at.sums["count"] <= 16


# --- the settings themselves ----------------------------------------------------------------------


def test_every_setting_is_documented():
    assert set(field_docs(DictionaryTraining)) == {
        field.name for field in dataclasses.fields(DictionaryTraining)
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, "epochs must be above 0"),
        ({"dead_after": 0.0}, "dead_after must be above 0"),
        ({"eps": 0.0}, "eps must be above 0"),
        ({"anneal_k": 0.0}, "anneal_k must be above 0"),
        ({"lr": -1.0}, "lr can't be negative"),
        ({"batch_size": -1}, "batch_size can't be negative"),
        ({"revival": -0.1}, "revival can't be negative"),
        ({"patience": -1}, "patience can't be negative"),
        ({"threads": -1}, "threads can't be negative"),
        ({"seed": -1}, "seed can't be negative"),
        ({"warmup": 1.1}, "warmup is a share"),
        ({"decay": -0.1}, "decay is a share"),
        ({"anneal": 2.0}, "anneal is a share"),
        ({"warmup": 0.6, "decay": 0.6}, "can't exceed"),
        ({"revival_rows": 0.0}, "revival_rows is a share"),
        ({"max_rate": 0.0}, "max_rate is a share"),
        ({"held_out": 1.0}, "held_out is a share"),
        ({"held_out": 0.0}, "held_out is a share"),
        ({"beta1": 1.0}, "beta1 and beta2"),
        ({"beta2": -0.1}, "beta1 and beta2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        DictionaryTraining(**given)


@pytest.mark.parametrize("name", ["lr", "dead_after", "noise", "revival", "checkpoint_seconds"])
def test_a_setting_that_is_no_number_is_refused(name):
    with pytest.raises(ConfigError, match=name):
        DictionaryTraining(**{name: math.nan})


@pytest.mark.parametrize("bottleneck", [L1(8), KLSparse(8)])
def test_those_without_a_k_are_not_annealed(bottleneck):
    rows = mixtures(64, 6)
    one = member(SparseDictionary(6, bottleneck), rows, anneal_k=3.0)
    one.step(rows, 1, 8)
    assert one.at.sums["count"] == 64
