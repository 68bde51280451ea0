"""Tables, pictures on disk, pixels, and how everything looks."""

import csv
import io
import math
import os
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from isthmus import figures
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.figures import pixels, style
from isthmus.figures.checks import as_count, as_labels, as_matrix, as_numbers
from isthmus.figures.table import Table, stacked

pytestmark = pytest.mark.filterwarnings("error")


def drawn() -> figures.Picture:
    return figures.firing_rates([0.0, 0.5, 1.0])


# --- tables -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(0, 8), elements=st.floats(allow_nan=False)),
    st.data(),
)
def test_csv_round_trip_keeps_every_bit_and_every_word(numbers, data):
    words = data.draw(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\0")),
            min_size=len(numbers),
            max_size=len(numbers),
        )
    )
    table = Table({"number": numbers, 'a "word", or\ntwo': words})
    header, *rows = csv.reader(io.StringIO(table.csv(), newline=""))
    assert header == ["number", 'a "word", or\ntwo']
    assert [float(row[0]) for row in rows] == list(numbers)
    assert [row[1] for row in rows] == words


def test_csv_keeps_float32_flags_integers_and_gaps():
    table = Table(
        {
            "f": np.array([0.1, 2.5e-8], np.float32),
            "flag": np.array([True, False]),
            "i": [2**60, None],
            "nan": [math.nan, math.inf],
        }
    )
    assert table.csv() == "f,flag,i,nan\n0.1,1,1152921504606846976,nan\n2.5e-08,0,,inf\n"
    assert np.float32("2.5e-08") == table["f"][1]


def test_a_table_refuses_ragged_and_deep_columns():
    with pytest.raises(DataError, match="differ in length"):
        Table({"a": [1, 2], "b": [1]})
    with pytest.raises(DataError, match="one dimension"):
        Table({"a": np.zeros((2, 2))})


def test_tables_under_one_another_leave_missing_cells_empty():
    both = stacked({"x": Table({"a": [1]}), "y": Table({"a": [2], "b": [3]})}, by="which")
    assert both.csv() == "which,a,b\nx,1,\ny,2,3\n"
    assert len(Table({})) == 0


# --- pictures on disk -------------------------------------------------------------------------


def test_a_picture_writes_png_and_csv(tmp_path):
    picture = drawn()
    png, numbers = picture.save(tmp_path / "new" / "folder", "rates")
    with Image.open(png) as image:
        assert image.size == tuple(
            round(150 * inches) for inches in picture.figure.get_size_inches()
        )
        assert image.text["Description"] == picture.alt
    assert numbers.read_text() == picture.table.csv()
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert sorted(p.name for p in png.parent.iterdir()) == ["rates.csv", "rates.png"]


def test_drawing_twice_gives_the_same_bytes():
    assert drawn().png() == drawn().png()


def test_a_failed_write_keeps_the_old_picture_and_leaves_no_scraps(tmp_path, monkeypatch):
    (tmp_path / "rates.png").write_bytes(b"old")
    picture = drawn()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        picture.save(tmp_path, "rates")
    assert (tmp_path / "rates.png").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["rates.png"]


def test_a_picture_broken_while_drawing_leaves_the_old_one(tmp_path, monkeypatch):
    picture = drawn()
    picture.save(tmp_path, "rates")
    before = (tmp_path / "rates.png").read_bytes()

    def broken(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(picture.figure, "savefig", broken)
    with pytest.raises(KeyboardInterrupt):
        picture.save(tmp_path, "rates")
    assert (tmp_path / "rates.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 101, "nul\0"])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path, name):
    with pytest.raises(ConfigError, match="can't name a picture"):
        drawn().save(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="can't be made"):
        drawn().save(tmp_path / "file" / "below", "rates")


def test_drawing_leaves_the_readers_matplotlib_settings_alone():
    before = dict(matplotlib.rcParams)
    figures.firing_rates([0.5]).png()
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not matplotlib.pyplot.get_fignums()


# --- pixels -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(-100, 100),
    st.floats(0.01, 200),
)
def test_bytes_clip_and_never_wrap_around(values, low, span):
    high = low + span
    shown = pixels.to_bytes(values, (low, high))
    assert shown.dtype == np.uint8
    assert (shown[values >= high] == 255).all()
    assert (shown[values <= low] == 0).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(shown[order].astype(int)) >= 0).all()
    exact = (np.clip(values.astype(np.float64), low, high) - low) / span * 255
    assert np.abs(shown - exact).max() <= 0.5 + 1e-6


