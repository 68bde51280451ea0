"""The bfloat16 screen on the CPU picks what float32 picks, whatever the data.

Values are multiples of 1 / 1024: exact in float32 through every sum, and rounded by bfloat16.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_tools as tools
from isthmus.kernels.cpu import CPUKernels
from isthmus.kernels.rules import RowTopK, Weights
from isthmus.kernels.screen import Screen
from isthmus.kernels.team import Team


def fine(batch, dim, latents, seed=0, lift=0.0):
    """A problem that bfloat16 can't hold exactly; ``lift`` is added to all biases."""
    draws = np.random.default_rng(seed)
    encoder = tools.grid(draws, (latents, dim), 1000, 1024)
    bias = tools.grid(draws, latents, 500, 1024) + np.float32(lift)
    weights = Weights(encoder, bias, encoder, np.zeros(dim, np.float32))
    return tools.Problem(tools.grid(draws, (batch, dim), 1000, 1024), weights)


def check(problem, k, threads=1):
    kernels = CPUKernels(threads, fast=True)
    code = kernels.select(problem.inputs, problem.weights, RowTopK(k))
    kernels.close()
    wanted = tools.oracle(problem.pre, k)
    np.testing.assert_array_equal(tools.mask_of(code), wanted)
    np.testing.assert_array_equal(code.dense(), np.where(wanted, np.maximum(problem.pre, 0), 0))


@pytest.mark.parametrize(
    ("batch", "dim", "latents", "k"),
    [
        (1, 1, 1, 1),
        (1, 3, 50, 7),
        (5, 1, 10, 10),
        (33, 8, 63, 63),
        (2, 4, 700, 1),
        (600, 8, 300, 9),
    ],
)
def test_the_picks_are_exact(batch, dim, latents, k):
    check(fine(batch, dim, latents), k)


@settings(max_examples=80, deadline=None)
@given(
    latents=st.integers(1, 400),
    dim=st.integers(1, 8),
    seed=st.integers(0, 2**31),
    lift=st.sampled_from([0.0, -8.0, 0.5, 16.0]),
    data=st.data(),
)
def test_the_picks_are_exact_whatever_the_shape(latents, dim, seed, lift, data):
    """Biases far below leave all negative, biases far above drown the differences."""
    check(fine(5, dim, latents, seed, lift), data.draw(st.integers(1, latents)))


def test_pairs_that_bfloat16_takes_for_equal():
    """Two hundred latents a hair apart: the screen sees one value, the order is the last bits'."""
    dim, latents = 2, 200
    encoder = np.ones((latents, dim), np.float32)
    encoder[:, 1] = np.random.default_rng(0).permutation(latents) / 65536
    weights = Weights(encoder, np.zeros(latents, np.float32), encoder, np.zeros(dim, np.float32))
    check(tools.Problem(np.ones((3, dim), np.float32), weights), 20)


def test_values_that_cancel():
    """Rounding errors of the screen are far larger than what is left of the sums."""
    dim, latents = 8, 300
    problem = fine(6, dim, latents)
    problem.inputs[:, 4:] = problem.inputs[:, :4]
    small = tools.grid(np.random.default_rng(1), (latents, 4), 3, 1024)
    problem.weights.encoder_ND[:, 4:] = small - problem.weights.encoder_ND[:, :4]
    problem.weights.bias_N[:] = 0
    check(problem, 12)


def test_any_number_of_threads_gives_the_same():
    for threads in (1, 2, 3):
        check(fine(700, 6, 90), 5, threads)


def test_few_are_rescored_where_values_are_spread():
    """What makes it fast: the screen leaves a small share of the latents to be scored exactly."""
    draws = np.random.default_rng(0)
    rows, latents, dim, k = 64, 2048, 128, 16
    encoder = draws.normal(size=(latents, dim)).astype(np.float32) / np.float32(dim**0.5)
    weights = Weights(encoder, np.zeros(latents, np.float32), encoder, np.zeros(dim, np.float32))
    inputs = draws.normal(size=(rows, dim)).astype(np.float32)
    import torch

    team = Team(1)
    room = torch.empty(rows, latents, dtype=torch.bfloat16)
    indices, values = np.empty((rows, k), np.int32), np.empty((rows, k), np.float32)
    rescored = Screen(weights, team).top_rows(inputs, k, room, indices, values)
    assert rows * k <= rescored < rows * latents // 8
    pre = inputs.astype(np.float64) @ encoder.T.astype(np.float64)
    chosen = np.take_along_axis(pre, indices.astype(np.int64), axis=1)
    least = np.partition(pre, -k, axis=1)[:, -k]
    assert (chosen.min(1) > least - 1e-5).all()
    np.testing.assert_allclose(values, chosen, rtol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["one input", "all inputs", "the encoder", "the bias"])
def test_broken_numbers_never_lead_outside(bad, where):
    problem = fine(40, 4, 60)
    if where == "one input":
        problem.inputs[7, 2] = bad
    elif where == "all inputs":
        problem.inputs[:] = bad
    elif where == "the encoder":
        problem.weights.encoder_ND[::2] = bad
    else:
        problem.weights.bias_N[:] = bad
    kernels = CPUKernels(fast=True)
    with np.errstate(all="ignore"):
        code = kernels.select(problem.inputs, problem.weights, RowTopK(5))
    assert ((code.indices >= 0) & (code.indices < 60)).all()
    tools.mask_of(code)
    if where == "one input":
        others = np.arange(40) != 7
        problem.inputs[7] = 0
        wanted = tools.oracle(problem.pre, 5)
        np.testing.assert_array_equal(tools.mask_of(code)[others], wanted[others])
