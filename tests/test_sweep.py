"""A grid of runs: the same numbers however it is carried out, interrupted or in one go."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import isthmus as im
from isthmus.bottlenecks import L1, Gaussian, KLSparse, Plain, TopK
from isthmus.data import Dataset
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.models import preset
from isthmus.runs.sweep import SweepStopped, sweep
from isthmus.runs.sweep_axes import axes_for
from isthmus.runs.sweep_hourglass import HourglassSweep, Stored
from isthmus.runs.sweep_plan import column, shown, trials_of
from toys import vectors

CLOCK = {"seconds", "samples_per_second"}
SMALL = {"epochs": 2, "hidden": (4,), "batch_size": 32}
GRID = {"latent": [1, 2], "activation": ["ReLU", "Tanh"]}
HERE = Path(__file__).parent


def data():
    return vectors(64, 6, validation=12)


def swept(out, vary=None, **given):
    settings = SMALL | given.pop("settings", {})
    return sweep(data(), "dense", vary or {"latent": [1, 2]}, settings=settings, out=out, **given)


def without_clock(rows):
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


def weights(out):
    files = sorted(Path(out).glob("runs/*/model.safetensors"))
    return {path.parent.name: path.read_bytes() for path in files}


def times(out):
    return {p.parent.name: p.stat().st_mtime_ns for p in Path(out).glob("runs/*/metrics.json")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The grid of two by two with two seeds, in one go and one process."""
    return swept(tmp_path_factory.mktemp("sweep") / "whole", GRID, seeds=(0, 1))


# --- what comes out -------------------------------------------------------------------------------


def test_a_row_a_run_in_the_order_of_the_grid(whole):
    assert [(r["latent"], r["activation"], r["seed"]) for r in whole.rows] == [
        (latent, activation, seed)
        for latent in (1, 2)
        for activation in ("ReLU", "Tanh")
        for seed in (0, 1)
    ]
    assert [row["name"] for row in whole.rows][:2] == [
        "latent-1_activation-ReLU_seed-0", "latent-1_activation-ReLU_seed-1",
    ]  # fmt: skip
    assert whole.varied == ("latent", "activation")
    assert whole.failed == ()
    assert {row["split"] for row in whole.rows} == {"validation"}  # these data have no test split


def test_each_run_is_the_run_that_train_gives(whole):
    row = whole.rows[3]
    run = im.train(
        "dense", data(), latent=1, activation="Tanh", seed=1, threads=1, figures=False, **SMALL
    )
    assert run.metrics["validation"].mse == row["mse"]
    opened = im.open(whole.folder / "runs" / row["name"])
    assert opened.metrics["validation"].mse == row["mse"]
    assert opened.training.threads == 1
    assert opened.training.seed == 1


