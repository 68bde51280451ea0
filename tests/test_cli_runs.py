"""`isthmus evaluate`, `compare`, `sweep`, `encode` and `reconstruct`, and what damaged runs get."""

import csv
import json
import shutil

import numpy as np
import pytest

import isthmus as im
from cli_tools import QUICK, isthmus, refused, snapshot, succeeded

CLOCK = {"samples_per_second"}


def but_clock(metrics):
    return {k: v for k, v in metrics.items() if k not in CLOCK}


def same(one, other):
    """Whether two metrics agree to the accuracy of float32 arithmetic in other batches."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if name != "verdict":
            assert value == pytest.approx(other[name], rel=1e-4, abs=1e-6), name


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of a dense model, and a sparse one."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        out = folder / f"dense-{seed}"
        succeeded("train", "digits", *QUICK, "--seed", seed, "--out", out, "-q")
    sparse = ("--model", "topk", "--k", "2", *QUICK)
    succeeded("train", "digits", *sparse, "--out", folder / "topk", "-q")
    return folder


@pytest.fixture
def run(runs):
    return runs / "dense-0"


@pytest.fixture
def vectors(tmp_path):
    """Twelve images of digits as a file, with labels."""
    from sklearn.datasets import load_digits

    path = tmp_path / "images.npz"
    bunch = load_digits()
    np.savez(path, values=bunch.images[:12].astype(np.uint8), labels=bunch.target[:12])
    return path


# ---------------------------------------------------------------- evaluate


def test_evaluate_measures_what_the_run_says(run):
    before = snapshot(run)
    found = succeeded("evaluate", run, "--json").json
    assert list(found) == ["run", "metrics"]
    assert found["run"] == str(run)
    kept = json.loads((run / "metrics.json").read_text())
    assert set(found["metrics"]) == set(kept) == {"train", "validation", "test"}
    for split, numbers in kept.items():
        same(but_clock(found["metrics"][split]), but_clock(numbers))
    assert snapshot(run) == before


def test_evaluate_on_other_data_is_one_split_called_data(run, tmp_path):
    images = im.load("digits")["test"].all().numpy()
    np.save(tmp_path / "test.npy", images)
    found = succeeded("evaluate", run, "--data", tmp_path / "test.npy", "--json").json
    assert list(found["metrics"]) == ["data"]
    kept = json.loads((run / "metrics.json").read_text())["test"]
    assert found["metrics"]["data"]["samples"] == 180
    # the same images, held against the same training split
    for name in ("mse", "fvu", "pca_mse", "l0"):
        assert found["metrics"]["data"][name] == pytest.approx(kept[name], rel=1e-4)
    out = succeeded("evaluate", run, "--data", "digits").out
    assert "1,797" in out


def test_evaluate_refuses_data_of_another_shape_and_options_without_data(run, tmp_path):
    np.save(tmp_path / "v.npy", np.ones((20, 5), np.float32))
    err = refused(2, "evaluate", run, "--data", tmp_path / "v.npy", "-q")
    assert "(5,)" in err
    assert "(1, 8, 8)" in err
    assert "--data" in refused(2, "evaluate", run, "--resize", "8", "-q")
    assert "gone.npy" in refused(1, "evaluate", run, "--data", tmp_path / "gone.npy", "-q")


def test_evaluate_tells_when_the_data_have_changed(tmp_path):
    path, run = tmp_path / "v.npy", tmp_path / "run"
    values = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    np.save(path, values)
    succeeded("train", path, *QUICK, "--out", run, "-q")
    np.save(path, values + 1)
    assert "have changed" in refused(1, "evaluate", run, "-q")
    path.unlink()
    assert "v.npy" in refused(1, "evaluate", run, "-q")


# ---------------------------------------------------------------- damaged runs

NEEDED = ("config.json", "model.safetensors")
FILES = (*NEEDED, "metrics.json", "history.csv")
COMMANDS = {
    "evaluate": lambda run, out: ("evaluate", run),
    "compare": lambda run, out: ("compare", run, run),
    "encode": lambda run, out: ("encode", run, "digits", "--out", out / "codes.npy"),
    "reconstruct": lambda run, out: ("reconstruct", run, "digits", "--out", out / "pictures"),
}


def damaged(run, folder, name, content):
    copy = folder / "run"
    shutil.copytree(run, copy)
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content((copy / name).read_bytes()))
    return copy


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content", [lambda b: b"\xff", lambda b: b"\xff\0junk"], ids=["byte", "junk"]
)
def test_a_run_with_a_damaged_file_is_refused_and_the_file_named(
    command, name, content, run, tmp_path
):
    copy = damaged(run, tmp_path, name, content)
    before = snapshot(tmp_path)
    err = refused(1, *COMMANDS[command](copy, tmp_path), "-q")
    assert name in err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.json"])
def test_a_run_with_half_a_file_is_refused(name, run, tmp_path):
    copy = damaged(run, tmp_path, name, lambda b: b[: len(b) // 2])
    assert name in refused(1, "encode", copy, "digits", "--out", tmp_path / "c.npy", "-q")


@pytest.mark.parametrize("name", NEEDED)
def test_a_run_without_what_it_needs_is_refused(name, run, tmp_path):
    copy = damaged(run, tmp_path, name, None)
    err = refused(1, "encode", copy, "digits", "--out", tmp_path / "c.npy", "-q")
    assert str(copy) in err


@pytest.mark.parametrize("name", ["environment.json", "README.md"])
def test_a_run_without_what_is_only_for_people_still_opens(name, run, tmp_path):
    copy = damaged(run, tmp_path, name, None)
    succeeded("encode", copy, "digits", "--out", tmp_path / "c.npy", "-q")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_newer_format_is_told(command, run, tmp_path):
    newer = lambda b: b.replace(b'"format": 1', b'"format": 2')  # noqa: E731
    copy = damaged(run, tmp_path, "config.json", newer)
    err = refused(1, *COMMANDS[command](copy, tmp_path), "-q")
    assert "format 2" in err
    assert "update isthmus" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_no_run_is_told(command, tmp_path):
    err = refused(1, *COMMANDS[command](tmp_path / "none", tmp_path), "-q")
    assert str(tmp_path / "none") in err


# ---------------------------------------------------------------- compare


def test_compare_puts_runs_side_by_side(runs, tmp_path):
    folders = sorted(runs.iterdir())
    out = tmp_path / "comparison"
    answer = succeeded("compare", *folders, "--out", out)
    assert "topk" in answer.out
    names = {path.name for path in out.iterdir()}
    assert {"comparison.png", "comparison.csv", "comparison.json"} <= names
    found = succeeded("compare", *folders, "--json").json
    text = json.dumps(found)
    for folder in folders:
        kept = json.loads((folder / "metrics.json").read_text())["test"]["mse"]
        assert folder.name in text
        assert repr(kept)[:8] in text
    assert found["files"] == []


def test_compare_refuses_a_split_that_is_not_there_and_a_folder_that_is_taken(runs, tmp_path):
    folders = sorted(runs.iterdir())
    assert "dev" in refused(2, "compare", *folders, "--split", "dev")
    (tmp_path / "mine.txt").write_text("mine")
    answer = isthmus("compare", *folders, "--out", tmp_path / "mine.txt")
    assert answer.code == 1
    assert "internal" not in answer.err
    assert (tmp_path / "mine.txt").read_text() == "mine"


# ---------------------------------------------------------------- sweep


def test_sweep_trains_a_grid_and_goes_on_where_it_was(tmp_path):
    out = tmp_path / "sweep"
    quick = [word for word in QUICK if word not in {"--no-figures", "--latent", "4"}]
    words = ("sweep", "digits", *quick, "--vary", "latent=2,4", "--seeds", "0,1", "--out", out)
    first = succeeded(*words, "--json")
    assert first.json
    assert [row["latent"] for row in first.json["rows"]] == [2, 2, 4, 4]  # numbers, not words
    with (out / "figures" / "tradeoff.csv").open(newline="") as file:
        assert [float(row["latent"]) for row in csv.DictReader(file)] == [2, 4]
    weights = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert len(weights) == 4
    assert "4/4 runs" in first.err
    again = succeeded(*words)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == weights
    assert str(out) in again.out
    tables = list(out.glob("*.csv"))
    with tables[0].open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vary", "latent"], "--vary"),
        (["--vary", "latent="], "--vary"),
        (["--vary", "latent=2", "--vary", "latent=3"], "twice"),
        (["--vary", "latnt=2,3"], "latnt"),
        (["--vary", "latent=2,3", "--seeds", "one"], "--seeds"),
        (["--vary", "latent=2,3", "--model", "dens"], "did you mean 'dense'"),
        (["--vary", "latent=2,3", "--hold", "breath"], "hold"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(words, said, tmp_path):
    out = tmp_path / "sweep"
    err = refused(2, "sweep", "digits", *words, "--epochs", "1", "--out", out, "-q")
    assert said in err
    assert not out.exists()


def test_a_run_that_fails_is_a_row_and_the_exit_code_says_so(tmp_path):
    quick = [word for word in QUICK if word != "--no-figures"]
    words = ("--model", "topk", *quick, "--latent", "8", "--vary", "k=2,9")
    answer = isthmus("sweep", "digits", *words, "--out", tmp_path / "sweep", "-q")
    assert answer.code == 1
    assert "1 of 2 runs failed" in answer.out
    assert "k" in answer.out.split("1 of 2 runs failed")[1]
    assert (tmp_path / "sweep" / "figures" / "tradeoff.png").is_file()


# ---------------------------------------------------------------- encode


def expected_codes(run):
    dataset = im.load("digits")
    stored = dataset["train"].values
    return im.open(run).model.encode(np.asarray(stored, np.float32).reshape(-1, 1, 8, 8))


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "parquet", "safetensors"])
def test_codes_come_out_in_stored_order_in_every_form(ending, run, tmp_path):
    path = tmp_path / f"codes.{ending}"
    found = succeeded("encode", run, "digits", "--out", path, "--json").json
    assert (found["samples"], found["latent"], found["sparse"]) == (1797, 4, False)
    wanted = expected_codes(run)
    labels = im.load("digits")["train"].labels
    got, known = read(path)
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    if known is not None:
        np.testing.assert_array_equal(known, labels)
    assert (known is None) == (ending == "npy")


def read(path):
    """Codes and labels of a file, read by other libraries."""
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False), None
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return file["codes"], file["labels"]
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return (found := load_file(path))["codes"], found["labels"]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            table = {k: [] for k in next(csv.reader(file))}
        values = np.loadtxt(path, delimiter=",", skiprows=1)
    else:
        parquet = pytest.importorskip("pyarrow.parquet").read_table(path)
        table = dict.fromkeys(parquet.column_names)
        values = np.stack([column.to_numpy() for column in parquet.columns], axis=1)
    assert list(table) == ["latent_0", "latent_1", "latent_2", "latent_3", "label"]
    return values[:, :-1], values[:, -1]


def test_one_split_only(run, tmp_path):
    path = tmp_path / "codes.npy"
    succeeded("encode", run, "digits", "--split", "test", "--out", path, "-q")
    wanted = im.open(run).model.encode(im.load("digits")["test"].all().numpy())
    np.testing.assert_allclose(np.load(path), wanted, atol=1e-5)
    err = refused(2, "encode", run, "digits", "--split", "dev", "--out", path, "-q")
    assert "train, validation, test" in err


def test_sparse_codes_are_a_csr_matrix(runs, tmp_path):
    from scipy import sparse

    path = tmp_path / "codes.npz"
    succeeded("encode", runs / "topk", "digits", "--out", path, "--sparse", "-q")
    matrix = sparse.load_npz(path)
    assert matrix.shape == (1797, 4)
    assert np.diff(matrix.indptr).max() <= 2
    np.testing.assert_allclose(matrix.toarray(), expected_codes(runs / "topk"), atol=1e-5)
    err = refused(2, "encode", runs / "dense-0", "digits", "--out", path, "--sparse", "-q")
    assert "no true zeros" in err
    out = tmp_path / "codes.csv"
    assert ".npz" in refused(2, "encode", runs / "topk", "digits", "--out", out, "--sparse", "-q")


@pytest.mark.parametrize(
    ("name", "code", "said"), [("codes.xlsx", 2, ".safetensors"), ("no/codes.npy", 1, "codes.npy")]
)
def test_codes_that_cannot_be_written_are_told(name, code, said, run, tmp_path):
    assert said in refused(code, "encode", run, "digits", "--out", tmp_path / name, "-q")
    assert list(tmp_path.iterdir()) == []


def test_encode_takes_files_with_labels_and_refuses_other_shapes(run, vectors, tmp_path):
    path = tmp_path / "codes.npz"
    succeeded("encode", run, vectors, "--out", path, "-q")
    with np.load(path) as file:
        np.testing.assert_allclose(file["codes"], expected_codes(run)[:12], atol=1e-5)
        assert len(file["labels"]) == 12
    np.save(tmp_path / "v.npy", np.ones((20, 5), np.float32))
    err = refused(2, "encode", run, tmp_path / "v.npy", "--out", tmp_path / "w.npy", "-q")
    assert "(1, 8, 8)" in err
    assert not (tmp_path / "w.npy").exists()


# ---------------------------------------------------------------- reconstruct


def test_images_become_pictures_with_their_errors(run, tmp_path):
    from PIL import Image

    out = tmp_path / "pictures"
    found = succeeded("reconstruct", run, "digits", "--n", "12", "--out", out, "--json").json
    names = sorted(path.name for path in out.iterdir())
    assert names == [*(f"{i:02}.png" for i in range(12)), "errors.csv"]
    with Image.open(out / "00.png") as image:
        # 8 x 8 enlarged 14 times, twice, with a gap between
        assert image.size == (8 * 14 * 2 + 7, 8 * 14)
    with (out / "errors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    model, test = im.open(run).model, im.load("digits")["test"]
    raw = test.all().numpy()[:12]
    wanted = (((model.reconstruct(raw) - raw) / 16) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose([float(row["mse"]) for row in rows], wanted, rtol=1e-4)
    assert [int(row["label"]) for row in rows] == test.label_array()[:12].tolist()
    assert found["mse"] == pytest.approx(wanted.mean(), rel=1e-4)
    assert found["samples"] == 12


def test_separate_pictures_are_pixel_for_pixel(run, tmp_path):
    from PIL import Image

    out = tmp_path / "pictures"
    succeeded("reconstruct", run, "digits", "--n", "2", "--separate", "--out", out, "-q")
    with Image.open(out / "1-original.png") as image:
        pixels = np.asarray(image)
    wanted = im.load("digits")["test"].all().numpy()[1, 0] * 255 / 16
    np.testing.assert_allclose(pixels, wanted, atol=1)
    assert (out / "1-reconstruction.png").is_file()


def test_vectors_become_arrays_in_their_own_units(tmp_path):
    path, run, out = tmp_path / "v.npy", tmp_path / "run", tmp_path / "again"
    values = np.random.default_rng(0).normal(5, 2, (60, 5)).astype(np.float32)
    np.save(path, values)
    succeeded("train", path, *QUICK, "--out", run, "-q")
    words = ("--n", "0", "--split", "all", "--out", out)
    found = succeeded("reconstruct", run, path, *words, "--json").json
    assert found["samples"] == 60
    np.testing.assert_array_equal(np.load(out / "originals.npy"), values)
    wanted = im.open(run).model.reconstruct(values)
    np.testing.assert_allclose(np.load(out / "reconstructions.npy"), wanted, atol=1e-5)


def test_reconstruct_leaves_other_files_alone(run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert "not empty" in refused(1, "reconstruct", run, "digits", "--out", tmp_path, "-q")
    out = tmp_path / "out"
    assert "--n" in refused(2, "reconstruct", run, "digits", "--n", "-1", "--out", out, "-q")
    words = ("--split", "dev", "--out", out, "-q")
    assert "dev" in refused(2, "reconstruct", run, "digits", *words)
    assert snapshot(tmp_path) == {(tmp_path / "mine.txt").relative_to(tmp_path): b"mine"}
