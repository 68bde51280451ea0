"""The list of checkpoints that the tests of other libraries' layouts share: one a kind."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from foreign_toys import (
    D,
    K,
    N,
    dictionary_learning,
    dictionary_learning_tensors,
    draw,
    grouped,
    latent_sae_config,
    linear,
    relu,
    saelens,
    saelens_config,
    saelens_tensors,
    sparsify_config,
    sparsify_tensors,
    tied,
    tied_tensors,
    top,
    wide,
    write_dictionary_learning,
    write_saelens,
    write_sentence_transformers,
    write_sparsify,
)


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
    _latent_sae("latent-sae-topk", "topk", lambda h: top(relu(h), K), latent_sae_config("TOPK")),
    _latent_sae(
        "latent-sae-batchtopk",
        "batchtopk",
        lambda h: top(relu(h) * (h >= 0.4), K),
        latent_sae_config("BATCHTOPK"),
        batchtopk_threshold=np.array(0.4, np.float32),
    ),
    _latent_sae(
        "latent-sae-jumprelu",
        "jumprelu",
        lambda h: top(h * (h > 0.25), 2),
        latent_sae_config("JUMPRELU", jumprelu_max_active=2),
        log_threshold=np.full(N, np.log(0.25), np.float32),
    ),
    _latent_sae(
        "latent-sae-jumprelu-early",
        "jumprelu",
        lambda h: top(h * (h > 0.25), 4),
        latent_sae_config("JUMPRELU", k=1),
        log_threshold=np.full(N, np.log(0.25), np.float32),
    ),
    _latent_sae(
        "latent-sae-jumprelu-unlimited",
        "jumprelu",
        lambda h: h * (h > 0.25),
        latent_sae_config("JUMPRELU", jumprelu_max_active=512),
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
        latent_sae_config("TOPK", mean_center=True),
        input_mean=np.linspace(-1, 1, D).astype(np.float32),
    ),
    _latent_sae(
        "latent-sae-matryoshka",
        "topk",
        lambda h: top(relu(h), 5),
        latent_sae_config("MATRYOSHKA", matryoshka_sizes="4, 12", matryoshka_ks="2,5"),
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

BY_NAME = {case.name: case for case in CASES}