def test_the_folder_holds_the_table_the_plan_and_the_figure(whole):
    names = {path.name for path in whole.folder.iterdir()}
    assert names == {"figures", "runs", "sweep.csv", "sweep.json"}
    with (whole.folder / "sweep.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [row["name"] for row in table] == [row["name"] for row in whole.rows]
    assert [float(row["mse"]) for row in table] == [row["mse"] for row in whole.rows]
    plan = json.loads((whole.folder / "sweep.json").read_text("utf-8"))
    assert (plan["vary"], plan["seeds"]) == (GRID, [0, 1])
    assert {p.name for p in (whole.folder / "figures").iterdir()} == {
        "tradeoff.png", "tradeoff.csv",
    }  # fmt: skip
    assert not list((whole.folder / "runs").glob("*/figures/*"))  # only asked for


def test_the_figure_has_a_point_a_setting(whole):
    table = whole.picture().table
    assert (whole.axes.x, whole.axes.y, whole.axes.group) == ("latent", "mse", "activation")
    assert list(table["runs"]) == [2, 2, 2, 2]
    cell = [r["mse"] for r in whole.rows if (r["latent"], r["activation"]) == (2, "Tanh")]
    found = dict(zip(zip(table["group"], table["latent"], strict=True), table["mse"], strict=True))
    assert found["Tanh", 2] == pytest.approx(np.mean(cell))


def test_text_and_json(whole):
    text = whole.text()
    assert "latent  activation  seed" in text
    assert "Welch" in text
    assert "1 CPU thread" in text
    found = json.loads(json.dumps(whole.as_json(), allow_nan=False))
    assert set(found) == {"sweep", "rows", "varied", "failed", "notes"}
    assert len(found["rows"]) == 8
    assert found["rows"][0]["mse"] == whole.rows[0]["mse"]


def test_seeds_of_one_setting_are_one_group(whole):
    groups = whole.comparison().groups
    assert [group.seeds for group in groups] == [(0, 1)] * 4
    assert groups[0].name == "latent-1_activation-ReLU"


def test_progress_is_told_after_each_run(tmp_path):
    told = []
    swept(tmp_path / "s", progress=told.append)
    assert [(p.done, p.total, p.name) for p in told] == [
        (0, 2, ""), (1, 2, "latent-1_seed-0"), (2, 2, "latent-2_seed-0"),
    ]  # fmt: skip
    assert told[0].row is None
    assert told[-1].row["mse"] > 0
    assert told[-1].seconds_left == 0


def test_progress_as_lines(tmp_path, capsys):
    swept(tmp_path / "s", {"latent": [2]}, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/1  latent-2_seed-0  mse" in err


def test_figures_and_evaluation_when_asked_for(tmp_path):
    options = im.Evaluation(knn_rows=10, seed=3)
    swept(tmp_path / "s", {"latent": [2]}, figures=True, evaluation=options)
    assert list((tmp_path / "s" / "runs" / "latent-2_seed-0" / "figures").iterdir())
    plan = json.loads((tmp_path / "s" / "sweep.json").read_text("utf-8"))
    assert plan["evaluation"]["seed"] == 3


def test_a_named_set_is_found_again_by_its_runs(tmp_path):
    sweep("digits", "linear", {"latent": [2]}, settings={"epochs": 1}, out=tmp_path / "s")
    run = im.open(tmp_path / "s" / "runs" / "latent-2_seed-0")
    assert run.origin.source == "digits"
    assert run.dataset.name == "digits"


# --- processes ------------------------------------------------------------------------------------


def test_two_processes_give_the_same_bytes_as_one(whole, tmp_path):
    two = swept(tmp_path / "two", GRID, seeds=(0, 1), jobs=2)
    assert without_clock(two.rows) == without_clock(whole.rows)
    assert weights(two.folder) == weights(whole.folder)
    assert not [p for p in two.folder.iterdir() if p.name.startswith(".")]


def test_stored_data_are_the_data(tmp_path):
    labels = np.arange(8)
    images = np.arange(8 * 64, dtype=np.uint8).reshape(8, 1, 8, 8)
    made = Dataset.from_arrays((images, labels), test=(images[::2], labels[::2]), range=(0, 255))
    found = Stored.write(made, tmp_path).open()
    assert list(found.splits) == list(made.splits)
    for field in dataclasses.fields(Dataset):
        if field.name != "splits":
            assert getattr(found, field.name) == getattr(made, field.name)
    for split in made.splits:
        assert np.array_equal(found[split].all(), made[split].all())
        assert found[split].values.dtype == made[split].values.dtype
        assert np.array_equal(found[split].label_array(), made[split].label_array())


SCRIPT = """
    import sys
    sys.path.insert(0, {tests!r})
    from test_sweep import SLOW, THREE, data
    from isthmus.runs.sweep import sweep
    if __name__ == "__main__":
        sweep(data(), "dense", THREE, settings=SLOW, out={out!r}, jobs=2)
"""
SLOW = SMALL | {"epochs": 200, "checkpoint_seconds": 0.2}
THREE = {"latent": [1, 2, 3]}


def under_way(out):
    """Whether a run is done and another has begun."""
    done = set(times(out))
    begun = {p.parent.parent.name for p in Path(out).glob("runs/*/checkpoints/*.safetensors")}
    return bool(done and begun - done)


def go_on(out, reference):
    """Finish a sweep, and check that it trained nothing twice and ended where it would have."""
    before = times(out)
    assert 0 < len(before) < 3
    found = sweep(data(), "dense", THREE, settings=SLOW, out=out)
    assert {name: stamp for name, stamp in times(out).items() if name in before} == before
    assert weights(out) == reference[0]
    assert without_clock(found.rows) == reference[1]


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "slow"
    found = sweep(data(), "dense", THREE, settings=SLOW, out=out)
    return weights(out), without_clock(found.rows)


def test_after_kill_9_it_goes_on_to_the_same_bytes(tmp_path, slow):
    out = tmp_path / "s"
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(tests=str(HERE), out=str(out))))
    command = [sys.executable, script]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not under_way(out):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.kill()
    time.sleep(0.5)  # the processes it started follow it
    quiet = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    time.sleep(0.5)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == quiet
    go_on(out, slow)
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_leaves_checkpoints_and_it_goes_on_to_the_same_bytes(tmp_path, slow, jobs):
    out, ended = tmp_path / "s", threading.Event()

    def interrupt():
        while not under_way(out) and not ended.is_set():
            time.sleep(0.01)
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        with pytest.raises(SweepStopped, match="of 3 runs done; give the same sweep again"):
            sweep(data(), "dense", THREE, settings=SLOW, out=out, jobs=jobs)
    finally:
        ended.set()
        helper.join()
    assert (out / "sweep.csv").is_file()
    assert not list(out.glob(".*"))
    go_on(out, slow)


