"""Edits: a log that only grows, and finds its concepts again by direction."""

import json
import multiprocessing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concept_toys import codes_of, corpus, described
from isthmus.concepts import Passages, append_edit, describe, edit_of, read_edits, replay
from isthmus.concepts.edits import checked_name
from isthmus.errors import ConfigError, DataError, RunError

DECODER = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0][:8].astype(np.float32)


@pytest.fixture(scope="module")
def table():
    return described(400)


def test_the_log_gives_back_what_was_done(tmp_path):
    log = tmp_path / "deep" / "edits.jsonl"
    assert read_edits(log) == []
    made = [
        edit_of("rename", 2, DECODER, "  Brot \n backen "),
        edit_of("note", 3, DECODER, "two\nlines ☃"),
        edit_of("hide", 1, DECODER),
    ]
    for edit in made:
        append_edit(log, edit)
    back = read_edits(log)
    assert [(e.action, e.concept, e.text, e.time) for e in back] == [
        (e.action, e.concept, e.text, e.time) for e in made
    ]
    assert back[0].text == "Brot backen"
    assert back[0].time.endswith("+00:00")
    assert all((e.direction == DECODER[e.concept]).all() for e in back)
    assert len({e.dictionary for e in back}) == 1


def test_every_action_does_what_it_says(table):
    steps = [
        ("rename", "rowing", {"name": "rowing", "origin": "user"}),
        ("note", "why", {"note": "why"}),
        ("hide", "", {"hidden": True}),
        ("show", "", {"hidden": False}),
        ("clear", "", {"name": None, "origin": "user"}),
    ]
    edits, expected = [], {}
    for action, text, change in steps:
        edits.append(edit_of(action, 0, DECODER, text))
        expected |= change
        concept = replay(edits, table, DECODER).concepts[0]
        assert {key: getattr(concept, key) for key in expected} == expected
    assert list(replay(edits, table, DECODER).concepts)[1:] == list(table)[1:]


def test_edits_find_their_concepts_in_a_retrained_dictionary(table):
    rng = np.random.default_rng(1)
    edits = [edit_of("rename", j, DECODER, f"mine {j}") for j in (0, 3, 5)]
    edits += [edit_of("hide", 7, DECODER)]
    order = np.array([4, 3, 2, 1, 0, 6, 5, 7])
    new = DECODER[order] * 3 + 0.05 * rng.standard_normal(DECODER.shape)
    new[7] = -DECODER[7]  # what was hidden is not there any more
    found = replay(edits, table, new)
    assert found.moved == {0: 4, 3: 1, 5: 6}
    assert [found.concepts[j].name for j in (4, 1, 6)] == ["mine 0", "mine 3", "mine 5"]
    assert [edit.concept for edit in found.lost] == [7]
    assert not any(concept.hidden for concept in found.concepts)
    assert found.describe() == (
        "3 concepts bear edits, 3 of them under a new number; 1 edits found no concept"
    )


def test_names_of_people_outlive_the_rule(table):
    edits = [edit_of("rename", 0, DECODER, "mine"), edit_of("clear", 1, DECODER)]
    texts, topics = corpus(400)
    again = describe(codes_of(topics), Passages.of(texts))  # the rule names everything anew
    found = replay(edits, again, DECODER).concepts
    assert (found[0].name, found[0].origin) == ("mine", "user")
    assert (found[1].name, found[1].origin) == (None, "user")
    assert again[1].name is not None
    assert found.names.find("mine") == 0


def test_two_concepts_never_fall_on_one(table):
    near = DECODER.copy()
    near[1] = 0.95 * near[0] + 0.3 * near[1]
    edits = [edit_of("rename", 0, near, "first"), edit_of("rename", 1, near, "second")]
    new = DECODER.copy()
    new[1] = -DECODER[1]
    found = replay(edits, table, new)
    assert found.concepts[0].name == "first"
    assert [e.text for e in found.lost] == ["second"]


def test_later_edits_of_a_moved_concept_meet_the_earlier_ones(table):
    slightly = DECODER + np.float32(0.02)
    edits = [edit_of("rename", 0, DECODER, "old"), edit_of("note", 0, DECODER, "kept")]
    edits += [edit_of("rename", 0, slightly, "new")]
    found = replay(edits, table, slightly).concepts[0]
    assert (found.name, found.note) == ("new", "kept")


def test_of_equal_directions_the_same_number_is_taken(table):
    twins = DECODER.copy()
    twins[4] = twins[2]
    assert replay([edit_of("rename", 4, twins, "x")], table, twins).concepts[4].name == "x"


