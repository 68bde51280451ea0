"""Defects that were found in nine other libraries of sparse dictionaries, kept out of this one.

Each test names whose mistake it guards against. What concerns metrics and the kernels' gradients
on other devices is tested beside those.
"""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from dictionary_toys import EXACT, filled, fitted, fvu, member, mixtures, plain, state_of, stream
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
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import DictionaryTraining, fit_dictionary
from isthmus.training.dictionary.dense import auxiliary_loss

ROWS = mixtures(300, 8)


def with_dead(bottleneck, dead, **settings):
    """A member that is about to step, these latents dead and kept out of the code."""
    model = SparseDictionary(8, bottleneck, seed=1)
    one = member(model, ROWS[:64], lr=0.01, revival_rows=1.0, **settings)
    one.seen = 10**6
    one.last_fired[:] = one.seen
    one.last_fired[dead] = 0
    with torch.no_grad():
        model.encoder[dead] *= 0.05
        model.bias[dead] = 0.001  # so that they are positive, and far from being chosen
    return model, one


DEAD = np.array([3, 4, 9])


@pytest.mark.parametrize("bottleneck", [TopK(20, 3), AnyK(20, 3), BatchTopK(20, 3)], ids=repr)
def test_revival_and_partial_sums_reach_the_encoder(bottleneck):
    """Sparsify's own backward pass drops a gradient: dead encoder rows never move. (1)"""
    model, one = with_dead(bottleneck, DEAD)
    before = model.encoder.detach().clone()
    one.step(ROWS[:64], 1, 1)
    moved = (model.encoder.detach() - before).norm(dim=1)
    assert (moved[DEAD] > 1e-3).all()


def test_revival_reaches_the_encoder_of_dense_objectives():
    """As above, for what automatic differentiation trains. (1)"""
    model, one = with_dead(Contrastive(20, 3, weight=0.0), DEAD)
    before = model.encoder.detach().clone()
    one.step(ROWS[:64], 1, 1)
    assert ((model.encoder.detach() - before).norm(dim=1)[DEAD] > 1e-3).all()