# --- going on -------------------------------------------------------------------------------------


def test_given_again_nothing_is_trained_again(tmp_path):
    first = swept(tmp_path / "s", progress=None)
    before, told = times(tmp_path / "s"), []
    again = swept(tmp_path / "s", progress=told.append)
    assert times(tmp_path / "s") == before
    assert again.rows == first.rows
    assert [(p.done, p.total) for p in told] == [(2, 2)]


def test_a_run_that_was_taken_away_is_trained_again_to_the_same_bytes(tmp_path):
    import shutil

    first = swept(tmp_path / "s")
    kept = weights(tmp_path / "s")
    shutil.rmtree(tmp_path / "s" / "runs" / "latent-1_seed-0")
    again = swept(tmp_path / "s")
    assert weights(tmp_path / "s") == kept
    assert without_clock(again.rows) == without_clock(first.rows)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"vary": {"latent": [1, 3]}}, "vary"),
        ({"seeds": (1,)}, "seeds"),
        ({"settings": {"lr": 0.1}}, "settings"),
        ({"hold": "parameters"}, "hold"),
        ({"evaluation": im.Evaluation(seed=9)}, "evaluation"),
    ],
)
def test_another_sweep_is_refused_and_nothing_is_changed(tmp_path, change, key):
    swept(tmp_path / "s", {"latent": [2]}, seeds=(0,))
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    given = {"vary": {"latent": [2]}, "seeds": (0,)} | change
    with pytest.raises(RunError, match=f"another sweep: its {key} differs"):
        swept(tmp_path / "s", **given)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_other_data_are_refused(tmp_path):
    swept(tmp_path / "s", {"latent": [2]})
    with pytest.raises(RunError, match="another sweep: its data differs"):
        sweep(vectors(70, 6), "dense", {"latent": [2]}, settings=SMALL, out=tmp_path / "s")


