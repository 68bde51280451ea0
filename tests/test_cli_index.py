"""`isthmus index`: making an index, bringing it up to date, and what goes wrong."""

import io
import signal
import threading

import numpy as np
import pytest
from rich.console import Console

import isthmus as im
from cli_text_toys import (
    FEW,
    copied,
    judged_answer,
    judged_folder,
    judged_index,
    records,
    write_lines,
    write_notes,
)
from cli_tools import finished, isthmus, program, refused, snapshot, succeeded
from embedder_toys import needs_minilm
from endpoint_tools import serving, vectors
from isthmus.cli.screen import Screen
from isthmus.cli.stages import Stages, staging
from isthmus.errors import ConfigError
from isthmus.search.index.manifest import read_manifest


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path / "home"))


# ---------------------------------------------------------------- making


def test_an_index_is_made_and_told_of_as_json():
    found = judged_answer().json
    assert found["index"] == str(judged_index())
    assert (found["documents"], found["passages"]) == (240, 240)
    assert [found[k] for k in ("added", "changed", "deleted", "unchanged")] == [240, 0, 0, 0]
    assert found["skipped"] == 0
    assert found["embedder"]["description"].startswith("lexical: ")
    assert found["dictionary"]["latents"] == 32
    assert 0 < found["dictionary"]["training"]["fvu_held_out"] < 1
    concepts = found["concepts"]
    assert 2 < concepts["named"] <= concepts["described"] <= 32
    assert concepts["precision"] > concepts["shuffled"] + 0.3
    assert set(found["seconds"]) >= {"reading", "embedding", "dictionary", "writing", "concepts"}
    assert found["bytes"] == sum(len(b) for b in snapshot(judged_index()).values())


def test_weights_are_fitted_on_judgements_that_are_not_the_test():
    found = judged_answer().json["hybrid"]
    assert found["fitted_on"] == "judged, train"
    assert found["queries"] == 24
    assert found["after"] >= found["before"]
    assert read_manifest(judged_index()).settings["hybrid_fitted_on"] == "judged, train"


def test_the_words_name_everything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_notes(tmp_path / "notes")
    answer = succeeded("index", "notes", *FEW)
    out = " ".join(answer.out.split())
    assert "index notes.index" in out
    assert "documents 36: 36 new, 0 changed, 0 deleted" in out
    assert "passages 36; 0 of 36 documents had more than 256 tokens and were cut" in out
    assert "1 could not be read broken.txt: not UTF-16" in out
    assert "lexical: hashed n-grams and SVD, no language model" in out
    assert "variance unexplained on held-out passages" in out
    assert "active ones are named" in out
    assert "next isthmus search notes.index" in out
    lines = answer.err.splitlines()
    assert any(line.startswith("embedding  36/36 passages") for line in lines)
    assert any(line.startswith("training  3/3 epochs") for line in lines)
    assert succeeded("index", "notes", "--out", "b", *FEW, "-q").err == ""


def test_the_source_is_kept_and_the_index_brought_up_to_date(tmp_path):
    notes, out = write_notes(tmp_path / "notes"), tmp_path / "n.index"
    succeeded("index", notes, "--out", out, *FEW)
    assert read_manifest(out).corpus == {"source": str(notes), "options": {}}
    before = snapshot(out)
    found = succeeded("index", out, "--json").json
    assert found["unchanged"] == 36
    assert snapshot(out) == before
    (notes / "cooking-0.md").unlink()
    (notes / "rail-0.md").write_text("# rail\n\nThe carriage is late.\n")
    (notes / "new.md").write_text("# bread\n\nBread and butter.\n")
    found = succeeded("index", out, "--json").json
    assert [found[k] for k in ("added", "changed", "deleted", "unchanged")] == [1, 1, 1, 34]
    assert found["documents"] == 36
    hit = succeeded("search", out, "carriage late", "--by", "words", "--json").json["hits"][0]
    assert hit["text"].endswith("The carriage is late.")


