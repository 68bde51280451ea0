"""Models on disk: written whole, read back bit for bit, refused when damaged, found on the hub."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from isthmus.bottlenecks import L1, VQ, BatchTopK, Gaussian, KLSparse, Plain
from isthmus.errors import ConfigError, IsthmusError, MissingDataError, RunError
from isthmus.likelihoods import Bernoulli, Categorical
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.models import PRESETS, Autoencoder, Masking
from isthmus.models.storage import FORMAT
from isthmus.networks import MLP, Conv
from isthmus.training import Training, fit
from toys import digits, fitted_to, same_state

IMAGES = digits()["test"].all().numpy()


def small(**parts):
    parts = {"network": MLP((12,)), "bottleneck": Plain(5)} | parts
    return fitted_to(Autoencoder((1, 8, 8), **parts), digits())


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "model"
    small().save_pretrained(folder)
    return folder


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    "parts",
    [
        {"network": Conv((3, 4)), "bottleneck": VQ(8, groups=2, codebook=16)},
        {"bottleneck": KLSparse(6), "corruption": Masking(0.2)},
        {"bottleneck": BatchTopK(9, k=2)},
        {"bottleneck": L1(6, l0=2)},
        {"bottleneck": Gaussian(4, kl_warmup_steps=99), "likelihood": Bernoulli()},
        {"bottleneck": Gaussian(4), "likelihood": GaussianLikelihood("per-element")},
        {"likelihood": Categorical(17)},
    ],
    ids=lambda parts: type(parts.get("bottleneck", "categorical")).__name__,
)
def test_a_trained_model_comes_back_bit_for_bit(parts, tmp_path):
    model = small(**parts)
    fit(model, digits(), Training(epochs=1, batch_size=256))
    model.save_pretrained(tmp_path)
    back = Autoencoder.from_pretrained(tmp_path)
    assert same_state(back, model)
    assert not back.training
    np.testing.assert_array_equal(back.encode(IMAGES), model.encode(IMAGES))
    np.testing.assert_array_equal(back.reconstruct(IMAGES), model.reconstruct(IMAGES))
    assert (back.network, back.bottleneck) == (model.network, model.bottleneck)
    assert (back.likelihood, back.corruption) == (model.likelihood, model.corruption)
    assert back.preprocessing.config() == model.preprocessing.config()


@pytest.mark.parametrize("one", PRESETS, ids=lambda p: p.name)
def test_every_preset_comes_back(one, tmp_path):
    model = one.with_settings({"hidden": (9,)} if one.name not in {"conv", "linear"} else {})[0]
    model = fitted_to(model.model((1, 8, 8), (0.0, 1.0)), digits())
    model.save_pretrained(tmp_path)
    assert same_state(Autoencoder.from_pretrained(tmp_path), model)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        small().save_pretrained(tmp_path / name)
    a, b = (tmp_path / name / "model.safetensors" for name in ("a", "b"))
    assert a.read_bytes() == b.read_bytes()


def test_the_folder_holds_no_pickle_and_a_filled_card(saved):
    assert sorted(p.name for p in saved.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    card = (saved / "README.md").read_text()
    assert "library_name: isthmus" in card
    assert "Plain(latent=5)" in card
    assert "fixed variance 32" in card
    assert "values from 0 to 16 are mapped to 0 to 1" in card
    config = json.loads((saved / "config.json").read_text())
    assert config["format"] == FORMAT
    assert config["model"]["network"] == {
        "kind": "MLP", "hidden": [12], "activation": "ReLU", "tied": False, "dropout": 0.0,
    }  # fmt: skip


def test_a_card_that_the_user_wrote_is_kept(saved):
    (saved / "README.md").write_text("mine")
    small().save_pretrained(saved)
    assert (saved / "README.md").read_text() == "mine"


# ---------------------------------------------------------------- the user's own halves


def own():
    encoder = nn.Sequential(nn.Flatten(1), nn.Linear(64, 5))
    return {
        "encoder": encoder,
        "decoder": nn.Sequential(nn.Linear(5, 64), nn.Unflatten(1, (1, 8, 8))),
    }


def test_own_halves_are_given_again_and_filled(tmp_path):
    model = fitted_to(Autoencoder((1, 8, 8), bottleneck=Plain(5), **own()), digits())
    model.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="encoder"):
        Autoencoder.from_pretrained(tmp_path)
    back = Autoencoder.from_pretrained(tmp_path, **own())
    assert same_state(back, model)
    wrong = own()
    wrong["encoder"] = nn.Sequential(nn.Flatten(1), nn.Linear(64, 9), nn.Linear(9, 5))
    with pytest.raises(RunError, match="don't fit"):
        Autoencoder.from_pretrained(tmp_path, **wrong)


# ---------------------------------------------------------------- damage


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def rewritten(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def model_entry(**entries):
    return lambda config: config["model"].update(entries)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 7, 40, -1, None])
def test_truncated_and_missing_files_are_refused_and_nothing_is_touched(saved, name, keep):
    path = saved / name
    if keep is None:
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:keep] if keep >= 0 else data[: len(data) - 3])
    before = contents(saved)
    with pytest.raises(RunError) as caught:
        Autoencoder.from_pretrained(saved)
    assert name in str(caught.value)
    assert contents(saved) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(format=FORMAT + 1),
        lambda c: c.update(format="1"),
        lambda c: c.update(format=0),
        lambda c: c.pop("format"),
        lambda c: c.pop("model"),
        lambda c: c.update(model=[]),
        lambda c: c.update(model=None),
        lambda c: c["model"].pop("shape"),
        model_entry(shape="abc"),
        model_entry(shape=8),
        model_entry(shape=[1, 8, 0]),
        model_entry(shape=[1, 9, 9]),
        model_entry(shape=[1, 8, 10**9]),
        model_entry(shape=[1, 8, 10**18]),
        model_entry(seed="x"),
        model_entry(seed=-(10**30)),
        model_entry(bottleneck={"kind": "os.system"}),
        model_entry(bottleneck={"kind": "Plain", "latent": 10**12}),
        model_entry(bottleneck={"kind": "Plain", "latent": 6}),
        model_entry(bottleneck=None),
        model_entry(network={"kind": "MLP", "hidden": [12, 12]}),
        model_entry(network="MLP"),
        model_entry(likelihood={"kind": "MSE", "colour": "red"}),
        model_entry(preprocessing={}),
        model_entry(preprocessing=None),
    ],
    ids=str,
)  # fmt: skip
def test_a_config_that_makes_no_sense_is_refused(saved, change):
    rewritten(saved, change)
    before = contents(saved)
    with pytest.raises((RunError, ConfigError)) as caught:
        Autoencoder.from_pretrained(saved)
    assert str(saved) in str(caught.value)
    assert contents(saved) == before


def test_a_newer_format_says_to_update(saved):
    rewritten(saved, lambda c: c.update(format=FORMAT + 1))
    with pytest.raises(RunError, match="update isthmus"):
        Autoencoder.from_pretrained(saved)


@pytest.mark.parametrize("wrong", ["missing", "extra", "shape", "nan"])
def test_weights_that_do_not_fit_are_refused_by_name(saved, wrong):
    path = saved / "model.safetensors"
    tensors = load_file(path)
    name = "decoder.0.bias"
    if wrong == "missing":
        del tensors[name]
    elif wrong == "extra":
        name = "decoder.9.bias"
        tensors[name] = torch.zeros(3)
    elif wrong == "shape":
        tensors[name] = torch.zeros(3)
    else:
        tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, path)
    with pytest.raises(RunError, match=name):
        Autoencoder.from_pretrained(saved)


def test_a_pickle_in_place_of_the_weights_is_never_opened(saved):
    torch.save(small().state_dict(), saved / "model.safetensors")
    with pytest.raises(RunError, match="safetensors"):
        Autoencoder.from_pretrained(saved)


def test_a_save_that_fails_leaves_what_was_there(saved, monkeypatch):
    before = contents(saved)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(RunError, match="No space left"):
        small(bottleneck=Plain(6)).save_pretrained(saved)
    assert contents(saved) == before


# ---------------------------------------------------------------- the hub's cache, offline

READ = """
import sys
from isthmus.models import Autoencoder
model = Autoencoder.from_pretrained(sys.argv[1], **eval(sys.argv[2]))
print(model.latent)
"""


def stand_in(hub: Path, latents: dict[str, int]) -> None:
    """What the hub's client leaves behind: snapshots of two revisions, and a ref to one."""
    place = hub / "models--someone--digits-model"
    for revision, latent in latents.items():
        snapshot = place / "snapshots" / revision
        small(bottleneck=Plain(latent)).save_pretrained(snapshot)
        blobs = place / "blobs"
        blobs.mkdir(exist_ok=True)
        for path in list(snapshot.iterdir()):  # the cache keeps links to blobs
            blob = blobs / f"{revision[:4]}-{path.name}"
            shutil.move(path, blob)
            path.symlink_to(os.path.relpath(blob, snapshot))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(next(iter(latents)))


