"""Runs of sparse dictionaries: what is trained, on which rows, what is measured, what is kept."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import isthmus as im
from foreign_toys import saelens, saelens_config, saelens_tensors, samples, write_saelens
from isthmus.bottlenecks import DICTIONARY_BOTTLENECKS, TopK
from isthmus.errors import ConfigError, DataError, MissingDataError, RunError
from isthmus.files import read_json, write_json
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.presets import DICTIONARY_PRESETS, dictionary_preset
from isthmus.runs.dictionary import DictionaryEvaluation, DictionaryMetrics, DictionaryRun
from isthmus.runs.dictionary.baselines import Baselines
from isthmus.runs.dictionary.coders import Coded, Own
from isthmus.runs.dictionary.evaluation import measure
from isthmus.runs.dictionary.jobs import job_for
from isthmus.runs.dictionary.routing import dictionary_for
from isthmus.runs.dictionary.splits import Parts, held_out_rows
from isthmus.runs.dictionary.sweeping import StoredVectors
from isthmus.runs.dictionary.vectors import vectors_of
from isthmus.training.dictionary import DictionaryTraining
from isthmus.training.stopping import Stopped

DIM = 8
QUICK = {"latents": 24, "epochs": 2, "threads": 1}


def rows(count=300, seed=0, width=DIM):
    """Sums of a few of 12 directions, away from the origin."""
    draws = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(12, width))
    codes = (draws.random((count, 12)) < 0.2) * draws.gamma(2.0, 1.0, (count, 12))
    return (codes @ directions + 0.5 + 0.01 * draws.normal(size=(count, width))).astype(np.float32)


def trained(data=None, preset="topk", **changes):
    return im.train(preset, rows() if data is None else data, **{**QUICK, "k": 3, **changes})


def same_weights(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a run on a file, and the file."""
    place = tmp_path_factory.mktemp("saved")
    np.save(place / "vectors.npy", rows())
    trained(place / "vectors.npy", out=place / "run")
    return place / "run", place / "vectors.npy"


# ---------------------------------------------------------------- presets


def test_every_bottleneck_of_a_dictionary_has_one_preset():
    kinds = [type(preset.bottleneck).__name__ for preset in DICTIONARY_PRESETS]
    assert sorted(kinds) == sorted(DICTIONARY_BOTTLENECKS)
    names = [preset.name for preset in DICTIONARY_PRESETS]
    assert len(set(names)) == len(names)
    assert all(preset.summary for preset in DICTIONARY_PRESETS)


@pytest.mark.parametrize("name", [preset.name for preset in DICTIONARY_PRESETS])
def test_every_preset_trains_and_is_opened_again(name, tmp_path):
    run = im.train(name, rows(), latents=24, epochs=2, threads=1, out=tmp_path / "r", figures=False)
    again = im.open(tmp_path / "r")
    assert same_weights(run.model, again.model)
    assert again.metrics == run.metrics
    assert again.preset == name
    assert run.metrics["test"].fvu < 1
    assert type(again.model.bottleneck) is type(dictionary_preset(name).bottleneck)