def test_choices_of_reading_are_kept_for_the_next_time(tmp_path):
    rows = [{"key": r["_id"], "words": r["text"], "n": r["n"], "z": 1} for r in records(6)]
    lines, out = write_lines(tmp_path / "a.jsonl", rows), tmp_path / "a.index"
    options = ("--text", "words", "--id", "key", "--metadata", "n", "--limit", "30")
    succeeded("index", lines, "--out", out, *options, *FEW)
    said = read_manifest(out).corpus["options"]
    assert said == {"text": "words", "id": "key", "metadata": ["n"], "limit": 30}
    assert succeeded("index", out, "--json").json["unchanged"] == 30
    assert succeeded("index", out, "--limit", "36", "--json").json["added"] == 6
    hit = succeeded("search", out, "pasta", "--by", "words", "--json").json["hits"][0]
    assert list(hit["metadata"]) == ["n"]


def test_retraining_keeps_edits_and_most_numbers(tmp_path):
    copy = copied(tmp_path)
    succeeded("concepts", "rename", copy, "3", "my own")
    found = succeeded("index", copy, "--retrain", "--threads", "1", "--no-fit", "--json").json
    assert found["dictionary"]["training"]["warm"] is True
    assert found["dictionary"]["training"]["kept_ids"] > 0.5
    assert found["hybrid"] is None
    listed = succeeded("concepts", copy, "--find", "my own", "--json").json["concepts"]
    assert [c["name"] for c in listed] == ["my own"]


def test_an_index_without_concepts_gets_them_later(tmp_path):
    notes, out = write_notes(tmp_path / "notes"), tmp_path / "n.index"
    found = succeeded("index", notes, "--out", out, *FEW, "--no-concepts", "--json").json
    assert found["concepts"] is None
    assert "without --no-concepts" in refused(1, "concepts", out)
    assert succeeded("search", out, "pasta").out.startswith("query")
    assert succeeded("index", out, "--json").json["concepts"]["described"] > 0
    assert succeeded("concepts", out).out


def test_a_dry_run_writes_nothing(tmp_path):
    notes, out = write_notes(tmp_path / "notes"), tmp_path / "n.index"
    words = succeeded("index", notes, "--out", out, "--dry-run", *FEW).out
    assert "new; nothing was written" in words
    assert "about 36 passages" in words
    found = succeeded("index", notes, "--out", out, "--dry-run", "--json", *FEW).json
    assert (found["documents"], found["passages"], found["skipped"]) == (36, 36, 1)
    assert found["new"] is True
    assert not out.exists()
    copy = copied(tmp_path)
    before = snapshot(copy)
    found = succeeded("index", notes, "--out", copy, "--dry-run", "--json").json
    assert (found["added"], found["deleted"], found["new"]) == (36, 240, False)
    assert snapshot(copy) == before


