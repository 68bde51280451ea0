"""The folder of a run: complete, open anywhere, measured the same way, refused where damaged."""

import csv
import getpass
import json
import shutil
import socket
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import isthmus as im
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.files import read_json
from isthmus.runs import SplitMetrics
from isthmus.runs.environment import environment
from isthmus.runs.identity import fingerprint
from toys import digits, same_state, vectors

SETTINGS = {"epochs": 2, "latent": 4, "hidden": (16,), "threads": 1}
EVERY_SPLIT = {  # DESIGN.md, section 6
    "mse",
    "fvu",
    "bce",
    "l0",
    "mean_activation",
    "dead_fraction",
    "max_firing_rate",
    "hoyer",
    "pca_mse",
    "samples_per_second",
}
VARIATIONAL = {"nll", "elbo", "nll_samples", "nll_ess", "active_units"}
NEIGHBOURS = {"knn_accuracy", "pca_knn_accuracy"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs on digits, written once and read by many tests."""
    home = tmp_path_factory.mktemp("runs")
    im.train("vae", "digits", out=home / "vae", **SETTINGS)
    im.train("sparse-l1", "digits", out=home / "l1", figures=False, **SETTINGS | {"l0": 2})
    return home


@pytest.fixture
def run_folder(folders, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(folders / "l1", tmp_path / "copy"))


def measured(run):
    """Every number but the clock's."""
    return {
        name: {k: v for k, v in split.as_json().items() if k != "samples_per_second"}
        for name, split in run.metrics.items()
    }


def same_numbers(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, str):
            assert value == other[key]
        else:
            np.testing.assert_allclose(value, other[key], rtol=1e-5, atol=1e-7, err_msg=key)


# ---------------------------------------------------------------- what a run leaves behind


def test_the_folder_is_complete(folders):
    folder = folders / "vae"
    assert {p.name for p in folder.iterdir()} == {
        "README.md",
        "checkpoints",
        "config.json",
        "environment.json",
        "figures",
        "history.csv",
        "metrics.json",
        "model.safetensors",
    }
    with (folder / "history.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    terms = {f"{s}_{t}" for s in ("train", "validation") for t in ("distortion", "rate", "penalty")}
    assert terms <= set(rows[0])
    config = read_json(folder / "config.json")
    assert config["format"] == 1
    assert config["preset"] == "vae"
    assert config["data"]["source"] == "digits"
    assert sum(config["data"]["samples"].values()) == 1797


def test_figures_stand_beside_their_numbers(folders):
    figures = folders / "vae" / "figures"
    names = {p.stem for p in figures.glob("*.png")}
    assert {
        "loss_curves",
        "reconstructions",
        "latent_map",
        "codes",
        "kl_per_latent",
        "prior_samples",
        "interpolations",
        "traversals",
    } <= names
    for name in names:
        tables = list(figures.glob(f"{name}*.csv"))
        assert tables, name
        for table in tables:
            assert len(table.read_text().splitlines()) > 1
        assert (figures / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not (folders / "l1" / "figures").exists()  # figures=False


def test_the_metrics_carry_the_names_that_are_promised(folders):
    variational = read_json(folders / "vae" / "metrics.json")
    sparse = read_json(folders / "l1" / "metrics.json")
    assert set(variational) == set(sparse) == {"train", "validation", "test"}
    for name in variational:
        assert set(variational[name]) >= EVERY_SPLIT | VARIATIONAL
        assert set(sparse[name]) >= EVERY_SPLIT - {"bce"}
        assert not VARIATIONAL & set(sparse[name])
        held_out = name != "train"  # on itself a neighbour is the sample
        assert (set(variational[name]) >= NEIGHBOURS) == held_out
    known = {f.name for f in fields(SplitMetrics)}
    assert set(sparse["test"]) | set(variational["test"]) <= known
    assert (
        variational["test"]["samples"]
        == read_json(folders / "vae" / "config.json")["data"]["samples"]["test"]
    )


def test_the_numbers_by_hand(folders):
    """MSE, FVU, L0, mean activation and dead share of the test split from codes and images."""
    run = im.open(folders / "l1")
    test, data = run.metrics["test"], run.dataset
    scaled = {s: run.model.preprocessing(data[s].all()).double() for s in ("train", "test")}
    codes = run.model.encode(data["test"].all())
    back = run.model.preprocessing(run.model.reconstruct(data["test"].all())).double()
    errors = (back - scaled["test"]).square()
    about_mean = (scaled["test"] - scaled["train"].mean(0)).square()
    assert test.mse == pytest.approx(float(errors.mean()), rel=1e-4)
    assert test.fvu == pytest.approx(float(errors.sum() / about_mean.sum()), rel=1e-4)
    assert test.l0 == pytest.approx(float((codes > 0).sum(1).double().mean()))
    assert test.mean_activation == pytest.approx(float(codes.mean()), rel=1e-4)
    assert test.dead_fraction == pytest.approx(float((~(codes > 0).any(0)).double().mean()))
    assert test.samples == len(codes)


def test_the_environment_says_nothing_private(folders, tmp_path):
    text = (folders / "vae" / "environment.json").read_text()
    found = json.loads(text)
    assert found["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert set(found) == {"python", "platform", "cpus", "threads", "device", "packages"}
    for secret in (str(Path.home()), str(folders), str(Path.cwd()), socket.gethostname()):
        assert len(secret) < 2 or secret not in text
    assert f'"{getpass.getuser()}"' not in text
    assert "/" not in json.dumps(environment(torch.device("cpu")))


def test_the_card_holds_the_numbers_and_their_protocol(folders):
    card = (folders / "vae" / "README.md").read_text()
    run = im.open(folders / "vae")
    assert f"{run.metrics['test'].mse:.5g}" in card
    assert "grey values a cross-entropy, not a likelihood" in card
    assert "1,797" not in card
    assert "digits" in card
    assert run.metrics["test"].verdict in card


# ---------------------------------------------------------------- opened again


@pytest.mark.parametrize("name", ["vae", "l1"])
def test_a_moved_run_opens_and_measures_the_same(folders, name, tmp_path, monkeypatch):
    moved = Path(shutil.copytree(folders / name, tmp_path / "elsewhere" / name))
    monkeypatch.chdir(tmp_path)
    before, run = im.open(folders / name), im.open(moved)
    assert same_state(run.model, before.model)
    assert measured(run) == measured(before)
    assert run.history.rows == before.history.rows
    assert run.training == before.training
    again = {
        k: {n: v for n, v in s.as_json().items() if n != "samples_per_second"}
        for k, s in run.evaluate().items()
    }
    for split, values in measured(run).items():
        same_numbers(values, again[split])


def test_an_unsaved_run_saves_later_to_the_same(tmp_path):
    run = im.train("topk", "digits", **SETTINGS | {"k": 2})
    assert run.folder is None
    run.save(tmp_path / "late", figures=False)
    again = im.open(tmp_path / "late")
    assert run.folder == tmp_path / "late"
    assert measured(again) == measured(run)
    assert same_state(again.model, run.model)
    with pytest.raises(RunError, match="already holds a run"):
        run.save(tmp_path / "late")


def test_a_later_versions_metrics_are_passed_over(run_folder):
    path = run_folder / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["test"]["a_number_of_the_future"] = 3
    path.write_text(json.dumps(metrics))
    assert im.open(run_folder).metrics["test"].mse == metrics["test"]["mse"]


# ---------------------------------------------------------------- measured


@pytest.mark.parametrize("name", ["vae", "topk", "batch-topk"])
def test_measuring_does_not_depend_on_the_size_of_the_batches(name, monkeypatch):
    from isthmus.runs.evaluation import _Measured

    run = im.train(name, "digits", **SETTINGS | ({} if name == "vae" else {"k": 2}))
    whole = run.evaluate(options=im.Evaluation(nll_samples=0))
    plain = _Measured._batches
    monkeypatch.setattr(_Measured, "_batches", lambda self, split, size=7: plain(self, split, size))
    small = run.evaluate(options=im.Evaluation(nll_samples=0))
    for split in whole:
        one, other = (
            {k: v for k, v in m[split].as_json().items() if k != "samples_per_second"}
            for m in (whole, small)
        )
        same_numbers(one, other)


def test_measuring_leaves_model_mode_and_random_state_alone(folders):
    run = im.open(folders / "vae")
    run.model.train()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    options = im.Evaluation(nll_samples=5, nll_rows=20)
    first, second = (run.evaluate(options=options)["test"] for _ in range(2))
    assert run.model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert (first.nll, first.elbo, first.mse) == (second.nll, second.elbo, second.mse)
    assert first.nll_rows == 20
    assert first.nll_samples == 5


def test_more_importance_samples_tighten_the_estimate(folders):
    run = im.open(folders / "vae")
    few, many = (
        im.evaluate(run.model, run.dataset, im.Evaluation(nll_samples=k, nll_rows=0), ("test",))[
            "test"
        ]
        for k in (1, 200)
    )
    assert few.nll == pytest.approx(-few.elbo)  # one sample: the bound itself
    assert many.nll < few.nll
    assert many.nll < -many.elbo


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_the_protocol_of_a_likelihood_is_named(how):
    run = im.train("vae", "digits", binarise=how, **SETTINGS)
    test = run.metrics["test"]
    assert test.nll_protocol == f"{how} binarisation, seed 0"
    assert test.bce_floor == pytest.approx(0, abs=1e-9)  # bits have no entropy of their own
    assert run.evaluate(options=im.Evaluation(binarise=how, nll_samples=3))["test"].mse == (
        pytest.approx(test.mse, rel=1e-5)
    )
    values = np.unique(run.dataset["test"].all().numpy())
    assert (len(values) == 2) == (how == "static")


def test_grey_values_and_densities_are_told_from_likelihoods(folders):
    assert "not a likelihood" in im.open(folders / "vae").metrics["test"].nll_protocol
    density = im.train("gaussian-vae", vectors(60, 6, validation=10), **SETTINGS)
    assert "a density" in density.metrics["train"].nll_protocol
    assert density.metrics["train"].bce is None
    squared = im.train("vae", vectors(60, 6, validation=10), likelihood="mse", **SETTINGS).metrics[
        "train"
    ]
    assert squared.nll is None  # a plain squared error is no likelihood
    assert squared.rate is not None


def test_shapes_that_do_not_fit_are_refused(folders):
    run = im.open(folders / "l1")
    with pytest.raises(ConfigError, match="shape"):
        run.evaluate(np.zeros((20, 9, 9), np.uint8))
    with pytest.raises(ConfigError, match="shape"):
        im.evaluate(run.model, vectors(20, 6))


# ---------------------------------------------------------------- other data, and the run's own


def test_other_data_count_as_one_split(folders):
    """The test images given again, in three parts: the numbers of the test split."""
    run = im.open(folders / "l1")
    part = run.dataset["test"]
    images, labels = part.all().numpy().astype(np.uint8), part.label_array()
    found = run.evaluate(im.load((images[:, 0], labels), test=0.2, validation=0.3, range=(0, 16)))
    assert set(found) == {"data"}
    given, own = found["data"], run.metrics["test"]
    assert given.samples == own.samples
    for key in ("mse", "fvu", "l0", "knn_accuracy", "pca_mse", "dead_fraction"):
        assert getattr(given, key) == pytest.approx(getattr(own, key), rel=1e-4), key


def test_a_run_on_arrays_says_that_it_keeps_none(tmp_path):
    images = digits()["train"].all().numpy()[:200, 0]
    run = im.train("dense", images, out=tmp_path / "run", figures=False, **SETTINGS)
    assert run.dataset["train"] is not None
    again = im.open(tmp_path / "run")
    assert again.origin.source is None
    with pytest.raises(RunError, match="arrays in memory") as caught:
        again.evaluate()
    assert "--data" in caught.value.fix
    found = again.evaluate(images)["data"]  # without the training split: about themselves
    assert found.samples == 200
    assert found.fvu is not None


def test_changed_data_are_noticed(tmp_path):
    path = tmp_path / "x.npy"
    values = vectors(80, 6)["train"].values
    np.save(path, values)
    im.train("linear", path, out=tmp_path / "run", figures=False, epochs=1, latent=2)
    before = im.open(tmp_path / "run").evaluate()
    assert before["test"].mse == im.open(tmp_path / "run").metrics["test"].mse
    np.save(path, values[::-1] * 2)
    with pytest.raises(RunError, match="changed since"):
        im.open(tmp_path / "run").evaluate()
    path.unlink()
    with pytest.raises(im.IsthmusError):
        im.open(tmp_path / "run").evaluate()
    assert im.open(tmp_path / "run").evaluate(values)["data"].samples == 80


def test_the_fingerprint_sees_values_sizes_and_splits():
    one = fingerprint(vectors(50, 6))
    assert one == fingerprint(vectors(50, 6))
    others = [vectors(50, 6, seed=1), vectors(51, 6), vectors(50, 6, validation=5), vectors(50, 5)]
    assert len({one, *map(fingerprint, others)}) == 5


# ---------------------------------------------------------------- folders that are no good


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", "{}"),
        ("config.json", '{"format": 1}'),
        ("config.json", None),
        ("model.safetensors", ""),
        ("model.safetensors", "not weights at all"),
        ("metrics.json", "{"),
        ("metrics.json", "[1]"),
        ("metrics.json", '{"test": 3}'),
        ("metrics.json", '{"test": {"mse": 1}}'),
        ("history.csv", "epoch,train_loss\n1,low\n"),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(run_folder, name, content):
    path = run_folder / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    before = {p: p.read_bytes() for p in run_folder.rglob("*") if p.is_file()}
    with pytest.raises(RunError) as caught:
        im.open(run_folder)
    assert str(run_folder) in caught.value.where
    assert {p: p.read_bytes() for p in run_folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("keep", [8, 100, -1])
def test_truncated_weights_are_refused(run_folder, keep):
    path = run_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match="damaged") as caught:
        im.open(run_folder)
    assert caught.value.where.endswith("model.safetensors")


def test_a_damaged_setting_is_a_damaged_run(run_folder):
    path = run_folder / "config.json"
    whole = json.loads(path.read_text())
    for part in ({"training": {"epochs": -1}}, {"training": 3}, {"data": {"samples": "many"}}):
        path.write_text(json.dumps(whole | part))
        with pytest.raises(RunError, match="damaged"):
            im.open(run_folder)


def test_a_newer_format_says_to_update(run_folder):
    path = run_folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(RunError, match="99") as caught:
        im.open(run_folder)
    assert "update" in caught.value.fix


def test_what_is_no_run_is_told(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match=r"no config\.json"):
            im.open(place)


def test_a_taken_folder_is_refused_before_anything_happens(run_folder, tmp_path):
    before = {p: p.read_bytes() for p in run_folder.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match="already holds a run"):
        im.train("dense", "digits", out=run_folder, **SETTINGS)
    assert {p: p.read_bytes() for p in run_folder.rglob("*") if p.is_file()} == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("three years")
    with pytest.raises(RunError, match="not empty"):
        im.train("dense", "digits", out=other, **SETTINGS)
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]
    with pytest.raises(RunError, match="can't be made"):
        im.train("dense", "digits", out=other / "thesis.txt" / "run", **SETTINGS)


# ---------------------------------------------------------------- resumed


def stopped_run(folder, **settings):
    """Start a run and interrupt it after its first epoch."""

    class Interrupted(Exception):
        pass

    def watch(progress):
        if progress.row is not None:
            raise Interrupted

    with pytest.raises(Interrupted):
        im.train(
            "dense", "digits", out=folder, progress=watch, figures=False, checkpoint_seconds=0,
            **SETTINGS | {"epochs": 3} | settings,
        )  # fmt: skip


def again(folder, **settings):
    return im.train(
        "dense", "digits", out=folder, resume=True, figures=False, checkpoint_seconds=0,
        **SETTINGS | {"epochs": 3} | settings,
    )  # fmt: skip


def test_an_unfinished_run_says_how_to_go_on_and_ends_the_same(tmp_path):
    folder = tmp_path / "run"
    stopped_run(folder)
    with pytest.raises(RunError, match="has not ended") as caught:
        im.open(folder)
    assert "--resume" in caught.value.fix
    resumed = again(folder)
    whole = im.train("dense", "digits", **SETTINGS | {"epochs": 3})
    assert same_state(resumed.model, whole.model)
    assert measured(resumed) == measured(whole)
    assert measured(im.open(folder)) == measured(whole)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"lr": 0.5}, "training lr"),
        ({"epochs": 9}, "training epochs"),
        ({"latent": 3}, "model bottleneck"),
        ({"hidden": (9,)}, "model network"),
        ({"seed": 4}, "seed"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, settings, named):
    folder = tmp_path / "run"
    stopped_run(folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match=f"another .*{named}"):
        again(folder, **settings)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_other_data_are_refused_and_so_is_nothing_to_resume(tmp_path):
    folder = tmp_path / "run"
    stopped_run(folder)
    images = digits()["train"].all().numpy()[:, 0]
    with pytest.raises(RunError, match="another data fingerprint"):
        im.train(
            "dense", im.load(images, range=(0, 16)), out=folder, resume=True,
            checkpoint_seconds=0, **SETTINGS | {"epochs": 3},
        )  # fmt: skip
    with pytest.raises(RunError, match="no run to resume"):
        again(tmp_path / "none")


# ---------------------------------------------------------------- settings and own halves


def test_settings_that_nobody_has_are_refused_with_those_that_are():
    with pytest.raises(ConfigError, match="no setting 'epoch'") as caught:
        im.train("dense", "digits", epoch=3)
    assert "epochs" in caught.value.why
    assert "latent" in caught.value.why
    with pytest.raises(ConfigError, match="Training has no setting"):
        im.train(im.Autoencoder((1, 8, 8)), "digits", latent=3)
    with pytest.raises(ConfigError, match=r"k = 8 is larger than the number of latents, 4"):
        im.train("topk", "digits", latent=4)  # what the part itself says of several fields
    with pytest.raises(DataError):
        im.train("dense", np.full((20, 4), np.nan), epochs=1)


def test_a_model_that_brings_its_own_preprocessing_keeps_it():
    first = im.train("linear", vectors(60, 6), epochs=1, latent=2)
    shift = first.model.preprocessing.shift.clone()
    second = im.train(first.model, vectors(60, 6, seed=9), epochs=1)
    assert torch.equal(second.model.preprocessing.shift, shift)
    assert second.preset == "custom"


def test_the_users_own_halves_come_back_with_their_weights(tmp_path):
    def halves():
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh())
        decoder = nn.Sequential(nn.Linear(5, 64), nn.Unflatten(1, (1, 8, 8)))
        return {"encoder": encoder, "decoder": decoder}

    model = im.Autoencoder((1, 8, 8), bottleneck=im.Plain(5), **halves())
    run = im.train(model, "digits", epochs=1, out=tmp_path / "own", figures=False)
    with pytest.raises(ConfigError, match="own encoder and decoder") as caught:
        im.open(tmp_path / "own")
    assert "encoder=" in caught.value.fix
    again = im.open(tmp_path / "own", **halves())
    assert same_state(again.model, run.model)
    images = run.dataset["test"].all()
    assert torch.equal(again.model.encode(images), run.model.encode(images))
    assert again.evaluate()["test"].mse == pytest.approx(run.metrics["test"].mse, rel=1e-6)
