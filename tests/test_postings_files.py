"""Postings in a folder: whole or not there, and refused by name where they are damaged."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from isthmus.errors import RunError
from isthmus.search.postings import Postings, write_postings
from isthmus.search.postings.layout import Layout
from isthmus.search.postings.storage import MANIFEST, digest_of
from posting_tools import query, same, toy

SMALL = ("term_start", "piece_start", "piece_block", "piece_end", "maxima", "sums")
LARGE = ("low", "values")
ROWS = 40_000


@pytest.fixture
def folder(tmp_path):
    """Three blocks of rows, six terms, the third of them in no row."""
    codes = toy(0, ROWS, 6, 0.01)
    codes.data[codes.indices == 2] = 0
    codes.eliminate_zeros()
    write_postings(tmp_path / "p", codes)
    return tmp_path / "p"


def manifested(folder, **changes):
    """Change entries of the manifest, as a forger would: its digest is right again."""
    manifest = json.loads((folder / MANIFEST).read_text()) | changes
    manifest = {key: value for key, value in manifest.items() if value is not ...}
    manifest["sha256"] = digest_of(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def rewritten(folder, name, change):
    """Change an array and let the manifest say that it must be so."""
    path = folder / f"{name}.npy"
    array = np.load(path, allow_pickle=False)
    array = change(array.copy())
    np.save(path, array, allow_pickle=array.dtype == object)
    entry = {
        "dtype": array.dtype.str,
        "length": len(array),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    arrays = json.loads((folder / MANIFEST).read_text())["arrays"]
    manifested(folder, arrays=arrays | {name: entry})


def refused(folder, name, words=None):
    """Opening must fail and name the file."""
    with pytest.raises(RunError, match=words) as caught:
        Postings.open(folder)
    assert str(folder / name) in caught.value.where


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("kept", ["rounded", "float32"])
def test_what_is_opened_is_what_was_written(tmp_path, kept):
    codes = toy(1, 500, 40)
    made = Postings.of(codes, values=kept)
    opened = write_postings(tmp_path / "a" / "p", codes, values=kept)
    for name, array in made.layout.arrays():
        np.testing.assert_array_equal(getattr(opened.layout, name), array)
    opened.verify()
    asked = query(1, 40, 10)
    same(opened.search(*asked, threads=2), made.search(*asked))
    size = sum(file.stat().st_size for file in (tmp_path / "a" / "p").iterdir())
    assert opened.bytes == made.bytes < size < made.bytes + 5000


def test_arrays_are_mapped_and_can_not_be_changed(folder):
    layout = Postings.open(folder).layout
    for _, array in layout.arrays():
        assert not array.flags.writeable
        assert isinstance(array.base, np.memmap)


def test_many_may_read_the_same_folder(folder):
    first, second = Postings.open(folder), Postings.open(folder)
    same(first.search([0, 1], [1.0, 2.0]), second.search([0, 1], [1.0, 2.0]))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 2)])
def test_empty_postings_go_to_the_disk_and_back(tmp_path, shape):
    opened = write_postings(tmp_path / "p", np.zeros(shape))
    assert (opened.rows, opened.terms, opened.count) == (*shape, 0)
    opened.verify()


# ---------------------------------------------------------------- whole or not at all


def test_what_is_there_is_not_written_over(folder):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(RunError, match="something in that place"):
        write_postings(folder, np.ones((1, 1)))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="could not be written") as caught:
        write_postings(tmp_path / "p", np.ones((1, 1)))
    assert "No space left" in caught.value.why
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        write_postings(tmp_path / "file" / "p", np.ones((1, 1)))


SLOW_WRITER = """
import sys, time
import numpy as np
import isthmus.search.postings.storage as storage
from isthmus.search.postings import write_postings
real = storage._written_array
def slow(folder, name, array):
    found = real(folder, name, array)
    if name == "low":
        print("half", flush=True)
        time.sleep(60)
    return found
