"""The Triton kernels against the plain ones: on a GPU where there is one, else interpreted.

Triton is an optional extra; without it these tests are skipped. Its interpreter takes Python's
time for every program, so that the shapes are tiny.
"""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import kernel_tools as tools
from isthmus.kernels.gpu_codes import largest, piece, power
from isthmus.kernels.gpu_tensors import TensorCode
from isthmus.kernels.optimiser import Knobs
from isthmus.kernels.rules import Above, BatchTopK, Levels, Revival, RowTopK

HERE = importlib.util.find_spec("triton") is not None
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_triton = pytest.mark.skipif(not HERE, reason="Triton is not installed: it is an extra, gpu")
CLOSE = 1e-5


@pytest.fixture(scope="module")
def side():
    """The kernels, interpreted where there is no GPU: Triton reads the variable at the import."""
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        from isthmus.kernels.gpu import GPUKernels

        yield tools.OnTensors(GPUKernels(), DEVICE)


SHAPES = [
    (1, 1, 1, 1),  # batch, dim, latents, k
    (2, 5, 37, 5),
    (3, 1, 16, 16),
    (4, 130, 70, 1),  # wider than a piece
]


def rules(latents, k):
    return [RowTopK(k), BatchTopK(k), Above(np.linspace(-0.5, 2, latents, dtype=np.float32))]


# ---------------------------------------------------------------- selection


@needs_triton
@pytest.mark.parametrize(("batch", "dim", "latents", "k"), SHAPES)
def test_selection_is_that_of_a_stable_sort(side, batch, dim, latents, k):
    given = tools.problem(batch, dim, latents)
    for rule in rules(latents, k):
        if isinstance(rule, Above):
            wanted = given.pre > np.maximum(rule.threshold_N, 0)
        else:
            wanted = tools.oracle(given.pre, k, isinstance(rule, BatchTopK))
        code = side.select(given, rule)
        assert (code.indptr.dtype, code.indices.dtype, code.values.dtype) == ("i8", "i4", "f4")
        np.testing.assert_array_equal(tools.mask_of(code), wanted)
        np.testing.assert_array_equal(code.dense(), np.where(wanted, np.maximum(given.pre, 0), 0))


def with_rows(rows):
    """A problem whose pre-activations are the rows: one input coordinate for each."""
    rows = np.asarray(rows, np.float32)
    given = tools.problem(len(rows), len(rows), rows.shape[1])
    given.inputs[:] = np.eye(len(rows))
    given.weights.encoder_ND[:] = rows.T
    given.weights.bias_N[:] = 0
    return given


@needs_triton
@pytest.mark.parametrize("k", [1, 7, 50])
def test_rows_that_are_hard(side, k):
    draws = np.random.default_rng(0)
    many = 50
    given = with_rows(
        [
            np.full(many, 0.25),
            -1.0 - np.arange(many) % 7,
            np.arange(many) % 3 - 1.0,
            np.arange(many) * 1e-40,
            np.where(np.arange(many) == 3, 3e38, -3e38),
            draws.normal(size=many),
        ]
    )
    code = side.select(given, RowTopK(k))
    np.testing.assert_array_equal(tools.mask_of(code), tools.oracle(given.pre, k))


@needs_triton
def test_a_row_longer_than_a_piece_is_read_in_pieces(side):
    draws = np.random.default_rng(0)
    rows = tools.grid(draws, (2, 2 * piece(10**6) + 3), 200)
    given = with_rows(rows)
    for rule, whole in ((RowTopK(9), False), (BatchTopK(9), True)):
        code = side.select(given, rule)
        np.testing.assert_array_equal(tools.mask_of(code), tools.oracle(rows, 9, whole))


@needs_triton
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_numbers_neither_hang_nor_lead_outside(side, bad):
    """A NaN is chosen, so that the loss shows it; the other rows stay as they are."""
    given = tools.problem(3, 4, 30)
    wanted = tools.oracle(given.pre, 5)
    given.inputs[1, 2] = bad
    for rule in rules(30, 5):
        code = side.select(given, rule)
        assert ((code.indices >= 0) & (code.indices < 30)).all()
        assert code.indptr[-1] == len(code.indices)
        if isinstance(rule, RowTopK):
            np.testing.assert_array_equal(tools.mask_of(code)[::2], wanted[::2])
            assert not np.isfinite(code.values[5:10]).all()


