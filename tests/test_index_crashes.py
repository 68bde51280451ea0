"""Killed writers, full disks, interrupts, several writers and readers: the old index or the new."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from index_toys import SMALL, Texts, WordVectors, build, documents, opened, with_
from isthmus.errors import ConfigError, RunError
from isthmus.search.index.building import build_index
from isthmus.search.index.describing import edit_concept
from isthmus.search.index.holding import Hold, unheld
from isthmus.search.index.index import Index
from isthmus.search.index.manifest import HEAD, read_manifest
from isthmus.search.index.writing import LOCK, writing

linux = pytest.mark.skipif(sys.platform != "linux", reason="the worker forks")
WORKER = Path(__file__).with_name("index_killed.py")
QUERY = "yeast in the oven"
WAYS = ("concepts", "dense", "reconstruction", "words", "hybrid")


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """An index that is copied, never changed; its concepts are described."""
    place = tmp_path_factory.mktemp("crashed") / "index"
    build(place, documents(50), with_(SMALL, concepts=True))
    return place


@pytest.fixture
def place(first, tmp_path):
    shutil.copytree(first, tmp_path / "index")
    return tmp_path / "index"


def answers(index):
    """What an index says: the best hits of a query in every way."""
    return [index.search(QUERY, by=way, limit=8).hits for way in WAYS]


def contents(folder):
    """All files but the lock."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK
    }


def is_swept(folder):
    """Whether a folder holds nothing that its head does not name."""
    manifest = read_manifest(folder)
    named = {
        "segments": {entry.folder for entry in manifest.segments},
        "dictionaries": {manifest.dictionary["folder"]},
        "concepts": {manifest.concepts} - {None},
        "embedder": {manifest.embedder["state"]} - {None},
    }
    for kind, names in named.items():
        found = {path.name for path in (folder / kind).glob("*")}
        if found != names:
            return False
    masks = {p.name for p in folder.glob("segments/*/alive-*")}
    temporary = [p for p in folder.rglob("*") if p.name.endswith(".tmp")]
    return masks == {e.alive for e in manifest.segments if e.alive} and not temporary


# --- kill -9 ---------------------------------------------------------------------------------


PLANS = {
    "first": {"documents": 30, "stride": 18},
    "update": {"documents": 55, "first": 4, "stride": 12},
    "retrain": {"documents": 52, "retrain": True, "concepts": True, "stride": 22},
    "any": {"documents": 70, "first": 9, "seconds": [0.025 * n for n in range(6)]},
}


