"""Encoding, decoding and reconstructing with a sparse dictionary: arrays, tensors, bad input."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from dictionary_toys import filled, fitted, fvu, mixtures, plain
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
from isthmus.errors import ConfigError, DataError
from isthmus.kernels.code import SparseCode
from isthmus.kernels.pursuit import Pursuit
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.model import joined

SPARSE = [
    TopK(20, 3),
    BatchTopK(20, 3),
    Matryoshka(20, 3),
    AnyK(20, 3),
    L1(20),
    JumpReLU(20, threshold=0.2),
    Gated(20),
    Contrastive(20, 3),
]
ALL = [*SPARSE, KLSparse(20)]
NORMALISE = ["none", "layer", "unit"]


def made(bottleneck, dim=7, normalise="none", seed=0):
    model = SparseDictionary(dim, bottleneck, normalise=normalise, seed=seed)
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.bias.normal_(0, 0.1, generator=draws)
        model.pre_bias.normal_(0, 0.5, generator=draws)
    if hasattr(model.objective, "batches"):
        filled(model, objective__threshold=torch.tensor(0.3))
    return model


def rows_of(count=30, dim=7, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


# --- the formula ----------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", NORMALISE)
@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_encoding_and_decoding_are_the_formula(bottleneck, normalise):
    """By the objective's dense codes in float64, and a product."""
    model = made(bottleneck, normalise=normalise)
    x = rows_of() * 5 + 2
    inside, undo = model.prepared(torch.tensor(x))
    with torch.no_grad():
        wanted = model.objective.encoded(model, inside).numpy()
        output = undo(model.decoded(torch.tensor(wanted))).numpy()
    found = model.encode(x, dense=True)
    assert found.dtype == np.float32
    assert np.allclose(found, wanted, atol=1e-5)
    codes = model.encode(x)
    by_hand = (
        codes @ model.decoder.detach().double().numpy() + model.pre_bias.detach().double().numpy()
    )
    assert np.allclose(model.decode(codes), by_hand, atol=1e-5)
    assert np.allclose(model.reconstruct(x), output, atol=1e-4)
    assert model.reconstruct(x).dtype == np.float32


def test_normalising_by_hand():
    model = SparseDictionary(2, TopK(4, 1), normalise="layer")
    inside, undo = model.prepared(torch.tensor([[1.0, 3.0], [5.0, 5.0]]))
    assert inside.tolist() == [[-1, 1], [0, 0]]
    assert undo(inside).tolist() == [[1, 3], [5, 5]]
    model = SparseDictionary(2, TopK(4, 1), normalise="unit")
    inside, undo = model.prepared(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert inside.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    assert torch.allclose(undo(inside), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))


@given(st.integers(0, 1000), st.sampled_from(NORMALISE), st.floats(1e-3, 1e3), st.floats(-5, 5))
@settings(max_examples=40, deadline=None)
def test_normalising_is_undone(seed, normalise, size, shift):
    model = SparseDictionary(6, TopK(8, 2), normalise=normalise)
    x = torch.tensor(rows_of(5, 6, seed)) * size + shift * size
    inside, undo = model.prepared(x)
    assert torch.allclose(undo(inside), x, rtol=1e-4, atol=1e-4 * size)
    if normalise == "layer":
        assert torch.allclose(inside.mean(1), torch.zeros(5), atol=1e-3)
        assert torch.allclose(inside.square().mean(1), torch.ones(5), rtol=1e-2)


@pytest.mark.parametrize("normalise", ["layer", "unit"])
@pytest.mark.parametrize("bottleneck", [TopK(32, 4), BatchTopK(32, 4), Gated(32, l0=4)], ids=repr)
def test_reconstructions_of_normalised_rows_come_back_in_their_own_units(bottleneck, normalise):
    rows = mixtures(600, 8)
    model, _ = fitted(bottleneck, rows, normalise=normalise, epochs=8)
    base = fvu(rows, model.reconstruct(rows))
    assert base < 0.5
    # a row ten times as large has the same code, and ten times the reconstruction
    assert np.allclose(
        model.encode(8 * rows, dense=True), model.encode(rows, dense=True), atol=1e-5
    )
    assert np.allclose(model.reconstruct(8 * rows), 8 * model.reconstruct(rows), rtol=1e-4)
    if normalise == "layer":
        moved = model.reconstruct(rows + np.float32(16))
        same = np.isclose(moved, model.reconstruct(rows) + 16, atol=1e-3).all(1)
        assert same.mean() > 0.99  # rounding may take an activation across a threshold


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_the_forward_pass_can_be_differentiated(bottleneck):
    model = made(bottleneck, normalise="layer").train()
    x = torch.tensor(rows_of(), requires_grad=True)
    model(x).square().sum().backward()
    assert x.grad.isfinite().all()
    assert model.decoder.grad.abs().sum() > 0
    assert np.allclose(model(x).detach(), model.reconstruct(x.detach().numpy()), atol=1e-4)


