"""Figures of several modalities: what is on them, the table behind, nothing overlapping."""

import numpy as np
import pytest

from isthmus.errors import DataError
from isthmus.figures.multimodal import Found, Strip, retrieval_examples, translation_grid
from isthmus.figures.multimodal_curves import (
    contribution_bars,
    modality_losses,
    robustness_curves,
)
from isthmus.figures.multimodal_map import joint_map

pytestmark = pytest.mark.filterwarnings("error")

PNG = b"\x89PNG\r\n\x1a\n"
generator = np.random.default_rng(0)


def pictures(count):
    return Strip("image, given", "image", generator.random((count, 1, 8, 8)))


def sounds(count):
    return Strip("to audio", "audio", generator.normal(size=(count, 1, 10, 16)))


def words(count):
    return Strip("to text", "text", ["zero", "one", "two", "three"][:count])


def texts_of(picture):
    figure = picture.figure
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def assert_words_are_apart(axes, renderer):
    boxes = [t.get_window_extent(renderer) for t in axes.texts if t.get_text()]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_a_grid_holds_rows_of_pictures_sounds_and_words():
    picture = translation_grid([pictures(4), sounds(4), words(4)], ["a", "b", "c", "d"])
    assert picture.png().startswith(PNG)
    assert len(picture.figure.axes) == 3
    assert texts_of(picture) == ["zero", "one", "two", "three"]
    table = picture.table
    assert len(table) == 12
    assert list(table["title"])[::4] == ["image, given", "to audio", "to text"]
    assert list(table["given"])[::4] == [True, False, False]
    assert list(table["text"])[8:] == ["zero", "one", "two", "three"]


def test_words_stand_under_the_tiles_of_the_same_column():
    picture = translation_grid([pictures(4), words(4)], list("abcd"))
    figure = picture.figure
    figure.draw_without_rendering()
    tiles, row = figure.axes
    assert_words_are_apart(row, figure.canvas.get_renderer())
    for place, text in zip(tiles.get_xticks(), row.texts, strict=True):
        above = tiles.transData.transform((place, 0))[0]
        below = row.transData.transform((text.get_position()[0], 0))[0]
        assert above == pytest.approx(below, abs=2)


def test_low_bands_of_a_sound_are_drawn_below():
    rising = np.zeros((1, 1, 10, 16))
    rising[0, 0, 0] = 3.0  # the lowest band is loud
    picture = translation_grid([Strip("audio", "audio", rising)], ["a"])
    drawn = np.asarray(picture.figure.axes[0].images[0].get_array())
    assert drawn[-1].min() == 3.0
    assert drawn[0].max() == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: translation_grid([], ["a"]),
        lambda: translation_grid([pictures(3)], ["a", "b"]),
        lambda: translation_grid([Strip("x", "image", np.zeros((0, 1, 8, 8)))], []),
        lambda: retrieval_examples([]),
        lambda: robustness_curves([0, 1], {}),
        lambda: robustness_curves([0, 1], {"a": [1.0]}),
        lambda: robustness_curves([0, 1], {"a": [1.0, 1.0]}, {"a": [0.1]}),
        lambda: modality_losses({"epoch": [1], "train_loss": [1.0]}),
        lambda: contribution_bars({}),
        lambda: contribution_bars({"a": {"image": 0.8, "audio": 0.4}}),
        lambda: contribution_bars({"a": {"image": -0.1}}),
        lambda: contribution_bars({"a": {"image": float("nan")}}),
        lambda: joint_map(np.zeros((3, 2)), ["a", "b"]),
    ],
)
def test_what_can_not_be_drawn_is_refused(call):
    with pytest.raises(DataError):
        call()


def test_examples_say_which_hits_are_right_without_colour():
    one = Found(pictures(1), sounds(3), [True, False, True], [0.9, 0.5, 0.25])
    other = Found(Strip("text two", "text", ["two"]), pictures(3), [True] * 3, [0.9, 0.8, 0.7])
    picture = retrieval_examples([one, other])
    assert picture.png().startswith(PNG)
    labels = [axes.get_xlabel() for axes in picture.figure.axes]
    assert labels[:4] == ["query", "+ 0.90", "x 0.50", "+ 0.25"]
    assert list(picture.table["right"]) == [True, False, True, True, True, True]
    assert "83%" in picture.alt