def test_verify_reads_everything(tmp_path):
    assert succeeded("index", judged_index(), "--verify", "--json").json["sound"] is True
    assert "all files sound" in succeeded("index", judged_index(), "--verify").out
    copy = copied(tmp_path)
    path = max((copy / "segments").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 255
    path.write_bytes(whole)
    assert path.name in refused(1, "index", copy, "--verify")


# ---------------------------------------------------------------- other vectors, other dictionaries


def _vectors(path, rows=36, dim=16, seed=0):
    made = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    np.save(path, made / np.linalg.norm(made, axis=1, keepdims=True))
    return path


def test_ready_made_vectors_and_further_ones(tmp_path):
    notes, out = write_lines(tmp_path / "a.jsonl", records(6)), tmp_path / "a.index"
    file, more = _vectors(tmp_path / "v.npy"), _vectors(tmp_path / "more.npy", 50, seed=1)
    options = ("--embedder", file, "--epochs", "2", "--threads", "1", "--no-concepts")
    found = succeeded("index", notes, "--out", out, *options, "--also", more, "--json").json
    assert found["dictionary"]["training"]["rows"] == 86
    assert found["embedder"]["dim"] == 16
    assert "--query-embedder" in refused(2, "search", out, "pasta")
    narrow = _vectors(tmp_path / "narrow.npy", 50, 8)
    err = refused(2, "index", notes, "--out", tmp_path / "b", *options, "--also", narrow)
    assert "the vectors have 8 numbers, those of the embedder 16" in err
    err = refused(1, "index", notes, "--out", tmp_path / "b", *options, "--also", notes)
    assert not (tmp_path / "b").exists()


def test_a_dictionary_that_was_trained_elsewhere(tmp_path):
    notes = write_lines(tmp_path / "a.jsonl", records(6))
    file, run = _vectors(tmp_path / "v.npy"), tmp_path / "run"
    options = ("--latents", "24", "--k", "3", "--epochs", "1", "--threads", "1", "--no-figures")
    succeeded("train", file, "--model", "topk", "--out", run, *options)
    given = ("--embedder", file, "--dictionary", run, "--no-concepts")
    answer = succeeded("index", notes, "--out", tmp_path / "a.index", *given)
    assert "24 concepts, at most 3 active; trained elsewhere" in answer.out
    again = ("--embedder", file, "--dictionary", tmp_path / "a.index", "--no-concepts", "--json")
    found = succeeded("index", notes, "--out", tmp_path / "b.index", *again).json
    assert found["dictionary"]["training"] == {"given": True}
    err = refused(2, "index", notes, "--out", tmp_path / "c", *FEW, "--dictionary", run)
    assert "the dictionary is for vectors of 16 numbers" in err
    err = refused(1, "index", notes, "--dictionary", tmp_path / "none", *FEW)
    assert "no such run" in err


@needs_minilm
def test_minilm_is_the_default_and_its_vectors_are_kept(tmp_path):
    lines = write_lines(tmp_path / "a.jsonl", records(5))
    options = ("--threads", "1", "--epochs", "2", "--no-concepts")
    found = succeeded("index", lines, "--out", tmp_path / "a.index", *options, "--json").json
    assert found["embedder"]["name"] == "minilm"
    kept = list((tmp_path / "home" / "vectors").iterdir())
    assert kept
    before = [path.stat().st_size for path in kept]
    succeeded("index", lines, "--out", tmp_path / "b.index", *options)
    assert [path.stat().st_size for path in kept] == before
    options += ("--cache", tmp_path / "own")
    succeeded("index", lines, "--out", tmp_path / "c.index", *options)
    assert list((tmp_path / "own").iterdir())
    hits = succeeded("search", tmp_path / "a.index", "a meal", "--by", "dense", "--json").json
    assert hits["hits"][0]["metadata"]["kind"] == "cooking"


# ---------------------------------------------------------------- wrong use, and what is broken


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--retrain"], 2, "there is no index to train on"),
        (["--query-embedder", "minilm"], 2, "--query-embedder goes with"),
        (["--also", "digits"], 2, "--also needs vectors of the same embedder"),
        (["--cache", "x", "--no-cache"], 2, "contradict"),
        (["--size", "3"], 2, "at least 16 tokens"),
        (["--size", "many"], 2, "size"),
        (["--overlap", "-1"], 2, "overlap"),
        (["--latents", "10", "--k", "8"], 2, "too few"),
        (["--seed", "-1"], 2, "seed"),
        (["--language", "klingon"], 2, "klingon"),
        (["--limit", "0"], 2, "limit"),
        (["--text", "body"], 2, "text can't be chosen for a folder"),
        (["--encoding", "none-such"], 2, "none-such"),
    ],
)
def test_settings_that_make_no_sense_are_named(words, code, said, tmp_path):
    notes = write_notes(tmp_path / "notes", 1)
    err = refused(code, "index", notes, "--out", tmp_path / "out", *FEW, *words)
    assert said in err
    assert not (tmp_path / "out" / "index.json").exists()


