"""Runs of several modalities side by side: groups of seeds, statements, files, refusals."""

import csv
import json
from dataclasses import replace

import pytest
from PIL import Image

import isthmus as im
from cli_tools import refused, succeeded
from isthmus.errors import ConfigError
from isthmus.networks import MLP
from isthmus.runs.multimodal import MultimodalReport, compare_multimodal, train_multimodal
from multimodal_toys import toy

TINY = {"modalities": {"a": {"network": MLP((8,))}, "b": {"network": MLP((8,))}}}


def measured(score, *, seed=0, data=None, out=None, **settings):
    """A run that was hardly trained, with numbers of our own."""
    given = {"epochs": 1, "batch_size": 16, "threads": 1, "measure": False, "figures": False}
    run = train_multimodal("aligned", data or toy(), seed=seed, **given, **TINY, **settings)
    ways = {"a->b": {"map": score, "p@1": 1.0}, "b->a": {"map": 0.5}}
    run.report = MultimodalReport(
        ways,
        {
            "a->b": {"coherence": score, "variance_ratio": None, "frechet": 7.0},
            "a+b->c": {"coherence": 0.1},
        },
        leakage={"a": {"speaker": {"shared": 0.3, "private": None}}},
    )
    if out is not None:
        run.save(out)
    return run


def test_measures_leave_out_what_was_not_measured():
    assert measured(0.9).report.measures() == {
        "retrieval a->b, mAP": 0.9,
        "retrieval b->a, mAP": 0.5,
        "translation a->b, coherence": 0.9,
        "translation a->b, Frechet distance": 7.0,
        "speaker read from the shared code of a": 0.3,
    }


def test_runs_that_differ_in_their_seed_alone_are_one_group():
    runs = [measured(score, seed=seed) for seed, score in enumerate((0.9, 0.92, 0.94))]
    runs += [measured(score, seed=seed, shared=8) for seed, score in enumerate((0.5, 0.52, 0.51))]
    found = compare_multimodal([*runs, runs[0]])
    assert [group.seeds for group in found.groups] == [(0, 1, 2), (0, 1, 2)]
    assert found.groups[0].values["retrieval a->b, mAP"] == (0.9, 0.92, 0.94)
    assert "same training: counted once" in found.notes[0]
    # mean .92, standard error .02 / sqrt(3), t with 2 degrees of freedom 4.303
    assert "0.9200 ± 0.05" in found.text()
    assert any("retrieval a->b, mAP" in said and "higher" in said for said in found.statements)
    assert not any("b->a" in said for said in found.statements)  # the same in both


def test_one_seed_makes_no_statement_and_other_data_are_said():
    one, other = measured(0.9), measured(0.8, shared=8)
    assert compare_multimodal([one, other]).statements == (
        "One seed each: no statement about differences.",
    )
    assert compare_multimodal([one]).statements == ()
    elsewhere = measured(0.8, data=toy((90, 60)))
    found = compare_multimodal([one, elsewhere])
    assert found.statements == ()
    assert "measured on different data" in found.notes[-1]


def test_the_command_writes_table_figure_and_numbers(tmp_path):
    for seed, score in enumerate((0.9, 0.92)):
        measured(score, seed=seed, out=tmp_path / f"run-s{seed}")
    folders = (tmp_path / "run-s0", tmp_path / "run-s1")
    said = succeeded("compare", *folders, "--out", tmp_path / "out")
    assert "retrieval a->b, mAP" in said.out
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["groups"][0]["seeds"] == [0, 1]
    assert written["groups"][0]["values"]["retrieval a->b, mAP"]["mean"] == pytest.approx(0.91)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"comparison.png", "comparison.csv", "comparison.txt"} <= names
    assert "seeds 0, 1; toy" in said.out
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        drawn = {row["metric"] for row in csv.DictReader(file)}
    assert drawn == {"retrieval a->b, mAP", "retrieval b->a, mAP", "translation a->b, coherence"}
    with Image.open(tmp_path / "out" / "comparison.png") as image:
        assert "a->b mAP, b->a mAP, a->b coherence" in image.info["Description"]
    assert succeeded("compare", *folders, "--json").json["groups"][0]["name"] == "run"
    assert "--split" in refused(2, "compare", *folders, "--split", "validation")


def test_what_can_not_be_compared_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare_multimodal([])
    bare = measured(0.9)
    bare.report = None
    with pytest.raises(ConfigError, match="not measured"):
        compare_multimodal([bare])
    plain = im.train("linear", "digits", epochs=1, latent=2, out=tmp_path / "plain")
    with pytest.raises(ConfigError, match="one modality and of several"):
        compare_multimodal([measured(0.9), plain])
    measured(0.9, out=tmp_path / "several")
    both = refused(2, "compare", tmp_path / "plain", tmp_path / "several")
    assert "compare each kind by itself" in both


def test_items_of_ones_own_are_looked_among():
    data = replace(toy(), modalities=dict(toy().modalities))
    run = measured(0.9, data=data)
    items = [run.item("b", number) for number in (3, 4, 5)]
    hits = run.retrieve("a", run.item("a", 0), "b", top=2, among=items)
    assert [hit.name for hit in hits] == [str(hit.number) for hit in hits]
    assert len({hit.number for hit in hits}) == 2
    assert hits[0].score >= hits[1].score
    assert all(hit.label is None for hit in hits)
