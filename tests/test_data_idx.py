"""IDX files: right ones, and every way to be wrong."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.data import load
from isthmus.data.read_idx import read_idx
from isthmus.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
CODES = {"u1": 8, "i1": 9, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(values):
    """The bytes of an IDX file."""
    code = CODES[values.dtype.str[1:]]
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def put(path, values, packed=False):
    path.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
    return path


def four_files(folder, packed=True, n=(60, 20)):
    """MNIST's four files, small."""
    end = "-ubyte.gz" if packed else "-ubyte"
    made = {}
    for split, size in zip(("train", "t10k"), n, strict=True):
        made[split] = RNG.integers(0, 256, (size, 8, 9), dtype=np.uint8)
        put(folder / f"{split}-images-idx3{end}", made[split], packed)
        put(folder / f"{split}-labels-idx1{end}", np.arange(size, dtype=np.uint8) % 10, packed)
    return made


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", list(CODES))
def test_every_type_is_read_plain_and_packed(tmp_path, dtype, packed):
    values = RNG.integers(0, 100, (5, 3, 4)).astype(dtype)
    path = put(tmp_path / "some-idx3-ubyte", values, packed)
    read = read_idx(path, 1 << 20)
    assert np.array_equal(read, values)
    assert isinstance(read, np.memmap) is not packed


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_four_files(tmp_path, packed):
    made = four_files(tmp_path, packed)
    data = load(tmp_path)
    assert (data.shape, data.kind, data.range) == ((1, 8, 9), "image", (0, 255))
    assert [len(data[split]) for split in data] == [57, 3, 20]
    assert np.array_equal(data["test"].all().numpy()[:, 0], made["t10k"])
    assert data["test"].label_array().tolist() == [i % 10 for i in range(20)]
    rows = data["train"].rows
    assert np.array_equal(data["train"].all().numpy()[:, 0], made["train"][rows])
    assert np.array_equal(data["train"].label_array(), rows % 10)


def test_one_file_finds_its_labels_and_leaves_the_other_split_alone(tmp_path):
    four_files(tmp_path)
    data = load(tmp_path / "t10k-images-idx3-ubyte.gz", validation=0, test=0)
    assert len(data["train"]) == 20
    assert data["train"].label_array().tolist() == [i % 10 for i in range(20)]


@pytest.mark.parametrize("name", ["train-images.idx3-ubyte", "pictures-images-idx3-ubyte"])
def test_other_spellings_and_a_lone_pair(tmp_path, name):
    put(tmp_path / name, RNG.integers(0, 256, (20, 8, 8), dtype=np.uint8))
    put(
        tmp_path / name.replace("images", "labels").replace("idx3", "idx1"),
        np.arange(20, dtype="u1"),
    )
    for source in (tmp_path, tmp_path / name):
        data = load(source)
        assert [len(data[split]) for split in data] == [16, 2, 2]
        assert data["test"].label_array().tolist() == data["test"].rows.tolist()


def test_plain_and_packed_beside_each_other_are_one_file(tmp_path):
    made = four_files(tmp_path, packed=False)
    four_files(tmp_path, packed=True, n=(30, 10))
    assert len(load(tmp_path, validation=0)["train"]) == len(made["train"])


def test_any_name_is_recognised_by_its_first_bytes(tmp_path):
    values = RNG.integers(0, 256, (10, 8, 8), dtype=np.uint8)
    assert load(put(tmp_path / "pictures.bin", values)).shape == (1, 8, 8)


def test_vectors_in_idx(tmp_path):
    values = RNG.normal(size=(30, 6)).astype("f4")
    data = load(put(tmp_path / "codes-idx2-ubyte", values), validation=0, test=0)
    assert (data.kind, data.shape) == ("vector", (6,))
    assert np.array_equal(data["train"].all().numpy(), values)


@pytest.mark.parametrize(("keep", "byte"), [(2, 0), (9, 9), (16, 16), (100, 100)])
def test_a_truncated_plain_file_says_where_it_ends(tmp_path, keep, byte):
    path = tmp_path / "a-images-idx3-ubyte"
    path.write_bytes(idx(np.ones((10, 8, 8), np.uint8))[:keep])
    with pytest.raises(DataError, match=f"byte {byte}") as caught:
        load(path)
    assert "fetch the file again" in str(caught.value)


def test_a_truncated_file_says_how_much_is_missing(tmp_path):
    path = tmp_path / "a-images-idx3-ubyte"
    path.write_bytes(idx(np.ones((10, 8, 8), np.uint8))[:-40])
    with pytest.raises(DataError, match=r"truncated[\s\S]*= 640 bytes; 600 follow it"):
        load(path)


