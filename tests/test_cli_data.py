"""`isthmus data`, and what broken data get from every command that reads them."""

import gzip
import json
import struct
import zlib

import numpy as np
import pytest

from cli_tools import QUICK, isthmus, refused, snapshot, succeeded

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _nothing_at_hand(monkeypatch, tmp_path):
    """No data folder, an empty cache, and no network."""
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")


def idx(values):
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return head + values.tobytes()


# ---------------------------------------------------------------- the three commands


def test_list_names_the_sets_and_where_they_are():
    out = succeeded("data", "list").out
    assert all(name in out for name in ("digits", "mnist", "fashion-mnist"))
    found = {entry["name"]: entry for entry in succeeded("data", "list", "--json").json["data"]}
    assert found["digits"]["where"]
    assert found["mnist"]["where"] is None
    assert all(entry["licence"] and entry["title"] for entry in found.values())


def test_list_finds_the_real_data(data_home, monkeypatch):
    monkeypatch.setenv("ISTHMUS_DATA", str(data_home))
    found = {entry["name"]: entry for entry in succeeded("data", "list", "--json").json["data"]}
    assert found["mnist"]["where"] == str(data_home / "mnist")


def test_describe_says_what_is_there():
    out = succeeded("data", "describe", "digits").out
    assert "train 1,437, validation 180, test 180" in out
    found = succeeded("data", "describe", "digits", "--json").json
    assert found["shape"] == [1, 8, 8]
    assert found["splits"] == {"train": 1437, "validation": 180, "test": 180}


def test_describe_takes_the_options_of_loading(tmp_path):
    table = tmp_path / "table.csv"
    rows = [f"{i},{i * 2},{'ab'[i % 2]}" for i in range(40)]
    table.write_text("one,two,kind\n" + "\n".join(rows) + "\n")
    options = ("--label-column", "kind", "--validation", "5", "--test", "0.25", "--split-seed", "3")
    found = succeeded("data", "describe", table, *options, "--json").json
    assert found["splits"] == {"train": 25, "validation": 5, "test": 10}
    assert found["shape"] == [2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--validation", "much"], "much"),
        (["--test", "1.5"], "test"),
        (["--split-seed", "x"], "--split-seed"),
        (["--resize", "8x8x8"], "--resize"),
        (["--range", "1"], "--range"),
        (["--header", "perhaps"], "--header"),
        (["--label-column", "no"], "the columns are a, b"),
    ],
)
def test_options_that_make_no_sense_are_named(options, said, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b\n" + "1,2\n3,4\n" * 20)
    answer = isthmus("data", "describe", table, *options)
    assert answer.code in {1, 2}
    assert said in answer.err
    assert "internal" not in answer.err


def test_fetch_offline_and_unknown_names(tmp_path):
    assert "ISTHMUS_OFFLINE" in refused(1, "data", "fetch", "mnist")
    assert not list((tmp_path / "home").rglob("*.gz"))
    err = refused(2, "data", "fetch", "minst")
    assert "did you mean 'mnist'?" in err
    assert "nothing to fetch" in isthmus("data", "fetch", "digits").err


def test_fetch_says_where_the_set_is(monkeypatch, tmp_path):
    import isthmus.data

    def fetched(name, progress):
        progress("images.gz", 500_000, 1_000_000)
        progress("images.gz", 1_000_000, 1_000_000)
        return tmp_path / name

    monkeypatch.setattr(isthmus.data, "fetch", fetched)
    answer = succeeded("data", "fetch", "mnist", "--json")
    assert answer.json == {"name": "mnist", "folder": str(tmp_path / "mnist")}
    assert answer.err == "fetched images.gz  1.0 MB\n"


def test_a_missing_set_says_what_was_tried():
    err = refused(1, "train", "mnist", *QUICK)
    assert "ISTHMUS_DATA" in err
    assert "ISTHMUS_OFFLINE" in err


# ---------------------------------------------------------------- broken data


def _truncated_idx(folder):
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(idx(IMAGES)[:-100])
    return path, ["t10k-images-idx3-ubyte", "1,820", "1,920"]


def _truncated_gz(folder):
    path = folder / "images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(IMAGES))[:-200])
    return path, ["images-idx3-ubyte.gz"]


def _mislabelled_idx(folder):
    path = folder / "images-idx3-ubyte"
    path.write_bytes(b"\x89PNG" + idx(IMAGES)[4:])
    return path, ["images-idx3-ubyte"]


def _lying_npy(folder):
    path = folder / "vectors.npy"
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1024), }"
    head += " " * (117 - len(head)) + "\n"
    path.write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + b"\0" * 64
    )
    return path, ["vectors.npy", "4,096,000,000,000"]