@given(
    st.sampled_from(["topk", "batch-topk", "any-k", "jumprelu", "gated", "relu-l1", "contrastive"]),
    st.integers(1, 5000),
    st.none() | st.integers(1, 2000),
)
@settings(max_examples=60, deadline=None)
def test_sizes_fit_each_other_whatever_the_data_suggest(name, suggested, asked):
    field = "k" if hasattr(dictionary_preset(name).bottleneck, "k") else "l0"
    given_ = {} if asked is None else {field: asked}
    found = dictionary_preset(name).with_settings(given_)[0].sized(suggested).bottleneck
    active = getattr(found, field)
    assert active == (asked or min(32, max(1, max(suggested, 16) // 4)))
    assert active <= found.latent / 2
    assert found.latent == max(suggested, 16, 4 * (asked or 0))


def test_what_is_asked_for_stays():
    found, rest = dictionary_preset("topk").with_settings({"latents": 100, "k": "7", "lr": 0.1})
    assert (found.sized(9999).bottleneck.latent, found.bottleneck.k, rest) == (100, 7, {"lr": 0.1})
    prefixes = dictionary_preset("matryoshka").with_settings({"prefixes": ("8", "64"), "k": 4})[0]
    assert prefixes.sized(9999).bottleneck.ends == (8, 64)
    by_weight = dictionary_preset("gated").with_settings({"weight": 0.5})[0].sized(64).bottleneck
    assert (by_weight.weight, by_weight.l0) == (0.5, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"k": 20, "latents": 30}, "more than half of the 30 latents"),
        ({"k": 40, "latents": 30}, "larger than the number of latents, 30"),
        ({"latent": 8, "latents": 8}, "two names of one setting"),
        ({"normalise": "rows"}, "none, layer or unit"),
        ({"k": 0}, "must be above 0"),
        ({"schedule": "cosine"}, "--network mlp"),
        ({"epochs": 0}, "above 0"),
        ({"held_out": 1.5}, "held_out"),
        ({"preprocess": "standardise"}, "normalise = none, layer or unit"),
        ({"evaluation": im.Evaluation()}, "DictionaryEvaluation"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        im.train("topk", rows(30), **changes)


def test_an_unknown_preset_comes_with_the_nearest_of_both_families():
    with pytest.raises(ConfigError, match="did you mean 'matryoshka'"):
        im.train("matryoska", rows(30))
    with pytest.raises(ConfigError, match="no dictionary preset 'dense'"):
        dictionary_preset("dense")


def test_a_preset_of_several_modalities_is_told_from_an_unknown_one():
    from isthmus.runs.training import train

    with pytest.raises(ConfigError, match="'aligned' joins several modalities"):
        train("aligned", rows(30))


# ---------------------------------------------------------------- which family


def write_all(place):
    """The same rows in every form."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet
    from safetensors.numpy import save_file

    x = rows(60)
    np.save(place / "a.npy", x)
    np.savez(place / "a.npz", x=x)
    save_file({"x": x}, place / "a.safetensors")
    save_file({"train": x[:40], "test": x[40:]}, place / "splits.safetensors")
    parquet.write_table(pa.table({"v": list(x)}), place / "a.parquet")
    (place / "shards").mkdir()
    np.save(place / "shards" / "0.npy", x[:25])
    np.save(place / "shards" / "1.npy", x[25:])
    return x


def test_vectors_of_any_form_mean_the_dictionary(tmp_path):
    import torch

    x = write_all(tmp_path)
    files = ["a.npy", "a.npz", "a.safetensors", "splits.safetensors", "a.parquet", "shards"]
    forms = [x, torch.from_numpy(x), [x[:9], x[9:]], {"train": x}, (x, np.zeros(60, int))]
    forms += [im.load(x), *(tmp_path / name for name in files), str(tmp_path / "a.npy")]
    for form in forms:
        found = dictionary_for("topk", form)
        assert found is not None, form
        assert sum(part.rows for part in found[1].whole()) == 60
        assert_array_equal(
            np.sort(np.concatenate([part.read(0, part.rows) for part in found[1].whole()])[:, 0]),
            np.sort(x[:, 0]),
        )


def test_the_hourglass_is_meant_by_its_names_its_data_and_its_settings(tmp_path):
    x = rows(60)
    (tmp_path / "table.csv").write_text("a,b\n" + "\n".join(f"{i},{i * i}" for i in range(40)))
    np.save(tmp_path / "images.npy", np.zeros((30, 8, 8), np.uint8))
    assert dictionary_for("dense", x) is None
    assert dictionary_for("sparse-l1", x) is None
    assert dictionary_for("topk", x, None, ["network"]) is None
    assert dictionary_for("batch-topk", x, None, ["hidden", "k"]) is None
    assert dictionary_for("topk", "digits") is None
    assert dictionary_for("topk", tmp_path / "table.csv") is None
    assert dictionary_for("topk", tmp_path / "images.npy") is None
    assert dictionary_for(im.Autoencoder((DIM,)), x) is None
    assert dictionary_for("topk", x, None, ["latents", "lr", "revival"]) is not None
    run = im.train("topk", x, hidden=(8,), latent=4, k=2, epochs=1)
    assert isinstance(run, im.Run)


def test_names_of_dictionaries_alone_take_images_and_tables_too(tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n" + "\n".join(f"{i},{i * i}" for i in range(40)))
    images = dictionary_for("matryoshka", "digits")[1]
    assert (images.dim, images.own_splits) == (64, True)
    assert any("one vector of its values" in note for note in images.notes)
    assert dictionary_for("gated", tmp_path / "table.csv")[1].dim == 2
    assert dictionary_for(SparseDictionary(64, TopK(8, k=2)), "digits")[1].dim == 64


def test_data_that_are_not_there_or_no_vectors_say_so(tmp_path):
    with pytest.raises(MissingDataError):
        im.train("topk", tmp_path / "none.npy")
    with pytest.raises(ConfigError, match="the vectors have 8 values, the dictionary takes 5"):
        im.train(SparseDictionary(5, TopK(8, k=2)), rows(30))
    with pytest.raises(ConfigError, match="resize can't be chosen"):
        im.train("topk", rows(30), load_options={"resize": 8})


# ---------------------------------------------------------------- splits


def parts_of(data, options=None, **changes):
    training = DictionaryTraining(batch_size=16, **changes)
    return Parts.of(vectors_of(data, options), training)


@given(st.integers(2, 400), st.floats(0.01, 0.9), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_row_is_in_exactly_one_split(count, share, seed):
    x = np.arange(count, dtype=np.float32).reshape(-1, 1)
    parts = parts_of(x, held_out=share, seed=seed)
    found = {
        name: np.concatenate([block[:, 0] for block in parts.blocks(name, 10**9)])
        for name in parts.rows
    }
    assert sorted(np.concatenate(list(found.values()))) == list(range(count))
    assert {name: len(values) for name, values in found.items()} == parts.rows
    held = count - parts.rows["train"]
    assert held == max(0, min(10_000, max(2, round(share * count)), count - 2))
    # one in five is for validation, from the first on; a single one is the test
    assert parts.rows.get("validation", 0) == (0 if held < 2 else -(-held // 5))
    for name in found:
        source = parts.source(name)
        assert_array_equal(np.sort(found[name]), source.read(0, source.rows)[:, 0])


def test_no_more_than_ten_thousand_rows_are_held_out():
    big = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (10**7, 2), (0, 0))
    assert held_out_rows(vectors_of(big), DictionaryTraining()) == 10_000


def test_trainings_of_other_seeds_share_the_test_rows_but_not_the_order():
    x = rows(200)
    one, two = parts_of(x, seed=0), parts_of(x, seed=1)
    assert_array_equal(one.test.chosen, two.test.chosen)
    assert one.fingerprint() == two.fingerprint()
    assert not np.array_equal(next(one.blocks("train", 50)), next(two.blocks("train", 50)))
    other = parts_of(x, {"seed": 7})
    assert not np.array_equal(one.test.chosen, other.test.chosen)
    assert one.fingerprint() != other.fingerprint()


def test_data_that_bring_splits_keep_them():
    x = rows(200)
    whole = im.Dataset.from_arrays(x[:150], validation=x[150:170], test=x[170:])
    assert parts_of(whole).rows == {"train": 150, "validation": 20, "test": 30}
    # a fifth of what would be held out else
    tested = parts_of(im.Dataset.from_arrays(x[:100], test=x[100:]))
    assert tested.rows == {"train": 98, "validation": 2, "test": 100}
    assert parts_of(im.Dataset.from_arrays(x[:100], validation=x[100:])).rows == {
        "train": 100, "validation": 100,
    }  # fmt: skip
    asked = parts_of(x, {"validation": 20, "test": 0.1})
    assert asked.rows == {"train": 160, "validation": 20, "test": 20}
    assert asked.fingerprint() != parts_of(x).fingerprint()


def test_blocks_of_training_rows_are_the_first_of_the_first_epoch():
    parts = parts_of(rows(9000, width=2))
    blocks = list(parts.blocks("train", 5000))
    assert [len(block) for block in blocks] == [4096, 904]
    first = np.concatenate(list(parts.stream.epoch(0)))
    assert_array_equal(np.concatenate(blocks), first[:5000])


def test_a_split_that_is_not_there():
    parts = parts_of(rows(3))
    assert parts.rows == {"train": 2, "test": 1}
    assert parts.validation_rows().shape == (0, DIM)
    with pytest.raises(ConfigError, match="choose one of: train, test"):
        parts.source("validation")


# ---------------------------------------------------------------- numbers


class Fixed:
    """A coder whose codes and outputs are given."""

    latents, k, own, is_dense = 3, None, None, False
    decoder_ND = np.array([[1.0, 0.0], [0.0, 2.0], [0.6, 0.8]], np.float32)

    def __init__(self, codes, output):
        self.codes, self.output, self.at = codes, output, 0

    def coded(self, x):
        if len(x) == 1:  # the first look, which is not measured
            return Coded(sp.csr_array(self.codes[:1]), self.output[:1], 1.0, 0.0)
        rows_ = slice(self.at, self.at + len(x))
        self.at += len(x)
        codes = self.codes[rows_]
        return Coded(sp.csr_array(codes), self.output[rows_], 0.5, float(codes.sum()))


def test_numbers_worked_by_hand(monkeypatch):
    monkeypatch.setattr("isthmus.runs.dictionary.evaluation._WARM", 1)
    x = np.array([[1, 0], [0, 1], [2, 2], [0, 0]], np.float32)
    codes = np.array([[2, 0, 0], [0, 1, 1], [0, 0, 0], [4, 0, 0]], np.float32)
    output = x + np.array([[1, 0], [0, 0], [0, 0], [0, 1]], np.float32)
    baselines = Baselines(np.array([1.0, 0.0]), np.array([[0.0, 1.0]], np.float32))
    found = measure(Fixed(codes, output), lambda: iter([x[:2], x[2:]]), 4, baselines)
    # about (1, 0): 0 + 2 + 5 + 1 = 8
    assert (found.samples, found.mse, found.fvu) == (4, 2 / 8, 2 / 8)
    assert found.explained_variance == 0.75
    assert found.fvu_low <= found.fvu <= found.fvu_high
    assert (found.l0, found.mean_activation, found.active_above) == (1.0, 8 / 12, 0.0)
    assert (found.dead_fraction, found.max_firing_rate) == (0.0, 0.5)
    assert (found.dense_10, found.dense_25) == (1.0, 1 / 3)
    assert found.firing_rate == (0.5, 0.25, 0.25)
    # PCA with one dimension keeps the second coordinate, and errs by the first: 0, 1, 1, 1
    assert (found.pca_dims, found.pca_mse, found.pca_fvu) == (1, 3 / 8, 3 / 8)
    assert "smaller" in found.verdict
    assert_allclose([found.coherence_max, found.coherence_mean], [0.8, 1.4 / 3], rtol=1e-6)
    assert found.samples_per_second == 4 / 1.0
    assert found.fvu_refined is None


def test_metrics_agree_with_numpy_on_a_trained_dictionary():
    x = rows(400)
    run = trained(x, epochs=3)
    parts = run.parts
    test = parts.source("test").read(0, parts.rows["test"])
    train = np.concatenate(list(parts.blocks("train", 10**9)))
    mean = train.mean(0, dtype=np.float64)
    output = run.model.reconstruct(test)
    found = run.metrics["test"]
    assert_allclose(
        found.fvu, np.square(test - output).sum() / np.square(test - mean).sum(), rtol=1e-5
    )
    centred = train.astype(np.float64) - mean
    directions = np.linalg.svd(centred, full_matrices=False)[2][:3]
    left = (test - mean) - (test - mean) @ directions.T @ directions
    assert found.pca_dims == 3
    assert_allclose(found.pca_mse, np.square(left).mean(), rtol=1e-5)
    codes = run.model.encode(test, dense=True)
    assert_allclose(found.firing_rate, (codes > 0).mean(0), atol=1e-8)
    assert found.l0 == (codes > 0).sum(1).mean()
    # the pursuit has the same k and the same dictionary, and never does worse on average
    refined = run.model.reconstruct(test, refine=im.Pursuit(k=3))
    assert_allclose(
        found.fvu_refined, np.square(test - refined).sum() / np.square(test - mean).sum(), rtol=1e-4
    )
    assert found.fvu_refined <= found.fvu
    assert (found.refined_k, found.refined_samples) == (3, len(test))
    assert run.metrics["train"].fvu_refined is None


def test_refined_rows_are_spread_evenly_and_may_be_none():
    run = trained()
    parts, baselines = run.parts, run.baselines
    x = parts.source("test").read(0, parts.rows["test"])
    found = measure(Own(run.model), lambda: iter([x[:7], x[7:]]), len(x), baselines, refine=5)
    step = -(-len(x) // 5)
    assert found.refined_samples == len(x[::step])
    some = x[::step]
    refined = run.model.reconstruct(some, refine=im.Pursuit(k=3))
    total = np.square(some.astype(np.float64) - baselines.mean_D).sum()
    assert_allclose(found.fvu_refined, np.square(refined - some).sum() / total, rtol=1e-4)
    none = run.evaluate(options=DictionaryEvaluation(refined_rows=0))
    assert none["test"].fvu_refined is None
    with pytest.raises(ConfigError, match="refined_rows"):
        DictionaryEvaluation(refined_rows=-1)


def test_a_code_without_zeros_counts_as_active_above_a_tenth():
    run = im.train("kl", rows(), latents=24, epochs=1, target=0.2)
    found = run.metrics["test"]
    test = run.parts.source("test").read(0, run.parts.rows["test"])
    codes = run.model.encode(test, dense=True)
    assert found.active_above == 0.1
    assert_allclose(found.l0, (codes > 0.1).sum(1).mean())
    assert_allclose(found.mean_activation, codes.mean(), rtol=1e-6)
    assert found.target_activation == 0.2
    assert found.fvu_refined is None
    assert found.pca_mse is None  # 24 numbers for 8: PCA would lose nothing


def test_normalised_dictionaries_are_measured_in_the_units_of_the_data():
    run = trained(5 * rows(), normalise="layer")
    test = run.parts.source("test").read(0, run.parts.rows["test"])
    assert_allclose(
        run.metrics["test"].mse, np.square(run.model.reconstruct(test) - test).mean(), rtol=1e-5
    )


def test_metrics_survive_json_and_pass_over_later_names():
    found = DictionaryMetrics(samples=3, mse=0.5, l0_quantiles=(1, 1, 2, 3, 3), firing_rate=(0.5,))
    again = json.loads(json.dumps(found.as_json()))
    assert again == {
        "samples": 3,
        "mse": 0.5,
        "l0_quantiles": [1, 1, 2, 3, 3],
        "firing_rate": [0.5],
    }
    assert DictionaryMetrics.from_json(again | {"later": 1}) == found


def test_baselines_take_all_rows_for_the_mean_and_some_for_pca(monkeypatch, tmp_path):
    x = rows(50)
    monkeypatch.setattr("isthmus.runs.dictionary.baselines._PCA_WORK", 1.0)
    monkeypatch.setattr("isthmus.runs.dictionary.baselines._PCA_LEAST", 20)
    found = Baselines.of(lambda most: iter([x[:most]]), DIM, 3, mean_rows=50)
    assert_allclose(found.mean_D, x.mean(0, dtype=np.float64), rtol=1e-6)
    assert found.dims == 3
    centred = x - found.mean_D
    assert_allclose(found.pca_error(x, 0), np.square(centred).sum())
    assert_allclose(found.total(x), np.square(centred).sum())
    found.save(tmp_path)
    again = Baselines.open(tmp_path)
    assert_array_equal(again.mean_D, found.mean_D)
    assert_array_equal(again.components_PD, found.components_PD)
    (tmp_path / "baselines.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match="baselines are damaged"):
        Baselines.open(tmp_path)
    with pytest.raises(RunError, match="baselines are missing"):
        Baselines.open(tmp_path / "elsewhere")


# ---------------------------------------------------------------- the folder


def test_a_run_is_a_folder_that_opens_to_the_same(saved):
    folder, path = saved
    run = im.open(folder)
    assert isinstance(run, DictionaryRun)
    assert {p.name for p in folder.iterdir()} == {
        "README.md", "baselines.safetensors", "checkpoints", "config.json", "environment.json",
        "figures", "history.csv", "metrics.json", "model.safetensors",
    }  # fmt: skip
    config = read_json(folder / "config.json")
    assert config["model"]["kind"] == "SparseDictionary"
    assert config["data"]["source"] == str(path)
    assert config["data"]["samples"] == {"train": 270, "validation": 6, "test": 24}
    # nothing is left to be found out: what followed from the data stands there
    assert config["training"]["batch_size"] == 64
    assert config["training"]["lr"] > 0
    assert config["training"]["noise"] >= 0
    assert config["trained"]["epochs"] == 2
    assert list(read_json(folder / "metrics.json")) == ["train", "validation", "test"]
    card = (folder / "README.md").read_text()
    assert "sparse-dictionary" in card
    assert f"{run.metrics['test'].fvu:.4g}" in card
    assert (
        repr(run) == f"DictionaryRun(run: topk on vectors, test FVU {run.metrics['test'].fvu:.4g})"
    )
    again = run.evaluate()
    for name, found in again.items():
        now, before = found.as_json(), run.metrics[name].as_json()
        speeds = {"samples_per_second", "refined_samples_per_second"}
        assert {k: v for k, v in now.items() if k not in speeds} == {
            k: v for k, v in before.items() if k not in speeds
        }


def test_every_figure_is_drawn_with_its_numbers(saved):
    folder, _ = saved
    run = im.open(folder)
    names = {"loss_curves", "dead_latents", "firing_rates", "decoder_neighbours"}
    assert {p.name for p in (folder / "figures").iterdir()} == {
        f"{name}.{ending}" for name in names for ending in ("png", "csv")
    }
    assert dict(run.figures.all()).keys() == names
    dead = run.figures.dead_latents().table
    assert_array_equal(dead["dead"], np.array(run.history["dead"]) / 24)
    ranks = run.figures.firing_rates().table
    busiest = np.nanmax(np.array(ranks["rate"], float))
    assert_allclose(busiest, run.metrics["test"].max_firing_rate, atol=1e-8)
    curves = run.figures.loss_curves().table
    assert_array_equal(curves["train_FVU"], run.history["train_fvu"])
    run.metrics = {}
    with pytest.raises(DataError, match="no firing rates"):
        run.figures.firing_rates()


def test_other_vectors_are_measured_about_the_mean_of_the_training(saved, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(saved[0], folder)
    run = im.open(folder)
    run.origin = dataclasses.replace(run.origin, source=str(tmp_path / "gone.npy"))
    other = rows(40, seed=5)
    found = run.evaluate(other)["data"]
    about = np.square(other.astype(np.float64) - Baselines.open(folder).mean_D).sum()
    error = np.square(run.model.reconstruct(other) - other).sum()
    assert_allclose(found.fvu, error / about, rtol=1e-5)
    with pytest.raises(MissingDataError):
        run.evaluate()
    with pytest.raises(ConfigError, match="the vectors have 3 values, the dictionary takes 8"):
        run.evaluate(other[:, :3])
    with pytest.raises(DataError, match="row 1"):
        run.evaluate(np.where(np.arange(40)[:, None] == 1, np.nan, other))


def test_another_k_may_be_measured_where_k_is_a_setting():
    run = trained(preset="any-k")
    assert run.evaluate(rows(40), k=1)["data"].l0 == 1
    gated = im.train("gated", rows(), latents=24, epochs=1)
    with pytest.raises(ConfigError, match="no k"):
        gated.evaluate(rows(40), k=1)


def test_a_run_in_memory_is_saved_later_and_never_over_another(tmp_path):
    run = trained()
    assert run.folder is None
    assert run.name == "vectors-topk"
    run.save(tmp_path / "r", figures=False)
    again = im.open(tmp_path / "r")
    assert same_weights(run.model, again.model)
    assert again.metrics == run.metrics
    with pytest.raises(RunError, match="already holds a run"):
        run.save(tmp_path / "r")
    with pytest.raises(RunError, match="arrays in memory"):
        again.evaluate()


def test_data_that_changed_are_noticed(saved, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(saved[0], folder)
    np.save(tmp_path / "vectors.npy", rows(seed=3))
    config = read_json(folder / "config.json")
    config["data"]["source"] = str(tmp_path / "vectors.npy")
    write_json(folder / "config.json", config)
    with pytest.raises(RunError, match="data have changed"):
        im.open(folder).evaluate()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", '{"format": 1, "isthmus": "0", "model": {"kind": "SparseDictionary"}}',
         "configuration is damaged"),
        ("config.json", '{"format": 99, "model": {"kind": "SparseDictionary"}}', "format 99"),
        ("metrics.json", '{"test": {"mse": "x"}}', "metrics are damaged"),
        ("history.csv", "epoch\n7\n", "history is damaged"),
        ("model.safetensors", "no", "file is damaged"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused_in_words(file, content, said, saved, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(saved[0], folder)
    (folder / file).write_text(content)
    with pytest.raises(RunError, match=said):
        im.open(folder)


# ---------------------------------------------------------------- resuming


class Stopping:
    """Asks for a stop after an epoch, as Ctrl-C does."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, progress):
        import signal

        if progress.row is not None and progress.epoch == self.epoch:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("preset", ["topk", "batch-topk", "gated"])
def test_an_interrupted_training_resumes_to_the_same_bytes(preset, tmp_path):
    words = {"latents": 24, "epochs": 5, "threads": 1, "figures": False}
    whole = im.train(preset, rows(), out=tmp_path / "whole", **words)
    with pytest.raises(Stopped):
        im.train(preset, rows(), out=tmp_path / "r", progress=Stopping(2), **words)
    with pytest.raises(RunError, match="training has not ended"):
        im.open(tmp_path / "r")
    again = im.train(preset, rows(), out=tmp_path / "r", resume=True, **words)
    assert same_weights(whole.model, again.model)
    drop = {"seconds", "samples_per_second"}
    assert [{k: v for k, v in row.items() if k not in drop} for row in again.history] == [
        {k: v for k, v in row.items() if k not in drop} for row in whole.history
    ]


def test_resuming_anything_else_is_refused(saved, tmp_path):
    folder, path = saved
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for changes, said in [
        ({"k": 4}, "another model bottleneck"),
        ({"lr": 0.5}, "another training lr"),
        ({"data": rows(290)}, "another data fingerprint"),
        ({"preset": "batch-topk"}, "another model bottleneck"),
    ]:
        with pytest.raises(RunError, match=said):
            trained(**{"data": path, "out": folder, "resume": True, "figures": False, **changes})
    with pytest.raises(RunError, match="no run to resume"):
        trained(path, out=tmp_path / "none", resume=True)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_training_killed_before_its_first_checkpoint_starts_anew(tmp_path):
    words = {"out": tmp_path / "r", "figures": False}
    whole = trained(**words)
    for name in ("model.safetensors", "metrics.json", "history.csv"):
        (tmp_path / "r" / name).unlink()
    shutil.rmtree(tmp_path / "r" / "checkpoints")
    again = trained(**words, resume=True)
    assert same_weights(whole.model, again.model)


def test_a_damaged_checkpoint_is_told_and_nothing_is_harmed(saved, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(saved[0], folder)
    path = folder / "checkpoints" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match="checkpoint is damaged"):
        trained(saved[1], out=folder, resume=True)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


# ---------------------------------------------------------------- several


def test_members_are_what_each_would_be_by_itself(tmp_path):
    x = rows()
    own = {"small": {"k": 2, "latents": 16}, "wide": {"k": 4, "latents": 32}}
    runs = im.train_members(
        {name: ("topk", found) for name, found in own.items()},
        x, out=tmp_path / "all", epochs=3, threads=1, figures=False,
    )  # fmt: skip
    for name, found in own.items():
        alone = im.train("topk", x, epochs=3, threads=1, **found)
        assert same_weights(alone.model, runs[name].model)
        opened = im.open(tmp_path / "all" / name)
        assert opened.metrics["test"].fvu == alone.metrics["test"].fvu
        assert opened.training.lr == alone.training.lr
    with pytest.raises(RunError, match="2 dictionaries that were trained together"):
        im.open(tmp_path / "all")


def test_members_stopped_go_on_together(tmp_path):
    members = {"a": "topk", "b": SparseDictionary(DIM, TopK(16, k=2), seed=4)}
    words = {"epochs": 4, "threads": 1, "figures": False}
    whole = im.train_members(members, rows(), **words)
    again = {"a": "topk", "b": SparseDictionary(DIM, TopK(16, k=2), seed=4)}
    with pytest.raises(Stopped):
        im.train_members(again, rows(), out=tmp_path / "r", progress=Stopping(2), **words)
    with pytest.raises(RunError, match="another dictionaries b"):
        im.train_members({"a": "topk"}, rows(), out=tmp_path / "r", resume=True, **words)
    found = im.train_members(again, rows(), out=tmp_path / "r", resume=True, **words)
    assert all(same_weights(whole[name].model, found[name].model) for name in whole)


def test_members_have_seeds_and_notes_of_their_own():
    runs = im.train_members(
        {"one": ("topk", {"k": 2, "latents": 16}),
         "two": ("topk", {"k": 2, "latents": 16, "seed": 1}),
         "few": ("topk", {"k": 2, "latents": 4})},
        rows(), epochs=1,
    )  # fmt: skip
    assert not same_weights(runs["one"].model, runs["two"].model)
    assert (runs["two"].model.seed, runs["two"].training.seed) == (1, 0)
    assert any("4 latents are fewer" in note for note in runs["few"].notes)
    assert not any("fewer" in note for note in runs["one"].notes)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "no dictionary to train"),
        ({"a/b": "topk"}, "can't be called"),
        ({"checkpoints": "topk"}, "can't be called"),
        ({"a": ("topk", {"lr": 0.1})}, "lr of its own"),
        ({"a": ("dense", {})}, "no dictionary preset"),
        ({"a": (SparseDictionary(DIM, TopK(8, k=2)), {"k": 3})}, "has its settings already"),
    ],
)
def test_members_that_make_no_sense_are_refused(members, said):
    with pytest.raises(ConfigError, match=said):
        im.train_members(members, rows(30), epochs=1)


