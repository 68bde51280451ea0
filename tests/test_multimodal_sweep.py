"""Sweeps of several modalities: the same trainings as one by one, judged by the same judges."""

import csv
import dataclasses
import pickle

import pytest

import isthmus as im
from cli_multimodal_toys import BRISK, MEASURED
from cli_tools import refused, succeeded
from isthmus.errors import ConfigError
from isthmus.models.multimodal import multimodal_preset
from isthmus.runs.multimodal import MultimodalEvaluation, train_multimodal
from isthmus.runs.multimodal.sweeping import MultimodalSweep, NamedSeveral
from isthmus.runs.sweep import SweepStopped, sweep
from isthmus.runs.sweep_work import State, state_of
from multimodal_toys import toy

QUICK = MultimodalEvaluation(
    queries=20, samples=2, joint=20, round_trip=0, train_rows=40, rates=(0.0,), baselines=False
)
BASE = {"epochs": 2, "batch_size": 16, "threads": 1, "device": "cpu"}


def swept(out, vary, **given):
    settings = BASE | given.pop("settings", {})
    return sweep(toy(), "aligned", vary, settings=settings, out=out, evaluation=QUICK, **given)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return swept(tmp_path_factory.mktemp("several") / "s", {"shared": [2, 3]}, seeds=(0, 1))


def test_each_run_is_the_run_that_train_gives(whole):
    row = whole.rows[3]
    assert (row["shared"], row["seed"], row["latent"]) == (3, 1, 3)
    judges = whole.folder / "judges"
    run = train_multimodal(
        "aligned", toy(), shared=3, seed=1, evaluation=QUICK, judge_folder=judges, **BASE
    )
    for name, value in run.report.measures().items():
        assert row[name] == pytest.approx(value), name


def test_rows_sum_a_run_up(whole):
    for row in whole.rows:
        maps = [v for k, v in row.items() if k.startswith("retrieval ") and k.endswith("mAP")]
        assert len(maps) == 2
        assert row["retrieval"] == pytest.approx(sum(maps) / 2)
        right = [row[f"translation {way}, coherence"] for way in ("a->b", "b->a")]
        assert row["translation"] == pytest.approx(sum(right) / 2)
        assert row["error"] is None


def test_judges_are_trained_once_and_shared(whole):
    assert list((whole.folder / "judges").glob("*.safetensors"))
    assert not list((whole.folder / "runs").glob("*/judges/*"))


def test_the_figure_draws_what_is_won_against_what_it_costs(whole):
    assert (whole.axes.x, whole.axes.y, whole.axes.gain) == ("shared", "retrieval", True)
    table = whole.picture().table
    assert list(table["shared"]) == [2, 3]
    assert list(table["runs"]) == [2, 2]
    with (whole.folder / "figures" / "tradeoff.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_seeds_are_one_group_and_the_text_says_so(whole):
    assert [group.seeds for group in whole.comparison().groups] == [(0, 1)] * 2
    text = whole.text()
    assert "retrieval" in text.splitlines()[0]
    assert "seed noise" in text


def test_what_is_done_stays_and_what_is_not_is_done_again(whole):
    before = {p: p.read_bytes() for p in whole.folder.glob("runs/*/model.safetensors")}
    times = {p: p.stat().st_mtime_ns for p in before}
    lost = whole.folder / "runs" / "shared-2_seed-0"
    (lost / "model.safetensors").unlink()  # killed before the last file of a run
    assert state_of(lost) is State.HALF
    again = swept(whole.folder, {"shared": [2, 3]}, seeds=(0, 1))
    assert {p: p.read_bytes() for p in before} == before
    kept = {p: p.stat().st_mtime_ns for p in before if p.parent != lost}
    assert kept == {p: times[p] for p in kept}
    clock = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in clock} for row in again.rows] == [
        {k: v for k, v in row.items() if k not in clock} for row in whole.rows
    ]


def test_settings_of_the_mixture_are_swept_too(tmp_path):
    found = swept(tmp_path / "m", {"per_class": [1, 2]}, settings={"epochs": 1})
    sizes = [len(im.open(found.folder / "runs" / r["name"]).mixture.weights) for r in found.rows]
    assert sizes[0] < sizes[1]


def test_a_setting_that_nothing_has_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no setting 'k'"):
        swept(tmp_path / "k", {"k": [1, 2]})
    with pytest.raises(ConfigError, match="can't hold parameters"):
        swept(tmp_path / "h", {"shared": [1, 2]}, hold="parameters")


def test_data_in_memory_stay_in_their_process(tmp_path):
    with pytest.raises(ConfigError, match="one run at a time"):
        swept(tmp_path / "j", {"shared": [2, 3]}, jobs=2)


def test_a_family_travels_to_other_processes():
    family = MultimodalSweep(multimodal_preset("aligned"))
    source = NamedSeveral("digits-words", {"sounds": False})
    again, there = pickle.loads(pickle.dumps((family, source)))  # noqa: S301
    assert dataclasses.asdict(again) == dataclasses.asdict(family)
    assert there.open().digest == source.open().digest
    assert MultimodalSweep.of("dense") is None


def test_the_command_sweeps_in_several_processes(tmp_path):
    out = tmp_path / "sweep"
    only = ("--only", "image,text", "--epochs", "1")
    quick = [word for word in BRISK if word != "--no-figures"]
    measured = [word for pair in zip(MEASURED[::2], MEASURED[1::2], strict=True) for word in pair
                if pair[0] != "--judge-steps"]  # fmt: skip
    words = ("sweep", "digits-words", "--model", "aligned", *only, *quick, *measured)
    grid = ("--vary", "private=2,4", "--jobs", "2", "--out", out)
    answer = succeeded(*words, *grid, "--json")
    rows = answer.json["rows"]
    assert [row["private"] for row in rows] == [2, 4]
    assert rows[0]["parameters"] < rows[1]["parameters"]
    assert all(0 <= row["retrieval"] <= 1 for row in rows)
    assert "test retrieval" in answer.err
    assert (out / "figures" / "tradeoff.png").is_file()
    assert "holds another sweep" in refused(1, *words, "--vary", "private=2,5", "--out", out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "aligned", "--vary", "private=2,x"), "--private can't be 'x'"),
        (("--model", "aligned", "--vary", "k=2,4"), "no setting 'k'"),
        (("--model", "aligned", "--vary", "shared=2", "--nll-rows", "5"), "means nothing"),
        (("--vary", "latent=2", "--contrast", "2"), "--contrast is for models of several"),
        (("--vary", "latent=2"), "several modalities"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(words, said, tmp_path):
    out = tmp_path / "sweep"
    assert said in refused(2, "sweep", "digits-words", *words, "--out", out)
    assert not out.exists()


def test_an_interrupt_while_judges_are_trained_is_told_and_the_sweep_goes_on(tmp_path, monkeypatch):
    told = []

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(MultimodalSweep, "prepare", interrupted)
    with pytest.raises(SweepStopped, match="0 of 1 runs done"):
        swept(tmp_path / "s", {"shared": [2]}, progress=told.append)
    assert [(p.done, p.measure) for p in told] == [(0, "retrieval")]  # before anything is trained
    monkeypatch.undo()
    assert swept(tmp_path / "s", {"shared": [2]}).rows[0]["error"] is None
