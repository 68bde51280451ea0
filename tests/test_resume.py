"""Interrupted trainings go on to the same bytes: at any step, by any interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from isthmus.bottlenecks import L1, VQ, BatchTopK, Contractive, Gaussian, KLSparse, Plain, TopK
from isthmus.errors import RunError
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.models import Autoencoder, Masking
from isthmus.networks import MLP, Conv
from isthmus.training import Stopped, Training, fit
from toys import digits, fitted_to, same_state, vectors

KINDS = {
    "dropout": lambda: Autoencoder((6,), MLP((8,), dropout=0.3), Plain(3), corruption=Masking(0.2)),
    "tied": lambda: Autoencoder((6,), MLP((8,), tied=True), Plain(3)),
    "vae": lambda: Autoencoder(
        (6,), MLP((8,)), Gaussian(3, kl_warmup_steps=9), GaussianLikelihood()
    ),
    "iwae": lambda: Autoencoder(
        (6,), MLP((8,)), Gaussian(3, samples=3, bound="iwae"), GaussianLikelihood("optimal")
    ),
    "kl": lambda: Autoencoder((6,), MLP((8,)), KLSparse(4)),
    "l1": lambda: Autoencoder((6,), MLP((8,)), L1(8, l0=2)),
    "topk": lambda: Autoencoder((6,), MLP((8,)), TopK(8, k=2)),
    "batch-topk": lambda: Autoencoder((6,), MLP((8,)), BatchTopK(8, k=2)),
    "vq": lambda: Autoencoder((6,), MLP((8,)), VQ(4, groups=2, codebook=8)),
    "contractive": lambda: Autoencoder((6,), MLP((8,)), Contractive(4, weight=0.1)),
}
# 66 samples in batches of 16: five steps an epoch, the last of two samples; 20 steps in all
CONFIG = Training(epochs=4, batch_size=16, lr=1e-2, seed=5, checkpoint_seconds=0)
CLOCK = {"seconds", "samples_per_second"}
STEPS = 20


def data():
    return vectors(66, 6, validation=20)


def curve(fitted):
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in fitted.history]


def act_at(model, step, act):
    """Do something while training step ``step`` (from 1) runs."""
    seen = [0]

    def hook(module, inputs):
        if model.training:
            seen[0] += 1
            if seen[0] == step:
                act()

    model.encoder.register_forward_pre_hook(hook)
    return model


class Crash(Exception):
    pass


def crash():
    raise Crash


def interrupt():
    signal.raise_signal(signal.SIGINT)


def resumed(kind, config, folder):
    model = KINDS[kind]()
    return model, fit(model, data(), config, checkpoints=folder, resume=True)


# ---------------------------------------------------------------- the same bytes, the same curve


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("step", "act"), [(3, interrupt), (5, interrupt), (12, crash)])
def test_an_interrupted_training_ends_in_the_same_bytes(kind, step, act, tmp_path):
    whole = KINDS[kind]()
    expected = fit(whole, data(), CONFIG)
    with pytest.raises((Crash, Stopped)):
        fit(act_at(KINDS[kind](), step, act), data(), CONFIG, checkpoints=tmp_path)
    model, got = resumed(kind, CONFIG, tmp_path)
    assert same_state(model, whole)
    assert curve(got) == curve(expected)
    assert len(got.history) == 4


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_any_step_will_do(step, tmp_path):
    whole = KINDS["dropout"]()
    expected = fit(whole, data(), CONFIG)
    rarely = replace(CONFIG, checkpoint_seconds=60)  # only where it stops
    with pytest.raises(Stopped):
        fit(act_at(KINDS["dropout"](), step, interrupt), data(), rarely, checkpoints=tmp_path)
    model, got = resumed("dropout", rarely, tmp_path)
    assert same_state(model, whole)
    assert curve(got) == curve(expected)


def test_images_in_channels_last_resume_too(tmp_path):
    def build():
        return fitted_to(Autoencoder((1, 8, 8), Conv((3, 4)), Plain(4)), digits())

    config = Training(epochs=2, batch_size=256, checkpoint_seconds=0)
    whole = build()
    fit(whole, digits(), config)
    with pytest.raises(Crash):
        fit(act_at(build(), 8, crash), digits(), config, checkpoints=tmp_path)
    model = build()
    fit(model, digits(), config, checkpoints=tmp_path, resume=True)
    assert same_state(model, whole)


@pytest.mark.parametrize("step", [6, 17, 28])
def test_early_stopping_resumes_with_its_best_weights(step, tmp_path):
    config = Training(
        epochs=60, batch_size=16, lr=0.1, schedule="constant", patience=3, checkpoint_seconds=0
    )
    whole = KINDS["vae"]()
    expected = fit(whole, data(), config)
    assert 5 < len(expected.history) < 60
    with pytest.raises(Stopped):
        fit(act_at(KINDS["vae"](), step, interrupt), data(), config, checkpoints=tmp_path)
    model, got = resumed("vae", config, tmp_path)
    assert same_state(model, whole)
    assert curve(got) == curve(expected)
    assert got.best_epoch == expected.best_epoch


def test_a_training_may_be_interrupted_again_and_again(tmp_path):
    whole = KINDS["vae"]()
    expected = fit(whole, data(), CONFIG)
    resume, stops = False, 0
    while True:
        model = act_at(KINDS["vae"](), 3, interrupt)
        try:
            got = fit(model, data(), CONFIG, checkpoints=tmp_path, resume=resume)
            break
        except Stopped:
            resume, stops = True, stops + 1
    assert stops == 6  # three steps at a time, and two in the last part
    assert same_state(model, whole)
    assert curve(got) == curve(expected)


def test_resuming_what_is_finished_changes_nothing(tmp_path):
    model = KINDS["vae"]()
    first = fit(model, data(), CONFIG, checkpoints=tmp_path)
    again, second = resumed("vae", CONFIG, tmp_path)
    assert same_state(again, model)
    assert second.history.rows == first.history.rows


def test_an_exception_from_who_watches_loses_nothing(tmp_path):
    def watch(progress):
        if progress.row is not None and progress.epoch == 2:
            raise Crash

    whole = KINDS["vq"]()
    fit(whole, data(), CONFIG)
    with pytest.raises(Crash):
        fit(KINDS["vq"](), data(), CONFIG, checkpoints=tmp_path, watch=watch)
    assert same_state(resumed("vq", CONFIG, tmp_path)[0], whole)


def test_checkpoints_change_nothing_and_leave_one_file(tmp_path):
    plain, watched = KINDS["vae"](), KINDS["vae"]()
    fit(plain, data(), CONFIG)
    fit(watched, data(), CONFIG, checkpoints=tmp_path)
    assert same_state(plain, watched)
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


# ---------------------------------------------------------------- Ctrl-C


def test_ctrl_c_gives_the_handler_back_and_twice_stops_at_once():
    def handler(number, frame):
        raise AssertionError("not this one")

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(Stopped) as caught:
            fit(act_at(KINDS["tied"](), 2, interrupt), data(), CONFIG)
        assert caught.value.epoch == 1
        assert caught.value.folder is None
        assert signal.getsignal(signal.SIGINT) is handler

        def twice():
            interrupt()
            interrupt()

        with pytest.raises(KeyboardInterrupt) as caught:
            fit(act_at(KINDS["tied"](), 2, twice), data(), CONFIG)
        assert not isinstance(caught.value, Stopped)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


SCRIPT = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_resume import CLOCK, CONFIG, KINDS, data, curve
from isthmus.training import Stopped, fit
folder, pause, resume = Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "resume"
model = KINDS["vae"]()
def step(module, inputs):
    if model.training:
        print("step", flush=True)
        time.sleep(pause)
model.encoder.register_forward_pre_hook(step)
try:
    fitted = fit(model, data(), CONFIG, checkpoints=folder, resume=resume)
except Stopped as stopped:
    print(stopped)
    sys.exit(130)
model.save_pretrained(folder.parent / "model")
(folder.parent / "curve.json").write_text(json.dumps(curve(fitted)))
"""


