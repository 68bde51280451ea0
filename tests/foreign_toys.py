"""Checkpoints in the layouts of other libraries, tiny and written by hand, each with an oracle.

An oracle states in float64 what the library computes, from its own tensors and settings, in
words of our own: nothing here goes through isthmus.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

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


# ---------------------------------------------------------------- one list of all


@dataclass(frozen=True)
class Case:
    """A checkpoint to write, and what its library computes."""

    name: str
    layout: str
    kind: str
    write: Callable[[Path], None]
    oracle: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    file: str = ""


def _saelens(name, architecture, kind, **settings):
    tensors = saelens_tensors(architecture)
    config = saelens_config(architecture, **settings)
    return Case(
        name,
        "saelens",
        kind,
        lambda folder: write_saelens(folder, tensors, config),
        lambda x: saelens(x, tensors, config),
    )


def _scaled_checkpoint():
    """A checkpoint of training, whose data were scaled by a number that stands beside it."""
    tensors, factor = saelens_tensors("batchtopk"), 1.7
    settings = {"k": 2.5, "rescale_acts_by_decoder_norm": True}
    config = saelens_config(
        "batchtopk", normalize_activations="expected_average_only_in", **settings
    )

    def write(folder):
        write_saelens(folder, tensors, config)
        scaler = {"scaling_factor": factor, "has_whitening": False}
        (folder / "activation_scaler.json").write_text(json.dumps(scaler))

    def oracle(x):
        out, codes = saelens(x * factor, tensors, config)
        # rows of norm 1 in the data's units: so SAELens itself ends a training
        return out / factor, codes / factor

    return Case("saelens-scaled-checkpoint", "saelens", "batchtopk", write, oracle)


def _whitened_checkpoint():
    """A checkpoint of training on whitened data, the matrices beside it."""
    tensors = saelens_tensors("jumprelu")
    config = saelens_config(
        "jumprelu", normalize_activations="covariance_whitening", apply_b_dec_to_input=False
    )
    mean = np.linspace(-1, 1, D)
    matrix = np.random.default_rng(5).normal(size=(D, D)) + 2 * np.eye(D)
    parts = {"mean": mean, "matrix": matrix, "inverse_matrix": np.linalg.inv(matrix)}

    def write(folder):
        write_saelens(folder, tensors, config)
        save_file(parts, folder / "activation_whitening.safetensors")

    def oracle(x):
        out, codes = saelens((x - mean) @ matrix, tensors, config)
        return out @ np.linalg.inv(matrix) + mean, codes

    return Case("saelens-whitened-checkpoint", "saelens", "jumprelu", write, oracle)


def _before_6():
    """A configuration of SAELens 3 to 5, fine-tuned: other names, factors on the activations."""
    tensors = saelens_tensors("topk") | {
        "scaling_factor": np.linspace(0.5, 1.5, N).astype(np.float32)
    }
    config = {
        "d_in": D,
        "d_sae": N,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": K},
        "apply_b_dec_to_input": False,
        "finetuning_scaling_factor": True,
        "normalize_activations": "none",
        "hook_point": "blocks.3.hook_resid_post",
        "dtype": "torch.float32",
    }

    def oracle(x):
        _, codes = saelens(x, tensors, config | {"architecture": "topk", "k": K})
        t = wide(tensors)
        return (codes * t["scaling_factor"]) @ t["W_dec"] + t["b_dec"], codes

    return Case(
        "saelens-5",
        "saelens",
        "topk",
        lambda folder: write_saelens(folder, tensors, config),
        oracle,
    )


def _sparsify(name, kind, choose, **settings):
    tensors = sparsify_tensors()
    return Case(
        name,
        "sparsify",
        kind,
        lambda folder: write_sparsify(folder, tensors, sparsify_config(**settings)),
        lambda x: linear(x, tensors, choose),
    )


def _latent_sae(name, kind, choose, settings, **more):
    tensors = sparsify_tensors(**more)
    return Case(
        name,
        "latent-sae",
        kind,
        lambda folder: write_sparsify(folder, tensors, settings),
        lambda x: linear(x, tensors, choose),
    )


def _dictionary_learning(kind, ours, **trainer):
    tensors = dictionary_learning_tensors(kind)
    return Case(
        f"dictionary_learning-{kind}",
        "dictionary_learning",
        ours,
        lambda folder: write_dictionary_learning(folder, tensors, kind, **trainer),
        lambda x: dictionary_learning(x, tensors, kind),
    )


def _sentence_transformers(name, **settings):
    tensors = tied_tensors()
    options = {"k": settings.get("k", K), "normalize": settings.get("normalize", False)}
    return Case(
        name,
        "sentence-transformers",
        "topk",
        lambda folder: write_sentence_transformers(folder, tensors, **settings),
        lambda x: tied(x, tensors, **options),
    )


def _openai(name, activation, k):
    tensors = tied_tensors() | draw(4, **{"decoder.weight": (D, N)})
    names = {"latents_activation_frequency": np.ones(N), "latents_mean_square": np.zeros(N)}

    def write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        held = {n: torch.tensor(v) for n, v in (tensors | names).items()}
        state = {"activation_state_dict": {"k": k, "postact_fn": "ReLU"}} if k else {}
        torch.save(held | {"activation": activation} | state, folder / "v5.pt")

    return Case(
        name,
        "openai",
        "topk" if k else "relu",
        write,
        lambda x: tied(x, tensors, k=k or N, normalize=bool(k)),
        file="v5.pt",
    )


CASES = [
    _saelens("saelens-standard", "standard", "relu"),
    _saelens("saelens-standard-unshifted", "standard", "relu", apply_b_dec_to_input=False),
    _saelens("saelens-standard-layer", "standard", "relu", normalize_activations="layer_norm"),
    _saelens(
        "saelens-topk-root", "topk", "topk", k=K, normalize_activations="constant_norm_rescale"
    ),
    _saelens("saelens-topk-norms", "topk", "topk", k=K, rescale_acts_by_decoder_norm=True),
    _saelens("saelens-topk-all", "topk", "topk", k=N),
    _saelens("saelens-abstopk", "abstopk", "abstopk", k=K),
    _saelens("saelens-jumprelu", "jumprelu", "jumprelu"),
    _saelens(
        "saelens-jumprelu-layer-unshifted",
        "jumprelu",
        "jumprelu",
        normalize_activations="layer_norm",
        apply_b_dec_to_input=False,
    ),
    _saelens("saelens-gated", "gated", "gated"),
    _saelens("saelens-gated-unshifted", "gated", "gated", apply_b_dec_to_input=False),
    _saelens(
        "saelens-batchtopk-checkpoint",
        "batchtopk",
        "batchtopk",
        k=2.5,
        rescale_acts_by_decoder_norm=True,
    ),
    _saelens(
        "saelens-matryoshka-checkpoint",
        "matryoshka_batchtopk",
        "matryoshka",
        k=2.0,
        rescale_acts_by_decoder_norm=False,
        matryoshka_widths=[3, N],
    ),
    _scaled_checkpoint(),
    _whitened_checkpoint(),
    _before_6(),
    _sparsify("sparsify-topk", "topk", lambda h: top(relu(h), K)),
    _sparsify(
        "sparsify-groupmax", "groupmax", lambda h: grouped(relu(h), K), activation="groupmax"
    ),
    _sparsify("sparsify-signed", "abstopk", lambda h: h * (top(abs(h), K) > 0), signed=True),
    _latent_sae("latent-sae-topk", "topk", lambda h: top(relu(h), K), latent_sae_config("topk")),
    _latent_sae(
        "latent-sae-batchtopk",
        "batchtopk",
        lambda h: top(relu(h) * (h >= 0.4), K),
        latent_sae_config("batchtopk"),
        batchtopk_threshold=np.array(0.4, np.float32),
    ),
    _latent_sae(
        "latent-sae-jumprelu",
        "jumprelu",
        lambda h: top(h * (h > 0.25), 2),
        latent_sae_config("jumprelu", jumprelu_max_active=2),
        log_threshold=np.full(N, np.log(0.25), np.float32),
    ),
    _latent_sae(
        "latent-sae-jumprelu-early",
        "jumprelu",
        lambda h: top(h * (h > 0.25), 4),
        latent_sae_config("jumprelu", k=1),
        log_threshold=np.full(N, np.log(0.25), np.float32),
    ),
    _latent_sae(
        "latent-sae-jumprelu-unlimited",
        "jumprelu",
        lambda h: h * (h > 0.25),
        latent_sae_config("jumprelu", jumprelu_max_active=512),
        log_threshold=np.full(N, np.log(0.25), np.float32),
    ),
    _latent_sae(
        "latent-sae-abstopk",
        "abstopk",
        lambda h: h * (top(abs(h), K) > 0),
        latent_sae_config("ABSTOPK"),
    ),
    _latent_sae(
        "latent-sae-centred",
        "topk",
        lambda h: top(relu(h), K),
        latent_sae_config("topk", mean_center=True),
        input_mean=np.linspace(-1, 1, D).astype(np.float32),
    ),
    _latent_sae(
        "latent-sae-matryoshka",
        "topk",
        lambda h: top(relu(h), 5),
        latent_sae_config("matryoshka", matryoshka_sizes="4, 12", matryoshka_ks="2,5"),
    ),
    _dictionary_learning("AutoEncoder", "relu"),
    _dictionary_learning("AutoEncoderNew", "relu"),
    _dictionary_learning("GatedAutoEncoder", "gated"),
    _dictionary_learning("AutoEncoderTopK", "topk", k=K),
    _dictionary_learning("BatchTopKSAE", "batchtopk", k=K),
    _dictionary_learning("MatryoshkaBatchTopKSAE", "matryoshka", k=K),
    _dictionary_learning("JumpReluAutoEncoder", "jumprelu"),
    _sentence_transformers("sentence-transformers"),
    _sentence_transformers("sentence-transformers-layer", normalize=True, k=4),
    _openai("openai-topk", "TopK", K),
    _openai("openai-relu", "ReLU", None),
]
