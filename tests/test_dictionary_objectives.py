"""The losses of the dense objectives, against numbers worked by hand and plain formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dictionary_toys import filled, plain
from isthmus.bottlenecks import L1, Contrastive, Gated, JumpReLU, KLSparse
from isthmus.errors import ConfigError
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.contrastive import info_nce


def charged(model, rows, variance=1.0, training=True, generator=None):
    """The terms of a batch, with the gradients of their mean left in the parameters."""
    model.train(training)
    charge = model.objective.loss(model, torch.as_tensor(rows), variance, generator)
    model.zero_grad()
    (charge.distortion + charge.penalty).mean().backward()
    return charge


def random_model(bottleneck, dim=5, seed=0):
    model = SparseDictionary(dim, bottleneck, seed=seed)
    draws = torch.Generator().manual_seed(seed + 7)
    with torch.no_grad():
        model.bias.normal_(0, 0.2, generator=draws)
        model.pre_bias.normal_(0, 0.2, generator=draws)
        model.encoder.add_(0.3 * torch.randn(model.encoder.shape, generator=draws))
    return model


def rows_of(dim=5, rows=6, seed=1):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))


# --- ReLU with an L1 charge ---------------------------------------------------------------------


def test_l1_by_hand():
    model = plain(2, L1(2, weight=0.1, reweight=0.0))
    charge = charged(model, [[2.0, -1.0], [0.5, 1.0]])
    assert charge.codes.tolist() == [[2, 0], [0.5, 1]]
    assert charge.distortion.tolist() == [1, 0]  # the first row misses -1
    assert charge.penalty.tolist() == pytest.approx([0.2, 0.15])
    # only the charge pulls at active latents; the decoder's first row feels the first row's miss
    assert model.bias.grad.tolist() == pytest.approx([0.1, 0.05])
    assert model.decoder.grad.tolist() == [[0, 2], [0, 0]]


def test_l1_reweighted_by_hand():
    model = plain(2, L1(2, weight=0.1, reweight=0.5))
    charge = charged(model, [[2.0, -1.0], [0.5, 1.0]])
    size = 3.5 / 3  # of three active activations
    first, second = 2 / (2 + size / 2), 0.5 / (0.5 + size / 2) + 1 / (1 + size / 2)
    assert charge.penalty.tolist() == pytest.approx([0.1 * size * first, 0.1 * size * second])
    # u is held constant: the charge's derivative by an activation is weight * u
    u = [size / (a + size / 2) for a in (2, 0.5, 1)]
    assert model.bias.grad.tolist() == pytest.approx([0.05 * (u[0] + u[1]), 0.05 * u[2]])


def test_large_activations_are_charged_less_where_reweighted():
    model = plain(2, L1(2, weight=1.0, reweight=0.3))
    charged(model, [[5.0, 0.1]])
    assert float(model.bias.grad[0]) < 0.3 * float(model.bias.grad[1])


@pytest.mark.parametrize(
    "bottleneck",
    [L1(2), L1(2, l0=1), JumpReLU(2, l0=1), Gated(2, l0=1), Contrastive(2, 1)],
    ids=repr,
)
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_batch_in_which_nothing_is_active_is_no_trouble(bottleneck, rows):
    model = plain(2, bottleneck, bias=torch.tensor([-9.0, -9.0]))
    charge = charged(model, torch.zeros(rows, 2) + 0.5)
    assert not charge.codes.any()
    assert bool(charge.penalty.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert all(bool(b.isfinite().all()) for b in model.objective.buffers()) or rows == 0


@pytest.mark.parametrize("bottleneck", [L1(2, weight=0.1, reweight=0.0), Gated(2, weight=0.1)])
def test_a_charge_of_activations_follows_the_datas_unit(bottleneck):
    """Rows ten times as large, variance a hundredfold: the same loss and the same weight of it."""
    x = torch.tensor([[2.0, -1.0], [0.5, 1.0]])
    one = charged(plain(2, bottleneck), x, 1.0)
    ten = charged(plain(2, bottleneck), 10 * x, 100.0)
    assert torch.allclose(one.penalty, ten.penalty)
    assert torch.allclose(one.distortion, ten.distortion)


# --- JumpReLU -----------------------------------------------------------------------------------


def jumping(**settings):
    model = plain(2, JumpReLU(2, weight=0.1, bandwidth=0.2, **settings))
    return filled(model, objective__log_threshold=torch.tensor([0.5, 1.0]).log())


def test_jumprelu_below_the_threshold_by_hand():
    model = jumping()
    charge = charged(model, [[0.45, 2.0]])
    assert charge.codes.tolist() == [[0, 2]]
    assert charge.distortion.tolist() == pytest.approx([0.45**2])
    assert charge.penalty.tolist() == pytest.approx([0.1])
    # by the code: -(0.5 / 0.2) * -0.9 = 2.25; by the charge: -0.1 / 0.2; times theta for its log
    found = model.objective.log_threshold.grad
    assert found.tolist() == pytest.approx([0.5 * (2.25 - 0.5), 0])
    # a latent that is not active gets nothing through its pre-activation
    assert model.encoder.grad[0].tolist() == [0, 0]


def test_jumprelu_above_the_threshold_by_hand():
    model = jumping()
    charge = charged(model, [[0.55, 0.95]])
    assert charge.codes.tolist() == pytest.approx(np.array([[0.55, 0]]))
    # the first is exact, so only the charge pulls; the second: 0.95 missed, below the threshold
    found = model.objective.log_threshold.grad
    assert found.tolist() == pytest.approx([0.5 * -0.5, 1.0 * (-(1 / 0.2) * -1.9 - 0.5)], rel=1e-5)


@pytest.mark.parametrize("width", [0.1, 0.2, 0.4])
def test_a_thresholds_gradient_goes_as_one_over_the_bandwidth(width):
    model = plain(1, JumpReLU(1, weight=1.0, bandwidth=width, threshold=1.0))
    charged(model, [[1.0 + width / 4]])
    assert float(model.objective.log_threshold.grad) == pytest.approx(-1 / width, rel=1e-5)


def test_jumprelu_costs_the_number_of_active_latents():
    model = random_model(JumpReLU(9, weight=0.25, threshold=0.4))
    charge = charged(model, rows_of())
    active = (charge.codes > 0).sum(1)
    assert active.min() < active.max()
    assert charge.penalty.tolist() == (0.25 * active).tolist()
    assert (charge.codes[charge.codes > 0] > 0.4).all()


# --- gated --------------------------------------------------------------------------------------


def gated():
    model = plain(2, Gated(2, weight=0.1), bias=torch.tensor([0.1, -1.0]))
    return filled(
        model,
        objective__log_gain=torch.tensor([math.log(2), 0.0]),
        objective__magnitude_bias=torch.tensor([0.3, 0.0]),
    )


def test_gated_terms_by_hand():
    """Gates 1.1 and -0.5; magnitudes 2 * 1 + 0.3 and 0.5; the row is (1, 0.5)."""
    charge = charged(gated(), [[1.0, 0.5]])
    assert charge.codes.tolist() == pytest.approx(np.array([[2.3, 0]]))
    assert charge.distortion.tolist() == pytest.approx([1.3**2 + 0.5**2])
    assert charge.penalty.tolist() == pytest.approx([0.1 * 1.1 + 0.1**2 + 0.5**2])


def test_gated_gradients_by_hand():
    model = gated()
    charged(model, [[1.0, 0.5]])
    # the decoder learns from the magnitudes alone: the auxiliary term's is held constant
    assert model.decoder.grad.tolist() == pytest.approx(
        np.array([[2.3 * 2.6, 2.3 * -1], [0, 0]]), rel=1e-5
    )
    assert model.objective.log_gain.grad.tolist() == pytest.approx([2.6 * 2, 0], rel=1e-5)
    assert model.objective.magnitude_bias.grad.tolist() == pytest.approx([2.6, 0], rel=1e-5)
    # the gates' bias: the charge, and the frozen reconstruction's 2 * 0.1
    assert model.bias.grad.tolist() == pytest.approx([0.1 + 0.2, 0], rel=1e-5)
    pulled = 2 * 2.6 + 0.1 + 0.2
    assert model.encoder.grad.tolist() == pytest.approx(
        np.array([[pulled, pulled / 2], [0, 0]]), rel=1e-5
    )
    # the pre-bias: from the output, and against the input of the encoder; not from the frozen one
    assert model.pre_bias.grad.tolist() == pytest.approx([2.6 - pulled, -1], rel=1e-5)


def test_a_closed_gate_closes_however_large_the_magnitude():
    model = gated()
    filled(model, objective__magnitude_bias=torch.tensor([0.0, 100.0]))
    codes = model.objective.codes(torch.tensor([[1.1, -0.01]]), model.bias)
    assert codes[0, 1] == 0


def test_codes_of_inference_are_those_of_training():
    """Gated codes need the gates' bias taken off again: encoding must give what the loss used."""
    for bottleneck in (Gated(9, weight=0.1), L1(9), JumpReLU(9, threshold=0.3), Contrastive(9, 3)):
        model = random_model(bottleneck)
        if isinstance(bottleneck, Gated):
            filled(
                model,
                objective__log_gain=torch.linspace(-1, 1, 9),
                objective__magnitude_bias=torch.linspace(-0.5, 0.5, 9),
            )
        charge = charged(model, rows_of())
        found = model.encode(rows_of().numpy(), dense=True)
        assert np.allclose(found, charge.codes.detach(), atol=1e-6)
        with torch.no_grad():
            output = model(rows_of())
        assert torch.allclose(output, model.decoded(charge.codes), atol=1e-5), bottleneck


