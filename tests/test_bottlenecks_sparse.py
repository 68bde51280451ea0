"""Sparse codes: L1, KL to a target, TopK, BatchTopK, their controller and their balance."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.bottlenecks import L1, BatchTopK, KLSparse, TopK
from isthmus.bottlenecks.balance import Balance
from isthmus.bottlenecks.control import Controller
from isthmus.bottlenecks.kl_sparse import bernoulli_kl
from isthmus.bottlenecks.scale import Scale


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def logit(values):
    return torch.tensor(values).logit()


# ---------------------------------------------------------------- L1


def test_the_sigmoid_charge_by_hand():
    waist = L1(3, weight=0.1, unit="sigmoid").build()
    code = waist(logit([[0.5, 0.25, 0.05], [0.2, 0.2, 0.8]]))
    torch.testing.assert_close(code.z, torch.tensor([[0.5, 0.25, 0.05], [0.2, 0.2, 0.8]]))
    assert code.penalty.tolist() == pytest.approx([0.08, 0.12])
    assert float(code.logs["mean_activation"]) == pytest.approx(2 / 6)


@pytest.mark.parametrize("reweight", [0.0, 0.3])
def test_the_penalty_is_charged_on_the_code_that_the_decoder_reads(reweight):
    """The charge's gradient at the code is the weight, reweighted where that was asked for, and
    the reweighting itself carries no gradient."""
    waist = L1(8, weight=0.1, reweight=reweight).build()
    code = waist(torch.randn(32, 8, generator=seeded()))
    z = code.z.detach()
    assert bool((z >= 0).all())
    assert bool((z == 0).any())
    factor = 1 / (z + reweight) if reweight else torch.ones_like(z)  # sizes start at 1
    torch.testing.assert_close(code.penalty, 0.1 * (z * factor).sum(1))
    (slope,) = torch.autograd.grad(code.penalty.sum(), code.z)
    torch.testing.assert_close(slope, 0.1 * factor)


def test_the_reweighted_charge_by_hand():
    """Two samples of activations 2 and 1, sizes 4 and 0.5, firing rates 0.3 and 0.1: the busier
    latent is charged 1.5 times, the other 0.5 times."""
    waist = L1(2, weight=0.1, reweight=0.5).build().eval()
    waist.use.copy_(torch.tensor([0.3, 0.1]))
    waist.size.copy_(torch.tensor([4.0, 0.5]))
    unit = (1 + waist.scale.eps) ** 0.5  # running variance 1
    penalty = waist(torch.tensor([[3.0, -5.0], [3.0, 2.0]]) * unit).penalty  # the bias is -1
    first = 1.5 * 2 / (2 + 0.5 * 4)
    assert penalty.tolist() == pytest.approx(
        [0.1 * first, 0.1 * (first + 0.5 * 1 / (1 + 0.5 * 0.5))], rel=1e-5
    )


def test_large_activations_are_hardly_shrunk_and_small_ones_are():
    waist = L1(1, weight=1.0).build().eval()
    a = torch.tensor([[0.1], [5.0]])
    code = waist((a + 1) * (1 + waist.scale.eps) ** 0.5)
    small, large = torch.autograd.grad(code.penalty.sum(), code.z)[0][:, 0].tolist()
    assert small == pytest.approx(1 / 0.4, rel=1e-4)
    assert large == pytest.approx(1 / 5.3, rel=1e-4)


def test_no_weight_charges_nothing_and_twice_the_weight_twice_as_much():
    h = torch.randn(64, 8, generator=seeded())
    assert not L1(8, weight=0.0).build()(h).penalty.any()
    one, two = (L1(8, weight=w).build()(h).penalty for w in (0.1, 0.2))
    torch.testing.assert_close(two, 2 * one)


def test_running_estimates_follow_training_batches_alone():
    waist = L1(2, weight=0.1).build()
    use, size = waist.use.clone(), waist.size.clone()
    h = torch.tensor([[3.0, -1.0], [-1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0]])
    a = waist(h).z.detach()
    torch.testing.assert_close(waist.use, use.lerp((a > 0).float().mean(0), 0.01))
    fired = (a.square().sum(0) / (a > 0).sum(0).clamp_min(1)).sqrt()
    assert bool((a > 0).any(0).any())
    torch.testing.assert_close(
        waist.size, torch.where((a > 0).any(0), size.lerp(fired, 0.02), size)
    )
    before = {k: v.clone() for k, v in waist.state_dict().items()}
    waist.eval()(h)
    assert all(torch.equal(v, before[k]) for k, v in waist.state_dict().items())


@pytest.mark.parametrize(("floor", "alive"), [(0.02, True), (0.0, False)])
def test_a_latent_that_never_fires_is_lifted_until_it_does(floor, alive):
    waist = L1(3, weight=0.0, floor=floor).build()
    with torch.no_grad():
        waist.bias[2] = -6.0
    draws = seeded()
    for _ in range(1500):
        waist(torch.randn(32, 3, generator=draws))
    waist.eval()
    z = waist.embed(torch.randn(4000, 3, generator=draws))
    rates = (z > 0).float().mean(0)
    assert bool(rates[2] > 0.01) == alive
    assert float(rates[0]) == pytest.approx(0.16, abs=0.02)  # P(normal > 1): left alone


def test_shrinking_what_the_encoder_says_evades_no_charge():
    """The loophole of a plain L1: a code 100 times smaller, magnified again by the decoder."""
    h = torch.randn(256, 6, generator=seeded())
    whole, small = (L1(6, weight=0.1).build()(h / by).penalty for by in (1, 20))
    assert float(whole.detach().mean()) > 0.03
    torch.testing.assert_close(small, whole, rtol=0.02, atol=2e-3)


def test_the_words_name_the_result_or_the_weight():
    assert "8 latents are active" in L1(64, l0=8).build().describe()[0]
    assert "mean activation is 0.05" in L1(64, mean_activation=0.05).build().describe()[0]
    assert "0.25 times the sum" in L1(64, weight=0.25).build().describe()[0]


def test_the_running_scale_is_the_mean_of_the_first_batches():
    """Three batches, and inference already knows their mean and variance."""
    scale = Scale(2, momentum=0.01)
    batches = torch.randn(3, 64, 2, generator=seeded()) * 5 + 7
    for each in batches:
        scale(each)
    torch.testing.assert_close(scale.running_mean, batches.mean((0, 1)))
    torch.testing.assert_close(scale.running_var, batches.var(1).mean(0))
    scale.num_batches_tracked.fill_(1000)
    before = scale.running_mean.clone()
    scale(torch.full((4, 2), 100.0) + torch.randn(4, 2, generator=seeded()))
    torch.testing.assert_close(scale.running_mean, before.lerp(torch.full((2,), 100.0), 0.01),
                               rtol=1e-2, atol=1e-2)  # fmt: skip
    scale(torch.full((1, 2), 1e6))  # one sample has no variance, and is not remembered
    assert float(scale.running_mean.max()) < 20


# ---------------------------------------------------------------- KL to a target


@pytest.mark.parametrize(
    ("target", "rho", "expected"),
    [
        (0.2, 0.4, 0.2 * math.log(0.5) + 0.8 * math.log(0.8 / 0.6)),
        (0.05, 0.5, 0.05 * math.log(0.1) + 0.95 * math.log(1.9)),
        (0.3, 0.3, 0.0),
    ],
)
def test_the_divergence_of_two_bernoullis_by_hand(target, rho, expected):
    assert float(bernoulli_kl(target, torch.tensor(rho))) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_the_divergence_is_finite_at_the_ends(rho):
    assert math.isfinite(float(bernoulli_kl(0.05, torch.tensor(rho))))


def test_the_charge_by_hand_is_the_sum_over_latents_for_each_sample():
    waist = KLSparse(2, target=0.2, weight=3.0, memory=0.0).build()
    h = logit([[0.1, 0.3], [0.7, 0.1]]) - waist.bias
    code = waist(h)  # batch means 0.4 and 0.2
    divergence = 0.2 * math.log(0.5) + 0.8 * math.log(0.8 / 0.6)
    assert code.penalty.tolist() == pytest.approx([3 * divergence] * 2, rel=1e-5)
    torch.testing.assert_close(code.z, torch.tensor([[0.1, 0.3], [0.7, 0.1]]))


def test_the_running_mean_has_the_gradient_of_the_batch():
    """d charge / d h = weight * KL'(rho) * a (1 - a) / B, at the running value rho."""
    waist = KLSparse(3, target=0.1, weight=1.0, memory=0.5).build()
    waist.rho.copy_(torch.tensor([0.1, 0.4, 0.7]))
    waist.aim.copy_(torch.tensor([0.1, 0.05, 0.2]))
    start, aim = waist.rho.clone(), waist.aim.clone()
    h = torch.randn(4, 3, generator=seeded(), requires_grad=True)
    code = waist(h)
    (slope,) = torch.autograd.grad(code.penalty.mean(), h)
    a = torch.sigmoid(h + waist.bias).detach()
    rho = 0.5 * start + 0.5 * a.mean(0)
    torch.testing.assert_close(waist.rho, rho)
    derivative = -aim / rho + (1 - aim) / (1 - rho)
    torch.testing.assert_close(slope, derivative * a * (1 - a) / 4, rtol=1e-4, atol=1e-6)


