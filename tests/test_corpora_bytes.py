"""Bytes to texts: offsets, encodings, lines, limits, CSV as Python reads it."""

import csv
import gzip
import io
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.corpora import bytes_in, open_corpus
from isthmus.data.corpora.bytes_in import decoded, lines, opened
from isthmus.data.corpora.choices import Choices
from isthmus.data.corpora.fields import document_of, number_or_text, without_odd
from isthmus.data.corpora.records import records
from isthmus.errors import DataError

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"))
PRINTED = TEXTS.filter(lambda text: bool(text) and not text.isspace())


# ---------------------------------------------------------------- whole files


@given(PRINTED, st.sampled_from([b"", b"\xef\xbb\xbf"]), st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_bytes_at_the_offset_are_the_text(tmp_path_factory, text, mark, number):
    path = tmp_path_factory.mktemp("texts") / f"{number}.txt"
    path.write_bytes(mark + text.encode())
    (document,) = open_corpus(path)
    assert document.text == text  # \r\n and all
    assert document.offset == len(mark)
    assert path.read_bytes()[document.offset :].decode() == document.text
    # so that any piece of it can be found again
    start, end = sorted((len(text) // 3, 2 * len(text) // 3))
    at = document.offset + len(text[:start].encode())
    piece = text[start:end].encode()
    assert path.read_bytes()[at : at + len(piece)].decode() == text[start:end]


@given(PRINTED, st.sampled_from(["utf-16", "utf-32", "utf-16-le", "utf-16-be"]))
def test_wide_characters_with_a_mark_are_decoded_but_have_no_offset(text, encoding):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    assert decoded(mark + text.encode(encoding)) == (text, None)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a\0b", "binary"),
        (b"\x89PNG\r\n\x1a\n\0\0", "binary"),
        (b"caf\xe9 noir", "byte 3 can't be decoded; choose its encoding"),
        (b"\xff\xfea", "UTF-16-LE"),  # half a character
        (b"\xe2\x82", "byte 0"),  # cut in the middle of one
        ("a\0b".encode("utf-16"), "binary"),
    ],
)
def test_what_is_no_text_is_refused(data, said):
    with pytest.raises(DataError, match=said):
        decoded(data)


def test_an_encoding_of_choice_is_for_what_is_not_utf8():
    assert decoded(b"caf\xe9", "latin-1") == ("café", None)
    assert decoded("café".encode(), "latin-1") == ("café", 0)
    assert decoded("café".encode("utf-16-le"), "utf-16-le") == ("café", None)
    with pytest.raises(DataError, match="not ASCII text: byte 3"):
        decoded(b"caf\xe9", "ascii")


def test_a_pipe_is_no_file(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match="not a plain file"), opened(tmp_path / "pipe.txt", 1):
        pass


# ---------------------------------------------------------------- packed files


def test_a_packed_file_is_read_to_its_limit_and_no_further(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"x" * 5_000_000))
    with opened(path, 5_000_000) as handle:
        assert len(handle.read()) == 5_000_000
    with opened(path, 4_999_999) as handle, pytest.raises(DataError, match=r"more than 4.8 MiB"):
        handle.read()
    monkeypatch.setattr(bytes_in, "_RATIO_FREE", 1 << 20)
    with opened(path, 1 << 40) as handle, pytest.raises(DataError, match="300 times its size"):
        handle.read()


def test_a_bomb_spends_no_memory(tmp_path):
    path = tmp_path / "bomb.jsonl.gz"
    packer = zlib.compressobj(9, wbits=31)
    with path.open("wb") as out:
        for _ in range(100):
            out.write(packer.compress(bytes(1 << 20)))
        out.write(packer.flush())
    corpus = open_corpus(path, largest=1 << 16, unpacked=50 << 20)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"unpacks to more than 50.0 MiB"):
        list(corpus)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


# ---------------------------------------------------------------- lines


@given(st.binary(max_size=200), st.integers(1, 12))
def test_lines_are_those_of_the_file_unless_they_are_long(data, largest):
    data = data.removeprefix(b"\xef\xbb\xbf")
    found = (
        list(lines(io.BytesIO(data), largest)) if data[:2] not in (b"\xff\xfe", b"\xfe\xff") else []
    )
    expected = io.BytesIO(data).readlines() if found else []
    assert [row for row, _ in found] == list(range(1, len(expected) + 1))
    for (_, line), whole in zip(found, expected, strict=True):
        assert line == (whole if len(whole.rstrip(b"\r\n")) <= largest else None)


