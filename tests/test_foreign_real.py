"""The libraries themselves, where they are installed: they load our files, and we theirs.

Not part of any extra: install ``sae-lens>=6``, ``eai-sparsify``, ``sentence-transformers>=6``,
``latentsae`` or ``dictionary-learning`` beside isthmus and these tests run; else each is skipped.
"""

import importlib
import importlib.util
import itertools
import json
import sys
import types

import numpy as np
import pytest
import torch

from foreign_cases import CASES
from foreign_toys import D, K, N, samples
from isthmus.models import foreign

X = samples()


def close(found, wanted):
    found = found.toarray() if hasattr(found, "toarray") else found
    np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-5, atol=1e-5)


def items(library, values):
    """The values to try, or one skip where the library is not installed."""
    if importlib.util.find_spec(library) is not None:
        return values
    return [pytest.param(None, marks=pytest.mark.skip(reason=f"{library} is not installed"))]


def cases(library, layout):
    return items(library, [case for case in CASES if case.layout == layout])


def ids(case):
    return getattr(case, "name", None)


def compare(model, codes, x_hat):
    ours, our_codes = foreign.reconstruction_of(model, X)
    close(our_codes, codes.detach().numpy())
    close(ours, x_hat.detach().numpy())


# ---------------------------------------------------------------- SAELens


@pytest.fixture
def sae_lens():
    return pytest.importorskip("sae_lens", reason="sae-lens is not installed")


def outputs(sae):
    codes = sae.encode(torch.from_numpy(X))
    return codes, sae.decode(codes)


def finished(sae_lens, folder):
    """What SAELens makes of a checkpoint when it is loaded, or when its training ends."""
    config = json.loads((folder / "cfg.json").read_text())
    if "batchtopk" not in config.get("architecture", ""):
        sae = sae_lens.SAE.load_from_disk(folder)
        if (folder / "activation_whitening.safetensors").exists():
            from safetensors.torch import load_file

            held = load_file(folder / "activation_whitening.safetensors")
            sae.fold_activation_whitening(held["mean"], held["matrix"], held["inverse_matrix"])
        return sae
    sae = sae_lens.TrainingSAE.load_from_disk(folder)
    if (folder / "activation_scaler.json").exists():
        scaler = json.loads((folder / "activation_scaler.json").read_text())
        sae.fold_activation_norm_scaling_factor(scaler["scaling_factor"])
    sae.save_inference_model(folder / "finished")
    return sae_lens.SAE.load_from_disk(folder / "finished")


@pytest.mark.parametrize("case", cases("sae_lens", "saelens"), ids=ids)
def test_saelens_computes_the_same_from_our_files(sae_lens, case, tmp_path):
    if case.name == "saelens-5":
        pytest.skip("sae-lens 6 no longer reads fine-tuned factors of versions 3 to 5")
    case.write(tmp_path)
    compare(foreign.read(tmp_path), *outputs(finished(sae_lens, tmp_path)))


SETTINGS = [
    ("Standard", {}),
    ("TopK", {"k": K}),
    ("TopK", {"k": K, "rescale_acts_by_decoder_norm": True}),
    ("AbsTopK", {"k": K}),
    ("JumpReLU", {}),
    ("Gated", {}),
]
WAYS = ["none", "layer_norm", "constant_norm_rescale"]


