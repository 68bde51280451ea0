"""Sparse dictionaries on the command line: every command, and every kind of bad input."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

import isthmus as im
from cli_tools import environment, isthmus, program, refused, snapshot, succeeded
from foreign_toys import D, saelens_config, saelens_tensors, samples, write_saelens
from isthmus.cli.options import dictionary_options, model_options, training_options
from isthmus.cli.values import members_of
from isthmus.errors import ConfigError
from isthmus.models.dictionary.presets import DICTIONARY_PRESETS
from isthmus.training.dictionary import DictionaryTraining

QUICK = ("--latents", "24", "--k", "3", "--epochs", "2", "--threads", "1", "--no-figures")


def rows(count=300, seed=0):
    draws = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(12, 8))
    codes = (draws.random((count, 12)) < 0.2) * draws.gamma(2.0, 1.0, (count, 12))
    return (codes @ directions + 0.5 + 0.01 * draws.normal(size=(count, 8))).astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with vectors.npy and a run on them, run/."""
    place = tmp_path_factory.mktemp("place")
    np.save(place / "vectors.npy", rows())
    words = ("--model", "topk", *QUICK, "--out", place / "run", "-q")
    succeeded("train", place / "vectors.npy", *words)
    return place


# ---------------------------------------------------------------- train


def test_train_says_what_it_does_and_leaves_a_run(tmp_path):
    np.save(tmp_path / "v.npy", rows())
    words = [word for word in QUICK if word != "--no-figures"]
    answer = succeeded("train", tmp_path / "v.npy", "--model", "topk", *words, "--out",
                       tmp_path / "r")  # fmt: skip
    for said in (
        "vectors of 8 values; 270 train, 6 validation, 24 test", "not normalised",
        "topk, 24 latents, 416 parameters", "at most 3 of 24 latents", "epoch 2/2", "held out",
    ):  # fmt: skip
        assert said in answer.err
    for said in ("topk on v", "PCA-3", "refined encoding", "isthmus encode", "Worth it"):
        assert said in answer.out
    assert len(list((tmp_path / "r" / "figures").glob("*.png"))) == 4


def test_json_has_the_agreed_keys(tmp_path, place):
    words = ("train", place / "vectors.npy", "--model", "batch-topk", *QUICK)
    found = succeeded(*words, "--out", tmp_path / "r", "--json").json
    assert set(found) == {"run", "model", "metrics", "seconds", "samples_per_second", "notes"}
    assert found["model"] == "batch-topk"
    assert set(found["metrics"]) == {"train", "validation", "test"}
    wanted = {"mse", "fvu", "fvu_refined", "cosine", "l0", "mean_activation", "dead_fraction",
              "max_firing_rate", "dense_10", "dense_25", "hoyer", "pca_mse", "firing_rate",
              "samples_per_second", "coherence_max", "fvu_low", "fvu_high"}  # fmt: skip
    assert wanted <= set(found["metrics"]["test"])
    assert found["samples_per_second"] > 0
    assert im.open(found["run"]).metrics["test"].fvu == found["metrics"]["test"]["fvu"]


def test_names_of_settings_on_the_command_line(tmp_path, place):
    words = ("--model", "matryoshka", "--prefixes", "8,24", "--latent", "24", "--k", "4")
    more = ("--normalise", "unit", "--revival", "0", "--held-out", "0.2", "--split-seed", "5")
    run = tmp_path / "r"
    succeeded("train", place / "vectors.npy", *words, *more, "--epochs", "1", "--no-figures",
              "--out", run, "-q")  # fmt: skip
    config = json.loads((run / "config.json").read_text())
    assert config["model"]["bottleneck"]["prefixes"] == [8, 24]
    assert config["model"]["normalise"] == "unit"
    assert config["training"]["revival"] == 0
    assert config["data"]["options"] == {"seed": 5}
    assert config["data"]["samples"]["train"] == 240


def test_network_means_the_autoencoder_of_that_name(tmp_path, place):
    quick = ("--epochs", "1", "--no-figures", "-q")
    words = ("train", place / "vectors.npy", "--model", "topk", "--latents", "8", "--k", "2")
    succeeded(*words, "--network", "mlp", *quick, "--out", tmp_path / "a")
    assert isinstance(im.open(tmp_path / "a"), im.Run)
    assert im.open(tmp_path / "a").model.latent == 8
    succeeded(*words, *quick, "--out", tmp_path / "b")
    assert isinstance(im.open(tmp_path / "b"), im.DictionaryRun)