def test_a_line_of_100_mb_is_passed_over_without_holding_it(tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("wb") as out:
        out.write(b'{"text": "before"}\n')
        for _ in range(100):
            out.write(b"x" * (1 << 20))
        out.write(b'\n{"text": "after"}\n')
    corpus = open_corpus(path, largest=1 << 20)
    tracemalloc.start()
    assert [(d.text, d.row) for d in corpus] == [("before", 1), ("after", 3)]
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    (skipped,) = corpus.skipped
    assert (skipped.source, skipped.row) == ("long.jsonl", 2)
    assert "longer than 1.0 MiB" in skipped.why


def test_lines_in_utf16_come_as_utf8():
    data = '{"text": "é"}\r\n{"text": "二"}'.encode("utf-16")
    assert list(lines(io.BytesIO(data), 99)) == [
        (1, '{"text": "é"}\r\n'.encode()),
        (2, '{"text": "二"}'.encode()),
    ]


# ---------------------------------------------------------------- CSV

CELLS = st.text(st.sampled_from('ab é",;\n\r'), max_size=8)


def numbered(data):
    return lines(io.BytesIO(data), 1 << 20)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=5), st.sampled_from(",;\t"))
def test_written_tables_are_read_back(rows, delimiter):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    found = list(records(numbered(out.getvalue().encode()), delimiter, 1 << 20))
    assert [cells for _, cells in found] == rows


@given(st.text(st.sampled_from('ab",\n'), max_size=30))
@settings(max_examples=500)
def test_any_table_is_read_as_python_reads_it(text):
    expected = [cells for cells in csv.reader(io.StringIO(text, newline="")) if cells]
    found = [cells for _, cells in records(numbered(text.encode()), ",", 1 << 20)]
    if found and isinstance(found[-1], str):  # Python makes a record of a quote never closed
        found.pop()
        expected.pop()
    assert found == expected


def test_a_record_that_is_too_long_is_left_out_and_the_next_one_read():
    data = b'a,b\n"' + b"x\n" * 50 + b'",y\nc,d\n'
    found = list(records(numbered(data), ",", 20))
    assert [row for row, _ in found] == [1, 2, 53]
    assert found[0][1] == ["a", "b"]
    assert "longer than it may be" in found[1][1]
    assert found[2][1] == ["c", "d"]


def test_a_line_that_is_not_utf8_costs_its_record_only():
    found = list(records(numbered(b'"a\ncaf\xe9",b\nc,d\n'), ",", 99))
    assert [row for row, _ in found] == [1, 3]
    assert "not UTF-8" in found[0][1]
    assert list(records(numbered(b"caf\xe9,b\n"), ",", 99, "latin-1")) == [(1, ["café", "b"])]


# ---------------------------------------------------------------- rows


@given(
    st.dictionaries(
        st.sampled_from(["text", "Body", "_id", "id", "title", "n", "metadata"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_object_gives_a_document_that_can_be_stored_or_a_reason(record):
    found = document_of(record, "f.jsonl", 7, Choices())
    assert (found.source, found.row) == ("f.jsonl", 7)
    if hasattr(found, "why"):
        assert "there is no field of texts" in found.why
        return
    whole = [found.id, found.text, found.title, *map(str, found.metadata.items())]
    assert found.id
    "".join(whole).encode()  # no half of a pair
    assert "\0" not in found.text + found.title + found.id
    for value in found.metadata.values():
        assert isinstance(value, str | bool | int) or value - value == 0  # finite


def test_odd_characters_are_replaced():
    assert without_odd("a\0b\ud83d") == "a\ufffdb\ufffd"
    assert without_odd("😀") == "😀"


@given(st.integers(-(10**17), 10**17))
def test_whole_numbers_in_tables_are_numbers(number):
    assert number_or_text(str(number)) == number


@pytest.mark.parametrize("cell", ["", "007", "1,5", "nan", "inf", "1e9", "9" * 30, "+1", " 1", "٣"])
def test_what_only_looks_like_a_number_stays_text(cell):
    assert number_or_text(cell) == cell
