"""Judged queries: BEIR's and TREC's lines, and every way in which they can be wrong."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.corpora import read_judgements, splits
from isthmus.errors import ConfigError, DataError, MissingDataError

BEIR = "query-id\tcorpus-id\tscore\nq1\td 1\t1\nq1\td2\t0\nq2\td1\t2\n"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "toy"
    (root / "qrels").mkdir(parents=True)
    queries = [
        {"_id": "q2", "text": "two"},
        {"_id": "q1", "text": "one"},
        {"_id": "q3", "text": "-"},
    ]
    (root / "queries.jsonl").write_text("".join(json.dumps(q) + "\n" for q in queries))
    (root / "qrels/test.tsv").write_text(BEIR)
    return root


def test_judgements_are_those_of_the_split(folder):
    (folder / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\nq3\td9\t1\n")
    (folder / "qrels/notes.md").write_text("not judgements")
    found = read_judgements(folder)
    assert (found.name, found.split, found.pairs) == ("toy", "test", 3)
    assert found.queries == {"q2": "two", "q1": "one"}
    assert found.relevance == {"q1": {"d 1": 1, "d2": 0}, "q2": {"d1": 2}}
    assert list(found.queries) == list(found.relevance) == ["q2", "q1"]  # as in queries.jsonl
    assert splits(folder) == ("test", "train")
    assert read_judgements(folder, "train").relevance == {"q3": {"d9": 1}}


@pytest.mark.parametrize(
    "content",
    [
        BEIR,
        BEIR.partition("\n")[2],  # no line of names
        "\ufeff" + BEIR.replace("\n", "\r\n") + "\r\n",
        "corpus-id\tscore\tquery-id\nd 1\t1\tq1\nd2\t0\tq1\nd1\t2\tq2\n",  # other order
        "q1\t0\td 1\t1\nq1\tQ0\td2\t0\nq2\t0\td1\t2\n",  # TREC
        BEIR + "q1\td2\t0\n",  # twice, but the same
        BEIR.replace("\t2", "\t2.0"),
    ],
)
def test_other_ways_to_write_the_same(folder, content):
    (folder / "qrels/test.tsv").write_bytes(content.encode())
    assert read_judgements(folder).relevance == {"q1": {"d 1": 1, "d2": 0}, "q2": {"d1": 2}}


def test_trec_with_blanks_and_negative_grades(folder):
    (folder / "qrels/test.tsv").unlink()
    (folder / "qrels/test.qrels").write_text("q1 0 d1 -1\nq1  0  d2   3\n")
    assert read_judgements(folder).relevance == {"q1": {"d1": -1, "d2": 3}}


def test_packed_queries_with_numbers_as_ids(folder):
    (folder / "queries.jsonl").unlink()
    (folder / "queries.jsonl.gz").write_bytes(gzip.compress(b'{"id": 5, "text": "five"}\n'))
    (folder / "qrels/test.tsv").write_text("5\t7\t1\n")
    assert read_judgements(folder).queries == {"5": "five"}
    (folder / "queries.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="the queries can't be read"):
        read_judgements(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("q1\td1\t1\nq9\td1\t1\n", "the query 'q9' is not in the file of queries[^$]*line 2"),
        ("q1\td1\t1\nq1\td1\t2\n", "judged 1 and 2[^$]*test.tsv, line 2, and line 1"),
        ("q1\td1\t1\nq1\td1\n", "2 columns only[^$]*line 2"),
        ("q1\td1\n", "3 or 4 columns, not 2[^$]*line 1"),
        ("a\tb\tc\nq1\td1\tmuch\n", "the grade 'much' is not a whole number[^$]*line 2"),
        ("q1\td1\t1\nq1\td1\t0.5\n", "the grade '0.5'[^$]*line 2"),
        ("q1\td1\t1\nq1\td1\tinf\n", "the grade 'inf'[^$]*line 2"),
        ("q1\td1\t1\nq1\t\t1\n", "without a query or a document[^$]*line 2"),
        ("query-id\tcorpus-id\tscore\n", "no judgements in the file"),
        ("", "no judgements in the file"),
    ],
)
def test_bad_judgements_are_named_with_file_and_line(folder, content, said):
    (folder / "qrels/test.tsv").write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        read_judgements(folder)
    assert "test.tsv" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"_id": "q4"}', "the query 'q4' has no text"),
        (b'{"_id": "q4", "text": " "}', "the query 'q4' has no text"),
        (b'{"text": "x"}', "the query has no _id"),
        (b'{"_id": true, "text": "x"}', "the query has no _id"),
        (b'{"_id": "q1", "text": "x"}', "the query 'q1' is there twice[^$]*line 4, and line 2"),
        (b"{cut", "the query can't be read: not JSON"),
        (b'"\xe9"', "not UTF-8"),
        (b"x" * (2 << 20), "longer than 1.0 MiB"),
    ],
)
def test_bad_queries_are_named_with_file_and_line(folder, line, said):
    with (folder / "queries.jsonl").open("ab") as out:
        out.write(line + b"\n")
    with pytest.raises(DataError, match=said) as caught:
        read_judgements(folder)
    assert "queries.jsonl, line 4" in str(caught.value)


def test_binary_and_endless_judgements(folder):
    (folder / "qrels/test.tsv").write_bytes(b"\xe9\t1\t1\n")
    with pytest.raises(DataError, match=r"not UTF-8[^$]*line 1"):
        read_judgements(folder)
    (folder / "qrels/test.tsv").write_bytes(b"x" * (3 << 20))
    with pytest.raises(DataError, match=r"longer than a judgement can be[^$]*line 1"):
        read_judgements(folder)


def test_what_is_missing_is_told(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"no judgements called 'dev'[^$]*choose one of: test"):
        read_judgements(folder, "dev")
    (folder / "queries.jsonl").unlink()
    with pytest.raises(MissingDataError, match="the file of queries is missing"):
        read_judgements(folder)
    (folder / "qrels/test.tsv").unlink()
    with pytest.raises(MissingDataError, match=r"no file ends in .tsv"):
        splits(folder)
    with pytest.raises(MissingDataError, match=r"no judgements[^$]*no such file"):
        splits(tmp_path)
    with pytest.raises(MissingDataError, match="no such folder"):
        read_judgements(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="docstrings is made of the installed packages"):
        read_judgements("docstrings")


NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=4)


@given(
    st.dictionaries(
        NAMES, st.dictionaries(NAMES, st.integers(-2, 9), min_size=1, max_size=4), min_size=1
    ),
    st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, relevance, trec):
    root = tmp_path_factory.mktemp("toy")
    (root / "qrels").mkdir()
    rows = [(q, d, g) for q, judged in relevance.items() for d, g in judged.items()]
    told = [f"{q}\t0\t{d}\t{g}" if trec else f"{q}\t{d}\t{g}" for q, d, g in rows]
    (root / "qrels/test.tsv").write_text("\n".join(told))
    lines = [json.dumps({"_id": q, "text": f"about {q}"}) for q in relevance]
    (root / "queries.jsonl").write_text("\n".join(lines))
    assert read_judgements(root).relevance == relevance


@pytest.mark.needs_data
def test_the_real_collections(data_home):
    for name, queries, pairs in (
        ("scifact", 300, 339),
        ("cranfield", 225, 1612),
        ("xquad-en", 1190, 1190),
    ):
        if not (data_home / name).is_dir():
            pytest.skip(f"needs {name}")
        found = read_judgements(name)
        assert (found.name, len(found.queries), found.pairs) == (name, queries, pairs)
        assert read_judgements(data_home / name).relevance == found.relevance
    assert splits("scifact") == ("test", "train")
    assert len(read_judgements("scifact", "train").queries) == 809
