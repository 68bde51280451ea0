"""Folders of pictures."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from isthmus.data import load
from isthmus.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
WHOLE = {"validation": 0, "test": 0}


def picture(path, size=(8, 9), mode="L", ending=".png", **save):
    """Save a random picture of (height, width) and return its pixels."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
    pixels = RNG.integers(0, 256, (*size, *channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path.with_suffix(ending), **save)
    return pixels


def fill(folder, n=5, **kind):
    return np.stack([picture(folder / f"{i:03d}", **kind) for i in range(n)])


@pytest.mark.filterwarnings("ignore:'mode' parameter")
class TestRight:
    def test_grey_png_exactly_as_uint8(self, tmp_path):
        pixels = fill(tmp_path)
        data = load(tmp_path, **WHOLE)
        assert (data.shape, data.kind, data.range) == ((1, 8, 9), "image", (0, 255))
        assert data["train"].values.dtype == np.uint8
        assert np.array_equal(data["train"].values[:, 0], pixels)
        assert data["train"].labels is None

    def test_colour_png_exactly_channels_first(self, tmp_path):
        pixels = fill(tmp_path, mode="RGB")
        data = load(tmp_path, **WHOLE)
        assert np.array_equal(data["train"].values, pixels.transpose(0, 3, 1, 2))

    def test_jpeg_nearly(self, tmp_path):
        smooth = np.linspace(0, 255, 256).reshape(16, 16).astype(np.uint8)
        for i in range(3):
            Image.fromarray(smooth).save(tmp_path / f"{i}.JPG", format="JPEG", quality=95)
        values = load(tmp_path, **WHOLE)["train"].values
        assert np.abs(values[0, 0].astype(int) - smooth).max() < 12

    def test_class_folders_are_labels_in_natural_order(self, tmp_path):
        for name in ("10", "9", "2"):
            fill(tmp_path / name, 3)
        data = load(tmp_path, **WHOLE)
        assert data.label_names == ("2", "9", "10")
        assert sorted(data["train"].label_array().tolist()) == [0] * 3 + [1] * 3 + [2] * 3

    def test_pictures_keep_the_label_of_their_folder(self, tmp_path):
        cats, dogs = fill(tmp_path / "cat", 2), fill(tmp_path / "dog" / "small", 2)
        train = load(tmp_path, **WHOLE)["train"]
        assert np.array_equal(train.values[train.labels == 0, 0], cats)
        assert np.array_equal(train.values[train.labels == 1, 0], dogs)

    def test_split_folders_are_honoured_with_one_numbering_of_classes(self, tmp_path):
        fill(tmp_path / "train" / "b", 4)
        fill(tmp_path / "train" / "c", 4)
        fill(tmp_path / "val" / "c", 2)
        held = fill(tmp_path / "test" / "a", 3)
        data = load(tmp_path)
        assert [len(data[split]) for split in data] == [8, 2, 3]
        assert data.label_names == ("a", "b", "c")
        assert data["test"].label_array().tolist() == [0, 0, 0]
        assert data["validation"].label_array().tolist() == [2, 2]
        assert np.array_equal(data["test"].values[:, 0], held)

    def test_a_class_may_be_called_test(self, tmp_path):
        fill(tmp_path / "test", 2)
        fill(tmp_path / "work", 2)
        assert load(tmp_path, **WHOLE).label_names == ("test", "work")

    def test_mixed_sizes_are_resized_by_choice(self, tmp_path):
        picture(tmp_path / "a", (8, 9))
        picture(tmp_path / "b", (30, 20))
        data = load(tmp_path, resize=(16, 12), **WHOLE)
        assert data.shape == (1, 16, 12)
        assert load(tmp_path, resize=10, **WHOLE).shape == (1, 10, 10)
        assert "Images were resized to 16 x 12 (bilinear)." in data.notes

    def test_resizing_keeps_a_flat_picture_flat(self, tmp_path):
        for i in range(2):
            Image.fromarray(np.full((40, 30, 3), (10, 20, 30), np.uint8)).save(
                tmp_path / f"{i}.png"
            )
        values = load(tmp_path, resize=8, **WHOLE)["train"].values
        assert np.unique(values.reshape(2, 3, -1), axis=2).tolist() == [[[10], [20], [30]]] * 2

    def test_colour_by_choice(self, tmp_path):
        picture(tmp_path / "a")
        picture(tmp_path / "b", mode="RGB")
        assert load(tmp_path, colour="grey", **WHOLE).shape == (1, 8, 9)
        assert load(tmp_path, colour="rgb", **WHOLE).shape == (3, 8, 9)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_transparency_is_dropped_and_noted(self, tmp_path, mode):
        pixels = fill(tmp_path, 2, mode=mode)
        data = load(tmp_path, **WHOLE)
        kept = pixels[..., :1] if mode == "LA" else pixels[..., :3]
        assert np.array_equal(data["train"].values, kept.transpose(0, 3, 1, 2))
        assert "2 images had transparency, which was dropped." in data.notes

    def test_sixteen_bits_are_narrowed_not_clipped(self, tmp_path):
        values = np.linspace(0, 65535, 72).astype(np.uint16).reshape(8, 9)
        for i in range(2):
            Image.fromarray(values).save(tmp_path / f"{i}.png")
        data = load(tmp_path, **WHOLE)
        assert np.array_equal(data["train"].values[0, 0], values >> 8)
        assert "2 images of 16 bits were narrowed to 8 bits." in data.notes

    def test_one_bit_and_palette(self, tmp_path):
        bits = RNG.integers(0, 2, (8, 8)).astype(bool)
        for i in range(2):
            Image.fromarray(bits).save(tmp_path / f"{i}.png")
        assert np.array_equal(load(tmp_path, **WHOLE)["train"].values[0, 0], bits * 255)
        for i in range(2):
            Image.new("P", (8, 8)).save(tmp_path / f"{i}.png")
        assert load(tmp_path, **WHOLE).shape == (3, 8, 8)

    def test_orientation_is_ignored(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        for i in range(2):
            Image.new("L", (20, 10)).save(tmp_path / f"{i}.jpg", exif=exif)
        assert load(tmp_path, **WHOLE).shape == (1, 10, 20)

    def test_other_and_hidden_files_are_left_out(self, tmp_path):
        fill(tmp_path, 3)
        (tmp_path / "notes.txt").write_text("hello")
        (tmp_path / ".hidden.png").write_text("not a picture")
        (tmp_path / ".cache").mkdir()
        (tmp_path / ".cache" / "x.png").write_text("not a picture")
        data = load(tmp_path, **WHOLE)
        assert len(data["train"]) == 3
        assert "1 files that are not PNG or JPEG were left out." in data.notes


def png(width, height, payload=b""):
    """A PNG whose header says (width, height), whatever follows."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(payload))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8193, 12_000, 60_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_from_its_header(tmp_path, side, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(png(side, side, bytes(100)))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    for choice in ({}, {"resize": 32}):
        with pytest.raises(DataError, match=r"too large to decode[\s\S]*bomb\.png"):
            load(tmp_path, **choice)


def test_the_limit_is_held_after_the_first_header(tmp_path):
    fill(tmp_path, 10)
    with pytest.raises(DataError, match="would take 720 bytes in memory; the limit is 719"):
        load(tmp_path, limit=719)
    assert len(load(tmp_path, limit=720, **WHOLE)["train"]) == 10


def test_mixed_sizes_without_a_choice_are_refused_with_both_named(tmp_path):
    picture(tmp_path / "a", (8, 9))
    picture(tmp_path / "b", (8, 10))
    with pytest.raises(DataError, match=r"b\.png is 8 x 10; .*a\.png is 8 x 9[\s\S]*resize="):
        load(tmp_path)


def test_sizes_must_agree_across_splits_too(tmp_path):
    fill(tmp_path / "train", 2)
    fill(tmp_path / "test", 2, size=(9, 9))
    with pytest.raises(DataError, match="differ in size"):
        load(tmp_path)


def test_grey_and_colour_mixed_without_a_choice_are_refused(tmp_path):
    picture(tmp_path / "a")
    picture(tmp_path / "b", mode="RGB")
    with pytest.raises(DataError, match=r"b\.png is in colour; .*a\.png is grey"):
        load(tmp_path)


def test_pictures_below_eight_pixels_are_refused(tmp_path):
    fill(tmp_path, 2, size=(8, 7))
    with pytest.raises(DataError, match="smaller than 8 x 8"):
        load(tmp_path)
    assert load(tmp_path, resize=8, **WHOLE).shape == (1, 8, 8)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x89PNG\r\n\x1a\n", png(9, 8)[:-20], b"\xff\xd8\xff\xe0"],
)
@pytest.mark.parametrize("name", ["bad.png", "bad.jpg"])
def test_an_unreadable_picture_is_named(tmp_path, content, name):
    fill(tmp_path, 2)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"image can't be read[\s\S]*{name}"):
        load(tmp_path)


def test_a_truncated_jpeg_is_named(tmp_path):
    picture(tmp_path / "a", (40, 40), ending=".jpg")
    path = tmp_path / "a.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"a\.jpg"):
        load(tmp_path)


def test_other_picture_formats_under_a_png_name_are_not_parsed(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png", format="GIF")
    with pytest.raises(DataError, match="neither PNG nor JPEG inside"):
        load(tmp_path)


def test_flipped_bits_never_crash(tmp_path):
    picture(tmp_path / "a", (12, 12), mode="RGB")
    path = tmp_path / "a.png"
    whole = path.read_bytes()
    picture(tmp_path / "b", (12, 12), mode="RGB")
    refused = []
    for seed in range(300):
        generator = np.random.default_rng(seed)
        broken = bytearray(whole)
        for at in generator.integers(8, len(whole), 3):
            broken[at] = generator.integers(0, 256)
        path.write_bytes(broken)
        try:
            load(tmp_path)
        except DataError as error:
            refused.append("a.png" in str(error))
    assert len(refused) > 100
    assert all(refused)


def test_folders_that_leave_it_open_are_refused(tmp_path):
    fill(tmp_path / "cat", 2)
    picture(tmp_path / "loose")
    with pytest.raises(DataError, match="1 of 3 lie beside"):
        load(tmp_path)
    fill(tmp_path / "train", 2)
    with pytest.raises(DataError, match="other folders that are not splits"):
        load(tmp_path)


def test_an_empty_split_is_named(tmp_path):
    fill(tmp_path / "train", 2)
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match=r"no PNG or JPEG file[\s\S]*test"):
        load(tmp_path)


@pytest.mark.parametrize("choice", [{"resize": 4}, {"resize": (8, 5000)}, {"colour": "sepia"}])
def test_impossible_choices(tmp_path, choice):
    fill(tmp_path, 2)
    with pytest.raises(ConfigError):
        load(tmp_path, **choice)
