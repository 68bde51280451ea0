"""Grids of images and vectors: what is shown is the table's, clipped and never wrapped."""

import numpy as np
import pytest

from isthmus import figures
from isthmus.errors import ConfigError, DataError
from isthmus.figures.pixels import mosaic, to_bytes

pytestmark = pytest.mark.filterwarnings("error")

SHAPES = [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 16, 40), (2, 9, 5), (1, 1, 1), (4, 8, 8)]


def images(count, shape, seed=0):
    return np.random.default_rng(seed).random((count, *shape))


def shown(axes):
    (artist,) = axes.images
    return np.ma.filled(artist.get_array().astype(float), np.nan)


def values(table, count):
    """The value columns of a table, a row a tile."""
    names = [n for n in table.columns if n.startswith("c") and "_y" in n]
    return np.stack([np.asarray(table[n]) for n in names], axis=1)[:count]


def fits(picture):
    picture.figure.draw_without_rendering()
    box = picture.figure.get_tightbbox()
    width, height = picture.figure.get_size_inches()
    return (
        box.x0 >= -0.02 and box.x1 <= width + 0.02 and box.y0 >= -0.02 and box.y1 <= height + 0.02
    )


# --- reconstructions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "count"), list(zip(SHAPES, (12, 3, 1, 12, 3, 1, 2), strict=True))
)
def test_reconstructions_of_images_of_any_size(shape, count):
    before, after = images(count, shape), images(count, shape, 1) * 1.4 - 0.2
    picture = figures.reconstructions(before, after)
    most = min(count, 10)
    assert len(picture.table) == 3 * most
    assert fits(picture)
    kinds = list(picture.table["kind"])
    assert kinds == ["original"] * most + ["reconstruction"] * most + ["residual"] * most
    flat = (before[:most] - after[:most]).reshape(most, -1)
    assert picture.table["mse"][:most] == pytest.approx((flat**2).mean(axis=1))


def test_the_three_rows_are_the_table():
    before, after = images(4, (1, 8, 8)), images(4, (1, 8, 8), 1) * 2 - 0.5
    picture = figures.reconstructions(before, after, [3, 1, 4, 1])
    top, middle, bottom = picture.figure.axes[:3]
    table = values(picture.table, 12).reshape(3, 4, 1, 8, 8)
    assert np.array_equal(table[0], before)
    assert np.array_equal(table[1], after)
    assert np.array_equal(table[2], before - after)
    assert np.array_equal(shown(top), mosaic(to_bytes(before, (0, 1))[None]))
    assert np.array_equal(shown(middle), mosaic(to_bytes(after, (0, 1))[None]))
    assert np.array_equal(shown(bottom), mosaic(table[2][None]), equal_nan=True)
    low, high = bottom.images[0].get_clim()
    assert high == -low == np.abs(before - after).max()
    assert [t.get_text() for t in top.get_xticklabels()] == ["3", "1", "4", "1"]
    assert list(picture.table["label"][:4]) == ["3", "1", "4", "1"]


def test_a_reconstruction_beyond_the_range_is_clipped_not_wrapped():
    """The notes' pictures wrap: 1.01 * 255 as uint8 is 1, a black dot in a white stroke."""
    before, after = np.ones((1, 1, 8, 8)), np.full((1, 1, 8, 8), 1.01)
    middle = figures.reconstructions(before, after).figure.axes[1]
    assert (shown(middle) == 255).all()
    after = np.full((1, 1, 8, 8), -0.01)
    assert (shown(figures.reconstructions(before, after).figure.axes[1]) == 0).all()


def test_uint8_residuals_do_not_wrap_around():
    before, after = np.full((1, 1, 8, 8), 10, np.uint8), np.full((1, 1, 8, 8), 250, np.uint8)
    picture = figures.reconstructions(before, after)
    assert set(values(picture.table, 3)[2]) == {-240.0}
    assert picture.table["mse"][0] == 240.0**2


