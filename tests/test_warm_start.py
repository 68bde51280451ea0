"""Training that goes on from a dictionary's own weights."""

import copy
import signal

import numpy as np
import pytest
import torch

from dictionary_toys import fitted, mixtures, state_of, stream
from isthmus.bottlenecks import (
    L1,
    AnyK,
    BatchTopK,
    Contrastive,
    Gated,
    JumpReLU,
    KLSparse,
    Matryoshka,
    TopK,
)
from isthmus.concepts import carry_ids
from isthmus.errors import DataError
from isthmus.models.dictionary import SparseDictionary
from isthmus.search.index.training import DictionarySettings, train_dictionary
from isthmus.training.dictionary import DictionaryTraining, fit_dictionary
from isthmus.training.dictionary.member import Member
from isthmus.training.dictionary.start import started
from isthmus.training.stopping import Stopped

ALL = [
    TopK(20, 3),
    BatchTopK(20, 3),
    Matryoshka(20, 3),
    AnyK(20, 3),
    L1(20, l0=3),
    JumpReLU(20, l0=3),
    Gated(20, l0=3),
    KLSparse(20),
    Contrastive(20, 3),
]
ROWS = 7 * mixtures(400, 8)
STILL = {"lr": 1e-12, "noise": 0.0, "max_rate": 1.0, "encoder_decay": 0.0, "threads": 1}
"""Steps too small to be seen."""


def cosines(one, other):
    rows = [m.weights().decoder_ND for m in (one, other)]
    rows = [r / np.linalg.norm(r, axis=1, keepdims=True) for r in rows]
    return (rows[0] * rows[1]).sum(1)


def again(model, rows, *, held_out=None, **settings):
    """Train a copy on; return it and what the training left."""
    new = copy.deepcopy(model)
    config = DictionaryTraining(**({"epochs": 2, "threads": 1, "warm": True} | settings))
    return new, fit_dictionary(new, stream(rows), config, held_out=held_out)


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_a_warm_start_brings_the_weights_into_units_of_the_data(bottleneck):
    """Of rows divided by the scale it makes what it made of the rows, divided by the scale."""
    normalise = "layer" if isinstance(bottleneck, TopK) else "none"
    model, _ = fitted(bottleneck, ROWS, normalise=normalise)
    warm = copy.deepcopy(model)
    scale = started(warm, ROWS, 99, warm=True)
    prepared = model.prepared(torch.from_numpy(ROWS))[0]
    variance = prepared.double().sub(prepared.double().mean(0)).square().sum() / len(ROWS)
    assert scale == pytest.approx(float(variance.sqrt()), rel=1e-5)
    x = prepared[:50]
    with torch.no_grad():
        old = model.decoded(model.objective.encoded(model, x))
        new = warm.decoded(warm.objective.encoded(warm, x / scale))
    np.testing.assert_allclose(scale * new, old, rtol=2e-4, atol=2e-4 * float(old.abs().max()))
    np.testing.assert_allclose(cosines(model, warm), 1, atol=1e-6)


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_steps_of_no_size_leave_the_dictionary_as_it_was(bottleneck):
    model, _ = fitted(bottleneck, ROWS)
    new, _ = again(model, ROWS, **STILL)
    before, after = model.weights(), new.weights()
    for name in ("encoder_ND", "decoder_ND", "pre_bias_D", "bias_N"):
        one, other = (getattr(w, name, None) for w in (before, after))
        if one is not None:
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
    if not isinstance(bottleneck, L1 | JumpReLU | Gated):  # whose thresholds follow the data
        a, b = (m.encode(ROWS[:60], dense=True) for m in (model, new))
        assert ((a > 0) == (b > 0)).mean() > 0.99
        np.testing.assert_allclose(b[(a > 0) & (b > 0)], a[(a > 0) & (b > 0)], rtol=1e-3, atol=1e-4)


def test_without_warm_the_weights_are_new_ones():
    model, _ = fitted(TopK(20, 3), ROWS)
    other = copy.deepcopy(model)
    other.seed = 9  # with its own seed, it would begin where it began
    cold, _ = again(other, ROWS, **STILL, warm=False)
    assert np.abs(cosines(model, cold)).mean() < 0.7
    warm, _ = again(model, ROWS, **STILL)
    assert cosines(model, warm).min() > 0.9999


