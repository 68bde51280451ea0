"""Damaged, hostile, foreign and newer indexes: a clear error that names the file, or no harm."""

import io
import json
import os
import shutil
import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from index_toys import SMALL, Texts, WordVectors, build, documents, opened, with_
from isthmus.errors import ConfigError, IsthmusError, RunError
from isthmus.search.embedders.lexical import LexicalEmbedder
from isthmus.search.filters import Condition
from isthmus.search.index.building import build_index
from isthmus.search.index.describing import examples
from isthmus.search.index.index import Index
from isthmus.search.index.manifest import HEAD, Manifest, SegmentEntry, read_manifest
from isthmus.search.index.sealing import check_digests, check_sizes, digest_of, seal

WAYS = ("concepts", "dense", "reconstruction", "words", "hybrid")


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """An index with everything: a learned embedder, concepts, two segments, a mask."""
    place = tmp_path_factory.mktemp("damaged") / "index"
    config = with_(SMALL, concepts=True)
    build(place, documents(40), config, LexicalEmbedder(16))
    build(place, documents(48)[1:], config, LexicalEmbedder(16))
    with Index(place) as index:
        assert len(index.segments) == 2
        assert index.manifest.embedder["state"]
        index.verify()
        use(index)
    return place


@pytest.fixture
def place(first, tmp_path):
    shutil.copytree(first, tmp_path / "index")
    return tmp_path / "index"


def read(place):
    """Open an index, do all that is done with one, and check the rest."""
    with np.errstate(all="ignore"), Index(place) as index:
        use(index)
        index.search("people speak of anchors and yeast", by="words")
        index.verify()


def use(index):
    """All that is done with an index."""
    for way in WAYS:
        where = [Condition("even", "=", True)] if way == "dense" else []
        index.search("yeast in the oven", by=way, where=where, limit=5)
    index.search("violin", by="concepts", more=["#3"])
    assert index.names is not None
    rows = [example.row for concept in index.concepts for example in concept.top[:1]]
    index.passages(examples(index, rows[:5]))


FILES = [
    "segments/*/texts.sqlite",
    "segments/*/ids.npy",
    "segments/*/vectors.npy",
    "segments/*/rebuilt.npy",
    "segments/*/lengths.npy",
    "segments/*/word_lengths.npy",
    "segments/*/files.json",
    "segments/*/alive-*.npy",
    *(
        f"segments/*/{kind}/{name}"
        for kind in ("concepts", "words")
        for name in (
            *("postings.json", "term_start.npy", "piece_start.npy", "piece_block.npy"),
            *("piece_end.npy", "low.npy", "values.npy", "maxima.npy", "sums.npy"),
        )
    ),
    "dictionaries/*/config.json",
    "dictionaries/*/model.safetensors",
    "dictionaries/*/README.md",
    "dictionaries/*/files.json",
    "concepts/*/concepts.json",
    "concepts/*/concepts-*.jsonl",
    "concepts/*/passages.npy",
    "concepts/*/files.json",
    "embedder/*/lexical.safetensors",
    "embedder/*/files.json",
    "index.json",
]


def test_the_list_of_files_is_complete(first):
    listed = {path for pattern in FILES for path in first.glob(pattern)}
    there = {path for path in first.rglob("*") if path.is_file() and path.name != ".writing"}
    assert there == listed


def assert_named(error, path):
    """The message names the file, or its folder and the array."""
    assert str(path) in str(error) or f"{path.parent}: {path.stem}" in str(error)


def flipped(path, at=0.7):
    whole = bytearray(path.read_bytes())
    whole[int(at * (len(whole) - 1))] ^= 0x10
    path.write_bytes(whole)


@pytest.mark.parametrize("pattern", FILES)
def test_a_flipped_bit_is_found(place, pattern):
    (path, *_) = sorted(place.glob(pattern))
    whole = path.read_bytes()
    for at in (0.0, 0.31, 0.77, 1.0):
        flipped(path, at)
        with pytest.raises(RunError) as told, Index(place) as index:
            index.verify()
        assert_named(told.value, path)
        path.write_bytes(whole)
    with Index(place) as index:
        index.verify()