@needs_triton
def test_a_k_that_no_row_has_is_refused(side):
    with pytest.raises(ValueError, match="k = 31 is not between 1 and"):
        side.select(tools.problem(2, 3, 30), RowTopK(31))


@needs_triton
def test_a_first_guess_far_off_changes_nothing(side):
    given = with_rows(np.ones((1, 8)))
    batch = np.repeat(given.inputs, 260, axis=0)
    batch[::2] *= 1000  # these are the rows that the guess is taken from
    problem = tools.Problem(batch, given.weights)
    code = side.select(problem, BatchTopK(6))
    np.testing.assert_array_equal(tools.mask_of(code), tools.oracle(problem.pre, 6, True))


def test_the_largest_of_a_code_by_hand():
    """Of equals the first; rows may end up empty."""
    code = TensorCode(
        torch.tensor([0, 2, 2, 5, 6]),
        torch.tensor([3, 1, 0, 2, 4, 4], dtype=torch.int32),
        torch.tensor([1.0, 2.0, 2.0, 3.0, 2.0, 2.0]),
        5,
    )
    kept = largest(code, 3)
    assert kept.indptr.tolist() == [0, 1, 1, 3, 3]
    assert kept.indices.tolist() == [1, 0, 2]
    assert largest(code, 6) is code


def test_sizes_of_blocks():
    assert [power(n) for n in (1, 2, 3, 64, 65)] == [1, 2, 4, 64, 128]
    assert piece(5000, 128) == 128


# ---------------------------------------------------------------- gradients and steps

LEVELS = {
    "plain": lambda latents, k: None,
    "by latent": lambda latents, k: Levels((3, 11, latents), (0.2, 0.3, 0.5), by_rank=False),
    "by rank": lambda latents, k: Levels((1, 3, latents), (0.5, 0.25, 1.0), by_rank=True),
}


@needs_triton
@pytest.mark.parametrize("aided", [False, True], ids=["", "revival"])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("which", [0, 1, 2], ids=["RowTopK", "BatchTopK", "Above"])
def test_gradients_are_those_of_dense_autograd(side, which, levels, aided):
    for seed, (batch, dim, latents, k) in enumerate([(3, 5, 37, 5), (5, 1, 20, 20), (1, 7, 19, 4)]):
        problem = tools.problem(batch, dim, latents, seed)
        draws = np.random.default_rng(seed)
        aid = tools.revival(draws, latents, batch) if aided else None
        asked = tools.Asked(rules(latents, k)[which], 0.7, LEVELS[levels](latents, k), aid)
        code = side.select(problem, asked.rule)
        wanted_losses, wanted = tools.reference().gradients(problem, code, asked)
        losses, found = side.gradients(problem, code, asked)
        assert losses == pytest.approx({"revival": 0} | wanted_losses if aided else wanted_losses)
        assert tools.apart(found, wanted) < CLOSE


@needs_triton
def test_the_shares_of_two_processes_add_up_to_the_whole(side):
    problem = tools.problem(4, 5, 30)
    aid = Revival(np.arange(10, 30), 3, 0.5, slice(0, None))
    asked = tools.Asked(RowTopK(4), 0.7, LEVELS["by latent"](30, 4), aid)
    _, wanted = tools.reference().gradients(problem, side.select(problem, RowTopK(4)), asked)
    _, found = tools.in_two_shares(side, problem, asked, 2)
    assert tools.apart(found, wanted) < CLOSE


@needs_triton
def test_decoding(side):
    problem = tools.problem(3, 130, 20)
    for rule in rules(20, 6):
        code = side.select(problem, rule)
        wanted = code.dense().astype(np.float64) @ problem.weights.decoder_ND
        np.testing.assert_allclose(
            side.decode(problem, code), wanted + problem.weights.pre_bias_D, rtol=1e-4, atol=1e-4
        )


@needs_triton
def test_revival_on_rows_that_are_all_the_same_is_nothing(side):
    problem = tools.problem(3, 11, 20)
    problem.inputs[:] = problem.inputs[0] + np.float32(1 / 3)
    code = side.select(problem, RowTopK(4))
    aid = Revival(np.arange(10, 20), 5, 1 / 32, slice(0, 3))
    losses, found = side.gradients(problem, code, tools.Asked(RowTopK(4), revival=aid))
    _, plain = side.gradients(problem, code, tools.Asked(RowTopK(4)))
    assert losses["revival"] == 0
    assert tools.apart(found, plain) == 0