def started(folder, pause, how):
    arguments = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(folder), pause, how]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)


def at_step(process, step):
    for _ in range(step):
        assert process.stdout.readline() == "step\n"
    time.sleep(0.01)


def test_kill_9_and_ctrl_c_of_real_processes_end_in_the_same_bytes(tmp_path):
    """One training, killed in its seventh step, interrupted in its fifth after that, then left
    alone: the weights' file and the curve of one that was never disturbed."""
    folder = tmp_path / "checkpoints"
    process = started(folder, "0.05", "start")
    at_step(process, 7)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    process = started(folder, "0.05", "resume")
    at_step(process, 5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped in epoch" in out
    process = started(folder, "0", "resume")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.count("step") < STEPS  # it went on, and did not start again
    whole = KINDS["vae"]()
    expected = fit(whole, data(), CONFIG)
    whole.save_pretrained(tmp_path / "expected")
    got, wanted = (tmp_path / n / "model.safetensors" for n in ("model", "expected"))
    assert got.read_bytes() == wanted.read_bytes()
    assert json.loads((tmp_path / "curve.json").read_text()) == curve(expected)


# ---------------------------------------------------------------- checkpoints that are no good


@pytest.fixture
def stopped(tmp_path):
    with pytest.raises(Stopped):
        fit(act_at(KINDS["vae"](), 7, interrupt), data(), CONFIG, checkpoints=tmp_path)
    return tmp_path


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(RunError, match="no checkpoint"):
        resumed("vae", CONFIG, tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 100, 2000, -1])
def test_a_truncated_checkpoint_is_refused_and_left_alone(stopped, keep):
    path = stopped / "last.safetensors"
    broken = path.read_bytes()[:keep]
    path.write_bytes(broken)
    with pytest.raises(RunError, match="damaged"):
        resumed("vae", CONFIG, stopped)
    assert path.read_bytes() == broken


def test_another_models_checkpoint_is_refused(stopped):
    for kind in ("dropout", "kl", "iwae"):
        with pytest.raises(RunError, match=r"damaged or of another model"):
            resumed(kind, CONFIG, stopped)


@pytest.mark.parametrize(
    "note", [None, "{", "[]", "{}", '{"format": 1, "place": 3}', '{"format": 2}', '{"format": "1"}']
)
def test_a_checkpoint_whose_notes_make_no_sense_is_refused(stopped, note):
    path = stopped / "last.safetensors"
    save_file(load_file(path), path, metadata=None if note is None else {"position": note})
    with pytest.raises(RunError):
        resumed("vae", CONFIG, stopped)


def test_weights_that_became_infinite_never_replace_a_good_checkpoint(tmp_path):
    model = KINDS["tied"]()
    spoil = lambda: model.decoder.biases[0].data.fill_(float("inf"))  # noqa: E731
    with pytest.raises(ArithmeticError):
        fit(act_at(model, 4, spoil), data(), CONFIG, checkpoints=tmp_path)
    kept = load_file(tmp_path / "last.safetensors")
    assert all(bool(v.isfinite().all()) for k, v in kept.items() if k.startswith("model."))
    whole = KINDS["tied"]()
    fit(whole, data(), CONFIG)
    assert same_state(resumed("tied", CONFIG, tmp_path)[0], whole)
