"""Concepts in a folder: all of it comes back, or the folder keeps what it held."""

import dataclasses
import json

import numpy as np
import pytest

from concept_toys import described
from isthmus.concepts import Concept, Concepts, Statistics, as_record, describe, load_names
from isthmus.concepts.storing import HEAD
from isthmus.errors import DataError, RunError


@pytest.fixture(scope="module")
def table():
    found = described(400, decoder=np.eye(8) + 0.5)
    edited = dataclasses.replace(
        found[1], name="Größe ☃", origin="user", hidden=True, note="a\nb", stability=0.5
    )
    return found.replaced([edited])


def test_what_was_saved_is_loaded(table, tmp_path):
    table.save(tmp_path)
    back = Concepts.load(tmp_path)
    assert list(back) == list(table)
    assert back.report == table.report
    assert back.passages == table.passages
    assert any(concept.near for concept in back)


def test_names_alone_are_in_the_head(table, tmp_path):
    table.save(tmp_path)
    next(tmp_path.glob("concepts-*.jsonl")).unlink()
    names = load_names(tmp_path)
    assert names.names == table.names.names
    assert names.find("GRÖSSE ☃") == 1
    with pytest.raises(RunError, match="missing"):
        Concepts.load(tmp_path)


def test_dead_concepts_and_a_table_without_names_come_back(tmp_path):
    found = describe(np.array([[1.0, 0.0], [0.5, 0.0]]))
    found.save(tmp_path)
    back = Concepts.load(tmp_path)
    assert back.report is None
    assert back[1].dead
    assert load_names(tmp_path).dead == {1}


def test_saving_again_leaves_one_table(table, tmp_path):
    table.save(tmp_path)
    table.replaced([dataclasses.replace(table[0], name="other")]).save(tmp_path)
    assert Concepts.load(tmp_path)[0].name == "other"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_writer_that_is_killed_before_the_head_leaves_the_old_table(table, tmp_path, monkeypatch):
    from isthmus.concepts import storing

    table.save(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(storing, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        table.replaced([dataclasses.replace(table[0], name="other")]).save(tmp_path)
    assert list(Concepts.load(tmp_path)) == list(table)


def test_numbers_that_are_not_finite_are_refused_before_anything_is_written(table, tmp_path):
    table.save(tmp_path)
    bad = Concept(0, Statistics(1, 1.0, float("nan"), 1.0, (1.0,) * 5, (1,)))
    with pytest.raises(DataError, match="not finite") as caught:
        Concepts([bad], 1).save(tmp_path)
    assert "#0" in caught.value.where
    assert list(Concepts.load(tmp_path)) == list(table)
    good = Concept(0, Statistics(1, 1.0, 1.0, 1.0, (1.0,) * 5, (1,)))
    report = dataclasses.replace(table.report, shuffled=float("inf"))
    with pytest.raises(DataError, match="report"):
        Concepts([good], 1, report).save(tmp_path)


def damaged(folder, change):
    head = json.loads((folder / HEAD).read_text())
    body = folder / head["file"]
    change(head, body)
    (folder / HEAD).write_text(json.dumps(head))


def rewritten(head, body, change):
    """Change the first line, with a digest that fits again."""
    import hashlib

    lines = body.read_bytes().decode().splitlines(keepends=True)
    first = json.loads(lines[0])
    change(first)
    lines[0] = json.dumps(first) + "\n"
    body.write_text("".join(lines))
    head["sha256"] = hashlib.sha256(body.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda head, body: head.update(format=99), "format 99"),
        (lambda head, body: head.pop("file"), "damaged"),
        (lambda head, body: head.update(file="../../etc/passwd"), "missing"),
        (lambda head, body: head.update(concepts=3), "damaged"),
        (lambda head, body: head.update(report={"named": 1}), "damaged"),
        (lambda head, body: body.write_bytes(body.read_bytes()[:-5]), "digest"),
        (lambda head, body: body.write_bytes(b"\xff\xfe" + body.read_bytes()), "can't be read"),
        (lambda head, body: rewritten(head, body, lambda c: c.pop("words")), "damaged"),
        (lambda head, body: rewritten(head, body, lambda c: c.update(name=5)), "damaged"),
        (lambda head, body: rewritten(head, body, lambda c: c.update(origin="oracle")), "damaged"),
        (lambda head, body: rewritten(head, body, lambda c: c.update(id=7)), "damaged|order"),
        (
            lambda head, body: rewritten(head, body, lambda c: c.update(stability=float("nan"))),
            "damaged",
        ),
    ],
)
def test_damage_is_named(table, tmp_path, change, said):
    table.save(tmp_path)
    damaged(tmp_path, change)
    with pytest.raises(RunError, match=said):
        Concepts.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda head, body: head.update(names=[1, 2]),
        lambda head, body: head.update(dead=None),
        lambda head, body: head.pop("names"),
    ],
)
def test_damaged_names_are_named(table, tmp_path, change):
    table.save(tmp_path)
    damaged(tmp_path, change)
    with pytest.raises(RunError, match="names are damaged"):
        load_names(tmp_path)


def test_a_missing_folder_and_an_impossible_one(table, tmp_path):
    with pytest.raises(RunError, match="missing"):
        Concepts.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="folder can't be made"):
        table.save(tmp_path / "file")


def test_a_record_is_plain_json_with_every_field_named(table):
    record = json.loads(json.dumps(as_record(table[0]), allow_nan=False))
    assert record["top"][0].keys() == {"row", "activation"}
    assert record["words"][0].keys() == {"text", "weight", "passages"}
    assert record["score"]["precision"] == table[0].score.precision
    assert record["statistics"]["passages"] == table[0].statistics.passages
    assert record["dead"] is False
    assert record["name"] == table[0].name
