"""One dictionary's steps: clocks, revival, the limit on firing rates, noise, decay, units."""

import dataclasses

import numpy as np
import pytest
import torch

from dictionary_toys import EXACT, filled, fitted, fvu, member, mixtures, plain
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
from isthmus.errors import DivergedError
from isthmus.kernels.cpu import CPUKernels
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import DictionaryTraining, Together
from isthmus.training.dictionary.dense import auxiliary_loss
from isthmus.training.dictionary.engines import Noise, Orders, auxiliary_k, still_dead
from isthmus.training.dictionary.start import started

DENSE = [
    L1(20, weight=0.01),
    L1(20, weight=0.01, reweight=0.0),
    JumpReLU(20, weight=0.01, bandwidth=0.3, threshold=0.2),
    Gated(20, weight=0.05),
    KLSparse(20, weight=0.01),
    Contrastive(20, 3),
]
ALL = [TopK(20, 3), BatchTopK(20, 3), Matryoshka(20, 3), AnyK(20, 3), *DENSE]


# --- the step of dense objectives -----------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", DENSE, ids=repr)
def test_a_dense_step_is_adam_on_the_sphere(bottleneck):
    """Against torch's own Adam, the decoder's gradient projected by hand before, norms after."""
    x = mixtures(40, 9, seed=5)
    model, other = (SparseDictionary(9, bottleneck, seed=3) for _ in range(2))
    one, _ = (member(m, x, lr=0.01, decay=0.0) for m in (model, other))
    scaled = torch.tensor(x) / np.float32(one.scale)
    adam = torch.optim.Adam(other.parameters(), 0.01, eps=6.25e-10)
    generator = torch.Generator().manual_seed(one.config.seed + 1)
    for number in range(1, 4):
        one.step(x, number, 3)
        charge = other.objective.loss(other, scaled, 1.0, generator)
        adam.zero_grad()
        (charge.distortion + charge.penalty).mean().backward()
        rows = other.decoder
        if other.objective.unit_decoder:
            along = (rows.grad * rows.detach()).sum(1, keepdim=True)
            rows.grad -= along * rows.detach()
        adam.step()
        if other.objective.unit_decoder:
            with torch.no_grad():
                rows /= rows.norm(dim=1, keepdim=True)
    for (name, found), wanted in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(found, wanted, atol=2e-4), name


@pytest.mark.parametrize("bottleneck", DENSE, ids=repr)
def test_dense_decoder_rows_keep_unit_norm_where_they_are_charged(bottleneck):
    x = mixtures(40, 9)
    model = SparseDictionary(9, bottleneck)
    one = member(model, x, lr=0.1)
    for number in range(1, 6):
        one.step(x, number, 5)
    norms = model.decoder.detach().norm(dim=1)
    unit = torch.allclose(norms, torch.ones(20), atol=1e-5)
    assert unit is not isinstance(bottleneck, KLSparse)


# --- revival --------------------------------------------------------------------------------------


def test_the_auxiliary_loss_by_hand():
    """Two rows; dead latent 1 sees 2 and -1 and reconstructs the errors (1, 2) and (3, -2)."""
    model = plain(2, L1(2), pre_bias=torch.tensor([5.0, 5.0]))
    pre = torch.tensor([[9.0, 2.0], [9.0, -1.0]], requires_grad=True)
    error = torch.tensor([[1.0, 2.0], [3.0, -2.0]])
    found = auxiliary_loss(model, pre, error, torch.tensor([1]), 1)
    # guesses (0, 2) and (0, 0), without the pre-bias; about their mean (2, 0) errors sum to 10
    assert float(found.detach()) == pytest.approx((1 + 9 + 4) / 10)
    found.backward()
    # the guess of the first row is right in its coordinate: nothing pulls; the second is rectified
    assert pre.grad.tolist() == [[0, 0], [0, 0]]
    # the decoder's row: -2 * 2 * (1, 0) / 10
    assert model.decoder.grad[1].tolist() == pytest.approx([-0.4, 0])
    assert not model.decoder.grad[0].any()
    assert model.pre_bias.grad is None