def test_examples_need_as_many_hits_each():
    one = Found(pictures(1), sounds(3), [True] * 3, [0.9] * 3)
    other = Found(pictures(1), sounds(2), [True] * 2, [0.9] * 2)
    with pytest.raises(DataError, match="as many hits"):
        retrieval_examples([one, other])


def test_the_map_is_drawn_by_modality_and_by_class():
    codes = generator.normal(size=(60, 4)) + 5 * np.eye(4)[np.repeat([0, 1, 2], 20)]
    kinds = ["image", "audio"] * 29 + ["text"] * 2
    names = np.repeat(["two", "zero", "one"], 20)
    picture = joint_map(codes, kinds, names, "pca", class_names=("zero", "one", "two"))
    left, right = picture.figure.axes
    legends = [[t.get_text() for t in axes.get_legend().get_texts()] for axes in (left, right)]
    assert legends == [["image", "audio", "text"], ["zero", "one", "two"]]
    assert sorted(set(picture.table["modality"])) == ["audio", "image", "text"]
    assert len(picture.table) == 60
    # both panels show the same points
    assert sum(len(c.get_offsets()) for c in left.collections) == 60
    assert sum(len(c.get_offsets()) for c in right.collections) == 60
    assert joint_map(codes, kinds, None, "pca").figure.axes[0].get_title(loc="left")


def test_rare_items_of_a_modality_stand_out():
    codes = generator.normal(size=(200, 3))
    picture = joint_map(codes, ["image"] * 197 + ["text"] * 3, None, "pca")
    image, text = picture.figure.axes[0].collections
    assert text.get_sizes()[0] == 5 * image.get_sizes()[0]
    assert text.get_zorder() > image.get_zorder()


def test_the_map_sees_directions_and_not_lengths():
    codes = generator.normal(size=(40, 3))
    scale = generator.uniform(0.1, 10, (40, 1))
    first = joint_map(codes, ["a"] * 40, None, "pca").table
    second = joint_map(codes * scale, ["a"] * 40, None, "pca").table
    np.testing.assert_allclose(np.abs(first["x"]), np.abs(second["x"]), atol=1e-9)


def test_curves_leave_out_what_was_not_measured():
    picture = robustness_curves(
        [0.0, 0.5, 0.8],
        {"probe": [1.0, 0.9, 0.8], "completion": [None, 0.7, 0.6]},
        {"probe": [0.01, 0.02, 0.03]},
        references={"chance": 0.1},
    )
    probe, completion, _ = picture.figure.axes[0].get_lines()
    assert len(probe.get_xdata()) == 3
    assert len(completion.get_xdata()) == 2
    assert len(picture.figure.axes[0].collections) == 1  # one band of intervals
    assert probe.get_marker() != completion.get_marker()
    assert list(picture.table["value"]) == [1.0, 0.9, 0.8, None, 0.7, 0.6]
    assert picture.png().startswith(PNG)


def test_pairs_per_class_stand_on_a_logarithmic_axis():
    picture = robustness_curves([1, 10, 100], {"mAP": [0.4, 0.7, 0.9]}, log=True)
    axes = picture.figure.axes[0]
    assert axes.get_xscale() == "log"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "10", "100"]


def test_each_modality_has_its_loss_and_what_is_explained():
    history = {
        "epoch": [1, 2],
        "train_nats_image": [1.0, 0.5],
        "validation_nats_image": [1.1, 0.6],
        "r2_image": [0.1, 0.5],
        "train_nats_text": [2.0, 1.0],
        "r2_text": [-3.0, -0.2],
    }
    picture = modality_losses(history)
    titles = [axes.get_title(loc="left") for axes in picture.figure.axes]
    assert titles[:2] == ["image", "text"]
    assert list(picture.table.columns) == list(history)
    assert picture.figure.axes[3].get_ylim()[0] >= -1.1  # a bad start does not hide the rest


def test_shares_of_the_joint_code_leave_the_rest_to_the_prior():
    picture = contribution_bars({"one": {"image": 0.5, "audio": 0.3}, "two": {"image": 1.0}})
    assert list(picture.table["part"]) == ["image", "audio", "prior"] * 2
    np.testing.assert_allclose(picture.table["share"], [0.5, 0.3, 0.2, 1.0, 0.0, 0.0])
    whole = contribution_bars({"one": {"image": 0.5, "audio": 0.5}})
    assert list(whole.table["part"]) == ["image", "audio"]
    hatches = {patch.get_hatch() for patch in picture.figure.axes[0].patches}
    assert len(hatches) == 3  # told apart without colour
