"""Named sets as they are, places, and sources that nobody knows."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from isthmus.data import describe, load
from isthmus.data.places import cache_folder, is_offline
from isthmus.errors import ConfigError, DataError, MissingDataError


def test_digits():
    data = load("digits")
    assert (data.name, data.kind, data.shape, data.range) == ("digits", "image", (1, 8, 8), (0, 16))
    assert sum(len(data[split]) for split in data) == 1797
    rows = np.concatenate([data[split].rows for split in data])
    assert len(set(rows.tolist())) == 1797
    values = data["train"].values
    assert (values.dtype, values.min(), values.max()) == (np.uint8, 0, 16)
    for split in ("validation", "test"):
        counts = np.bincount(data[split].label_array(), minlength=10)
        assert counts.min() >= 17  # ten classes of 174 to 183: a tenth of each
        assert counts.max() <= 19
    assert np.array_equal(load("digits", seed=0)["test"].rows, data["test"].rows)
    assert not np.array_equal(load("digits", seed=1)["test"].rows, data["test"].rows)


@pytest.mark.needs_data
def test_mnist_is_right_and_quick(data_home):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        data = load("mnist")
        times.append(time.perf_counter() - start)
    assert min(times) < 3.0  # about 0.25 s on an idle core; a machine may be busy
    assert str(data) == (
        "Dataset('mnist', image (1, 28, 28), train 57,000, validation 3,000, test 10,000)"
    )
    whole = data["train"].values
    assert whole.mean() / 255 == pytest.approx(0.13066, abs=1e-5)
    assert whole.std() / 255 == pytest.approx(0.30811, abs=1e-5)
    assert data["train"].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data["test"].labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = describe(data).classes["0"]
    assert counts["train"] + counts["validation"] == 5923
    assert counts["test"] == 980


@pytest.mark.needs_data
def test_an_embedding_file_is_mapped(data_home):
    path = data_home / "embeddings" / "stackoverflow_titles.npy"
    if not path.is_file():
        pytest.skip("needs embeddings/stackoverflow_titles.npy in ISTHMUS_DATA")
    data = load(path)
    assert data.kind == "vector"
    assert isinstance(data["train"].values, np.memmap)


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("ISTHMUS_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "isthmus"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification has it ignored
    assert cache_folder() == Path.home() / ".cache" / "isthmus"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "isthmus"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "isthmus" / "cache"


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("yes", True), ("0", False), ("", False), ("False", False)]
)
def test_offline(monkeypatch, value, expected):
    monkeypatch.setenv("ISTHMUS_OFFLINE", value)
    assert is_offline() is expected


def test_a_name_that_is_nothing_gets_a_suggestion():
    with pytest.raises(MissingDataError, match="did you mean 'mnist'"):
        load("mnits")
    with pytest.raises(MissingDataError, match="named sets are: digits, mnist, fashion-mnist"):
        load("/no/such/folder")


def test_files_and_folders_of_unknown_kinds(tmp_path):
    (tmp_path / "x.docx").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "x.docx", str(tmp_path / "empty")):
        with pytest.raises(
            DataError, match=r"not known[\s\S]*known are: data in memory, a folder of"
        ):
            load(source)


def test_named_sets_refuse_settings_of_other_kinds():
    with pytest.raises(ConfigError, match="resize can't be chosen for a named data set"):
        load("digits", resize=16)


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((5, 2)))
    assert load("~/x.npy", name="mine").name == "mine"


def test_a_description_by_hand():
    values = np.array([[0.0, 2.0], [1.0, 4.0], [2.0, 9.0]])
    data = load(
        {
            "train": (values, np.array(["b", "a", "b"])),
            "test": (values + 100, np.array(["a", "a", "c"])),
        },
        validation=0,
        name="toy",
    )
    told = describe(data)
    assert (told.minimum, told.maximum, told.mean) == (0.0, 9.0, 3.0)
    assert told.splits == {"train": 3, "test": 3}
    assert told.classes == {"a": {"train": 1, "test": 2}, "b": {"train": 2}, "c": {"test": 1}}
    assert told.to_dict()["shape"] == (2,)
    text = told.text()
    assert text.startswith("toy: vector of shape 2, float64\n")
    assert "classes  3" in text
    assert "training split 0 to 9, mean 3" in text


def test_a_description_shows_columns_range_and_notes(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,2\n5,2\n7,2\n")
    text = describe(load(tmp_path / "t.csv")).text()
    assert "columns  a, b" in text
    assert "note     1 of 2 columns never change" in text
    assert "nominally 0 to 16" in describe(load("digits")).text()
    assert describe(load("digits")).to_dict()["range"] == (0.0, 16.0)
