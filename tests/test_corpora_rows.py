"""JSON lines, CSV, Parquet and BEIR folders: fields, ids, metadata, and rows that are bad."""

import datetime
import decimal
import gzip
import json

import numpy as np
import pytest

from isthmus.data.corpora import describe_corpus, open_corpus
from isthmus.errors import ConfigError, DataError


def json_lines(path, *records):
    lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_fields_are_found_by_their_usual_names(tmp_path):
    path = json_lines(
        tmp_path / "a.jsonl",
        {"_id": 7, "title": "T", "text": "one", "year": 1999, "score": 0.5, "ok": True},
        {
            "ID": "x",
            "Headline": "H",
            "Body": "two",
            "none": None,
            "tags": ["a"],
            "nan": float("nan"),
        },
        {
            "abstract": ["First.", "Second."],
            "metadata": {"authors": "B", "deep": {}},
            "long": "y" * 1001,
        },
        {"doc_id": "t", "title": "Only a title", "text": ""},
        {"id": "", "content": "four", "huge": 10**30},
    )
    found = list(open_corpus(path))
    assert [d.id for d in found] == ["7", "x", "a.jsonl#3", "t", "a.jsonl#5"]
    assert [d.title for d in found] == ["T", "H", "", "", ""]
    assert [d.text for d in found] == ["one", "two", "First. Second.", "Only a title", "four"]
    assert [dict(d.metadata) for d in found] == [
        {"year": 1999, "score": 0.5, "ok": True},
        {},
        {"authors": "B"},
        {},
        {"huge": str(10**30)},
    ]
    assert all(d.source == "a.jsonl" and d.offset is None for d in found)
    assert [d.row for d in found] == [1, 2, 3, 4, 5]
    assert (open_corpus(path).name, open_corpus(path).root) == ("a", str(tmp_path))


def test_fields_can_be_chosen(tmp_path):
    path = json_lines(
        tmp_path / "a.jsonl",
        {"text": "no", "name": "one", "words": "yes", "by": "B", "n": 1, "title": "no"},
        {"text": "no", "name": "two", "n": 2},
        {"words": "nameless"},
    )
    corpus = open_corpus(path, text="words", id="name", title="by", metadata=["n", "absent"])
    (document,) = corpus
    assert (document.id, document.title, document.text) == ("one", "B", "yes")
    assert document.metadata == {"n": 1}
    assert [(s.row, s.why) for s in corpus.skipped] == [
        (2, "there is no field 'words'; the fields are 'text', 'name', 'n'"),
        (3, "there is no id in the field 'name'"),
    ]


def test_bad_rows_are_named_with_their_lines(tmp_path):
    path = json_lines(
        tmp_path / "a.ndjson",
        {"id": "a", "text": "one"},
        '{"id": "b", "text": "cut',
        "",
        "[1, 2]",
        {"id": "c", "words": "no text"},
        {"id": "a", "text": "the id again"},
        {"id": "d", "text": " "},
        "[" * 100_000,
        '{"n": ' + "9" * 5000 + "}",
        {"id": "e", "text": "last"},
    )
    with path.open("ab") as out:
        out.write(b'{"id": "f", "text": "caf\xe9"}\n')
    corpus = open_corpus(path)
    assert [d.id for d in corpus] == ["a", "e"]
    told = {s.row: s.why for s in corpus.skipped}
    assert sorted(told) == [2, 4, 5, 6, 7, 8, 9, 11]
    assert told[2].startswith("not JSON: Unterminated string")
    assert told[4] == "not a JSON object but a list"
    assert told[5].startswith("there is no field of texts; the fields are 'id', 'words'; choose")
    assert told[6] == "the id 'a' was taken already by a.ndjson, row 1"
    assert told[7] == "empty text"
    assert told[8].startswith("not JSON: ")
    assert told[9].startswith("not JSON: ")
    assert told[11].startswith("not UTF-8 text: byte 24")
    assert [d.text for d in open_corpus(path, encoding="latin-1")] == ["one", "last", "café"]


