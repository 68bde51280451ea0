"""What an imported dictionary computes, and the folds that keep every output the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreign_cases import BY_NAME
from foreign_toys import D, K, N, draw, samples
from isthmus.errors import DataError
from isthmus.models import foreign
from isthmus.models.foreign import folding
from isthmus.models.foreign.record import Imported, Source


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def imported(case, folder, **options):
    case.write(folder)
    return foreign.read(folder / case.file, allow_pt=True, **options)


# ---------------------------------------------------------------- scoring


def test_blocks_of_any_size_give_the_same(tmp_path):
    model = imported(BY_NAME["saelens-standard-layer"], tmp_path)
    x = samples(23)
    whole, codes = foreign.reconstruction_of(model, x)
    for rows in (1, 7, 23, 100):
        part, part_codes = foreign.reconstruction_of(model, x, rows=rows)
        close(part, whole)
        assert abs(part_codes - codes).max() < 1e-5
    sizes = [len(x_hat) for x_hat, _ in foreign.reconstructed(model, x, rows=10)]
    assert sizes == [10, 10, 3]


def test_results_are_float32_and_sparse(tmp_path):
    model = imported(BY_NAME["sparsify-topk"], tmp_path)
    x_hat, codes = foreign.reconstruction_of(model, samples().astype(np.float64))
    assert x_hat.dtype == codes.dtype == np.float32
    assert codes.format == "csr"
    assert codes.nnz <= K * len(samples())
    none_hat, none = foreign.reconstruction_of(model, np.empty((0, D)))
    assert (none_hat.shape, none.shape) == ((0, D), (0, N))


def test_constant_and_empty_samples_do_no_harm(tmp_path):
    for name in ("saelens-standard-layer", "saelens-topk-root"):
        model = imported(BY_NAME[name], tmp_path / name)
        x_hat, _ = foreign.reconstruction_of(model, np.zeros((2, D)))
        assert np.isfinite(x_hat).all()


@pytest.mark.parametrize("x", [np.ones((3, D + 1)), np.ones(D), np.ones((1, 1, D))])
def test_samples_of_another_width_are_refused(x, tmp_path):
    model = imported(BY_NAME["sparsify-topk"], tmp_path)
    with pytest.raises(DataError, match=f"vectors of {D} numbers"):
        foreign.reconstruction_of(model, x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_samples_that_are_no_numbers_are_named(bad, tmp_path):
    model = imported(BY_NAME["sparsify-topk"], tmp_path)
    x = samples(9).astype(np.float64)
    x[7, 2] = bad
    with pytest.raises(DataError, match="row 7"):
        foreign.reconstruction_of(model, x, rows=4)


# ---------------------------------------------------------------- folds keep every output


def neutral(kind="relu", seed=0, **more):
    t = draw(seed, e=(N, D), b=(N,), d=(N, D), p=(D,))
    source = Source("a test", kind, Path("nowhere"))
    return Imported(t["e"], t["b"], t["d"], t["p"], kind, source, **more)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 100), st.integers(0, 99))
def test_a_scale_of_the_input_is_folded_exactly(factor, seed):
    model = neutral(seed=seed)
    x = samples(12, seed)
    inside, codes = foreign.reconstruction_of(model, x.astype(np.float64) * factor)
    out, folded_codes = foreign.reconstruction_of(folding.of_scaled_input(model, factor), x)
    size = float(np.abs(inside).max()) / factor
    np.testing.assert_allclose(out, inside / factor, atol=1e-5 * size)
    np.testing.assert_allclose(
        folded_codes.toarray(), codes.toarray(), atol=1e-5 * max(1.0, codes.max())
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99))
def test_positive_factors_of_the_latents_change_codes_alone(seed):
    factor = np.random.default_rng(seed).uniform(0.1, 10, N)
    model = neutral("jumprelu", seed, threshold_N=np.linspace(0, 1, N).astype(np.float32))
    x = samples(12, seed)
    out, codes = foreign.reconstruction_of(model, x)
    same, scaled = foreign.reconstruction_of(folding.with_scaled_latents(model, factor), x)
    close(same, out)
    np.testing.assert_allclose(scaled.toarray(), codes.toarray() * factor, rtol=1e-5, atol=1e-5)


def test_an_imperfect_inverse_is_still_folded_exactly():
    # the published epsilon makes undo @ whiten the identity only up to rounding
    whiten = np.random.default_rng(0).normal(size=(D, D))
    undo = np.linalg.inv(whiten) * 1.01
    mean = np.arange(D) / 3
    model, x = neutral(), samples().astype(np.float64)
    inside, codes = foreign.reconstruction_of(model, (x - mean) @ whiten)
    folded = folding.of_whitened_input(model, mean, whiten, undo)
    out, same = foreign.reconstruction_of(folded, x)
    np.testing.assert_allclose(same.toarray(), codes.toarray(), atol=1e-4)
    np.testing.assert_allclose(out, inside @ undo + mean, atol=1e-4)


def test_large_matrices_are_folded_in_pieces(monkeypatch):
    model = neutral()
    whole = folding.of_unshifted_input(model)
    monkeypatch.setattr(folding, "_ROWS", 5)
    np.testing.assert_allclose(folding.of_unshifted_input(model).bias_N, whole.bias_N)
    square = np.eye(D) * 2
    out = folding.of_whitened_input(model, np.zeros(D), square, square / 4)
    np.testing.assert_allclose(out.encoder_ND, 2 * model.encoder_ND)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"bias_N": np.zeros(N - 1, np.float32)}, "bias"),
        ({"decoder_ND": np.zeros((D, N), np.float32)}, "decoder"),
        ({"pre_bias_D": np.zeros(D)}, "float64"),
        ({"encoder_ND": np.zeros((0, D), np.float32)}, "encoder"),
        ({"encoder_ND": np.full((N, D), np.nan, np.float32)}, "NaN"),
        ({"threshold_N": np.full(N, -1, np.float32)}, "below 0"),
        ({"threshold_N": np.zeros(1, np.float32)}, "threshold"),
        ({"kind": "topk"}, "needs k"),
        ({"kind": "topk", "k": N + 1}, "does not fit"),
        ({"kind": "topk", "k": 0}, "does not fit"),
        ({"kind": "groupmax", "k": 5}, "equal groups"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(change, word):
    with pytest.raises(DataError, match=word):
        replace(neutral(), **change)


def test_a_gate_worked_by_hand_is_a_threshold():
    # w.x + 1 > 0 and 2 w.x + 3: open where w.x > -1, so where 2 w.x + 3 > 1
    two, one, three = np.array([2.0]), np.array([1.0]), np.array([3.0])
    assert folding.gate_threshold(two, one, three) == [1.0]
    # w.x + 9 > 0 is open wherever the magnitude is positive
    assert folding.gate_threshold(two, np.array([9.0]), three) == [0.0]


def test_a_threshold_that_is_reached_counts_as_exceeded():
    edge = np.float32(0.4)
    below = folding.reaching(np.array([edge]))[0]
    assert below < edge
    assert np.nextafter(below, np.float32(1)) == edge
    assert folding.reaching(np.array([0.0, -1.0])).tolist() == [0.0, 0.0]


def test_memory_mapped_samples_are_read(tmp_path):
    model = imported(BY_NAME["sparsify-topk"], tmp_path / "model")
    np.save(tmp_path / "x.npy", samples())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    close(
        foreign.reconstruction_of(model, mapped)[0], foreign.reconstruction_of(model, samples())[0]
    )
