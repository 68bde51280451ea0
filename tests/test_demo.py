"""`isthmus demo`: the whole of it, in short trainings."""

import contextlib
import json
import re

import pytest

from cli_tools import isthmus, refused, snapshot, succeeded
from isthmus.demo import demo
from isthmus.demo.members import BUDGET, MEMBERS
from isthmus.demo.place import MARKER, prepared
from isthmus.demo.report import next_steps
from isthmus.demo.space import EPOCHS
from isthmus.errors import RunError
from isthmus.files import write_json

FIRST = MEMBERS[:1]
SHORT = {"epochs": 1, "batch_size": 256}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A demonstration of one epoch a model."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    return demo(folder, overrides=SHORT, documents=150, embedder="lexical", space_epochs=2)


def test_it_trains_the_six_models_of_one_size():
    assert [m.name for m in MEMBERS] == ["dense", "conv", "sparse-l1", "sparse-kl", "topk", "vae"]
    asked = {m.name: m.asked for m in MEMBERS}
    assert asked["sparse-l1"] == asked["topk"] == ("l0", BUDGET)
    assert asked["sparse-kl"] == ("mean_activation", 0.05)
    assert [name for name, value in asked.items() if value is None] == ["dense", "conv", "vae"]
    assert all(m.settings["latent"] in {BUDGET, 64} for m in MEMBERS)


def test_every_run_is_whole_and_opens(shown):
    import isthmus as im

    assert [path.name for path in shown.runs] == [member.name for member in MEMBERS]
    for path in shown.runs:
        run = im.open(path)
        assert run.metrics["test"].mse > 0
        assert list((path / "figures").glob("*.png"))
    assert (shown.folder / "comparison" / "comparison.png").is_file()


def test_the_rows_are_the_runs_numbers_beside_pca(shown):
    assert [row["name"] for row in shown.rows][1:] == [member.name for member in MEMBERS]
    pca = shown.rows[0]
    assert pca["mse"] == pytest.approx(0.0242, abs=0.001)  # PCA with 8 dimensions, test split
    for row, path in zip(shown.rows[1:], shown.runs, strict=True):
        test = json.loads((path / "metrics.json").read_text())["test"]
        assert row["mse"] == test["mse"]
        assert row["times_pca"] == pytest.approx(test["mse"] / pca["mse"])
        if row["latent"] == BUDGET:
            assert test["pca_mse"] == pytest.approx(pca["mse"], rel=1e-3)
            assert test["pca_knn_accuracy"] == pytest.approx(pca["knn_accuracy"])


def test_the_report_needs_nothing_else(shown):
    page = shown.report.read_text()
    assert all(f">{member.name}<" in page for member in MEMBERS)
    links = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert "<script" not in page
    assert "url(" not in page
    assert page.count("data:image/png") >= 2 + len(MEMBERS)
    assert "What to type next" in page
    assert "was asked for 8 active latents" in page