@pytest.mark.parametrize("pattern", FILES)
def test_files_that_are_cut_short_replaced_or_gone_are_named(place, pattern):
    (path, *_) = sorted(place.glob(pattern))
    whole = path.read_bytes()
    other = io.BytesIO()
    np.save(other, np.zeros((3, 2), np.int8))
    archive = io.BytesIO()
    np.savez(archive, a=np.zeros(3))
    for content in (
        whole[: len(whole) // 2],
        b"",
        whole + b"x",
        other.getvalue(),
        archive.getvalue(),
    ):
        path.write_bytes(content)
        with pytest.raises(RunError) as told:
            read(place)
        assert_named(told.value, path)
    path.unlink()
    with pytest.raises(RunError) as told:
        read(place)
    assert path.name in str(told.value)
    path.mkdir()
    with pytest.raises(RunError):
        read(place)


READ_EARLY = [f for f in FILES if f.startswith("segments/")]


@pytest.mark.parametrize("pattern", [f for f in READ_EARLY if "alive" not in f])
def test_a_part_that_is_missing_or_short_shows_when_the_index_is_opened(place, pattern):
    (path, *_) = sorted(place.glob(pattern))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(RunError):
        Index(place)
    path.unlink()
    with pytest.raises(RunError):
        Index(place)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_is_damaged_nothing_but_a_clear_error_comes_of_it(first, data):
    """Bytes change in place, so that sizes stay: what is checked early can't help."""
    pattern = data.draw(st.sampled_from([f for f in FILES if f != "index.json"]))
    (path, *_) = sorted(first.glob(pattern))
    whole = path.read_bytes()
    found = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(whole) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=16))
        found[start : start + len(noise)] = noise[: len(whole) - start]
    try:
        path.write_bytes(found)
        with np.errstate(all="ignore"), Index(first) as index:
            use(index)
    except RunError:
        pass
    finally:
        path.write_bytes(whole)


@settings(max_examples=50, deadline=None)
@given(start=st.floats(0, 1), noise=st.binary(min_size=1, max_size=40))
@example(start=0.1649594786587201, noise=b"\x80")
def test_a_damaged_table_of_texts_is_no_traceback(first, start, noise):
    (path, *_) = sorted(first.glob("segments/*/texts.sqlite"))
    whole = path.read_bytes()
    at = int(start * (len(whole) - len(noise)))
    try:
        path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
        with Index(first) as index:
            use(index)
            build_index(Texts([]), first, config=SMALL)
    except IsthmusError:
        pass
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE passages SET document = 10000",
        "UPDATE passages SET document = -1 WHERE row = 0",
        "UPDATE passages SET document = 'x' WHERE row = 0",
        "UPDATE passages SET text = x'ff00' WHERE row < 90",
        "UPDATE passages SET text = CAST(x'ff' AS TEXT)",
        "UPDATE passages SET first = 'x'",
        "UPDATE documents SET metadata = '[1]'",
        "UPDATE documents SET metadata = '{'",
        "UPDATE documents SET metadata = x'00'",
        "UPDATE documents SET id = CAST(row AS BLOB)",
        "UPDATE words SET term = term + 100000",
        "UPDATE words SET term = 'x'",
        "UPDATE words SET term = -1 WHERE term = 0",
        "DELETE FROM words WHERE term = 0",
        "DELETE FROM passages WHERE row = 3",
        "DELETE FROM documents WHERE row = 3",
        "DROP TABLE words",
    ],
)
def test_a_table_that_says_something_else_is_refused(place, change):
    """Well-formed and wrong: a seal that fits makes it past the digests."""
    (path, *_) = sorted(place.glob("segments/*/texts.sqlite"))
    base = sqlite3.connect(path)
    with base:
        base.execute(change)
    base.close()
    seal_again(path.parent)
    with pytest.raises(RunError) as told:
        read(place)
    assert "texts" in str(told.value)