# --- arrays and tensors ---------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", NORMALISE)
@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_tensors_give_what_arrays_give(bottleneck, normalise):
    model = made(bottleneck, normalise=normalise)
    x = rows_of()
    dense = model.encode(x, dense=True)
    codes, as_tensor = model.encode(x), model.encode(torch.tensor(x))
    if isinstance(bottleneck, KLSparse):
        assert np.array_equal(codes, dense)
        assert np.array_equal(as_tensor, dense)
    else:
        assert isinstance(codes, sparse.csr_array)
        assert as_tensor.layout is torch.sparse_csr
        assert np.array_equal(codes.toarray(), dense)
        assert np.array_equal(as_tensor.to_dense(), dense)
    assert np.array_equal(model.encode(torch.tensor(x), dense=True), dense)
    output = model.decode(codes)
    for given_codes in (as_tensor, torch.tensor(dense)):
        found = model.decode(given_codes)
        assert isinstance(found, torch.Tensor)
        assert not found.requires_grad
        assert np.allclose(found, output, atol=1e-5)
    for given_codes in (dense, dense.tolist(), dense.astype(np.float64)):
        assert np.allclose(model.decode(given_codes), output, atol=1e-5)
    if not isinstance(bottleneck, KLSparse):
        for kind in (sparse.csc_array, sparse.coo_array, sparse.csr_matrix):
            found = model.decode(kind(codes))
            assert type(found) is np.ndarray
            assert np.allclose(found, output, atol=1e-5)
    found = model.reconstruct(torch.tensor(x))
    assert np.allclose(found, model.reconstruct(x), atol=1e-5)


@pytest.mark.parametrize("bottleneck", SPARSE, ids=repr)
def test_codes_are_sorted_without_zeros_and_positive(bottleneck):
    codes = made(bottleneck).encode(rows_of(200))
    assert codes.has_canonical_format
    assert codes.dtype == np.float32
    assert (codes.data > 0).all()
    for row in range(200):
        latents = codes.indices[codes.indptr[row] : codes.indptr[row + 1]]
        assert (np.diff(latents) > 0).all()


@pytest.mark.parametrize(
    "kind", [np.float64, np.float16, np.int8, np.uint16, np.int64, bool], ids=str
)
def test_other_types_are_read_as_the_numbers_they_are(kind):
    model = made(TopK(20, 3))
    x = (10 * np.abs(rows_of())).astype(kind)
    wanted = model.encode(x.astype(np.float32), dense=True)
    assert np.array_equal(model.encode(x, dense=True), wanted)
    assert np.array_equal(model.encode(torch.tensor(x.astype(kind)), dense=True), wanted) or (
        kind is np.uint16
    )
    assert np.array_equal(model.encode(x.tolist(), dense=True), wanted)


def test_bfloat16_tensors_are_read_too():
    model = made(TopK(20, 3))
    x = torch.tensor(rows_of()).bfloat16()
    assert torch.equal(model.encode(x, dense=True), model.encode(x.float(), dense=True))
    assert model.reconstruct(x).shape == (30, 7)


@pytest.mark.parametrize("layout", ["transposed", "strided", "reversed"])
def test_memory_layouts_do_not_matter_and_inputs_stay_as_they_are(layout):
    model = made(TopK(20, 3), normalise="unit")
    x = rows_of()
    held = {
        "transposed": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=1)[:, ::2],
        "reversed": x[::-1].copy()[::-1],
    }[layout]
    before = held.copy()
    assert np.array_equal(model.encode(held, dense=True), model.encode(x, dense=True))
    model.reconstruct(held)
    assert np.array_equal(held, before)


@pytest.mark.parametrize("normalise", NORMALISE)
@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_no_rows_give_no_codes(bottleneck, normalise):
    model = made(bottleneck, normalise=normalise)
    none = np.empty((0, 7), np.float32)
    assert model.encode(none).shape == (0, 20)
    assert model.encode(none, dense=True).shape == (0, 20)
    assert model.encode(torch.tensor(none)).shape == (0, 20)
    assert model.decode(model.encode(none)).shape == (0, 7)
    assert model.reconstruct(none).shape == (0, 7)
    assert model.reconstruct(torch.tensor(none)).shape == (0, 7)


@pytest.mark.parametrize("bottleneck", [TopK(20, 3), BatchTopK(20, 3), Gated(20)], ids=repr)
def test_a_rows_code_does_not_depend_on_its_neighbours_or_on_threads(bottleneck):
    model = made(bottleneck)
    x = rows_of(9000)  # more than one part
    whole = model.encode(x)
    alone = np.concatenate([model.encode(x[i : i + 1], dense=True) for i in (0, 8191, 8192, 8999)])
    assert np.allclose(whole[[0, 8191, 8192, 8999]].toarray(), alone, atol=1e-6)
    for threads in (1, 2, 3):
        other = model.encode(x, threads=threads)
        assert np.array_equal(other.data, whole.data)
        assert np.array_equal(other.indices, whole.indices)