def test_the_code_starts_at_the_target_where_nothing_is_charged():
    waist = KLSparse(4, target=0.05, weight=1.0).build()
    code = waist(torch.zeros(3, 4))
    torch.testing.assert_close(code.z, torch.full((3, 4), 0.05))
    assert float(code.penalty.detach().abs().max()) < 1e-6
    assert float(code.logs["deviation"]) < 1e-5


def test_the_aim_moves_against_the_deviation_of_each_latent():
    """Latents at half, once and twice the target: aims up, still, down by the same factor."""
    waist = KLSparse(3, target=0.1, correct=0.5, memory=0.0).build()
    waist(logit([[0.05, 0.1, 0.2]]) - waist.bias.detach())
    expected = [0.1 * 2**0.5, 0.1, 0.1 / 2**0.5]
    assert waist.aim.tolist() == pytest.approx(expected, rel=1e-4)
    waist.eval()(logit([[0.05, 0.1, 0.2]]))
    assert waist.aim.tolist() == pytest.approx(expected, rel=1e-4)  # in training alone


def test_the_aim_stays_in_reach_and_stands_still_where_nothing_is_corrected():
    waist = KLSparse(2, target=0.3, correct=1.0, memory=0.0).build()
    still = KLSparse(2, target=0.3, correct=0.0, memory=0.0).build()
    for _ in range(20):
        for each in (waist, still):
            each(logit([[0.001, 0.999]]) - each.bias.detach())
    assert waist.aim.tolist() == pytest.approx([0.65, 0.015])
    torch.testing.assert_close(still.aim, torch.full((2,), 0.3))


