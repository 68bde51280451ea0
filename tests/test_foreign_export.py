"""Dictionaries written for other libraries, and taken from and into this project's own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from foreign_cases import BY_NAME, CASES
from foreign_toys import D, K, N, draw, layer_normed, relu, samples, top, wide
from isthmus.errors import ConfigError, RunError
from isthmus.models import foreign
from isthmus.models.foreign.record import Imported, Source


def neutral(kind="topk", seed=0, **more):
    t = draw(seed, e=(N, D), b=(N,), d=(N, D), p=(D,))
    if kind == "topk":
        more = {"k": K} | more
    source = Source("isthmus", kind, Path("nowhere"))
    return Imported(t["e"], t["b"], t["d"], t["p"], kind, source, **more)


def rising():
    return np.linspace(0, 1, N).astype(np.float32)


def same(one, other, x=None):
    x = samples() if x is None else x
    x_hat, codes = foreign.reconstruction_of(one, x)
    other_hat, other_codes = foreign.reconstruction_of(other, x)
    assert codes.nnz
    np.testing.assert_allclose(other_codes.toarray(), codes.toarray(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(other_hat, x_hat, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- SAELens


@pytest.mark.parametrize(
    ("model", "architecture"),
    [
        (neutral("relu"), "standard"),
        (neutral("topk"), "topk"),
        (neutral("abstopk", k=K), "abstopk"),
        (neutral("jumprelu", threshold_N=rising()), "jumprelu"),
        (neutral("batchtopk", threshold_N=rising() * 0 + 0.5, mean_k=3.0), "jumprelu"),
        (neutral("matryoshka", threshold_N=rising() * 0 + 0.5, prefixes=(4, N)), "jumprelu"),
        (neutral("gated", threshold_N=rising()), "jumprelu"),
        (neutral("jumprelu"), "jumprelu"),
        (neutral("topk", normalise="unit"), "topk"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_written_for_saelens_reads_back_the_same(model, architecture, tmp_path):
    exported = foreign.export_saelens(model, tmp_path / "new" / "folder")
    assert exported.notes == ()
    assert exported.folder == tmp_path / "new" / "folder"
    config = json.loads((exported.folder / "cfg.json").read_text())
    assert config["architecture"] == architecture
    assert (config["d_in"], config["d_sae"]) == (D, N)
    assert "isthmus" in config["metadata"]["trained_with"]
    tensors = load_file(exported.folder / "sae_weights.safetensors")
    assert tensors["W_enc"].shape == (D, N)
    same(model, foreign.read(exported.folder))


def test_layers_are_written_by_the_sample_variance(tmp_path):
    model = neutral("topk", normalise="layer")
    exported = foreign.export_saelens(model, tmp_path)
    assert "1e-05 there, plus 0 here" in exported.notes[0]
    x = samples()
    # the difference is of the size that the note says: 1e-5 of the deviation
    wanted, _ = foreign.reconstruction_of(model, x)
    found, _ = foreign.reconstruction_of(foreign.read(tmp_path), x)
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    # and from what was written, with SAELens' own formula
    t = wide(load_file(tmp_path / "sae_weights.safetensors"))
    n, undo = layer_normed(x.astype(np.float64))
    codes = relu(top((n - t["b_dec"]) @ t["W_enc"] + t["b_enc"], K))
    np.testing.assert_allclose(undo(codes @ t["W_dec"] + t["b_dec"]), wanted, atol=2e-3)


def test_layers_with_that_very_epsilon_are_written_exactly(tmp_path):
    BY_NAME["saelens-standard-layer"].write(tmp_path / "in")
    model = foreign.read(tmp_path / "in")
    assert foreign.export_saelens(model, tmp_path / "out").notes == ()
    same(model, foreign.read(tmp_path / "out"))


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (neutral("groupmax", k=K), "the largest of each group"),
        (neutral("jumprelu", k=K, threshold_N=rising()), "threshold and a largest number"),
    ],
)
def test_what_saelens_can_not_choose_is_refused(model, word, tmp_path):
    with pytest.raises(ConfigError, match=word):
        foreign.export_saelens(model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("export", [foreign.export_saelens, foreign.export_sentence_transformers])
def test_nothing_is_written_over(export, tmp_path):
    (tmp_path / "config.json").write_text("precious")
    with pytest.raises(RunError, match="not empty"):
        export(neutral(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == "precious"
    with pytest.raises(RunError, match="can't be made"):
        export(neutral(), tmp_path / "config.json" / "inside")


# ---------------------------------------------------------------- sentence-transformers


def test_a_tied_dictionary_is_written_exactly(tmp_path):
    model = neutral("topk")
    model = replace(model, decoder_ND=model.encoder_ND)
    assert foreign.export_sentence_transformers(model, tmp_path).notes == ()
    same(model, foreign.read(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["k_aux"] == N
    assert load_file(tmp_path / "model.safetensors")["stats_last_nonzero"].tolist() == [0] * N


@pytest.mark.parametrize("kind", ["topk", "relu"])
def test_codes_of_an_untied_dictionary_are_kept_and_the_decoder_is_said_to_differ(kind, tmp_path):
    model = neutral(kind)
    exported = foreign.export_sentence_transformers(model, tmp_path)
    assert "transposed encoder" in exported.notes[0]
    read = foreign.read(tmp_path)
    assert read.k == (K if kind == "topk" else N)
    _, codes = foreign.reconstruction_of(model, samples())
    _, found = foreign.reconstruction_of(read, samples())
    np.testing.assert_allclose(found.toarray(), codes.toarray(), rtol=1e-5, atol=1e-5)


def test_a_threshold_needs_a_number_instead(tmp_path):
    model = neutral("batchtopk", threshold_N=rising() * 0 + 0.5, mean_k=3.0)
    with pytest.raises(ConfigError, match="a threshold") as caught:
        foreign.export_sentence_transformers(model, tmp_path)
    assert "k=..." in caught.value.fix
    exported = foreign.export_sentence_transformers(model, tmp_path, k=4)
    assert any("threshold" in note for note in exported.notes)
    assert foreign.read(tmp_path).k == 4


@pytest.mark.parametrize("k", [-1, N + 1])
def test_a_number_that_does_not_fit_is_refused(k, tmp_path):
    with pytest.raises(ConfigError, match="does not fit"):
        foreign.export_sentence_transformers(neutral(), tmp_path, k=k)


@pytest.mark.parametrize("kind", ["abstopk", "groupmax"])
def test_what_sentence_transformers_can_not_choose_is_refused(kind, tmp_path):
    with pytest.raises(ConfigError, match=r"magnitude|group"):
        foreign.export_sentence_transformers(neutral(kind, k=K), tmp_path)


def test_samples_of_norm_one_need_their_module(tmp_path):
    model = neutral("topk", normalise="unit")
    exported = foreign.export_sentence_transformers(model, tmp_path)
    assert "Normalize" in exported.notes[0]
    x = samples()
    _, codes = foreign.reconstruction_of(model, x)
    given = x / np.linalg.norm(x, axis=1, keepdims=True)
    _, found = foreign.reconstruction_of(foreign.read(tmp_path), given)
    np.testing.assert_allclose(found.toarray(), codes.toarray(), rtol=1e-5, atol=1e-5)


def test_layers_are_written_as_their_setting(tmp_path):
    BY_NAME["sentence-transformers-layer"].write(tmp_path / "in")
    model = foreign.read(tmp_path / "in")
    assert foreign.export_sentence_transformers(model, tmp_path / "out").notes == (
        "it decodes by the transposed encoder; decode its codes with this dictionary",
    )
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["normalize"] is True
    _, codes = foreign.reconstruction_of(model, samples())
    _, found = foreign.reconstruction_of(foreign.read(tmp_path / "out"), samples())
    np.testing.assert_allclose(found.toarray(), codes.toarray(), rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- this project's own

_OURS = [case for case in CASES if case.kind not in {"abstopk", "groupmax"}]


def tight(model):
    """Without what to_dictionary leaves out: the epsilon of layers."""
    return replace(model, epsilon=0.0)


@pytest.mark.parametrize("case", _OURS, ids=lambda case: case.name)
def test_an_imported_dictionary_encodes_the_same_as_one_of_ours(case, tmp_path):
    case.write(tmp_path)
    model = tight(foreign.read(tmp_path / case.file, allow_pt=True))
    if model.k and model.threshold_N is not None:
        with pytest.raises(ConfigError, match="no bottleneck"):
            foreign.to_dictionary(model)
        return
    ours = foreign.to_dictionary(model)
    x = samples()
    wanted, codes = foreign.reconstruction_of(model, x)
    np.testing.assert_allclose(ours.encode(x).toarray(), codes.toarray(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.reconstruct(x), wanted, rtol=1e-4, atol=1e-5)
    back = foreign.from_dictionary(ours)
    assert back.kind == ("jumprelu" if model.kind == "gated" else model.kind)
    assert (back.k, back.normalise) == (model.k, model.normalise)
    same(model, back)


@pytest.mark.parametrize("kind", ["abstopk", "groupmax"])
def test_choices_that_are_not_ours_are_left_to_scoring(kind):
    with pytest.raises(ConfigError, match="no bottleneck") as caught:
        foreign.to_dictionary(neutral(kind, k=K))
    assert "reconstruction_of" in caught.value.fix


def test_an_imported_dictionary_saves_and_opens(tmp_path):
    from isthmus.models.dictionary import SparseDictionary

    ours = foreign.to_dictionary(neutral("jumprelu", threshold_N=rising()))
    ours.save_pretrained(tmp_path)
    again = SparseDictionary.from_pretrained(tmp_path)
    difference = again.encode(samples()) - ours.encode(samples())
    assert abs(difference).max() == 0


def test_prefixes_go_into_a_matryoshka_of_ours():
    halves = neutral("matryoshka", threshold_N=rising() * 0 + 0.5, prefixes=(4, N), mean_k=2.4)
    config = foreign.to_dictionary(halves).bottleneck
    assert (config.prefixes, config.k) == ((4, N), 2)
    assert foreign.from_dictionary(foreign.to_dictionary(halves)).prefixes == (4, N)
    unsaid = foreign.to_dictionary(replace(halves, prefixes=(4, 7), mean_k=None)).bottleneck
    assert unsaid.prefixes == ()
    assert unsaid.k == 1


def test_every_bottleneck_of_ours_is_written_or_refused(tmp_path):
    import torch

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
    from isthmus.models.dictionary import SparseDictionary

    configs = [
        TopK(N, k=K),
        AnyK(N, k=K),
        Contrastive(N, k=K),
        BatchTopK(N, k=K),
        Matryoshka(N, k=K, prefixes=(4, N)),
        JumpReLU(N),
        L1(N),
        Gated(N),
    ]
    for number, config in enumerate(configs):
        ours = SparseDictionary(D, config, seed=number)
        with torch.no_grad():
            for parameter in ours.parameters():
                parameter += 0.1 * torch.randn(
                    parameter.shape, generator=torch.Generator().manual_seed(number)
                )
            if isinstance(config, BatchTopK | Matryoshka):
                ours.objective.threshold.fill_(0.4)
        record = foreign.from_dictionary(ours.eval(), "runs/a")
        assert record.source.path == Path("runs/a")
        exported = foreign.export_saelens(record, tmp_path / str(number))
        read = foreign.read(exported.folder)
        x = samples()
        codes = ours.encode(x).toarray()
        assert 0 < np.count_nonzero(codes) < codes.size
        _, found = foreign.reconstruction_of(read, x)
        np.testing.assert_allclose(found.toarray(), codes, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            foreign.reconstruction_of(read, x)[0], ours.reconstruct(x), rtol=1e-5, atol=1e-5
        )
    with pytest.raises(ConfigError, match="KLSparse"):
        foreign.from_dictionary(SparseDictionary(D, KLSparse(N)))
