"""Pictures of codes: what is drawn is what the table says, and all models get one measure."""

import numpy as np
import pytest

from isthmus import figures
from isthmus.errors import DataError
from isthmus.figures.codes import rate_edges

pytestmark = pytest.mark.filterwarnings("error")


def relu_codes(samples=60, latents=12, seed=0):
    draws = np.random.default_rng(seed)
    codes = np.maximum(draws.normal(size=(samples, latents)) - 0.8, 0)
    codes[:, :2] = 0
    return codes


def bars(axes, hatched):
    found = [bar for group in axes.containers for bar in group]
    return [b for b in found if bool(b.get_hatch()) is hatched]


def panel_rows(table, name):
    return [row for row in map(dict, _dicts(table)) if row["panel"] == name]


def _dicts(table):
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


# --- the measure ------------------------------------------------------------------------------


def test_activity_worked_by_hand():
    codes = np.array([[4.0, 0.0, 0.02], [0.0, 0.0, 3.0]])
    found = figures.activity(codes)
    # full scale: the 99.9th percentile of 4, .02 and 3 is 3 + .998
    assert found.full_scale == pytest.approx(3.998)
    assert found.l0 == 1.0
    assert found.near_zero == pytest.approx(4 / 6)
    assert found.exact_zero == pytest.approx(3 / 6)
    assert found.dead == 1
    assert found.mean == pytest.approx(7.02 / 6)
    root = 3**0.5
    first = (root - 4.02 / np.hypot(4, 0.02)) / (root - 1)
    assert found.hoyer == pytest.approx((first + 1) / 2)


def test_activity_does_not_depend_on_scale_or_on_latents_that_are_off():
    codes = relu_codes()
    one, other = figures.activity(codes), figures.activity(1e-7 * codes)
    assert (one.l0, one.dead, one.near_zero) == (other.l0, other.dead, other.near_zero)
    assert one.hoyer == pytest.approx(other.hoyer)
    # The notes' measure, |sigmoid(z) - .5| > .4, would call this all-off code wholly active.
    off = np.full((20, 8), 0.001)
    off[:, 0] = 0.9
    assert figures.activity(off).l0 == 1.0


def test_codes_of_zeros_have_no_scale_and_say_so():
    found = figures.activity(np.zeros((5, 3)))
    assert (found.full_scale, found.l0, found.dead, found.near_zero) == (0.0, 0.0, 3, 1.0)
    assert np.isnan(found.hoyer)
    assert "all exactly zero" in figures.code_histogram(np.zeros((5, 3))).alt
    assert "all exactly zero" in figures.sparsity_panel(np.zeros((5, 3))).alt


# --- histogram --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "codes",
    [relu_codes(), np.random.default_rng(1).normal(size=(50, 7)), -relu_codes(), np.ones((3, 2)),
     np.zeros((4, 2)), np.array([[1e-30]]), np.array([[1e30, -1e-30]]),
     np.array([[0, 1, 2]], np.uint8)],
    ids=["relu", "signed", "negative", "ones", "zeros", "tiny", "far apart", "uint8"],
)  # fmt: skip
def test_histogram_bars_are_the_table_and_sum_to_one(codes):
    picture = figures.code_histogram(codes)
    table, axes = picture.table, picture.figure.axes[0]
    assert np.sum(table["share"]) + np.sum(table["zeros"]) == pytest.approx(1.0)
    assert np.sum(table["zeros"]) == pytest.approx((np.asarray(codes) == 0).mean())
    solid = bars(axes, hatched=False)
    assert [b.get_height() for b in solid] == list(table["share"])
    assert [b.get_x() for b in solid] == list(table["low"])
    hatched = bars(axes, hatched=True)
    assert [b.get_height() for b in hatched] == [z for z in table["zeros"] if z > 0]
    if hatched:
        zero = int(np.flatnonzero(table["zeros"])[0])
        assert table["low"][zero] <= 0 <= table["high"][zero]
        assert hatched[0].get_y() == table["share"][zero]
    picture.png()


def test_histogram_counts_by_hand():
    codes = np.array([[0.0, 0.0, 6.0, 5.95]])
    table = figures.code_histogram(codes).table
    assert len(table) == 60
    assert table["zeros"][0] == 0.5
    assert table["share"][-1] == 0.5


# --- heat map ---------------------------------------------------------------------------------


def test_heat_map_draws_the_table():
    codes = relu_codes()
    picture = figures.code_heatmap(codes, n=7)
    (image,) = picture.figure.axes[0].images
    assert np.array_equal(image.get_array(), codes[:7])
    assert np.array_equal(np.reshape(picture.table["value"], (7, 12)), codes[:7])
    assert (image.get_clim()[0], image.get_cmap().name) == (0.0, "cividis")
    assert len(figures.code_heatmap(codes, n=1000).table) == codes.size


def test_heat_map_of_signed_codes_is_centred_on_zero():
    (image,) = figures.code_heatmap([[-1.0, 3.0]]).figure.axes[0].images
    assert image.get_clim() == (-3.0, 3.0)


def test_heat_map_of_many_latents_keeps_the_strongest_in_their_order():
    codes = np.zeros((3, 1000))
    strong = np.random.default_rng(0).permutation(1000)[:256]
    codes[:, strong] = 1.0
    picture = figures.code_heatmap(codes)
    assert list(picture.table["latent"][:256]) == sorted(strong)
    assert "256 strongest of 1,000" in picture.figure.axes[0].get_xlabel()


