"""Pictures of dictionaries: what is drawn is what the table says, and nothing covers a label."""

import itertools
import re

import numpy as np
import pytest
from matplotlib.text import Annotation, Text

from isthmus import figures
from isthmus.errors import ConfigError, DataError
from isthmus.figures.dictionary_labels import write_labels
from isthmus.figures.style import new_figure

pytestmark = pytest.mark.filterwarnings("error")


def rates(latents=300, seed=0):
    values = np.clip(np.exp(np.random.default_rng(seed).normal(-5, 1.2, latents)), 0, 0.2)
    values[:7] = 0
    values[7:9] = (0.5, 0.26)
    return values


def rows_of(table):
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


def runs():
    """Two series with three settings each, three seeds a setting."""
    rng = np.random.default_rng(0)
    return [
        {
            "series": series,
            "label": f"k={k}",
            "l0": float(k),
            "fvu": base * (32 / k) ** 0.4 + 0.01 * rng.random(),
            "max_firing_rate": 0.002 * k + 0.1 * rng.random(),
        }
        for series, base in (("topk", 0.19), ("sparsify", 0.27))
        for k in (16, 32, 64)
        for _ in range(3)
    ]


def annotations(axes):
    return [child for child in axes.get_children() if isinstance(child, Annotation)]


def text_boxes(figure, axes):
    """The boxes of texts as they stand after the figure was drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [Text.get_window_extent(a, renderer).extents for a in annotations(axes)]


# ---------------------------------------------------------------- firing


def test_firing_profile_draws_the_rates_and_marks_the_dense():
    values = rates()
    picture = figures.firing_profile(values)
    left, right = picture.figure.axes
    shown = rows_of(picture.table)
    histogram = [row for row in shown if row["panel"] == "histogram"]
    ranks = [row for row in shown if row["panel"] == "ranks"]
    assert histogram[0]["latents"] == 7
    assert sum(row["latents"] for row in histogram) == 300
    assert [row["rate"] for row in ranks] == sorted(values, reverse=True)
    assert right.get_yscale() == right.get_xscale() == "log"
    curve, dots, line = right.get_lines()
    assert curve.get_ydata() == pytest.approx(np.sort(values)[::-1][:293])
    assert dots.get_ydata().tolist() == [0.5, 0.26]
    assert line.get_ydata() == [0.25, 0.25]
    assert right.get_title(loc="left") == "2 above 25 %, 7 never fire"
    # the line of the histogram stands at its rate, between the edges around it
    (mark,) = [one for one in left.get_lines() if one.get_linestyle() == ":"]
    below = sum(row["high"] <= 0.25 for row in histogram[1:])
    assert below <= mark.get_xdata()[0] <= below + 1
    assert "2 above 25 %, 7 never" in picture.alt
    picture.png()


@pytest.mark.parametrize(
    "values",
    [np.full(64, 0.06), np.zeros(5), np.ones(4), np.array([0.3]), rates(4000)],
    ids=["equal", "dead", "always on", "one", "many"],
)
def test_firing_profiles_at_the_edges_fill_their_figure(values):
    """An empty set of marks once made the layout collapse."""
    picture = figures.firing_profile(values)
    picture.figure.draw_without_rendering()
    for axes in picture.figure.axes:
        assert axes.get_position().width > 0.3
    picture.png()


@pytest.mark.parametrize("wrong", [[1.5], [-0.1], [[0.1, 0.2]], [], [np.nan]])
def test_firing_profile_refuses_what_are_no_rates(wrong):
    with pytest.raises(DataError):
        figures.firing_profile(wrong)


def test_a_dense_rate_lies_between_0_and_1():
    with pytest.raises(ConfigError, match="dense"):
        figures.firing_profile(rates(), dense=1.0)


# ---------------------------------------------------------------- cosines


def test_cosines_are_shares_of_each_dictionary():
    rng = np.random.default_rng(0)
    nearest = {"a": rng.uniform(0, 1, 50), "b": np.append(rng.uniform(-0.2, 0.5, 20), np.nan)}
    picture = figures.decoder_cosines(nearest, random=rng.uniform(0, 0.3, 30), bins=20)
    shown = rows_of(picture.table)
    for name in ("a", "b", "random directions"):
        assert sum(r["share"] for r in shown if r["dictionary"] == name) == pytest.approx(1.0)
    assert shown[0]["low"] == pytest.approx(nearest["b"][:20].min())
    assert shown[-1]["high"] == 1.0
    above = (nearest["a"] > 0.9).mean()
    assert f"{100 * above:.3g} % above 0.9" in picture.alt
    drawn = [p.get_label() for p in picture.figure.axes[0].patches]
    assert drawn == ["random directions", "a", "b"]
    picture.png()


def test_one_dictionary_needs_no_name():
    picture = figures.decoder_cosines(np.array([0.1, 1.0 + 1e-7]))
    assert set(picture.table["dictionary"]) == {"dictionary"}
    assert sum(picture.table["share"]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "options", "error"),
    [
        ({}, {}, DataError),
        ([1.5], {}, DataError),
        ([np.nan], {}, DataError),
        ([np.inf], {}, DataError),
        ([0.5], {"bins": 0}, ConfigError),
    ],
)
def test_cosines_that_are_none_are_refused(values, options, error):
    with pytest.raises(error):
        figures.decoder_cosines(values, **options)


# ---------------------------------------------------------------- fronts


def test_fvu_against_l0_joins_seeds_and_series():
    picture = figures.fvu_against_l0([*runs(), {"series": "topk", "l0": 3, "fvu": None}])
    table = rows_of(picture.table)
    assert len(table) == 6
    assert {row["runs"] for row in table} == {3}
    first = [r["fvu"] for r in runs()[:3]]
    assert table[0]["fvu"] == pytest.approx(np.mean(first))
    assert (table[0]["fvu_low"], table[0]["fvu_high"]) == (min(first), max(first))
    assert (table[0]["series"], table[0]["label"], table[0]["l0"]) == ("topk", "k=16", 16.0)
    axes = picture.figure.axes[0]
    assert axes.get_title(loc="left") == (
        "bars: least to largest of the seeds; 1 without both numbers left out"
    )
    best = min(table, key=lambda row: row["fvu"])
    assert f"at L0 {best['l0']:g} ({best['series']})" in picture.alt
    picture.png()


def test_runs_without_a_label_are_points_of_their_own():
    picture = figures.fvu_against_l0([{"series": "a", "l0": 3, "fvu": 0.5}] * 2)
    assert len(picture.table) == 2
    assert annotations(picture.figure.axes[0]) == []


def test_fvu_against_max_rate_names_the_best_without_a_dense_latent():
    points = [
        {"series": "a", "fvu": 0.19, "max_firing_rate": 0.41},
        {"series": "a", "fvu": 0.2, "max_firing_rate": 0.25},
        {"series": "b", "fvu": 0.3, "max_firing_rate": 0.1},
    ]
    picture = figures.fvu_against_max_rate(points)
    assert "2 of them up to 25 %; the least without a dense latent is 0.2." in picture.alt
    axes = picture.figure.axes[0]
    assert any(list(line.get_xdata()) == [0.25, 0.25] for line in axes.get_lines())
    # series are not joined here
    joined = [line for line in axes.get_lines() if len(line.get_xdata()) == 2]
    assert all(line.get_linestyle() in ("None", ":") for line in joined)
    only = figures.fvu_against_max_rate(points[:1])
    assert only.alt.endswith("0 of them up to 25 %.")
    picture.png()


@pytest.mark.parametrize("draw", [figures.fvu_against_l0, figures.fvu_against_max_rate])
def test_fronts_need_both_numbers(draw):
    for rows in ([], [{"fvu": 0.1}], [{"l0": 3, "max_firing_rate": 0.1, "fvu": float("nan")}]):
        with pytest.raises(DataError, match="no run has both"):
            draw(rows)


@pytest.mark.parametrize("draw", [figures.fvu_against_l0, figures.fvu_against_max_rate])
def test_no_label_covers_another_or_leaves_the_frame(draw):
    picture = draw(runs())
    axes = picture.figure.axes[0]
    boxes = text_boxes(picture.figure, axes)
    assert len(boxes) >= 5
    frame = axes.get_window_extent().extents
    for a, b in itertools.combinations(boxes, 2):
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
    for box in boxes:
        assert (box[:2] >= frame[:2] - 1).all()
        assert (box[2:] <= frame[2:] + 1).all()


def test_labels_without_room_are_left_out_and_counted():
    figure = new_figure(3.0, 2.0)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    crowd = [(0.5, 0.5, "a rather long label") for _ in range(40)]
    left_out = write_labels(axes, crowd, [])
    assert 0 < left_out < 40
    assert len(annotations(axes)) == 40 - left_out
    assert write_labels(axes, [], []) == 0
    # far labels have a line to their point, near ones have none
    leaders = [a for a in annotations(axes) if a.arrow_patch is not None]
    assert leaders
    assert len(leaders) < len(annotations(axes))


def test_labels_keep_off_lines():
    figure = new_figure(4.0, 3.0)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    write_labels(axes, [(0.5, 0.5, "k=32")], [[(0.0, 0.0), (1.0, 1.0)]])
    ((left, bottom, right, top),) = text_boxes(figure, axes)
    (x0, y0), (x1, y1) = axes.transData.transform([(0, 0), (1, 1)])
    heights = [y0 + (x - x0) * (y1 - y0) / (x1 - x0) for x in (left, right)]
    assert top < min(heights) or bottom > max(heights)


# ---------------------------------------------------------------- dead latents


def test_dead_latents_over_several_runs():
    histories = {
        "revived": {"epoch": [1, 2, 3], "train_dead_fraction": [0.5, 0.1, 0.0]},
        "left": {"epoch": [1, 2], "train_dead_fraction": [0.5, None]},
    }
    picture = figures.dead_latents(histories)
    table = rows_of(picture.table)
    assert [r["dead"] for r in table if r["run"] == "revived"] == [0.5, 0.1, 0.0]
    assert np.isnan(table[-1]["dead"])
    assert picture.alt.endswith("at the end: revived 0 %, left 50 %.")
    lines = picture.figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["revived", "left"]
    assert len({line.get_color() for line in lines}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2
    picture.png()


def test_dead_latents_of_one_run_over_its_steps():
    history = {"steps": [10, 20], "dead_fraction": [0.0, 0.0], "validation_dead_fraction": [1, 1]}
    picture = figures.dead_latents(history, over="steps")
    assert list(picture.table["steps"]) == [10, 20]
    assert list(picture.table["dead"]) == [0.0, 0.0]
    other = figures.dead_latents({"epoch": [1], "mine": [0.25]}, column="mine")
    assert list(other.table["dead"]) == [0.25]


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ({}, "no histories"),
        ({"epoch": [1]}, "no column 'dead_fraction'"),
        ({"dead_fraction": [0.1]}, "no column 'epoch'"),
        ({"epoch": [1, 2], "dead_fraction": [0.1]}, "2 and 1 values"),
        ({"epoch": [1], "dead_fraction": [None]}, "0 shares"),
        ({"epoch": [1], "dead_fraction": [3072.0]}, "between 0 and 1"),
        ({"a": {"epoch": [1]}}, "run 'a'"),
    ],
)
def test_dead_latents_that_can_not_be_drawn(history, words):
    with pytest.raises(DataError, match=re.escape(words)):
        figures.dead_latents(history)
