"""The same bytes: whatever the threads, after an interruption, and after a kill."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dictionary_toys import fitted, mixtures, state_of, stream
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
from isthmus.errors import RunError
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import DictionaryTraining, fit_dictionaries, fit_dictionary
from isthmus.training.dictionary.member import Member
from isthmus.training.stopping import Stopped

ALL = [
    TopK(20, 3),
    BatchTopK(20, 3),
    Matryoshka(20, 3),
    AnyK(20, 3),
    L1(20, l0=3),
    JumpReLU(20, l0=3),
    Gated(20, l0=3),
    KLSparse(20),
    Contrastive(20, 3),
]
ROWS = mixtures(300, 8)
# everything that has a state: the clock, revival, noise, the limit on rates
FULL = DictionaryTraining(epochs=3, threads=1, dead_after=1.0, noise=0.3, max_rate=0.3)


def trained(bottleneck, config=FULL, rows=ROWS, seed=0, **given):
    model = SparseDictionary(rows.shape[1], bottleneck, seed=seed)
    left = fit_dictionary(model, stream(rows), config, **given)
    return state_of(model), left


def interrupted(monkeypatch, at, how=lambda: signal.raise_signal(signal.SIGINT)):
    """Make the ``at``-th step of a training do something."""
    whole, count = Member.step, [0]

    def step(self, x_BD, number, steps):
        count[0] += 1
        if count[0] == at:
            how()
        whole(self, x_BD, number, steps)

    monkeypatch.setattr(Member, "step", step)


# --- the same seed, the same bytes ----------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_one_seed_gives_the_same_bytes_and_another_others(bottleneck):
    one, left = trained(bottleneck)
    torch.manual_seed(99)  # no global state has a part in it
    np.random.seed(99)  # noqa: NPY002
    before = torch.get_rng_state()
    same, right = trained(bottleneck)
    assert torch.equal(before, torch.get_rng_state())
    assert one == same
    times = {"seconds", "samples_per_second"}
    for a, b in zip(left.history, right.history, strict=True):
        assert {k: v for k, v in a.items() if k not in times} == {
            k: v for k, v in b.items() if k not in times
        }
    other, _ = trained(bottleneck, seed=1)
    assert one["encoder"] != other["encoder"]


def by_threads(bottleneck, counts, rows=2200):
    """Batches of 1,024 rows, 96 latents: several blocks of rows, several spans of latents."""
    rows = mixtures(rows, 40)
    wide = dataclasses.replace(bottleneck, latent=96)
    settings = {"batch_size": 1024, "epochs": 2, "dead_after": 0.5, "noise": 0.3}
    return [fitted(wide, rows, threads=threads, **settings)[0] for threads in counts]


@pytest.mark.parametrize("bottleneck", ALL[:4], ids=repr)
def test_threads_do_not_change_a_byte_of_what_the_kernels_train(bottleneck):
    before = torch.get_num_threads()
    one, two, three = (state_of(model) for model in by_threads(bottleneck, (1, 2, 3)))
    assert one == two == three
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("bottleneck", [L1(20, l0=3)], ids=repr)
def test_threads_change_the_last_digits_of_the_others(bottleneck):
    one, other = by_threads(bottleneck, (1, 2), rows=1200)
    for name, value in other.state_dict().items():
        assert torch.allclose(value, one.state_dict()[name], rtol=1e-2, atol=1e-4), name


def test_the_seed_of_the_noise_is_the_trainings():
    one, _ = trained(TopK(20, 3))
    other, _ = trained(TopK(20, 3), dataclasses.replace(FULL, seed=1))
    assert one["encoder"] != other["encoder"]


# --- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
@pytest.mark.parametrize("at", [2, 7])
def test_stopped_amid_an_epoch_and_resumed_gives_the_same_bytes(
    bottleneck, at, tmp_path, monkeypatch
):
    """Ctrl-C in step 2 of epoch 1, or in epoch 2 (5 batches an epoch)."""
    wanted, whole = trained(bottleneck)
    with monkeypatch.context() as patch:
        interrupted(patch, at)
        with pytest.raises(Stopped, match=f"stopped in epoch {1 + (at - 1) // 5}") as caught:
            trained(bottleneck, checkpoints=tmp_path)
    assert caught.value.folder == tmp_path
    found, left = trained(bottleneck, checkpoints=tmp_path, resume=True)
    assert found == wanted
    assert left.history["train_fvu"] == whole.history["train_fvu"]
    assert left.best_epoch == whole.best_epoch


def test_a_second_interrupt_stops_at_once_and_the_last_checkpoint_serves(tmp_path, monkeypatch):
    wanted, _ = trained(TopK(20, 3))

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    often = dataclasses.replace(FULL, checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        interrupted(patch, 8, twice)
        with pytest.raises(KeyboardInterrupt):
            trained(TopK(20, 3), often, checkpoints=tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    found, _ = trained(TopK(20, 3), checkpoints=tmp_path, resume=True)
    assert found == wanted


def test_an_error_amid_a_step_leaves_the_checkpoint_of_the_step_before(tmp_path, monkeypatch):
    def fail():
        raise OSError("the disk is gone")

    often = dataclasses.replace(FULL, checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        interrupted(patch, 9, fail)
        with pytest.raises(OSError, match="disk is gone"):
            trained(AnyK(20, 3), often, checkpoints=tmp_path)
    found, _ = trained(AnyK(20, 3), checkpoints=tmp_path, resume=True)
    assert found == trained(AnyK(20, 3))[0]


def test_a_training_that_was_over_is_only_finished_again(tmp_path, monkeypatch):
    wanted, whole = trained(BatchTopK(20, 3), checkpoints=tmp_path)
    interrupted(monkeypatch, 1, lambda: pytest.fail("a step was taken"))
    found, left = trained(BatchTopK(20, 3), checkpoints=tmp_path, resume=True)
    assert found == wanted
    assert left.history.rows == whole.history.rows


KILLED = """
import json, os, signal, sys
import numpy as np
from dictionary_toys import state_of, stream
from isthmus.bottlenecks import BatchTopK, Gated
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import DictionaryTraining, fit_dictionaries
from isthmus.training.dictionary import checkpoint
from pathlib import Path
import safetensors.torch as files