# ---------------------------------------------------------------- what is said of the data


def notes_of(data, **changes):
    return " ".join(job_for("topk", vectors_of(data), **changes).notes)


def test_what_is_unusual_about_the_data_is_said():
    x = rows(600)
    flat = x.copy()
    flat[:, 2] = 1
    assert "1 of 8 columns never changes: 2" in notes_of(flat)
    twice = np.concatenate([x, x])
    said = notes_of(twice)
    assert "600 of the 1,200 rows are exact copies" in said
    assert "their numbers then flatter" in said
    assert "flatter" not in notes_of(np.concatenate([x, x[:3]]))
    assert "5 latents are fewer than the 8 dimensions" in notes_of(x, latents=5, k=2)
    assert "20 active latents of a sample are more numbers" in notes_of(x, k=20)
    assert "0.27 training rows for each of the 2,000 latents" in notes_of(x, latents=2000)
    assert "not normalised" in notes_of(x)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert notes_of(unit, latents=24, k=3) == ""
    assert "too few rows to hold any out" in notes_of(x[:2])


def test_rows_that_are_no_numbers_are_named_or_left_out_and_counted():
    x = rows()
    x[7, 3], x[9, 0] = np.nan, np.inf
    with pytest.raises(DataError, match="2 of the 300 rows do") as caught:
        trained(x)
    assert "row 7, column 3" in caught.value.where
    run = trained(x, drop_bad=True)
    assert any("2 of the 300 rows hold NaN" in note for note in run.notes)
    assert sum(found.samples for found in run.metrics.values()) == 298
    loaded = trained(x, load_options={"drop_bad_rows": True})
    assert loaded.training.drop_bad
    assert same_weights(run.model, loaded.model)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (rows(1), "fewer than 2 vectors"),
        (np.empty((0, 4), np.float32), "no vectors"),
        (np.ones((20, 4), np.float32), "all rows are the same"),
        ([rows(20), rows(20)[:, :3]], "unequal width"),
    ],
)
def test_data_that_can_t_be_learned_from_are_refused(data, said, tmp_path):
    with pytest.raises(DataError, match=said):
        trained(data, out=tmp_path / "r")
    assert not (tmp_path / "r" / "model.safetensors").exists()


