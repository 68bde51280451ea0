"""Named corpora and sets of vectors: where they are found, fetching, and the data commands."""

import hashlib
import http.server
import io
import json
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli_tools import refused, succeeded
from isthmus.data import CATALOGUE, catalogue, describe, fetch, load
from isthmus.data.corpora import CorpusDescription, named, open_corpus
from isthmus.data.corpora.telling import corpus_at
from isthmus.data.entries import Entry
from isthmus.data.fetching import Checksum, RemoteFile
from isthmus.data.named_sets import folder_of
from isthmus.data.streams import open_vectors
from isthmus.data.unpacking import unpack_beir
from isthmus.errors import ConfigError, DataError, MissingDataError, RunError
from isthmus.runs.dictionary.vectors import vectors_of

CORPUS = b'{"_id": "1", "title": "T", "text": "words"}\n'
QUERIES = b'{"_id": "q", "text": "which?"}\n'
QRELS = b"query-id\tcorpus-id\tscore\nq\t1\t1\n"


@pytest.fixture(autouse=True)
def home(request, tmp_path, monkeypatch):
    if "data_home" in request.fixturenames:
        request.getfixturevalue("data_home")  # it must see the environment before this changes it
    else:
        monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    monkeypatch.delenv("ISTHMUS_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def beir(folder):
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_bytes(CORPUS)
    (folder / "queries.jsonl").write_bytes(QUERIES)
    (folder / "qrels/test.tsv").write_bytes(QRELS)
    return folder


def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return out.getvalue()


WHOLE = {
    "scifact/": b"",
    "scifact/corpus.jsonl": CORPUS,
    "scifact/queries.jsonl": QUERIES,
    "scifact/qrels/test.tsv": QRELS,
    "scifact/qrels/train.tsv": QRELS,
    "scifact/../../evil.txt": b"evil",
    "scifact/qrels/../evil.tsv": b"evil",
    "/etc/evil": b"evil",
    "scifact/notes.md": b"not wanted",
}


@pytest.fixture
def served():
    """Serve one archive; yields (address, function to set it)."""
    held = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(held["archive"])))
            self.end_headers()
            self.wfile.write(held["archive"])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def entry(archive):
        held["archive"] = archive
        (real,) = [e for e in CATALOGUE if e.name == "scifact"]
        checksum = Checksum("md5", hashlib.md5(archive, usedforsecurity=False).hexdigest())
        base = f"http://127.0.0.1:{server.server_port}/"
        return replace(real, bases=(base,), archive=RemoteFile("scifact.zip", checksum))

    yield entry
    server.shutdown()
    thread.join()
    server.server_close()


# ---------------------------------------------------------------- the catalogue


def test_every_entry_can_be_found_and_says_how_to_get_it():
    names = [entry.name for entry in CATALOGUE]
    assert len(set(names)) == len(names)
    for entry in CATALOGUE:
        if entry.kind not in {"vectors", "corpus"}:
            continue
        ways = [bool(entry.comes_with), bool(entry.bases), bool(entry.by_hand)]
        assert sum(ways) == 1, entry.name
        assert entry.comes_with or entry.missing(Path("/no/such"))
        assert (entry.read is None) == (entry.kind == "corpus")
        assert all(base.startswith("https://") for base in entry.bases)
        assert all(file.checksum.algorithm == "sha256" for file in entry.files)
    kinds = {named.name: named.kind for named in catalogue()}
    assert kinds["mnist"] == "samples"
    assert kinds["embeddings/clinc150"] == "vectors"
    assert {n for n, kind in kinds.items() if kind == "corpus"} == {
        *("docstrings", "scifact", "cranfield", "xquad-en", "opentriviaqa", "clinc150"),
        *("stackoverflow_titles", "wikipedia_movies", "arxiv_cs_2025"),
    }


def test_a_corpus_is_no_set_of_samples():
    for name in ("scifact", "docstrings"):
        with pytest.raises(ConfigError, match=f"isthmus index {name}'") as caught:
            load(name)
        assert f"isthmus.corpus('{name}')" in str(caught.value)


