"""Damaged, hostile and unsuitable checkpoints: a clear error, no harm, no memory spent."""

import contextlib
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from foreign_cases import BY_NAME
from foreign_toys import (
    D,
    K,
    N,
    latent_sae_config,
    refused,
    saelens_config,
    saelens_tensors,
    sparsify_config,
    sparsify_tensors,
    tied_tensors,
    write_saelens,
    write_sentence_transformers,
    write_sparsify,
)
from isthmus.errors import ConfigError, IsthmusError, MissingDataError
from isthmus.models import foreign


@pytest.fixture
def sae(tmp_path):
    """A folder of SAELens' that is in order."""
    folder = tmp_path / "sae"
    write_saelens(folder, saelens_tensors("standard"), saelens_config("standard"))
    assert foreign.read(folder).latents == N
    return folder


def with_config(folder, **settings):
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | settings))


def with_tensors(folder, drop=(), **tensors):
    held = load_file(folder / "sae_weights.safetensors") | tensors
    held = {name: value for name, value in held.items() if name not in drop}
    save_file(held, folder / "sae_weights.safetensors")


# ---------------------------------------------------------------- nothing there


def test_a_missing_folder_is_said(tmp_path):
    refused(tmp_path / "none", "no such checkpoint", MissingDataError)


def test_missing_weights_and_configurations_are_named(sae, tmp_path):
    (sae / "cfg.json").unlink()
    assert refused(sae, "configuration is missing", MissingDataError).where.endswith("cfg.json")
    write_sentence_transformers(tmp_path / "st", tied_tensors())
    (tmp_path / "st" / "model.safetensors").unlink()
    error = refused(tmp_path / "st", "weights are missing", MissingDataError)
    assert error.where.endswith("model.safetensors")


def test_a_folder_of_nothing_known_says_what_is_known(tmp_path):
    assert "saelens" in refused(tmp_path, "no layout").fix
    (tmp_path / "readme.txt").write_text("hello")
    assert "readme.txt" in refused(tmp_path, "no layout").why
    refused(tmp_path / "readme.txt", "no layout")


def test_a_folder_of_several_says_which(tmp_path):
    for name in ("layers.0", "layers.1"):
        write_sparsify(tmp_path / name, sparsify_tensors(), sparsify_config())
    error = refused(tmp_path, "several checkpoints")
    assert "layers.0, layers.1" in error.why
    assert error.fix.endswith("layers.0")


def test_a_model_of_our_own_is_sent_where_it_belongs(tmp_path):
    (tmp_path / "config.json").write_text('{"format": 1, "isthmus": "0.2", "model": {}}')
    assert "from_pretrained" in refused(tmp_path, "model of isthmus").fix


def test_another_layout_than_the_one_asked_for(sae):
    refused(sae, "no checkpoint of sparsify", layout="sparsify")
    with pytest.raises(ConfigError, match="unknown layout 'keras'"):
        foreign.read(sae, layout="keras")


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize("part", [0, 4, 9, 100, 0.5, 0.999])
def test_cut_weights_are_refused(sae, part):
    file = sae / "sae_weights.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole)) if isinstance(part, float) else part])
    assert refused(sae, "damaged").where == str(file)


def test_a_header_of_impossible_size_costs_nothing(sae):
    (sae / "sae_weights.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    refused(sae, "damaged")


def test_weights_that_announce_too_much_are_refused_before_they_are_read(sae):
    # 2 TiB as a hole in the file: reading it would never end
    entry = {"dtype": "F32", "shape": [1 << 19, 1 << 20], "data_offsets": [0, 1 << 41]}
    header = json.dumps({"W_enc": entry}).encode()
    with (sae / "sae_weights.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        try:
            file.truncate(8 + len(header) + (1 << 41))
        except OSError:
            pytest.skip("this file system keeps no such large file")
    assert "2.0 TiB" in refused(sae, "limit is 8.0 GiB").what


def test_the_limit_can_be_chosen(sae, monkeypatch):
    refused(sae, "limit is 100 bytes", limit=100)
    monkeypatch.setenv("ISTHMUS_LIMIT", "200")
    refused(sae, "limit is 200 bytes")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2]",
        "[" * 100_000,
        '{"d_in": ' + "9" * 5000 + "}",
        "\xff\xfe",
        '"text"',
        "null",
    ],
)
def test_damaged_configurations_are_refused(sae, text):
    (sae / "cfg.json").write_bytes(text.encode("latin-1"))
    assert refused(sae, "configuration can't be read").where == str(sae / "cfg.json")


def test_an_endless_configuration_is_not_read(sae):
    with (sae / "cfg.json").open("wb") as file:
        file.truncate(1 << 32)
    assert "too large" in refused(sae, "configuration can't be read").why