def read_from(hub, options, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ISTHMUS_"))}
    return subprocess.run(
        [sys.executable, "-c", READ, "someone/digits-model", options],
        env=clean | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        cwd=hub,
    )


def test_a_repository_is_read_from_the_hubs_cache_without_a_network(tmp_path):
    first, second = "a" * 40, "b" * 40
    hub = tmp_path / "hub"
    stand_in(hub, {first: 5, second: 7})
    main = read_from(hub, "dict(local_files_only=True)", HF_HUB_CACHE=str(hub))
    assert main.stdout.strip() == "5", main.stderr
    pinned = read_from(
        hub, f"dict(revision={second!r})", HF_HOME=str(tmp_path), ISTHMUS_OFFLINE="1"
    )
    assert pinned.stdout.strip() == "7", pinned.stderr
    missing = read_from(hub, "{}", HF_HUB_CACHE=str(tmp_path / "none"), HF_HUB_OFFLINE="1")
    assert missing.returncode != 0
    assert "MissingDataError: someone/digits-model is neither a folder" in missing.stderr


@pytest.mark.parametrize("name", ["no-such-folder", "./a/b", "/no/such", "a/b/c", "~/x"])
def test_what_is_neither_folder_nor_repository_is_told_apart(name):
    with pytest.raises(MissingDataError, match="no such folder"):
        Autoencoder.from_pretrained(name)


def test_uploads_are_refused_offline_and_go_through_the_client_otherwise(monkeypatch):
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")
    with pytest.raises(IsthmusError, match="ISTHMUS_OFFLINE"):
        small().push_to_hub("someone/model")
    monkeypatch.delenv("ISTHMUS_OFFLINE")
    calls = []

    class Client:
        def __init__(self, token=None):
            calls.append(("token", token))

        def create_repo(self, name, private, exist_ok):
            calls.append(("create", name, private, exist_ok))
            return f"https://hub/{name}"

        def upload_folder(self, repo_id, folder_path):
            calls.append(("upload", repo_id, sorted(p.name for p in Path(folder_path).iterdir())))

    monkeypatch.setattr("huggingface_hub.HfApi", Client)
    assert small().push_to_hub("someone/model", private=True) == "https://hub/someone/model"
    assert calls == [
        ("token", None),
        ("create", "someone/model", True, True),
        ("upload", "someone/model", ["README.md", "config.json", "model.safetensors"]),
    ]