def test_errors_that_are_all_the_same_ask_for_nothing():
    model = plain(2, L1(2))
    pre = torch.ones(3, 2, requires_grad=True)
    found = auxiliary_loss(model, pre, torch.ones(3, 2), torch.tensor([1]), 1)
    found.backward()
    assert float(found.detach()) == 0
    assert not pre.grad.any()


@pytest.mark.parametrize(("dim", "k"), [(384, 256), (768, 512), (16, 8), (3, 2), (2, 1), (1, 1)])
def test_dead_latents_of_a_sample_are_the_power_of_two_next_to_half_the_width(dim, k):
    assert auxiliary_k(dim) == k


def half_dead(bottleneck, revival, steps=150):
    """Train with half of the latents turned down so far that they are never chosen."""
    rows = mixtures(512, 16, directions=32, active=4)
    model = SparseDictionary(16, bottleneck, seed=1)
    recipe = {"lr": 0.02, "decay": 0.2, "dead_after": 2.0, "revival_rows": 1.0}
    one = member(model, rows, revival=revival, **recipe)
    with torch.no_grad():
        model.bias[16:] = -0.1
        model.encoder[16:] *= 0.3
    draws = np.random.default_rng(0)
    most = 0
    for number in range(1, steps + 1):
        one.step(rows[draws.integers(0, 512, 64)], number, steps)
        most = max(most, int((one.dead >= 16).sum()))
    fires = (model.encode(rows / np.float32(one.scale)).toarray() > 0).mean(0)
    return most, int((fires[16:] > 0).sum()), one


@pytest.mark.parametrize(
    "bottleneck",
    [TopK(32, 2), BatchTopK(32, 2), AnyK(32, 2), Matryoshka(32, 2, prefixes=(16, 32))],
    ids=repr,
)
def test_revival_brings_the_dead_back_and_nothing_else_does(bottleneck):
    dead, alive, _ = half_dead(bottleneck, 1 / 32)
    assert dead >= 14
    assert alive >= 14
    dead, alive, _ = half_dead(bottleneck, 0.0)
    assert dead >= 14
    assert alive <= 2


def test_revival_brings_the_dead_of_a_dense_objective_back():
    dead, alive, _ = half_dead(Contrastive(32, 2, weight=0.0), 1 / 32)
    assert dead >= 14
    assert alive >= 14


def test_what_revival_costs_stands_in_the_history_under_its_own_name():
    _, _, one = half_dead(TopK(32, 2), 1 / 32, steps=30)
    row = one.end_epoch(np.empty((0, 16), np.float32), {"epoch": 1})
    assert 0 < row["train_revival"] < 1 / 16
    assert row["train_loss"] == pytest.approx(row["train_distortion"] + row["train_revival"])
    assert row["train_fvu"] == pytest.approx(row["train_distortion"])


# --- the clock of the dead ------------------------------------------------------------------------


def test_the_dead_clock_counts_samples_and_scales_with_latents_over_l0():
    """One latent of four never fires; each row has one active latent: 30 * 4 / 1 samples."""
    rows = np.repeat(np.eye(4, dtype=np.float32)[:3], 4, axis=0)
    model = plain(4, TopK(4, 1))
    one = member(model, rows, lr=1e-9, unit=True, dead_after=30.0)
    filled(model, bias=torch.tensor([0, 0, 0, -9.0]))
    seen, told = [], []
    for number in range(1, 13):
        one.at.sums = {}
        one.step(rows, number, 12)
        seen.append(one.dead.tolist())
        told.append(one.at.sums["dead"] / one.at.sums["count"])
    # 12 samples a step: more than 120 without firing after step 11
    assert seen == [[]] * 10 + [[3]] * 2
    assert told == [0] * 10 + [1] * 2  # the step itself counts the batch at hand
    # in batches of another size the same number of samples
    model = plain(4, TopK(4, 1))
    one = member(model, rows, lr=1e-9, unit=True, dead_after=30.0)
    filled(model, bias=torch.tensor([0, 0, 0, -9.0]))
    for number in range(1, 41):
        one.step(rows[::4], number, 40)
    assert one.seen == 120
    assert one.dead.tolist() == []
    one.step(rows[::4], 41, 41)
    assert one.dead.tolist() == [3]