def test_a_shard_that_disappears_is_named_and_the_checkpoint_stays(tmp_path):
    shards = tmp_path / "shards"
    shards.mkdir()
    for number in range(3):
        np.save(shards / f"{number}.npy", rows(100, seed=number))

    def remove(progress):
        (shards / "1.npy").unlink(missing_ok=True)

    with pytest.raises((DataError, MissingDataError)) as caught:
        trained(shards, out=tmp_path / "r", progress=remove)
    assert "1.npy" in str(caught.value)
    assert (tmp_path / "r" / "checkpoints" / "last.safetensors").is_file()
    np.save(shards / "1.npy", rows(100, seed=1))
    again = trained(shards, out=tmp_path / "r", resume=True, figures=False)
    assert same_weights(again.model, trained(shards).model)


# ---------------------------------------------------------------- beside other runs


def test_runs_over_seeds_are_one_group_and_the_fvu_is_judged(tmp_path):
    for k in (2, 5):
        for seed in (0, 1, 2):
            trained(k=k, seed=seed, out=tmp_path / f"k{k}-seed-{seed}", figures=False)
    found = im.compare(sorted(tmp_path.iterdir()))
    assert [(group.name, group.seeds) for group in found.groups] == [
        ("k2", (0, 1, 2)), ("k5", (0, 1, 2)),
    ]  # fmt: skip
    judged = [said for said in found.statements if said.startswith("fvu:")]
    assert len(judged) == 1
    assert not any(said.startswith("mse:") for said in found.statements)
    assert found.notes == ()
    assert [round(row["l0"]) for row in found.rows] == [2] * 3 + [5] * 3
    written = {path.name for path in found.save(tmp_path / "out")}
    assert {"fvu-l0.png", "fvu-busiest.png", "runs.csv", "comparison.png"} <= written
    assert "codes.png" not in written
    front = dict(found.fronts())["fvu-l0"].table
    # the weakest of 5 among 24 latents may lie below zero
    assert_allclose(front["l0"], [2.0, 5.0], rtol=0.08)
    assert list(front["runs"]) == [3, 3]


