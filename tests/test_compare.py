"""Runs side by side: rows, groups of seeds, and what is said about their differences."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import isthmus as im
from isthmus.bottlenecks import Plain
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.models import Autoencoder
from isthmus.networks import MLP
from isthmus.runs.compare import compare
from isthmus.runs.evaluation import SplitMetrics
from isthmus.runs.groups import COMPARED
from isthmus.runs.rows import HEAD, METRICS, aligned, plain_cell, without_nan
from isthmus.runs.run import DataOrigin, Run
from isthmus.training import History, Training
from toys import fitted_to, vectors

WELL = (0.10, 0.11, 0.12)
BADLY = (0.50, 0.51, 0.53)


def run(mse=0.1, *, seed=0, latent=2, folder=None, data="one", other=None, **numbers):
    """A run with numbers given by hand: 6 -> 4 -> latent -> 4 -> 6."""
    model = Autoencoder((6,), MLP((4,)), Plain(latent), seed=seed)
    model = fitted_to(model, other or vectors())
    history = History([{"epoch": 1, "seconds": 1.5}, {"epoch": 2, "seconds": 1.25}])
    test = SplitMetrics(samples=10, mse=mse, pca_mse=numbers.pop("pca_mse", 0.2), **numbers)
    train = SplitMetrics(samples=90, mse=mse / 2)
    return Run(
        model,
        history,
        {"test": test, "train": train},
        Training(seed=seed, epochs=2),
        DataOrigin("vectors", fingerprint=data),
        folder=folder,
        dataset=other or vectors(),
    )


def seeds_of(values, **given):
    return [run(value, seed=seed, **given) for seed, value in enumerate(values)]


def of(found, metric):
    return [pair for pair in found.differences if pair.metric == metric]


# --- rows -----------------------------------------------------------------------------------------


def test_a_row_says_what_the_run_is_and_what_it_measured():
    found = compare([run(0.1, seed=3, knn_accuracy=0.9, l0=2.0)])
    row = found.rows[0]
    assert tuple(row) == (*HEAD, *METRICS)
    assert (row["name"], row["split"], row["data"], row["seed"]) == (
        "vectors-custom", "test", "vectors", 3,
    )  # fmt: skip
    # (6 * 4 + 4) + (4 * 2 + 2) + (2 * 4 + 4) + (4 * 6 + 6)
    assert (row["latent"], row["parameters"]) == (2, 80)
    assert (row["epochs"], row["seconds"]) == (2, 2.75)
    assert (row["mse"], row["knn_accuracy"], row["nll"]) == (0.1, 0.9, None)
    assert row["pca_ratio"] == pytest.approx(0.5)


def test_the_ratio_to_pca_is_missing_where_pca_is_perfect_or_unknown():
    found = compare([run(0.1, pca_mse=0.0), run(0.1, pca_mse=None)])
    assert [row["pca_ratio"] for row in found.rows] == [None, None]


def test_several_splits_are_rows_and_groups_of_their_own():
    found = compare(seeds_of(WELL), ("test", "train"))
    assert [(row["split"], row["mse"]) for row in found.rows][:2] == [
        ("test", 0.10), ("train", 0.05),
    ]  # fmt: skip
    assert [(g.split, g.values["mse"]) for g in found.groups] == [
        ("test", WELL), ("train", tuple(v / 2 for v in WELL)),
    ]  # fmt: skip


def test_no_two_names_are_alike(tmp_path):
    folders = [tmp_path / "a" / "dense", tmp_path / "b" / "dense", tmp_path / "conv"]
    runs = [run(latent=n, folder=folder) for n, folder in enumerate(folders, 1)]
    found = compare([*runs, run(latent=4), run(latent=5)])
    assert found.names == ("a/dense", "b/dense", "conv", "vectors-custom", "vectors-custom (2)")


@pytest.mark.parametrize("call", [lambda: compare([]), lambda: compare([run()], ())])
def test_nothing_to_compare(call):
    with pytest.raises(ConfigError, match="nothing to compare"):
        call()


def test_a_split_that_was_not_measured():
    with pytest.raises(ConfigError, match="no numbers for the split 'validation'") as caught:
        compare([run()], "validation")
    assert "test, train" in str(caught.value)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(RunError):
        compare([tmp_path / "none"])


# --- groups ---------------------------------------------------------------------------------------


def test_runs_that_differ_only_in_their_seed_are_one_group():
    found = compare([*seeds_of(WELL), *seeds_of(BADLY, latent=3)])
    assert [(g.seeds, g.values["mse"]) for g in found.groups] == [
        ((0, 1, 2), WELL), ((0, 1, 2), BADLY),
    ]  # fmt: skip
    interval = found.groups[0].interval("mse")
    assert interval.mean == pytest.approx(0.11)
    assert interval.spread == pytest.approx(0.01)
    # t(0.975, 2 degrees of freedom) * 0.01 / sqrt(3)
    assert interval.half == pytest.approx(4.302652729911275 * 0.01 / math.sqrt(3))


@pytest.mark.parametrize(
    "change",
    [{"lr": 0.5}, {"epochs": 3}, {"clip": 1.0}, {"weight_decay": 0.1}, {"batch_size": 7}],
)
def test_another_training_is_another_group(change):
    one, other = run(seed=0), run(seed=1)
    other.training = dataclasses.replace(other.training, **change)
    assert len(compare([one, other]).groups) == 2


@pytest.mark.parametrize("change", [{"threads": 2}, {"device": "cpu"}, {"checkpoint_seconds": 1.0}])
def test_where_it_was_trained_makes_no_group(change):
    one, other = run(seed=0), run(seed=1)
    other.training = dataclasses.replace(other.training, **change)
    assert [g.seeds for g in compare([one, other]).groups] == [(0, 1)]


def test_other_data_are_another_group_and_never_compared():
    found = compare([*seeds_of(WELL), *seeds_of(BADLY, data="two")])
    assert len(found.groups) == 2
    assert found.differences == ()
    assert "different data" in found.notes[0]
    assert found.statements == (
        "No two of these were measured alike: no statement about differences.",
    )


def test_errors_in_other_units_are_not_compared_but_accuracies_are():
    numbers = {"knn_accuracy": 0.5}
    scaled = vectors(seed=1)  # another scale, learned on other values
    first = seeds_of(WELL, **numbers)
    found = compare([*first, *seeds_of(BADLY, other=scaled, latent=3, **numbers)])
    assert of(found, "mse") == []
    assert len(of(found, "knn_accuracy")) == 1
    assert any("different units" in note for note in found.notes)


def test_likelihoods_of_other_protocols_are_not_compared():
    first = seeds_of(WELL, nll=90.0, nll_protocol="static")
    found = compare([*first, *seeds_of(WELL, latent=3, nll=80.0, nll_protocol="dynamic")])
    assert of(found, "nll") == []
    assert len(of(found, "mse")) == 1
    assert any("different kinds: static; dynamic" in note for note in found.notes)


def test_the_same_training_counts_once():
    found = compare([run(0.1, seed=0), run(0.1, seed=0), run(0.2, seed=1)])
    assert found.groups[0].seeds == (0, 1)
    assert found.groups[0].values["mse"] == (0.1, 0.2)
    assert "counted once" in found.notes[0]
    assert len(found.rows) == 3


def test_a_number_that_one_run_lacks_is_no_number_of_the_group():
    found = compare([run(seed=0, l0=2.0), run(seed=1), run(seed=2, l0=math.nan)])
    assert "l0" not in found.groups[0].values
    assert found.groups[0].interval("l0") is None


@pytest.mark.parametrize(
    ("names", "group"),
    [
        (("dense-seed-0", "dense-seed-1"), "dense"),
        (("dense_s0", "dense_s1"), "dense"),
        (("wide.0", "wide.1"), "wide"),
        (("one", "two"), "one + two"),
        (("seed0", "seed1"), "seed0 + seed1"),
        (("a0/run", "b1/run"), "a0/run + b1/run"),
        (("a/run-s0", "a/run-s1"), "run"),
    ],
)
def test_a_group_is_called_what_its_runs_share(tmp_path, names, group):
    runs = [run(seed=seed, folder=tmp_path / name) for seed, name in enumerate(names)]
    assert compare(runs).groups[0].name == group


# --- differences ----------------------------------------------------------------------------------


def test_a_clear_difference_is_said_with_its_better_end():
    accuracy = [{"knn_accuracy": v} for v in (0.9, 0.91, 0.92, 0.5, 0.51, 0.53)]
    runs = [run(m, seed=s, **a) for s, (m, a) in enumerate(zip(WELL, accuracy[:3], strict=True))]
    runs += [
        run(m, seed=s, latent=3, **a)
        for s, (m, a) in enumerate(zip(BADLY, accuracy[3:], strict=True))
    ]
    found = compare(runs)
    (mse,), (knn,) = of(found, "mse"), of(found, "knn_accuracy")
    good = found.groups[0].name
    assert (mse.differs, mse.better, knn.differs, knn.better) == (True, good, True, good)
    assert mse.gap == pytest.approx(np.mean(WELL) - np.mean(BADLY))
    oracle = stats.ttest_ind(WELL, BADLY, equal_var=False).confidence_interval()
    assert (mse.low, mse.high) == pytest.approx((oracle.low, oracle.high))
    assert f"{good} is better" in mse.sentence
    assert "is lower than" in mse.sentence
    assert any(s.startswith("mse:") and "more than seed noise" in s for s in found.statements)


def test_a_difference_within_seed_noise_is_not_said_to_be_one():
    found = compare([*seeds_of((0.1, 0.2, 0.3)), *seeds_of((0.12, 0.21, 0.33), latent=3)])
    (pair,) = of(found, "mse")
    assert (pair.differs, pair.better) == (False, None)
    assert "no more than seed noise" in pair.sentence


def test_one_seed_makes_no_statement():
    found = compare([run(0.1), run(0.9, latent=3)])
    (pair,) = of(found, "mse")
    assert (pair.differs, pair.low, pair.high, pair.better) == (None, None, None, None)
    assert "one seed can't tell" in pair.sentence
    assert found.statements == ("One seed each: no statement about differences.",)
    assert "Over seeds" not in found.text()


def test_one_seed_beside_several_is_named():
    found = compare([*seeds_of(WELL), *seeds_of(BADLY, latent=3), run(0.3, latent=4)])
    lone = found.groups[2].name
    assert f"One seed each: no statement about {lone}." in found.statements
    assert [pair.differs for pair in of(found, "mse")] == [True, None, None]


def test_all_pairs_of_a_metric_are_taken_together():
    """By itself the pair would differ (p = .03); among three pairs Holm's rule says no."""
    near, far = (0.10, 0.12, 0.14), (0.15, 0.17, 0.19)
    p = stats.ttest_ind(near, far, equal_var=False).pvalue
    assert 0.05 / 3 < p < 0.05
    runs = [*seeds_of(near), *seeds_of(far, latent=3)]
    assert of(compare(runs), "mse")[0].differs
    among = compare([*runs, *seeds_of((0.13, 0.15, 0.16), latent=4)])
    pair = of(among, "mse")[0]
    assert not pair.differs
    assert "taken by itself would differ" in pair.sentence