# --- KL -----------------------------------------------------------------------------------------


def test_kl_by_hand():
    """Two rows, one latent, no memory: the mean of the batch is the mean activation."""
    model = plain(1, KLSparse(1, target=0.2, weight=2.0, memory=0.0))
    start = math.log(0.2 / 0.8)
    rows = [[-start], [-start + math.log(3)]]  # activations 1/2 and 3/4
    charge = charged(model, rows)
    assert charge.codes[:, 0].tolist() == pytest.approx([0.5, 0.75])
    rho = 0.625
    divergence = 0.2 * math.log(0.2 / rho) + 0.8 * math.log(0.8 / (1 - rho))
    assert charge.penalty.tolist() == pytest.approx([2 * divergence] * 2, rel=1e-5)
    assert float(model.objective.mean) == pytest.approx(rho)


def test_the_running_means_gradient_is_the_batchs():
    """Ng's notes: dKL/da_i = (weight / m)(-target / rho + (1 - target) / (1 - rho)), any memory."""
    model = plain(1, KLSparse(1, target=0.2, weight=2.0, memory=0.9))
    filled(model, decoder=torch.zeros(1, 1))  # so that the reconstruction pulls at no code
    start = math.log(0.2 / 0.8)
    charged(model, [[-start], [-start + math.log(3)]])
    rho = 0.9 * 0.2 + 0.1 * 0.625
    slope = 2.0 * (-0.2 / rho + 0.8 / (1 - rho)) / 2
    through = [slope * a * (1 - a) for a in (0.5, 0.75)]
    assert float(model.bias.grad) == pytest.approx(sum(through), rel=1e-5)
    assert float(model.objective.mean) == pytest.approx(rho)