def test_a_dry_run_counts_and_writes_nothing(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    words = ("train", place / "vectors.npy", "--model", "topk", *QUICK, "--dry-run")
    found = succeeded(*words, "--json").json
    assert found["run"] == "runs/vectors-topk"
    assert found["plan"]["parameters"] == 2 * 24 * 8 + 24 + 8
    assert found["plan"]["steps"] == 2 * 5  # 270 rows in batches of 64
    assert found["plan"]["seconds"] > 0
    assert found["plan"]["memory_bytes"] > 4 * 270 * 8
    out = succeeded(*words).out
    assert "nothing was trained or written" in out
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_is_refused_and_unharmed(place):
    before = snapshot(place / "run")
    words = ("train", place / "vectors.npy", "--model", "topk", *QUICK, "--out", place / "run")
    assert "--resume" in refused(1, *words, "-q")
    assert snapshot(place / "run") == before


def test_an_interrupted_training_goes_on_to_the_same_bytes(tmp_path, place):
    words = ["train", place / "vectors.npy", "--model", "topk", *QUICK]
    words[words.index("--epochs") + 1] = "80"
    process = program(*words, "--out", tmp_path / "r")
    for line in process.stderr:
        if line.startswith("epoch 2/"):
            process.send_signal(signal.SIGINT)
            break
    err = process.stderr.read()
    assert process.wait(60) == 130
    assert "what it had reached is kept" in err
    assert f"isthmus train --resume --out {tmp_path / 'r'}" in err
    process.stdout.close()
    process.stderr.close()
    succeeded("train", "--resume", "--out", tmp_path / "r", "--no-figures", "-q")
    succeeded(*words, "--out", tmp_path / "whole", "-q")
    one, two = (tmp_path / name / "model.safetensors" for name in ("r", "whole"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["--lr", "0.5"], "another training lr", 1),
        (["--k", "5"], "another model bottleneck", 1),
        (["--split-seed", "9"], "another data fingerprint", 1),
        (["--model", "batch-topk"], "they are: topk", 2),
        (["--members", "k=3"], "they are: topk", 2),
    ],
)
def test_resuming_with_other_settings_is_refused(words, said, code, place):
    before = snapshot(place / "run")
    assert said in refused(code, "train", "--resume", "--out", place / "run", "-q", *words)
    assert snapshot(place / "run") == before


def test_a_damaged_checkpoint_is_told(tmp_path, place):
    shutil.copytree(place / "run", tmp_path / "r")
    (tmp_path / "r" / "checkpoints" / "last.safetensors").write_bytes(b"\0" * 100)
    before = snapshot(tmp_path / "r")
    err = refused(1, "train", "--resume", "--out", tmp_path / "r", "-q")
    assert "checkpoint is damaged" in err
    assert "train anew into another folder" in err
    assert snapshot(tmp_path / "r") == before


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"format": 99, "model": {"kind": "SparseDictionary"}}',
        '{"format": 1, "model": {"kind": "SparseDictionary"}}',
    ],
)
def test_a_damaged_configuration_is_not_resumed(content, tmp_path, place):
    shutil.copytree(place / "run", tmp_path / "r")
    (tmp_path / "r" / "config.json").write_text(content)
    err = refused(1, "train", "--resume", "--out", tmp_path / "r", "-q")
    assert "config.json" in err


# ---------------------------------------------------------------- several