def test_texts_that_are_not_there_or_empty(tmp_path):
    err = refused(1, "index", tmp_path / "none", *FEW)
    assert "there is no corpus, file or folder" in err
    assert "did you mean 'scifact'?" in refused(1, "index", "scifcat", *FEW)
    (tmp_path / "empty").mkdir()
    err = refused(1, "index", tmp_path / "empty", "--out", tmp_path / "out", *FEW)
    assert "holds no document" in err
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.txt").write_bytes(b"\x00\x01\xff" * 9)
    err = refused(1, "index", tmp_path / "bad", "--out", tmp_path / "out", *FEW)
    assert "a.txt" in err


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    notes = write_notes(tmp_path / "notes", 1)
    before = snapshot(notes)
    assert "is no index" in refused(2, "index", notes, "--out", notes, *FEW)
    assert snapshot(notes) == before


def test_what_an_index_keeps_can_not_be_changed_in_silence(tmp_path):
    copy = copied(tmp_path)
    err = refused(2, "index", copy, "--size", "64")
    assert "size can't be changed" in err
    assert "size=0" in err
    assert succeeded("index", copy, "--size", "0", "--json").json["unchanged"] == 240
    err = refused(
        1, "index", judged_folder(), "--out", copy, "--embedder", _vectors(tmp_path / "v.npy")
    )
    assert "written by another embedder" in err


def test_an_index_of_texts_in_memory_says_that_it_can_not_be_read_again(tmp_path):
    texts = [record["text"] for record in records(5)]
    im.index(texts, tmp_path / "t.index", embedder="lexical", epochs=2, threads=1).close()
    assert "texts in memory" in refused(2, "index", tmp_path / "t.index")


def test_judgements_that_are_broken_do_not_spoil_the_index(tmp_path):
    import shutil

    folder = tmp_path / "judged"
    shutil.copytree(judged_folder(), folder)
    (folder / "qrels" / "train.tsv").write_text("no such\tcooking-1\t1\n")
    out = tmp_path / "out"
    found = succeeded("index", folder, "--out", out, *FEW, "--no-concepts", "--json").json
    assert found["hybrid"] is None
    assert "weights were not fitted on train judgements" in found["notes"][0]
    assert succeeded("index", out, "--verify")


def test_interrupting_leaves_the_old_index(tmp_path):
    began, over = threading.Event(), threading.Event()

    def answered(asked):
        texts = asked.content["input"]
        if any("again" in text for text in texts):
            began.set()
            over.wait(30)
        rows = [[1.0 + len(t), 2.0, float(sum(map(ord, t)) % 7) + 1, 1.0] for t in texts]
        return vectors(*rows)

    lines, out = write_lines(tmp_path / "a.jsonl", records(5)), tmp_path / "a.index"
    with serving(answered) as server:
        spec = f"{server.url}#toy"
        options = ("--threads", "1", "--epochs", "1", "--no-concepts")
        succeeded("index", lines, "--out", out, "--embedder", spec, *options)
        before = snapshot(out)
        rows = [*records(5), {"_id": "new", "text": "Once again."}]
        write_lines(lines, rows)
        process = program("index", out, "--cache", tmp_path / "kept")
        assert began.wait(60)
        process.send_signal(signal.SIGINT)
        over.set()
        answer = finished(process)
    assert answer.code == 130, answer.err
    assert "the index is as it was before" in answer.err
    assert str(tmp_path / "kept") in answer.err
    assert "Traceback" not in answer.err
    after = snapshot(out)
    assert {k: v for k, v in after.items() if k in before} == before
    assert succeeded("index", out, "--verify", "--json").json["documents"] == 30