@pytest.fixture(scope="module")
def killings(first, tmp_path_factory):
    """What is left of many writers that were killed: folders and attempts by plan."""
    home = tmp_path_factory.mktemp("killed")
    for name in PLANS:
        (home / name).mkdir()
        if name != "first":
            shutil.copytree(first, home / name / "before")
    done = subprocess.run(
        [sys.executable, str(WORKER), str(home), json.dumps(PLANS)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout)


@linux
@pytest.mark.parametrize("name", ["update", "retrain", "any"])
def test_a_killed_update_leaves_the_old_index_or_the_new(killings, name):
    home, attempts = killings[0] / name, killings[1][name]
    plan = PLANS[name]
    config = with_(SMALL, concepts=plan.get("concepts", False))
    texts = documents(plan["documents"])[plan.get("first", 0) :]
    with opened(home / "before") as index:
        old = answers(index)
    with opened(home / str(attempts)) as index:  # the last one was left in peace
        assert index.manifest.generation == 2
        new = answers(index)
    assert old != new
    seen = set()
    for number in range(attempts):
        with opened(home / str(number)) as index:
            index.verify()
            seen.add(index.manifest.generation)
            assert answers(index) == (old if index.manifest.generation == 1 else new)
        if number % 3 == 0:
            build(home / str(number), texts, config)  # the next writer tidies up
            assert is_swept(home / str(number))
    if name != "any":
        assert attempts >= 15
        assert seen == {1, 2}


@linux
def test_a_killed_first_build_leaves_no_index_or_the_new(killings):
    home, attempts = killings[0] / "first", killings[1]["first"]
    assert attempts >= 15
    with opened(home / str(attempts)) as index:
        new = answers(index)
    for number in range(attempts):
        place = home / str(number)
        if (place / HEAD).exists():
            with opened(place) as index:
                assert answers(index) == new
        elif place.exists():
            with pytest.raises(RunError, match="this folder is no index"):
                Index(place)
        if number % 3 == 0:
            built = build(place, documents(30))
            assert built.manifest.documents == 30
            assert is_swept(place)


# --- interrupted, and out of room ------------------------------------------------------------


def stages_of(folder, texts, config, **options):
    told = []
    build(folder, texts, config, stage=lambda *said: told.append(said[0]), **options)
    return list(dict.fromkeys(told))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_an_interrupt_at_any_stage_leaves_the_index_as_it_was(first, place, tmp_path, error):
    config, texts = with_(SMALL, concepts=True), documents(60)[5:]
    shutil.copytree(first, tmp_path / "other")
    stages = stages_of(tmp_path / "other", texts, config, retrain=True)
    assert {"reading", "cutting", "embedding", "training", "encoding", "writing"} <= set(stages)
    before = contents(place)
    for wanted in stages:

        def stop(what, done, total, wanted=wanted):
            if what == wanted:
                raise error

        with pytest.raises(error):
            build(place, texts, config, retrain=True, stage=stop)
        assert contents(place) == before
    assert build(place, texts, config, retrain=True).manifest.generation == 2


def test_an_interrupted_first_build_leaves_nothing(tmp_path):
    def stop(what, done, total):
        if what == "writing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", documents(20), stage=stop)
    assert not (tmp_path / "index").exists()
    build(tmp_path / "index", documents(20))


def test_ctrl_c_while_training_leaves_the_index_as_it_was(place):
    """A real signal, while the loop that turns it into a flag runs."""
    before = contents(place)

    def stop(what, done, total):
        if what == "training":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build(place, documents(60), retrain=True, stage=stop)
    assert contents(place) == before


@pytest.mark.parametrize("call", [*range(0, 24, 3), *range(24, 90, 11)])
def test_a_full_disk_leaves_the_index_as_it_was(place, monkeypatch, call):
    before, left = contents(place), [call]

    def full(handle):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1

    monkeypatch.setattr(os, "fsync", full)
    texts, config = documents(60)[5:], with_(SMALL, concepts=True)
    with pytest.raises(RunError) as told:
        build_index(Texts(texts), place, WordVectors(), config, retrain=True)
    assert "No space left on device" in str(told.value)
    assert "unchanged" in str(told.value) or "nothing was changed" in str(told.value)
    monkeypatch.undo()
    assert contents(place) == before
    build(place, texts, config)


