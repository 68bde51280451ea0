"""Folders of texts: which files, in which order, what is skipped, titles."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.data.corpora import Corpus, describe_corpus, folders, kinds, open_corpus
from isthmus.data.corpora.documents import Document, Skipped
from isthmus.data.corpora.gathered import MOST_NAMED, Gathered
from isthmus.data.corpora.text_files import heading
from isthmus.errors import ConfigError, DataError, MissingDataError

FILES = {
    "b.md": "# Second\n\nText.",
    "a.txt": "first",
    "a/z.TXT": "in a folder",
    "a/c/deep.rst": "Deep\n====\n\nwords",
    ".hidden.txt": "no",
    ".git/config.txt": "no",
    "picture.png": "no",
    "empty.txt": " \n",
}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "notes"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
    return root


def listing(folder):
    return {p: p.lstat().st_mtime_ns for p in [folder, *folder.rglob("*")]}


def test_a_folder_is_read_in_the_order_of_names_and_left_as_it_was(folder):
    before = listing(folder)
    corpus = open_corpus(folder)
    documents = list(corpus)
    assert [d.id for d in documents] == ["a/c/deep.rst", "a/z.TXT", "a.txt", "b.md"]
    assert [d.title for d in documents] == ["Deep", "z", "a", "Second"]
    assert [d.metadata["folder"] for d in documents] == ["a/c", "a", "", ""]
    assert [d.metadata["ending"] for d in documents] == [".rst", ".txt", ".txt", ".md"]
    assert all(d.source == d.id and d.offset == 0 and d.row is None for d in documents)
    assert corpus.skipped == (Skipped("empty.txt", "empty text"),)
    assert (corpus.name, corpus.root) == ("notes", str(folder))
    assert list(corpus) == documents  # again, and the same
    assert listing(folder) == before
    assert isinstance(corpus, Corpus)


def test_skipped_is_told_only_after_a_complete_pass(folder):
    corpus = open_corpus(folder)
    next(iter(corpus))
    assert corpus.skipped == ()
    assert len(list(open_corpus(folder, limit=2))) == 2


def test_patterns_choose_files_and_each_is_read_by_its_ending(folder):
    (folder / "rows.jsonl").write_text('{"body": "one"}\n{"body": "two", "n": 3}\n')
    (folder / "a/t.csv").write_text("id,text\nx,three\n")
    found = list(open_corpus(folder, patterns=["*.jsonl", "a/*.csv", "*.MD"]))
    assert [d.id for d in found] == ["x", "b.md", "rows.jsonl#1", "rows.jsonl#2"]
    assert found[0].source == "a/t.csv"
    assert (found[3].row, found[3].offset, found[3].metadata) == (2, None, {"n": 3})
    assert [d.text for d in open_corpus(folder, patterns=["*.jsonl"], text="body")] == [
        "one",
        "two",
    ]


def test_links_are_not_followed_outside_and_nothing_is_read_twice(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(outside / "secret.txt")
    (folder / "linked").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "broken.md").symlink_to("nowhere")
    (folder / "circle.txt").symlink_to("circle.txt")
    (folder / "again.txt").symlink_to("a.txt")
    (folder / ".store").mkdir()
    (folder / ".store/k1").write_text("stored elsewhere")
    (folder / "kept.txt").symlink_to(".store/k1")
    corpus = open_corpus(folder)
    assert [d.id for d in corpus] == ["a/c/deep.rst", "a/z.TXT", "a.txt", "b.md", "kept.txt"]
    told = {s.source: s.why for s in corpus.skipped}
    assert told.pop("empty.txt")
    assert told == {
        "link.txt": "a link to a file outside, which is not followed",
        "linked": "a link to a folder outside, which is not followed",
        "broken.md": "a link that leads nowhere",
        "circle.txt": "a link that leads nowhere",
    }


def test_a_root_that_is_a_link_is_the_users_choice(folder, tmp_path):
    (tmp_path / "here").symlink_to(folder)
    assert len(list(open_corpus(tmp_path / "here"))) == 4


def test_unreadable_files_are_named_and_the_rest_is_read(folder):
    (folder / "binary.txt").write_bytes(b"GIF89a\0\0")
    (folder / "latin.txt").write_bytes("café au lait".encode("latin-1"))
    (folder / "wide.txt").write_bytes("größer".encode("utf-16"))
    os.mkfifo(folder / "pipe.txt")
    with (folder / "large.txt").open("wb") as out:
        out.truncate(100 << 20)
    corpus = open_corpus(folder)
    assert [d.text for d in corpus if d.id == "wide.txt"] == ["größer"]
    told = {s.source: s.why for s in corpus.skipped}
    assert told["binary.txt"] == "binary, not text"
    assert told["latin.txt"] == "not UTF-8 text: byte 3 can't be decoded; choose its encoding=..."
    assert told["pipe.txt"] == "not a plain file"
    assert told["large.txt"] == "100.0 MiB is more than 32.0 MiB (raise it with largest=...)"
    assert len(told) == 5
    again = open_corpus(folder, encoding="latin-1", largest=6)
    assert "a/z.TXT" not in [d.id for d in again]  # 11 bytes
    assert {d.text for d in open_corpus(folder, encoding="cp1252")} >= {"café au lait", "größer"}


def test_what_may_not_be_read_is_named(folder, monkeypatch):
    real_open, real_scan = os.open, os.scandir

    def refusing(function):
        def call(path, *rest):
            if str(path).endswith(("a.txt", "/c")):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *rest)

        return call

    monkeypatch.setattr(os, "open", refusing(real_open))
    monkeypatch.setattr(folders.os, "scandir", refusing(real_scan))
    corpus = open_corpus(folder)
    assert [d.id for d in corpus] == ["a/z.TXT", "b.md"]
    assert {s.source: s.why for s in corpus.skipped if s.source != "empty.txt"} == {
        "a.txt": "permission denied",
        "a/c": "the folder can't be listed: permission denied",
    }


def test_a_file_that_goes_away_meanwhile_is_named(folder):
    corpus = open_corpus(folder)
    going = iter(corpus)
    assert next(going).id == "a/c/deep.rst"
    (folder / "a.txt").unlink()
    assert [d.id for d in going] == ["a/z.TXT", "b.md"]
    assert Skipped("a.txt", "no such file or directory") in corpus.skipped


def test_a_name_that_is_not_utf8_is_named(folder):
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    corpus = open_corpus(folder)
    assert len(list(corpus)) == 4
    assert Skipped("caf\\xe9.txt", "the file's name is not UTF-8") in corpus.skipped


def test_an_empty_corpus_says_what_was_looked_for(tmp_path, folder):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"holds no document[\s\S]*nothing[\s\S]*\*\.txt, \*\.text"):
        list(open_corpus(tmp_path / "nothing"))
    (tmp_path / "nothing/x.txt").write_bytes(b"\0")
    with pytest.raises(DataError, match=r"1 could not be read:\s+x.txt: binary, not text"):
        list(open_corpus(tmp_path / "nothing"))
    with pytest.raises(DataError, match="holds no document"):
        list(open_corpus(folder, patterns=["*.org"]))
    with pytest.raises(DataError, match="holds no document"):
        describe_corpus(open_corpus([]))


def test_one_file_is_a_corpus_of_one(tmp_path):
    path = tmp_path / "README"
    path.write_text("words")
    (document,) = open_corpus(path)
    assert (document.id, document.title, document.source) == ("README", "README", "README")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(DataError, match="one object a line"):
        open_corpus(tmp_path / "x.json")


def test_a_packed_text_has_no_offset(tmp_path):
    import gzip

    (tmp_path / "a.md.gz").write_bytes(gzip.compress(b"# Head\nwords"))
    (document,) = open_corpus(tmp_path / "a.md.gz")
    assert (document.title, document.offset, document.metadata["ending"]) == ("Head", None, ".md")
    (tmp_path / "a.md.gz").write_bytes(gzip.compress(b"# Head\nwords" * 99)[:-9])
    with pytest.raises(DataError, match="damaged: Compressed file ended"):
        list(open_corpus(tmp_path / "a.md.gz"))


@pytest.mark.parametrize(
    ("source", "choice", "error", "said"),
    [
        ("", {}, ConfigError, "the path is empty"),
        ("sciafct", {}, MissingDataError, "did you mean 'scifact'"),
        ("/no/such", {}, MissingDataError, "named corpora are: docstrings, scifact"),
        (7, {}, DataError, "a int can't be read"),
        (
            "docstrings",
            {"encoding": "latin-1"},
            ConfigError,
            "encoding can't be chosen for a named",
        ),
        (["a"], {"patterns": ["*"]}, ConfigError, "patterns can't be chosen for texts in memory"),
        ("here", {"text": "body"}, ConfigError, "text can't be chosen for a folder of files"),
        ("here", {"encoding": "no-such"}, ConfigError, "'no-such' is not known"),
        ("here", {"encoding": "zip"}, ConfigError, "'zip' is not known"),
        ("here", {"limit": 0}, ConfigError, "limit must be at least 1"),
        ("here", {"patterns": "*.md"}, ConfigError, r"write patterns=\['\*.md'\]"),
        ("here", {"patterns": []}, ConfigError, "at least one pattern"),
    ],
)
def test_wrong_use_is_told(folder, source, choice, error, said):
    with pytest.raises(error, match=said):
        open_corpus(folder if source == "here" else source, **choice)
    corpus = open_corpus(["x"])
    assert open_corpus(corpus) is corpus


# ---------------------------------------------------------------- ids and gaps


@given(st.lists(st.sampled_from(["a", "b", "", " \n"]), min_size=1, max_size=12))
def test_ids_are_unique_and_every_text_is_counted(texts):
    items = [
        Document(id=text or "none", text=text, source="f", row=i) for i, text in enumerate(texts)
    ]
    corpus = Gathered("toy", "", lambda: iter(items), looked_for="toys")
    kept = {text for text in texts if text.strip()}
    if not kept:
        with pytest.raises(DataError):
            list(corpus)
        return
    found = list(corpus)
    assert {d.id for d in found} == kept
    assert len(found) == len(kept)
    assert len(corpus.skipped) == len(texts) - len(kept)
    for skipped in corpus.skipped:
        first = texts.index(texts[skipped.row])
        expected = f"the id {texts[skipped.row]!r} was taken already by f, row {first}"
        assert skipped.why == (expected if texts[skipped.row].strip() else "empty text")


def test_no_more_than_some_are_named_but_all_are_counted():
    def find():
        yield Document("1", "x")
        yield from (Skipped("f", "bad", row) for row in range(MOST_NAMED + 5))

    corpus = Gathered("toy", "", find, looked_for="toys")
    list(corpus)
    assert corpus.skipped_count == MOST_NAMED + 5
    assert len(corpus.skipped) == MOST_NAMED + 1
    assert corpus.skipped[-1].why == "and 5 more"


# ---------------------------------------------------------------- titles


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One #\n## Two", "One"),
        ("words\n\n### Three\n", "Three"),
        ("#hashtag\n\n# Real", "Real"),
        ("```\n# code\n```\n# Real", "Real"),
        ("~~~~\n```\n# code\n~~~~\n# Real", "Real"),
        ("---\ntitle: 'Given'\n# comment\n---\n# Head", "Given"),
        ("---\n# comment\n---\n# Head", "Head"),
        ("Set out\n=======\n", "Set out"),
        ("Set out\r\n---\r\n", "Set out"),
        ("- item\n---\nwords", ""),
        ("no heading", ""),
        ("", ""),
    ],
)
def test_the_title_of_a_markdown_text(text, title):
    assert heading(text, ".md") == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("====\nOver\n====\n", "Over"),
        ("Long title\n===\n", ""),
        ("\nA\n---\n", "A"),
        ("x\ny\n", ""),
    ],
)
def test_the_title_of_a_restructured_text(text, title):
    assert heading(text, ".rst") == title
    assert heading(text, ".txt") == ""


def test_every_kind_says_no_without_raising(tmp_path):
    for kind in kinds.KINDS:
        assert not kind.accepts(tmp_path / "missing")