# ---------------------------------------------------------------- the controller


def test_the_controller_moves_the_weight_by_the_logarithm_of_the_miss():
    controller = Controller(0.5, target=10.0, gain=0.1, memory=0.0)
    controller.step(torch.tensor(20.0))
    assert float(controller.weight) == pytest.approx(0.5 * 2**0.1)
    controller.step(torch.tensor(5.0))
    assert float(controller.weight) == pytest.approx(0.5)
    controller.step(torch.tensor(10.0))
    assert float(controller.weight) == pytest.approx(0.5)
    controller.step(torch.tensor(1e9))  # one step never moves it by more than the gain
    assert float(controller.weight) == pytest.approx(0.5 * math.exp(0.1))


@pytest.mark.parametrize("start", [1e-4, 1.0, 100.0])
def test_the_controller_settles_where_the_target_is_met(start):
    """On a plant that measures 2 / sqrt(weight), a target of 5 is met at a weight of 0.16."""
    controller = Controller(start, target=5.0)
    for _ in range(4000):
        controller.step(2 / controller.weight.sqrt())
    assert float(controller.weight) == pytest.approx(0.16, rel=0.01)


def test_the_controllers_state_is_stored_and_survives_silence():
    controller = Controller(1.0, target=5.0)
    controller.step(torch.tensor(0.0))
    assert math.isfinite(float(controller.weight))
    twin = Controller(1.0, target=5.0)
    twin.load_state_dict(controller.state_dict())
    for each in (controller, twin):
        each.step(torch.tensor(3.0))
    assert torch.equal(twin.log_weight, controller.log_weight)


# ---------------------------------------------------------------- TopK


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(1, 9))
def test_topk_keeps_exactly_the_k_largest(seed, k):
    waist = TopK(9, k=k).build().eval()
    h = torch.randn(6, 9, generator=seeded(seed)).abs() + 0.1
    code = waist(h)
    assert (code.z > 0).sum(1).tolist() == [k] * 6
    kept = h.topk(k, dim=1).indices.sort(1).values
    assert torch.equal((code.z > 0).nonzero()[:, 1].reshape(6, k), kept)
    torch.testing.assert_close(code.z[code.z > 0], h[code.z > 0], rtol=1e-4, atol=1e-5)
    assert float(code.logs["l0"]) == k


