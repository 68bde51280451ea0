"""`isthmus train`: real trainings, refusals, interruptions, a full disk."""

import csv
import json
import signal
import sys
import time

import numpy as np
import pytest

from cli_tools import (
    QUICK,
    SMALL,
    finished,
    isthmus,
    program,
    refused,
    snapshot,
    succeeded,
)

# epochs enough to be stopped in the middle; checkpoints are written as often as can be
LONG = (*SMALL, "--epochs", "12", "--no-figures", "--checkpoint-seconds", "0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, and what the command printed."""
    run = tmp_path_factory.mktemp("train") / "run"
    return run, succeeded("train", "digits", *SMALL, "--epochs", "3", "--out", run, "--json")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- what it prints and writes


def test_json_is_one_object_with_what_was_promised(trained):
    run, answer = trained
    found = answer.json
    assert list(found) == ["run", "model", "metrics", "seconds", "samples_per_second"]
    assert found["run"] == str(run)
    assert found["model"] == "dense"
    assert found["metrics"] == json.loads((run / "metrics.json").read_text())
    assert set(found["metrics"]) == {"train", "validation", "test"}
    # the speed is that of the training steps of the three epochs, and of nothing else
    spent = sum(float(row["seconds"]) for row in rows(run / "history.csv"))
    assert found["seconds"] == pytest.approx(spent)
    assert found["samples_per_second"] == pytest.approx(3 * 1437 / spent)


def test_the_run_holds_everything_and_stderr_told_of_it(trained):
    run, answer = trained
    names = {path.name for path in run.iterdir()}
    assert names == {
        "config.json", "model.safetensors", "history.csv", "metrics.json", "figures", "README.md",
        "environment.json", "checkpoints",
    }  # fmt: skip
    pictures = sorted((run / "figures").glob("*.png"))
    assert len(pictures) >= 4
    assert all(path.with_suffix(".csv").is_file() for path in pictures)
    for said in ("1,437 train", "4 latents", "epoch 3/3", "samples/s", "learning rate"):
        assert said in answer.err


def test_for_people_it_ends_with_a_table_the_place_and_the_next_step(tmp_path):
    run = tmp_path / "a run"
    answer = succeeded("train", "digits", *QUICK, "--out", run, "-q")
    assert answer.err == ""
    for said in ("squared error (MSE)", "PCA", "verdict", f"'{run}'", "isthmus reconstruct"):
        assert said in answer.out
    assert not list((run / "figures").glob("*.png"))


def test_settings_reach_every_part(tmp_path):
    run = tmp_path / "run"
    given = {
        "--model": "sparse-l1", "--hidden": "24,12", "--activation": "Tanh", "--latent": "16",
        "--l0": "none", "--weight": "0.01", "--corruption": "Masking", "--share": "0.25",
        "--likelihood": "Laplace", "--schedule": "constant", "--seed": "5", "--split-seed": "3",
        "--epochs": "1", "--threads": "1", "--preprocess": "centre", "--validation": "100",
    }  # fmt: skip
    succeeded("train", "digits", *sum(given.items(), ()), "--tied", "--no-figures", "--out", run)
    config = json.loads((run / "config.json").read_text())
    model, training = config["model"], config["training"]
    assert config["preset"] == "sparse-l1"
    assert model["network"]["hidden"] == [24, 12]
    assert model["network"]["activation"] == "Tanh"
    assert model["network"]["tied"] is True
    assert (model["bottleneck"]["latent"], model["bottleneck"]["weight"]) == (16, 0.01)
    assert model["bottleneck"]["l0"] is None
    assert model["corruption"] == {"kind": "Masking", "share": 0.25}
    assert model["likelihood"]["kind"] == "Laplace"
    assert model["preprocessing"]["method"] == "centre"
    assert (training["schedule"], training["seed"]) == ("constant", 5)
    assert config["data"]["options"] == {"seed": 3, "validation": 100.0}


def test_a_switch_that_is_on_can_be_switched_off(tmp_path):
    run = tmp_path / "run"
    words = ("--no-channels-last", "--threads", "1", "--epochs", "1", "--no-figures")
    succeeded("train", "digits", "--model", "conv", "--channels", "4", *words, "--out", run)
    assert json.loads((run / "config.json").read_text())["training"]["channels_last"] is False


def test_without_out_the_run_is_named_after_data_and_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("my vectors.npy", np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32))
    found = succeeded("train", "my vectors.npy", *QUICK, "--json").json
    assert found["run"] == "runs/my-vectors-dense"
    assert (tmp_path / "runs/my-vectors-dense/model.safetensors").is_file()