@pytest.mark.parametrize(
    "bottleneck", [TopK(24, 3), BatchTopK(24, 3), JumpReLU(24, l0=3)], ids=repr
)
def test_the_error_goes_on_from_where_it_was(bottleneck):
    rows = mixtures(1200, 12)
    held, rest = rows[:200], rows[200:]
    model, first = fitted(bottleneck, rest, epochs=15, given={"held_out": held})
    reached = min(row["validation_fvu"] for row in first.history.rows)
    _, left = again(model, rest, held_out=held, epochs=3, lr=1e-4, noise=0.0)
    warm = left.history.rows[0]["validation_fvu"]
    _, cold_left = fitted(bottleneck, rest, epochs=3, given={"held_out": held})
    assert warm < 1.1 * reached
    assert warm < 0.7 * cold_left.history.rows[0]["validation_fvu"]


def test_most_concepts_keep_their_numbers_when_a_fifth_is_new():
    rows = mixtures(1500, 24, directions=48, active=3)
    settings = DictionarySettings(latents=48, k=3, epochs=40)
    first = train_dictionary(rows[:1250], settings, threads=1)
    grown = train_dictionary(rows, settings, start=first.model, threads=1)
    assert grown.how["warm"] is True
    assert grown.how["passes"] == 10
    old, new = first.model.weights().decoder_ND, grown.model.weights().decoder_ND
    carried = carry_ids(old, new)
    assert carried.share >= 0.9
    assert (cosines(first.model, grown.model) > 0.9).mean() >= 0.9  # without renumbering, too
    assert grown.how["fvu_held_out"] < 1.2 * first.how["fvu_held_out"]
    # the old one is not touched
    np.testing.assert_array_equal(old, first.model.weights().decoder_ND)
    cold = train_dictionary(rows, DictionarySettings(latents=48, k=3, epochs=10, seed=5), threads=1)
    assert (cosines(first.model, cold.model) > 0.9).mean() < 0.3


def test_any_number_of_threads_gives_the_same_bytes():
    model, _ = fitted(TopK(20, 3), ROWS)
    one, _ = again(model, ROWS)
    several, _ = again(model, ROWS, threads=3)
    assert state_of(one) == state_of(several)


def test_an_interrupted_warm_training_ends_with_the_same_bytes(tmp_path, monkeypatch):
    model, _ = fitted(TopK(20, 3), ROWS)
    config = DictionaryTraining(epochs=3, threads=1, warm=True, noise=0.3)
    whole = copy.deepcopy(model)
    fit_dictionary(whole, stream(ROWS), config)

    step, count = Member.step, [0]

    def interrupted(self, x_BD, number, steps):
        count[0] += 1
        if count[0] == 7:
            signal.raise_signal(signal.SIGINT)
        return step(self, x_BD, number, steps)

    monkeypatch.setattr(Member, "step", interrupted)
    with pytest.raises(Stopped):
        fit_dictionary(copy.deepcopy(model), stream(ROWS), config, checkpoints=tmp_path)
    monkeypatch.undo()
    resumed = copy.deepcopy(model)
    fit_dictionary(resumed, stream(ROWS), config, checkpoints=tmp_path, resume=True)
    assert state_of(resumed) == state_of(whole)


def test_rows_that_are_all_the_same_are_refused_and_the_weights_left(tmp_path):
    model, _ = fitted(TopK(20, 3), ROWS)
    before = state_of(model)
    for rows in (np.ones((50, 8), np.float32), np.empty((0, 8), np.float32)):
        with pytest.raises(DataError):
            started(model, rows, 0, warm=True)
    assert state_of(model) == before


def test_a_model_that_was_never_trained_can_start_warm():
    model = SparseDictionary(8, TopK(20, 3), seed=4)
    new, left = again(model, ROWS, epochs=6)
    assert left.history.rows[-1]["train_fvu"] < left.history.rows[0]["train_fvu"]
    assert np.isfinite(new.weights().decoder_ND).all()
