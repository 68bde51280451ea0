"""The compiled kernels on the CPU against the plain ones in float64."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_tools as tools
from isthmus.kernels.code import SparseCode
from isthmus.kernels.cpu import CPUKernels
from isthmus.kernels.optimiser import Knobs, Moments
from isthmus.kernels.rules import Above, BatchTopK, Levels, Revival, RowTopK, Weights

CLOSE = 1e-5
SHAPES = [
    (1, 1, 1, 1),  # batch, dim, latents, k
    (1, 7, 50, 3),
    (6, 1, 30, 5),
    (9, 5, 23, 23),
    (40, 16, 200, 1),
    (70, 33, 131, 8),
    (1027, 6, 40, 4),  # the last block of rows is short
]
LEVELS = {
    "plain": lambda latents, k: None,
    "by latent": lambda latents, k: Levels(
        tuple(sorted({max(1, latents // 8), max(1, latents // 3), latents})),
        (0.2, 0.3, 1.0)[-len({max(1, latents // 8), max(1, latents // 3), latents}) :],
        by_rank=False,
    ),
    "by rank": lambda latents, k: Levels(
        tuple(sorted({1, max(1, k // 2), latents})),
        (0.5, 0.25, 1.0)[-len({1, max(1, k // 2), latents}) :],
        by_rank=True,
    ),
}


def compare(problem, asked, floor=0.0):
    """Both gradients for the code that the compiled kernels select."""
    ours, plain = tools.OnCPU(), tools.reference()
    code = ours.select(problem, asked.rule)
    wanted_losses, wanted = plain.gradients(problem, code, asked)
    losses, found = ours.gradients(problem, code, asked)
    assert losses == pytest.approx(wanted_losses, rel=CLOSE, abs=1e-12)
    assert tools.apart(found, wanted, floor) < CLOSE
    return losses, found


def rules(latents, k):
    return [RowTopK(k), BatchTopK(k), Above(np.linspace(-0.5, 2, latents, dtype=np.float32))]


@pytest.mark.parametrize("aided", [False, True], ids=["", "revival"])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["RowTopK", "BatchTopK", "Above"])
def test_gradients_are_those_of_dense_autograd(which, levels, aided):
    for seed, (batch, dim, latents, k) in enumerate(SHAPES):
        problem = tools.problem(batch, dim, latents, seed)
        draws = np.random.default_rng(seed)
        asked = tools.Asked(
            rules(latents, k)[which],
            scale=0.7,
            levels=LEVELS[levels](latents, k),
            revival=tools.revival(draws, latents, batch) if aided else None,
        )
        compare(problem, asked)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 40),
    dim=st.integers(1, 20),
    latents=st.integers(1, 90),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_gradients_of_any_shape(batch, dim, latents, seed, data):
    k = data.draw(st.integers(1, latents))
    asked = tools.Asked(
        data.draw(st.sampled_from(rules(latents, k))),
        scale=data.draw(st.floats(0.01, 100)),
        levels=LEVELS[data.draw(st.sampled_from(sorted(LEVELS)))](latents, k),
        revival=tools.revival(np.random.default_rng(seed), latents, batch),
    )
    compare(tools.problem(batch, dim, latents, seed), asked, floor=0.1)


def test_the_terms_are_there():
    problem = tools.problem(12, 5, 30)
    aid = Revival(np.array([3, 4, 9]), 2, 0.5, slice(2, 9))
    levels = LEVELS["by rank"](30, 6)
    losses, _ = compare(problem, tools.Asked(RowTopK(6), 2.0, levels, aid))
    assert set(losses) == {"distortion", "whole", "revival"}


def test_a_single_level_of_any_weight_leaves_revival_as_it_is():
    """What is left to explain is the residual, not the residual times the level's weight."""
    problem = tools.problem(12, 5, 30)
    aid = Revival(np.array([3, 4, 9]), 2, 0.5, slice(0, 12))
    compare(problem, tools.Asked(RowTopK(6), 1.0, Levels((30,), (0.25,), False), aid))


def test_revival_on_rows_that_are_all_the_same_is_nothing():
    """Rounding must not pass for a spread: the term would be divided by next to nothing."""
    problem = tools.problem(37, 11, 40)
    problem.inputs[:] = problem.inputs[0] + np.float32(1 / 3)
    aid = Revival(np.arange(20, 40), 5, 1 / 32, slice(0, 37))
    ours = tools.OnCPU()
    code = ours.select(problem, RowTopK(4))
    losses, found = ours.gradients(problem, code, tools.Asked(RowTopK(4), revival=aid))
    _, plain = ours.gradients(problem, code, tools.Asked(RowTopK(4)))
    assert "revival" not in losses
    assert tools.apart(found, plain) == 0