def test_interrupting_the_fit_keeps_the_index_and_says_so(tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    out = tmp_path / "a.index"
    with monkeypatch.context() as patched:
        patched.setattr("isthmus.search.fitting.fit_hybrid", stopped)
        answer = isthmus("index", judged_folder(), "--out", out, *FEW, "--no-concepts")
    assert answer.code == 130
    assert "the index is made, but weights were not fitted" in answer.err
    assert succeeded("index", out, "--no-concepts", "--json").json["hybrid"]["queries"] == 24


def test_a_terminal_gets_a_bar_and_a_quiet_one_nothing():
    written = io.StringIO()
    screen = Screen()
    screen.err = Console(file=written, force_terminal=True, width=80)
    with staging(screen) as tell:
        tell("embedding", 0, 10)
        tell("embedding", 10, 10)
    assert "embedding" in written.getvalue()
    with staging(Screen(quiet=True)) as tell:
        tell("embedding", 1, 10)


def test_stages_say_how_much_is_done_and_what_is_left(monkeypatch):
    now = {"time": 100.0}
    monkeypatch.setattr("isthmus.cli.stages.time.monotonic", lambda: now["time"])
    shown, over = [], []
    stages = Stages(lambda line, done, total: shown.append(line), over.append)
    stages("embedding", 50, 250)
    now["time"] += 2
    stages("embedding", 150, 250)
    stages("encoding", 0, 0)
    stages.close()
    assert shown == [
        "embedding  50/250 passages",
        "embedding  150/250 passages  50/s  2 s left",
        "encoding",
    ]
    assert over == ["embedding  250/250 passages  100/s  2.0 s", "encoding  0.0 s"]


# ---------------------------------------------------------------- in Python


def test_the_same_in_python(tmp_path):
    lines = write_lines(tmp_path / "a.jsonl", records(5))
    told = []
    with im.index(
        lines,
        tmp_path / "a.index",
        embedder="lexical",
        epochs=2,
        threads=1,
        size=32,
        stage=lambda what, done, total: told.append(what),
    ) as found:
        assert isinstance(found, im.Index)
        assert len(found) == 30
        assert found.search("pasta", by="words").hits
    assert "embedding" in told
    with im.open(tmp_path / "a.index") as opened:
        assert isinstance(opened, im.Index)
        assert opened.manifest.cutting["config"]["size"] == 32
    assert succeeded("index", tmp_path / "a.index", "--json").json["unchanged"] == 30
    assert [d.text for d in im.corpus(["a", "b"])] == ["a", "b"]
    with pytest.raises(ConfigError, match="has no setting 'sizes'"):
        im.index(lines, tmp_path / "b", embedder="lexical", sizes=3)
    with pytest.raises(im.IsthmusError, match=r"no config\.json"):
        im.open(tmp_path)


def test_python_keeps_vectors_where_it_is_told(tmp_path):
    texts = [record["text"] for record in records(2)]
    with serving(lambda asked: vectors(*[[1.0, len(t), 3.0] for t in asked.content["input"]])) as s:
        options = {"embedder": f"{s.url}#toy", "concepts": False, "epochs": 1, "threads": 1}
        im.index(texts, tmp_path / "a", cache=tmp_path / "kept", **options).close()
        asked = len(s.asked)
        im.index(texts, tmp_path / "b", cache=tmp_path / "kept", **options).close()
        assert len(s.asked) == asked + 1  # the probe alone
    assert (tmp_path / "kept").is_dir()


def test_no_home_is_touched_by_a_lexical_index(tmp_path):
    notes = write_notes(tmp_path / "notes", 1)
    succeeded("index", notes, "--out", tmp_path / "out", *FEW)
    assert not (tmp_path / "home").exists()


def test_help_lists_the_settings_of_every_part():
    out = succeeded("index", "--help").out
    for flag in ("--size", "--overlap", "--latents", "--stability", "--no-concepts", "--processes"):
        assert flag in out, flag
    assert isthmus("index").code == 2
