"""Sources of vectors: whatever they are stored in, the same rows come out as float32."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from isthmus.data import Dataset, Samples, load
from isthmus.data.streams import Shards, VectorStream, files, open_vectors
from isthmus.data.streams.files import RawFile
from isthmus.data.streams.memory import ArraySource, ChosenRows
from isthmus.errors import ConfigError, DataError, MissingDataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

WHOLE = np.arange(60, dtype=np.float32).reshape(20, 3)
BF16 = torch.from_numpy(WHOLE).to(torch.bfloat16)


def vectors(values, kind=None):
    """A Parquet table of one column of vectors."""
    kind = kind or pa.list_(pa.float32(), values.shape[1])
    return pa.table({"v": pa.array(list(values), kind)})


def stored(folder):
    """The same vectors in every kind of storage, by name."""
    np.save(folder / "c.npy", WHOLE)
    np.save(folder / "f.npy", np.asfortranarray(WHOLE.astype("f8")))
    np.save(folder / "r.npy", WHOLE[::-1])
    save_file({"embeddings": WHOLE, "other": np.zeros(3)}, folder / "s.safetensors")
    save_torch({"x": BF16}, folder / "b.safetensors")
    pq.write_table(vectors(WHOLE), folder / "p.parquet", row_group_size=6)
    (folder / "shards").mkdir()
    for i, part in enumerate((WHOLE[:7], WHOLE[7:7], WHOLE[7:8], WHOLE[8:])):
        np.save(folder / "shards" / f"{i}.npy", part)
    return {
        "array": WHOLE,
        "array of another order": np.asfortranarray(WHOLE),
        "array of bytes": WHOLE.astype(np.uint8),
        "tensor": torch.from_numpy(WHOLE).requires_grad_(),
        "tensor of halves": torch.from_numpy(WHOLE).half(),
        "tensor of bfloat16": BF16,
        "npy": folder / "c.npy",
        "npy by columns": str(folder / "f.npy"),
        "memory map": np.load(folder / "c.npy", mmap_mode="r"),
        "part of a memory map": np.load(folder / "c.npy", mmap_mode="r")[0:20],
        "safetensors": folder / "s.safetensors",
        "safetensors of bfloat16": folder / "b.safetensors",
        "parquet": folder / "p.parquet",
        "folder": folder / "shards",
        "list": [WHOLE[:5], torch.from_numpy(WHOLE[5:])],
        "samples": Samples(WHOLE),
        "rows of samples": Samples(np.vstack([WHOLE[::-1], WHOLE]), rows=np.arange(20, 40)),
        "rows in another order": Samples(WHOLE[::-1], rows=np.arange(19, -1, -1)),
        "rows of a file": Samples(np.load(folder / "c.npy", mmap_mode="r"), rows=np.arange(20)),
        "file in another order": Samples(
            np.load(folder / "r.npy", mmap_mode="r"), rows=np.arange(19, -1, -1)
        ),
    }


KINDS = [
    *("array", "array of another order", "array of bytes"),
    *("tensor", "tensor of halves", "tensor of bfloat16"),
    *("npy", "npy by columns", "memory map", "part of a memory map"),
    *("safetensors", "safetensors of bfloat16", "parquet", "folder", "list"),
    *("samples", "rows of samples", "rows in another order", "rows of a file"),
    "file in another order",
]
NUMBERED_OTHERWISE = {"folder": 3, "list": 6, "rows of samples": 31} | dict.fromkeys(
    ("rows in another order", "file in another order"), 8
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_storage_gives_the_same_rows(tmp_path, kind):
    source = open_vectors(stored(tmp_path)[kind])
    assert (source.rows, source.dim) == (20, 3)
    for start, stop in ((0, 20), (5, 9), (6, 8), (19, 20), (4, 4)):
        read = source.read(start, stop)
        assert read.dtype == np.float32
        assert read.flags.c_contiguous
        assert np.array_equal(read, WHOLE[start:stop])
    for rows in ([0, 19], [3, 4, 5], [6], [0, 2, 7, 8, 13], []):
        rows = np.array(rows, np.int64)
        assert np.array_equal(source.take(rows), WHOLE[rows])
    out = np.empty((2, 3), np.float32)
    assert source.read(6, 8, out) is out
    assert np.array_equal(out, WHOLE[6:8])
    assert source.take(np.array([1, 9]), out) is out
    assert np.array_equal(out, WHOLE[[1, 9]])
    assert source.fingerprint() == open_vectors(WHOLE).fingerprint()
    assert "20" in source.describe()
    assert source.where(11, 2).endswith(f"row {NUMBERED_OTHERWISE.get(kind, 11)}, column 2")
    if source.in_memory:
        assert np.array_equal(source.take(np.array([9, 0, 12])), WHOLE[[9, 0, 12]])


@pytest.mark.parametrize(
    ("kind", "buffer"),  # the row groups of Parquet are blocks: in parts, the order is another
    [(kind, size) for kind in KINDS for size in (None, 16) if kind != "parquet" or size is None],
)
def test_every_kind_of_storage_gives_the_same_batches(tmp_path, kind, buffer):
    settings = {"seed": 3, "held_out": 4, "block_rows": 2, "buffer_rows": buffer}
    stream = VectorStream(open_vectors(stored(tmp_path)[kind]), 5, **settings)
    plain = VectorStream(open_vectors(WHOLE), 5, **settings)
    for epoch in (0, 1):
        batches = [*stream.epoch(epoch)]
        assert [len(batch) for batch in batches] == [5, 5, 5, 1]
        assert all(map(np.array_equal, batches, plain.epoch(epoch)))
        numbers = [*stream.numbers(epoch)]
        assert all(
            np.array_equal(WHOLE[n], batch) for n, batch in zip(numbers, batches, strict=True)
        )
    assert all(map(np.array_equal, stream.held_out(3), plain.held_out(3)))
    assert stream.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">i4", "i8", "f2", "<f4", ">f4", "f8", "g"])
def test_npy_of_any_real_type(tmp_path, dtype):
    values = (WHOLE - 30 if np.dtype(dtype).kind in "if" else WHOLE).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    source = open_vectors(tmp_path / "x.npy")
    assert isinstance(source, RawFile)
    assert np.array_equal(source.read(2, 17), values[2:17].astype(np.float32))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.integers(0, 199), unique=True).map(sorted),
    window=st.integers(1, 4000),
    gap=st.integers(0, 300),
    dtype=st.sampled_from(["f2", "f4"]),
)
def test_rows_are_taken_alike_however_reads_are_joined(
    tmp_path, monkeypatch, rows, window, gap, dtype
):
    monkeypatch.setattr(files, "_WINDOW_BYTES", window)
    monkeypatch.setattr(files, "_GAP_BYTES", gap)
    values = np.arange(1000, dtype=dtype).reshape(200, 5)
    np.save(tmp_path / "x.npy", values)
    source = open_vectors(tmp_path / "x.npy")
    rows = np.array(rows, np.int64)
    assert np.array_equal(source.take(rows), values[rows])
    assert np.array_equal(source.read(0, 200), values)


def test_neighbouring_rows_come_with_one_read_and_a_take_opens_once(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros((10_000, 4), np.float32))
    source = open_vectors(tmp_path / "x.npy")
    reads, fill = [], RawFile._fill
    monkeypatch.setattr(
        RawFile,
        "_fill",
        lambda self, handle, at, out: reads.append(out.size) or fill(self, handle, at, out),
    )
    source.take(np.arange(0, 1000, 10))  # 160 bytes apart: one read of 991 rows
    assert reads == [991 * 4]
    reads.clear()
    source.take(np.array([0, 1, 2, 9000, 9001]))  # 144 kB apart: two
    assert reads == [12, 8]


def test_a_memory_map_of_a_file_is_read_as_a_file(tmp_path):
    np.save(tmp_path / "x.npy", WHOLE)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert open_vectors(mapped) == open_vectors(tmp_path / "x.npy")
    raw = np.memmap(tmp_path / "raw", np.float32, "w+", 8, (4, 2))
    raw[:] = np.arange(8).reshape(4, 2)
    assert isinstance(open_vectors(raw), RawFile)
    assert open_vectors(raw).read(1, 2).tolist() == [[2, 3]]
    for part in (mapped[3:], mapped[:, :2], mapped.T):
        source = open_vectors(part)
        assert isinstance(source, ArraySource)
        assert not source.in_memory
        assert np.array_equal(source.read(1, 3), part[1:3])
    copied = np.load(tmp_path / "x.npy", mmap_mode="c")
    copied[0] = 9  # not in the file
    assert open_vectors(copied).read(0, 1).tolist() == [[9, 9, 9]]


def test_a_split_of_a_data_set(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    data = load(tmp_path / "x.npy", seed=1)
    for split in data:
        source = open_vectors(data, split=split)
        assert isinstance(source, ChosenRows)
        assert isinstance(source.base, RawFile)
        assert np.array_equal(source.read(0, source.rows), data[split].all().numpy())
        assert f"row {data[split].rows[2]}" in source.where(2)
    with pytest.raises(ConfigError, match="no split called 'dev'"):
        open_vectors(data, split="dev")


def test_images_of_a_data_set_are_flattened():
    images = np.arange(96, dtype=np.uint8).reshape(6, 1, 4, 4)
    data = Dataset.from_arrays(images, kind="image")
    assert np.array_equal(open_vectors(data).read(0, 6), images.reshape(6, 16))


def test_shards_are_taken_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a", "c10", "c2"):
        np.save(tmp_path / f"{name}.npy", np.full((1, 2), len(name) + ord(name[-1])))
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / ".x.parquet").write_text("hidden")
    source = open_vectors(tmp_path)
    order = [f"{name}.npy" for name in ("a", "b", "c10", "c2")]
    assert [source.where(i).split("/")[-1] for i in range(4)] == [f"{n}, row 0" for n in order]


def test_shards_of_parquet_and_safetensors(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "s").mkdir()
    pq.write_table(vectors(WHOLE[:9]), tmp_path / "p" / "0.parquet", row_group_size=4)
    pq.write_table(vectors(WHOLE[9:]), tmp_path / "p" / "1.pq", row_group_size=8)
    save_file({"a": WHOLE[:9], "b": WHOLE[:1]}, tmp_path / "s" / "0.safetensors")
    save_file({"a": WHOLE[9:], "b": WHOLE[:1]}, tmp_path / "s" / "1.safetensors")
    parquet = open_vectors(tmp_path / "p")
    assert parquet.pieces.tolist() == [0, 4, 8, 9, 17]
    assert np.array_equal(parquet.read(3, 18), WHOLE[3:18])
    assert np.array_equal(open_vectors(tmp_path / "s", key="a").read(0, 20), WHOLE)
    assert "row 1" in parquet.where(10)
    assert "1.pq" in parquet.where(10)


def test_a_source_of_ones_own_is_returned_as_it_is():
    source = open_vectors(WHOLE)
    assert open_vectors(source) is source
    both = open_vectors([source, source])
    assert isinstance(both, Shards)
    assert np.array_equal(both.take(np.array([25, 3, 19])), WHOLE[[5, 3, 19]])


def test_the_fingerprint_follows_size_and_values():
    base = open_vectors(WHOLE).fingerprint()
    changed = WHOLE.copy()
    changed[19, 2] += 1
    others = [changed, WHOLE[:19], WHOLE.reshape(30, 2), np.vstack([WHOLE, WHOLE])]
    assert len({base, *(open_vectors(other).fingerprint() for other in others)}) == 5


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(5), r"does not hold vectors[\s\S]*\(5,\)"),
        (np.zeros((2, 3, 4)), r"does not hold vectors[\s\S]*\(2, 3, 4\)"),
        (np.array(1.0), "does not hold vectors"),
        (np.zeros((3, 0)), "the vectors are empty"),
        (np.zeros((0, 3)), "there are no vectors"),
        (np.zeros((2, 2), complex), "complex numbers"),
        (np.array([[1, "a"], [2, "b"]], object), "Python objects"),
        (np.array([["a", "b"]]), "holds text"),
        (np.zeros((2, 2), "M8[s]"), "holds dates"),
        (np.zeros((2, 2), [("a", "f4")]), "records"),
    ],
)
def test_arrays_that_hold_no_vectors_are_refused_in_memory_and_on_disk(tmp_path, values, message):
    with pytest.raises(DataError, match=message):
        open_vectors(values)
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(DataError, match=message) as caught:
        open_vectors(tmp_path / "x.npy")
    assert "x.npy" in str(caught.value)


def test_sizes_beyond_the_limits_are_refused(tmp_path):
    flat = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1 << 35, 2), (0, 0))
    with pytest.raises(DataError, match=r"beyond the sizes[\s\S]*at most 17,179,869,184 rows"):
        open_vectors(flat)
    wide = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2, 1 << 21), (0, 0))
    with pytest.raises(DataError, match="1,048,576 values"):
        open_vectors(wide)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (7, "a int can't be read as vectors"),
        ([[1.0, 2.0]], "a list|a float"),
        ([], "there are no shards"),
        (torch.zeros(3, 3).to_sparse(), "a sparse tensor"),
        (torch.zeros(3, 3, dtype=torch.complex64), "complex"),
        (torch.zeros(3, 3).to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (np.ma.array([[1.0, 2.0]], mask=[[True, False]]), "masks some"),
        (Samples(WHOLE, rows=np.array([3, 20])), "outside the data"),
    ],
)
def test_what_holds_no_vectors_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        open_vectors(data)


def test_an_array_with_an_empty_mask_is_read():
    assert open_vectors(np.ma.array(WHOLE)).read(0, 20).tolist() == WHOLE.tolist()


def test_keys_are_refused_where_there_are_no_names(tmp_path):
    np.save(tmp_path / "x.npy", WHOLE)
    for data in (tmp_path / "x.npy", WHOLE):
        with pytest.raises(ConfigError, match="no names to choose from"):
            open_vectors(data, key="x")


def test_paths_that_hold_no_vectors_are_refused(tmp_path):
    with pytest.raises(MissingDataError, match="no such file"):
        open_vectors(tmp_path / "absent.npy")
    (tmp_path / "x.pt").write_bytes(b"PK")
    with pytest.raises(DataError, match="pickles"):
        open_vectors(tmp_path / "x.pt")
    (tmp_path / "d.npy").mkdir()
    with pytest.raises(DataError, match="holds no shards"):
        open_vectors(tmp_path / "d.npy")


def test_mixed_kinds_of_shards_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", WHOLE)
    save_file({"x": WHOLE}, tmp_path / "b.safetensors")
    with pytest.raises(DataError, match=r"mixes kinds[\s\S]*\.npy and \.safetensors"):
        open_vectors(tmp_path)
    pq.write_table(vectors(WHOLE), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="Parquet files can't be mixed"):
        open_vectors([tmp_path / "a.npy", tmp_path / "c.parquet"])


def test_shards_of_unequal_width_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", WHOLE)
    np.save(tmp_path / "b.npy", WHOLE[:, :2])
    with pytest.raises(
        DataError, match=r"unequal width[\s\S]*shard 1: .*b.npy: 20 x 2[\s\S]*a.npy"
    ):
        open_vectors(tmp_path)


def test_an_out_of_another_shape_or_type_is_refused():
    source = open_vectors(WHOLE)
    for out in (np.empty((3, 3), np.float32), np.empty((2, 3)), np.empty((3, 2), np.float32).T):
        with pytest.raises(ValueError, match="out must be"):
            source.read(0, 2, out)
