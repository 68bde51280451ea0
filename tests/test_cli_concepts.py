"""`isthmus concepts`: lists, pages, names, edits, differences; of indexes and of runs."""

import json
import re

import numpy as np
import pytest

from cli_text_toys import FEW, copied, judged_folder, judged_index, records, write_lines
from cli_tools import finished, isthmus, program, refused, snapshot, succeeded
from endpoint_tools import said, serving
from isthmus.cli.concepts_command import app
from isthmus.search.index.index import Index


def listed(*words):
    return succeeded("concepts", *words, "--json").json


def names_of(place):
    return {c["id"]: c["name"] for c in listed(place, "--all", "--limit", "99")["concepts"]}


# ---------------------------------------------------------------- lists


def test_without_a_command_concepts_are_listed():
    plain, asked = listed(judged_index()), listed("list", judged_index())
    assert plain == asked
    assert plain["index"] == str(judged_index())
    assert plain["named"] == len(plain["concepts"]) == plain["found"]
    assert all(c["name"] and c["origin"] == "rule" for c in plain["concepts"])
    assert plain["names"]["precision"]["value"] > plain["names"]["shuffled"]
    counts = [c["passages"] for c in plain["concepts"]]
    assert counts == sorted(counts, reverse=True)


def test_the_list_in_words_has_names_scores_and_shuffled_names():
    out = succeeded("concepts", judged_index(), "--limit", "4").out
    head = out.splitlines()[0].split()
    assert head == ["concept", "name", "words", "passages", "share", "score", "shuffled"]
    assert len(re.findall(r"^ ?#\d+ ", out, re.MULTILINE)) == 4
    assert "concepts named" in " ".join(out.split())
    assert "shuffled names" in " ".join(out.split())


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("id", lambda c: c["id"]),
        ("name", lambda c: c["name"].casefold()),
        ("score", lambda c: -c["score"]),
        ("frequency", lambda c: -c["passages"]),
    ],
)
def test_orders(order, key):
    found = listed(judged_index(), "--sort", order, "--limit", "99")["concepts"]
    assert [key(c) for c in found] == sorted(key(c) for c in found)


def test_stability_is_shown_where_it_was_measured(tmp_path):
    lines, out = write_lines(tmp_path / "a.jsonl", records(8)), tmp_path / "a.index"
    succeeded("index", lines, "--out", out, *FEW, "--stability", "2")
    found = listed(out, "--sort", "stability", "--all", "--limit", "99")["concepts"]
    values = [c["stability"] for c in found]
    assert values == sorted(values, reverse=True)
    assert all(-1 <= value <= 1 for value in values)
    text = succeeded("concepts", out, "--all").out
    assert "stability" in text.splitlines()[0]
    page = succeeded("concepts", "show", out, str(found[0]["id"])).out
    assert "mean cosine with its best match in other trainings" in " ".join(page.split())


def test_finding_by_name_word_and_number():
    found = listed(judged_index(), "--find", "PASTA", "--all")["concepts"]
    assert found
    assert all("pasta" in " ".join([c["name"] or "", *c["words"]]).casefold() for c in found)
    assert [c["id"] for c in listed(judged_index(), "--find", "#31", "--all")["concepts"]] == [31]
    answer = succeeded("concepts", judged_index(), "--find", "nowhere")
    assert "0 of 0" in answer.out
    assert "--all" in answer.out


@pytest.mark.parametrize(
    ("words", "said_"),
    [
        (["--sort", "beauty"], "unknown order 'beauty'"),
        (["--limit", "0"], "the limit must be"),
        (["--texts", "docstrings"], "--texts and --data are for a run"),
    ],
)
def test_wrong_use_of_the_list(words, said_):
    assert said_ in refused(2, "concepts", judged_index(), *words)


def test_words_that_are_no_command_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'show'?" in refused(2, "concepts", "shwo", "x", "1")
    assert "there is no such index or run" in refused(1, "concepts", "none.index")
    (tmp_path / "shwo").symlink_to(judged_index())
    assert listed("shwo")["named"]
    assert isthmus("concepts").code == 2 or "Usage" in isthmus("concepts").out


COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


@pytest.mark.parametrize("name", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_leads_with_two_examples(name):
    out = succeeded("concepts", *name, "--help").out
    lines = [line.strip(" │") for line in out.splitlines() if line.strip(" │")]
    first = lines.index("Examples:")
    assert all(line.startswith("isthmus concepts") for line in lines[first + 1 : first + 3])
    assert not name or "--json" in out


# ---------------------------------------------------------------- one concept


def test_a_page_in_words_and_as_json():
    name = listed(judged_index(), "--sort", "score")["concepts"][0]["name"]
    out = succeeded("concepts", "show", judged_index(), name).out
    text = " ".join(out.split())
    assert out.startswith(name)
    assert "(given by rule)" in text
    assert "average precision on held-out passages; shuffled names" in text
    for part in ("words", "active", "quantiles", "strongest passages", "weak passages"):
        assert part in text, part
    assert "passages by how strongly the concept is active on them" in text
    assert "█" in out
    assert "corpus.jsonl:" in out
    found = succeeded("concepts", "show", judged_index(), name, "--json").json["concept"]
    assert found["name"] == name
    assert sum(found["statistics"]["histogram"]) == found["statistics"]["passages"]
    top = found["top"][0]
    with Index(judged_index()) as index:
        hit = next(h for h in index.search(top["text"], by="words").hits if h.id == top["passage"])
    assert hit.text == top["text"]
    activations = [example["activation"] for example in found["top"]]
    assert activations == sorted(activations, reverse=True)
    assert activations[0] == pytest.approx(found["statistics"]["max"], rel=1e-3)


def test_a_concept_that_is_not_there():
    assert "no concept #99" in refused(2, "concepts", "show", judged_index(), "99")
    name = listed(judged_index())["concepts"][0]["name"]
    err = refused(2, "concepts", "show", judged_index(), name[:-1] + "qq")
    assert f"similar names: {name}" in err


def test_families():
    out = succeeded("concepts", "family", judged_index()).out
    found = succeeded("concepts", "family", judged_index(), "--json").json
    for link in found["families"]:
        for child in link["children"]:
            assert next(x for x in found["families"] if x["id"] == child)["parent"] == link["id"]
    if not found["roots"]:
        assert "no concept is a special case" in out
        return
    assert len(out.splitlines()) >= len(found["roots"])
    root = found["roots"][0]
    own = succeeded("concepts", "family", judged_index(), str(root)).out
    assert f"#{root}" in own.splitlines()[0]
    assert own.splitlines()[1].startswith("  ")


# ---------------------------------------------------------------- edits


def test_edits_are_kept_and_shown(tmp_path):
    copy = copied(tmp_path)
    before = names_of(copy)
    found = succeeded("concepts", "rename", copy, "4", "my kitchen", "--json").json
    assert (found["concept"], found["before"]) == (4, before[4])
    assert names_of(copy) == before | {4: "my kitchen"}
    assert (
        "is called 'the kitchen' now"
        in succeeded("concepts", "rename", copy, "my kitchen", "the kitchen").out
    )
    succeeded("concepts", "note", copy, "4", "also cellars")
    out = succeeded("concepts", "show", copy, "the kitchen").out
    assert "(given by a person)" in out
    assert "also cellars" in out
    assert len(re.findall(r"^edits|^ +\d{4}-\d\d-\d\dT", out, re.MULTILINE)) == 3
    succeeded("concepts", "hide", copy, "4")
    assert 4 not in {c["id"] for c in listed(copy)["concepts"]}
    assert succeeded("concepts", "show", copy, "4").out.splitlines()[0].endswith("(hidden)")
    succeeded("concepts", "show-again", copy, "4")
    assert 4 in {c["id"] for c in listed(copy, "--limit", "99")["concepts"]}
    succeeded("concepts", "clear", copy, "4")
    assert names_of(copy)[4] is None
    assert "a person took it away" in succeeded("concepts", "show", copy, "4").out


def test_names_that_can_not_be(tmp_path):
    copy = copied(tmp_path)
    succeeded("concepts", "rename", copy, "4", "mine")
    before = snapshot(copy)
    assert "is called 'mine' already" in refused(2, "concepts", "rename", copy, "5", "mine")
    assert "can't be a name" in refused(2, "concepts", "rename", copy, "5", "#7")
    assert "control characters" in refused(2, "concepts", "rename", copy, "5", "a\x1b[1m")
    assert "can't be empty" in refused(2, "concepts", "rename", copy, "5", " ")
    assert snapshot(copy) == before


def test_a_damaged_log_of_edits(tmp_path):
    copy = copied(tmp_path)
    (copy / "edits.jsonl").write_text('{"format": 1}\n')
    assert "the log of edits is damaged" in refused(1, "concepts", copy)


# ---------------------------------------------------------------- two dictionaries


def test_an_index_and_its_retrained_copy(tmp_path):
    copy = copied(tmp_path)
    found = succeeded("concepts", "diff", judged_index(), copy, "--json").json
    assert found["summary"].startswith("32 of 32 concepts kept (100%)")
    assert all(k["a"] == k["b"] and k["name_a"] == k["name_b"] for k in found["kept"])
    assert found["kept"][0]["correlation"] == pytest.approx(1, abs=1e-6)
    succeeded("index", copy, "--retrain", "--threads", "1", "--no-fit", "--no-concepts")
    answer = succeeded("concepts", "diff", judged_index(), copy, "--limit", "2")
    assert "32 concepts kept" in answer.out
    assert "by directions and activations" in answer.out
    assert re.search(r"and \d+ more", answer.out)


def _run(folder, vectors, seed=0):
    words = ("--model", "topk", "--latents", "24", "--k", "3", "--epochs", "2", "--threads", "1")
    succeeded("train", vectors, *words, "--seed", str(seed), "--out", folder, "--no-figures")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Vectors of the texts, the texts, and the run of a dictionary."""
    place = tmp_path_factory.mktemp("runs")
    lines = write_lines(place / "texts.jsonl", records(10))
    with Index(judged_index()) as index:
        made = index.embedder.embed([f"{r['title']} {r['text']}" for r in records(10)])
    np.save(place / "v.npy", made)
    return place, lines, _run(place / "run", place / "v.npy")


def test_two_runs_and_what_can_not_be_compared(trained, tmp_path):
    place, _, run = trained
    other = _run(tmp_path / "other", place / "v.npy", seed=1)
    found = succeeded("concepts", "diff", run, other, "--json").json
    assert found["sizes"] == [24, 24]
    assert len(found["kept"]) < 24
    assert found["kept"] == [] or found["kept"][0]["correlation"] is None
    np.save(tmp_path / "w.npy", np.random.default_rng(0).normal(size=(60, 7)).astype(np.float32))
    narrow = _run(tmp_path / "narrow", tmp_path / "w.npy")
    assert "are for other vectors" in refused(2, "concepts", "diff", run, narrow)
    assert "no such index or run" in refused(1, "concepts", "diff", run, tmp_path / "none")


# ---------------------------------------------------------------- runs


def test_a_run_without_texts_has_statistics_and_rows(trained):
    _, _, run = trained
    found = listed(run)
    assert found["run"] == str(run)
    assert (found["latents"], found["named"], found["passages"]) == (24, 0, 60)
    assert found["concepts"], "where nothing is named all living concepts are listed"
    number = found["concepts"][0]["id"]
    out = succeeded("concepts", "show", run, number).out
    assert re.search(r"row \d+ of the vectors", out)
    page = succeeded("concepts", "show", run, number, "--json").json["concept"]
    codes = _codes(run, trained[0] / "v.npy")
    assert page["top"][0]["row"] == codes[:, number].argmax()
    assert page["statistics"]["passages"] == (codes[:, number] > 0).sum()


def _codes(run, vectors):
    import isthmus as im

    return im.open(run).model.encode(np.load(vectors), dense=True)


def test_texts_give_a_run_words_and_are_kept(trained, tmp_path):
    place, lines, _ = trained
    run = _run(tmp_path / "run", place / "v.npy")
    found = listed(run, "--texts", lines, "--all")
    assert any(concept["words"] for concept in found["concepts"])
    again = listed(run, "--all")
    assert again["concepts"] == found["concepts"]
    number = found["concepts"][0]["id"]
    page = succeeded("concepts", "show", run, number, "--texts", lines, "--json").json["concept"]
    texts = {r["_id"]: r["text"] for r in records(10)}
    assert texts[page["top"][0]["passage"]] == page["top"][0]["text"]
    succeeded("concepts", "rename", run, number, "mine")
    assert listed(run, "--find", "mine")["concepts"][0]["id"] == number
    few = write_lines(tmp_path / "few.jsonl", records(3))
    assert "the texts are not those of the vectors" in refused(1, "concepts", run, "--texts", few)


def test_runs_that_hold_no_concepts(tmp_path):
    quick = ("--hidden", "8", "--latent", "4", "--epochs", "1", "--threads", "1", "--no-figures")
    succeeded("train", "digits", "--model", "dense", *quick, "--out", tmp_path / "dense")
    assert "holds no sparse dictionary" in refused(1, "concepts", tmp_path / "dense")
    assert "no config.json" in refused(1, "concepts", tmp_path)


# ---------------------------------------------------------------- other programs, and models


def test_export_for_other_programs(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    words = ("concepts", "export", judged_index())
    atlas, features = tmp_path / "a.parquet", tmp_path / "f.jsonl"
    found = succeeded(*words, "--atlas", atlas, "--features", features, "--json").json
    assert found["written"][str(atlas)] == 240
    table = parquet.read_table(atlas).to_pydict()
    assert table["text"][0] == records()[0]["text"]
    assert table["id"][0] == "cooking-0#0"
    known = {c["name"] for c in listed(judged_index(), "--limit", "99")["concepts"]}
    assert {label for row in table["features"] for label in row} <= known
    rows = [json.loads(line) for line in features.read_text().splitlines()]
    assert len(rows) == found["written"][str(features)]
    texts = {record["text"] for record in records()}
    assert {a["tokens"][0] for row in rows for a in row["activations"]} <= texts
    assert "nothing to write" in refused(2, *words)
    everything = succeeded(*words, "--atlas", atlas, "--all", "--json")
    assert everything.json["written"][str(atlas)] == 240


def test_a_model_gives_names_that_are_tested(tmp_path):
    copy = copied(tmp_path)
    before = names_of(copy)
    nameless = [number for number, name in before.items() if name is None]
    succeeded("concepts", "rename", copy, str(nameless[0]), "mine")

    def answered(asked):
        text = asked.content["messages"][-1]["content"]
        # the most frequent topic word of the first passages, as an honest model would say
        part = text.split("Passages without it:")[0]
        topic = max(
            ("pasta", "train", "bishop", "roses", "anchor", "violin"), key=part.lower().count
        )
        return said(json.dumps({"name": topic}))

    with serving(answered) as server:
        place = ("--endpoint", server.url, "--model", "toy")
        found = succeeded("concepts", "name", copy, *place, "--json").json
        assert server.url in found["endpoint"]
        assert len(found["given"]) > 20
        assert str(nameless[0]) not in found["given"]
        after = names_of(copy)
        changed = {number: name for number, name in after.items() if before[number] != name}
        assert changed == {int(j): name for j, name in found["accepted"].items()} | {
            nameless[0]: "mine"
        }
        asked = len(server.asked)
        once = succeeded("concepts", "name", copy, *place, "--only", "3")
        assert len(server.asked) == asked + 1
        assert "names were better than what was there" in " ".join(once.out.split())
        assert f"sending passages to {server.url}" in once.err
    before = snapshot(copy)
    assert "nothing answers at" in refused(1, "concepts", "name", copy, *place)
    assert snapshot(copy) == before
    assert "there is nobody to ask" in refused(2, "concepts", "name", copy)
    assert succeeded("index", copy, "--verify")


def test_as_a_program_of_its_own():
    answer = finished(program("concepts", judged_index(), "--find", "pasta", "--json"))
    assert answer.code == 0, answer.err
    assert answer.json["concepts"]
    assert (judged_folder() / "corpus.jsonl").is_file()