def test_codes_of_parts_are_put_one_under_the_other():
    parts = [
        SparseCode(np.array([0, 2, 2]), np.array([1, 0], np.int32), np.float32([5, 6]), 3),
        SparseCode(np.array([0]), np.empty(0, np.int32), np.empty(0, np.float32), 3),
        SparseCode(np.array([0, 1]), np.array([2], np.int32), np.float32([7]), 3),
    ]
    assert joined(parts).dense().tolist() == [[6, 5, 0], [0, 0, 0], [0, 0, 7]]


def test_encoding_leaves_the_model_and_its_surroundings_alone():
    model = made(BatchTopK(20, 3)).train()
    before, threads = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_num_threads()
    model.reconstruct(rows_of())
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.get_num_threads() == threads


def test_encoding_says_nothing():
    """Nothing of torch's that a user can do nothing about, either."""
    model = made(TopK(20, 3), normalise="layer")
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.decode(model.encode(torch.tensor(rows_of())))
            model.reconstruct(np.zeros((3, 7)))
    finally:
        torch.set_warn_always(False)


# --- refined encoding -----------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", [TopK(32, 4), Gated(32, l0=4), KLSparse(32)], ids=repr)
@pytest.mark.parametrize("normalise", ["none", "layer"])
def test_refined_codes_reconstruct_better(bottleneck, normalise):
    rows = mixtures(400, 10)
    model, _ = fitted(bottleneck, rows, normalise=normalise, epochs=5)
    refined = model.encode(rows, refine=Pursuit(k=4))
    assert isinstance(refined, sparse.csr_array)
    assert np.diff(refined.indptr).max() <= 4
    better = fvu(rows, model.reconstruct(rows, refine=Pursuit(k=4)))
    if isinstance(bottleneck, TopK):
        assert better < 0.9 * fvu(rows, model.reconstruct(rows))
    else:
        assert better < 0.5
    # a k of the call goes before the pursuit's own
    assert np.diff(model.encode(rows, refine=Pursuit(k=4), k=2).indptr).max() <= 2
    with pytest.raises(ConfigError, match="k must lie between"):
        model.encode(rows, refine=Pursuit(k=4), k=0)


# --- what can't be encoded ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 3), (8195, 6)])
def test_bad_values_are_named_by_row_and_column(value, row, column):
    x = rows_of(8200)
    x[row, column] = value
    for given_rows in (x, torch.tensor(x), x.astype(np.float64)):
        for bottleneck in (TopK(20, 3), KLSparse(20)):
            with pytest.raises(DataError, match=f"row {row}, column {column} is"):
                made(bottleneck).encode(given_rows)


@pytest.mark.filterwarnings("error")
def test_a_value_beyond_float32_is_named_too():
    x = rows_of().astype(np.float64)
    x[2, 1] = 1e300
    with pytest.raises(DataError, match="row 2, column 1 is inf"):
        made(TopK(20, 3)).encode(x)


@pytest.mark.parametrize("shape", [(7,), (3, 6), (3, 8), (2, 3, 7), ()])
def test_samples_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="width 7"):
        made(TopK(20, 3)).encode(np.zeros(shape, np.float32))
    with pytest.raises(DataError, match="width 7"):
        made(TopK(20, 3)).reconstruct(torch.zeros(shape))


@pytest.mark.parametrize(
    "values", [np.zeros((2, 7), complex), np.full((2, 7), "a"), np.full((2, 7), None)]
)
def test_what_is_no_number_is_refused(values):
    with pytest.raises(DataError, match="must be numbers"):
        made(TopK(20, 3)).encode(values)


@pytest.mark.parametrize("shape", [(20,), (3, 19), (3, 7), (2, 3, 20)])
def test_codes_of_another_shape_are_refused(shape):
    for codes in (np.zeros(shape), torch.zeros(shape)):
        with pytest.raises(DataError, match="20 latents"):
            made(TopK(20, 3)).decode(codes)
    if len(shape) == 2:
        with pytest.raises(DataError, match="20 latents"):
            made(TopK(20, 3)).decode(sparse.csr_array(shape))


# --- making one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, -3])
def test_a_width_must_be_positive(dim):
    with pytest.raises(ConfigError, match="at least 1"):
        SparseDictionary(dim, TopK(4, 1))


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(ConfigError, match="none, layer or unit"):
        SparseDictionary(3, TopK(4, 1), normalise="batch")


def test_a_new_dictionary_has_unit_directions_of_its_seed():
    one, same, other = (SparseDictionary(5, TopK(12, 2), seed=s) for s in (0, 0, 1))
    assert torch.allclose(one.decoder.detach().norm(dim=1), torch.ones(12))
    assert torch.equal(one.decoder, same.decoder)
    assert torch.equal(one.encoder, one.decoder)
    assert not torch.allclose(one.decoder, other.decoder)


def test_weights_share_the_parameters_memory():
    model = plain(4, TopK(4, 2))
    weights = model.weights()
    weights.bias_N[2] = 7
    assert float(model.bias[2].detach()) == 7


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_a_dictionary_describes_itself(bottleneck):
    lines = made(bottleneck).describe()
    assert lines[0] == (
        f"sparse dictionary of 20 latents over 7 dimensions ({type(bottleneck).__name__})"
    )
    assert len(lines) > 1
