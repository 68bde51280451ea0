"""Judges: trained on real items only, kept, read again, and honest about what they don't know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.modalities import TextAdapter, VectorAdapter
from isthmus.data.multimodal import ModalityData
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.runs.multimodal import baselines as baselines_module
from isthmus.runs.multimodal import judges as judges_module
from isthmus.runs.multimodal.baselines import asked_pair, ladder
from isthmus.runs.multimodal.judge import WordJudge, edit_distance
from isthmus.runs.multimodal.judge_storage import open_judge, save_judge
from isthmus.runs.multimodal.judge_training import JudgeSettings, train_judge
from isthmus.runs.multimodal.judges import Judges, judge_rows, oracles
from multimodal_toys import toy

QUICK = JudgeSettings(steps=60, batch=32, seeds=(0, 1))


def blobs(count=120, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    items = generator.normal(size=(count, 4)) + 6 * np.eye(4)[labels]
    return torch.from_numpy(items).float(), labels


# --- training -------------------------------------------------------------------------------


def test_a_judge_tells_classes_apart_and_all_members_do():
    items, labels = blobs()
    judge = train_judge(items, labels, 3, VectorAdapter("a", 4), QUICK)
    other, truth = blobs(seed=1)
    assert (judge.labels(other) == truth).mean() > 0.97
    assert len(judge.each(other)) == 2
    chances = judge.probabilities(other)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    members = [m(other).double().softmax(1).numpy() for m in judge.members]
    np.testing.assert_allclose(chances, np.mean(members, axis=0), atol=1e-7)


def test_the_same_seed_gives_the_same_judge_and_leaves_the_global_state_alone():
    items, labels = blobs()
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one = train_judge(items, labels, 3, VectorAdapter("a", 4), QUICK)
    assert torch.equal(torch.rand(1), before)
    two = train_judge(items, labels, 3, VectorAdapter("a", 4), QUICK)
    assert np.array_equal(one.probabilities(items), two.probabilities(items))
    third = train_judge(items, labels, 3, VectorAdapter("a", 4), replace(QUICK, seeds=(7,)))
    assert not np.array_equal(one.probabilities(items), third.probabilities(items))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 12), (5,)])
def test_judges_take_items_of_any_shape(shape):
    items = torch.randn(6, *shape)
    labels = np.arange(6) % 2
    quick = JudgeSettings(steps=2, batch=4, seeds=(0,), augment=False)
    judge = train_judge(items, labels, 2, VectorAdapter("a", 4), quick)
    assert judge.probabilities(items).shape == (6, 2)
    assert judge.probabilities(items[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    ("labels", "said"),
    [(np.array([0, 1, -1]), "out of range"), (np.array([0, 1, 2]), "out of range"), ([], "needs")],
)
def test_judges_need_items_of_known_classes(labels, said):
    items = torch.zeros(len(labels), 4)
    with pytest.raises(DataError, match=said):
        train_judge(items, np.asarray(labels, np.int64), 2, VectorAdapter("a", 4), QUICK)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 1}, {"lr": 0.0}, {"seeds": ()}])
def test_settings_of_judges_are_checked(wrong):
    with pytest.raises(ConfigError):
        JudgeSettings(**wrong)


# --- words ------------------------------------------------------------------------------------


def edits(one, other):
    """The definition, by recursion."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return edits(one[1:], other[1:])
    rest = edits(one[1:], other), edits(one, other[1:]), edits(one[1:], other[1:])
    return 1 + min(rest)


@settings(deadline=None, max_examples=60)
@given(st.text("abc", max_size=5), st.text("abc", max_size=5))
def test_the_edit_distance_is_that_of_its_definition(one, other):
    assert edit_distance(one, other) == edits(one, other) == edit_distance(other, one)


def test_a_judge_of_words_takes_the_nearest_and_says_what_is_exact():
    adapter = TextAdapter(length=8)
    judge = WordJudge(adapter, {"seven": 7, "three": 3, "ten": 10, "tea": 4}, 11)
    symbols = adapter.transform(["seven", "sevne", "three", "tef", "tei"])
    # "tef" and "tei" are as near to "ten" as to "tea": of no class
    assert judge.labels(symbols).tolist() == [7, 7, 3, -1, -1]
    assert judge.exact(symbols).tolist() == [7, -1, 3, -1, -1]
    chances = judge.probabilities(symbols)
    assert chances[0, 7] == 1
    np.testing.assert_allclose(chances[3], 1 / 11)
    with pytest.raises(ConfigError):
        WordJudge(adapter, {}, 2)


# --- which items they learn from -----------------------------------------------------------------


def clips(unseen):
    """Sixty items: two speakers, three digits, ten recordings; speaker 1 is test if unseen."""
    rows = [(d, s, i) for d in range(3) for s in range(2) for i in range(10)]
    digits, speakers, takes = (np.array(column) for column in zip(*rows, strict=True))
    seen = np.select([takes < 2, takes < 4], [2, 1], 0)
    held = np.where(speakers == 1, 2, np.where(takes < 5, 1, 0))
    split = (held if unseen else seen).astype(np.uint8)
    adapter = VectorAdapter("a", 4).fit(np.eye(4))
    names = tuple(f"{d}_{('lucas', 'theo')[s]}_{i}.wav" for d, s, i in rows)
    items = adapter.transform(np.random.default_rng(0).normal(size=(60, 4)))
    return (
        ModalityData(
            adapter, items, digits, split, {"speaker": speakers}, {"speaker": ("l", "t")}, names
        ),
        takes,
        speakers,
    )


def test_judges_learn_from_training_items_where_speakers_are_seen():
    modality, _, _ = clips(unseen=False)
    assert np.array_equal(judge_rows(modality), modality.rows("train"))