storage._written_array = slow
write_postings(sys.argv[1], np.ones((2, 2)))
"""


def test_a_killed_writer_leaves_no_postings_and_its_remains_go_with_the_next_write(tmp_path):
    place = tmp_path / "p[1]"
    writer = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, str(place)], stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout.readline() == "half\n"
        (left,) = tmp_path.iterdir()
        write_postings(tmp_path / "p[1]", np.ones((1, 1)))  # a living writer's is not touched
        assert left.is_dir()
        place.rename(tmp_path / "other")
        writer.send_signal(signal.SIGKILL)
    assert not place.exists()
    with pytest.raises(RunError, match="missing"):
        Postings.open(place)
    with pytest.raises(RunError, match="missing"):
        Postings.open(left)
    write_postings(place, np.ones((3, 1)))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other", "p[1]"]
    assert Postings.open(place).rows == 3


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("name", SMALL + LARGE)
def test_a_file_cut_short_or_gone_is_named(folder, name):
    path = folder / f"{name}.npy"
    content = path.read_bytes()
    for cut in (content[:-1], content + b"\0", content[:100], b""):
        path.write_bytes(cut)
        refused(folder, f"{name}.npy", "damaged")
    path.unlink()
    refused(folder, f"{name}.npy", "missing")


@pytest.mark.parametrize("name", SMALL + LARGE)
def test_a_flipped_bit_is_found_at_opening_or_by_verifying(folder, name):
    path = folder / f"{name}.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)
    if name in SMALL:
        refused(folder, f"{name}.npy", "damaged")
        return
    postings = Postings.open(folder)
    postings.search(np.arange(6), np.ones(6), limit=ROWS)
    with pytest.raises(RunError, match="damaged") as caught:
        postings.verify()
    assert str(path) in caught.value.where


@pytest.mark.parametrize("name", SMALL + LARGE)
@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: a.astype(np.float16),
        lambda a: a.reshape(1, -1),
        lambda a: a[:-1],
        lambda a: np.append(a, a[-1:]),
    ],
    ids=["other byte order", "other type", "two dimensions", "one less", "one more"],
)
def test_an_array_of_another_kind_is_refused(folder, name, change):
    """Even where the manifest says the same."""
    rewritten(folder, name, change)
    with pytest.raises(RunError, match="damaged"):
        Postings.open(folder)


def put(place, value):
    """Return a change of one entry."""

    def change(array):
        array[place] = value
        return array

    return change


LIES = [
    ("term_start", put(0, 1), "rise"),
    ("term_start", put(1, 1 << 60), "rise"),
    ("term_start", put(1, -5), "rise"),
    ("term_start", put(-1, 7), "rise"),
    ("term_start", put(3, 0), "rise"),
    ("term_start", put(slice(1, 3), [(1 << 63) - 1, -2]), "rise"),  # differences would overflow
    ("piece_start", put(1, 1 << 60), "rise"),
    ("piece_start", put(slice(1, 3), [(1 << 63) - 1, -2]), "rise"),
    ("piece_start", put(-1, 1), "rise"),
    ("piece_start", put(1, 0), "no piece"),
    ("piece_end", put(0, 1 << 31), "rise"),
    ("piece_end", put(0, 0), "rise"),
    ("piece_end", put(2, 1 << 31), "last piece"),
    ("piece_block", put(2, 3), "blocks"),
    ("piece_block", put(1, 0), "blocks"),
]


@pytest.mark.parametrize(("name", "change", "words"), LIES)
def test_arrays_that_would_lead_outside_are_refused(folder, name, change, words):
    """A forged manifest with right digests does not help."""
    rewritten(folder, name, change)
    with pytest.raises(RunError, match="damaged") as caught:
        Postings.open(folder)
    assert words in caught.value.why
    assert str(folder) in caught.value.where


@pytest.mark.parametrize("value", [65_535, 16_384, 0])
def test_a_forged_row_number_leads_nowhere_and_is_found_by_verifying(folder, value):
    rewritten(folder, "low", put(slice(5, 9), value))
    rewritten(folder, "low", put(-1, value))
    postings = Postings.open(folder)
    rows, scores = postings.search(np.arange(6), np.ones(6), limit=2 * ROWS)
    assert len(rows) <= ROWS
    assert rows.max() < ROWS
    assert np.isfinite(scores).all()
    postings.row_sums()
    postings.codes([0, ROWS - 1])
    postings.contributions(ROWS - 1, np.arange(6), np.ones(6))
    for read in (postings.verify, postings.codes, lambda: postings.codes(np.arange(ROWS))):
        with pytest.raises(RunError, match="damaged") as caught:
            read()
        assert str(folder) in caught.value.where


@pytest.mark.parametrize("name", ["values", "maxima", "sums"])
def test_forged_values_are_found_by_verifying(folder, name):
    rewritten(folder, name, lambda a: a[::-1])
    with pytest.raises(RunError, match="damaged"):
        Postings.open(folder).verify()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_values_that_can_not_be_are_found_by_verifying(tmp_path, value):
    """Even with maxima and sums to match."""
    folder = tmp_path / "p"
    write_postings(folder, np.array([[1.0], [2.0]]), values="float32")
    rewritten(folder, "values", put(0, value))
    rewritten(folder, "maxima", put(0, max(value, 2.0)))
    rewritten(folder, "sums", put(0, value + 2.0))
    kept = Postings.open(folder)
    kept.search([0], [1.0])
    with pytest.raises(RunError, match="damaged") as caught:
        kept.verify()
    assert "values" in caught.value.where


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": -1},
        {"rows": 1.5},
        {"rows": True},
        {"rows": "7"},
        {"rows": None},
        {"rows": 1 << 40},
        {"block": 12},
        {"block": 0},
        {"lowest": 2000},
        {"signed": "no"},
        {"arrays": {}},
        {"arrays": []},
        {"arrays": 5},
        {"arrays": dict.fromkeys(Layout.names())},
        {"arrays": {name: {"bytes": 1} for name in Layout.names()}},
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(folder, changes):
    manifested(folder, **changes)
    with pytest.raises(RunError, match="damaged"):
        Postings.open(folder)


def test_fewer_rows_than_the_postings_name(folder):
    manifested(folder, rows=20_000)
    refused(folder, "piece_block.npy", "damaged")


@pytest.mark.parametrize("name", ["rows", "block", "lowest", "signed", "arrays"])
def test_a_missing_entry_is_told(folder, name):
    manifested(folder, **{name: ...})
    refused(folder, MANIFEST, "damaged")


def test_a_manifest_with_another_digit_is_refused(folder):
    content = (folder / MANIFEST).read_text()
    for old, new in ((f'"rows": {ROWS}', '"rows": 40001'), ('"sha256"', '"sha257"')):
        assert old in content
        (folder / MANIFEST).write_text(content.replace(old, new))
        refused(folder, MANIFEST, "damaged")


def test_a_newer_format_is_refused_with_its_number(folder):
    manifested(folder, format=99)
    with pytest.raises(RunError, match="another format") as caught:
        Postings.open(folder)
    assert "99" in caught.value.why


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_manifest_that_is_none_is_refused(folder, content):
    (folder / MANIFEST).write_bytes(content)
    refused(folder, MANIFEST)


def test_objects_in_an_array_are_not_loaded(folder):
    rewritten(folder, "sums", lambda _: np.array([{}], dtype=object))
    refused(folder, "sums.npy", "damaged")