class TwoProcesses(Together):
    """Another process in which latent 5 fired."""

    def add_up(self, values):
        return values + np.eye(8)[5]


@pytest.mark.parametrize(("together", "left"), [(Together(), [2, 5]), (TwoProcesses(), [2])])
def test_what_fires_in_the_very_batch_is_not_revived(together, left):
    fired = np.array([3, 0, 0, 7, 1, 0, 0, 0])
    given = dataclasses.replace(order(1, 16), dead=np.array([2, 4, 5]), revival=0.1)
    found = still_dead(given, fired, together)
    assert found.dead.tolist() == left
    assert given.dead.tolist() == [2, 4, 5]
    assert dataclasses.replace(found, dead=given.dead).__dict__ == given.__dict__


@pytest.mark.parametrize("changed", [{"revival": 0.0}, {"dead": np.empty(0, np.int64)}])
def test_processes_add_up_nothing_where_nothing_is_revived(changed):
    given = dataclasses.replace(order(1, 16), dead=np.array([2, 4]), revival=0.1)
    given = dataclasses.replace(given, **changed)
    assert still_dead(given, np.ones(8), None) is given


def test_a_latent_that_fires_once_is_alive_again():
    rows = np.eye(4, dtype=np.float32)
    model = plain(4, TopK(4, 1))
    one = member(model, rows, lr=1e-9, unit=True)
    one.seen = 1000
    assert one.dead.tolist() == [0, 1, 2, 3]
    one.step(rows[[0, 2]], 1, 1)
    assert one.dead.tolist() == [1, 3]


def test_sparser_codes_give_a_latent_more_time():
    model = SparseDictionary(4, TopK(64, 1))
    one = member(model, mixtures(32, 4))
    one.seen = 1000
    one.l0 = 4.0
    assert len(one.dead) == 64  # 30 * 64 / 4 = 480 samples
    one.l0 = 1.0
    assert len(one.dead) == 0  # 1920


# --- the limit on firing rates --------------------------------------------------------------------


def leaning(rows=3000, dim=16):
    """Vectors that all lean the same way by varying amounts, as embeddings do."""
    draws = np.random.default_rng(3)
    common = np.ones((1, dim)) / 4
    strength = draws.exponential(2.0, (rows, 1))
    return (strength * common + mixtures(rows, dim, 32, 4, offset=0.0)).astype(np.float32)


@pytest.mark.parametrize("bottleneck", [TopK(32, 2), BatchTopK(32, 2)], ids=repr)
def test_no_latent_fires_on_more_rows_than_allowed(bottleneck):
    rows = leaning()
    most = []
    for limit in (1.0, 0.2):
        model, left = fitted(bottleneck, rows, epochs=6, lr=0.005, **(EXACT | {"max_rate": limit}))
        fires = (model.encode(rows).toarray() > 0).mean(0)
        most.append(float(fires.max()))
        assert left.history["max_firing_rate"][-1] == pytest.approx(fires.max(), abs=0.05)
    assert most[0] > 0.3
    assert most[1] < 0.22


def test_a_code_that_is_never_zero_is_not_held():
    """Every sigmoid latent is above zero on every row: a limit on that would only drag biases."""
    rows = mixtures(200, 8)
    found = []
    for limit in (1.0, 0.2):
        model, _ = fitted(KLSparse(12), rows, max_rate=limit, noise=0.0)
        found.append(model.bias.detach().clone())
    assert torch.equal(*found)