def seal_again(folder):
    masks = {mask.name: mask.read_bytes() for mask in folder.glob("alive-*")}
    for name in masks:
        (folder / name).unlink()
    (folder / "files.json").unlink()
    seal(folder)
    for name, content in masks.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ids.npy", lambda v: v[::-1].copy()),
        ("ids.npy", lambda v: np.zeros_like(v)),
        ("ids.npy", lambda v: v.astype(np.int32)),
        ("ids.npy", lambda v: v[:-1]),
        ("vectors.npy", lambda v: np.full_like(v, np.nan)),
        ("vectors.npy", lambda v: v.astype(np.float32)),
        ("vectors.npy", lambda v: v[:, :-1]),
        ("vectors.npy", lambda v: v.ravel()),
        ("lengths.npy", lambda v: -v),
        ("lengths.npy", lambda v: v * np.inf),
        ("word_lengths.npy", lambda v: v * np.nan),
        ("rebuilt.npy", lambda v: -v),
        ("rebuilt.npy", lambda v: v.astype(">f4")),
        ("rebuilt.npy", lambda v: v[1:]),
    ],
)
def test_an_array_of_another_shape_or_kind_is_refused(place, name, values):
    (path, *_) = sorted(place.glob(f"segments/*/{name}"))
    np.save(path, values(np.load(path)))
    seal_again(path.parent)
    with pytest.raises(RunError) as told:
        read(place)
    assert_named(told.value, path)


def test_an_array_of_objects_is_never_unpickled(place):
    (path, *_) = sorted(place.glob("segments/*/rebuilt.npy"))
    np.save(path, np.array([print] * 3, object), allow_pickle=True)
    seal_again(path.parent)
    with pytest.raises(RunError) as told, Index(place) as index:
        use(index)
    assert_named(told.value, path)


def test_a_dictionary_of_another_size_is_refused(place):
    from isthmus.bottlenecks import TopK
    from isthmus.models.dictionary import SparseDictionary

    (folder,) = (place / "dictionaries").iterdir()
    SparseDictionary(16, TopK(50, 4)).save_pretrained(folder)
    seal_again(folder)
    with Index(place) as index, pytest.raises(RunError, match="not that of this index"):
        use(index)


# --- seals -----------------------------------------------------------------------------------


def test_a_seal_finds_what_changed(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "deep" / "b").write_bytes(b"two")
    seal(tmp_path)
    check_sizes(tmp_path)
    check_digests(tmp_path)
    (tmp_path / "deep" / "b").write_bytes(b"TWO")
    check_sizes(tmp_path)
    check_digests(tmp_path, "a")
    for names in ((), ("deep/b",)):
        with pytest.raises(RunError, match="SHA-256") as told:
            check_digests(tmp_path, *names)
        assert str(tmp_path / "deep" / "b") in str(told.value)
    (tmp_path / "deep" / "b").write_bytes(b"three")
    with pytest.raises(RunError, match="it has 5 bytes, not 3"):
        check_sizes(tmp_path)
    with pytest.raises(RunError, match="it does not name c"):
        check_digests(tmp_path, "c")


def check_both(folder):
    check_sizes(folder)
    check_digests(folder)


@pytest.mark.parametrize(
    "files",
    [
        {"../secret": {"bytes": 1, "sha256": ""}},
        {"/etc/passwd": {"bytes": 1, "sha256": ""}},
        {"": {"bytes": 1, "sha256": ""}},
        {"a": {"bytes": 1}},
        {"a": 3},
        {"a": None},
        [],
        None,
        "x",
    ],
)
def test_a_seal_that_can_not_be_is_refused(tmp_path, files):
    (tmp_path / "a").write_bytes(b"x")
    said = {"files": files}
    (tmp_path / "files.json").write_text(json.dumps(said | {"sha256": digest_of(said)}))
    with pytest.raises(RunError, match="damaged"):
        check_both(tmp_path)


# --- the head --------------------------------------------------------------------------------


def rewritten(place, change):
    """Write another head whose digest fits."""
    said = json.loads((place / HEAD).read_text())
    change(said)
    said["sha256"] = digest_of(said)
    (place / HEAD).write_text(json.dumps(said))