def test_what_has_no_better_end_names_no_winner():
    runs = [run(0.1, seed=s, l0=2 + s / 100) for s in range(3)]
    runs += [run(0.1, seed=s, latent=3, l0=3 + s / 100) for s in range(3)]
    found = compare(runs)
    (pair,) = of(found, "l0")
    assert (pair.differs, pair.better) == (True, None)
    assert not any(s.startswith("l0") for s in found.statements)


def test_many_pairs_are_summed_up():
    runs = []
    for latent in range(1, 7):  # 15 pairs; the first two are level
        level = 0.1 if latent < 3 else 0.1 * latent
        runs += seeds_of([level + step for step in (0.0, 0.0011, 0.002)], latent=latent)
    found = compare(runs)
    best, level = found.groups[0].name, found.groups[1].name
    summed = next(s for s in found.statements if s.startswith("mse"))
    assert "14 of 15 pairs differ" in summed
    assert f"best is {best}" in summed
    assert summed.endswith(f"within seed noise of it: {level}.")


# --- what is written ------------------------------------------------------------------------------


def test_text_holds_the_runs_the_groups_and_the_sentences():
    text = compare([*seeds_of(WELL), *seeds_of(BADLY, latent=3)]).text()
    assert "mse/pca" in text
    assert "0.11 ± 0.025" in text
    assert "more than seed noise" in text
    assert "nll" not in text  # nothing has one
    assert text.endswith("\n")