folder, data = Path(sys.argv[1]), np.load(sys.argv[2])
writes, whole = [0], files.save_file

def save(tensors, name, **more):
    whole(tensors, name, **more)
    writes[0] += 1
    if writes[0] == 9:  # after the ninth checkpoint was written, before it has its name
        os.kill(os.getpid(), signal.SIGKILL)

files.save_file = save
models = {"a": SparseDictionary(8, BatchTopK(20, 3)), "b": SparseDictionary(8, Gated(20, l0=3))}
config = DictionaryTraining(**json.loads(sys.argv[3]))
fit_dictionaries(models, stream(data), config, checkpoints=folder)
"""


def test_killed_amid_a_checkpoint_and_resumed_gives_the_same_bytes(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    often = dataclasses.asdict(dataclasses.replace(FULL, checkpoint_seconds=0.0))
    tests = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, tmp_path / "point", tmp_path / "rows.npy"]
    done = subprocess.run(
        [*map(str, command), json.dumps(often)],
        env=os.environ | {"PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = [path.name for path in (tmp_path / "point").iterdir()]
    assert len(left) == 2  # the checkpoint of step 7, and what the kill cut off
    assert "last.safetensors" in left
    found = {}
    for resume in (True, False):
        models = {
            "a": SparseDictionary(8, BatchTopK(20, 3)),
            "b": SparseDictionary(8, Gated(20, l0=3)),
        }
        given = {"checkpoints": tmp_path / "point", "resume": True} if resume else {}
        fit_dictionaries(models, stream(ROWS), FULL, **given)
        found[resume] = {name: state_of(model) for name, model in models.items()}
    assert found[True] == found[False]
    assert [path.name for path in (tmp_path / "point").iterdir()] == ["last.safetensors"]


# --- checkpoints that can't be used ---------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with a checkpoint of a training that was stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, 7)
        with pytest.raises(Stopped):
            trained(TopK(20, 3), checkpoints=folder)
    return folder


@pytest.fixture
def folder(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "point")
    return tmp_path / "point"


def refused(folder, bottleneck=TopK(20, 3), rows=ROWS, config=FULL, **settings):  # noqa: B008
    before = (folder / "last.safetensors").read_bytes()
    model = SparseDictionary(rows.shape[1], bottleneck)
    with pytest.raises(RunError) as caught:
        fit_dictionary(model, stream(rows, **settings), config, checkpoints=folder, resume=True)
    assert (folder / "last.safetensors").read_bytes() == before
    assert str(folder / "last.safetensors") in caught.value.where
    return caught.value


def test_there_is_nothing_to_resume_from(tmp_path):
    with pytest.raises(RunError, match="no checkpoint to resume from"):
        trained(TopK(20, 3), checkpoints=tmp_path, resume=True)


@pytest.mark.parametrize("size", [0, 7, 100, 2000, -1])
def test_a_checkpoint_that_was_cut_short_is_refused(folder, size):
    path = folder / "last.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert "damaged" in refused(folder).what


def test_random_bytes_are_no_checkpoint(folder):
    (folder / "last.safetensors").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "damaged" in refused(folder).what


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.pop("place"),
        lambda note: note.pop("stream"),
        lambda note: note["standings"].pop("dictionary"),
        lambda note: note["place"].update(rows=3),
        lambda note: note["place"].update(batch=-1),
        lambda note: note["place"].update(batch=1000),
        lambda note: note["place"].update(epoch="two"),
        lambda note: note["standings"].update(dictionary=[]),
        lambda note: note.update(place=None),
    ],
)
def test_a_checkpoint_with_a_broken_note_is_refused(folder, change):
    def edit(tensors, notes):
        note = json.loads(notes["position"])
        change(note)
        notes["position"] = json.dumps(note)

    rewritten(folder, edit)
    refused(folder)


@pytest.mark.parametrize(
    "name",
    [
        "dictionary/model.encoder",
        "dictionary/engine.mean.bias_N",
        "dictionary/clock.last_fired",
        "dictionary/clock.rate",
        "dictionary/best.decoder",
    ],
)
@pytest.mark.parametrize("how", ["left out", "another shape", "one number"])
def test_a_checkpoint_with_a_wrong_tensor_is_refused(folder, name, how):
    def edit(tensors, notes):
        held = tensors.pop(name)
        if how == "another shape":
            tensors[name] = torch.cat([held, held])
        if how == "one number":  # which would fill any shape
            tensors[name] = held.flatten()[:1].clone()

    rewritten(folder, edit)
    refused(folder)


def rewritten(folder, edit):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = folder / "last.safetensors"
    with safe_open(path, framework="pt") as file:
        notes = file.metadata()
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    edit(tensors, notes)
    save_file(tensors, path, metadata=notes)


def test_a_checkpoint_without_a_note_is_refused(folder):
    rewritten(folder, lambda tensors, notes: notes.clear())
    refused(folder)


def test_a_checkpoint_of_a_newer_format_is_refused(folder):
    def edit(tensors, notes):
        notes["position"] = json.dumps(json.loads(notes["position"]) | {"format": 2})

    rewritten(folder, edit)
    assert "another format" in refused(folder).what


@pytest.mark.parametrize(
    "bottleneck",
    [TopK(24, 3), TopK(20, 4), BatchTopK(20, 3), AnyK(20, 3), L1(20, l0=3)],
    ids=repr,
)
def test_a_checkpoint_of_another_dictionary_is_refused(folder, bottleneck):
    assert "another dictionary" in refused(folder, bottleneck).what


@pytest.mark.parametrize(
    "settings", [{"lr": 0.5}, {"epochs": 5}, {"noise": 0.1}, {"seed": 3}, {"max_rate": 0.9}]
)
def test_other_settings_are_refused(folder, settings):
    name = next(iter(settings))
    error = refused(folder, config=dataclasses.replace(FULL, **settings))
    assert f"{name} was " in error.why
    assert f" and is {settings[name]}" in error.why


def test_settings_that_change_no_byte_may_differ(folder):
    other = dataclasses.replace(FULL, threads=2, checkpoint_seconds=1.0)
    found, _ = trained(TopK(20, 3), other, checkpoints=folder, resume=True)
    assert found == trained(TopK(20, 3))[0]


@pytest.mark.parametrize("what", ["rows", "more rows", "batch size", "seed", "held out"])
def test_other_rows_are_refused(folder, what):
    changed = ROWS.copy()
    changed[:] = changed[::-1]
    rows = {"rows": changed, "more rows": np.concatenate([ROWS, ROWS[:1]])}.get(what, ROWS)
    settings = {"batch size": {"batch_size": 32}, "seed": {"seed": 1}, "held out": {"held_out": 9}}
    assert "not those" in refused(folder, rows=rows, **settings.get(what, {})).what


def test_more_or_fewer_dictionaries_are_refused(folder):
    names = [{"other": TopK(20, 3)}, {"dictionary": TopK(20, 3), "other": TopK(20, 3)}]
    for chosen in names:
        models = {name: SparseDictionary(8, b) for name, b in chosen.items()}
        with pytest.raises(RunError, match="another dictionary"):
            fit_dictionaries(models, stream(ROWS), FULL, checkpoints=folder, resume=True)


def test_weights_that_are_no_longer_finite_are_never_saved(tmp_path, monkeypatch):
    whole = Member.step

    def step(self, x_BD, number, steps):
        whole(self, x_BD, number, steps)
        with torch.no_grad():
            self.model.bias[3] = torch.nan
        signal.raise_signal(signal.SIGINT)

    trained(TopK(20, 3), checkpoints=tmp_path)
    before = (tmp_path / "last.safetensors").read_bytes()
    monkeypatch.setattr(Member, "step", step)
    with pytest.raises(RunError, match="no longer finite"):
        trained(TopK(20, 3), checkpoints=tmp_path)
    assert (tmp_path / "last.safetensors").read_bytes() != before  # the start of the new one