def test_a_dry_run_says_what_would_happen_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = succeeded("train", "digits", *SMALL, "--epochs", "7", "--dry-run", "--json").json
    assert found["run"] == "runs/digits-dense"
    assert found["plan"]["steps"] == 7 * 6  # 1,437 samples in batches of 256
    # 64-16-4-16-64 with biases
    assert found["plan"]["parameters"] == 64 * 16 + 16 + 16 * 4 + 4 + 4 * 16 + 16 + 16 * 64 + 64
    assert found["plan"]["seconds"] > 0
    out = succeeded("train", "digits", *SMALL, "--dry-run").out
    assert "nothing was trained or written" in out
    assert list(tmp_path.iterdir()) == []


def test_a_likelihood_is_measured_as_asked(tmp_path):
    words = ("--model", "vae", *QUICK, "--nll-samples", "7", "--nll-rows", "50")
    found = succeeded("train", "digits", *words, "--out", tmp_path / "run", "--json").json
    test = found["metrics"]["test"]
    assert (test["nll_samples"], test["nll_rows"]) == (7, 50)
    assert test["elbo"] <= -test["nll"]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to train on"),
        (["digits", "--resume"], "--out"),
        (["digits", "--model", "sparse-l"], "did you mean 'sparse-"),
        (["digits", "--epochs", "0"], "epochs must be above 0"),
        (["digits", "--epochs", "ten"], "epochs"),
        (["digits", "--lr", "-1"], "lr must be above 0"),
        (["digits", "--latent", "-3"], "latent"),
        (["digits", "--hidden", "8,x"], "hidden"),
        (["digits", "--activation", "Relu6x"], "activation"),
        (["digits", "--schedule", "cosin"], "cosine"),
        (["digits", "--device", "abacus"], "abacus"),
        (["digits", "--k", "3"], "has no setting 'k'"),
        (["digits", "--network", "mpl"], "mlp"),
        (["digits", "--likelihood", "normal"], "normal"),
        (["digits", "--preprocess", "unitt"], "unit"),
        (["digits", "--model", "topk", "--k", "100"], "k"),
        (["digits", "--model", "vae", "--nll-samples", "-1"], "--nll-samples"),
        (["digits", "--model", "sparse-l1", "--l0", "5", "--mean-activation", "0.1"], "l0"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_written(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = [] if "--resume" in words or not words else ["--out", "run"]
    err = refused(2, "train", *words, *out, "-q")
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_a_likelihood_that_does_not_fit_the_data_is_refused(tmp_path):
    path = tmp_path / "vectors.npy"
    np.save(path, np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32))
    answer = isthmus("train", path, "--model", "vae", *QUICK, "--out", tmp_path / "run", "-q")
    assert answer.code in {1, 2}
    assert "[0, 1]" in answer.err


def test_a_folder_that_is_taken_is_left_alone(trained, tmp_path):
    run, _ = trained
    before = snapshot(run)
    err = refused(1, "train", "digits", *QUICK, "--out", run)
    assert "holds a run already" in err
    assert f"--out {run}-2" in err
    assert "--resume" in err
    assert snapshot(run) == before
    (tmp_path / "thesis.txt").write_text("mine")
    assert "is not empty" in refused(1, "train", "digits", *QUICK, "--out", tmp_path)
    assert "a file" in refused(1, "train", "digits", *QUICK, "--out", tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_diverging_loss_stops_with_1_and_says_what_to_try(tmp_path):
    path, run = tmp_path / "wide.npy", tmp_path / "run"
    values = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    np.save(path, values * 1e18)
    words = ("--preprocess", "none", "--lr", "1e8", "--schedule", "constant", *QUICK)
    err = refused(1, "train", path, *words, "--out", run, "-q")
    assert "the loss became" in err
    assert "lower --lr" in err
    assert "--clip 1" in err
    assert not (run / "model.safetensors").exists()


# ---------------------------------------------------------------- interrupted, killed, resumed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same training, never disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    succeeded("train", "digits", *LONG, "--out", run, "-q")
    return run


def curve(run):
    clock = {"seconds", "samples_per_second"}
    return [{k: v for k, v in row.items() if k not in clock} for row in rows(run / "history.csv")]


def stopped(run, how):
    """Start the training as a program, and stop it in the middle; a step waits a moment."""
    code = (
        "import sys, time; from isthmus.training.loop import torch; "
        "from isthmus.cli.program import run; clip = torch.Tensor.backward\n"
        "def slow(self, *a, **k): time.sleep(0.01); return clip(self, *a, **k)\n"
        "torch.Tensor.backward = slow\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    process = program("train", "digits", *LONG, "--out", run, code=code)
    for line in process.stderr:
        if line.startswith("epoch 3/"):
            break
    time.sleep(0.05)
    process.send_signal(how)
    return finished(process)


def test_ctrl_c_exits_with_130_and_resume_ends_in_the_same_bytes(whole, tmp_path):
    run = tmp_path / "run"
    answer = stopped(run, signal.SIGINT)
    assert answer.code == 130, answer
    assert "Interrupted: training was stopped in epoch 4" in answer.err
    assert f"isthmus train --resume --out {run}" in answer.err
    assert "Traceback" not in answer.err
    assert "this run's training has not ended" in refused(1, "evaluate", run)
    # every setting, the data and the threads are the run's own
    done = succeeded("train", "--resume", "--out", run, "--no-figures", "--json")
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert curve(run) == curve(whole)
    assert len(curve(run)) == 12
    assert "epoch 2/12" not in done.err  # it went on, and did not start again
    expected = json.loads((whole / "metrics.json").read_text())["test"]
    clock = {"samples_per_second"}
    found = done.json["metrics"]["test"]
    assert {k: v for k, v in found.items() if k not in clock} == {
        k: v for k, v in expected.items() if k not in clock
    }


def test_kill_9_and_resume_end_in_the_same_bytes(whole, tmp_path):
    run = tmp_path / "run"
    answer = stopped(run, signal.SIGKILL)
    assert answer.code == -signal.SIGKILL
    assert (run / "checkpoints" / "last.safetensors").is_file()
    assert not (run / "model.safetensors").exists()
    succeeded("train", "digits", *LONG, "--resume", "--out", run, "-q")
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert curve(run) == curve(whole)


def test_a_finished_run_resumes_to_itself(trained, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    before = (run / "model.safetensors").read_bytes()
    succeeded("train", "--resume", "--out", run, "-q", "--no-figures")
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lr", "0.5"], "another training lr"),
        (["--latent", "5"], "another model bottleneck"),
        (["--split-seed", "9"], "another data fingerprint"),
        (["--model", "topk"], "another model"),
    ],
)
def test_resuming_with_other_settings_is_refused(words, said, trained):
    run, _ = trained
    before = snapshot(run)
    assert said in refused(1, "train", "--resume", "--out", run, "-q", *words)
    assert snapshot(run) == before


def test_resume_needs_a_run(tmp_path):
    assert "no run to resume" in refused(1, "train", "--resume", "--out", tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1}', "\0"])
def test_a_run_with_a_damaged_configuration_is_not_resumed(content, trained, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    (run / "config.json").write_text(content)
    before = snapshot(run)
    err = refused(1, "train", "--resume", "--out", run, "-q")
    assert str(run / "config.json") in err
    assert snapshot(run) == before


@pytest.mark.parametrize("keep", [None, 0, 100, -10])
def test_a_run_with_a_damaged_checkpoint_is_not_resumed(keep, trained, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    path = run / "checkpoints" / "last.safetensors"
    kept = path.read_bytes()
    path.unlink() if keep is None else path.write_bytes(kept[:keep])
    before = snapshot(run)
    assert "last.safetensors" in refused(1, "train", "--resume", "--out", run, "-q")
    assert snapshot(run) == before


# ---------------------------------------------------------------- a full disk


def on_a_full_disk(limit, *words):
    """Run a command that may write files of at most ``limit`` bytes."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "from isthmus.cli.program import run; sys.exit(run(sys.argv[1:]))"
    )
    return finished(program(*words, code=code))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
@pytest.mark.parametrize("limit", [200, 20_000])
def test_a_full_disk_is_told_and_harms_nothing(limit, trained, tmp_path):
    (tmp_path / "other.txt").write_text("mine")
    answer = on_a_full_disk(limit, "train", "digits", *QUICK, "--out", tmp_path / "run", "-q")
    assert answer.code == 1
    assert "could not be written" in answer.err
    assert limit > 200 or str(tmp_path / "run") in answer.err
    assert "make room" in answer.err
    assert "Traceback" not in answer.err
    assert (tmp_path / "other.txt").read_text() == "mine"
    # no half of a file is left behind, and what is there can be read
    for path in (tmp_path / "run").rglob("*"):
        assert not path.name.endswith(".tmp")
        assert path.suffix != ".json" or json.loads(path.read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_full_disk_keeps_the_file_that_was_there(trained, tmp_path):
    run, _ = trained
    codes = tmp_path / "codes.npy"
    codes.write_bytes(b"before")
    answer = on_a_full_disk(5000, "encode", run, "digits", "--out", codes, "-q")
    assert answer.code == 1
    assert "could not be written" in answer.err
    assert codes.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["codes.npy"]


@pytest.mark.parametrize("own", [None, "ACTIVE"])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(own, monkeypatch):
    """Spinning threads take the core that another process needs, and stall every step."""
    monkeypatch.delenv("OMP_WAIT_POLICY")  # of this suite
    if own is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    code = (
        "import os, sys\n"
        "from isthmus.cli import main\n"
        "assert 'torch' not in sys.modules\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    answer = finished(program("--version", code=code))
    assert answer.code == 0, answer.err
    assert answer.out.split()[-1] == (own or "PASSIVE")