@pytest.mark.parametrize("room", [0, 200, 2_000, 9_000, 30_000])
def test_a_disk_that_really_takes_no_more_leaves_the_index_as_it_was(place, room):
    """Every writer meets it: NumPy, SQLite, safetensors."""
    before = contents(place)
    texts, config = documents(60)[5:], with_(SMALL, concepts=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(RunError) as told:
            build_index(Texts(texts), place, WordVectors(), config, retrain=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(place) in str(told.value)
    assert contents(place) == before


def test_a_folder_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="must be a folder"):
        build(tmp_path / "file", documents(20))
    with pytest.raises(RunError, match="can't be written"):
        build(tmp_path / "file" / "index", documents(20))


# --- several at once -------------------------------------------------------------------------


def test_a_second_writer_is_refused(place):
    before = contents(place)
    with writing(place), pytest.raises(RunError, match="another process is writing this index"):
        build(place, documents(55))
    assert contents(place) == before
    build(place, documents(55))


def test_a_writer_in_the_middle_keeps_others_out(place):
    refused = []

    def second(what, done, total):
        if what == "writing" and not refused:
            with pytest.raises(RunError, match="another process is writing"):
                build(place, documents(58))
            refused.append(True)

    build(place, documents(55), stage=second)
    assert refused
    assert read_manifest(place).documents == 55


def test_what_is_open_stays_as_it_was_whatever_is_written(first, place):
    """Readers that have read nothing yet, and one that has read all."""
    with opened(first) as index:
        expected, concepts = answers(index), list(index.concepts)
    used, fresh = opened(place), [opened(place) for _ in range(4)]
    assert answers(used) == expected
    config = with_(SMALL, concepts=True)
    build(place, documents(50)[1:], config)  # a mask
    masked = opened(place)
    with opened(place) as index:
        after = answers(index)
    for step, texts in enumerate((documents(60)[2:], documents(70)[40:], documents(90))):
        build(place, texts, config, retrain=step == 1)  # merged, and encoded anew
        assert answers(fresh[step]) == expected
    assert answers(used) == expected
    assert list(fresh[3].concepts) == concepts
    fresh[3].verify()
    assert answers(masked) == after
    assert not is_swept(place)  # what is read is still there
    for index in (used, masked, *fresh):
        index.close()
    build(place, documents(91), config)
    assert is_swept(place)


def test_a_reader_that_is_forgotten_lets_go(place):
    import gc

    index = opened(place)
    build(place, documents(50), retrain=True)
    assert not is_swept(place)
    del index
    gc.collect()
    build(place, documents(51))
    assert is_swept(place)


def test_a_reader_never_fails_while_writers_come_and_go(place):
    stop, errors, seen = threading.Event(), [], set()

    def read():
        while not stop.is_set():
            try:
                with opened(place) as index:
                    seen.add(index.manifest.generation)
                    assert len(index.search(QUERY, by="hybrid").hits) == 10
                    assert index.words  # and what is loaded late
            except BaseException as error:
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for step in range(12):
            build(place, documents(60 + step)[step:], retrain=step % 4 == 3)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert errors == []
    assert len(seen) > 3


def test_a_reader_that_a_writer_overtakes_opens_the_newer_state(place, monkeypatch):
    """The head is read, then replaced and its parts removed, then they are opened."""
    from isthmus.search.index import index as module

    late = []

    def overtaken(folder):
        found = read_manifest(folder)
        if not late:
            late.append(True)
            build(place, documents(50), retrain=True)
        return found

    monkeypatch.setattr(module, "read_manifest", overtaken)
    with opened(place) as index:
        assert index.manifest.generation == 2
        assert index.search(QUERY).hits


def test_folders_are_removed_only_when_nobody_holds_them(tmp_path):
    (tmp_path / "a").mkdir()
    with unheld(tmp_path / "a") as free:
        assert free
        with pytest.raises(RunError, match="a part of the index is missing"):
            Hold([tmp_path / "a"])
    hold, other = Hold([tmp_path / "a"]), Hold([tmp_path / "a"])
    with unheld(tmp_path / "a") as free:
        assert not free
    hold.close()
    hold.close()
    with unheld(tmp_path / "a") as free:
        assert not free
    other.close()
    with unheld(tmp_path / "a") as free:
        assert free
    with unheld(tmp_path / "none") as free:
        assert not free
    with pytest.raises(RunError, match="missing"):
        Hold([tmp_path / "a", tmp_path / "none"])
    with unheld(tmp_path / "a") as free:
        assert free


def test_an_edit_is_seen_by_those_who_open_the_index_later(place):
    with opened(place) as index:
        edit_concept(index, "rename", 7, "late name")
        assert index.names[7] != "late name" or index.names[7] is None
    with opened(place) as index:
        assert index.names[7] == "late name"


# --- folders that hold something else --------------------------------------------------------


@pytest.mark.parametrize("name", ["notes.txt", "segments", "concepts", "edits.jsonl"])
def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path, name):
    thing = tmp_path / "mine" / name
    thing.parent.mkdir()
    if "." in name:
        thing.write_text("mine")
    else:
        thing.mkdir()
        (thing / "file").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="something that is no index"):
        build(tmp_path / "mine", documents(20))
    assert contents(tmp_path) == before


def test_an_empty_folder_and_hidden_files_are_no_hindrance(tmp_path):
    (tmp_path / ".DS_Store").write_text("x")
    build(tmp_path, documents(20))
    with opened(tmp_path) as index:
        assert len(index) == np.sum([s.entry.living for s in index.segments])