def test_members_train_over_one_pass(tmp_path, place):
    members = "topk:k=2; batch-topk:k=4,latents=16;k=3,normalise=unit"
    words = ("train", place / "vectors.npy", "--members", members, "--epochs", "2", "--no-figures")
    found = succeeded(*words, "--out", tmp_path / "all", "--json").json
    names = ["topk_k-2", "batch-topk_k-4_latents-16", "topk_k-3_normalise-unit"]
    assert list(found["members"]) == names
    assert found["members"][names[0]]["metrics"]["test"]["l0"] == 2
    assert {"run", "members", "seconds", "samples_per_second"} == set(found)
    out = succeeded("train", "--resume", "--out", tmp_path / "all", "--no-figures", "-q").out
    assert "3 dictionaries on vectors, test" in out
    assert all(name in out for name in names)
    assert im.open(tmp_path / "all" / names[2]).model.normalise == "unit"
    err = refused(1, "evaluate", tmp_path / "all")
    assert "3 dictionaries that were trained together" in err
    assert "--resume" in refused(1, *words, "--out", tmp_path / "all", "-q")
    told = succeeded("compare", *(tmp_path / "all" / name for name in names)).out
    assert "refined" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no dictionary"),
        (" ; ", "names no dictionary"),
        ("topk:k", "can't be read at 'k'"),
        ("topk:k=", "can't be read at 'k='"),
        ("topk:k=3,k=4", "can't be read"),
        ("dense:latent=3", "no dictionary preset"),
        ("topk:k=3;topk:k=3", "same dictionary twice"),
        ("topk:lr=3", "lr of its own"),
        ("topk:k=x", "can't be 'x'"),
    ],
)
def test_members_that_can_t_be_read(text, said, tmp_path, place):
    words = ("--members", text, "--out", tmp_path / "r", "-q")
    assert said in refused(2, "train", place / "vectors.npy", *words)
    assert not (tmp_path / "r").exists()


@given(
    st.lists(
        st.tuples(st.sampled_from([p.name for p in DICTIONARY_PRESETS]), st.integers(8, 99)),
        min_size=1,
        unique=True,
    )
)
def test_members_are_read_as_they_were_written(pairs):
    text = ";".join(f"{name}:latents={latents}" for name, latents in pairs)
    found = members_of(text, "topk")
    assert [(preset.name, own) for preset, own in found.values()] == [
        (name, {"latents": str(latents)}) for name, latents in pairs
    ]
    assert list(found) == [f"{name}_latents-{latents}" for name, latents in pairs]