def _objects(folder):
    path = folder / "objects.npy"
    np.save(path, np.array([{"a": 1}] * 20, dtype=object), allow_pickle=True)
    return path, ["objects.npy", "object"]


def _nan_csv(folder):
    path = folder / "table.csv"
    rows = [f"{i},{i + 1}" for i in range(30)]
    rows[16] = "16,nan"
    path.write_text("height,weight\n" + "\n".join(rows) + "\n")
    return path, ["table.csv", "row 18", "weight"]


def _infinite_npy(folder):
    values = np.ones((30, 4), np.float32)
    values[7, 2] = np.inf
    path = folder / "values.npy"
    np.save(path, values)
    return path, ["values.npy", "7", "2"]


def _bomb(folder):
    """A PNG whose header claims 60,000 x 60,000 pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    (folder / "photos").mkdir()
    (folder / "photos" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + pixels)
    return folder / "photos", ["bomb.png", "3600000000 pixels"]


def _mixed_sizes(folder):
    from PIL import Image

    (folder / "photos").mkdir()
    for number, side in enumerate([8] * 10 + [9]):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(folder / f"photos/{number:02}.png")
    return folder / "photos", ["10.png", "9 x 9", "resize"]


def _other_length_labels(folder):
    path = folder / "set.npz"
    np.savez(path, values=np.ones((30, 4), np.float32), labels=np.zeros(29, np.int64))
    return path, ["set.npz", "29", "30"]


def _one_row(folder):
    path = folder / "one.npy"
    np.save(path, np.ones((1, 4), np.float32))
    return path, ["one.npy"]


def _empty(folder):
    (folder / "nothing").mkdir()
    return folder / "nothing", ["nothing"]


def _unknown_kind(folder):
    (folder / "a.xyz").write_bytes(b"12345")
    return folder / "a.xyz", ["a.xyz"]


def _missing(folder):
    return folder / "not-there.npy", ["not-there.npy"]


BROKEN = [
    _truncated_idx, _truncated_gz, _mislabelled_idx, _lying_npy, _objects, _nan_csv, _infinite_npy,
    _bomb, _mixed_sizes, _other_length_labels, _one_row, _empty, _unknown_kind, _missing,
]  # fmt: skip


@pytest.mark.parametrize("make", BROKEN, ids=lambda f: f.__name__.strip("_"))
def test_broken_data_are_refused_in_words_and_nothing_is_written(make, tmp_path):
    path, said = make(tmp_path)
    before = snapshot(tmp_path)
    for words in (["data", "describe", path], ["train", path, *QUICK, "--out", tmp_path / "run"]):
        err = refused(1, *words)
        assert all(part in err for part in said), err
        assert snapshot(tmp_path) == before
    assert not (tmp_path / "run").exists()


def test_bad_rows_can_be_left_out(tmp_path):
    path, _ = _nan_csv(tmp_path)
    answer = succeeded(
        "train", path, *QUICK, "--drop-bad-rows", "--out", tmp_path / "run", "--json"
    )
    assert sum(m["samples"] for m in answer.json["metrics"].values()) == 29


def test_mixed_sizes_can_be_resized(tmp_path):
    path, _ = _mixed_sizes(tmp_path)
    run = tmp_path / "run"
    succeeded("train", path, *QUICK, "--resize", "10", "--out", run, "-q")
    # the run knows how its images were resized: the same folder needs no words
    assert succeeded("evaluate", run, "--data", path, "--json").json["metrics"]["data"]["mse"] >= 0
    assert json.loads((run / "config.json").read_text())["data"]["options"]["resize"] == 10


def test_constant_columns_are_told_and_trained_on(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b,c\n" + "".join(f"{i},5,{i % 7}\n" for i in range(40)))
    answer = succeeded("train", path, *QUICK, "--out", tmp_path / "run")
    assert "never change" in answer.err
    assert "b" in answer.err


def test_fewer_samples_than_a_batch_are_told_and_trained_on(tmp_path):
    path = tmp_path / "few.npy"
    np.save(path, np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    answer = succeeded("train", path, *QUICK, "--out", tmp_path / "run")
    assert "fewer than a batch of 256" in answer.err
