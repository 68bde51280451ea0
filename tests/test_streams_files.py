"""Files that lie, are cut short, or change while they are read: errors, never a crash."""

import json
import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from isthmus.data.streams import VectorStream, checked, open_vectors
from isthmus.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

VALUES = np.random.default_rng(0).normal(size=(4000, 16)).astype(np.float32)


def write_npy(path, values):
    np.save(path, values)


def write_safetensors(path, values):
    save_file({"x": np.ascontiguousarray(values)}, path)


def write_parquet(path, values):
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    pq.write_table(pa.table({"v": column}), path, row_group_size=100)


WRITERS = {"npy": write_npy, "safetensors": write_safetensors, "parquet": write_parquet}


@pytest.fixture(params=WRITERS)
def shards(request, tmp_path):
    """A folder of four shards, of 1,000 rows each."""
    for i in range(4):
        WRITERS[request.param](tmp_path / f"{i}.{request.param}", VALUES[i * 1000 : (i + 1) * 1000])
    return tmp_path


def streamed(folder, **more):
    """A stream that holds a tenth of the rows at a time."""
    return VectorStream(open_vectors(folder), 50, 0, block_rows=20, buffer_rows=400, **more)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_shard_that_shrinks_while_reading_is_an_error_not_a_crash(shards, prefetch):
    stream = streamed(shards, prefetch=prefetch)
    batches = stream.epoch(0)
    next(batches)
    victim = sorted(shards.iterdir())[2]
    os.truncate(victim, victim.stat().st_size // 2)
    with pytest.raises(DataError, match="the file shrank while it was being read") as caught:
        list(batches)
    assert str(victim) in str(caught.value)


def test_a_shard_that_disappears_while_reading_is_named(shards):
    stream = streamed(shards)
    batches = stream.epoch(0)
    next(batches)
    victim = sorted(shards.iterdir())[1]
    victim.unlink()
    with pytest.raises(DataError, match="the file has disappeared") as caught:
        list(batches)
    assert str(victim) in str(caught.value)
    assert "resume" in str(caught.value)


def test_a_shard_that_grows_is_named(shards):
    source = open_vectors(shards)
    victim = sorted(shards.iterdir())[0]
    with victim.open("ab") as handle:
        handle.write(b"more")
    with pytest.raises(DataError, match="the file grew"):
        source.read(0, 10)


def test_training_goes_on_after_the_shard_is_back(shards):
    stream = streamed(shards)
    whole = [*stream.epoch(1)]
    victim = sorted(shards.iterdir())[1]
    victim.rename(victim.with_suffix(".away"))
    with pytest.raises(DataError):
        list(stream.epoch(1))
    victim.with_suffix(".away").rename(victim)
    rest = stream.epoch(1, start_batch=30)
    assert all(map(np.array_equal, rest, whole[30:]))


def test_a_file_cut_short_between_its_check_and_the_read_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, VALUES)
    source = open_vectors(path)
    real = os.fstat(os.open(path, os.O_RDONLY))
    os.truncate(path, 1000)
    monkeypatch.setattr("isthmus.data.streams.files.os.fstat", lambda handle: real)
    with pytest.raises(DataError, match=r"shrank[\s\S]*ends at byte 1,000 now"):
        source.read(0, 4000)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", VALUES)
    source = open_vectors(tmp_path / "x.npy")

    def refuse(*args, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    for act in (lambda: source.read(0, 1), lambda: open_vectors(tmp_path / "x.npy")):
        with pytest.raises(DataError, match=r"can't be read[\s\S]*x.npy[\s\S]*Permission denied"):
            act()


def npy_bytes(shape, descr="<f4", data=b"", fortran=False):
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_bytes((1 << 40, 768), data=bytes(999)), r"shorter than the header says[\s\S]*TiB"),
        (npy_bytes((1 << 32, 1 << 32)), "shorter than the header says"),
        (npy_bytes((2, 2), data=bytes(15)), "shorter than the header says"),
        (npy_bytes((2, 2), data=bytes(17)), "longer than the header says"),
        (npy_bytes((-2, 2)), "header is damaged"),
        (npy_bytes((2, 2), "|O", bytes(32)), "Python objects"),
        (b"", "header is damaged"),
        (b"not numpy at all", "header is damaged"),
    ],
)
def test_npy_headers_that_lie(tmp_path, content, message):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_vectors(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("entry", "size", "message"),
    [
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, 8, "announces"),
        ({"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 16]}, 16, "takes 32 bytes"),
        ({"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}, 4, "F8_E4M3"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, 16, "does not hold vectors"),
        (
            {"dtype": "F32", "shape": [2, 2, 1], "data_offsets": [0, 16]},
            16,
            "does not hold vectors",
        ),
    ],
)
def test_safetensors_headers_that_lie(tmp_path, entry, size, message):
    header = json.dumps({"x": entry}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(size)
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_vectors(tmp_path / "x.safetensors")


def test_a_safetensors_file_of_several_matrices_needs_a_key(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": VALUES[:10], "b": VALUES[:20]}, path)
    with pytest.raises(DataError, match="not clear which array"):
        open_vectors(path)
    with pytest.raises(DataError, match="no array 'c'"):
        open_vectors(path, key="c")
    source = open_vectors(path, key="b")
    assert np.array_equal(source.read(10, 20), VALUES[10:20])
    assert "x.safetensors, b, row 3, column 2" in source.where(3, 2)


@pytest.fixture(scope="module", params=WRITERS)
def sound(request, tmp_path_factory):
    """One sound file, and its bytes."""
    path = tmp_path_factory.mktemp("sound") / f"x.{request.param}"
    WRITERS[request.param](path, VALUES[:300])
    return path, path.read_bytes()


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_give_vectors_or_a_clear_error(sound, data):
    path, content = sound
    spoilt = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        near_an_end = st.integers(0, 200) | st.integers(len(content) - 400, len(content) - 1)
        spoilt[data.draw(near_an_end)] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del spoilt[data.draw(st.integers(0, len(content))) :]
    broken = path.with_name("broken" + path.suffix)
    broken.write_bytes(spoilt)
    try:
        source = open_vectors(broken)
        said, rows = "", len(source.read(0, min(source.rows, 1000)))
    except DataError as error:
        said, rows = str(error), 0
    assert ("broken" in said) != bool(rows)


# ---------------------------------------------------------------- bad values


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_bad_value_is_named_by_file_row_and_column(tmp_path, kind, value):
    spoilt = VALUES.copy()
    spoilt[2345, 7] = value
    for i in range(4):
        WRITERS[kind](tmp_path / f"{i}.{kind}", spoilt[i * 1000 : (i + 1) * 1000])
    word = "NaN" if np.isnan(value) else "infinite"
    place = rf"2\.{kind}.*, row 345, column 7.*: {word}"
    with pytest.raises(DataError, match=place):
        list(streamed(tmp_path).epoch(0))
    with pytest.raises(DataError, match=place + r"[\s\S]*drop_bad=True"):
        checked(open_vectors(tmp_path))
    stream = streamed(tmp_path, drop_bad=True)
    kept = np.concatenate([*stream.epoch(0)])
    assert stream.dropped == 1
    assert len(kept) == 3999
    assert np.isfinite(kept).all()


def test_float64_beyond_float32_counts_as_infinite(tmp_path):
    values = VALUES.astype(np.float64)
    values[5, 3] = 1e200
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(DataError, match="row 5, column 3: infinite in float32"):
        checked(open_vectors(tmp_path / "x.npy"))
    with pytest.raises(DataError, match="row 5, column 3: infinite in float32"):
        list(VectorStream(open_vectors(values), 100, 0).epoch(0))


def test_a_value_that_turns_bad_in_memory_while_training_is_caught():
    values = VALUES.copy()
    stream = VectorStream(open_vectors(values), 100, 0)
    list(stream.epoch(0))
    values[1234, 5] = np.nan
    with pytest.raises(DataError, match="the array, row 1234, column 5: NaN"):
        list(stream.epoch(1))