def test_json_holds_no_nan_and_reads_back():
    found = compare([*seeds_of(WELL), run(math.nan, latent=3)])
    whole = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert set(whole) == {"runs", "groups", "differences", "statements", "notes"}
    assert whole["runs"][3]["mse"] is None
    assert whole["groups"][0]["metrics"]["mse"]["values"] == list(WELL)
    assert whole["groups"][0]["metrics"]["mse"]["mean"] == pytest.approx(0.11)


def test_the_picture_has_a_bar_a_group_with_its_seeds():
    picture = compare([*seeds_of(WELL), *seeds_of(BADLY, latent=3)]).picture()
    table = picture.table
    bars = list(zip(table["run"], table["metric"], table["mean"], table["sd"], strict=True))
    assert [bar[:2] for bar in bars if bar[1] == "mse"] == [
        ("vectors-custom", "mse"), ("vectors-custom (4)", "mse"),
    ]  # fmt: skip
    assert bars[0][2:] == pytest.approx((0.11, 0.01))
    assert "NLL" not in picture.alt


def test_the_picture_shows_likelihoods_where_there_are_two_to_compare():
    variational = seeds_of(WELL, nll=90.0)
    other = seeds_of(BADLY, latent=3, nll=95.0)
    assert "NLL" in compare([*variational, *other]).picture().alt
    assert "NLL" not in compare([*variational, *seeds_of(BADLY, latent=3)]).picture().alt