def test_a_folder_that_holds_anything_else_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        swept(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_without_resume_even_the_same_sweep_is_refused(tmp_path):
    swept(tmp_path / "s", {"latent": [2]})
    with pytest.raises(RunError, match="is not empty"):
        swept(tmp_path / "s", {"latent": [2]}, resume=False)


def test_something_strange_in_a_runs_folder_is_left_alone(tmp_path):
    strange = tmp_path / "s" / "runs" / "latent-2_seed-0" / "notes.txt"
    swept(tmp_path / "s", {"latent": [1, 2]})
    for path in sorted(strange.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    strange.write_text("mine")
    found = swept(tmp_path / "s", {"latent": [1, 2]})
    assert strange.read_text() == "mine"
    assert "no part of a run" in found.rows[1]["error"]
    strange.unlink()  # such an error is tried again
    assert swept(tmp_path / "s", {"latent": [1, 2]}).failed == ()


# --- what fails -----------------------------------------------------------------------------------


def test_a_run_that_diverges_is_a_row_with_its_error(tmp_path):
    found = swept(tmp_path / "s", {"lr": [1e-3, 1e30]})
    good, bad = found.rows
    assert (good["error"], bad["mse"]) == (None, None)
    assert "the loss became" in bad["error"]
    assert found.failed == (bad,)
    assert len(found.picture().table["runs"]) == 1
    assert "1 of 2 runs failed" in found.text()
    assert json.loads(json.dumps(found.as_json()))["failed"] == 1
    folder = tmp_path / "s" / "runs" / bad["name"]
    assert list((folder / "checkpoints").glob("*.safetensors"))  # the last good state
    stamp = (folder / "error.json").stat().st_mtime_ns
    again = swept(tmp_path / "s", {"lr": [1e-3, 1e30]})  # the same would happen again
    assert (folder / "error.json").stat().st_mtime_ns == stamp
    assert again.rows == found.rows


def test_when_all_diverge_there_is_a_table_but_no_figure(tmp_path):
    found = swept(tmp_path / "s", {"lr": [1e30]})
    assert len(found.failed) == 1
    assert not (tmp_path / "s" / "figures").exists()
    with pytest.raises(DataError):
        found.picture()
    with pytest.raises(ConfigError, match="nothing to compare"):
        found.comparison()
    assert "1 of 1 runs failed" in found.text()


def test_a_combination_that_can_not_be_built_is_a_row(tmp_path):
    found = sweep(
        data(), "topk", {"latent": [2, 8], "k": [4]}, settings=SMALL, out=tmp_path / "s"
    )  # fmt: skip
    assert "k" in found.rows[0]["error"]
    assert found.rows[1]["error"] is None
    assert not (tmp_path / "s" / "runs" / found.rows[0]["name"]).exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vary": {"lattent": [1, 2]}}, "no setting 'lattent'"),
        ({"vary": {"latent": []}}, "needs a list of values"),
        ({"vary": {"activation": "ReLU"}}, "needs a list of values"),
        ({"vary": {"latent": [0]}}, "latent"),
        ({"vary": {"seed": [1, 2]}}, "seed is no setting"),
        ({"vary": {"epochs": [1]}}, "both fixed and varied"),
        ({"seeds": ()}, "seeds must be"),
        ({"seeds": (1, 1)}, "seeds must be"),
        ({"settings": {"nonsense": 1}}, "no setting 'nonsense'"),
        ({"jobs": -1}, "jobs can't be negative"),
        ({"hold": "width"}, "can't hold 'width'"),
        ({"hold": "l0"}, "no L0 to hold"),
    ],
)
def test_what_can_not_work_is_said_before_anything_is_written(tmp_path, change, said):
    with pytest.raises(ConfigError, match=said):
        swept(tmp_path / "s", **change)
    assert not (tmp_path / "s").exists()


# --- holding --------------------------------------------------------------------------------------


def test_parameters_are_held_while_depth_moves(tmp_path):
    vary = {"hidden": [(40,), (20, 20)]}
    settings = {"epochs": 1, "latent": 2}
    found = sweep(
        data(), preset("basic"), vary, settings=settings, hold="parameters", out=tmp_path / "s"
    )
    base, _ = preset("basic").with_settings(settings)
    goal = base.model((6,)).parameters_count
    assert all(abs(row["parameters"] - goal) <= 0.02 * goal for row in found.rows)
    assert [row["hidden"] for row in found.rows] == ["40", "20-20"]
    assert all("widths times" in row["held"] for row in found.rows)
    assert found.notes[0].startswith("hidden 40: hidden (")


def test_l0_is_held_while_the_width_moves(tmp_path):
    found = sweep(
        data(), "sparse-kl", {"latent": [8, 16]}, settings=SMALL, hold="l0", out=tmp_path / "b"
    )
    # the preset asks for 0.05 of 64 latents
    assert [row["target_activation"] * row["latent"] for row in found.rows] == pytest.approx(
        [3.2, 3.2]
    )
    assert [row["held"].split(",")[0] for row in found.rows] == ["target is 0.4", "target is 0.2"]
    assert found.axes.x == "latent"