def at(path, value):
    def change(said):
        for step in path[:-1]:
            said = said[step]
        if value is KeyError:
            del said[path[-1]]
        else:
            said[path[-1]] = value

    return change


TRICKS = ["..", ".", "", "a/b", "../../etc", "/etc", "a\\b", "c:x", "a\0b", "x" * 300, 3, ["a"], {}]


@pytest.mark.parametrize("trick", TRICKS, ids=repr)
@pytest.mark.parametrize(
    "path",
    [
        ("segments", 0, "folder"),
        ("segments", 0, "alive"),
        ("dictionary", "folder"),
        ("concepts",),
        ("embedder", "state"),
    ],
    ids=str,
)
def test_no_name_in_a_head_leads_out_of_the_index(place, path, trick):
    rewritten(place, at(path, trick))
    with pytest.raises(RunError, match="the head of the index is damaged") as told:
        Index(place)
    assert str(place / HEAD) in str(told.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("segments",), None),
        (("segments",), {}),
        (("segments", 0), 3),
        (("segments", 0, "passages"), -1),
        (("segments", 0, "passages"), 2.5),
        (("segments", 0, "passages"), True),
        (("segments", 0, "living"), 10**9),
        (("segments", 0, "documents"), 10**9),
        (("segments", 0, "extra"), 1),
        (("segments", 0, "folder"), KeyError),
        (("segments", 1), KeyError),
        (("next_id",), -1),
        (("next_id",), "7"),
        (("next_id",), 1 << 70),
        (("generation",), None),
        (("dictionary", "latents"), 0),
        (("dictionary", "latents"), 49),
        (("dictionary", "latents"), 10**30),
        (("dictionary", "training"), KeyError),
        (("dictionary",), []),
        (("embedder", "dim"), 0),
        (("embedder", "digest"), None),
        (("embedder", "config"), "minilm"),
        (("embedder",), KeyError),
        (("words",), {"language": "english"}),
        (("words",), {"language": "english", "stem": True, "more": 1}),
        (("words", "language"), None),
        (("cutting", "config", "size"), "16"),
        (("cutting", "config", "size"), True),
        (("cutting", "config"), {"size": 16}),
        (("cutting", "report"), 3),
        (("skipped",), [3]),
        (("settings",), []),
        (("settings", "hybrid"), {"dense": -1.0}),
        (("settings", "hybrid"), {"dense": float("nan")}),
        (("settings", "hybrid"), {"magic": 1.0}),
        (("settings", "hybrid"), {"dense": 0, "words": 0, "concepts": 0}),
        (("settings", "hybrid"), 3),
        (("name",), None),
        (("format",), 0),
        (("format",), "1"),
        (("format",), None),
    ],
    ids=str,
)
def test_a_head_of_impossible_values_is_refused(place, path, value):
    if value is KeyError and path == ("segments", 1):

        def change(said):  # the same part twice
            said["segments"].append(said["segments"][0])
    else:
        change = at(path, value)
    rewritten(place, change)
    with pytest.raises(RunError, match="damaged"):
        Index(place)


def test_an_unknown_embedder_is_told_when_it_is_needed(place):
    rewritten(place, at(("embedder", "config"), {"kind": "crystal ball"}))
    with Index(place) as index, pytest.raises(ConfigError, match="unknown embedder 'crystal ball'"):
        use(index)


def test_a_newer_format_is_refused(place):
    rewritten(place, at(("format",), 2))
    with pytest.raises(RunError, match="the index is of format 2, this program reads up to 1"):
        Index(place)


def test_a_head_that_was_edited_by_hand_is_refused(place):
    text = (place / HEAD).read_text()
    (place / HEAD).write_text(text.replace('"generation": 2', '"generation": 3'))
    with pytest.raises(RunError, match="its own SHA-256"):
        Index(place)