def test_negative_activations_are_never_kept():
    code = TopK(3, k=2).build().eval()(torch.tensor([[-1.0, -2.0, 3.0], [-1.0, -1.0, -1.0]]))
    assert (code.z > 0).tolist() == [[False, False, True], [False, False, False]]


def test_only_kept_latents_have_a_gradient():
    h = torch.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(TopK(3, k=1).build().eval()(h).z.sum(), h)
    torch.testing.assert_close(slope, torch.tensor([[1.0, 0.0, 0.0]]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [TopK(12, k=3), BatchTopK(12, k=3)], ids=str)
def test_in_training_the_batch_keeps_k_a_sample(config):
    waist = config.build()
    for seed in range(20):
        code = waist(torch.randn(64, 12, generator=seeded(seed)) + 1)
    assert float((code.z > 0).sum(1).float().mean()) <= 3
    assert float(code.logs["l0"]) == pytest.approx(3, abs=0.15)


# ---------------------------------------------------------------- BatchTopK


def test_the_batchs_largest_are_kept_wherever_they_stand():
    """Columns of equal mean and variance: their order is that of what the encoder said."""
    h = torch.tensor([[5.0, 4.0, 1.0], [4.0, 1.0, 5.0], [1.0, 5.0, 4.0], [2.0, 2.0, 2.0]])
    code = BatchTopK(3, k=1, balance=0.0).build()(h)
    assert int((code.z > 0).sum()) == 6  # the three fives and, all alike, the three fours
    assert torch.equal(code.z > 0, h >= 4)
    assert int((BatchTopK(3, k=2, balance=0.0).build()(h).z > 0).sum()) == 6  # never below zero


def test_the_threshold_at_inference_is_the_running_mean_of_the_smallest_kept():
    """Of scores by the running scale, as they are at inference: mean 0 and variance 1 here."""
    waist = BatchTopK(4, k=1, balance=0.0, memory=0.75).build()
    waist.scale.slowest = 1e-9  # the running scale stands still
    waist.scale.num_batches_tracked.fill_(10**9)
    waist(torch.tensor([[4.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]]))
    waist(torch.tensor([[8.0, 0.0, 0.0, 0.0], [0.0, 6.0, 0.0, 0.0]]))
    edge = 0.75 * 2.0 + 0.25 * 6.0
    assert float(waist.edge) == pytest.approx(edge, rel=1e-4)
    waist.eval()
    z = waist(torch.tensor([[3.1, 2.9, 10.0, -5.0]])).z
    assert (z > 0).tolist() == [[True, False, True, False]]
    torch.testing.assert_close(z[z > 0], torch.tensor([3.1, 10.0]), rtol=1e-4, atol=1e-5)


def test_at_inference_about_k_are_active_each_row_by_itself():
    waist = BatchTopK(32, k=4).build()
    for seed in range(300):
        waist(torch.randn(64, 32, generator=seeded(seed)))
    waist.eval()
    h = torch.randn(2000, 32, generator=seeded(999))
    z = waist(h).z
    assert float((z > 0).sum(1).float().mean()) == pytest.approx(4, rel=0.1)
    assert len(set((z > 0).sum(1).tolist())) > 3  # easy samples fewer, hard ones more
    torch.testing.assert_close(waist(h[7:8]).z, z[7:8])


# ---------------------------------------------------------------- balance


def test_balance_prefers_rarely_used_latents_and_leaves_the_code_alone():
    balance = Balance(3, share=1 / 3, speed=0.1, memory=0.0)
    h = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    assert torch.equal(balance(h), h)
    balance.step(torch.tensor([[False, False, True]] * 4))
    score = balance(h)
    assert not score.requires_grad
    moved = (score - h).detach()[0]
    assert moved.tolist() == pytest.approx([0.1, 0.1, 0.0])


@pytest.mark.parametrize("config", [TopK(8, k=2), BatchTopK(8, k=2)], ids=str)
def test_a_latent_that_is_never_largest_comes_back_to_life(config):
    waist = config.build()
    offset = torch.tensor([3.0, 3, 3, 3, 3, 3, -3, -3])  # the last two always come last
    for seed in range(3000):
        waist(torch.randn(32, 8, generator=seeded(seed)) * 0.5 + offset)
    waist.eval()
    z = waist(torch.randn(1000, 8, generator=seeded(1)) * 0.5 + offset).z
    assert bool((z > 0).any(0).all())