def test_corpora_are_found_in_the_data_folder_then_in_the_cache(home, tmp_path, monkeypatch):
    beir(home / "data/scifact")
    assert open_corpus("scifact").root == str(home / "data/scifact")
    beir(tmp_path / "data/scifact")
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "data"))
    corpus = open_corpus("scifact")
    assert corpus.root == str(tmp_path / "data/scifact")
    assert [(d.id, d.title, d.text) for d in corpus] == [("1", "T", "words")]
    topics = tmp_path / "data/text-topics"
    topics.mkdir()
    (topics / "clinc150.jsonl").write_text('{"id": "a", "label": "l", "text": "plain"}\n')
    (document,) = open_corpus("clinc150")
    assert (document.text, document.metadata) == ("plain", {"label": "l"})
    listed = {n.name: n.where for n in catalogue()}
    assert listed["scifact"] == str(tmp_path / "data/scifact")
    assert listed["clinc150"] == str(topics)
    assert listed["opentriviaqa"] is None


def test_a_missing_corpus_says_what_was_tried_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")
    with pytest.raises(MissingDataError) as caught:
        open_corpus("scifact")
    for said in ("ISTHMUS_DATA is not set", "the cache", "ISTHMUS_OFFLINE", "data fetch scifact"):
        assert said in str(caught.value)
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    for name, repository in (("cranfield", "olivernn"), ("xquad-en", "google-deepmind")):
        with pytest.raises(MissingDataError) as caught:
            open_corpus(name)
        for said in ("can't be fetched", f"github.com/{repository}/", str(tmp_path / name)):
            assert said in str(caught.value)
    with pytest.raises(MissingDataError, match=r"put clinc150.jsonl into .*text-topics"):
        open_corpus("clinc150")


# ---------------------------------------------------------------- fetching


def test_scifact_is_fetched_unpacked_and_kept(served, home):
    entry = served(zipped(**WHOLE))
    seen = []
    folder = folder_of(entry, lambda *told: seen.append(told[0]))
    assert folder == home / "data/scifact"
    assert set(seen) == {"scifact.zip"}
    files = sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())
    assert files == [
        "data/scifact/corpus.jsonl",
        "data/scifact/qrels/test.tsv",
        "data/scifact/qrels/train.tsv",
        "data/scifact/queries.jsonl",
    ]
    assert (folder / "corpus.jsonl").read_bytes() == CORPUS
    assert fetch("scifact", entries=(entry,)) == folder
    assert [d.id for d in named.NamedCorpus(entry).open(named.Choices())] == ["1"]


def test_a_wrong_archive_leaves_nothing_that_counts(served, home):
    entry = served(zipped(**WHOLE))
    other = replace(entry, archive=replace(entry.archive, checksum=Checksum("md5", "0" * 32)))
    with pytest.raises(DataError, match="wrong checksum and was deleted"):
        folder_of(other)
    for archive in (b"PK not a zip", zipped(**WHOLE)[:-40]):
        with pytest.raises(DataError, match="the archive is damaged"):
            folder_of(served(archive))
    assert not list(home.rglob("corpus.jsonl"))
    # one that was damaged is fetched again, not kept for ever
    assert folder_of(served(zipped(**WHOLE)))


def test_a_member_that_is_too_large_is_refused(tmp_path, monkeypatch):
    from isthmus.data import unpacking

    (tmp_path / "a.zip").write_bytes(zipped(**WHOLE))
    monkeypatch.setattr(unpacking, "_MOST", len(QRELS))
    with pytest.raises(DataError, match=r"scifact/(corpus|queries).jsonl unpacks to"):
        unpack_beir(tmp_path / "a.zip", "scifact", tmp_path / "out")
    (tmp_path / "taken").write_bytes(b"")
    monkeypatch.undo()
    with pytest.raises(RunError, match="could not be unpacked"):
        unpack_beir(tmp_path / "a.zip", "scifact", tmp_path / "taken")


# ---------------------------------------------------------------- vectors by name