# --- firing rates -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rates",
    [[0.0], [1.0], [0.0, 0.0, 1e-6, 0.5], np.linspace(0, 1, 50), [0.05] * 9, [1e-12, 1.0]],
    ids=["dead", "always", "rare", "spread", "equal", "extreme"],
)
def test_firing_rates_count_every_latent_once(rates):
    picture = figures.firing_rates(rates)
    table, axes = picture.table, picture.figure.axes[0]
    rates = np.asarray(rates)
    assert np.sum(table["latents"]) == len(rates)
    assert table["latents"][0] == (rates == 0).sum()
    assert [b.get_height() for b in bars(axes, hatched=False)] == list(table["latents"][1:])
    dead = bars(axes, hatched=True)
    assert [b.get_height() for b in dead] == [n for n in table["latents"][:1] if n]
    ticks = axes.get_xticks()
    assert axes.get_xticklabels()[0].get_text() == "never"
    assert np.diff(np.sort(ticks)).min() >= 3.9
    picture.png()


def test_rate_edges_reach_from_the_least_rate_to_one():
    edges = rate_edges(np.array([0.0, 0.002, 0.9]))
    assert edges[0] == pytest.approx(0.002)
    assert edges[-1] == 1.0
    assert np.diff(np.log(edges)) == pytest.approx(np.full(20, np.log(500) / 20))
    assert rate_edges(np.zeros(3))[0] == pytest.approx(0.1)


def test_ticks_stand_where_their_rates_are():
    axes = figures.firing_rates([0.01, 0.5]).figure.axes[0]
    places = dict(
        zip((t.get_text() for t in axes.get_xticklabels()), axes.get_xticks(), strict=True)
    )
    assert places["1 %"] == pytest.approx(0)
    assert places["10 %"] == pytest.approx(10)
    assert places["100 %"] == pytest.approx(20)


@pytest.mark.parametrize(
    ("rates", "what"),
    [([], "no firing rates"), ([-0.1], "between 0 and 1"), ([3.0], "divide the counts"),
     ([[0.1]], "one dimension"), ([np.nan], "NaN")],
)  # fmt: skip
def test_wrong_rates_are_refused(rates, what):
    with pytest.raises(DataError, match=what):
        figures.firing_rates(rates)


# --- panels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (40, 300)])
def test_a_panel_at_any_size(shape):
    codes = np.maximum(np.random.default_rng(0).normal(size=shape), 0)
    picture = figures.sparsity_panel(codes, n=5)
    heat = [row["value"] for row in panel_rows(picture.table, "heat map")]
    assert len(heat) == min(5, shape[0]) * min(256, shape[1])
    latents = sum(row["latents"] for row in panel_rows(picture.table, "firing rates"))
    assert latents == shape[1]
    picture.png()


@pytest.mark.parametrize("wrong", [np.empty((0, 3)), [[np.inf]], np.zeros(4), [["a"]]])
def test_panels_refuse_what_is_no_code(wrong):
    for draw in (figures.code_histogram, figures.code_heatmap, figures.sparsity_panel):
        with pytest.raises(DataError):
            draw(wrong)


def test_models_of_different_width_and_scale_get_the_same_measure():
    small = relu_codes(latents=6)
    wide = 1000 * np.concatenate([small, np.zeros_like(small)], axis=1)
    rows = _dicts(figures.compare_codes({"small": small, "wide": wide}).table)

    def column(model, panel, name):
        return [r[name] for r in rows if (r["model"], r["panel"]) == (model, panel)]

    def measure(name):
        return [column(model, "measures", name)[0] for model in ("small", "wide")]

    assert measure("latents") == [6, 12]
    assert measure("l0") == [figures.activity(small).l0] * 2
    assert measure("dead") == [2, 8]
    assert np.subtract(1, measure("near_zero")) == pytest.approx(
        [figures.activity(small).l0 / 6, figures.activity(small).l0 / 12]
    )
    assert measure("full_scale")[1] == pytest.approx(1000 * measure("full_scale")[0])
    for panel in ("histogram", "firing rates"):
        assert column("small", panel, "low") == column("wide", panel, "low")
    shares = [np.array(column(m, "histogram", "share")) for m in ("small", "wide")]
    assert shares[0] == pytest.approx(2 * shares[1])
    alive = [column(m, "firing rates", "latents")[1:] for m in ("small", "wide")]
    assert alive[0] == alive[1]


def test_compared_histograms_share_their_scale_and_match_the_table():
    signed = np.random.default_rng(0).normal(size=(30, 5))
    picture = figures.compare_codes(
        {"signed": signed, "relu": relu_codes(), "zero": np.zeros((9, 2))}
    )
    top = picture.figure.axes[:3]
    assert len({axes.get_ylim() for axes in top}) == 1
    rows = _dicts(picture.table)
    for name, axes in zip(("signed", "relu", "zero"), top, strict=True):
        table = [r["share"] for r in rows if (r["model"], r["panel"]) == (name, "histogram")]
        assert [b.get_height() for b in bars(axes, hatched=False)] == table
    picture.png()


@pytest.mark.parametrize("count", [1, 4])
def test_titles_stay_within_their_figure(count):
    codes = {f"a model with a long name {i}": relu_codes(latents=2000) for i in range(count)}
    picture = figures.compare_codes(codes)
    picture.figure.draw_without_rendering()
    box = picture.figure.get_tightbbox()
    width, height = picture.figure.get_size_inches()
    assert box.x0 >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02


def test_nothing_to_compare_is_an_error():
    with pytest.raises(DataError, match="no codes to compare"):
        figures.compare_codes({})
    with pytest.raises(DataError, match="codes of b"):
        figures.compare_codes({"a": [[1.0]], "b": [[np.nan]]})
