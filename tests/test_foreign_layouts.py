"""Checkpoints of other libraries: found, read, and computed as those libraries do."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from foreign_cases import BY_NAME, CASES
from foreign_toys import (
    D,
    K,
    N,
    dictionary_learning_tensors,
    linear,
    relu,
    saelens_config,
    saelens_tensors,
    samples,
    sparsify_config,
    sparsify_tensors,
    tied_tensors,
    top,
    write_dictionary_learning,
    write_pt,
    write_saelens,
    write_sentence_transformers,
    write_sparsify,
)
from isthmus.errors import DataError
from isthmus.models import foreign


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def imported(case, folder, **options):
    case.write(folder)
    return foreign.read(folder / case.file, allow_pt=True, **options)


# ---------------------------------------------------------------- every layout, every kind


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_checkpoint_computes_what_its_library_computes(case, tmp_path):
    model = imported(case, tmp_path)
    x = samples()
    x_hat, codes = foreign.reconstruction_of(model, x)
    wanted, wanted_codes = case.oracle(x.astype(np.float64))
    assert 0 < (wanted_codes != 0).sum() < wanted_codes.size  # the oracle chose something
    close(codes.toarray(), wanted_codes)
    close(x_hat, wanted)
    assert model.kind == case.kind
    assert (model.latents, model.dim) == (N, D)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_layout_is_found_without_being_named(case, tmp_path):
    case.write(tmp_path)
    assert foreign.detect(tmp_path / case.file).name == case.layout
    found = imported(case, tmp_path, layout=case.layout)
    assert found.source.library.lower() == case.layout


@pytest.mark.parametrize(
    ("case", "file"),
    [
        ("saelens-topk-norms", "cfg.json"),
        ("saelens-topk-norms", "sae_weights.safetensors"),
        ("sparsify-topk", "sae.safetensors"),
        ("latent-sae-batchtopk", "cfg.json"),
        ("dictionary_learning-BatchTopKSAE", "ae.pt"),
        ("dictionary_learning-BatchTopKSAE", "config.json"),
        ("sentence-transformers", "model.safetensors"),
    ],
)
def test_a_file_of_the_checkpoint_stands_for_its_folder(case, file, tmp_path):
    whole = imported(BY_NAME[case], tmp_path)
    part = foreign.read(tmp_path / file, allow_pt=True)
    assert part.source.library == whole.source.library
    np.testing.assert_array_equal(part.encoder_ND, whole.encoder_ND)


def test_nothing_is_detected_in_what_is_no_checkpoint(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert foreign.detect(tmp_path) is None
    assert foreign.detect(tmp_path / "notes.txt") is None
    assert foreign.detect(tmp_path / "missing") is None


# ---------------------------------------------------------------- by hand


def test_weights_worked_by_hand(tmp_path):
    # x = 3 e0 + e1; x - b = (2, 1); h = (2 * 1 + 0.5, 1 * 2 - 4) = (2.5, -2)
    # codes (2.5, 0); output 2.5 * (0, 2) + (1, 0) = (1, 5)
    tensors = {
        "W_enc": np.array([[1, 0], [0, 2]], np.float32),
        "b_enc": np.array([0.5, -4], np.float32),
        "W_dec": np.array([[0, 2], [1, 1]], np.float32),
        "b_dec": np.array([1, 0], np.float32),
    }
    write_saelens(tmp_path, tensors, saelens_config("standard", d_in=2, d_sae=2))
    x_hat, codes = foreign.reconstruction_of(foreign.read(tmp_path), np.array([[3.0, 1.0]]))
    np.testing.assert_allclose(x_hat, [[1, 5]])
    np.testing.assert_allclose(codes.toarray(), [[2.5, 0]])


def test_what_is_exactly_at_a_threshold_is_not_active(tmp_path):
    eye, zeros = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    tensors = {"W_enc": eye, "W_dec": eye.copy(), "b_enc": zeros, "b_dec": zeros.copy()}
    edge = {"threshold": np.array([0.5, 0.5], np.float32)}
    write_saelens(tmp_path, tensors | edge, saelens_config("jumprelu", d_in=2, d_sae=2))
    _, codes = foreign.reconstruction_of(foreign.read(tmp_path), np.array([[0.5, 0.75]]))
    np.testing.assert_allclose(codes.toarray(), [[0, 0.75]])


def test_latent_sae_keeps_what_is_exactly_at_the_threshold(tmp_path):
    tensors = {
        "encoder.weight": np.eye(2, dtype=np.float32),
        "encoder.bias": np.zeros(2, np.float32),
        "W_dec": np.eye(2, dtype=np.float32),
        "b_dec": np.zeros(2, np.float32),
        "batchtopk_threshold": np.array(0.5, np.float32),
    }
    config = {"sae_type": "batchtopk", "k": 2, "num_latents": 2, "d_in": 2}
    write_sparsify(tmp_path, tensors, config)
    _, codes = foreign.reconstruction_of(foreign.read(tmp_path), np.array([[0.5, 0.499]]))
    np.testing.assert_allclose(codes.toarray(), [[0.5, 0]])


# ---------------------------------------------------------------- what is said


def test_what_is_not_exact_is_said_in_words(tmp_path):
    write_saelens(
        tmp_path / "a",
        saelens_tensors("standard"),
        saelens_config("standard", normalize_activations="expected_average_only_in"),
    )
    (note,) = foreign.read(tmp_path / "a").notes
    assert "scaled the data of training by one number" in note
    write_saelens(
        tmp_path / "b",
        saelens_tensors("gated"),
        saelens_config("gated", normalize_activations="covariance_whitening"),
    )
    gate, whitened = foreign.read(tmp_path / "b").notes
    assert "threshold" in gate
    assert "whitened" in whitened
    write_saelens(
        tmp_path / "c",
        saelens_tensors("standard"),
        saelens_config("standard", reshape_activations="hook_z"),
    )
    assert "heads" in foreign.read(tmp_path / "c").notes[0]


def test_a_threshold_that_was_never_set_is_said_and_lets_all_positive_pass(tmp_path):
    tensors = dictionary_learning_tensors("BatchTopKSAE") | {"threshold": np.float32(-1)}
    write_dictionary_learning(tmp_path, tensors, "BatchTopKSAE")
    model = foreign.read(tmp_path, allow_pt=True)
    assert "never set" in model.notes[0]
    assert model.threshold_N.tolist() == [0.0] * N


@pytest.mark.parametrize(
    ("kind", "size"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-6)]
)
def test_other_types_are_widened_and_named(kind, size, tmp_path):
    tensors = sparsify_tensors()
    write_sparsify(tmp_path, tensors, sparsify_config())
    stored = {name: torch.from_numpy(value).to(kind) for name, value in tensors.items()}
    save_torch_file(stored, tmp_path / "sae.safetensors")
    model = foreign.read(tmp_path)
    word = str(kind).removeprefix("torch.")
    assert model.source.stored == word
    assert word in model.notes[0]
    np.testing.assert_array_equal(model.encoder_ND, stored["encoder.weight"].float().numpy())
    np.testing.assert_allclose(model.encoder_ND, tensors["encoder.weight"], atol=4 * size)


def test_float16_in_a_pickle_is_widened_too(tmp_path):
    tensors = dictionary_learning_tensors("AutoEncoder")
    write_dictionary_learning(tmp_path, tensors, "AutoEncoder")
    half = {name: torch.from_numpy(value).bfloat16() for name, value in tensors.items()}
    torch.save(half, tmp_path / "ae.pt")
    model = foreign.read(tmp_path, allow_pt=True)
    assert model.source.stored == "bfloat16"
    np.testing.assert_array_equal(model.encoder_ND, half["encoder.weight"].float().numpy())


def test_a_checkpoint_of_training_finds_its_configuration_above(tmp_path):
    tensors = dictionary_learning_tensors("AutoEncoderTopK")
    write_dictionary_learning(tmp_path, tensors, "AutoEncoderTopK", k=K)
    later = tensors | {"b_dec": np.ones(D, np.float32)}
    write_pt(tmp_path / "checkpoints" / "ae_500.pt", later)
    model = foreign.read(tmp_path / "checkpoints" / "ae_500.pt", allow_pt=True)
    assert model.source.library == "dictionary_learning"
    np.testing.assert_array_equal(model.pre_bias_D, np.ones(D))


def test_prefixes_and_aims_are_kept(tmp_path):
    model = imported(BY_NAME["saelens-matryoshka-checkpoint"], tmp_path / "a")
    assert (model.prefixes, model.mean_k) == ((3, N), 2.0)
    model = imported(BY_NAME["dictionary_learning-MatryoshkaBatchTopKSAE"], tmp_path / "b")
    assert (model.prefixes, model.mean_k) == ((3, 7, 12), K)


def test_the_module_is_found_in_a_whole_model(tmp_path):
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.base.modules.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {
            "idx": 2,
            "path": "2_SparseAutoEncoder",
            "type": "sentence_transformers.sparse_encoder.modules.SparseAutoEncoder",
        },
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    write_sentence_transformers(tmp_path / "2_SparseAutoEncoder", tied_tensors())
    model = foreign.read(tmp_path)
    assert model.notes == ("its samples are what these modules give: Transformer, Pooling",)
    assert model.source.path == tmp_path / "2_SparseAutoEncoder"


def test_modules_outside_the_model_are_not_followed(tmp_path):
    modules = [{"path": "../elsewhere", "type": "x.SparseAutoEncoder"}]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text(json.dumps(modules))
    write_sentence_transformers(tmp_path / "elsewhere", tied_tensors())
    assert foreign.detect(tmp_path / "model") is None


def test_the_tied_matrix_may_stand_under_either_name(tmp_path):
    tensors = tied_tensors()
    renamed = tensors | {"decoder.linear.weight": tensors["encoder.weight"]}
    write_sentence_transformers(tmp_path / "both", renamed)
    del renamed["encoder.weight"]
    write_sentence_transformers(tmp_path / "one", renamed)
    for folder in ("both", "one"):
        model = foreign.read(tmp_path / folder)
        np.testing.assert_array_equal(model.encoder_ND, tensors["encoder.weight"])
        np.testing.assert_array_equal(model.decoder_ND, tensors["encoder.weight"])


def test_a_module_saved_as_a_pickle_needs_to_be_asked_for(tmp_path):
    write_sentence_transformers(tmp_path, tied_tensors())
    (tmp_path / "model.safetensors").unlink()
    write_pt(tmp_path / "pytorch_model.bin", tied_tensors())
    with pytest.raises(DataError, match="allow_pt=True"):
        foreign.read(tmp_path)
    assert foreign.read(tmp_path, allow_pt=True).k == K


def test_layer_normalisation_of_one_dimension_is_refused(tmp_path):
    tensors = {
        "W_enc": np.ones((1, 2), np.float32),
        "W_dec": np.ones((2, 1), np.float32),
        "b_enc": np.zeros(2, np.float32),
        "b_dec": np.zeros(1, np.float32),
    }
    config = saelens_config("standard", d_in=1, d_sae=2, normalize_activations="layer_norm")
    write_saelens(tmp_path, tensors, config)
    with pytest.raises(DataError, match="two dimensions"):
        foreign.read(tmp_path)


def test_sparsify_may_give_a_factor_instead_of_a_number(tmp_path):
    tensors = sparsify_tensors()
    config = sparsify_config(num_latents=0, expansion_factor=2)
    write_sparsify(tmp_path, tensors, config)
    x = samples()
    x_hat, _ = foreign.reconstruction_of(foreign.read(tmp_path), x)
    close(x_hat, linear(x.astype(np.float64), tensors, lambda h: top(relu(h), K))[0])


def test_the_input_is_shifted_unless_the_configuration_says_otherwise(tmp_path):
    case = BY_NAME["saelens-standard"]
    stated = imported(case, tmp_path)
    config = saelens_config("standard")
    del config["apply_b_dec_to_input"]
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    unstated = foreign.read(tmp_path)
    np.testing.assert_array_equal(unstated.bias_N, stated.bias_N)


def test_factors_of_one_are_no_fine_tuning(tmp_path):
    tensors = saelens_tensors("standard")
    ones = tensors | {"scaling_factor": np.ones(N, np.float32)}
    write_saelens(tmp_path, ones, saelens_config("standard"))
    model = foreign.read(tmp_path)
    assert model.notes == ()
    np.testing.assert_array_equal(model.decoder_ND, tensors["W_dec"])


def test_a_checkpoint_with_logarithms_of_thresholds(tmp_path):
    tensors = saelens_tensors("jumprelu")
    tensors["log_threshold"] = np.log(np.full(N, 0.5, np.float32))
    del tensors["threshold"]
    write_saelens(tmp_path, tensors, saelens_config("jumprelu"))
    np.testing.assert_allclose(foreign.read(tmp_path).threshold_N, 0.5, rtol=1e-6)


def test_a_file_of_safetensors_may_hold_metadata(tmp_path):
    write_sparsify(tmp_path, sparsify_tensors(), sparsify_config())
    save_file(sparsify_tensors(), tmp_path / "sae.safetensors", metadata={"format": "pt"})
    assert foreign.read(tmp_path).k == K