@pytest.mark.parametrize("shift", [-200.0, 200.0])
def test_a_mean_at_the_border_costs_much_and_stays_finite(shift):
    model = plain(2, KLSparse(2, target=0.2, weight=1.0, memory=0.0))
    charge = charged(filled(model, bias=torch.full((2,), shift)), [[0.1, 0.2]])
    border = 1e-6 if shift < 0 else 1 - 1e-6
    divergence = 0.2 * math.log(0.2 / border) + 0.8 * math.log(0.8 / (1 - border))
    assert float(charge.penalty.detach()) == pytest.approx(2 * divergence, rel=0.02)
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


def test_the_mean_stays_where_it_is_outside_training():
    model = random_model(KLSparse(4))
    before = model.objective.mean.clone()
    charged(model, rows_of(), training=False)
    assert torch.equal(model.objective.mean, before)


def test_without_an_input_every_latent_is_at_the_target():
    model = SparseDictionary(3, KLSparse(4, target=0.1))
    assert np.allclose(model.encode(np.zeros((2, 3), np.float32)), 0.1)


# --- contrastive --------------------------------------------------------------------------------


@given(st.integers(2, 40), st.integers(1, 6), st.floats(0.05, 2))
def test_info_nce_is_one_for_codes_that_tell_nothing(rows, width, temperature):
    same = torch.ones(rows, width)
    assert torch.allclose(info_nce(same, same, temperature), torch.ones(rows), atol=1e-5)
    assert torch.allclose(info_nce(0 * same, 0 * same, temperature), torch.ones(rows), atol=1e-5)


@given(st.integers(2, 20), st.floats(0.1, 2))
def test_info_nce_of_orthogonal_codes_in_closed_form(rows, temperature):
    """Cosine 1 with itself, 0 with B - 1 others: log(1 + (B - 1) exp(-1 / t)) / log B."""
    found = info_nce(3 * torch.eye(rows), 0.5 * torch.eye(rows), temperature)
    wanted = math.log(1 + (rows - 1) * math.exp(-1 / temperature)) / math.log(rows)
    assert found.tolist() == pytest.approx([wanted] * rows, rel=1e-4, abs=1e-6)


