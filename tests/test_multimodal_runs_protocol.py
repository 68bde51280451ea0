"""The protocol on models that are known: perfect, collapsed, drawing means, without classes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from isthmus.data.modalities import VectorAdapter
from isthmus.data.multimodal import ModalityData
from isthmus.errors import ConfigError, RunError
from isthmus.models.multimodal.codes import Codes
from isthmus.runs.multimodal import (
    Judges,
    JudgeSettings,
    MultimodalEvaluation,
    MultimodalReport,
    evaluate_multimodal,
)
from isthmus.runs.multimodal.measured_coherence import sources
from isthmus.runs.multimodal.measured_likeness import Likeness
from isthmus.runs.multimodal.report import summary
from isthmus.runs.multimodal.subject import Subject
from multimodal_toys import toy

SMALL = MultimodalEvaluation(queries=40, samples=2, train_rows=60, joint=20, rates=(0.0, 0.5))


def clear(sizes=(120, 90), **options):
    """Two kinds of vectors: the class in clear, a speaker, and noise."""
    data = toy(sizes, **options)
    generator = np.random.default_rng(1)
    modalities = {}
    for name, m in data.modalities.items():
        if m.adapter.kind == "text":
            modalities[name] = m
            continue
        speaker = generator.integers(0, 2, len(m))
        raw = np.column_stack([np.eye(3)[m.labels], speaker]) + 0.05 * generator.normal(
            size=(len(m), 4)
        )
        adapter = replace(VectorAdapter(name, 4), mean=None)
        modalities[name] = ModalityData(
            adapter, torch.from_numpy(raw).float(), m.labels, m.split, {"speaker": speaker}
        )
    return replace(data, modalities=modalities)


class Known:
    """A model that reads the class in clear; its decoder draws class means, in a voice or none."""

    def __init__(self, data, collapsed=False):
        self.names, self.data, self.collapsed = data.names, data, collapsed

    def _shared(self, name, items):
        if self.data[name].adapter.kind == "text":
            rows = (items[:, None] == self.data[name].items[:3][None]).all(2).float()
        else:
            rows = torch.eye(3)[items[:, :3].argmax(1)]
        return torch.ones_like(rows) if self.collapsed else rows

    def encode(self, items, mask=None):
        count = len(next(iter(items.values())))
        there = {n: torch.ones(count, dtype=torch.bool) for n in items} | dict(mask or {})
        each = {n: self._shared(n, x) * there[n][:, None] for n, x in items.items()}
        private = {
            n: x[:, 3:] * there[n][:, None]
            for n, x in items.items()
            if self.data[n].adapter.kind != "text"
        }
        total = torch.stack([m.float() for m in there.values()]).sum(0)
        weight = {n: m.float() / total for n, m in there.items()}
        joint = torch.stack(list(each.values())).sum(0) / total[:, None]
        return Codes(joint, torch.zeros_like(joint), private, each, weight, there)

    def decode(self, shared, private=None, to=None):
        found = {}
        for name in to or self.names:
            if self.data[name].adapter.kind == "text":
                found[name] = self.data[name].items[:3][shared.argmax(1)]
                continue
            voice = torch.full((len(shared), 1), 0.5)
            if private is not None and name in private:
                voice = private[name].round()
            found[name] = torch.cat([torch.eye(3)[shared.argmax(1)], voice], 1)
        return found

    def translate(self, items, to, *, style=None, sample=False, generator=None):
        codes = self.encode(items)
        own = None if style is None else self.encode({to: style}).private.get(to)
        private = None if own is None else {to: own.expand(len(codes), -1)}
        return self.decode(codes.shared, private, [to])[to]


@pytest.fixture(scope="module")
def data():
    return clear(text=True)


@pytest.fixture(scope="module")
def judges(data):
    return Judges.trained(data, None, JudgeSettings(steps=80, batch=32, seeds=(0,)))


@pytest.fixture(scope="module")
def perfect(data, judges):
    return evaluate_multimodal(Known(data), None, data, judges, options=SMALL)


def test_a_perfect_model_has_perfect_retrieval_in_all_six_directions(perfect):
    assert sorted(perfect.retrieval) == sorted(
        ["a->b", "b->a", "a->word", "word->a", "b->word", "word->b"]
    )
    for found in perfect.retrieval.values():
        assert found["map"] == found["p@1"] == found["r_precision"] == found["oracle"] == 1.0
        assert found["asymmetry"] == 0
        assert found["chance"] < 0.7
        assert {"random", "paired", "cca", "ridge", "interval"} <= set(found)


def test_coherence_covers_every_subset_of_sources(perfect):
    assert len(perfect.coherence) == 9
    assert sources(("a", "b", "c"), "c") == [("a",), ("b",), ("a", "b")]
    for name, found in perfect.coherence.items():
        assert found["coherence"] == found["mean"]["coherence"] == 1.0
        assert found["retrieve_then_decode"]["coherence"] == 1.0
        if name.endswith("word"):
            assert found["exact"] == found["mean"]["exact"] == 1.0
            assert found["variance_ratio"] is None


def test_a_decoder_of_class_means_is_found_out(perfect):
    assert perfect.coherence["a->b"]["coherence"] == 1.0
    assert perfect.coherence["a->b"]["variance_ratio"] == pytest.approx(0, abs=1e-6)


def test_likeness_has_the_floor_of_real_items_beside_it(judges):
    """Real items of the other split are as far as the floor; those of one class are further."""
    whole = clear((960, 240))
    subject = Subject(Known(whole), whole, None, judges, SMALL)
    likeness = Likeness(subject, "a", judges.of["a"])
    rows = whole["a"].rows("train")
    same = likeness.report(subject.items("a", rows[: len(whole["a"].rows("test"))]))
    one = rows[whole["a"].labels[rows] == 0]
    apart = likeness.report(subject.items("a", one))
    assert same["frechet"] < 3 * same["frechet_floor"] < apart["frechet"]
    assert likeness.report(subject.items("a", rows[:10])) == {}  # too few to tell
    assert Likeness(subject, "a", None).report(subject.items("a", rows)) == {}


def test_features_are_what_the_last_layer_reads(data, judges):
    judge, items = judges.of["a"], data["a"].items[:20]
    last = [m for m in judge.members[0].modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        logits = last(torch.from_numpy(judge.features(items)).float())
        assert torch.allclose(logits, judge.members[0](items), atol=1e-5)
    assert not last._forward_pre_hooks


def test_the_codes_tell_the_class_and_not_the_speaker(perfect):
    assert all(found["accuracy"] == 1.0 for found in perfect.probes.values())
    assert len(perfect.probes) == 7
    for name in "ab":
        told = perfect.leakage[name]["speaker"]
        assert told["private"] > 0.95
        assert told["shared"] < 0.8
        assert (told["chance"], told["split"]) == (0.5, "test")
    assert "word" not in perfect.leakage


def test_a_reference_keeps_its_voice_and_the_class_is_kept(perfect):
    assert sorted(perfect.style) == ["a->b", "b->a", "word->a", "word->b"]
    for found in perfect.style.values():
        assert found["speaker"]["class_kept"] == 1.0
        assert found["speaker"]["recognised"] > 0.95
        assert found["speaker"]["chance"] == 0.5


def test_pairs_are_told_from_mismatches(perfect):
    assert all(found["cosine"]["auc"] == 1.0 for found in perfect.mismatch.values())
    assert len(perfect.mismatch) == 3
    assert all(found["alignment"] == pytest.approx(1) for found in perfect.geometry.values())


def test_missing_items_cost_a_perfect_model_nothing(perfect):
    found = perfect.robustness
    assert found["probe"] == [1.0, 1.0]
    assert found["completion"] == [None, 1.0]  # nothing is missing at 0, so nothing was filled in
    assert found["probe_loss_at_half"] == 0.0
    assert perfect.contribution == {name: pytest.approx(1 / 3) for name in ("a", "b", "word")}


def test_judges_are_reported_on_items_that_they_have_not_heard(perfect, data):
    assert perfect.judges["a"]["items"] == len(data["a"].rows("test"))
    assert perfect.judges["a"]["real"] == perfect.judges["a"]["reconstructed"] == 1.0
    assert perfect.judges["a"]["members"] == [1.0]
    assert "round_trip" not in perfect.judges["a"]  # vectors make no sound


def test_text_is_reported_apart(perfect):
    assert perfect.summary["text_in_training"] is True
    assert perfect.summary["without text"]["retrieval_map"] == 1.0
    assert perfect.summary["with text"]["coherence"] == 1.0
    assert any("label in disguise" in note for note in perfect.notes)
    mixed = summary(
        {"image->audio": {"map": 0.5, "oracle": 0.9}, "word->audio": {"map": 1.0, "oracle": 1.0}},
        {},
        {"image": "image", "audio": "audio", "word": "text"},
    )
    assert mixed["without text"] == {"retrieval_map": 0.5, "retrieval_oracle": 0.9}
    assert mixed["with text"]["retrieval_map"] == 1.0


def test_a_collapsed_model_scores_exactly_chance(data, judges):
    found = evaluate_multimodal(Known(data, collapsed=True), None, data, judges, options=SMALL)
    for direction in found.retrieval.values():
        assert direction["map"] == pytest.approx(direction["chance"], abs=1e-12)
    assert found.coherence["a->b"]["coherence"] == pytest.approx(1 / 3)
    assert all(pair["cosine"]["auc"] == 0.5 for pair in found.mismatch.values())


def test_without_classes_an_item_finds_the_one_of_its_row():
    data = clear((36, 36))
    bare = {n: replace(m, labels=np.full(len(m), -1)) for n, m in data.modalities.items()}
    bare = replace(data, modalities=bare, classes=(), pair_rule="table")
    rows = np.stack([bare["a"].rows("test"), bare["b"].rows("test")], 1)
    bare = replace(bare, pairs={"train": bare.pairs["train"], "test": rows})

    class Numbered(Known):
        def encode(self, items, mask=None):
            found = super().encode(items, mask)
            name = next(iter(items))
            order = {tuple(x.tolist()): i for i, x in enumerate(bare[name].items[rows[:, 0]])}
            number = [order[tuple(x.tolist())] for x in items[name]]
            return replace(found, shared=torch.eye(len(rows))[number])

    found = evaluate_multimodal(Numbered(bare), None, bare, None, options=SMALL)
    assert found.retrieval["a->b"]["map"] == found.retrieval["b->a"]["map"] == 1.0
    assert found.retrieval["a->b"]["chance_p@1"] == pytest.approx(1 / len(rows))
    assert not found.coherence
    assert found.mismatch["a~b"]["cosine"]["auc"] == 1.0


def test_unseen_speakers_are_noted_and_probed_on_validation(data, judges):
    rows = {}
    for name, m in data.modalities.items():
        if name == "word":
            rows[name] = m
            continue
        speaker = np.where(m.split == 2, 2, m.factors["speaker"])
        rows[name] = replace(m, factors={"speaker": speaker})
    held = replace(data, modalities=rows)
    quick = JudgeSettings(steps=30, batch=32, seeds=(0,))
    found = evaluate_multimodal(
        Known(held), None, held, Judges.trained(held, None, quick), options=SMALL
    )
    assert found.leakage["a"]["speaker"]["split"] == "validation"
    assert "Every speaker of a in the test split is unseen in training." in found.notes
    assert found.judges["a"]["items"] < len(held["a"].rows("test"))  # the judge has heard the rest


def test_a_report_is_json_and_comes_back(perfect):
    text = json.dumps(perfect.as_json(), allow_nan=False)
    again = MultimodalReport.from_json(json.loads(text))
    assert again.as_json() == json.loads(text)
    assert {"map", "p@1", "chance", "oracle"} <= set(again.retrieval["a->b"])
    assert set(json.loads(text)["settings"]) >= {"queries", "seed", "digest"}


@pytest.mark.parametrize("values", [None, [], {}, {"retrieval": 1}, {"retrieval": {}, "odd": {}}])
def test_a_damaged_report_is_refused(values):
    with pytest.raises(RunError, match="damaged"):
        MultimodalReport.from_json(values)


def test_a_model_of_a_modality_that_the_data_lack_is_refused(data):
    with pytest.raises(ConfigError, match="has a modality 'word'"):
        evaluate_multimodal(Known(data), None, data.only(["a", "b"]))


@pytest.mark.parametrize(
    "wrong", [{"queries": 1}, {"samples": 1}, {"rates": (0.5, 0.2)}, {"rates": (2.0,)}]
)
def test_settings_of_an_evaluation_are_checked(wrong):
    with pytest.raises(ConfigError):
        MultimodalEvaluation(**wrong)


def test_only_test_items_are_translated_and_looked_for(data, judges):
    seen = {"a": set(), "b": set()}

    class Watched(Known):
        def translate(self, items, to, **rest):
            for name in set(items) & set(seen):
                seen[name] |= {tuple(row.tolist()) for row in items[name]}
            return super().translate(items, to, **rest)

    found = evaluate_multimodal(Watched(data), None, data, judges, options=SMALL)
    for name, rows in seen.items():
        test = data[name].items[torch.from_numpy(data[name].rows("test"))]
        assert rows
        assert rows <= {tuple(row.tolist()) for row in test}
    assert found.retrieval["a->b"]["queries"] == len(data["a"].rows("test"))
    assert found.retrieval["a->b"]["gallery"] == len(data["b"].rows("test"))