@pytest.mark.parametrize(
    "choice", items("sae_lens", list(itertools.product(SETTINGS, [True, False], WAYS)))
)
def test_we_compute_what_saelens_does_from_its_own_files(sae_lens, choice, tmp_path):
    (name, more), shifted, normalise = choice
    config = getattr(sae_lens, f"{name}SAEConfig")(
        d_in=D, d_sae=N, apply_b_dec_to_input=shifted, normalize_activations=normalise, **more
    )
    sae = getattr(sae_lens, f"{name}SAE")(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    sae.save_model(tmp_path)
    compare(foreign.read(tmp_path), *outputs(sae))


@pytest.mark.parametrize("case", items("sae_lens", CASES), ids=ids)
def test_saelens_loads_what_we_export(sae_lens, case, tmp_path):
    case.write(tmp_path / "in")
    model = foreign.read(tmp_path / "in" / case.file, allow_pt=True)
    if model.kind == "groupmax" or (model.k and model.threshold_N is not None):
        pytest.skip("SAELens has no such architecture")
    assert foreign.export_saelens(model, tmp_path / "out").notes == ()
    compare(model, *outputs(sae_lens.SAE.load_from_disk(tmp_path / "out")))


# ---------------------------------------------------------------- sparsify


@pytest.mark.parametrize("case", cases("sparsify", "sparsify"), ids=ids)
def test_sparsify_computes_the_same_from_our_files(case, tmp_path):
    sparsify = pytest.importorskip("sparsify", reason="eai-sparsify is not installed")
    if "signed" in case.name:
        pytest.skip("sparsify 1.3 has no signed codes; its early versions had")
    case.write(tmp_path)
    coder = sparsify.SparseCoder.load_from_disk(tmp_path)
    acts, indices, _ = coder.encode(torch.from_numpy(X))
    codes = torch.zeros(len(X), N).scatter(1, indices, acts)
    compare(foreign.read(tmp_path), codes, coder.decode(acts, indices))


def test_we_compute_what_sparsify_does_from_its_own_files(tmp_path):
    sparsify = pytest.importorskip("sparsify", reason="eai-sparsify is not installed")
    coder = sparsify.SparseCoder(D, sparsify.SparseCoderConfig(expansion_factor=3, k=K))
    with torch.no_grad():
        coder.b_dec += torch.linspace(-1, 1, D)
    coder.save_to_disk(tmp_path)
    acts, indices, _ = coder.encode(torch.from_numpy(X))
    codes = torch.zeros(len(X), 3 * D).scatter(1, indices, acts)
    compare(foreign.read(tmp_path), codes, coder.decode(acts, indices))


# ---------------------------------------------------------------- latent-sae


@pytest.mark.parametrize("case", cases("latentsae", "latent-sae"), ids=ids)
def test_latent_sae_computes_the_same_from_our_files(case, tmp_path):
    latentsae = pytest.importorskip("latentsae", reason="latentsae is not installed")
    case.write(tmp_path)
    if case.name == "latent-sae-jumprelu-early":
        pytest.skip("latentsae 0.2 has a setting for what was four times k")
    sae = latentsae.Sae.load_from_disk(tmp_path).eval()
    acts, indices = sae.encode(torch.from_numpy(X))
    codes = torch.zeros(len(X), N).scatter(1, indices, acts)
    compare(foreign.read(tmp_path), codes, sae.decode(acts, indices))


# ---------------------------------------------------------------- dictionary_learning


@pytest.fixture
def dictionary_learning(monkeypatch):
    if importlib.util.find_spec("dictionary_learning") is None:
        pytest.skip("dictionary-learning is not installed")
    if importlib.util.find_spec("nnsight") is None:
        # only its language models need it
        stub = types.SimpleNamespace(LanguageModel=object)
        monkeypatch.setitem(sys.modules, "nnsight", stub)
    return importlib.import_module("dictionary_learning")


@pytest.mark.parametrize("case", cases("dictionary_learning", "dictionary_learning"), ids=ids)
def test_dictionary_learning_computes_the_same_from_our_files(dictionary_learning, case, tmp_path):
    case.write(tmp_path)
    kind = case.name.partition("-")[2]
    for module in (
        "dictionary",
        "trainers.top_k",
        "trainers.batch_top_k",
        "trainers.matryoshka_batch_top_k",
    ):
        held = importlib.import_module(f"dictionary_learning.{module}")
        loaded = getattr(held, kind, None)
        if loaded is not None:
            break
    options = {"normalize_decoder": False} if kind == "AutoEncoder" else {}
    autoencoder = loaded.from_pretrained(tmp_path / "ae.pt", **options)
    codes = autoencoder.encode(torch.from_numpy(X))
    compare(foreign.read(tmp_path, allow_pt=True), codes, autoencoder.decode(codes))


# ---------------------------------------------------------------- sentence-transformers


@pytest.fixture
def csr_module():
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

    return SparseAutoEncoder


def csr_outputs(module):
    module.eval()
    with torch.inference_mode():
        x = torch.from_numpy(X)
        codes = module({"sentence_embedding": x})["sentence_embedding"]
        return codes.clone(), module.decode(codes, module.prepare(x)[1])


@pytest.mark.parametrize("case", cases("sentence_transformers", "sentence-transformers"), ids=ids)
def test_sentence_transformers_computes_the_same_from_our_files(csr_module, case, tmp_path):
    case.write(tmp_path)
    compare(foreign.read(tmp_path), *csr_outputs(csr_module.load(str(tmp_path))))


@pytest.mark.parametrize("normalize", [True, False])
def test_we_compute_what_sentence_transformers_does_from_its_own_files(
    csr_module, normalize, tmp_path
):
    module = csr_module(D, N, k=K, k_aux=4, normalize=normalize)
    with torch.no_grad():
        module.pre_bias += torch.linspace(-1, 1, D)
        module.latent_bias += torch.linspace(-1, 1, N)
    module.save(str(tmp_path))
    compare(foreign.read(tmp_path), *csr_outputs(module))


@pytest.mark.parametrize("case", items("sentence_transformers", CASES), ids=ids)
def test_sentence_transformers_loads_what_we_export(csr_module, case, tmp_path):
    case.write(tmp_path / "in")
    model = foreign.read(tmp_path / "in" / case.file, allow_pt=True)
    if model.kind in {"groupmax", "abstopk"} or model.threshold_N is not None:
        pytest.skip("sentence-transformers keeps the k largest only")
    foreign.export_sentence_transformers(model, tmp_path / "out")
    module = csr_module.load(str(tmp_path / "out"))
    given = X
    if model.normalise == "unit":  # as the Normalize module before it would do
        given = X / np.linalg.norm(X, axis=1, keepdims=True)
    with torch.inference_mode():
        features = {"sentence_embedding": torch.from_numpy(given)}
        codes = module(features)["sentence_embedding"]
    close(foreign.reconstruction_of(model, X)[1], codes.numpy())


def test_a_whole_sparse_encoder_takes_the_export_and_saves_what_we_read(csr_module, tmp_path):
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    case = next(case for case in CASES if case.name == "sparsify-topk")
    case.write(tmp_path / "in")
    model = foreign.read(tmp_path / "in")
    foreign.export_sentence_transformers(model, tmp_path / "out")
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "red": 1, "green": 2, "blue": 3}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    static = StaticEmbedding(tokenizer, embedding_weights=X[:4])
    encoder = SparseEncoder(modules=[static, csr_module.load(str(tmp_path / "out"))], device="cpu")
    words = ["red", "green", "blue"]
    codes = encoder.encode(words, convert_to_sparse_tensor=False)
    close(foreign.reconstruction_of(model, X[1:4])[1], codes.numpy())
    encoder.save_pretrained(str(tmp_path / "whole"))
    read = foreign.read(tmp_path / "whole")
    assert read.notes == ("its samples are what these modules give: StaticEmbedding",)
    again = SparseEncoder(str(tmp_path / "whole"), device="cpu")
    close(codes.numpy(), again.encode(words, convert_to_sparse_tensor=False).numpy())
    np.testing.assert_array_equal(read.encoder_ND, model.encoder_ND)
