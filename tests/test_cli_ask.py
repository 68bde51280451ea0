"""`isthmus ask`: quotations that stand where they say, and answers that a model writes."""

import json

import pytest

from cli_text_toys import FEW, copied, judged_index, write_lines, write_notes
from cli_tools import isthmus, refused, succeeded
from endpoint_tools import said, serving


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """A folder of notes and its index."""
    place = tmp_path_factory.mktemp("ask")
    write_notes(place / "notes")
    tower = "# The tower\n\nThe tower is old. It was built in 1889 — of iron. Paint keeps it.\n"
    (place / "notes" / "tower.md").write_text(tower, encoding="utf-8")
    succeeded("index", place / "notes", "--out", place / "n.index", *FEW)
    return place


def test_a_quoted_answer_stands_in_its_file(notes):
    found = succeeded("ask", notes / "n.index", "When was the tower built?", "--json").json
    assert found["mode"] == "quoted"
    assert found["question"] == "When was the tower built?"
    first = found["citations"][0]
    assert first["source"] == "tower.md"
    assert "1889" in first["quote"]
    whole = (notes / "notes" / "tower.md").read_bytes()
    assert whole[first["start_byte"] : first["end_byte"]].decode() == first["quote"]
    assert whole.decode()[first["start"] : first["end"]] == first["quote"]
    assert all(c["verdict"] == "found" for c in found["citations"])
    assert len(found["citations"]) == 3


def test_the_words_mark_the_sentence_under_its_heading(notes):
    answer = succeeded("ask", notes / "n.index", "When was the tower built?", "--passages", "1")
    assert answer.out.startswith("Quoted from your corpus, not generated")
    assert ">>" in answer.out
    assert "(tower.md, characters" in answer.out
    assert "of the question's 2 words stand in these passages" in answer.out
    assert "[2]" not in answer.out


def test_ways_of_searching_and_steering_reach_the_answer():
    words = ("ask", judged_index(), "pasta", "--where", "kind=chess", "--by", "dense")
    found = succeeded(*words, "--json").json
    assert {c["passage"].split("-")[0] for c in found["citations"]} <= {"chess"}
    out = succeeded("ask", judged_index(), "pasta", "--more", "3", "--by", "concepts").out
    assert out.startswith("steered")


def test_nothing_is_found_where_nothing_is(notes):
    answer = succeeded("ask", notes / "n.index", "ζζζζ", "--by", "concepts")
    assert answer.out.startswith("Not found")
    found = succeeded("ask", notes / "n.index", "ζζζζ", "--by", "concepts", "--json").json
    assert found["found"] is False
    assert found["citations"] == []


@pytest.mark.parametrize(
    ("words", "said_"),
    [
        (["  "], "the question is empty"),
        (["a", "--passages", "0"], "at least one passage"),
        (["a", "--model", "m"], "--model needs --endpoint"),
        (["a", "--endpoint", "http://127.0.0.1:9/v1"], "--endpoint needs --model"),
        (["a", "--fall-back"], "--fall-back goes with --endpoint"),
        (["a", "--endpoint", "ftp://x", "--model", "m"], "ftp://x"),
        (["a", "--by", "magic"], "unknown way"),
    ],
)
def test_wrong_use(words, said_):
    assert said_ in refused(2, "ask", judged_index(), *words)


def test_an_index_that_is_not_there(tmp_path):
    assert "there is no such index" in refused(1, "ask", tmp_path / "none", "Who?")


# ---------------------------------------------------------------- a model


def _answer(asked):
    """Two claims: one that stands in the passage with the tower, one that does not."""
    text = asked.content["messages"][-1]["content"]
    assert "It was built in 1889" in text
    claims = [
        {"claim": "It dates from 1889.", "passage": "1", "quote": "It was built in 1889"},
        {"claim": "It is of glass.", "passage": "1", "quote": "made of the finest glass"},
    ]
    return said(json.dumps({"claims": claims}))


def _asked(notes, server, *words):
    place = ("--endpoint", server.url, "--model", "toy")
    return isthmus("ask", notes / "n.index", "When was the tower built?", *place, *words)


def test_a_written_answer_is_checked_and_says_where_it_comes_from(notes):
    with serving(_answer) as server:
        answer = _asked(notes, server)
        assert answer.code == 0, answer.err
        assert f"(toy at {server.url})" in answer.out
        assert "It dates from 1889. [1]" in answer.out
        assert "[struck out: It is of glass." in answer.out
        assert f"sending the question and 6 passages to {server.url}" in answer.err
        found = _asked(notes, server, "--json").json
        assert found["mode"] == "written"
        assert found["endpoint"] == server.url
        verdicts = [c["verdict"] for c in found["citations"]]
        assert verdicts[0] == "found"
        assert verdicts[1] != "found"
        assert found["citations"][1]["quote"] == ""
        only = _asked(notes, server, "--json", "--passages", "2")
        assert only.code == 0
    sent = server.asked[-1].content["messages"][-1]["content"]
    assert sum(f"# {topic}" in sent for topic in ("cooking", "rail", "chess")) <= 1


def test_an_endpoint_that_is_away_or_answers_rubbish(notes):
    with serving(said("I would rather not.")) as server:
        answer = _asked(notes, server)
        assert answer.code == 1
        assert "can't be used" in answer.err
        fallen = _asked(notes, server, "--fall-back", "--json").json
        assert fallen["mode"] == "quoted"
        assert fallen["warnings"]
    answer = _asked(notes, server, "--timeout", "2")
    assert answer.code == 1
    assert "nothing answers at" in answer.err
    assert "Traceback" not in answer.err
    fallen = _asked(notes, server, "--fall-back")
    assert fallen.code == 0
    assert "the passages are quoted instead" in fallen.out


def test_the_key_is_sent_and_shown_nowhere(notes, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sesame-1234")
    with serving(_answer) as server:
        answer = _asked(notes, server, "--key-variable", "MY_KEY", "--json")
    sent = {k.lower(): v for k, v in server.asked[-1].headers.items()}
    assert sent["authorization"] == "Bearer sesame-1234"
    assert "sesame" not in answer.out + answer.err


def test_damaged_texts_are_told_of(tmp_path):
    copy = copied(tmp_path)
    for path in (copy / "segments").rglob("*.sqlite"):
        path.write_bytes(b"nothing")
    assert "damaged" in refused(1, "ask", copy, "pasta")


def test_one_document_is_enough(tmp_path):
    lines = write_lines(tmp_path / "a.jsonl", [{"_id": "a", "text": "Iron rusts in rain."}])
    succeeded("index", lines, "--out", tmp_path / "a.index", *FEW)
    found = succeeded("ask", tmp_path / "a.index", "What rusts?", "--json").json
    assert [c["quote"] for c in found["citations"]] == ["Iron rusts in rain."]