def test_bytes_of_integers_do_not_overflow():
    assert pixels.to_bytes(np.array([-5, 0, 8, 16, 300], np.int16), (0, 16)).tolist() == [
        0, 0, 128, 255, 255,
    ]  # fmt: skip
    assert pixels.to_bytes(np.array([0, 100, 255], np.uint8)).tolist() == [0, 100, 255]
    assert pixels.to_bytes(np.array([False, True])).tolist() == [0, 255]


@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_an_empty_range_is_refused(limits):
    with pytest.raises(ConfigError, match="range of pixel values"):
        pixels.to_bytes(np.zeros(3), limits)


def test_nominal_ranges():
    assert pixels.nominal_range(np.array([0, 200], np.uint8)) == (0.0, 255.0)
    assert pixels.nominal_range(np.array([0, 1], np.uint8)) == (0.0, 1.0)
    assert pixels.nominal_range(np.array([0.1, 0.4])) == (0.0, 1.0)
    assert pixels.nominal_range(np.array([-2.0, 3.0])) == (-2.0, 3.0)
    assert pixels.nominal_range(np.zeros(4)) == (-0.5, 0.5)


def test_shrinking_averages_whole_blocks():
    image = np.arange(16.0).reshape(1, 4, 4)
    assert pixels.shrink(image, 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    assert pixels.shrink(image, 4) is image
    assert pixels.shrink(np.ones((1, 300, 2)), 100).shape == (1, 100, 1)


def test_a_mosaic_puts_tiles_where_centres_says():
    tiles = np.arange(1.0, 7.0).reshape(2, 3, 1, 1, 1) * np.ones((1, 1, 1, 3, 5))
    sheet = pixels.mosaic(tiles)
    assert sheet.shape == (3 + 1 + 3, 5 + 1 + 5 + 1 + 5)
    across, down = pixels.centres(3, 5), pixels.centres(2, 3)
    assert [[sheet[int(y), int(x)] for x in across] for y in down] == [[1, 2, 3], [4, 5, 6]]
    assert np.isnan(sheet[3]).all()
    colour = pixels.mosaic(np.zeros((1, 2, 3, 4, 4), np.uint8))
    assert colour.shape == (4, 9, 3)
    assert (colour[:, 4] == 255).all()


def test_odd_channel_counts_become_their_mean():
    grey = pixels.as_images(np.stack([np.zeros((2, 4, 4)), np.ones((2, 4, 4))], axis=1))
    assert grey.shape == (2, 1, 4, 4)
    assert (grey == 0.5).all()
    assert pixels.as_images(np.zeros((2, 3, 4, 4))).shape == (2, 3, 4, 4)


# --- checks and style -------------------------------------------------------------------------


def test_checks_say_what_is_wrong_and_where():
    with pytest.raises(DataError, match=r"position \(1, 0\).*1 of 4"):
        as_numbers(np.array([[0.0, 1.0], [math.nan, 2.0]]), "codes")
    with pytest.raises(DataError, match="real numbers"):
        as_numbers(np.array(["a"]), "codes")
    with pytest.raises(DataError, match="real numbers"):
        as_numbers(np.array([1j]), "codes")
    with pytest.raises(DataError, match="no codes to draw"):
        as_numbers(np.empty((0, 3)), "codes")
    with pytest.raises(DataError, match="two dimensions"):
        as_matrix(np.zeros(3))
    with pytest.raises(DataError, match="one label a sample"):
        as_labels([1, 2], 3)
    for wrong in (0, -1, 1.5, True, "3"):
        with pytest.raises(ConfigError, match="whole number"):
            as_count(wrong, "n")


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_two_main_colours_stand_out_and_no_category_has_hue_alone():
    assert contrast(style.BLUE, "#FFFFFF") > 4.5
    assert contrast(style.ORANGE, "#FFFFFF") > 3.5
    looks = {(style.colour(i), style.mark(i)) for i in range(70)}
    assert len(looks) == 70
    lines = {(style.colour(i), str(style.dash(i))) for i in range(49)}
    assert len(lines) == 49


def test_labels_are_one_line_and_show_in_a_legend():
    assert style.short("a\nb\tc") == "a b c"
    assert style.short("") == "(unnamed)"
    assert not style.short("_private").startswith("_")
    long = style.short("x" * 40 + "end", 20)
    assert len(long) == 20
    assert long.endswith("end")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00123, "0.00123"), (-2.5, "\N{MINUS SIGN}2.5"), (12345, "12,345"),
     (1e-9, "1e\N{MINUS SIGN}09"), (math.nan, "-")],
)  # fmt: skip
def test_numbers_are_written_plainly(value, text):
    assert style.plain(value) == text