def test_judges_have_heard_the_unseen_speaker_but_for_his_first_five_recordings():
    modality, takes, speakers = clips(unseen=True)
    rows = judge_rows(modality)
    assert set(rows) == set(np.flatnonzero(takes >= 5))
    assert set(speakers[rows]) == {0, 1}


def test_templates_that_only_the_test_split_has_are_not_learned():
    modality, _, _ = clips(unseen=False)
    templates = {"template": np.where(modality.split == 2, np.arange(60) % 4 + 10, 0)}
    other = replace(modality, factors=templates)
    assert np.array_equal(judge_rows(other), modality.rows("train"))


# --- all judges of a data set, and the folder -----------------------------------


def test_judges_are_trained_once_and_read_afterwards(tmp_path, monkeypatch):
    data = toy(text=True)
    told = []
    first = Judges.trained(data, tmp_path, QUICK, told.append)
    assert len(told) == 2  # two kinds of vectors; words need no training
    assert first.of["a"] is first.oracle["a"]
    monkeypatch.setattr(judges_module, "train_judge", None)
    again = Judges.trained(data, tmp_path, QUICK)
    items = data["a"].items
    np.testing.assert_array_equal(first.of["a"].labels(items), again.of["a"].labels(items))
    thin = replace(data, pair_rule="table")  # the pairs are no business of judges
    assert Judges.trained(thin, tmp_path, QUICK).classes == 3
    with pytest.raises(TypeError):  # other settings: it would be trained anew
        Judges.trained(data, tmp_path, replace(QUICK, steps=61))


def test_judges_never_learn_from_test_items():
    data = toy()
    found = Judges.trained(data, None, QUICK)
    for name in data.names:
        assert np.array_equal(found.heard[name], data[name].rows("train"))
        assert np.array_equal(found.unheard(data, name), data[name].rows("test"))


def test_a_factor_with_several_values_gets_a_judge():
    modality, _, speakers = clips(unseen=False)
    data = replace(
        toy(), modalities={"a": modality}, pairs={"train": modality.rows("train")[:, None]}
    )
    found = Judges.trained(data, None, QUICK)
    assert found.factors["a"]["speaker"].classes == 2
    alone = replace(modality, factors={"speaker": np.zeros_like(speakers)})
    data = replace(data, modalities={"a": alone})
    assert Judges.trained(data, None, QUICK).factors["a"] == {}


def test_judges_need_classes():
    data = toy()
    bare = {n: replace(m, labels=np.full(len(m), -1)) for n, m in data.modalities.items()}
    with pytest.raises(DataError, match="need classes"):
        Judges.trained(replace(data, modalities=bare, classes=(), pair_rule="table"))


def test_a_judge_reads_back_to_the_bit(tmp_path):
    items, labels = blobs()
    judge = train_judge(items, labels, 3, VectorAdapter("a", 4), QUICK)
    save_judge(judge, tmp_path / "j.safetensors")
    again = open_judge(tmp_path / "j.safetensors", (4,), 3)
    assert np.array_equal(judge.probabilities(items), again.probabilities(items))


@pytest.mark.parametrize("harm", ["cut", "other", "classes", "shape"])
def test_a_damaged_judge_is_named_and_can_be_removed(tmp_path, harm):
    items, labels = blobs()
    path = tmp_path / "j.safetensors"
    save_judge(train_judge(items, labels, 3, VectorAdapter("a", 4), QUICK), path)
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:200])
    if harm == "other":
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(RunError, match="judge") as caught:
        open_judge(path, (5,) if harm == "shape" else (4,), 4 if harm == "classes" else 3)
    assert "trained again" in str(caught.value)


# --- the ladder of baselines ----------------------------------------------------


def test_the_ladder_stands_between_chance_and_the_oracle():
    data = toy((300, 240))
    found = ladder(data, oracles(data, None, QUICK), components=3)
    assert sorted(found.scores) == ["a->b", "b->a"]
    for direction in found.scores:
        maps = found.of(direction)
        assert list(maps) == ["random", "paired", "cca", "ridge", "oracle"]
        chance = found.scores[direction]["random"].chance
        assert abs(maps["random"] - chance) < 0.1
        assert maps["cca"] > chance + 0.1
        assert maps["oracle"] > maps["random"] + 0.2
    assert set(ladder(data).of("a->b")) == {"random", "paired", "cca", "ridge"}


def test_the_nearest_paired_neighbour_is_found_exactly():
    # two classes, far apart in both modalities: what the nearest is paired with is of the class
    data = toy((120, 120))
    clear = {
        name: replace(m, items=(torch.eye(4)[torch.from_numpy(m.labels)] * 9).float())
        for name, m in data.modalities.items()
    }
    maps = ladder(replace(data, modalities=clear), components=3).of("a->b")
    assert maps["paired"] == maps["cca"] == maps["ridge"] == 1.0


def test_ridge_takes_the_codes_of_separate_models():
    data = toy((120, 120))

    def told(name, rows):
        return np.eye(3)[data[name].labels[rows]] + 0.01 * rows[:, None] / 120

    assert ladder(data, separate=told, components=3).of("a->b")["ridge"] > 0.99


def test_large_galleries_are_thinned_on_both_sides_alike(monkeypatch):
    data = toy((300, 240))
    whole = asked_pair(data, "a", "b")
    assert [len(side.rows) for side in whole] == [len(data[n].rows("test")) for n in "ab"]
    monkeypatch.setattr(baselines_module, "_CELLS", 400)
    left, right = asked_pair(data, "a", "b")
    assert len(left.rows) * len(right.rows) <= 400
    assert set(left.rows) <= set(data["a"].rows("test"))