@pytest.mark.parametrize("levels", LEVELS)
def test_the_shares_of_two_processes_add_up_to_the_whole(levels):
    problem = tools.problem(40, 7, 60)
    aid = Revival(np.arange(20, 60), 5, 0.5, slice(0, None, 2))
    asked = tools.Asked(RowTopK(6), 0.7, LEVELS[levels](60, 6), aid)
    ours = tools.OnCPU()
    code = ours.select(problem, asked.rule)
    wanted_losses, wanted = tools.reference().gradients(problem, code, asked)
    for side in (ours, tools.reference()):
        losses, found = tools.in_two_shares(side, problem, asked, 18)
        assert losses == pytest.approx(wanted_losses, rel=CLOSE)
        assert tools.apart(found, wanted) < CLOSE


@pytest.mark.parametrize("levels", ["plain", "by latent", "by rank"])
def test_a_batch_of_no_rows_asks_for_nothing(levels):
    """One process of several may get none."""
    problem = tools.problem(0, 3, 20)
    aid = Revival(np.arange(10), 3, 0.1, slice(0, None))
    for rule in (RowTopK(4), Above(np.zeros(20, np.float32))):
        asked = tools.Asked(rule, levels=LEVELS[levels](20, 4), revival=aid, total=8)
        losses, found = tools.OnCPU().gradients(problem, tools.OnCPU().select(problem, rule), asked)
        assert losses["distortion"] == 0
        assert not any(part.any() for part in tools.parts(found))


def test_latents_in_any_order_give_the_same_gradients():
    problem = tools.problem(20, 6, 50)
    ours = tools.OnCPU()
    code = ours.select(problem, RowTopK(7))
    turned = SparseCode.fixed(
        code.indices.reshape(20, 7)[:, ::-1].copy(), code.values.reshape(20, 7)[:, ::-1].copy(), 50
    )
    for name in LEVELS:
        asked = tools.Asked(RowTopK(7), levels=LEVELS[name](50, 7))
        (first, one), (second, other) = (ours.gradients(problem, c, asked) for c in (code, turned))
        assert first == pytest.approx(second, rel=CLOSE)
        assert tools.apart(one, other) < CLOSE


def test_a_batch_without_active_latents():
    """Nothing fires: the biases alone are pulled."""
    problem = tools.problem(5, 3, 8)
    losses, found = compare(problem, tools.Asked(Above(np.full(8, 1e9, np.float32))))
    assert losses["distortion"] == pytest.approx(np.square(problem.inputs).sum(1).mean())
    assert not found.encoder_ND.any()
    np.testing.assert_allclose(found.pre_bias_D, -2 * problem.inputs.mean(0), rtol=1e-5)


