"""Losses, sweeps, comparisons and variational panels: lines read back against their tables."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import figures
from isthmus.errors import ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("error")


def history(epochs=6, validation=True, **terms):
    columns = {"epoch": list(range(1, epochs + 1))}
    parts = {"distortion": 1.0, **terms}
    for side, factor in (("train", 1.0), ("validation", 1.1))[: 1 + validation]:
        for name in ("distortion", "rate", "penalty"):
            top = parts.get(name, 0.0) * factor
            columns[f"{side}_{name}"] = [top / (e + 1) for e in range(epochs)]
        columns[f"{side}_loss"] = [
            sum(columns[f"{side}_{n}"][e] for n in ("distortion", "rate", "penalty"))
            for e in range(epochs)
        ]
    return columns


def rows(table):
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


# --- loss curves ------------------------------------------------------------------------------


def test_every_term_has_a_panel_and_its_lines_are_the_table():
    picture = figures.loss_curves(history(rate=3.0, penalty=0.2))
    panels = picture.figure.axes
    assert [a.get_title(loc="left") for a in panels] == [
        "total loss", "distortion", "rate", "penalty",
    ]  # fmt: skip
    for axes, term in zip(panels, ("loss", "distortion", "rate", "penalty"), strict=True):
        for side in ("train", "validation"):
            line = lines(axes)[side]
            assert np.array_equal(line.get_ydata(), picture.table[f"{side}_{term}"])
            assert np.array_equal(line.get_xdata(), picture.table["epoch"])
    picture.png()


def test_terms_that_are_zero_have_no_panel_and_no_panel_is_empty():
    picture = figures.loss_curves(history())
    (axes,) = picture.figure.axes
    assert axes.get_title(loc="left") == "distortion (the whole loss)"
    three = figures.loss_curves(history(rate=1.0)).figure.axes
    assert len(three) == 3
    assert all(a.axison and a.get_lines() for a in three)


def test_the_lowest_epoch_is_of_validation_and_a_kept_one_is_called_so():
    columns = history(5)
    columns["validation_loss"] = [3.0, 1.0, 2.0, math.nan, None]
    picture = figures.loss_curves(columns)
    assert "lowest loss: epoch 2" in picture.alt
    assert lines(picture.figure.axes[0])["lowest loss: epoch 2"].get_xdata() == [2, 2]
    assert "kept: epoch 5" in figures.loss_curves(columns, best=5).alt
    train = {k: v for k, v in columns.items() if not k.startswith("validation")}
    assert "lowest loss: epoch 5" in figures.loss_curves(train).alt


def test_a_wide_span_makes_the_axis_logarithmic_and_zero_does_not():
    columns = history(4)
    columns["train_distortion"] = [100.0, 10.0, 1.0, 0.1]
    assert figures.loss_curves(columns).figure.axes[1].get_yscale() == "log"
    columns["train_distortion"] = [100.0, 10.0, 1.0, 0.0]
    assert figures.loss_curves(columns).figure.axes[1].get_yscale() == "linear"


@pytest.mark.parametrize(
    ("epochs", "validation"), [(1, True), (1, False), (2, True), (500, False), (500, True)]
)
def test_losses_of_any_length(epochs, validation):
    picture = figures.loss_curves(history(epochs, validation, penalty=0.1))
    assert len(picture.table) == epochs
    assert ("validation" in lines(picture.figure.axes[0])) is validation
    picture.png()


def test_epochs_that_were_not_validated_leave_gaps():
    columns = {"epoch": [1, 2], "train_loss": [1.0, 0.5], "validation_loss": [None, None]}
    picture = figures.loss_curves(columns)
    assert "validation" not in lines(picture.figure.axes[0])
    assert np.isnan(picture.table["validation_loss"]).all()


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({}, "no epoch"),
        ({"epoch": []}, "no epoch"),
        ({"epoch": [1]}, "no finite loss"),
        ({"epoch": [1], "train_loss": [math.nan]}, "no finite loss"),
        ({"epoch": [1, 2], "train_loss": [1.0]}, "another length"),
    ],
)
def test_a_history_without_losses_is_refused(columns, what):
    with pytest.raises(DataError, match=what):
        figures.loss_curves(columns)


def test_terms_must_be_named():
    with pytest.raises(ConfigError, match="at least one term"):
        figures.loss_curves(history(), terms=())


def test_histories_over_one_another():
    runs = {"_one $x$": history(3), "two": history(7)}
    picture = figures.history_overlay(runs)
    found = picture.figure.axes[0].get_lines()
    for line, columns in zip(found, runs.values(), strict=True):
        assert list(line.get_ydata()) == columns["validation_loss"]
    assert [r["run"] for r in rows(picture.table)] == ["_one $x$"] * 3 + ["two"] * 7
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in found}
    assert len(looks) == 2
    picture.png()


def test_overlays_refuse_what_they_cannot_draw():
    with pytest.raises(DataError, match="no histories"):
        figures.history_overlay({})
    with pytest.raises(DataError, match="no column 'x'"):
        figures.history_overlay({"a": history()}, column="x")
    with pytest.raises(DataError, match="no finite value"):
        figures.history_overlay({"a": {"epoch": [1], "validation_loss": [None]}})


# --- comparison -------------------------------------------------------------------------------


def test_bars_diamonds_and_spread_are_the_table():
    runs = {
        "a": {"mse": [1.0, 3.0], "pca_mse": 4.0, "l0": 8},
        "b": {"mse": 2.0, "pca_mse": None, "l0": None},
    }
    picture = figures.comparison(runs)
    table = {(r["run"], r["metric"]): r for r in rows(picture.table)}
    assert (table["a", "mse"]["mean"], table["a", "mse"]["runs"]) == (2.0, 2)
    assert table["a", "mse"]["sd"] == pytest.approx(2**0.5)
    assert table["a", "mse"]["pca"] == 4.0
    assert table["a", "pca_ratio"]["mean"] == 0.5
    assert math.isnan(table["b", "pca_ratio"]["mean"])
    assert math.isnan(table["b", "l0"]["mean"])
    mse, _, l0 = picture.figure.axes
    assert [bar.get_width() for bar in mse.patches] == [2.0, 2.0]
    assert [line.get_xdata()[0] for line in mse.get_lines() if line.get_marker() == "D"] == [4.0]
    assert [t.get_text() for t in mse.texts] == ["2", "2"]
    assert [t.get_text() for t in l0.texts] == ["8", "none"]
    picture.png()


@pytest.mark.parametrize(
    ("count", "measures"), [(1, ["mse"]), (12, ["mse", "l0"]), (2, ["mse", "l0", "a", "b", "c"])]
)
def test_any_number_of_runs_and_metrics(count, measures):
    metrics = dict.fromkeys(measures, 0.0)
    picture = figures.comparison({f"run {i}": metrics for i in range(count)}, measures)
    assert len(picture.table) == count * len(measures)
    picture.png()


def test_negative_metrics_keep_their_bars_in_view():
    (axes,) = figures.comparison({"a": {"elbo": -90.0}}, ["elbo"]).figure.axes
    low, high = axes.get_xlim()
    assert low < -90
    assert high > 0


def test_comparisons_refuse_what_is_not_there():
    with pytest.raises(DataError, match="no runs"):
        figures.comparison({})
    with pytest.raises(DataError, match="no run has a metric"):
        figures.comparison({"a": {"mse": math.nan}})
    with pytest.raises(ConfigError, match="nll"):
        figures.comparison({"a": {"mse": 1.0}}, ["mse", "nll"])
    with pytest.raises(ConfigError, match="none was named"):
        figures.comparison({"a": {"mse": 1.0}}, [])


# --- trade-off --------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points):
    front = figures.pareto_front(np.array(points, float))
    for on, (x, y) in zip(front, points, strict=True):
        beaten = any((a <= x and b <= y) and (a < x or b < y) for a, b in points)
        assert on == (not beaten)


def test_seeds_become_one_point_with_its_spread():
    sweep = [
        {"model": "a", "weight": w, "seed": s, "l0": 10 / w + s, "mse": w}
        for w in (1.0, 2.0)
        for s in (0, 2)
    ]
    sweep.append({"model": "a", "weight": 3.0, "seed": 0, "l0": None, "mse": 1.0})
    picture = figures.tradeoff(sweep, "l0", "mse", "model", settings=("weight",))
    table = rows(picture.table)
    assert [(r["l0"], r["mse"], r["runs"]) for r in table] == [(11.0, 1.0, 2), (6.0, 2.0, 2)]
    assert [r["l0_sd"] for r in table] == pytest.approx([2**0.5] * 2)
    assert [r["setting"] for r in table] == ["weight 1.0", "weight 2.0"]
    axes = picture.figure.axes[0]
    assert "1 run without both numbers" in axes.get_title(loc="left")
    drawn = axes.containers[0].lines[0]
    assert sorted(zip(drawn.get_xdata(), drawn.get_ydata(), strict=True)) == [(6, 2), (11, 1)]
    ring = lines(axes)["Pareto front"]
    assert sorted(ring.get_xdata()) == sorted(r["l0"] for r in table if r["front"])
    picture.png()


def test_higher_can_be_better():
    sweep = [{"x": 1, "y": 1}, {"x": 2, "y": 2}, {"x": 3, "y": 1}]
    best = figures.tradeoff(sweep, "x", "y", lower_y=False)
    assert list(best.table["front"]) == [True, True, False]
    assert not any(figures.tradeoff(sweep, "x", "y", pareto=False).table["front"])


@pytest.mark.parametrize(
    "sweep",
    [[{"x": 1, "y": 1}], [{"x": 0, "y": 0}] * 3, [{"x": 10.0**i, "y": -i} for i in range(9)]],
)
def test_tradeoffs_of_one_point_equal_points_and_many_decades(sweep):
    picture = figures.tradeoff(sweep, "x", "y")
    assert sum(picture.table["runs"]) == len(sweep)
    picture.png()


def test_tradeoffs_refuse_missing_columns():
    with pytest.raises(ConfigError, match="no column 'z'"):
        figures.tradeoff([{"x": 1}], "x", "z")
    with pytest.raises(DataError, match="no run has both"):
        figures.tradeoff([], "x", "y")
    with pytest.raises(DataError, match="no run has both"):
        figures.tradeoff([{"x": 1, "y": "many"}], "x", "y")


# --- variational ------------------------------------------------------------------------------


def test_kl_bars_are_sorted_and_marked():
    kl, active = np.array([0.001, 2.0, 0.5]), np.array([False, True, True])
    picture = figures.kl_per_latent(kl, active)
    assert list(picture.table["latent"]) == [1, 2, 0]
    assert list(picture.table["kl"]) == [2.0, 0.5, 0.001]
    axes = picture.figure.axes[0]
    on, off = axes.containers
    assert [b.get_height() for b in on] == [2.0, 0.5]
    assert [(b.get_x() + b.get_width() / 2, b.get_height()) for b in off] == [(2.0, 0.001)]
    assert "2 of 3" in picture.alt
    assert "2.5" in axes.get_title(loc="left")


@pytest.mark.parametrize("latents", [1, 20, 33, 130])
def test_kl_of_any_width(latents):
    figures.kl_per_latent(np.zeros(latents), np.zeros(latents, bool)).png()


def test_wrong_kl_is_refused():
    with pytest.raises(DataError, match="one flag"):
        figures.kl_per_latent([1.0], [True, False])
    with pytest.raises(DataError, match="one flag"):
        figures.kl_per_latent([1.0], [1])
    with pytest.raises(DataError, match="NaN"):
        figures.kl_per_latent([math.nan], [True])


def test_rate_and_distortion_and_their_elbo():
    picture = figures.rate_distortion({"curve": [(30, 60), (10, 85)], "one": (20.0, 70.0)})
    table = rows(picture.table)
    assert [(r["rate"], r["distortion"]) for r in table] == [(10, 85), (30, 60), (20, 70)]
    assert [r["negative_elbo"] for r in table] == [95, 90, 90]
    axes = picture.figure.axes[0]
    assert list(lines(axes)["curve"].get_xdata()) == [10, 30]
    grey = [line for line in axes.get_lines() if line.get_color() == "#BBBBBB"]
    assert len(grey) >= 2
    for line, label in zip(grey, axes.texts, strict=True):
        total = line.get_xdata() + np.array(line.get_ydata())
        assert np.ptp(total) == pytest.approx(0, abs=1e-9)
        assert float(label.get_text()) == pytest.approx(total[0], rel=5e-3)
    figures.rate_distortion({"still": [(0.0, 0.0), (0.0, 0.0)]}).png()


def test_wrong_points_are_refused():
    with pytest.raises(DataError, match="no rate-distortion points"):
        figures.rate_distortion({})
    with pytest.raises(DataError, match="must be a pair"):
        figures.rate_distortion({"a": (1.0, 2.0, 3.0)})
    with pytest.raises(DataError, match="NaN"):
        figures.rate_distortion({"a": (1.0, math.nan)})


@pytest.mark.parametrize(("flags", "said"), [([1, 1], ["active: 2"]), ([0, 0], ["not active: 2"])])
def test_the_legend_of_kl_names_only_what_is_there(flags, said):
    picture = figures.kl_per_latent(np.array([2.0, 1.0]), np.array(flags, bool))
    (legend,) = [axes.get_legend() for axes in picture.figure.axes]
    assert [text.get_text() for text in legend.get_texts()] == said
