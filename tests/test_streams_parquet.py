"""Parquet: a column of vectors or columns of numbers, decoded row group by row group."""

import sys

import numpy as np
import pytest

from isthmus.data.streams import VectorStream, checked, open_vectors
from isthmus.data.streams import parquet as module
from isthmus.errors import ConfigError, DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

VALUES = np.arange(48, dtype=np.float32).reshape(12, 4)


def written(folder, columns, **more):
    pq.write_table(pa.table(columns), folder / "t.parquet", **({"row_group_size": 5} | more))
    return folder / "t.parquet"


@pytest.mark.parametrize("batch_bytes", [16, 1 << 22])
@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int32", "uint8"])
def test_vectors_of_any_type_with_gaps_as_nan(tmp_path, monkeypatch, kind, fixed, batch_bytes):
    monkeypatch.setattr(module, "_BATCH_BYTES", batch_bytes)
    rows = [list(row) for row in VALUES.astype(kind)]
    rows[3], rows[6] = None, [None, *rows[6][1:]]
    inner = getattr(pa, kind)()
    path = written(
        tmp_path, {"v": pa.array(rows, pa.list_(inner, 4) if fixed else pa.list_(inner))}
    )
    source = open_vectors(path)
    expected = VALUES.copy()
    expected[3], expected[6, 0] = np.nan, np.nan
    assert source.pieces.tolist() == [0, 5, 10]
    assert np.array_equal(source.read(0, 12), expected, equal_nan=True)
    assert np.array_equal(source.take(np.array([2, 6, 11])), expected[[2, 6, 11]], equal_nan=True)
    with pytest.raises(DataError, match=r"t.parquet, v, row 3, column 0: NaN"):
        checked(source)
    assert checked(source, drop_bad=True).bad_rows == 2


def test_columns_of_numbers_are_the_values_of_one_vector(tmp_path):
    columns = {
        "a": [1, 2, 3],
        "t": ["x", "y", "z"],
        "b": [0.5, None, 1.5],
        "c": [True, False, True],
    }
    source = open_vectors(written(tmp_path, columns))
    assert np.array_equal(
        source.read(0, 3), [[1, 0.5, 1], [2, np.nan, 0], [3, 1.5, 1]], equal_nan=True
    )
    assert "1 other column left out" in source.describe()
    assert source.where(1, 1).endswith("row 1, column 1 (b)")


def test_the_column_of_vectors_is_found_beside_others(tmp_path):
    columns = {"id": np.arange(12), "v": list(VALUES), "tokens": [["a"]] * 12}
    source = open_vectors(written(tmp_path, columns))
    assert np.array_equal(source.read(4, 9), VALUES[4:9])
    assert "2 other columns left out" in source.describe()


def test_one_of_several_columns_of_vectors_is_chosen(tmp_path):
    path = written(tmp_path, {"v": list(VALUES), "w": list(-VALUES)})
    with pytest.raises(DataError, match=r"not clear which column[\s\S]*key="):
        open_vectors(path)
    assert np.array_equal(open_vectors(path, key="w").read(0, 12), -VALUES)
    with pytest.raises(DataError, match=r"no column of vectors called 'x'[\s\S]*v \(list"):
        open_vectors(path, key="x")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"t": ["a", "b"]}, "no column holds vectors or numbers"),
        ({"v": [[1.0, 2.0], [3.0]]}, r"differ in length[\s\S]*v, row 1[\s\S]*1 values, the first"),
        ({"v": pa.array([None, None], pa.list_(pa.float32()))}, "there are no vectors"),
        ({"v": pa.array([], pa.list_(pa.float32()))}, "there are no vectors"),
        ({"v": pa.array([], pa.list_(pa.float32(), 3))}, "there are no vectors"),
        ({"v": [[], []]}, "no column|the vectors are empty"),
        ({"v": [[[1.0]], [[2.0]]]}, "no column holds vectors"),
    ],
)
def test_tables_that_hold_no_vectors(tmp_path, columns, message):
    path = written(tmp_path, columns)
    with pytest.raises(DataError, match=message):
        open_vectors(path).read(0, 2)


def test_two_columns_of_one_name(tmp_path):
    table = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="two columns have the same name"):
        open_vectors(tmp_path / "t.parquet")


def test_a_name_with_a_point_that_means_two_columns(tmp_path):
    path = written(tmp_path, {"a": [{"b": 1.0}, {"b": 2.0}], "a.b": [3.0, 4.0]})
    with pytest.raises(DataError, match="rename columns that have a point"):
        open_vectors(path).read(0, 2)


def test_a_row_group_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path, {"v": list(VALUES)})
    monkeypatch.setenv("ISTHMUS_LIMIT", "64")
    with pytest.raises(DataError, match="the largest row group would take"):
        open_vectors(path)


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    path = written(tmp_path, {"v": list(VALUES)})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'isthmus\[parquet\]'"):
        open_vectors(path)


def test_row_groups_are_blocks_and_each_is_decoded_once_an_epoch(tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    source = open_vectors(written(tmp_path, {"v": list(values)}, row_group_size=50))
    stream = VectorStream(source, 64, 0, block_rows=10, buffer_rows=400, held_out=30)
    decoded, take_from = [], type(source)._take_from

    def spy(self, file, group, rows, out):
        decoded.append(group)
        take_from(self, file, group, rows, out)

    monkeypatch.setattr(type(source), "_take_from", spy)
    seen = np.concatenate([*stream.epoch(0)])
    assert sorted(decoded) == [*range(40)]
    assert decoded != [*range(40)]
    numbers = np.concatenate([*stream.numbers(0)])
    assert np.array_equal(seen, values[numbers])
    both = np.concatenate([numbers, stream.held_out_numbers()])
    assert np.array_equal(np.sort(both), np.arange(2000))


def test_small_row_groups_are_joined_and_large_ones_need_a_larger_buffer(tmp_path):
    values = np.zeros((1000, 4), np.float32)
    small = open_vectors(written(tmp_path, {"v": list(values)}, row_group_size=3))
    stream = VectorStream(small, 10, 0, block_rows=30, buffer_rows=300)
    assert "34 blocks of up to 30 rows" in stream.describe()
    large = open_vectors(written(tmp_path, {"v": list(values)}, row_group_size=200))
    with pytest.raises(ConfigError, match=r"row groups here[\s\S]*choose at least 800"):
        VectorStream(large, 10, 0, buffer_rows=300)
    assert VectorStream(large, 10, 0, buffer_rows=800).batches == 100