def test_a_dictionary_beside_an_autoencoder_on_the_same_splits():
    data = im.load(rows(400))
    one = trained(data)
    other = im.train("dense", data, hidden=(8,), latent=3, epochs=1)
    found = im.compare([one, other])
    assert found.notes == (
        "These runs scale the data differently, so their mse are in different units: compare "
        "fvu, or their ratios to PCA.",
    )
    assert {d.metric for d in found.differences} >= {"fvu", "max_firing_rate"}
    assert "mse" not in {d.metric for d in found.differences}
    assert "refined" in found.text()
    alone = im.compare([other])
    assert not alone.has_dictionary
    assert alone.fronts() == []
    assert "fvu" not in alone.groups[0].values


def test_a_sweep_of_dictionaries(tmp_path):
    words = {"settings": {"latents": 24, "epochs": 1}, "out": tmp_path / "s"}
    found = im.sweep(rows(), "topk", {"k": [2, 4, 20]}, **words)
    assert [row["l0"] for row in found.rows] == [2.0, 4.0, None]
    assert "more than half of the 24 latents" in found.failed[0]["error"]
    assert (found.axes.x, found.axes.y) == ("l0", "fvu")
    assert "refined" in found.text()
    before = (tmp_path / "s" / "runs" / "k-2_seed-0" / "model.safetensors").stat().st_mtime_ns
    again = im.sweep(rows(), "topk", {"k": [2, 4, 20]}, **words)
    assert again.rows == found.rows
    path = tmp_path / "s" / "runs" / "k-2_seed-0" / "model.safetensors"
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="can't hold l0"):
        im.sweep(rows(), "topk", {"k": [2]}, hold="l0", out=tmp_path / "t")
    with pytest.raises(RunError, match="another sweep"):
        im.sweep(rows(), "topk", {"k": [2]}, **words)