def test_codes_are_drawn_of_the_test_samples_that_runs_share():
    found = compare([run(seed=0), run(seed=1, latent=3)])
    assert "vectors-custom (2)" in str(found.codes_picture(n=20).table["model"])


def test_codes_of_other_data_must_be_said():
    found = compare([run(), run(data="two", latent=3)])
    with pytest.raises(ConfigError, match="share no test samples"):
        found.codes_picture()
    assert found.codes_picture(np.zeros((30, 6), np.float32)).alt


def test_codes_of_other_shapes_can_not_be_drawn():
    other = run(latent=3)
    other.model = Autoencoder((5,), MLP((4,)), Plain(2))
    with pytest.raises(ConfigError, match="can't encode the same samples"):
        compare([run(), other]).codes_picture()


def test_save_writes_everything(tmp_path):
    found = compare(seeds_of(WELL))
    written = found.save(tmp_path / "deep" / "comparison")
    assert sorted(path.name for path in written) == [
        "codes.csv", "codes.png", "comparison.csv", "comparison.json", "comparison.png",
        "comparison.txt", "runs.csv",
    ]  # fmt: skip
    place = tmp_path / "deep" / "comparison"
    assert sorted(place.iterdir()) == sorted(written)
    assert (place / "comparison.txt").read_text("utf-8") == found.text()
    assert json.loads((place / "comparison.json").read_text("utf-8")) == found.as_json()
    assert len((place / "runs.csv").read_text("utf-8").splitlines()) == 4


def test_save_leaves_out_codes_that_can_not_be_drawn(tmp_path):
    written = compare([run(), run(data="two", latent=3)]).save(tmp_path)
    assert "codes.png" not in {path.name for path in written}


def test_real_runs_from_their_folders(tmp_path):
    data = vectors(60, validation=10)
    settings = {"epochs": 1, "latent": 2, "hidden": (4,), "threads": 1, "figures": False}
    for seed in (0, 1):
        im.train("dense", data, seed=seed, out=tmp_path / f"small-seed-{seed}", **settings)
    found = im.compare(sorted(tmp_path.iterdir()), split="validation")
    assert isinstance(found, im.Comparison)
    assert [(g.name, g.seeds) for g in found.groups] == [("small", (0, 1))]
    opened = im.open(tmp_path / "small-seed-1")
    assert found.rows[1]["mse"] == opened.metrics["validation"].mse
    with pytest.raises(RunError, match="arrays in memory"):
        found.codes_picture()


# --- cells and tables -----------------------------------------------------------------------------


def test_a_table_sets_numbers_right_and_leaves_empty_columns_out():
    rows = [{"name": "a", "mse": 0.5, "nll": None}, {"name": "bcd", "mse": 12, "nll": None}]
    assert aligned(rows, ("name", "mse", "nll")) == [
        "name  mse",
        "----  ---",
        "a     0.5",
        "bcd    12",
    ]


def test_titles_are_short():
    assert aligned([{"parameters": 1234}], ("parameters",)) == ["params", "------", " 1,234"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [(True, "True"), (12345.6, "12,346"), (2e9, "2e+09"), (-0.5, "-0.5"), (float("nan"), "nan")],
)
def test_cells(value, cell):
    assert plain_cell(value) == cell


@given(st.recursive(st.none() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=9))
def test_without_nan_is_json_and_changes_nothing_else(value):
    found = without_nan(value)
    json.dumps(found, allow_nan=False)
    assert without_nan(found) == found
    if "nan" not in repr(value) and "inf" not in repr(value):
        assert found == value


def test_every_compared_metric_is_a_number_of_a_split():
    names = {field.name for field in dataclasses.fields(SplitMetrics)}
    assert set(COMPARED) <= names
    assert set(METRICS) - {"pca_ratio"} <= names
    assert set(COMPARED.values()) == {"lower", "higher", ""}


def test_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    compare(seeds_of(WELL)).picture()
    # models of the runs above are seeded by themselves
    assert torch.equal(before, torch.get_rng_state())


def test_a_comparison_without_any_number_has_no_picture():
    with pytest.raises(DataError):
        compare([run(math.nan, pca_mse=None)]).picture()