def test_a_damaged_module_configuration_is_named(tmp_path):
    write_sentence_transformers(tmp_path, tied_tensors())
    (tmp_path / "config.json").write_text("{")
    assert refused(tmp_path, "can't be read").where.endswith("config.json")
    for text in ("{", "[" * 100_000, '{"a": 1}', "[1]"):
        (tmp_path / "modules.json").write_text(text)
        refused(tmp_path, "can't be read")


# ---------------------------------------------------------------- values that can't be


@pytest.mark.parametrize(
    ("tensors", "word"),
    [
        ({"W_enc": np.full((D, N), np.nan, np.float32)}, "'W_enc' holds NaN"),
        ({"W_dec": np.full((N, D), np.inf, np.float32)}, "'W_dec' holds infinite"),
        ({"b_dec": np.full(D, 1e300)}, "'b_dec' holds infinite"),
        ({"b_enc": np.zeros(N - 1, np.float32)}, "'b_enc' has the shape"),
        ({"W_dec": np.zeros((D, N), np.float32)}, "'W_dec' has the shape"),
        ({"W_enc": np.zeros(N, np.float32)}, "'W_enc' has the shape .* 2-dimensional"),
        ({"W_enc": np.zeros((D, N), bool)}, "no numbers"),
        ({"W_enc": np.zeros((0, 0), np.float32)}, "does not fit"),
        ({"W_skip": np.zeros((D, D), np.float32)}, "not understood: W_skip"),
        ({"scaling_factor": np.full(N, 2, np.float32)}, "finetuning_scaling_factor"),
    ],
)
def test_tensors_that_make_no_sense_are_named(sae, tensors, word):
    with_tensors(sae, **tensors)
    refused(sae, word)


def test_empty_weights_are_refused(sae):
    with_tensors(
        sae,
        W_enc=np.zeros((D, 0), np.float32),
        W_dec=np.zeros((0, D), np.float32),
        b_enc=np.zeros(0, np.float32),
    )
    with_config(sae, d_sae=None)
    refused(sae, "can't be used")


def test_a_missing_tensor_is_named(sae):
    with_tensors(sae, drop=["b_enc"])
    assert "W_enc" in refused(sae, "lacks 'b_enc'").why


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"d_in": D + 1}, "configuration does not fit"),
        ({"d_sae": N - 1}, "configuration does not fit"),
        ({"d_sae": "many"}, "'d_sae' must be a whole number"),
        ({"d_in": True}, "'d_in' must be a whole number"),
        ({"d_in": 6.5}, "'d_in' must be a whole number"),
        ({"d_in": -6}, "'d_in' must be a whole number"),
        ({"d_in": 10**30}, "'d_in' must be a whole number"),
        ({"apply_b_dec_to_input": "yes"}, "must be true or false"),
        ({"architecture": 7}, "must be a text"),
        ({"architecture": "transcoder"}, "'transcoder' can't be read"),
        ({"architecture": "matching_pursuit"}, "can't be read"),
        ({"activation_fn": "tanh-relu"}, "tanh-relu"),
        ({"normalize_activations": "zca"}, "'zca'"),
        ({"normalize_activations": 3}, "must be a text"),
        ({"architecture": "topk"}, "'k' must be a whole number"),
        ({"architecture": "topk", "k": 0}, "k = 0 does not fit"),
        ({"architecture": "topk", "k": N + 1}, "does not fit"),
        ({"architecture": "topk", "activation_fn_kwargs": [3]}, "must be an object"),
        ({"architecture": "gated"}, "not understood: b_enc"),
        ({"architecture": "jumprelu"}, "lacks 'threshold'"),
    ],
)
def test_settings_that_make_no_sense_are_named(sae, change, word):
    with_config(sae, **change)
    refused(sae, word)


def test_numbers_written_as_floats_are_numbers(sae):
    with_config(sae, d_in=float(D))
    assert foreign.read(sae).dim == D


def test_a_row_of_norm_zero_can_not_be_ranked(sae):
    decoder = saelens_tensors("standard")["W_dec"]
    decoder[4] = 0
    with_tensors(sae, W_dec=decoder)
    with_config(sae, architecture="topk", k=K, rescale_acts_by_decoder_norm=True)
    assert refused(sae, "one of them is 0").why == "latent 4"


