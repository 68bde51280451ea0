"""CSV and Parquet."""

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.data import load
from isthmus.errors import DataError

RNG = np.random.default_rng(0)
WHOLE = {"validation": 0, "test": 0}


def csv(tmp_path, text, name="t.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table_with_a_header(tmp_path, delimiter, newline):
    lines = ["a,b,c", "1,2.5,-3e2", "4, 5 ,6", "7,8,9"]
    data = load(csv(tmp_path, newline.join(lines).replace(",", delimiter)), **WHOLE)
    assert (data.kind, data.shape, data.range) == ("table", (3,), None)
    assert data.feature_names == ("a", "b", "c")
    assert data["train"].all().tolist() == [[1, 2.5, -300], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    ("first", "is_header"),
    [
        ("a,b,c", True),
        ("1,2,3", True),  # counts its columns
        ("0,1,2", True),
        ("1,2,4", False),
        ("0.5,1,2", False),
        ("x,1,2", True),  # a text over numbers
        (",b,c", True),
        (",2,3", False),  # a missing cell is no name
        ("nan,2,3", False),
    ],
)
def test_a_header_is_detected_and_can_be_decided(tmp_path, first, is_header):
    path = csv(tmp_path, f"{first}\n4,5,6\n7,8,9\n10,11,12\n")
    data = load(path, drop_bad_rows=True, **WHOLE)
    words = "column names" if is_header else "data"
    assert f"The first line was taken as {words}." in data.notes
    first_row = data["train"].all()[0].tolist()
    missing = first.startswith((",", "nan"))
    assert first_row == (
        [4, 5, 6] if is_header or missing else [float(c) for c in first.split(",")]
    )
    forced = load(path, header=True, **WHOLE)
    assert len(forced["train"]) == 3


def test_a_label_column_of_texts(tmp_path):
    text = "w,h,species\n" + "".join(f"{i},{i * 2},{'ab'[i % 2]}\n" for i in range(6))
    for choice in ("species", 2, -1, "2"):
        data = load(csv(tmp_path, text), label_column=choice, **WHOLE)
        assert data.feature_names == ("w", "h")
        assert data.label_names == ("a", "b")
        assert data["train"].label_array().tolist() == [0, 1] * 3
        assert data["train"].all()[:, 1].tolist() == [0, 2, 4, 6, 8, 10]


def test_a_label_column_of_numbers_without_header(tmp_path):
    data = load(csv(tmp_path, "7,0.5,1\n3,0.25,2\n7,0.125,4\n"), label_column=0, **WHOLE)
    assert data["train"].label_array().tolist() == [7, 3, 7]
    assert data.label_names is None
    assert data.feature_names == ("column 2", "column 3")


def test_texts_in_the_last_column_do_not_make_a_header(tmp_path):
    data = load(
        csv(tmp_path, "5.1,3.5,setosa\n4.9,3.0,setosa\n6,2,other\n"), label_column=2, **WHOLE
    )
    assert len(data["train"]) == 3


def test_the_row_numbers_that_pandas_writes_are_left_out(tmp_path):
    data = load(csv(tmp_path, ",a,b\n0,1,2\n1,3,4\n2,5,6\n"), **WHOLE)
    assert data.feature_names == ("a", "b")
    assert any("counting rows from 0, was left out" in note for note in data.notes)
    kept = load(csv(tmp_path, ",a,b\n5,1,2\n1,3,4\n2,5,6\n"), **WHOLE)
    assert kept.feature_names == ("column 1", "a", "b")


def test_a_text_cell_is_named_by_row_and_column(tmp_path):
    with pytest.raises(DataError) as caught:
        load(csv(tmp_path, "a,b\n1,2\n\n3,four\n5,6\n"))
    message = str(caught.value)
    assert "the cell 'four' is not a number" in message
    assert "t.csv, row 4, column 2 (b)" in message
    assert "label_column='b'" in message


@pytest.mark.parametrize("cell", ["", "NaN", "na", "null", "inf"])
def test_a_missing_cell_is_named_by_the_line_of_the_file(tmp_path, cell):
    path = csv(tmp_path, f"a,b\n1,2\n\n3,{cell}\n5,6\n7,8\n")
    with pytest.raises(DataError, match=r"t\.csv, row 4, column 1 \(b\) is the first"):
        load(path)
    data = load(path, drop_bad_rows=True, **WHOLE)
    assert data["train"].all().tolist() == [[1, 2], [5, 6], [7, 8]]


def test_a_missing_label_is_named(tmp_path):
    with pytest.raises(DataError, match=r"label is missing[\s\S]*row 3"):
        load(csv(tmp_path, "a,y\n1,u\n2,\n3,v\n"), label_column="y")


@pytest.mark.parametrize(
    ("text", "choice", "message"),
    [
        ("", {}, "table is empty"),
        ("a,b\n", {}, "table is empty"),
        ("a,b\n1,2\n", {}, "fewer than 2 samples"),
        ("a,b\n1,2\n3\n", {}, r"a row has 1 cells where 2 were expected[\s\S]*row 3"),
        ('a,b\n1,2\n"3,4\n', {}, "CSV file is damaged"),
        ('a,b\n1,"2"x\n3,4\n', {}, "CSV file is damaged"),
        ("a,b\n1,2\n3,4\x00\n", {}, "damaged|not a number"),
        ("a,b\n1,2\n3,4\n", {"label_column": "c"}, r"no column 'c'[\s\S]*columns are a, b"),
        ("a,b\n1,2\n3,4\n", {"label_column": 2}, "no column 2"),
        ("1,5\n2,4\n3,9\n", {"label_column": "y"}, "2 columns, unnamed"),
        ("a,a\n1,2\n3,4\n", {"label_column": "a"}, "two columns are called 'a'"),
        ("a\n1\n2\n", {"label_column": "a"}, "no column but the label column"),
        ("a,y\n1,0.5\n2,0.25\n", {"label_column": "y"}, "labels must be whole numbers"),
    ],
)
def test_broken_tables(tmp_path, text, choice, message):
    with pytest.raises(DataError, match=message):
        load(csv(tmp_path, text), **choice)


def test_a_byte_order_mark_is_no_part_of_a_name_and_other_encodings_are_refused(tmp_path):
    text = "é,b\n1,2\n3,4\n"
    assert load(csv(tmp_path, text, encoding="utf-8-sig"), **WHOLE).feature_names == ("é", "b")
    for encoding in ("latin-1", "utf-16"):
        with pytest.raises(DataError, match="not UTF-8"):
            load(csv(tmp_path, text, encoding=encoding))


def test_the_limit_stops_the_reading(tmp_path):
    path = csv(tmp_path, "1,2\n" * 10_000)
    with pytest.raises(DataError, match=r"the limit is 1000 bytes[\s\S]*row 4096"):
        load(path, limit=1000)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.lists(
            st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=3, max_size=3
        ),
        min_size=2,
        max_size=20,
    )
)
def test_what_was_written_is_what_is_read(tmp_path, rows):
    text = "a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in rows)
    read = load(csv(tmp_path, text), **WHOLE)["train"].all().numpy()
    assert np.array_equal(read, np.array(rows, np.float32))


pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def parquet(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_parquet_columns_of_any_number_type(tmp_path):
    path = parquet(
        tmp_path, i=np.arange(5), f=np.arange(5) / 4, b=np.arange(5) % 2 == 0, name=list("xyxyx")
    )
    data = load(path, label_column="name", **WHOLE)
    assert (data.kind, data.feature_names) == ("table", ("i", "f", "b"))
    assert data["train"].all().tolist()[3] == [3, 0.75, 0]
    assert data.label_names == ("x", "y")


@pytest.mark.parametrize("fixed", [True, False])
def test_parquet_vectors_over_several_batches(tmp_path, fixed, monkeypatch):
    monkeypatch.setattr("isthmus.data.read_parquet._BATCH", 7)
    values = RNG.normal(size=(40, 3)).astype("f4")
    kind = pa.list_(pa.float32(), 3) if fixed else pa.list_(pa.float32())
    path = parquet(tmp_path, v=pa.array(values.tolist(), kind), y=np.arange(40))
    data = load(path, label_column="y", **WHOLE)
    assert (data.kind, data.shape) == ("vector", (3,))
    assert np.array_equal(data["train"].all().numpy(), values)
    assert data["train"].label_array().tolist() == list(range(40))


def test_missing_parquet_cells_are_named(tmp_path):
    path = parquet(tmp_path, a=pa.array([1.0, None, 3.0]), b=pa.array([1, 2, 3]))
    with pytest.raises(DataError, match=r"row 1, column 0 \(a\) is the first: NaN"):
        load(path)


@pytest.mark.parametrize(
    ("columns", "choice", "message"),
    [
        ({"a": [1, 2], "t": ["x", "y"]}, {}, r"'t' does not hold numbers[\s\S]*type is string"),
        ({"v": [[1.0], [2.0]], "a": [1, 2]}, {}, "stands beside other columns"),
        ({"v": [[1.0], [2.0, 3.0]]}, {}, "vectors differ in length"),
        ({"v": [[1.0, 2.0], None]}, {}, "vectors differ in length"),
        ({"v": [[], []]}, {}, "does not hold numbers|first vector is empty"),
        ({"v": [["a"], ["b"]]}, {}, "does not hold numbers"),
        ({"a": [1]}, {}, "fewer than 2 samples"),
        ({"a": [1, 2]}, {"label_column": "y"}, "no column 'y'"),
        ({"a": [1, 2], "y": ["u", None]}, {"label_column": "y"}, r"label is missing[\s\S]*row 1"),
        ({"a": [1, 2], "b": [1, 2]}, {"limit": 15}, "would take 16 bytes"),
    ],
)
def test_broken_parquet_tables(tmp_path, columns, choice, message):
    with pytest.raises(DataError, match=message):
        load(parquet(tmp_path, **columns), **choice)


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_truncated_parquet(tmp_path, keep):
    path = parquet(tmp_path, a=np.arange(100.0))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="Parquet file is damaged"):
        load(path)


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path, monkeypatch):
    path = parquet(tmp_path, a=[1, 2])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'isthmus\[parquet\]'"):
        load(path)