def test_a_held_latents_bias_falls_at_every_step_and_no_others():
    rows = mixtures(64, 8)
    model = SparseDictionary(8, TopK(16, 2))
    one = member(model, rows, lr=1e-9, max_rate=0.3)
    one.rate[5] = 0.31
    one.step(rows, 1, 100)
    assert float(model.bias[5].detach()) <= -0.8 / 100
    others = np.delete(model.bias.detach().numpy(), 5)
    assert np.abs(others).max() < 1e-6


def test_what_fires_more_is_held_more():
    """1 + 8 times the excess, of a speed of 0.8 over the steps: 5 times at half above the limit."""
    rows = mixtures(64, 8)
    model = SparseDictionary(8, TopK(16, 1))
    one = member(model, rows, lr=1e-9, max_rate=0.2)
    one.rate[[3, 5, 7]] = 0.3, 0.4, 0.2
    one.step(rows, 1, 100)
    found = model.bias.detach()[[3, 5, 7]].tolist()
    assert found == pytest.approx([-0.008 * 5, -0.008 * 9, 0.0], abs=1e-6)


def test_no_limit_lies_below_twice_the_mean_rate():
    """3 of 16 fire on average: held at .16, all biases would fall for good."""
    rows = mixtures(64, 8)
    model = SparseDictionary(8, TopK(16, 3))
    one = member(model, rows, lr=1e-9, max_rate=0.16)
    one.rate[[3, 5]] = 0.37, 0.75
    one.step(rows, 1, 100)
    assert model.bias.detach()[[3, 5]].tolist() == pytest.approx([0.0, -0.008 * 9], abs=1e-6)
    asked = member(SparseDictionary(8, JumpReLU(16, l0=4)), rows, max_rate=0.16)
    assert (one.limit, asked.limit) == (0.375, 0.5)


@pytest.mark.parametrize("bottleneck", [L1(16, l0=2), Gated(16, l0=2), KLSparse(16)], ids=repr)
def test_biases_that_are_part_of_the_activations_are_not_held(bottleneck):
    rows = mixtures(64, 8)
    model = SparseDictionary(8, bottleneck)
    one = member(model, rows, lr=1e-9, max_rate=0.16)
    one.rate[:] = 0.9
    one.step(rows, 1, 100)
    assert float(model.bias.detach().abs().max()) < 1e-6


# --- noise ----------------------------------------------------------------------------------------


def order(number, total, first=0):
    return Orders(0.01, None, np.empty(0, np.int64), 0.0, 8, total, number, 1.0, first)


def noise_of(noise, number, rows, dim, first=0, total=None):
    out = np.zeros((rows, dim), np.float32)
    noise.add_to(out, order(number, total or rows, first), CPUKernels(1))
    return out


def test_noise_is_a_function_of_seed_and_step_alone():
    config = DictionaryTraining(noise=0.3, lr=0.01, seed=4, batch_size=64)
    one, other = Noise(config, 10), Noise(config, 10)
    later = noise_of(one, 7, 64, 10)
    assert np.array_equal(noise_of(other, 7, 64, 10), later)  # whatever was drawn before
    noise_of(other, 3, 64, 10)
    assert np.array_equal(noise_of(other, 7, 64, 10), later)
    assert not np.allclose(noise_of(other, 8, 64, 10), later)
    elsewhere = Noise(DictionaryTraining(noise=0.3, lr=0.01, seed=5, batch_size=64), 10)
    assert not np.allclose(noise_of(elsewhere, 7, 64, 10), later)


def test_each_process_adds_the_noise_of_its_own_rows():
    noise = Noise(DictionaryTraining(noise=0.3, lr=0.01, batch_size=64), 10)
    whole = noise_of(noise, 5, 50, 10)
    parts = [noise_of(noise, 5, n, 10, first, 50) for first, n in ((0, 20), (20, 13), (33, 17))]
    assert np.array_equal(np.concatenate(parts), whole)