def test_colour_tiles_keep_their_colour():
    before = np.zeros((2, 3, 8, 8))
    before[0, 0], before[1, 2] = 1.0, 1.0
    top = shown(figures.reconstructions(before, before).figure.axes[0])
    assert top[0, 0].tolist() == [255, 0, 0]
    assert top[0, -1].tolist() == [0, 0, 255]


def test_a_perfect_reconstruction_has_a_blank_residual():
    picture = figures.reconstructions(*[images(2, (1, 8, 8))] * 2)
    assert set(picture.table["mse"]) == {0.0}
    assert set(np.unique(values(picture.table, 6)[4:])) == {0.0}
    picture.png()


def test_constant_images_are_drawn():
    flat = np.full((3, 1, 8, 8), 7.0)
    picture = figures.reconstructions(flat, flat)
    assert (shown(picture.figure.axes[0])[:8, :8] == 128).all()


@pytest.mark.parametrize(("count", "width"), [(1, 1), (3, 5), (9, 400)])
def test_reconstructions_of_vectors(count, width):
    before = np.random.default_rng(0).normal(size=(count, width))
    after = before * 0.5
    picture = figures.reconstructions(before, after, ["x"] * count)
    most = min(4, count)
    line, bars = picture.figure.axes[:2]
    first, second = line.get_lines()
    assert np.array_equal(first.get_ydata(), before[0])
    assert np.array_equal(second.get_ydata(), after[0])
    residual = before[0] - after[0]
    drawn = (
        [bar.get_height() for bar in bars.patches] if width <= 40 else bars.patches[0].get_data()[0]
    )
    assert np.array_equal(drawn, residual)
    assert len(picture.table) == 3 * most
    assert picture.table[f"v{width - 1}"][0] == before[0, -1]
    assert fits(picture)


@pytest.mark.parametrize(
    ("before", "after", "options", "what"),
    [
        (np.zeros((2, 1, 8, 8)), np.zeros((2, 1, 8, 9)), {}, "differ in shape"),
        (np.zeros((0, 1, 8, 8)), np.zeros((0, 1, 8, 8)), {}, "no originals"),
        (np.zeros((2, 1, 8, 8)), np.full((2, 1, 8, 8), np.nan), {}, "NaN"),
        (np.zeros((2, 8, 8)), np.zeros((2, 8, 8)), {}, "shape"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"labels": [1]}, "one label a sample"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"n": 0}, "whole number"),
        (np.zeros((2, 1, 8, 8)), np.zeros((2, 1, 8, 8)), {"value_range": (1, 1)}, "range"),
    ],
)
def test_wrong_reconstructions_are_refused(before, after, options, what):
    with pytest.raises((DataError, ConfigError), match=what):
        figures.reconstructions(before, after, **options)


# --- grids ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "count"), list(zip(SHAPES, (1, 7, 23, 23, 7, 1, 10), strict=True))
)
def test_prior_samples_of_any_size(shape, count):
    picture = figures.prior_samples(images(count, shape))
    assert len(picture.table) == count
    assert fits(picture)


def test_prior_samples_are_the_table_and_missing_tiles_are_white():
    drawn = images(5, (1, 4, 4))
    picture = figures.prior_samples(drawn, columns=3)
    sheet = shown(picture.figure.axes[0])
    assert np.array_equal(values(picture.table, 5).reshape(drawn.shape), drawn)
    assert np.array_equal(sheet[5:9, 5:9], to_bytes(drawn[4, 0], (0, 1)))
    assert (sheet[5:, 10:] == 255).all()


def test_large_images_are_shrunk_for_the_page():
    picture = figures.prior_samples(np.ones((2, 1, 400, 300)))
    assert values(picture.table, 2).shape == (2, 100 * 75)