@pytest.mark.parametrize(("batch", "dim", "latents", "k"), SHAPES)
def test_decoding(batch, dim, latents, k):
    problem = tools.problem(batch, dim, latents)
    for rule in rules(latents, k):
        code = tools.OnCPU().select(problem, rule)
        wanted = code.dense().astype(np.float64) @ problem.weights.decoder_ND
        out = tools.OnCPU().decode(problem, code)
        np.testing.assert_allclose(out, wanted + problem.weights.pre_bias_D, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_inputs(threads):
    """Scaled and shifted; noise whose rows and coordinates wrap around."""
    draws = np.random.default_rng(0)
    x, noise = draws.normal(size=(2, 700, 5)).astype(np.float32)
    middle, sizes = draws.normal(size=5).astype(np.float32), draws.normal(size=700)
    kernels = CPUKernels(threads)
    inputs = kernels.centred(x, 3.0, middle)
    np.testing.assert_allclose(inputs, 3 * x - middle, rtol=1e-5, atol=1e-6)
    before = inputs.copy()
    kernels.add_noise(inputs, noise[:300], 290, 2, sizes.astype(np.float32))
    drawn = np.roll(np.tile(noise[:300], (4, 1)), (-290, -2), axis=(0, 1))[:700]
    np.testing.assert_allclose(inputs, before + sizes[:, None] * drawn, rtol=1e-5, atol=1e-5)
    kernels.close()


# ---------------------------------------------------------------- the optimiser

AID = Revival(np.arange(3, 200, 5), 4, 0.1, slice(0, 64))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("aid", [None, AID], ids=["", "revival"])
def test_the_fused_step_is_gradients_and_step(levels, aid):
    problem = tools.problem(90, 12, 200)
    asked = tools.Asked(RowTopK(6), 1.0, LEVELS[levels](200, 6), aid)
    knobs = [Knobs(1e-3, step, decay=0.1) for step in (1, 2, 3)]
    fused, apart = (tools.OnCPU().steps(problem, asked, knobs, fused=way) for way in (True, False))
    for one, other in zip(fused, apart, strict=True):
        assert tools.apart(one, other) < 1e-6


def test_a_step_is_that_of_torch_adam():
    """The rows' step after projection, then norm 1; the biases' step plain."""
    problem = tools.problem(50, 9, 120)
    weights = tools.copied(problem.weights)
    asked = tools.Asked(RowTopK(5))
    ours = tools.OnCPU()
    _, gradients = ours.gradients(problem, ours.select(problem, asked.rule), asked)
    leaves = [torch.tensor(w).requires_grad_() for w in tools.parts(weights)]
    for leaf, gradient in zip(leaves, tools.parts(gradients), strict=True):
        leaf.grad = torch.tensor(gradient.copy())
    rows = leaves[2].detach()
    leaves[2].grad -= (leaves[2].grad * rows).sum(1, keepdim=True) * rows
    optimiser = torch.optim.Adam(leaves, lr=3e-3, eps=6.25e-10)
    optimiser.step()
    moments = Moments(weights.like(), weights.like())
    ours.kernels.apply(gradients, weights, moments, Knobs(3e-3, 1))
    with torch.no_grad():
        leaves[2] /= leaves[2].norm(dim=1, keepdim=True)
    for mine, leaf in zip(tools.parts(weights), leaves, strict=True):
        np.testing.assert_allclose(mine, leaf.detach().numpy(), rtol=1e-6, atol=1e-6)


def test_the_moments_are_those_of_torch_adam():
    problem = tools.problem(50, 9, 120)
    ours, asked = tools.OnCPU(), tools.Asked(RowTopK(5))
    _, gradients = ours.gradients(problem, ours.select(problem, asked.rule), asked)
    weights = tools.copied(problem.weights)
    moments = Moments(weights.like(), weights.like())
    wanted = tools.copied(gradients)
    along = (wanted.decoder_ND * weights.decoder_ND).sum(1, keepdims=True)
    wanted.decoder_ND[:] -= along * weights.decoder_ND
    ours.kernels.apply(gradients, weights, moments, Knobs(3e-3, 1))
    means = Weights(*(0.1 * g.astype(np.float64) for g in tools.parts(wanted)))
    squares = Weights(*(0.001 * g.astype(np.float64) ** 2 for g in tools.parts(wanted)))
    assert tools.apart(moments.mean, means) < 1e-6
    assert tools.apart(moments.square, squares) < 1e-6


def test_steps_follow_the_reference():
    """A few steps with everything at work; rounding must not grow."""
    problem = tools.problem(60, 10, 80)
    aid = Revival(np.arange(60, 80), 4, 0.1, slice(0, 60))
    asked = tools.Asked(RowTopK(5), revival=aid)
    knobs = [Knobs(1e-3, step, epsilon=1e-6, decay=0.2) for step in range(1, 4)]
    ours = tools.OnCPU().steps(problem, asked, knobs)
    plain = tools.reference().steps(problem, asked, knobs)
    for mine, theirs in zip(ours, plain, strict=True):
        assert tools.apart(mine, theirs) < 1e-4
    np.testing.assert_allclose(np.linalg.norm(ours[0].decoder_ND, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["RowTopK", "BatchTopK", "Above"])
def test_any_number_of_threads_gives_the_same_bytes(levels, which):
    problem = tools.problem(1100, 24, 150)
    asked = tools.Asked(rules(150, 6)[which], 1.0, LEVELS[levels](150, 6), AID)
    asked = tools.Asked(
        asked.rule, 1.0, asked.levels, Revival(np.arange(90, 150), 4, 0.1, slice(0, 700))
    )
    outcomes = []
    for threads in (1, 2, 3):
        side = tools.OnCPU(threads)
        code = side.select(problem, asked.rule)
        losses, gradients = side.gradients(problem, code, asked)
        stepped = side.steps(problem, asked, [Knobs(1e-3, 1), Knobs(1e-3, 2)])
        side.kernels.close()
        arrays = [code.indptr, code.indices, code.values, *tools.parts(gradients)]
        arrays += [array for weights in stepped for array in tools.parts(weights)]
        outcomes.append((losses, [array.tobytes() for array in arrays]))
    assert outcomes[0] == outcomes[1] == outcomes[2]


# ---------------------------------------------------------------- memory


def test_no_array_of_batch_times_latents_is_made():
    """4,096 rows and 20,000 latents: that array would take 328 MB."""
    batch, latents, dim = 4096, 20_000, 4
    problem = tools.problem(batch, dim, latents)
    side = tools.OnCPU()
    knobs = Knobs(1e-3, 1)
    moments = Moments(problem.weights.like(), problem.weights.like())
    tracemalloc.start()
    try:
        code = side.select(problem, RowTopK(8))
        aid = Revival(np.arange(0, latents, 2), 8, 0.1, slice(0, 512))
        found = side.kernels.backward(problem.inputs, code, problem.weights, 1.0, None, aid)
        side.kernels.step(found, problem.weights, moments, knobs)
        side.select(problem, BatchTopK(8))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * 4 * batch * latents