def test_two_processes_give_what_one_does(tmp_path, place):
    words = ["train", str(place / "vectors.npy"), "--model", "topk", *QUICK, "--batch-size", "32"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
                "--standalone", "-m", "isthmus"]  # fmt: skip
    done = subprocess.run(
        [*torchrun, *words, "--out", str(tmp_path / "two"), "--json"],
        capture_output=True, text=True, env=environment(), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "topk"  # one process speaks, once
    succeeded(*words, "--out", tmp_path / "one", "-q")
    one, two = im.open(tmp_path / "one"), im.open(tmp_path / "two")
    assert torch.allclose(one.model.decoder, two.model.decoder, atol=1e-5)
    assert one.history["dead"] == two.history["dead"]
    assert one.origin == two.origin


# ---------------------------------------------------------------- what is done with a run


def test_evaluate_measures_again_and_elsewhere(place, tmp_path):
    np.save(tmp_path / "other.npy", rows(50, seed=4))
    own = succeeded("evaluate", place / "run", "--json").json["metrics"]
    assert own["test"]["fvu"] == im.open(place / "run").metrics["test"].fvu
    found = succeeded("evaluate", place / "run", "--data", tmp_path / "other.npy", "--json").json
    assert list(found["metrics"]) == ["data"]
    assert found["metrics"]["data"]["samples"] == 50
    some = succeeded("evaluate", place / "run", "--data", tmp_path / "other.npy", "--k", "1",
                     "--refined-rows", "0", "--json").json["metrics"]["data"]  # fmt: skip
    assert some["l0"] == 1
    assert "fvu_refined" not in some
    assert "FVU" in succeeded("evaluate", place / "run").out


@pytest.mark.parametrize("name", ["codes.npz", "codes.safetensors", "codes.npy", "codes.csv"])
def test_codes_are_written_in_every_form(name, place, tmp_path):
    from safetensors.numpy import load_file

    path = tmp_path / name
    found = succeeded("encode", place / "run", place / "vectors.npy", "--out", path, "--json").json
    sparse = name in ("codes.npz", "codes.safetensors")
    assert (found["samples"], found["latent"], found["sparse"]) == (300, 24, sparse)
    wanted = im.open(place / "run").model.encode(rows())
    if name == "codes.npz":
        codes = sp.load_npz(path)
        assert isinstance(codes, sp.csr_array)
        assert codes.data.dtype == np.float32
        codes = codes.toarray()
    elif sparse:
        held = load_file(path)
        codes = sp.csr_array(
            (held["data"], held["indices"], held["indptr"]), shape=tuple(held["shape"])
        ).toarray()
    elif name == "codes.npy":
        codes = np.load(path, allow_pickle=False)
    else:
        codes = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
    np.testing.assert_array_equal(codes, wanted.toarray())
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_one_split_another_k_and_refined_codes(place, tmp_path):
    run = im.open(place / "run")
    words = ("encode", place / "run", place / "vectors.npy", "-q", "--out")
    test = run.parts.source("test").read(0, run.parts.rows["test"])
    succeeded(*words, tmp_path / "a.npz", "--split", "test", "--k", "1")
    assert sp.load_npz(tmp_path / "a.npz").shape == (24, 24)
    assert sp.load_npz(tmp_path / "a.npz").nnz == 24
    succeeded(*words, tmp_path / "b.npz", "--split", "test", "--refine")
    refined = run.model.encode(test, refine=im.Pursuit(k=3))
    np.testing.assert_allclose(
        sp.load_npz(tmp_path / "b.npz").toarray(), refined.toarray(), atol=1e-5
    )
    assert "choose one of: train, validation, test" in refused(
        2, *words, tmp_path / "c.npz", "--split", "all"
    )


def test_codes_that_can_t_be_written(place, tmp_path):
    words = ("encode", place / "run", place / "vectors.npy", "-q", "--out")
    assert "only .npz and .safetensors" in refused(2, *words, tmp_path / "a.npy", "--sparse")
    assert "end its name in one of" in refused(2, *words, tmp_path / "a.txt")
    assert "could not be written" in refused(1, *words, tmp_path / "none" / "a.npz")
    np.save(tmp_path / "wide.npy", np.zeros((9, 3), np.float32))
    wide = ("encode", place / "run", tmp_path / "wide.npy", "-q", "--out", tmp_path / "a.npz")
    assert "the vectors have 3 values, the dictionary takes 8" in refused(2, *wide)
    bad = rows(20)
    bad[4, 1] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    words = ("encode", place / "run", tmp_path / "bad.npy", "-q", "--out", tmp_path / "b.npz")
    assert "--drop-bad-rows" in refused(1, *words)
    assert not (tmp_path / "b.npz").exists()
    succeeded(*words, "--drop-bad-rows")
    assert sp.load_npz(tmp_path / "b.npz").shape == (19, 24)


def test_reconstructions_and_their_errors(place, tmp_path):
    words = ("reconstruct", place / "run", place / "vectors.npy", "--json", "--out")
    found = succeeded(*words, tmp_path / "a", "--n", "0").json
    run = im.open(place / "run")
    assert found["samples"] == 24
    np.testing.assert_allclose(found["mse"], run.metrics["test"].mse, rtol=1e-5)
    raw = np.load(tmp_path / "a" / "originals.npy", allow_pickle=False)
    again = np.load(tmp_path / "a" / "reconstructions.npy", allow_pickle=False)
    np.testing.assert_allclose(again, run.model.reconstruct(raw), atol=1e-5)
    refined = succeeded(*words, tmp_path / "b", "--n", "0", "--refine").json
    assert refined["mse"] < found["mse"]
    assert succeeded(*words, tmp_path / "c", "--split", "all", "--n", "5").json["samples"] == 5
    assert "not empty" in refused(1, *words[:3], "--out", tmp_path / "a")
    assert "--separate is for images" in refused(2, *words[:3], "--out", tmp_path / "d",
                                                 "--separate")  # fmt: skip


def test_options_of_dictionaries_are_refused_for_autoencoders(tmp_path, place):
    quick = ("--latent", "3", "--epochs", "1", "--no-figures", "-q")
    path = place / "vectors.npy"
    succeeded("train", path, "--model", "linear", *quick, "--out", tmp_path / "a")
    codes = ("--out", tmp_path / "codes.npz", "-q")
    assert "for sparse dictionaries" in refused(
        2, "encode", tmp_path / "a", path, *codes, "--refine"
    )
    again = ("--out", tmp_path / "again", "-q")
    assert "for sparse dictionaries" in refused(
        2, "reconstruct", tmp_path / "a", path, *again, "--k", "3"
    )
    assert "for sparse dictionaries" in refused(2, "evaluate", tmp_path / "a", "-q", "--k", "2")
    assert "only sparse dictionaries" in refused(
        2, "export", tmp_path / "a", "--to", "saelens", "--out", tmp_path / "e"
    )
    assert "--members can't be added" in refused(
        2, "train", "--resume", "--members", "k=3", "--out", tmp_path / "a", "-q"
    )
    words = ("train", path, "--model", "linear", "--out", tmp_path / "b", "-q")
    assert "has no setting 'revival'" in refused(2, *words, "--revival", "0")
    assert "--refined-rows is for" in refused(2, *words, "--refined-rows", "5")


def test_export_and_back(place, tmp_path):
    for to in ("saelens", "sentence-transformers"):
        words = ("export", place / "run", "--to", to, "--out", tmp_path / to)
        found = succeeded(*words, "--json").json
        assert found["to"] == to
        again = ("evaluate", tmp_path / to, "--data", place / "vectors.npy", "--json")
        measured = succeeded(*again, "-q").json
        assert measured["metrics"]["data"]["l0"] <= 3
        assert measured["source"]["latents"] == 24
    ours = succeeded("evaluate", place / "run", "--data", place / "vectors.npy", "--json").json
    words = ("evaluate", tmp_path / "saelens", "--data", place / "vectors.npy", "-q", "--json")
    theirs = succeeded(*words).json["metrics"]["data"]
    np.testing.assert_allclose(theirs["mse"], ours["metrics"]["data"]["mse"], rtol=1e-5)
    assert "can't be 'torch'" in refused(
        2, "export", place / "run", "--to", "torch", "--out", tmp_path / "x"
    )
    assert "not empty" in refused(
        1, "export", place / "run", "--to", "saelens", "--out", tmp_path / "saelens"
    )


def test_sweep_draws_the_front(place, tmp_path):
    words = ("sweep", place / "vectors.npy", "--model", "topk", "--vary", "k=2,4", "--latents",
             "24", "--epochs", "1", "--out", tmp_path / "s")  # fmt: skip
    found = succeeded(*words, "--json", "-q").json
    assert [row["l0"] for row in found["rows"]] == [2, 4]
    assert (tmp_path / "s" / "figures" / "tradeoff.png").is_file()
    assert "busiest" in succeeded(*words, "-q").out


def test_models_lists_both_families():
    out = succeeded("models").out
    assert "sparse dictionaries, for vectors" in out
    assert all(preset.name in out for preset in DICTIONARY_PRESETS)
    found = succeeded("models", "--json").json
    assert [m["name"] for m in found["dictionaries"]] == [p.name for p in DICTIONARY_PRESETS]
    shown = succeeded("models", "topk").out
    assert "a sparse dictionary for vectors" in shown
    assert "--dead-after" in shown
    assert shown.index("--hidden") < shown.index("--dead-after")  # the autoencoder comes first
    only = succeeded("models", "gated", "--json").json
    assert (only["models"], len(only["dictionaries"])) == ([], 1)
    assert "did you mean 'contrastive'" in refused(2, "models", "contrastiv")


def test_every_setting_of_a_dictionary_is_an_option_and_told_in_help():
    options = {option.name: option for option in (*training_options(), *dictionary_options())}
    fields = {field.name for field in dataclasses.fields(DictionaryTraining)}
    for preset in DICTIONARY_PRESETS:
        fields |= {field.name for field in dataclasses.fields(preset.bottleneck)}
    # drop_bad is --drop-bad-rows, as for all data; a warm start needs weights to start from
    assert fields - {"drop_bad", "warm"} <= set(options)
    assert "warm" not in options
    names = [option.name for option in (*model_options(), *dictionary_options())]
    assert len(names) == len(set(names))
    assert all(option.help for option in dictionary_options())
    help_ = succeeded("train", "--help").out
    for flag in ("--latents", "--members", "--normalise", "--held-out", "--drop-bad-rows"):
        assert flag in help_


def test_help_of_train_imports_nothing_heavy():
    code = (
        "import sys; from isthmus.cli.program import run; code = run(['train', '--help']);"
        "heavy = {'torch', 'numpy', 'numba', 'sklearn', 'scipy'} & set(sys.modules);"
        "sys.exit(code or (f'imported {heavy}' if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=environment(), timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- bad input


def broken(tmp_path):
    """Files that can't be trained on, by what is said of them."""
    x = rows(60)
    bad = x.copy()
    bad[7, 3] = np.nan
    (tmp_path / "uneven").mkdir()
    np.save(tmp_path / "uneven" / "a.npy", x)
    np.save(tmp_path / "uneven" / "b.npy", x[:, :5])
    (tmp_path / "cut").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / "cut" / f"{name}.npy", x)
    whole = (tmp_path / "cut" / "b.npy").read_bytes()
    (tmp_path / "cut" / "b.npy").write_bytes(whole[:-50])
    (tmp_path / "short.npy").write_bytes(whole[:-50])
    np.save(tmp_path / "bad.npy", bad)
    np.save(tmp_path / "one.npy", x[:1])
    np.save(tmp_path / "none.npy", x[:0])
    np.save(tmp_path / "same.npy", np.ones((30, 4), np.float32))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    return {
        "bad.npy": "row 7, column 3: NaN",
        "one.npy": "fewer than 2 vectors",
        "none.npy": "no vectors",
        "same.npy": "all rows are the same",
        "text.npy": "real numbers",
        "short.npy": "shorter than the header says",
        "uneven": "shards are of unequal width",
        "cut": "b.npy",
        "missing.npy": "no data set, file or folder",
    }


def test_broken_data_are_told_by_name_and_place(tmp_path):
    for name, said in broken(tmp_path).items():
        run = tmp_path / f"run-{name}"
        err = refused(1, "train", tmp_path / name, "--model", "topk", "--out", run, "-q")
        assert said in err, name
        assert not (run / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--k", "30", "--latents", "24"], "larger than the number of latents, 24"),
        (["--k", "20", "--latents", "24"], "give --latents 80 or more"),
        (["--schedule", "cosine"], "--network mlp"),
        (["--preprocess", "centre"], "normalise = none, layer or unit"),
        (["--resize", "8"], "resize can't be chosen"),
        (["--nll-rows", "3"], "--nll-rows means nothing"),
        (["--latents", "many"], "latent can't be 'many'"),
        (["--held-out", "2"], "held_out"),
        (["--device", "tpu9"], "tpu9"),
        (["--validation", "0.5", "--test", "0.6"], "train"),
        (["--refined-rows", "-1"], "refined_rows"),
    ],
)
def test_settings_that_make_no_sense_are_told(words, said, tmp_path, place):
    run = tmp_path / "r"
    err = refused(2, "train", place / "vectors.npy", "--model", "topk", *words, "--out", run, "-q")
    assert said in err
    assert not (run / "model.safetensors").exists()