def test_the_auxiliary_reconstruction_has_no_bias():
    """Sparsify and SAELens decode with the bias, though their target is the residual. (2, 5)"""
    model = plain(2, L1(2))
    pre, error = torch.tensor([[0.5, 1.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [-1.0, 3.0]])
    without = auxiliary_loss(model, pre, error, torch.tensor([1]), 1)
    filled(model, pre_bias=torch.tensor([100.0, -50.0]))
    assert torch.equal(auxiliary_loss(model, pre, error, torch.tensor([1]), 1), without)


def test_revival_leaves_the_pre_bias_where_the_data_are():
    """Sparsify's auxiliary loss pushes the decoder's bias the wrong way. (2)"""
    found = []
    for revival in (0.0, 1 / 32):
        model, one = with_dead(TopK(20, 3), DEAD, revival=revival)
        filled(model, encoder=model.encoder.detach() * (torch.arange(20) > -1)[:, None])
        one.step(ROWS[:64], 1, 1)
        found.append(model.pre_bias.detach().clone())
    # what reaches it runs through three shrunken encoder rows and no decoder
    assert float((found[0] - found[1]).abs().max()) < 0.2 * 0.01


def test_memory_of_a_step_does_not_grow_with_rows_times_latents():
    """Sparsify's accumulation over micro-batches divides the loss, and saves nothing. (3)"""
    import tracemalloc

    peaks = {}
    rows = np.random.default_rng(0).normal(size=(2048, 16)).astype(np.float32)
    for latents in (256, 4096):
        one = member(SparseDictionary(16, TopK(latents, 4)), rows, lr=0.001)
        one.step(rows, 1, 2)
        tracemalloc.start()
        one.step(rows, 2, 2)
        peaks[latents] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[4096] < 4 * 2048 * 4096 / 4  # a quarter of one float32 array (rows, latents)


def test_revival_is_at_work_by_default():
    """Sparsify's default is none, so that the default dictionary dies. (4)"""
    assert DictionaryTraining().revival == 1 / 32


def test_what_is_saved_is_what_was_asked_for():
    """Sparsify's annealing overwrites k in the settings that are then saved. (4)"""
    bottleneck = TopK(20, 3)
    config = DictionaryTraining(epochs=2, anneal_k=4.0, threads=1)
    before = dataclasses.asdict(config)
    model = SparseDictionary(8, bottleneck)
    left = fit_dictionary(model, stream(ROWS), config)
    assert (model.bottleneck, model.objective.k) == (TopK(20, 3), 3)
    assert left.config.anneal_k == 4.0
    assert dataclasses.asdict(config) == before
    assert np.diff(model.encode(ROWS).indptr).max() == 3


def test_dead_activations_below_zero_do_not_take_part():
    """SAELens feeds negative activations into the auxiliary reconstruction. (5)"""
    model = plain(2, L1(2))
    pre = torch.tensor([[0.0, -3.0], [0.0, -1.0]], requires_grad=True)
    error = torch.tensor([[1.0, 1.0], [-1.0, 3.0]])
    found = auxiliary_loss(model, pre, error, torch.tensor([1]), 1)
    assert float(found.detach()) == pytest.approx(12 / 4)  # nothing is explained
    found.backward()
    assert not pre.grad.any()


def test_the_gated_auxiliary_term_holds_the_decoder_constant():
    """SAELens lets the gates' reconstruction train the decoder. (6)"""
    model = plain(2, Gated(2, weight=0.0))
    filled(model, objective__magnitude_bias=torch.tensor([-9.0, -9.0]))  # no activation at all
    charge = model.objective.loss(model, torch.tensor([[1.0, 0.5]]), 1.0)
    charge.penalty.sum().backward()
    assert model.decoder.grad is None or not model.decoder.grad.any()
    assert model.pre_bias.grad.tolist() == [0, 0]  # gates (1, 0.5) reconstruct exactly


@pytest.mark.parametrize("side", [-1, 1])
def test_thresholds_feel_both_sides_of_their_window(side):
    """dictionary_learning steps on the thresholded code: the lower half never counts. (7)"""
    model = plain(1, JumpReLU(1, weight=1.0, bandwidth=0.2, threshold=1.0))
    charge = model.objective.loss(model, torch.tensor([[1.0 + 0.05 * side]]), 1.0)
    charge.penalty.sum().backward()
    assert float(model.objective.log_threshold.grad) == pytest.approx(-1 / 0.2, rel=1e-5)


def test_revival_changes_the_weights_themselves():
    """dictionary_learning's resampling assigns into a copy, and nothing changes. (8)"""
    found = []
    for revival in (0.0, 0.5):
        model, one = with_dead(TopK(20, 3), DEAD, revival=revival)
        one.step(ROWS[:64], 1, 1)
        found.append(model.decoder.detach().clone())
    moved = (found[0] - found[1]).norm(dim=1)
    assert (moved[DEAD] > 1e-3).all()
    assert float(np.delete(moved.numpy(), DEAD).max()) < 1e-6


@pytest.mark.parametrize("often", [0.0, 1e9])
def test_checkpoints_do_not_depend_on_normalisation_and_keep_the_scale(often, tmp_path):
    """dictionary_learning's backups need a factor that is not always there, and lose it. (9)"""
    from safetensors import safe_open

    config = DictionaryTraining(epochs=1, threads=1, checkpoint_seconds=often)
    model = SparseDictionary(8, TopK(20, 3))
    fit_dictionary(model, stream(50 * ROWS), config, checkpoints=tmp_path)
    with safe_open(tmp_path / "last.safetensors", framework="pt") as file:
        scale = float(file.get_tensor("dictionary/clock.scale"))
    assert scale == pytest.approx(50 * math.sqrt(ROWS.var(0).sum()), rel=0.1)


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_matryoshkas_loss_has_the_size_of_one_reconstruction(levels):
    """dictionary_learning weighs its groups and takes their mean: a rate means less there. (10)"""
    prefixes = tuple(range(16 // levels, 16, 16 // levels))[: levels - 1] + (16,)  # noqa: RUF005
    model = SparseDictionary(8, Matryoshka(16, 3, prefixes=prefixes))
    one = member(model, ROWS[:64], lr=0.01)
    filled(model, encoder=torch.zeros(16, 8), bias=torch.full((16,), -1.0))
    one.step(ROWS[:64], 1, 1)  # with nothing active every prefix costs what the mean costs
    sums = one.at.sums
    assert sums["distortion"] / sums["count"] == pytest.approx(sums["fvu"] / sums["count"])


@pytest.mark.parametrize("size", [16, 64, 270])
def test_l0_of_batchtopk_does_not_depend_on_the_batch(size):
    """overcomplete keeps k a batch where everyone means k a sample. (11)"""
    _, left = fitted(BatchTopK(20, 3), ROWS, batch_size=size, epochs=1)
    assert left.history["train_l0"][0] == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("bottleneck", [BatchTopK(20, 3), Matryoshka(20, 3)], ids=repr)
def test_the_threshold_survives_saving_and_is_what_inference_uses(bottleneck, tmp_path):
    """overcomplete keeps it as a plain attribute, which no state dictionary holds. (12)"""
    model, _ = fitted(bottleneck, ROWS)
    assert float(model.objective.threshold) > 0
    assert "objective.threshold" in model.state_dict()
    other = SparseDictionary(8, bottleneck, seed=9)
    other.load_state_dict(model.state_dict())
    model.save_pretrained(tmp_path)
    third = SparseDictionary.from_pretrained(tmp_path)
    wanted = model.encode(ROWS, dense=True)
    pre = model.preactivations(torch.tensor(ROWS)).detach().numpy()
    assert np.array_equal(wanted > 0, pre > float(model.objective.threshold)) or np.allclose(
        wanted[(wanted > 0) != (pre > float(model.objective.threshold))], 0, atol=1e-4
    )
    assert np.array_equal(other.encode(ROWS, dense=True), wanted)
    assert np.array_equal(third.encode(ROWS, dense=True), wanted)


def test_a_thresholds_gradient_is_divided_by_the_bandwidth_once():
    """overcomplete's kernels hold one over the bandwidth already: gradients are too large. (13)"""
    slopes = []
    for width in (1e-3, 1e-1):
        model = plain(1, JumpReLU(1, weight=1.0, bandwidth=width, threshold=1.0))
        model.objective.loss(model, torch.tensor([[1.0 + width / 8]]), 1.0).penalty.sum().backward()
        slopes.append(float(model.objective.log_threshold.grad))
    assert slopes == pytest.approx([-1e3, -1e1], rel=1e-3)


def test_only_dead_latents_are_revived():
    """overcomplete's "aux" takes latents that were merely not chosen. (15)"""
    found = []
    for revival in (0.0, 0.5):
        one = member(SparseDictionary(8, TopK(20, 3)), ROWS[:64], lr=0.01, revival=revival)
        assert len(one.dead) == 0
        one.step(ROWS[:64], 1, 1)
        found.append(state_of(one.model))
    assert found[0] == found[1]


@pytest.mark.parametrize("bottleneck", [TopK(20, 3), L1(20, weight=0.01)], ids=repr)
def test_a_steps_gradient_is_that_of_its_own_batch(bottleneck):
    """OpenAI's published trainer never clears gradients. (16)"""
    moments = []
    for batches in ((ROWS[:64],), (ROWS[64:128], ROWS[:64])):
        model = SparseDictionary(8, bottleneck)
        one = member(model, ROWS[:64], lr=1e-12, beta1=0.0)
        for number, x in enumerate(batches, 1):
            one.step(x, number, 2)
        state = one.engine.state()
        moments.append(
            state[
                "mean.encoder_ND"
                if bottleneck.latent and "mean.encoder_ND" in state
                else "0.exp_avg"
            ].clone()
        )
    assert torch.allclose(*moments, atol=1e-6)


@pytest.mark.parametrize(
    "bottleneck",
    [
        TopK(20, 3),
        BatchTopK(20, 3),
        AnyK(20, 3),
        L1(20),
        JumpReLU(20),
        Gated(20),
        Contrastive(20, 3),
    ],
    ids=repr,
)
def test_norms_are_restored_after_the_step_not_before_the_next(bottleneck):
    """OpenAI's trainer leaves the last step's norms as they fell, in what is saved. (17)"""
    model, _ = fitted(bottleneck, ROWS, lr=0.05)
    norms = model.decoder.detach().norm(dim=1)
    assert torch.allclose(norms, torch.ones(20), atol=1e-5)


def test_dead_latents_learn_the_residual_and_not_its_negative():
    """latent-sae fits the error's negative: what it revives makes the error larger. (18)"""
    x = np.tile(np.float32([[1.0, 0.0], [3.0, 0.0]]), (8, 1))
    model = plain(2, TopK(2, 1), bias=torch.tensor([0.0, 0.5]))
    one = member(model, x, unit=True, lr=0.01, revival=1.0, revival_rows=1.0)
    one.seen, one.last_fired[:] = 10**6, [10**6, 0]
    # latent 0 says 2 and 6 where 1 and 3 are: the residual is -1 and -3 along the first axis
    filled(model, encoder=torch.tensor([[2.0, 0.0], [0.01, 0.0]]))
    filled(model, decoder=torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    one.step(x, 1, 1)
    assert float(model.decoder.detach()[1, 0]) < 0.6 - 1e-3


def test_the_dead_clock_counts_samples_not_numbers():
    """latent-sae counts B x D: its dead are silent for 2,048 samples, whatever it says. (19)"""
    one = member(SparseDictionary(8, TopK(20, 3)), ROWS[:64])
    one.step(ROWS[:64], 1, 2)
    one.step(ROWS[64:100], 2, 2)
    assert one.seen == 100


@pytest.mark.parametrize("kind", [JumpReLU, L1, Gated])
def test_a_charge_for_sparsity_has_a_gradient(kind):
    """latent-sae counts activations without a gradient: its charge does nothing. (20)"""
    rows = mixtures(600, 8)
    counts = []
    for weight in (0.0, 0.3):
        extra = {"bandwidth": 0.3, "threshold": 0.1} if kind is JumpReLU else {}
        model, _ = fitted(kind(20, weight=weight, **extra), rows, epochs=10, lr=0.02)
        counts.append(model.encode(rows).nnz)
    assert counts[1] < 0.8 * counts[0]


def test_selecting_more_latents_changes_nothing_in_place():
    """sentence-transformers masks the activations in place: its 4k sees dead latents alone. (21)"""
    model = SparseDictionary(8, Contrastive(20, 2))
    pre = torch.randn(16, 20, generator=torch.Generator().manual_seed(0))
    before = pre.clone()
    few, many = model.objective.codes(pre), model.objective.codes(pre, 8)
    assert torch.equal(pre, before)
    assert torch.equal(few, many * (few > 0))  # the 4k hold the k
    assert ((many > 0).sum(1) == (pre > 0).sum(1).clamp_max(8)).all()


def test_a_contrastive_step_is_one_tick_of_the_dead_clock():
    """CSR and sentence-transformers tick it once for each of their passes. (22, 23)"""
    one = member(SparseDictionary(8, Contrastive(20, 2)), ROWS[:64])
    one.step(ROWS[:64], 1, 1)
    assert one.seen == 64
    assert one.fired.sum() == one.at.sums["l0"]
    assert one.fired.sum() <= 2 * 64


def test_errors_are_measured_in_the_units_of_the_target():
    """sentence-transformers holds the normalised target against raw reconstructions. (22, 26)"""
    rows = mixtures(600, 8) * 100 + 1000
    for normalise in ("none", "layer", "unit"):
        model, left = fitted(TopK(32, 4), rows, epochs=6, normalise=normalise)
        source = stream(rows)
        held = np.concatenate(list(source.held_out()))
        inside, outside = held, model.reconstruct(held)
        mean = source.sample(10**6)
        if normalise != "none":
            both = [model.prepared(torch.tensor(x))[0].numpy() for x in (held, mean)]
            inside, mean = both
            outside = model.decode(model.encode(held))
        error = np.square(outside - inside, dtype=np.float64).sum()
        spread = np.square(inside - mean.mean(0, dtype=np.float64)).sum()
        assert min(left.history["validation_fvu"]) == pytest.approx(error / spread, rel=0.01)


def test_the_two_views_of_a_sample_differ():
    """CSR's unlabelled positives are two identical passes: only uniformity is left. (23)"""
    model = SparseDictionary(8, Contrastive(20, 2))
    x, generator = torch.tensor(ROWS[:32]), torch.Generator().manual_seed(0)
    one, two = (model.objective._view(x, model, generator) for _ in range(2))
    assert not torch.equal(one, two)
    assert not torch.equal(one, x)
    # and they differ from step to step
    assert not torch.equal(one, model.objective._view(x, model, generator))


def test_the_history_does_not_depend_on_the_batch_that_it_is_measured_in():
    """SAELens divides an error by the tokens of a batch once more; FVU about batch means. (25)"""
    config = DictionaryTraining(epochs=1, lr=1e-12, **EXACT)
    found = []
    for size in (10, 90, 270):
        model = SparseDictionary(8, TopK(20, 3))
        left = fit_dictionary(model, stream(ROWS, size), config)
        found.append((left.history["train_fvu"][0], left.history["validation_fvu"][0]))
    assert np.allclose(found, found[0], rtol=1e-5)


def test_reports_and_settings_are_json_with_every_setting(tmp_path):
    """dictionary_learning writes what it found into a dictionary that is thrown away. (9)"""
    model, left = fitted(KLSparse(20), ROWS, epochs=1)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert set(config["model"]["bottleneck"]) == {"kind", *vars(KLSparse(20))}
    assert left.config.lr > 0
    assert left.config.batch_size == 64


def test_reconstruction_is_not_drowned_by_the_other_terms():
    """sentence-transformers adds a mean of 1e-4 to terms of size one: codes forget the input."""
    rows = mixtures(600, 8)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with_contrast, _ = fitted(Contrastive(32, 4), rows, epochs=8)
    without, _ = fitted(Contrastive(32, 4, weight=0.0), rows, epochs=8)
    a, b = (fvu(rows, model.reconstruct(rows)) for model in (with_contrast, without))
    assert a < 1.3 * b + 0.02