@pytest.mark.parametrize("factor", [0, -1.5, "two", float("nan"), 1e301])
def test_a_scale_that_is_none_is_refused(sae, factor):
    with_config(sae, normalize_activations="expected_average_only_in")
    (sae / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
    assert refused(sae, "scaling_factor").where.endswith("activation_scaler.json")


def test_no_scale_is_as_no_file(sae):
    with_config(sae, normalize_activations="expected_average_only_in")
    (sae / "activation_scaler.json").write_text('{"scaling_factor": null}')
    assert "one number" in foreign.read(sae).notes[0]


def test_a_matryoshka_checkpoint_with_broken_widths(sae):
    with_tensors(sae, topk_threshold=np.array(0.5))
    with_config(sae, architecture="matryoshka_batchtopk", k=2, matryoshka_widths=[1, "all"])
    refused(sae, "list of whole numbers")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"transcode": True}, "transcode"),
        ({"skip_connection": True}, "skip_connection"),
        ({"activation": "relu"}, "'relu'"),
        ({"activation": "groupmax", "k": 5}, "5 equal groups"),
        ({"activation": "groupmax", "signed": True}, "'groupmax'"),
        ({"num_latents": N + 1}, "does not fit the weights"),
        ({"num_latents": 0, "expansion_factor": 3}, "3 x 6"),
        ({"d_in": 7}, "does not fit the weights"),
        ({"k": None}, "'k' must be"),
        ({"sae_type": "gated"}, "published gated"),
        ({"sae_type": "LISTA"}, "inhibit"),
        ({"sae_type": "COSINE"}, "norm"),
        ({"sae_type": "new"}, "known are"),
        ({"sae_type": "topk", "use_skip": True}, "use_skip"),
        ({"sae_type": "topk", "mean_center": True}, "input_mean"),
        ({"sae_type": "batchtopk"}, "batchtopk_threshold"),
        ({"sae_type": "jumprelu"}, "log_threshold"),
        ({"sae_type": "matryoshka", "matryoshka_sizes": "4,x"}, "commas"),
        ({"sae_type": "matryoshka", "matryoshka_sizes": ""}, "commas"),
        (
            {"sae_type": "matryoshka", "matryoshka_sizes": "12", "matryoshka_ks": "99"},
            "does not fit",
        ),
    ],
)
def test_sparsify_and_latent_sae_models_that_are_none_of_ours(change, word, tmp_path):
    write_sparsify(tmp_path, sparsify_tensors(), sparsify_config() | change)
    refused(tmp_path, word)


def test_a_decoder_left_out_is_named(tmp_path):
    tensors = sparsify_tensors()
    del tensors["W_dec"]
    write_sparsify(tmp_path, tensors, sparsify_config())
    refused(tmp_path, "lacks 'W_dec'")


def test_an_endless_threshold_is_refused(tmp_path):
    tensors = sparsify_tensors(log_threshold=np.full(N, 1e4, np.float32))
    write_sparsify(tmp_path, tensors, latent_sae_config("jumprelu"))
    refused(tmp_path, "threshold holds NaN or infinite")


@pytest.mark.parametrize("gate", [100, 1000])
def test_a_gate_that_overflows_is_refused(gate, tmp_path):
    tensors = saelens_tensors("gated") | {"r_mag": np.full(N, gate, np.float32)}
    write_saelens(tmp_path, tensors, saelens_config("gated"))
    refused(tmp_path, "NaN or infinite")


def test_a_tied_decoder_that_is_not_tied_is_refused(tmp_path):
    tensors = tied_tensors()
    other = {"decoder.linear.weight": tensors["encoder.weight"] + 1}
    write_sentence_transformers(tmp_path, tensors | other)
    refused(tmp_path, "differs")


@pytest.mark.parametrize(
    ("change", "word"),
    [({"input_dim": 5}, "input_dim"), ({"hidden_dim": 5}, "hidden_dim"), ({"k": 99}, "k = 99")],
)
def test_a_module_whose_sizes_disagree_is_refused(change, word, tmp_path):
    write_sentence_transformers(tmp_path, tied_tensors(), **change)
    refused(tmp_path, word)


# ---------------------------------------------------------------- any damage at all

_FUZZED = ["saelens-scaled-checkpoint", "latent-sae-jumprelu", "sentence-transformers-layer"]


def _mutated(name, file_index, position, value, length):
    """Read a checkpoint with some bytes changed; only our own errors may come of it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        BY_NAME[name].write(folder)
        files = sorted(file for file in folder.iterdir())
        file = files[file_index % len(files)]
        content = bytearray(file.read_bytes())
        at = position % len(content)
        content[at : at + length] = bytes([value]) * length
        file.write_bytes(bytes(content))
        with contextlib.suppress(IsthmusError):
            model = foreign.read(folder / BY_NAME[name].file, allow_pt=True)
            assert np.isfinite(model.encoder_ND).all()


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(_FUZZED),
    st.integers(0, 3),
    st.integers(0, 5000),
    st.integers(0, 255),
    st.integers(0, 9),
)
def test_changed_bytes_end_in_a_model_or_a_clear_error(name, file, position, value, length):
    _mutated(name, file, position, value, length)