def test_vectors_in_memory_are_laid_out_for_other_processes(tmp_path):
    x = rows(100)
    for data in (vectors_of(x, {"seed": 3}), vectors_of(im.load(x))):
        stored = StoredVectors.write(data, tmp_path)
        again = stored.open()
        assert (again.name, again.notes, dict(again.options)) == (
            data.name, data.notes, dict(data.options),
        )  # fmt: skip
        for name in stored.splits:
            one, two = getattr(data, name), getattr(again, name)
            assert_array_equal(one.read(0, one.rows), two.read(0, two.rows))
        assert (again.own_splits, again.shape) == (data.own_splits, (8,))


# ---------------------------------------------------------------- other libraries


def test_a_checkpoint_of_another_library_is_measured_as_it_computes(tmp_path):
    config = saelens_config("topk", k=3, rescale_acts_by_decoder_norm=False)
    tensors = saelens_tensors("topk")
    write_saelens(tmp_path / "theirs", tensors, config)
    x, before = samples(60), samples(80, seed=2)
    output, codes = saelens(x.astype(np.float64), tensors, config)
    found = im.score_foreign(tmp_path / "theirs", x)
    total = np.square(x - x.mean(0, dtype=np.float64)).sum()
    assert_allclose(found.metrics.fvu, np.square(x - output).sum() / total, rtol=1e-5)
    assert found.metrics.l0 == (codes > 0).sum(1).mean()
    assert found.imported.source.library == "SAELens"
    assert any("mean of these vectors" in note for note in found.notes)
    told = im.score_foreign(tmp_path / "theirs", x, train=before)
    about = np.square(x - before.mean(0, dtype=np.float64)).sum()
    assert_allclose(told.metrics.fvu, np.square(x - output).sum() / about, rtol=1e-5)
    assert not any("mean of these" in note for note in told.notes)
    assert found.metrics.refined_k == 3
    with pytest.raises(ConfigError, match="the vectors have 2 values"):
        im.score_foreign(tmp_path / "theirs", x[:, :2])