def test_noise_falls_with_the_learning_rate():
    noise = Noise(DictionaryTraining(noise=0.3, lr=0.04, batch_size=64), 10)
    full, quarter = np.zeros((2, 64, 10), np.float32)
    kernels = CPUKernels(1)
    noise.add_to(full, dataclasses.replace(order(5, 64), rate=0.04), kernels)
    noise.add_to(quarter, order(5, 64), kernels)
    assert np.allclose(quarter, full / 4, rtol=1e-5)
    assert full.any()


def test_noise_has_the_asked_size_and_no_mean():
    dim = 40
    noise = Noise(DictionaryTraining(noise=0.3, lr=0.01, batch_size=512), dim)
    drawn = np.concatenate([noise_of(noise, step, 512, dim) for step in range(1, 41)])
    # in the units of training a coordinate's standard deviation is 1 / sqrt(D) on average
    assert drawn.std() == pytest.approx(0.3 / dim**0.5, rel=0.05)
    assert np.abs(drawn.mean(0)).max() < 0.01 * 0.3
    together = np.corrcoef(drawn.T) - np.eye(dim)
    assert np.abs(together).max() < 0.15  # of 1,024 rows in the pool
    # rows of one batch are not all alike
    assert np.linalg.matrix_rank(drawn[:64]) == dim


def test_no_noise_where_none_is_asked_for():
    noise = Noise(DictionaryTraining(noise=0.0, batch_size=64), 10)
    assert noise.pool.size == 0
    assert not noise_of(noise, 1, 8, 10).any()


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_noise_reaches_every_objective(bottleneck):
    rows = mixtures(200, 8)
    states = []
    for size in (0.0, 0.5):
        model, _ = fitted(bottleneck, rows, epochs=1, noise=size)
        states.append(model.encoder.detach().clone())
    assert not torch.allclose(*states, atol=1e-5)


# --- decay of the encoder -------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", [TopK(20, 3), L1(20, weight=0.01)], ids=repr)
def test_the_encoder_decays_apart_from_its_gradient(bottleneck):
    """Decoupled (Loshchilov and Hutter, arXiv:1711.05101): one step differs by rate * decay * w."""
    x = mixtures(40, 9)
    found = {}
    for decay in (0.0, 2.0):
        model = SparseDictionary(9, bottleneck, seed=3)
        one = member(model, x, lr=0.01, decay=0.0, encoder_decay=decay)
        before = model.encoder.detach().clone()
        one.step(x, 1, 1)
        found[decay] = {n: p.detach().clone() for n, p in model.named_parameters()}
    shrunk = found[0.0]["encoder"] - 0.01 * 2.0 * before
    assert torch.allclose(found[2.0]["encoder"], shrunk, atol=1e-6)
    for name in ("bias", "decoder", "pre_bias"):
        assert torch.equal(found[0.0][name], found[2.0][name]), name


# --- units ----------------------------------------------------------------------------------------


