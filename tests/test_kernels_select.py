"""Selection on the CPU against a stable sort: ties, odd shapes, numbers that are none."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_tools as tools
from isthmus.kernels.cpu import CPUKernels
from isthmus.kernels.rules import Above, BatchTopK, RowTopK, Weights
from isthmus.kernels.select_rows import above_rows, lanes_for, top_rows

SEEDS = st.integers(0, 2**31)


def top(pre, k, bias=None):
    """Run the compiled selection on given pre-activations."""
    rows, latents = pre.shape
    indices = np.full((rows, k), -7, np.int32)
    values = np.full((rows, k), np.nan, np.float32)
    pre = pre if bias is None else pre + bias
    top_rows(pre, k, np.empty(lanes_for(latents, k), np.float32), indices, values)
    return indices, values


def chosen(indices, latents):
    mask = np.zeros((len(indices), latents), bool)
    np.put_along_axis(mask, indices.astype(np.int64), True, axis=1)
    assert (mask.sum(1) == indices.shape[1]).all(), "a latent is chosen twice"
    return mask


# ---------------------------------------------------------------- the k largest of a row


@settings(max_examples=150, deadline=None)
@given(latents=st.integers(1, 700), share=st.floats(0, 1), distinct=st.integers(1, 500), seed=SEEDS)
def test_the_k_largest_of_a_row_are_those_of_a_stable_sort(latents, share, distinct, seed):
    """Few distinct values make heavy ties; the bias decides as much as the row."""
    draws = np.random.default_rng(seed)
    k = max(1, round(share * latents))
    pre = tools.grid(draws, (3, latents), distinct)
    bias = tools.grid(draws, latents, max(1, distinct // 2))
    indices, values = top(pre, k, bias)
    np.testing.assert_array_equal(chosen(indices, latents), tools.oracle(pre + bias, k))
    wanted = np.take_along_axis(pre + bias, indices.astype(np.int64), axis=1)
    np.testing.assert_array_equal(values, np.maximum(wanted, 0))


ROWS = {
    "all equal": np.full(1000, 0.25),
    "all negative": -1 - np.arange(1000) % 7,
    "rising": np.arange(1000),
    "falling": -np.arange(1000),
    "one lane holds the largest": np.where(np.arange(1000) % 64 == 3, 5.0, 0.0),
    "zeros of both signs": np.where(np.arange(1000) % 3 == 0, -0.0, 0.0),
    "tiny beside huge": np.where(np.arange(1000) == 999, 3e38, np.arange(1000) * 1e-38),
    "subnormal": np.arange(1000)[::-1] * 1e-44,
    "some infinite": np.where(np.arange(1000) % 100 == 7, np.inf, np.arange(1000)),
    "some minus infinity": np.where(np.arange(1000) % 3 == 0, -np.inf, -1.0),
    "all minus infinity": np.full(1000, -np.inf),
    "both infinities": np.where(np.arange(1000) % 2 == 0, np.inf, -np.inf),
}


@pytest.mark.parametrize("k", [1, 31, 32, 500, 1000])
@pytest.mark.parametrize("name", ROWS)
def test_rows_that_are_hard(name, k):
    pre = ROWS[name].astype(np.float32)[None]
    indices, values = top(pre, k)
    np.testing.assert_array_equal(chosen(indices, 1000), tools.oracle(pre, k))
    assert (values >= 0).all()


@pytest.mark.parametrize(("latents", "k"), [(3072, 32), (3071, 32), (12288, 64), (100, 7)])
def test_rows_of_a_usual_kind(latents, k):
    """Normal pre-activations, about as a trained dictionary has them."""
    draws = np.random.default_rng(latents)
    pre = draws.normal(size=(20, latents)).astype(np.float32)
    indices, _ = top(pre, k)
    np.testing.assert_array_equal(chosen(indices, latents), tools.oracle(pre, k))


def in_time(work, seconds=30):
    """The result of ``work``, or a failure where it does not come back."""
    out = []
    thread = threading.Thread(target=lambda: out.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert out, "the work did not end, or failed"
    return out[0]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.995, 1.0])
def test_numbers_that_are_none_never_lead_outside_a_row(share):
    """What is chosen then is anything, but a latent; a row of too few numbers is marked by NaN,
    so that the loss shows it."""
    draws = np.random.default_rng(0)
    pre = draws.normal(size=(50, 257)).astype(np.float32)
    pre[draws.random(pre.shape) < share] = np.nan
    indices, values = in_time(lambda: top(pre, 32))
    assert indices.min() >= 0
    assert indices.max() < 257
    chosen(indices, 257)
    short = (~np.isnan(pre)).sum(1) < 32
    np.testing.assert_array_equal(np.isnan(values).any(1), short)


# ---------------------------------------------------------------- above thresholds


@settings(max_examples=50, deadline=None)
@given(latents=st.integers(1, 300), rows=st.integers(1, 5), seed=SEEDS)
def test_what_is_above_thresholds(latents, rows, seed):
    draws = np.random.default_rng(seed)
    pre, bias = tools.grid(draws, (rows, latents)), tools.grid(draws, latents)
    threshold = tools.grid(draws, latents, 8)
    wanted = pre + bias > threshold
    counts = np.empty(rows, np.int64)
    room = int(draws.integers(0, rows * latents + 1))
    indices, values = np.full(room, -7, np.int32), np.full(room, np.nan, np.float32)
    found = above_rows(pre + bias, threshold, counts, indices, values)
    assert found == wanted.sum(), "those beyond the room are counted"
    np.testing.assert_array_equal(counts, wanted.sum(1))
    stored = min(found, room)
    np.testing.assert_array_equal(indices[:stored], wanted.nonzero()[1][:room])
    np.testing.assert_array_equal(values[:stored], (pre + bias)[wanted][:room])
    assert (indices[stored:] == -7).all(), "nothing is written past what was found"


# ---------------------------------------------------------------- whole encodings

SHAPES = [
    (1, 1, 1, 1),  # batch, dim, latents, k
    (1, 3, 50, 7),
    (5, 1, 10, 10),
    (33, 8, 63, 63),
    (2, 4, 700, 1),
    (1031, 3, 17, 4),  # the last block of rows is short
]


@pytest.mark.parametrize(("batch", "dim", "latents", "k"), SHAPES)
@pytest.mark.parametrize("kind", [RowTopK, BatchTopK, Above])
def test_an_encoding_keeps_what_the_rule_says(kind, batch, dim, latents, k):
    given = tools.problem(batch, dim, latents)
    if kind is Above:
        rule = Above(tools.grid(np.random.default_rng(1), latents, 20))
        wanted = given.pre > np.maximum(rule.threshold_N, 0)
    else:
        rule = kind(k)
        wanted = tools.oracle(given.pre, k, kind is BatchTopK)
    code = CPUKernels().select(given.inputs, given.weights, rule)
    assert (len(code), code.latents, code.indptr[0]) == (batch, latents, 0)
    assert (code.indptr.dtype, code.indices.dtype, code.values.dtype) == ("i8", "i4", "f4")
    np.testing.assert_array_equal(tools.mask_of(code), wanted)
    np.testing.assert_array_equal(code.dense(), np.where(wanted, np.maximum(given.pre, 0), 0))


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 90), latents=st.integers(1, 80), seed=SEEDS, data=st.data())
def test_encodings_of_any_shape(batch, latents, seed, data):
    given = tools.problem(batch, 2, latents, seed)
    k = data.draw(st.integers(1, latents))
    for rule in (RowTopK(k), BatchTopK(k)):
        code = CPUKernels().select(given.inputs, given.weights, rule)
        wanted = tools.oracle(given.pre, k, isinstance(rule, BatchTopK))
        np.testing.assert_array_equal(tools.mask_of(code), wanted)


def lopsided(sampled, others):
    """A batch whose 128 rows that the guess is taken from are unlike all the others."""
    inputs = np.full((1024, 1), others, np.float32)
    inputs[::8] = sampled
    encoder = np.linspace(1, 2, 40, dtype=np.float32)[:, None]
    weights = Weights(encoder, np.zeros(40, np.float32), encoder, np.zeros(1, np.float32))
    return tools.Problem(inputs, weights)


@pytest.mark.parametrize(
    ("sampled", "others"),
    [(1000.0, 0.5), (0.5, 1000.0), (-1.0, 0.5), (1e30, 1e-30), (1e-30, 0.5)],
)
def test_exactly_k_a_row_on_average_whatever_the_first_guess(sampled, others):
    given = lopsided(sampled, others)
    code = in_time(lambda: CPUKernels().select(given.inputs, given.weights, BatchTopK(9)))
    assert len(code.values) == min(9 * 1024, (given.pre > 0).sum())
    np.testing.assert_array_equal(tools.mask_of(code), tools.oracle(given.pre, 9, True))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rule", [RowTopK(5), BatchTopK(5), Above(np.zeros(60, np.float32))])
@pytest.mark.parametrize("where", ["one input", "all inputs", "the encoder", "the bias"])
def test_broken_numbers_neither_hang_nor_lead_outside(bad, rule, where):
    given = tools.problem(70, 4, 60)
    if where == "one input":
        given.inputs[7, 2] = bad
    elif where == "all inputs":
        given.inputs[:] = bad
    elif where == "the encoder":
        given.weights.encoder_ND[::2] = bad
    else:
        given.weights.bias_N[:] = bad
    kernels = CPUKernels()

    def work():
        with np.errstate(all="ignore"):
            return kernels.select(given.inputs, given.weights, rule)

    code = in_time(work)
    with np.errstate(all="ignore"):
        assert ((code.indices >= 0) & (code.indices < 60)).all()
        assert (np.diff(code.indptr) >= 0).all()
        assert code.indptr[-1] == len(code.indices)
        found = kernels.backward(given.inputs, code, given.weights, 1.0)
        kernels.gradients(found, given.weights)


def test_broken_rows_leave_the_others_as_they_are():
    given = tools.problem(70, 4, 60)
    wanted = tools.oracle(given.pre, 5)
    given.inputs[7, 2] = np.nan
    code = CPUKernels().select(given.inputs, given.weights, RowTopK(5))
    others = np.arange(70) != 7
    np.testing.assert_array_equal(tools.mask_of(code)[others], wanted[others])
