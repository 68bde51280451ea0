"""Checkpoints in the layouts of other libraries, tiny and written by hand, each with an oracle.

An oracle states in float64 what the library computes, from its own tensors and settings, in
words of our own; it does not go through isthmus.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from isthmus.errors import DataError
from isthmus.models import foreign

D, N, K = 6, 12, 3


def samples(count=40, seed=9):
    """Samples away from the origin, of different lengths."""
    draws = np.random.default_rng(seed)
    values = draws.normal(size=(count, D)) * draws.uniform(0.5, 2, size=(count, 1)) + 0.3
    return values.astype(np.float32)


def draw(seed=0, **shapes):
    """Random float32 tensors of the shapes that are named."""
    draws = np.random.default_rng(seed)
    return {n: draws.normal(size=s).astype(np.float32) for n, s in shapes.items()}


def wide(tensors):
    return {name: value.astype(np.float64) for name, value in tensors.items()}


def relu(a):
    return np.where(a > 0, a, 0.0)


def top(a, k):
    """Keep the k largest of each row; all else becomes 0."""
    out = np.zeros_like(a)
    for row, kept in zip(a, out, strict=True):
        best = sorted(range(len(row)), key=lambda j: row[j], reverse=True)[:k]
        kept[best] = row[best]
    return out


def layer_normed(x):
    """Mean 0 and sample variance 1; 1e-5 is added to the divisor, and forgotten on the way back."""
    mean = x.mean(1, keepdims=True)
    std = x.std(1, ddof=1, keepdims=True)
    return (x - mean) / (std + 1e-5), lambda y: y * std + mean


def root_length(x):
    """Every sample gets the norm sqrt(D)."""
    length = np.sqrt((x**2).sum(1, keepdims=True))
    return x / length * np.sqrt(x.shape[1]), lambda y: y / np.sqrt(x.shape[1]) * length


def refused(path, word, kind=DataError, **options):
    """Read; the error must name a file or folder below ``path`` and say what to do."""
    with pytest.raises(kind, match=word) as caught:
        foreign.read(path, **options)
    error = caught.value
    assert error.where, "an error names where"
    assert error.fix, "an error says what to do"
    return error


# ---------------------------------------------------------------- SAELens


def saelens_tensors(architecture, seed=0):
    shapes = {"W_enc": (D, N), "W_dec": (N, D), "b_dec": (D,), "b_enc": (N,)}
    if architecture == "gated":
        del shapes["b_enc"]
        shapes |= {"b_gate": (N,), "b_mag": (N,), "r_mag": (N,)}
    tensors = draw(seed, **shapes)
    if architecture == "jumprelu":
        # some below 0, which switch nothing off
        tensors["threshold"] = np.linspace(-0.5, 1.5, N).astype(np.float32)
    if "batchtopk" in architecture:
        tensors["topk_threshold"] = np.array(0.8)
    return tensors


def saelens_config(architecture, **settings):
    return {
        "d_in": D,
        "d_sae": N,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12", "model_name": None},
        "architecture": architecture,
    } | settings


def write_saelens(folder, tensors, config):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))


def saelens(x, tensors, config):
    """What an inference SAE of SAELens returns: codes and output."""
    t = wide(tensors)
    way = {"layer_norm": layer_normed, "constant_norm_rescale": root_length}
    n, undo = way.get(config["normalize_activations"], lambda x: (x, lambda y: y))(x)
    given = n - t["b_dec"] if config["apply_b_dec_to_input"] else n
    architecture = config["architecture"]
    length = np.sqrt((t["W_dec"] ** 2).sum(1))
    if architecture == "gated":
        gate = given @ t["W_enc"] + t["b_gate"] > 0
        codes = gate * relu(given @ (t["W_enc"] * np.exp(t["r_mag"])) + t["b_mag"])
        return undo(codes @ t["W_dec"] + t["b_dec"]), codes
    h = given @ t["W_enc"] + t["b_enc"]
    if config.get("rescale_acts_by_decoder_norm"):
        h = h * length
    codes = {
        "standard": lambda: relu(h),
        "jumprelu": lambda: relu(h) * (h > t.get("threshold", 0)),
        "topk": lambda: relu(top(h, config["k"])),
        "abstopk": lambda: h * (top(abs(h), config["k"]) > 0),
        "batchtopk": lambda: relu(h) * (h > t["topk_threshold"]),
        "matryoshka_batchtopk": lambda: relu(h) * (h > t["topk_threshold"]),
    }[architecture]()
    out = codes / length if config.get("rescale_acts_by_decoder_norm") else codes
    return undo(out @ t["W_dec"] + t["b_dec"]), codes


# ---------------------------------------------------------------- sparsify and latent-sae


def sparsify_tensors(seed=0, **more):
    shapes = {"encoder.weight": (N, D), "encoder.bias": (N,), "W_dec": (N, D), "b_dec": (D,)}
    return draw(seed, **shapes) | more


def write_sparsify(folder, tensors, config):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))


def sparsify_config(**settings):
    return {
        "activation": "topk",
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": N,
        "k": K,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": D,
    } | settings


def latent_sae_config(kind, **settings):
    return {
        "sae_type": kind,
        "expansion_factor": 2,
        "normalize_decoder": True,
        "num_latents": 0,
        "k": K,
        "d_in": D,
    } | settings


def grouped(a, k):
    """The largest of each of k runs of neighbours."""
    size = a.shape[1] // k
    return np.hstack([top(a[:, i * size : (i + 1) * size], 1) for i in range(k)])


def linear(x, tensors, choose):
    """Shift, encode, choose, decode: what sparsify and latent-sae share."""
    t = wide(tensors)
    mean = t.get("input_mean", 0)
    h = (x - mean - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]
    codes = choose(h)
    return codes @ t["W_dec"] + t["b_dec"] + mean, codes


# ---------------------------------------------------------------- dictionary_learning


def dictionary_learning_tensors(kind, seed=0):
    layers = {"encoder.weight": (N, D), "encoder.bias": (N,), "decoder.weight": (D, N)}
    matrices = {"W_enc": (D, N), "b_enc": (N,), "W_dec": (N, D), "b_dec": (D,)}
    gates = {"decoder_bias": (D,), "r_mag": (N,), "gate_bias": (N,), "mag_bias": (N,)}
    ranks = {"k": np.int32(K), "threshold": np.float32(0.7)}
    bare = {name: shape for name, shape in layers.items() if name != "encoder.bias"}
    return {
        "AutoEncoder": lambda: draw(seed, **layers, bias=(D,)),
        "AutoEncoderNew": lambda: draw(seed, **layers, **{"decoder.bias": (D,)}),
        "GatedAutoEncoder": lambda: draw(seed, **bare, **gates),
        "AutoEncoderTopK": lambda: draw(seed, **layers, b_dec=(D,)) | ranks,
        "BatchTopKSAE": lambda: draw(seed, **layers, b_dec=(D,)) | ranks,
        "MatryoshkaBatchTopKSAE": lambda: (
            draw(seed, **matrices) | ranks | {"group_sizes": np.array([3, 4, 5])}
        ),
        "JumpReluAutoEncoder": lambda: (
            draw(seed, **matrices) | {"threshold": np.linspace(0, 1, N).astype(np.float32)}
        ),
    }[kind]()


def write_pt(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: torch.tensor(np.asarray(value)) for name, value in tensors.items()}, path)


def write_dictionary_learning(folder, tensors, kind, **trainer):
    write_pt(folder / "ae.pt", tensors)
    config = {"dict_class": kind, "activation_dim": D, "dict_size": N, "lr": 1e-3} | trainer
    (folder / "config.json").write_text(json.dumps({"trainer": config, "buffer": {"d": D}}))


def dictionary_learning(x, tensors, kind):
    t = {name: np.asarray(value, dtype=np.float64) for name, value in tensors.items()}
    if "W_enc" in t:
        shift = 0 if kind == "JumpReluAutoEncoder" else t["b_dec"]
        h = (x - shift) @ t["W_enc"] + t["b_enc"]
        codes = relu(h) * (relu(h) > t["threshold"])
        return codes @ t["W_dec"] + t["b_dec"], codes
    bias = next(t[n] for n in ("bias", "decoder.bias", "decoder_bias", "b_dec") if n in t)
    product = (x - (0 if kind == "AutoEncoderNew" else bias)) @ t["encoder.weight"].T
    codes = {
        "AutoEncoder": lambda: relu(product + t["encoder.bias"]),
        "AutoEncoderNew": lambda: relu(product + t["encoder.bias"]),
        "GatedAutoEncoder": lambda: (
            (product + t["gate_bias"] > 0) * relu(np.exp(t["r_mag"]) * product + t["mag_bias"])
        ),
        "AutoEncoderTopK": lambda: top(relu(product + t["encoder.bias"]), int(t["k"])),
        "BatchTopKSAE": lambda: (
            relu(product + t["encoder.bias"]) * (relu(product + t["encoder.bias"]) > t["threshold"])
        ),
    }[kind]()
    return codes @ t["decoder.weight"].T + bias, codes


# ---------------------------------------------------------------- OpenAI, sentence-transformers


def tied_tensors(seed=0):
    tensors = draw(seed, **{"encoder.weight": (N, D)}, latent_bias=(N,), pre_bias=(D,))
    return tensors | {"stats_last_nonzero": np.zeros(N, np.int64)}


def write_sentence_transformers(folder, tensors, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {
        "input_dim": D,
        "hidden_dim": N,
        "k": K,
        "k_aux": 8,
        "normalize": False,
        "dead_threshold": 30,
    }
    (folder / "config.json").write_text(json.dumps(config | settings))


def tied(x, tensors, *, k, normalize):
    """OpenAI's autoencoder; without a decoder of its own it uses the encoder's rows."""
    t = wide(tensors)
    n, undo = layer_normed(x) if normalize else (x, lambda y: y)
    h = (n - t["pre_bias"]) @ t["encoder.weight"].T + t["latent_bias"]
    codes = relu(top(h, k))
    decoder = t.get("decoder.weight", t["encoder.weight"].T)
    return undo(codes @ decoder.T + t["pre_bias"]), codes