@needs_triton
def test_a_batch_without_active_latents(side):
    problem = tools.problem(2, 3, 8)
    asked = tools.Asked(Above(np.full(8, 1e9, np.float32)))
    code = side.select(problem, asked.rule)
    assert len(code.values) == 0
    _, found = side.gradients(problem, code, asked)
    assert tools.apart(found, tools.reference().gradients(problem, code, asked)[1]) < CLOSE


@needs_triton
@pytest.mark.parametrize("levels", LEVELS)
def test_a_batch_of_no_rows_asks_for_nothing(side, levels):
    """One process of several may get none."""
    problem = tools.problem(0, 3, 20)
    aid = Revival(np.arange(10), 3, 0.1, slice(0, None))
    for rule in rules(20, 4):
        asked = tools.Asked(rule, levels=LEVELS[levels](20, 4), revival=aid, total=8)
        losses, found = side.gradients(problem, side.select(problem, rule), asked)
        assert losses["distortion"] == 0
        assert not any(part.any() for part in tools.parts(found))


@needs_triton
@pytest.mark.parametrize("fused", [True, False])
def test_steps_follow_the_reference(side, fused):
    problem = tools.problem(4, 6, 30)
    aid = Revival(np.arange(20, 30), 4, 0.1, slice(0, 4))
    asked = tools.Asked(RowTopK(5), revival=aid)
    knobs = [Knobs(1e-3, step, epsilon=1e-6, decay=0.2) for step in (1, 2)]
    ours = side.steps(problem, asked, knobs, fused=fused)
    plain = tools.reference().steps(problem, asked, knobs)
    for mine, theirs in zip(ours, plain, strict=True):
        assert tools.apart(mine, theirs) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(ours[0].decoder_ND, axis=1), 1, rtol=1e-6)


@needs_triton
def test_the_same_bytes_every_time(side):
    problem = tools.problem(4, 6, 30)
    asked = tools.Asked(BatchTopK(5), levels=Levels((4, 30), (0.5, 0.5), False))
    first, second = (side.steps(problem, asked, [Knobs(1e-3, 1)]) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert [a.tobytes() for a in tools.parts(one)] == [b.tobytes() for b in tools.parts(other)]


# ---------------------------------------------------------------- the compiler

COMPILE = """
import warnings; warnings.simplefilter("ignore")
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from isthmus.kernels import gpu_rows as rows

F, I, L = "*fp32", "*i32", "*i64"
held = {"BLOCK": 128}
entries = {"HITS": 16, "BLOCK": 128}
float7 = ["fp32"] * 7
for name, types, meta in [
    ("top_entries", [F, I, F, "i32", "i32"], {"BLOCK": 2048}),
    ("top_entries", [F, I, F, "i32", "i32"], {"BLOCK": 1}),
    ("above_counts", [F, F, L, "i32"], held),
    ("above_entries", [F, F, L, I, F, "i32"], held),
    ("sum_rows", [L, I, F, F, F, "i32"], entries),
    ("sum_rows", [L, L, F, F, F, "i32"], {"HITS": 16, "BLOCK": 1}),
    ("sum_values", [L, F, F], {"HITS": 128}),
    ("dot_entries", [L, I, F, F, F, "i32"], entries),
    ("sum_rows", [L, L, F, F, F], {"width": 1, "HITS": 16, "BLOCK": 1}),
    ("dot_entries", [L, L, F, F, F], {"width": 1, "HITS": 16, "BLOCK": 1}),
    ("top_entries", [F, I, F], {"latents": 1, "k": 1, "BLOCK": 1}),
    ("step_rows", [F, F, F, F, "i32", *float7], {"SPHERE": True, "BLOCK": 512}),
    ("step_rows", [F, F, F, F, "i32", *float7], {"SPHERE": False, "BLOCK": 16384}),
]:
    kernel = getattr(rows, name)
    signature = dict(zip(kernel.arg_names, types + ["constexpr"] * len(meta)))
    for architecture in (80, 90):
        made = triton.compile(
            ASTSource(kernel, signature, meta), target=GPUTarget("cuda", architecture, 32)
        )
        assert len(made.asm["cubin"]) > 1000
print("compiled")
"""


@needs_triton
def test_the_kernels_compile_for_a_gpu(tmp_path):
    """The interpreter takes what the compiler may not: no GPU is needed to compile for one."""
    environment = dict(os.environ, TRITON_CACHE_DIR=str(tmp_path))
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "compiled\n", done.stderr[-3000:]