def test_interpolations_and_traversals_are_their_tables():
    grid = images(12, (1, 8, 8)).reshape(3, 4, 1, 8, 8)
    path = figures.interpolations(grid)
    assert list(path.table["row"]) == [0] * 4 + [1] * 4 + [2] * 4
    assert path.table["t"][:4] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert np.array_equal(values(path.table, 12).reshape(grid.shape), grid)
    assert np.array_equal(shown(path.figure.axes[0]), mosaic(to_bytes(grid, (0, 1))))
    moved = figures.traversals(grid, [5, 0, 2], [-3, -1, 1, 3], value_range=(0, 2))
    axes = moved.figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["latent 5", "latent 0", "latent 2"]
    assert list(moved.table["latent"][::4]) == [5, 0, 2]
    assert list(moved.table["value"][:4]) == [-3, -1, 1, 3]
    assert np.array_equal(shown(axes), mosaic(to_bytes(grid, (0, 2))))
    assert fits(path)
    assert fits(moved)


def test_wrong_grids_are_refused():
    grid = images(4, (1, 8, 8)).reshape(2, 2, 1, 8, 8)
    with pytest.raises(DataError, match="don't fit the latents"):
        figures.traversals(grid, [1], [0, 1])
    with pytest.raises(DataError, match="two ends"):
        figures.interpolations(grid[:, :1])
    with pytest.raises(DataError, match="shape"):
        figures.interpolations(grid[0])
    with pytest.raises(DataError, match="shape"):
        figures.prior_samples(grid)
    with pytest.raises(DataError, match="no images"):
        figures.prior_samples(np.empty((0, 1, 8, 8)))
    with pytest.raises(ConfigError, match="range"):
        figures.interpolations(grid, value_range=(1.0, 0.0))
    with pytest.raises(ConfigError, match="columns"):
        figures.prior_samples(grid[0], columns=0)


# --- dictionaries -----------------------------------------------------------------------------


def test_dictionary_columns_come_by_rate_and_are_the_table():
    weights = np.random.default_rng(0).normal(size=(13, 16))
    rates = np.linspace(0, 1, 13)
    picture = figures.dictionary_columns(weights, (1, 4, 4), rates, n=12)
    assert list(picture.table["latent"]) == list(range(12, 0, -1))
    assert list(picture.table["rate"]) == list(rates[:0:-1])
    assert np.array_equal(values(picture.table, 12), weights[:0:-1])
    first, second = picture.figure.axes[:2]
    assert np.array_equal(shown(first)[:, :4], weights[12].reshape(4, 4))
    assert [t.get_text() for t in second.get_xticklabels()] == ["2", "1"]
    assert np.isnan(shown(second)[:, 10:]).all()
    reach = np.abs(weights[1:]).max()
    assert first.images[0].get_clim() == second.images[0].get_clim() == (-reach, reach)
    assert "8.33\N{EN DASH}16.7 %" not in second.get_yticklabels()[0].get_text()
    assert second.get_yticklabels()[0].get_text() == "16.7\N{EN DASH}8.33 %"
    assert fits(picture)


def test_dictionaries_without_rates_colour_and_constant():
    picture = figures.dictionary_columns(np.eye(12), (3, 2, 2))
    assert picture.table["rate"] == [None] * 12
    assert picture.table["c0_y0_x0"][:5] == pytest.approx([1 / 3, 0, 0, 0, 1 / 3])
    figures.dictionary_columns(np.zeros((2, 64)), (1, 8, 8)).png()
    assert len(figures.dictionary_columns(np.ones((1, 64)), (1, 8, 8)).table) == 1


@pytest.mark.parametrize(
    ("columns", "shape", "rates", "what"),
    [
        (np.zeros((3, 16)), (1, 4, 5), None, "doesn't fit"),
        (np.zeros((3, 16)), (4, 4), None, "doesn't fit"),
        (np.zeros((3, 16)), (1, 4, 4), np.zeros(4), "firing rate"),
        (np.zeros((3, 16)), (1, 4, 4), [0, np.nan, 1], "firing rate"),
        (np.zeros(16), (1, 4, 4), None, "two dimensions"),
        (np.full((3, 16), np.inf), (1, 4, 4), None, "infinite"),
    ],
)
def test_wrong_dictionaries_are_refused(columns, shape, rates, what):
    with pytest.raises(DataError, match=what):
        figures.dictionary_columns(columns, shape, rates)