def test_info_nce_of_swapped_codes_in_closed_form():
    """Two rows whose views are each other's: cosine 0 with its own, 1 with the other."""
    eye = torch.eye(2)
    wanted = math.log(1 + math.exp(1 / 0.5)) / math.log(2)
    assert info_nce(eye, eye.flip(0), 0.5).tolist() == pytest.approx([wanted] * 2, rel=1e-5)


def test_every_term_is_one_at_the_trivial_predictor():
    """No decoder, the pre-bias at the mean: FVU(k) = FVU(4k) = InfoNCE / log B = 1."""
    x = rows_of(5, 64)
    model = SparseDictionary(5, Contrastive(12, 2, weight=0.3, mask=0.0))
    mean, variance = x.mean(0), float((x - x.mean(0)).square().sum(1).mean())
    filled(model, decoder=torch.zeros(12, 5), encoder=torch.zeros(12, 5), pre_bias=mean)
    charge = charged(model, x, variance, generator=torch.Generator().manual_seed(0))
    assert float(charge.distortion.detach().mean()) == pytest.approx(1, rel=1e-5)
    assert float(charge.penalty.detach().mean()) == pytest.approx(1 / 8 + 0.3, rel=1e-5)


def test_the_second_reconstruction_has_four_times_as_many_latents():
    x = rows_of(5, 8)
    model = random_model(Contrastive(12, 2, weight=0.0))
    charge = charged(model, x)
    pre = model.preactivations(x).detach()
    codes = torch.zeros_like(pre)
    for row, values in enumerate(pre):
        kept = values.argsort(descending=True)[:8]
        codes[row, kept] = values[kept].relu()
    wanted = (codes @ model.decoder + model.pre_bias - x).square().sum(1) / 8
    assert torch.allclose(charge.penalty, wanted, atol=1e-6)
    assert ((charge.codes > 0).sum(1) <= 2).all()


def test_a_view_is_the_sample_with_a_share_of_means():
    model = random_model(Contrastive(12, 2, mask=0.3), dim=200)
    x = rows_of(200, 50)
    generator = torch.Generator().manual_seed(0)
    one, two = (model.objective._view(x, model, generator) for _ in range(2))
    masked = one != x
    assert torch.equal(one[masked], model.pre_bias.detach().expand_as(x)[masked])
    assert float(masked.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float((masked & (two != x)).float().mean()) == pytest.approx(0.09, abs=0.01)


def test_the_same_noise_gives_the_same_loss_and_other_noise_another():
    x = rows_of(5, 16)
    found = [
        charged(
            random_model(Contrastive(12, 2, mask=0.5)),
            x,
            1.0,
            True,
            torch.Generator().manual_seed(s),
        ).penalty.detach()
        for s in (0, 0, 1)
    ]
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


# --- controllers and inference ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [L1, Gated])
def test_a_controller_raises_the_weight_while_too_many_are_active(kind):
    model = random_model(kind(9, l0=0.5))
    weight = model.objective.controller.weight.clone()
    first = charged(model, rows_of())
    assert float(model.objective.controller.weight) > float(weight)
    # each step is charged by the weight before it moves
    filled(model, objective__controller__log_weight=weight.log())
    filled(model, objective__controller__measured=torch.tensor(math.nan))
    assert torch.allclose(charged(model, rows_of()).penalty, first.penalty)
    held = model.objective.controller.weight.clone()
    charged(model, rows_of(), training=False)
    assert torch.equal(model.objective.controller.weight, held)


@pytest.mark.parametrize("kind", [L1, JumpReLU, Gated])
def test_what_is_charged_is_said(kind):
    assert "0.25" in " ".join(SparseDictionary(3, kind(9, weight=0.25)).describe())
    assert "4 of 9" in " ".join(SparseDictionary(3, kind(9, l0=4)).describe())


@pytest.mark.parametrize("kind", [L1, JumpReLU, Gated, KLSparse])
def test_where_no_k_can_be_chosen_one_is_refused(kind):
    model = SparseDictionary(3, kind(9))
    with pytest.raises(ConfigError, match="no k to choose"):
        model.encode(np.zeros((2, 3), np.float32), k=2)