def with_everything_set(bottleneck, dim=9):
    """A member whose every weight and buffer differs from its start."""
    x = 30 + 7 * mixtures(200, dim)
    model = SparseDictionary(dim, bottleneck, seed=2)
    one = member(model, x, lr=0.01)
    for number in range(1, 6):
        one.step(x[:64], number, 5)
    return x, model, one


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_finishing_folds_the_scale_into_the_weights(bottleneck):
    """The same reconstruction, codes in the data's units: those of training times the scale."""
    x, model, one = with_everything_set(bottleneck)
    scale = one.scale
    assert scale > 5
    inside = np.ascontiguousarray(x / np.float32(scale))
    codes = model.encode(inside, dense=True)
    output = model.reconstruct(inside)
    error, l0 = one.measured(x)
    one.finish()
    folded = model.encode(x, dense=True)
    factor = 1 if isinstance(bottleneck, KLSparse) else scale
    same = (folded > 0) == (codes > 0)
    assert same.mean() > 0.999  # an activation on the edge may fall on either side
    assert np.allclose(folded[same], factor * codes[same], rtol=1e-3, atol=1e-4 * factor)
    rows = same.all(1)
    assert np.allclose(model.reconstruct(x)[rows], scale * output[rows], rtol=1e-4, atol=1e-3)
    assert fvu(x, model.reconstruct(x)) == pytest.approx(error, rel=2e-3)
    assert (folded > 0).sum(1).mean() == pytest.approx(l0, abs=0.02)
    with torch.no_grad():
        assert np.allclose(model(torch.tensor(x))[rows], scale * output[rows], rtol=1e-4, atol=1e-3)
    norms = model.decoder.detach().norm(dim=1)
    assert torch.allclose(norms, torch.ones(20), atol=1e-5) is model.objective.unit_decoder


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_the_datas_unit_changes_nothing(bottleneck):
    """Training on x and on 1024 x, a power of two: the same codes, 1024 times as large."""
    rows = mixtures(300, 8)
    one, left = fitted(bottleneck, rows, epochs=3)
    other, right = fitted(bottleneck, 1024 * rows, epochs=3)
    factor = 1 if isinstance(bottleneck, KLSparse) else 1024
    a, b = one.encode(rows, dense=True), other.encode(1024 * rows, dense=True)
    assert ((a > 0) == (b > 0)).mean() > 0.995
    assert np.allclose(factor * a, b, rtol=1e-3, atol=factor * 1e-3 * a.max())
    assert right.history["train_fvu"] == pytest.approx(left.history["train_fvu"], rel=1e-3)
    assert fvu(1024 * rows, other.reconstruct(1024 * rows)) == pytest.approx(
        fvu(rows, one.reconstruct(rows)), rel=1e-3
    )


@pytest.mark.parametrize("bottleneck", [TopK(20, 3), BatchTopK(20, 3), L1(20, weight=0.01)])
@pytest.mark.parametrize("factor", [1000.0, 1e-12, 1e12])
def test_any_unit_gives_nearly_the_same_error(bottleneck, factor):
    rows = mixtures(300, 8)
    one, _ = fitted(bottleneck, rows, epochs=3)
    moved = (np.float64(factor) * rows).astype(np.float32)
    other, _ = fitted(bottleneck, moved, epochs=3)
    found, wanted = fvu(moved / factor, other.reconstruct(moved) / factor), 0.0
    wanted = fvu(rows, one.reconstruct(rows))
    assert found == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("bottleneck", [TopK(20, 3), BatchTopK(20, 3), L1(20, weight=0.01)])
def test_where_the_data_lie_changes_little(bottleneck):
    rows = mixtures(300, 8)
    found = []
    for shift in (0.0, 5.0, 500.0):
        model, _ = fitted(bottleneck, rows + np.float32(shift), epochs=3)
        found.append(fvu(rows + np.float32(shift), model.reconstruct(rows + np.float32(shift))))
    assert found == pytest.approx([found[0]] * 3, rel=0.15)


# --- a loss that is no number ---------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", [TopK(20, 3), BatchTopK(20, 3), L1(20), AnyK(20, 3)])
def test_a_loss_that_diverges_says_at_which_step_and_what_to_do(bottleneck):
    x = mixtures(64, 8)
    one = member(SparseDictionary(8, bottleneck), x)
    filled(one.model, pre_bias=torch.full((8,), torch.nan))
    with pytest.raises(DivergedError, match="no longer finite at step 3") as caught:
        one.step(x, 3, 10)
    assert "lower --lr (it was 0.01)" in caught.value.fix


def test_settings_of_the_tests_turn_off_what_they_say():
    assert {"noise", "max_rate", "encoder_decay"} <= set(EXACT)
    assert started(SparseDictionary(8, TopK(20, 3)), mixtures(64, 8), 0) > 0