@pytest.mark.parametrize("keep", [5, 15, 30, -9, -1])
def test_a_truncated_packed_file_is_refused(tmp_path, keep):
    path = tmp_path / "a-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(RNG.integers(0, 256, (10, 8, 8), dtype=np.uint8)))[:keep])
    with pytest.raises(DataError, match=r"truncated|not an IDX file|ends inside its header"):
        load(path)


def test_a_damaged_packed_file_is_refused(tmp_path):
    path = tmp_path / "a-images-idx3-ubyte.gz"
    packed = bytearray(gzip.compress(idx(np.ones((10, 8, 8), np.uint8))))
    packed[-6] ^= 0xFF  # inside the CRC
    path.write_bytes(packed)
    with pytest.raises(DataError, match="gzip file is damaged"):
        load(path)


def test_a_header_that_announces_terabytes_costs_nothing(tmp_path):
    head = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**20, 2**20)
    plain, packed = tmp_path / "a-images-idx3-ubyte", tmp_path / "b-images-idx3-ubyte.gz"
    plain.write_bytes(head + bytes(100))
    packed.write_bytes(gzip.compress(head + bytes(100)))
    with pytest.raises(DataError, match="truncated"):
        load(plain)
    with pytest.raises(DataError, match="the limit is"):
        load(packed)


def test_a_gzip_bomb_is_cut_off_at_what_the_header_announces(tmp_path):
    path = tmp_path / "a-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.ones((10, 8, 8), np.uint8)) + bytes(50_000_000)))
    with pytest.raises(DataError, match=r"longer than its header says[\s\S]*641 or more follow"):
        load(path)


def test_the_limit_is_held_before_memory_is_spent(tmp_path):
    four_files(tmp_path)
    with pytest.raises(DataError, match=r"would take 1.4 KiB in memory; the limit is 1000 bytes"):
        load(tmp_path, limit=1000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found nothing"),
        (b"<!DOCTYPE html>", "looks like text or a web page"),
        (b"\0\0\x07\x03" + bytes(40), "not an IDX file"),
        (b"\0\0\x08\x00" + bytes(40), "not an IDX file"),
        (b"\x08\0\0\x03" + bytes(40), "not an IDX file"),
    ],
)
def test_other_content_under_an_idx_name(tmp_path, content, message):
    for name, kept in (("a-idx3-ubyte", content), ("b-idx3-ubyte.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(kept)
        with pytest.raises(DataError, match=message):
            load(tmp_path / name)


def test_a_labels_file_is_not_samples(tmp_path):
    path = put(tmp_path / "train-labels-idx1-ubyte", np.zeros(10, np.uint8))
    with pytest.raises(DataError, match="labels, not samples"):
        load(path)


def test_swapped_files_are_named(tmp_path):
    put(tmp_path / "train-images-idx3-ubyte", np.zeros((10, 8, 8), np.uint8))
    put(tmp_path / "train-labels-idx1-ubyte", np.zeros((10, 8, 8), np.uint8))
    with pytest.raises(DataError, match=r"labels file does not hold labels[\s\S]*train-labels"):
        load(tmp_path)


def test_labels_of_another_length_are_refused(tmp_path):
    put(tmp_path / "train-images-idx3-ubyte", np.zeros((10, 8, 8), np.uint8))
    put(tmp_path / "train-labels-idx1-ubyte", np.zeros(9, np.uint8))
    with pytest.raises(DataError, match="9 labels for 10 samples in train-images-idx3-ubyte"):
        load(tmp_path)


def test_folders_that_leave_the_training_split_open_are_refused(tmp_path):
    put(tmp_path / "a-images-idx3-ubyte", np.zeros((10, 8, 8), np.uint8))
    put(tmp_path / "t10k-images-idx3-ubyte", np.zeros((10, 8, 8), np.uint8))
    with pytest.raises(DataError, match="no training images"):
        load(tmp_path)
    put(tmp_path / "b-images-idx3-ubyte", np.zeros((10, 8, 8), np.uint8))
    with pytest.raises(DataError, match="claim to be the same split"):
        load(tmp_path)


def test_settings_of_other_kinds_are_refused(tmp_path):
    four_files(tmp_path)
    with pytest.raises(ConfigError, match="key can't be chosen for a folder of IDX files"):
        load(tmp_path, key="x")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_damage_gets_past_or_crashes(tmp_path, data):
    content = bytearray(idx(np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    packed = data.draw(st.booleans())
    path = tmp_path / "f-idx3-ubyte"
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    try:
        read = read_idx(path, 1 << 20)
    except DataError:
        return
    assert read.nbytes == len(content) - 4 - 4 * read.ndim