def test_vectors_by_name_are_found_wherever_vectors_are(tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float16)
    for name in ("embeddings/clinc150.npy", "embeddings/scifact/corpus.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / name, values)
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    for name in ("embeddings/clinc150", "embeddings/scifact"):
        data = load(name)
        assert (data.name, data.kind, data.shape) == (name, "vector", (4,))
        source = open_vectors(name)
        assert (source.rows, source.dim) == (40, 4)
        assert np.array_equal(source.read(0, 40), values.astype(np.float32))
        found = vectors_of(name)
        assert found is not None
        assert found.source == name  # a run finds them again on another machine
    with pytest.raises(
        MissingDataError, match=r"embeddings/opentriviaqa is not here[\s\S]*computed"
    ):
        open_vectors("embeddings/opentriviaqa")


# ---------------------------------------------------------------- what is texts


def test_texts_are_told_from_other_data(tmp_path):
    def make(name, content=b"some words\n"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    texts = [make("a.txt"), make("a.md"), make("a.jsonl"), make("a.ndjson.gz"), make("t/x/y.md")]
    texts.append(make("words.csv", b"id,text\n1,two words\n"))
    beir(tmp_path / "beir")
    for i in range(3):
        make(f"mixed/{i}.md")
    make("mixed/a.png")
    others = [make("n.csv", b"a,text\n1,2\n3,4\n"), make("n.npy"), make("x.bin"), "digits", "/no"]
    make("pictures/a.png")
    make("pictures/README.md")
    (tmp_path / "empty").mkdir()
    folders = [str(tmp_path / name) for name in ("t", "beir", "mixed")]
    assert all(corpus_at(path) is not None for path in [*texts, *folders, "docstrings"])
    others += [str(tmp_path / name) for name in ("pictures", "empty")]
    assert all(corpus_at(path) is None for path in others)


def test_parquet_with_a_column_of_texts_is_a_corpus(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    def make(name, **columns):
        pyarrow.parquet.write_table(arrow.table(columns), tmp_path / name)
        return str(tmp_path / name)

    assert corpus_at(make("t.parquet", Text=["a b"], n=[1])) is not None
    assert corpus_at(make("n.parquet", text=[1.0], n=[1])) is None
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert corpus_at(str(tmp_path / "broken.parquet")) is None


# ---------------------------------------------------------------- commands


def test_describe_takes_corpora(tmp_path):
    (tmp_path / "a.md").write_text("# Apples\nred and green\n")
    (tmp_path / "b.txt").write_bytes(b"\0")
    out = succeeded("data", "describe", tmp_path).out
    assert out.startswith(f"{tmp_path.name}: 1 documents, 23 characters\n")
    assert "b.txt: binary, not text" in out
    found = succeeded("data", "describe", tmp_path, "--json").json
    assert (found["kind"], found["documents"], found["skipped"]) == ("corpus", 1, 1)
    assert found["first"]["title"] == "Apples"
    told = describe(open_corpus(tmp_path))
    assert isinstance(told, CorpusDescription)
    assert json.loads(json.dumps(told.to_dict())) == found


def test_list_and_fetch_know_corpora(monkeypatch, tmp_path):
    found = {line["name"]: line for line in succeeded("data", "list", "--json").json["data"]}
    assert found["docstrings"]["where"] == "the installed packages"
    assert found["scifact"]["kind"] == "corpus"
    assert found["scifact"]["where"] is None
    beir(tmp_path / "cranfield")
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    assert "isthmus index cranfield" in succeeded("data", "fetch", "cranfield").out
    assert "can't be fetched" in refused(1, "data", "fetch", "xquad-en")
    assert "installed packages" in refused(2, "data", "fetch", "docstrings")
    assert "corpus of texts" in refused(2, "train", "cranfield", "--model", "dense")


@pytest.mark.needs_data
def test_the_real_corpora_are_as_their_readme_says(data_home):
    sizes = {
        "scifact": (5183, 0),
        "cranfield": (1398, 2),
        "xquad-en": (240, 0),
        "clinc150": (23700, 0),
    }
    for name, (documents, skipped) in sizes.items():
        (entry,) = [e for e in CATALOGUE if e.name == name]
        if not (data_home / (entry.folder or name)).is_dir():
            pytest.skip(f"needs {name}")
        corpus = open_corpus(name)
        assert sum(1 for _ in corpus) == documents
        assert len(corpus.skipped) == skipped
    corpus = open_corpus("cranfield")
    list(corpus)
    assert [(s.row, s.why) for s in corpus.skipped] == [(471, "empty text"), (995, "empty text")]


def test_entries_of_texts_need_no_reader():
    assert Entry("x", "y", "z").read is None