@settings(max_examples=40, deadline=None)
@given(content=st.one_of(st.binary(max_size=60), st.just(b"[" * 100_000), st.just(b'{"a":' * 9999)))
def test_a_head_of_any_bytes_is_refused(tmp_path_factory, content):
    place = tmp_path_factory.mktemp("head")
    (place / HEAD).write_bytes(content)
    with pytest.raises(RunError) as told:
        Index(place)
    assert str(place / HEAD) in str(told.value)
    with pytest.raises(RunError):
        build(place, documents(5))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths_of(said, path=()):
    yield path
    items = (
        said.items()
        if isinstance(said, dict)
        else enumerate(said)
        if isinstance(said, list)
        else ()
    )
    for key, value in items:
        yield from paths_of(value, (*path, key))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_head_with_anything_anywhere_is_refused_or_used(first, data):
    """Well-formed heads with wrong values come to a clear error, or do no harm."""
    whole = (first / HEAD).read_text()
    said = json.loads(whole)
    said.pop("sha256")
    paths = [path for path in paths_of(said) if path]
    rewrite = at(data.draw(st.sampled_from(paths)), data.draw(values))
    try:
        rewritten(first, rewrite)
        with Index(first) as index:
            use(index)
    except IsthmusError:
        pass
    finally:
        (first / HEAD).write_text(whole)


def test_a_folder_that_is_no_index_is_told_from_one_that_is_not_there(tmp_path):
    with pytest.raises(RunError, match="there is no such index"):
        Index(tmp_path / "none")
    with pytest.raises(RunError, match="this folder is no index"):
        Index(tmp_path)


def test_a_head_round_trips(tmp_path):
    from isthmus.search.index.manifest import write_manifest

    manifest = Manifest(
        name="caf\u00e9 \ud800",
        corpus={"path": "x"},
        embedder={
            "config": {"kind": "toy"},
            "name": "t",
            "description": "",
            "digest": "d",
            "dim": 3,
            "state": None,
        },
        cutting={"config": {"size": 0, "overlap": 0, "titled": True}, "report": ""},
        words={"language": "english", "stem": True},
        dictionary={"folder": "f", "latents": 3, "k": 1, "training": {}},
        concepts=None,
        segments=(SegmentEntry("s", 5, 4, 2, "alive-2.npy"),),
        skipped=({"source": "a", "why": "b", "row": 1},),
        settings={"hybrid": {"dense": 1.0}},
    )
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


# --- another embedder ------------------------------------------------------------------------


def test_another_embedder_is_refused_with_the_reason(tmp_path):
    place = tmp_path / "index"
    build(place, documents(30))
    before = (place / HEAD).read_bytes()
    for embedder, why in (
        (WordVectors(dim=16), "its vectors have 24 numbers, those of toy have 16"),
        (WordVectors(digest="b" * 64), "the digest of toy was aaaaaaaaaaaa, that of toy is bbbb"),
        (LexicalEmbedder(24), "that is toy, not lexical"),
    ):
        with pytest.raises(RunError, match="written by another embedder") as told:
            build(place, documents(31), embedder=embedder)
        assert why in str(told.value)
    for embedder in (WordVectors(dim=16), WordVectors(digest="b" * 64)):
        with opened(place, embedder) as index, pytest.raises(RunError, match="another embedder"):
            index.search("yeast")
    assert (place / HEAD).read_bytes() == before


def test_an_embedder_that_makes_nonsense_is_refused(tmp_path):
    class Wrong(WordVectors):
        def __init__(self, make):
            super().__init__()
            self.make = make

        def embed(self, texts, *, progress=None):
            return self.make(super().embed(texts))

    for make in (
        lambda rows: rows[:-1],
        lambda rows: rows[:, :-1],
        lambda rows: rows * np.nan,
        lambda rows: np.where(rows > 0.4, np.inf, rows),
    ):
        with pytest.raises(IsthmusError, match="the embedder's vectors can't be used"):
            build(tmp_path / "index", documents(30), embedder=Wrong(make))
        assert not (tmp_path / "index" / HEAD).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(place):
    (place / HEAD).chmod(0)
    with pytest.raises(RunError):
        Index(place)