def test_packed_rows_and_a_packed_file_that_ends_early(tmp_path):
    lines = b"".join(b'{"text": "row %d of many"}\n' % i for i in range(5000))
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(lines))
    assert sum(1 for _ in open_corpus(path)) == 5000
    assert open_corpus(path).name == "rows"
    path.write_bytes(gzip.compress(lines)[:-2000])
    corpus = open_corpus(path)
    read = sum(1 for _ in corpus)
    assert 100 < read < 5000
    (skipped,) = corpus.skipped
    assert skipped.why.startswith("damaged: Compressed file ended")
    assert skipped.row == read + 1
    path.write_bytes(b"not gzip at all")
    with pytest.raises(DataError, match=r"rows.jsonl.gz: not a gzipped file"):
        list(open_corpus(path))


# ---------------------------------------------------------------- CSV


def test_a_table_becomes_documents(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(
        b"\xef\xbb\xbfID;Title;Text;year;code;share\r\n"
        b'a;One;"two\r\nlines; ""quoted""";1999;007;0.25\r\n'
        b"b;Two;plain;x;;\r\n"
        b"c;too;few\r\n"
        b"\r\n"
        b"d;;;;;\r\n"
    )
    corpus = open_corpus(path)
    one, two = corpus
    assert (one.id, one.title, one.text) == ("a", "One", 'two\r\nlines; "quoted"')
    assert one.metadata == {"year": 1999, "code": "007", "share": 0.25}
    assert (one.row, two.row) == (2, 4)
    assert two.metadata == {"year": "x"}
    assert [(s.row, s.why) for s in corpus.skipped] == [
        (5, "3 cells where 6 were expected"),
        (7, "empty text"),
    ]


def test_a_cell_may_be_longer_than_pythons_reader_allows(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("n\ttext\n1\t" + "word " * 60_000 + "\n2\tshort\n")
    assert [len(d.text) for d in open_corpus(path)] == [300_000, 5]
    corpus = open_corpus(path, largest=100_000)
    assert [d.text for d in corpus] == ["short"]
    assert corpus.skipped[0].row == 2


@pytest.mark.parametrize(
    ("content", "choice", "said"),
    [
        ("", {}, "the file is empty"),
        ("a,b\n1,2\n", {}, "no column is called like a text; the columns are 'a', 'b'"),
        ("text,n\nx,1\n", {"text": "words"}, "no column 'words'; the columns are 'text', 'n'"),
        ("text,n\nx,1\n", {"metadata": ["m"]}, "no column 'm'"),
        ("text,text\nx,1\n", {}, "two columns are called 'text'"),
        ('text,n\n"open,1\n', {}, "row 2: a quote is opened here and never closed"),
        ("text,n\n", {}, "looked for rows with a text"),
    ],
)
def test_tables_that_hold_no_texts_are_explained(tmp_path, content, choice, said):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        list(open_corpus(tmp_path / "t.csv", **choice))
    assert said in str(caught.value)


# ---------------------------------------------------------------- Parquet


def parquet(path, columns, **options):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(arrow.table(columns), path, **options)
    return path


def test_a_parquet_table_is_read_in_batches(tmp_path):
    n = 10_000
    path = parquet(
        tmp_path / "t.parquet",
        {
            "id": list(range(n)),
            "text": [f"text {i}" for i in range(n)],
            "when": [datetime.date(2020, 1, 2)] * n,
            "price": [decimal.Decimal("1.5")] * n,
            "kind": ["x", None] * (n // 2),
            "vector": [[1.0, 2.0]] * n,
        },
        row_group_size=3000,
    )
    found = list(open_corpus(path))
    assert [d.id for d in found] == [str(i) for i in range(n)]
    assert [d.row for d in found] == list(range(1, n + 1))
    assert found[1].metadata == {"when": "2020-01-02", "price": 1.5}
    assert found[2].metadata == {"when": "2020-01-02", "price": 1.5, "kind": "x"}


def test_texts_of_other_parquet_types(tmp_path):
    import pyarrow as pa

    path = parquet(
        tmp_path / "t.parquet",
        {
            "text": pa.array([b"ok", b"caf\xe9", "é".encode(), None], pa.binary()),
            "label": pa.array(["a", "b", "a", "b"]).dictionary_encode(),
            "n": np.arange(4, dtype=np.uint8),
        },
    )
    corpus = open_corpus(path)
    assert [(d.text, dict(d.metadata)) for d in corpus] == [
        ("ok", {"label": "a", "n": 0}),
        ("é", {"label": "a", "n": 2}),
    ]
    assert [s.row for s in corpus.skipped] == [2, 4]
    broken = pa.StringArray.from_buffers(2, *pa.array([b"ok", b"\xe9\xe9"]).buffers()[1:])
    path = parquet(tmp_path / "u.parquet", {"text": broken})
    assert [d.text for d in open_corpus(path)] == ["ok"]


def test_broken_and_large_parquet(tmp_path):
    path = parquet(tmp_path / "t.parquet", {"text": ["short", "x" * 5000, "end"]})
    corpus = open_corpus(path, largest=100)
    assert [d.text for d in corpus] == ["short", "end"]
    assert corpus.skipped[0].why.startswith("a cell: 4.9 KiB is more than 100 bytes")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"t.parquet: damaged Parquet"):
        list(open_corpus(path))
    with pytest.raises(DataError, match="no column is called like a text"):
        list(open_corpus(parquet(tmp_path / "n.parquet", {"a": [1], "b": [2]})))
    bomb = parquet(
        tmp_path / "b.parquet", {"text": ["x" * (1 << 20)] * 300}, use_dictionary=False,
        compression="zstd",
    )  # fmt: skip
    with pytest.raises(DataError, match="more than 300 times its size"):
        list(open_corpus(bomb))


def test_parquet_without_pyarrow_says_how_to_install_it(tmp_path, monkeypatch):
    path = parquet(tmp_path / "t.parquet", {"text": ["x"]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"isthmus\[parquet\]"):
        list(open_corpus(path))


# ---------------------------------------------------------------- BEIR


def test_a_beir_folder_is_its_corpus(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "README.md").write_text("not a document")
    json_lines(folder / "queries.jsonl", {"_id": "q", "text": "not a document"})
    json_lines(
        folder / "corpus.jsonl",
        {"_id": "1", "title": "A", "text": "one", "metadata": {"by": "x"}},
        {"_id": "2", "title": "", "text": ""},
    )
    corpus = open_corpus(folder)
    (document,) = corpus
    assert (document.id, document.source, document.row) == ("1", "corpus.jsonl", 1)
    assert document.metadata == {"by": "x"}
    assert [(s.row, s.why) for s in corpus.skipped] == [(2, "empty text")]
    assert (corpus.name, corpus.root) == ("toy", str(folder))


# ---------------------------------------------------------------- description


def test_a_description_by_hand(tmp_path):
    path = json_lines(
        tmp_path / "a.jsonl",
        {"id": "a", "title": "T", "text": "x" * 300, "kind": "p", "n": 1},
        {"id": "b", "text": "yy", "kind": "p", "n": "two"},
        {"id": "c", "text": "zzzz", "kind": "q", "flag": True},
        {"id": "d", "text": ""},
    )
    told = describe_corpus(open_corpus(path))
    assert (told.documents, told.characters, told.median_characters) == (3, 306, 4.0)
    assert (told.longest, told.titled, told.skipped) == (("a", 300), 1, 1)
    assert told.skipped_first == ({"source": "a.jsonl", "row": 4, "why": "empty text"},)
    assert list(told.metadata) == ["flag", "kind", "n"]
    assert told.metadata["kind"].documents == 3
    assert told.metadata["n"].kinds == ("number", "text")
    assert told.metadata["flag"].kinds == ("truth",)
    assert told.first["text"] == "x" * 200 + "..."
    assert json.loads(json.dumps(told.to_dict()))["kind"] == "corpus"
    text = told.text()
    assert text.startswith("a: 3 documents, 306 characters\n")
    assert "  a.jsonl, row 4: empty text\n" in text
    assert "first    a: T\n" in text


def test_common_values_are_told_where_they_say_something():
    rows = [{"text": "x", "kind": "pq"[i % 2], "own": f"v{i}"} for i in range(8)]
    told = describe_corpus(open_corpus(rows))
    assert told.metadata["kind"].common == {"p": 4, "q": 4}
    assert told.metadata["own"].common == {}