def test_another_width_or_nothing_to_match_loses_edits_without_harm(table):
    edit = edit_of("hide", 0, DECODER)
    assert replay([edit], table, np.eye(8)).lost == (edit,)
    assert replay([edit], table, np.zeros((8, 16))).lost == (edit,)
    assert list(replay([], table, DECODER).concepts) == list(table)


def test_replaying_wants_a_direction_a_concept_and_a_cosine(table):
    with pytest.raises(DataError, match="one direction a concept"):
        replay([], table, DECODER[:3])
    with pytest.raises(ConfigError, match="cosine"):
        replay([], table, DECODER, cosine=0.0)


@pytest.mark.parametrize(
    ("action", "concept", "text", "said"),
    [
        ("rename", 0, "", "empty"),
        ("rename", 0, "#12", "by number"),
        ("rename", 0, "12", "by number"),
        ("rename", 0, "a\x00b", "control"),
        ("rename", 0, "x" * 201, "200 characters"),
        ("rename", 8, "x", "no concept #8"),
        ("rename", -1, "x", "no concept #-1"),
        ("hide", 0, "x", "takes no text"),
        ("burn", 0, "", "unknown action"),
    ],
)
def test_edits_that_can_not_be_are_refused(action, concept, text, said):
    with pytest.raises(ConfigError, match=said):
        edit_of(action, concept, DECODER, text)


def test_directions_must_be_finite(tmp_path):
    with pytest.raises(DataError, match="finite"):
        append_edit(tmp_path / "e.jsonl", edit_of("hide", 0, np.full((2, 2), np.nan)))
    assert read_edits(tmp_path / "e.jsonl") == []


@given(st.text())
def test_a_name_is_one_visible_line_or_refused(text):
    try:
        name = checked_name(text)
    except ConfigError:
        return
    assert name
    assert name == " ".join(name.split())
    assert not name.removeprefix("#").isdigit()


def test_a_killed_writer_costs_only_its_own_line(tmp_path):
    log = tmp_path / "edits.jsonl"
    append_edit(log, edit_of("hide", 0, DECODER))
    whole = log.read_bytes()
    append_edit(log, edit_of("hide", 1, DECODER))
    for cut in (1, 10, len(log.read_bytes()) - len(whole) - 1):
        log.write_bytes(log.read_bytes()[: len(whole) + cut])
        assert [edit.concept for edit in read_edits(log)] == [0]
        append_edit(log, edit_of("hide", 2, DECODER))
        assert [edit.concept for edit in read_edits(log)] == [0, 2]
    log.write_bytes(b"x" * 200_000)  # nothing but an unfinished line, longer than a block
    append_edit(log, edit_of("hide", 3, DECODER))
    assert [edit.concept for edit in read_edits(log)] == [3]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(direction="%%%"),
        lambda record: record.update(direction=""),
        lambda record: record.update(direction="AAA="),
        lambda record: record.update(direction=5),
        lambda record: record.update(action="burn"),
        lambda record: record.update(text=None),
        lambda record: record.update(concept="x"),
        lambda record: record.pop("time"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, change):
    log = tmp_path / "edits.jsonl"
    append_edit(log, edit_of("hide", 0, DECODER))
    record = json.loads(log.read_text())
    change(record)
    log.write_text(log.read_text() + json.dumps(record) + "\n")
    with pytest.raises(RunError, match="damaged") as caught:
        read_edits(log)
    assert "line 2" in caught.value.where


def test_a_newer_format_is_named(tmp_path):
    log = tmp_path / "edits.jsonl"
    log.write_text(json.dumps({"format": 2}) + "\n")
    with pytest.raises(RunError, match="format 2"):
        read_edits(log)
    log.write_text("[]\n")
    with pytest.raises(RunError, match="damaged"):
        read_edits(log)


def test_a_log_that_can_not_be_written_or_read(tmp_path):
    with pytest.raises(RunError, match="could not be written"):
        append_edit(tmp_path, edit_of("hide", 0, DECODER))
    with pytest.raises(RunError, match="can't be read"):
        read_edits(tmp_path)


def _write(log, first):
    for j in range(first, first + 4):
        append_edit(log, edit_of("hide", j, DECODER))


def test_several_writers_lose_nothing(tmp_path):
    log = tmp_path / "edits.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(log, first)) for first in (0, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(edit.concept for edit in read_edits(log)) == list(range(8))
