"""Vectors kept by the content of their texts."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedder_toys import Counting
from isthmus.errors import DataError
from isthmus.search.embedders import Embedder, cached
from isthmus.search.embedders import cache as cache_module
from isthmus.search.embedders.rows import unit_rows

TEXTS = [f"text number {i} {'x' * (i % 7)}" for i in range(50)]


@pytest.fixture
def notes():
    return []


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("*.sqlite")
    return path


def test_a_second_run_embeds_nothing_and_gives_the_same_bytes(tmp_path):
    inner = Counting()
    first = cached(inner, tmp_path).embed(TEXTS)
    again = Counting()
    second = cached(again, tmp_path).embed(TEXTS)
    assert first.tobytes() == second.tobytes()
    assert (len(inner.seen), again.seen) == (50, [])


def test_vectors_are_those_of_the_embedder_but_for_rounding(tmp_path):
    found = cached(Counting(), tmp_path).embed(TEXTS)
    exact = Counting().embed(TEXTS)
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() < 2**-11
    assert np.linalg.norm(found.astype(float), axis=1) == pytest.approx(np.ones(50), abs=1e-6)
    assert (found * exact).sum(axis=1).min() > 0.999999


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=12), st.data())
def test_any_texts_in_any_order_any_number_of_times(tmp_path_factory, texts, data):
    folder = tmp_path_factory.mktemp("kept")
    some = data.draw(st.lists(st.sampled_from(texts), max_size=8)) if texts else []
    cached(Counting(), folder).embed(some)
    inner = Counting()
    found = cached(inner, folder).embed(texts)
    assert found.shape == (len(texts), 16)
    assert len(inner.seen) == len(set(inner.seen))
    clean = {text.encode("utf-8", "replace").decode() for text in texts}
    known = {text.encode("utf-8", "replace").decode() for text in some}
    assert set(inner.seen) == clean - known
    for text, row in zip(texts, found, strict=True):
        alone = cached(Counting(), folder).embed([text])[0]
        assert row.tobytes() == alone.tobytes()


def test_another_embedder_gets_its_own_vectors(tmp_path):
    cached(Counting(), tmp_path).embed(TEXTS)
    other = Counting(digest="b" * 64)
    cached(other, tmp_path).embed(TEXTS)
    assert len(other.seen) == 50


def test_a_cache_key_stands_before_the_digest(tmp_path):
    one, two = Counting(), Counting()
    one.cache_key, two.cache_key = "at one", "at two"
    cached(one, tmp_path).embed(TEXTS)
    cached(two, tmp_path).embed(TEXTS)
    assert len(two.seen) == 50


def test_the_rest_is_that_of_the_embedder(tmp_path):
    inner = Counting()
    kept = cached(inner, tmp_path)
    assert isinstance(kept, Embedder)
    assert (kept.name, kept.dim, kept.digest) == (inner.name, inner.dim, inner.digest)
    assert (kept.max_tokens, kept.description) == (None, inner.description)
    assert kept.config() == inner.config()
    assert np.array_equal(kept.token_spans(["a b"])[0], inner.token_spans(["a b"])[0])
    assert np.array_equal(kept.embed_queries(["q"]), inner.embed_queries(["q"]))
    assert not list(tmp_path.iterdir())


def test_progress_goes_from_what_is_known_to_all(tmp_path):
    cached(Counting(), tmp_path).embed(TEXTS[:20])
    told = []
    cached(Counting(), tmp_path).embed([*TEXTS, *TEXTS], progress=lambda *at: told.append(at))
    assert told[0] == (20, 50)
    assert told[-1] == (50, 50)
    assert told == sorted(told)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_FIRST", 10)
    monkeypatch.setattr(cache_module, "_next_size", lambda size, seconds: 10)
    with pytest.raises(KeyboardInterrupt):
        cached(Counting(fail_after=30), tmp_path).embed(TEXTS)
    inner = Counting()
    cached(inner, tmp_path).embed(TEXTS)
    assert len(inner.seen) == 20


def test_chunks_are_of_some_seconds(tmp_path):
    assert cache_module._next_size(256, 5.0) == 256
    assert cache_module._next_size(256, 0.0) == 512
    assert cache_module._next_size(256, 100.0) == 128
    assert cache_module._next_size(40, 1e9) == 32


def test_an_error_of_the_embedder_comes_through_and_keeps_what_was_done(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_FIRST", 10)
    monkeypatch.setattr(cache_module, "_next_size", lambda size, seconds: 10)

    class Failing(Counting):
        def embed(self, texts, *, progress=None):
            if self.calls:
                raise DataError("the vector of text 3 is not finite")
            return super().embed(texts, progress=progress)

    with pytest.raises(DataError, match="text 3"):
        cached(Failing(), tmp_path).embed(TEXTS)
    inner = Counting()
    cached(inner, tmp_path).embed(TEXTS)
    assert len(inner.seen) == 40


def test_a_vector_that_can_not_be_used_is_named_by_the_number_of_its_text(tmp_path):
    class Broken(Counting):
        def embed(self, texts, *, progress=None):
            rows = super().embed(texts, progress=progress)
            rows[[text == "bad" for text in texts]] = np.nan
            return unit_rows(rows, self.name)

    texts = ["a", "a", "the longest comes first", "bad", "bad"]
    with pytest.raises(DataError, match="the vector of text 3 is not finite"):
        cached(Broken(), tmp_path).embed(texts)


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"no database at all, but long enough" * 100,
        lambda raw: raw[:100] + b"\xff" * 4000 + raw[4100:],
        lambda raw: raw[: len(raw) // 2],
    ],
)
def test_a_damaged_file_is_put_aside_with_a_message(tmp_path, notes, damage):
    before = cached(Counting(), tmp_path).embed(TEXTS)
    path = the_file(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    inner = Counting()
    after = cached(inner, tmp_path, notify=notes.append).embed(TEXTS)
    assert before.tobytes() == after.tobytes()
    assert len(inner.seen) == 50
    assert len(notes) == 1
    assert "damaged" in notes[0]
    assert str(path) in notes[0]
    assert list(tmp_path.glob("*.damaged-*"))
    fresh = Counting()
    cached(fresh, tmp_path, notify=notes.append).embed(TEXTS)
    assert (fresh.seen, len(notes)) == ([], 1)


def test_an_empty_file_is_begun_anew(tmp_path, notes):
    cached(Counting(), tmp_path).embed(TEXTS)
    the_file(tmp_path).write_bytes(b"")
    cached(Counting(), tmp_path, notify=notes.append).embed(TEXTS)
    assert notes == []


DAMAGES = (lambda v: bytes([v[0] ^ 1]) + v[1:], lambda v: v[:-1], lambda v: None)


def test_a_vector_with_a_flipped_bit_is_made_anew(tmp_path, notes):
    before = cached(Counting(), tmp_path).embed(TEXTS)
    with sqlite3.connect(the_file(tmp_path)) as base:
        rows = base.execute("SELECT key, vector FROM vectors ORDER BY key LIMIT 3").fetchall()
        for (key, value), bad in zip(
            rows,
            (lambda v: bytes([v[0] ^ 1]) + v[1:], lambda v: v[:-1], lambda v: None),
            strict=True,
        ):
            changed = bad(value)
            base.execute(
                "UPDATE vectors SET vector = ? WHERE key = ?",
                ("text" if changed is None else changed, key),
            )
    base.close()
    inner = Counting()
    after = cached(inner, tmp_path, notify=notes.append).embed(TEXTS)
    assert before.tobytes() == after.tobytes()
    assert len(inner.seen) == 3
    assert "3 kept vectors are damaged" in notes[0]


def test_a_folder_that_can_not_be_is_told_and_nothing_stops(tmp_path, notes):
    (tmp_path / "file").write_text("in the way")
    found = cached(Counting(), tmp_path / "file" / "kept", notify=notes.append).embed(TEXTS)
    assert found.shape == (50, 16)
    assert "can't be kept there" in notes[0]


def test_without_anybody_to_tell_a_warning_is_given(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="can't be kept there"):
        cached(Counting(), tmp_path / "file").embed(TEXTS)


def test_a_full_disk_is_told_and_nothing_stops(tmp_path, notes):
    kept = cached(Counting(), tmp_path, notify=notes.append)
    kept.embed(TEXTS[:1])
    with sqlite3.connect(the_file(tmp_path)) as base:
        pages = base.execute("PRAGMA page_count").fetchone()[0]
    base.close()
    limit = f"PRAGMA max_page_count = {pages}"
    real = sqlite3.connect

    def full(*args, **more):
        found = real(*args, **more)
        found.execute(limit)
        return found

    many = [f"{i}" for i in range(2000)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite3, "connect", full)
        found = kept.embed(many)
    assert found.shape == (2000, 16)
    assert "full" in notes[0]
    inner = Counting()
    cached(inner, tmp_path).embed(TEXTS[:1])
    assert inner.seen == []


# ---------------------------------------------------------------- several processes


def test_kill_9_leaves_a_file_that_is_whole(tmp_path):
    code = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from embedder_toys import Counting
        from isthmus.search.embedders import cache, cached
        cache._FIRST, cache._next_size = 5, lambda size, seconds: 5
        class Slow(Counting):
            def embed(self, texts, *, progress=None):
                time.sleep(0.01)
                print(len(self.seen), flush=True)
                return super().embed(texts, progress=progress)
        cached(Slow(), sys.argv[1]).embed([f"{{i}}" for i in range(100000)])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with running:
        while int(running.stdout.readline() or 10**9) < 50:
            pass
        os.kill(running.pid, signal.SIGKILL)
    notes = []
    inner = Counting()
    cached(inner, tmp_path, notify=notes.append).embed([f"{i}" for i in range(100)])
    with sqlite3.connect(the_file(tmp_path)) as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = base.execute("SELECT count(*) FROM vectors").fetchone()[0]
    base.close()
    assert notes == []
    assert kept >= 50


def _write(folder, start):
    texts = [f"{i}" for i in range(start, start + 300)]
    cached(Counting(), Path(folder), notify=_refuse).embed(texts)


def _refuse(message):
    raise RuntimeError(message)


def test_several_processes_may_write_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_write, args=(str(tmp_path), 200 * i)) for i in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    inner = Counting()
    cached(inner, tmp_path).embed([f"{i}" for i in range(500)])
    assert inner.seen == []


def test_a_reader_is_not_stopped_by_a_writer(tmp_path):
    cached(Counting(), tmp_path).embed(TEXTS)
    writing = sqlite3.connect(the_file(tmp_path), isolation_level=None)
    writing.execute("BEGIN IMMEDIATE")
    try:
        inner = Counting()
        cached(inner, tmp_path).embed(TEXTS)
        assert inner.seen == []
    finally:
        writing.execute("ROLLBACK")
        writing.close()