def test_what_it_says_to_type_next_works(shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import shlex

    steps = next_steps(shown.folder)
    assert len(steps) == 4
    for step in steps:
        words = shlex.split(step)[1:]
        if words[0] == "train":
            words += ["--epochs", "1", "--no-figures"]
        if words[0] == "evaluate":
            words += ["--nll-rows", "10"]
        succeeded(*words, "-q")


def test_the_shared_space_was_crossed(shown):
    from PIL import Image

    import isthmus as im

    space = shown.space
    for path in (space.given, space.drawn):
        with Image.open(path) as image:
            assert image.size == (8, 8)
    assert im.open(space.run).retrieve("audio", str(space.spoken), to="image", top=1)
    assert len(space.scores) == 6
    assert all(score > 1.3 * chance for score, chance, _ in space.scores.values())
    assert [hit.modality for hit in space.hits] == ["audio"] * 3
    assert space.page.is_file()
    assert 0 <= space.certain <= 1


def test_a_second_demo_replaces_only_what_the_first_wrote(tmp_path):
    folder = tmp_path / "demo"
    demo(folder, members=FIRST, overrides=SHORT, documents=0, space_epochs=0)
    (folder / "runs" / "mine").mkdir()
    (folder / "runs" / "mine" / "notes.txt").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    old = folder / "runs" / "dense" / "figures" / "old.png"
    old.write_bytes(b"old")
    again = demo(folder, members=FIRST, overrides=SHORT, documents=0, space_epochs=0)
    assert not old.exists()
    assert again.report.is_file()
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "runs" / "mine" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("marker", [None, {}, {"kind": "other"}, "not json", "link"])
def test_a_folder_that_is_not_its_own_is_left_alone(marker, tmp_path):
    folder = tmp_path / "demo"
    (folder / "runs" / "dense").mkdir(parents=True)
    (folder / "runs" / "dense" / "thesis.txt").write_text("mine")
    if isinstance(marker, dict):
        write_json(folder / MARKER, marker)
    elif marker == "link":
        write_json(tmp_path / MARKER, {"kind": "isthmus demo"})
        (folder / MARKER).symlink_to(tmp_path / MARKER)
    elif marker is not None:
        (folder / MARKER).write_text(marker)
    before = snapshot(tmp_path)
    with pytest.raises(RunError):
        prepared(folder)
    assert str(folder) in refused(1, "demo", "--out", folder, "-q")
    assert snapshot(tmp_path) == before


def test_a_link_in_its_folder_is_removed_and_not_followed(tmp_path):
    folder, other = tmp_path / "demo", tmp_path / "other"
    prepared(folder)
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    (folder / "runs").mkdir()
    (folder / "runs" / "dense").symlink_to(other)
    (folder / "comparison").symlink_to(other)
    prepared(folder)
    assert (other / "thesis.txt").read_text() == "mine"
    assert not (folder / "runs" / "dense").exists()


def test_a_file_in_the_way_is_told(tmp_path):
    path = tmp_path / "demo"
    path.write_text("mine")
    assert "there is a file" in refused(1, "demo", "--out", path, "-q")
    assert path.read_text() == "mine"


def test_the_command_prints_a_table_or_an_object(shown, monkeypatch):
    asked = []

    def at_hand(out, watched, documents, stage, space_epochs):
        assert documents == 1500
        asked.append(space_epochs)
        stage("reading", 1, 0)
        with watched("dense"):
            pass
        return shown

    monkeypatch.setattr("isthmus.demo.demo", at_hand)
    out = succeeded("demo").out
    for said in ("PCA, 8 dimensions", "sparse-kl", "report.html", "was asked for", "next"):
        assert said in out
    for said in ("could be named", "lexical: hashed", "--less", "steered", "Quoted from your"):
        assert said in out
    for said in ("image->audio", "isthmus translate", "seven.wav", "page.html"):
        assert said in out
    found = succeeded("demo", "--json", "--no-pairs").json
    assert asked == [EPOCHS, 0]
    assert found["space"]["scores"]["text->image"]["chance"] < 0.2
    assert found["report"] == str(shown.report)
    assert [row["name"] for row in found["models"]][1:] == [member.name for member in MEMBERS]
    assert len(found["runs"]) == 6


def test_ctrl_c_says_how_to_start_anew(tmp_path, monkeypatch):
    def interrupted(out, watched, documents, stage, space_epochs):
        raise KeyboardInterrupt

    monkeypatch.setattr("isthmus.demo.demo", interrupted)
    answer = isthmus("demo", "--out", tmp_path / "my demo")
    assert answer.code == 130
    assert f"isthmus demo --out '{tmp_path / 'my demo'}'" in answer.err


def test_threads_are_given_back(tmp_path):
    import torch

    before, during = torch.get_num_threads(), []

    @contextlib.contextmanager
    def stopped(name):
        during.append(torch.get_num_threads())
        raise KeyboardInterrupt
        yield

    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            demo(tmp_path / "demo", watched=stopped, documents=0)
        assert during == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