def test_rows_left_out_are_counted(tmp_path):
    broken(tmp_path)
    words = ("train", tmp_path / "bad.npy", "--model", "topk", *QUICK, "--out", tmp_path / "r")
    assert "1 of the 60 rows holds NaN" in succeeded(*words, "--drop-bad-rows").err
    assert im.open(tmp_path / "r").training.drop_bad
    succeeded("evaluate", tmp_path / "r", "-q")


def test_a_pickle_is_read_only_when_asked_for(tmp_path):
    from foreign_toys import draw

    tensors = {
        name: torch.from_numpy(v) for name, v in draw(0, **{"encoder.weight": (4, D)}).items()
    }
    torch.save(tensors, tmp_path / "theirs.pt")
    np.save(tmp_path / "x.npy", samples())
    words = ("evaluate", tmp_path / "theirs.pt", "--data", tmp_path / "x.npy", "-q")
    err = refused(1, *words)
    assert "which is not read unless asked for" in err
    assert "say so: --allow-pt" in err
    # asked for, it is read, and found to be no dictionary
    assert "can't be read as a sparse dictionary" in refused(1, *words, "--allow-pt")


def test_a_checkpoint_of_another_library(tmp_path, place):
    write_saelens(tmp_path / "theirs", saelens_tensors("jumprelu"), saelens_config("jumprelu"))
    np.save(tmp_path / "x.npy", samples())
    words = ("evaluate", tmp_path / "theirs")
    out = succeeded(*words, "--data", tmp_path / "x.npy").out
    assert "SAELens (jumprelu)" in out
    assert "mean of these vectors" in out
    more = succeeded(*words, "--data", tmp_path / "x.npy", "--train-data", tmp_path / "x.npy").out
    assert "mean of these vectors" not in more
    assert "add --data" in refused(2, *words)
    assert "--k is for dictionaries of isthmus" in refused(2, *words, "--k", "3")
    assert "checkpoints of other libraries" in refused(2, "evaluate", place / "run", "--allow-pt")
    assert "no config.json" in refused(1, "evaluate", tmp_path)


def test_a_wrong_member_setting_is_a_config_error():
    with pytest.raises(ConfigError, match="can't be read"):
        members_of("topk:=3", "topk")
    answer = isthmus("train", "--members", "k=3")
    assert answer.code == 2