def test_what_holds_can_not_be_varied(tmp_path):
    with pytest.raises(ConfigError, match="target can't be varied while l0 is held"):
        sweep(data(), "sparse-kl", {"target": [0.2]}, hold="l0", out=tmp_path / "s")


# --- the plan -------------------------------------------------------------------------------------


def plan(vary, seeds=(0,), **settings):
    return trials_of(HourglassSweep(preset("dense")), data(), vary, seeds, settings, None)


def test_no_two_runs_share_a_folder_even_where_case_is_ignored():
    names = [trial.name for trial in plan({"lr": [0.1, 0.1], "activation": ["ReLU", "RELU"]})[:4]]
    assert len({name.lower() for name in names}) == 4


def test_names_are_short_and_plain():
    (trial,) = plan({"hidden": [tuple(range(1, 60))], "lr": [1e-4]}, (3,))
    assert len(trial.name) <= 90
    assert trial.name.endswith("_seed-3")
    assert set(trial.name) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    )
    assert plan({"lr": [1e-4]})[0].name == "lr-0.0001_seed-0"
    assert plan({})[0].name == "seed-0"


@pytest.mark.parametrize(
    ("value", "cell"),
    [(True, "true"), ((), "none"), (None, "none"), ((8, 4), "8-4"), (0.5, 0.5), ("a", "a")],
)
def test_settings_as_cells(value, cell):
    assert shown(value) == cell


def test_a_setting_called_as_a_metric_gets_a_column_of_its_own():
    assert [column(n) for n in ("latent", "l0", "mean_activation", "epochs", "lr")] == [
        "latent", "l0_asked", "mean_activation_asked", "epochs_asked", "lr",
    ]  # fmt: skip


# --- what stands against what ---------------------------------------------------------------------


def rows(**columns):
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values())]  # noqa: B905


@pytest.mark.parametrize(
    ("waist", "columns", "varied", "hold", "expected"),
    [
        (Plain(4), {"latent": [1, 2]}, ("latent",), None, ("latent", "mse", None, True)),
        (Plain(4), {"lr": [0.1, 0.2]}, ("lr",), None, ("lr", "mse", None, False)),
        (Plain(4), {"latent": [1, 2], "parameters": [9, 9]}, ("latent",), "parameters",
         ("latent", "mse", None, True)),
        (TopK(8, k=2), {"k": [1, 2], "l0": [1.0, 2.0]}, ("k",), None, ("l0", "mse", "k", True)),
        (TopK(8, k=2), {"latent": [4, 8], "l0": [2.0, 2.1]}, ("latent",), "l0",
         ("latent", "mse", None, True)),
        (L1(8, weight=1.0), {"weight": [0.1, 1.0], "l0": [3.0, 2.0]}, ("weight",), None,
         ("l0", "mse", "weight", True)),
        (KLSparse(8), {"target": [0.1, 0.2], "mean_activation": [0.1, 0.2], "l0": [8, 8]},
         ("target",), None, ("mean_activation", "mse", "target", True)),
        (Gaussian(4), {"beta": [1, 4], "rate": [9.0, 3.0], "distortion": [5.0, 8.0]}, ("beta",),
         None, ("rate", "distortion", "beta", True)),
        (Plain(4), {"activation": ["ReLU", "Tanh"]}, ("activation",), None,
         ("parameters", "mse", "activation", False)),
    ],
)  # fmt: skip
def test_the_axes_fit_the_model_and_what_moved(waist, columns, varied, hold, expected):
    table = rows(**({"parameters": [5, 5], "mse": [0.1, 0.2]} | columns))
    axes = axes_for(waist, table, varied, hold)
    assert (axes.x, axes.y, axes.group, axes.cost) == expected


def test_axes_of_no_run_at_all():
    assert axes_for(Plain(4), [], ("latent",)).x == "parameters"
