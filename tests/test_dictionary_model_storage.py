"""Dictionaries in folders: the same after a round trip; damaged or hostile files are refused."""

import json

import numpy as np
import pytest
import torch

from dictionary_toys import fitted, mixtures, state_of
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
from isthmus.errors import ConfigError, IsthmusError, MissingDataError, RunError
from isthmus.models.dictionary import SparseDictionary

ALL = [
    TopK(20, 3),
    BatchTopK(20, 3),
    Matryoshka(20, 3, prefixes=(4, 20)),
    AnyK(20, 3, levels=(1, 3)),
    L1(20, l0=3),
    L1(20, weight=0.01),
    JumpReLU(20, l0=3),
    Gated(20, weight=0.1),
    KLSparse(20),
    Contrastive(20, 3),
]
ROWS = mixtures(200, 8)


@pytest.mark.parametrize("normalise", ["none", "unit"])
@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_a_round_trip_keeps_every_byte(bottleneck, normalise, tmp_path):
    model, _ = fitted(bottleneck, ROWS, normalise=normalise, seed=5)
    model.save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
    }
    loaded = SparseDictionary.from_pretrained(tmp_path)
    assert state_of(loaded) == state_of(model)
    assert (loaded.bottleneck, loaded.normalise, loaded.seed) == (bottleneck, normalise, 5)
    assert not loaded.training
    for found, wanted in (
        (loaded.encode(ROWS, dense=True), model.encode(ROWS, dense=True)),
        (loaded.reconstruct(ROWS), model.reconstruct(ROWS)),
    ):
        assert np.array_equal(found, wanted)
    assert all(p.requires_grad for p in loaded.parameters())
    assert all(p.is_contiguous() for p in loaded.parameters())
    # it can be trained on
    loaded.train()(torch.tensor(ROWS)).sum().backward()


def test_a_loaded_dictionary_can_be_changed_without_touching_its_file(tmp_path):
    model = SparseDictionary(8, TopK(20, 3))
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    loaded = SparseDictionary.from_pretrained(tmp_path)
    with torch.no_grad():
        loaded.encoder.zero_()
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_saving_again_keeps_a_card_that_was_edited(tmp_path):
    model = SparseDictionary(8, TopK(20, 3))
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "sparse-dictionary" in card
    assert "each sample keeps at most 3 of 20 latents" in card
    (tmp_path / "README.md").write_text("mine")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_format_is_written_for_others_to_read(tmp_path):
    SparseDictionary(8, TopK(20, 3)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["format"] == 1
    assert config["model"]["kind"] == "SparseDictionary"
    assert config["model"]["bottleneck"] == {"kind": "TopK", "latent": 20, "k": 3, "balance": 0.01}


# --- what can't be loaded -------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    SparseDictionary(8, BatchTopK(20, 3)).save_pretrained(tmp_path)
    return tmp_path


def refused(folder, kind=IsthmusError):
    with pytest.raises(kind) as caught:
        SparseDictionary.from_pretrained(folder)
    return caught.value


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_is_missing_or_cut_short_is_named(folder, name):
    whole = (folder / name).read_bytes()
    for size in (0, 1, 60, len(whole) // 2, len(whole) - 2):
        (folder / name).write_bytes(whole[:size])
        assert name in refused(folder, RunError).where
    (folder / name).unlink()
    assert name in refused(folder, RunError).where


def test_there_is_no_such_folder(tmp_path):
    with pytest.raises(MissingDataError):
        SparseDictionary.from_pretrained(tmp_path / "nowhere")


def edited(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 10**18},
        {"dim": 0},
        {"dim": -8},
        {"dim": 8.5},
        {"dim": "8"},
        {"dim": None},
        {"dim": [8]},
        {"dim": 9},
        {"bottleneck": {"kind": "TopK", "latent": 10**18, "k": 3}},
        {"bottleneck": {"kind": "TopK", "latent": 2**62, "k": 3}},
        {"bottleneck": {"kind": "TopK", "latent": 20, "k": 10**30}},
        {"bottleneck": {"kind": "TopK", "latent": 20, "k": 0}},
        {"bottleneck": {"kind": "TopK", "latent": 20, "k": "x"}},
        {"bottleneck": {"kind": "AnyK", "latent": 20, "k": 10**12}},
        {"bottleneck": {"kind": "Matryoshka", "latent": 20, "k": 3, "prefixes": [30]}},
        {"bottleneck": {"kind": "JumpReLU", "latent": 20, "threshold": -1.0}},
        {"bottleneck": {"kind": "Plain", "latent": 20}},
        {"bottleneck": {"kind": "Nothing"}},
        {"bottleneck": {"kind": ["TopK"]}},
        {"bottleneck": {}},
        {"bottleneck": None},
        {"bottleneck": "TopK"},
        {"normalise": "batch"},
        {"normalise": None},
        {"seed": "x"},
        {"seed": 10**40},
        {"seed": None},
        {"kind": "Autoencoder"},
        {"kind": None},
    ],
    ids=str,
)
def test_a_damaged_or_hostile_configuration_is_refused_at_once(folder, change):
    edited(folder, lambda config: config["model"].update(change))
    fits = isinstance(change.get("dim"), int) or "10000000" in str(change) or "46116" in str(change)
    where = refused(folder, (RunError, ConfigError)).where
    assert "config.json" in where or (fits and "model.safetensors" in where)


@pytest.mark.parametrize("name", ["dim", "bottleneck", "normalise", "seed", "kind"])
def test_an_entry_that_is_missing_is_refused(folder, name):
    edited(folder, lambda config: config["model"].pop(name))
    assert "config.json" in refused(folder, RunError).where


BROKEN = ["[]", "{}", "null", '{"format": 1}', '{"format": 99, "model": {}}']


@pytest.mark.parametrize("text", BROKEN)
def test_a_configuration_of_another_kind_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    refused(folder, RunError)


def test_weights_of_other_sizes_names_or_types_are_refused(folder, tmp_path_factory):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    whole = load_file(path)
    for change in (
        {"encoder": torch.zeros(21, 8)},
        {"encoder": torch.zeros(8, 20)},
        {"encoder": whole["encoder"].double()},
        {"encoder": torch.full((20, 8), torch.nan)},
        {"bias": torch.full((20,), torch.inf)},
        {"extra": torch.zeros(3)},
        {"objective.threshold": torch.zeros(20)},
    ):
        save_file(whole | change, path)
        assert "model.safetensors" in refused(folder, RunError).where
    for name in whole:
        save_file({k: v for k, v in whole.items() if k != name}, path)
        assert f"{name} is missing" in str(refused(folder, RunError))


def test_another_models_folder_is_refused_and_says_what_to_do(tmp_path):
    import isthmus as im

    im.Autoencoder((8,), bottleneck=im.Plain(latent=2)).save_pretrained(tmp_path)
    error = refused(tmp_path, RunError)
    assert "no sparse dictionary but an Autoencoder" in error.what
    assert "isthmus.open" in error.fix


def test_pickled_weights_are_never_opened(folder):
    """A folder with pytorch_model.bin beside nothing else is no dictionary."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")
    assert "model.safetensors" in refused(folder, RunError).where


def test_weights_that_can_not_be_written_leave_the_old_ones(folder, monkeypatch):
    import safetensors.torch

    before = (folder / "model.safetensors").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(RunError, match="could not be written"):
        SparseDictionary(8, BatchTopK(20, 3), seed=1).save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
