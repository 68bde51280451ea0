"""Tables of items that belong together: drawing, missing items, few pairs, batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.multimodal import ModalityData, MultimodalData, with_few_pairs, with_missing
from isthmus.data.multimodal.drawing import class_pairs, few_pairs, fixed_class_pairs
from isthmus.errors import ConfigError, DataError
from multimodal_toys import WORDS, toy

TOY = toy()
TRIO = toy(text=True)
EVERY = [(s, e) for s in (0, 1) for e in (0, 1, 2)]


def numbers(split):
    return {"train": 0, "validation": 1, "test": 2}[split]


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize("data", [TOY, TRIO, with_missing(TRIO, 0.5), with_few_pairs(TRIO, 2)])
def test_pairs_never_cross_splits_and_share_a_class(data):
    for split in ("train", "validation", "test"):
        for seed, epoch in EVERY:
            table = data.table(split, seed, epoch)
            assert len(table)
            for column, modality in zip(table.T, data.modalities.values(), strict=True):
                there = column[column >= 0]
                assert (modality.split[there] == numbers(split)).all()
            labels = np.stack(
                [
                    np.where(column >= 0, modality.labels[column], -1)
                    for column, modality in zip(table.T, data.modalities.values(), strict=True)
                ]
            )
            assert (np.where(labels < 0, labels.max(0), labels) == labels.max(0)).all()
            assert (table >= 0).any(axis=1).all()


def test_an_epoch_is_a_function_of_seed_and_epoch():
    assert np.array_equal(TOY.table("train", 0, 1), TOY.table("train", 0, 1))
    assert not np.array_equal(TOY.table("train", 0, 1), TOY.table("train", 0, 2))
    assert not np.array_equal(TOY.table("train", 0, 1), TOY.table("train", 1, 1))
    assert np.array_equal(TOY.table("test", 0, 1), TOY.table("test", 5, 7))


def test_items_are_used_evenly():
    columns = [(np.arange(60), np.arange(60) % 3), (np.arange(12), np.arange(12) % 3)]
    table = class_pairs(columns, 60, [0, 0])
    assert sorted(table[:, 0]) == list(range(60))  # each once
    assert np.bincount(table[:, 1]).tolist() == [5] * 12  # each five times
    twice = class_pairs(columns, 120, [0, 0])
    assert np.bincount(twice[:, 0]).tolist() == [2] * 60
    some = class_pairs(columns, 7, [0, 0])
    assert len(set(some[:, 0])) == 7


def test_the_fixed_table_is_frozen():
    # by hand from raw bits of PCG64, which numpy keeps: any change here is a change of data
    columns = [(np.arange(6), np.array([0, 1] * 3)), (np.arange(2), np.array([0, 1]))]
    assert fixed_class_pairs(columns, 6, 7).tolist() == FIXED
    bits = np.random.PCG64(7).random_raw(6)
    assert [row[0] for row in FIXED] == np.argsort(bits, kind="stable").tolist()


FIXED = [[3, 1], [4, 0], [0, 0], [2, 0], [5, 1], [1, 1]]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([(np.arange(2), np.array([0, -1])), (np.arange(2), np.array([0, 0]))], "need items"),
        ([(np.arange(0), np.array([0])), (np.arange(2), np.array([0, 0]))], "need items"),
        ([(np.arange(3), np.array([0, 1, 2])), (np.arange(2), np.array([0, 1]))], "class 2"),
    ],
)
def test_pairs_by_class_need_classes_on_both_sides(columns, words):
    with pytest.raises(DataError, match=words):
        class_pairs(columns, 5, [0])


# ---------------------------------------------------------------- batches


def test_a_batch_holds_what_the_table_says():
    table = np.array([[3, -1, 0], [-1, 2, -1], [7, 1, 4]])
    batch = TRIO.batch(table)
    assert len(batch) == 3
    assert {k: v.tolist() for k, v in batch.mask.items()} == {
        "a": [True, False, True],
        "b": [False, True, True],
        "word": [True, False, True],
    }
    assert torch.equal(batch.items["a"][2], TRIO["a"].items[7])
    assert torch.equal(batch.items["b"][1], TRIO["b"].items[2])
    for name in batch.items:
        assert not batch.items[name][~batch.mask[name]].any()  # missing is zeros
    assert batch.items["word"].dtype == torch.int64
    assert batch.labels.tolist() == [0, 2, 1]
    assert batch.rows.tolist() == table.tolist()


def test_a_batch_is_a_copy():
    before = TOY["a"].items.clone()
    for batch in TOY.batches("train", 16):
        batch.items["a"].zero_()
    assert torch.equal(TOY["a"].items, before)


def test_an_epoch_in_batches_is_the_table():
    rows = torch.cat([b.rows for b in TOY.batches("train", 10, seed=1, epoch=2)])
    assert np.array_equal(rows.numpy(), TOY.table("train", 1, 2))
    sizes = [len(b) for b in TOY.batches("train", 10)]
    assert sizes == [10, 10, 10, 10, 8]
    assert [len(b) for b in TOY.batches("train", 10, drop_last=True)] == [10] * 4
    with pytest.raises(ConfigError, match="at least one row"):
        next(TOY.batches("train", 0))


def test_a_split_or_modality_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no split called 'dev'"):
        TOY.table("dev")
    with pytest.raises(ConfigError, match="no modality called 'smell'") as caught:
        TOY["smell"]
    assert "a, b" in str(caught.value)
    with pytest.raises(ConfigError, match="no split called"):
        TOY["a"].rows("dev")


def test_some_of_the_modalities():
    data = TRIO.only(["word", "a"])
    assert data.names == ("word", "a")
    assert np.array_equal(data.pairs["test"], TRIO.pairs["test"][:, [2, 0]])
    thin = with_missing(TRIO, 0.6, modality=None).only(["a"])
    assert (thin.pairs["train"] >= 0).all()
    for names in ([], ["a", "a"], ["smell"]):
        with pytest.raises(ConfigError):
            TRIO.only(names)


# ---------------------------------------------------------------- what is refused


def spoiled(**changes):
    return replace(TOY, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pair_rule": "luck"}, "unknown rule"),
        ({"modalities": {}}, "at least one modality"),
        ({"pairs": {"test": TOY.pairs["test"]}}, "belong to train"),
        ({"pairs": {**TOY.pairs, "dev": TOY.pairs["test"]}}, "belong to train"),
        ({"pairs": {"train": TOY.pairs["test"]}}, "cross splits"),
        ({"pairs": {"train": TOY.pairs["train"][:, :1]}}, "a column of item numbers"),
        ({"pairs": {"train": TOY.pairs["train"].astype(float)}}, "a column of item numbers"),
        ({"pairs": {"train": TOY.pairs["train"] + 1000}}, "not there"),
        ({"pairs": {"train": np.full((1, 2), -2)}}, "not there"),
        ({"pairs": {"train": np.full((1, 2), -1)}}, "no modality at all"),
    ],
)
def test_a_table_that_can_not_be_is_refused(changes, words):
    with pytest.raises((ConfigError, DataError), match=words):
        spoiled(**changes)


def test_items_without_a_label_each_are_refused():
    a = TOY["a"]
    with pytest.raises(DataError, match="has 60 items"):
        replace(a, labels=a.labels[:-1])
    with pytest.raises(DataError, match="has 60 items"):
        replace(a, factors={"speaker": a.labels[:3]})
    with pytest.raises(DataError, match="adapter's shape"):
        replace(a, items=a.items[:, :2])


# ---------------------------------------------------------------- the digest


def test_the_digest_knows_splits_labels_and_tables():
    assert TOY.digest == toy().digest
    a = TOY["a"]
    relabelled = a.labels.copy()
    relabelled[0] = 1
    swapped = TOY.pairs["test"][::-1].copy()
    others = [
        toy(rule="table"),
        with_missing(TOY, 0.2),
        with_missing(TOY, 0.2, seed=1),
        with_few_pairs(TOY, 2),
        TRIO,
        spoiled(modalities={**TOY.modalities, "a": replace(a, labels=relabelled)}),
        spoiled(pairs={**TOY.pairs, "test": swapped}),
        spoiled(epoch_rows=47),
    ]
    assert len({data.digest for data in (TOY, *others)}) == 9


# ---------------------------------------------------------------- missing


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_items_go_missing_at_the_rate_and_no_row_loses_all(rate):
    big = toy((600, 600), text=False)
    big = replace(big, pairs={**big.pairs, "train": np.repeat(big.pairs["train"], 100, axis=0)})
    data = with_missing(big, rate, 3)
    table = data.pairs["train"]
    assert ((table >= 0).any(axis=1)).all()
    kept = (table == big.pairs["train"]) | (table == -1)
    assert kept.all()
    # a row that would lose both keeps one of them
    assert (table < 0).mean() == pytest.approx(rate - rate**2 / 2, abs=0.02)
    assert (table[:, 0] < 0).mean() == pytest.approx((table[:, 1] < 0).mean(), abs=0.03)
    assert np.array_equal(data.pairs["test"], big.pairs["test"])


def test_what_is_missing_stays_missing():
    data = with_missing(TRIO, 0.5, 1)
    assert data.pair_rule == "table"
    known = {tuple(row) for row in data.pairs["train"].tolist()}
    for epoch in range(3):
        table = data.table("train", 0, epoch)
        assert sorted(map(tuple, table.tolist())) == sorted(
            map(tuple, data.pairs["train"].tolist())
        )
        assert {tuple(row) for row in table.tolist()} == known
    assert "MCAR: 50% of items" in data.notes[-1]


def test_missing_by_what_it_would_be():
    data = with_missing(TRIO, 1.0, how="mnar", modality="b", classes=(1, 2))
    table = data.pairs["train"]
    labels = data.row_labels(table)
    assert (table[np.isin(labels, (1, 2)), 1] == -1).all()
    assert (table[labels == 0] >= 0).all()
    assert (table[:, [0, 2]] >= 0).all()


def test_other_splits_by_choice():
    data = with_missing(TOY, 0.5, splits=("train", "test"))
    assert (data.pairs["test"] < 0).any()
    assert (data.pairs["validation"] >= 0).all()


@pytest.mark.parametrize(
    "choice",
    [
        {"rate": -0.1},
        {"rate": 1.5},
        {"rate": 0.5, "how": "always"},
        {"rate": 0.5, "how": "mnar"},
        {"rate": 0.5, "how": "mnar", "modality": "a"},
        {"rate": 0.5, "classes": (1,)},
        {"rate": 0.5, "modality": "smell"},
        {"rate": 0.5, "splits": ("dev",)},
    ],
)
def test_choices_about_missing_that_make_no_sense_are_refused(choice):
    with pytest.raises(ConfigError):
        with_missing(TOY, **choice)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.integers(0, 100))
def test_missing_upon_missing_keeps_every_row(rate, seed):
    data = with_missing(with_missing(TRIO, rate, seed), rate, seed + 1)
    assert (data.pairs["train"] >= 0).any(axis=1).all()


# ---------------------------------------------------------------- few pairs


def test_few_pairs_by_class_and_everything_else_alone():
    data = with_few_pairs(TOY, 3, seed=1)
    table = data.pairs["train"]
    paired = table[(table >= 0).all(axis=1)]
    assert np.bincount(data.row_labels(paired)).tolist() == [3, 3, 3]
    assert len(np.unique(paired[:, 0])) == len(np.unique(paired[:, 1])) == 9
    for m, name in enumerate(data.names):  # every training item is there once
        column = table[:, m]
        assert sorted(column[column >= 0]) == data[name].rows("train").tolist()
    assert np.array_equal(data.pairs["test"], TOY.pairs["test"])


def test_rows_that_stand_alone_hide_their_class():
    data = with_few_pairs(TRIO, 2)
    for batch in data.batches("train", 64, epoch=1):
        there = torch.stack(list(batch.mask.values())).sum(0)
        assert (batch.labels[there < 2] == -1).all()
        assert (batch.labels[there > 1] >= 0).all()


def test_half_of_an_epoch_of_few_pairs_is_pairs():
    data = replace(with_few_pairs(TOY, 1), epoch_rows=1000)
    table = data.table("train", 0, 0)
    there = table >= 0
    assert len(table) == 1000
    assert there.all(axis=1).sum() == 500
    assert (there[:, 0] & ~there[:, 1]).sum() == 250
    pairs = {tuple(row) for row in table[there.all(axis=1)].tolist()}
    assert len(pairs) == 3  # no pair was made up
    assert not np.array_equal(table, data.table("train", 0, 1))


def test_a_mix_of_pairs_alone_or_of_single_rows_alone():
    pairs = np.array([[0, 0], [1, 1]])
    assert len(few_pairs(pairs, 7, [0])) == 7
    alone = np.array([[0, -1], [-1, 4], [2, -1]])
    table = few_pairs(alone, 10, [0])
    assert (table[:, 0] >= 0).sum() == (table[:, 1] >= 0).sum() == 5


@pytest.mark.parametrize(("data", "n"), [(TOY, 0), (TOY, 1000), (replace(TOY, classes=()), 1)])
def test_few_pairs_need_items_and_classes(data, n):
    with pytest.raises(ConfigError):
        with_few_pairs(data, n)


def test_labels_come_from_whoever_knows():
    a = TOY["a"]
    blind = replace(a, labels=np.full_like(a.labels, -1))
    data = replace(TOY, modalities={"a": blind, "b": TOY["b"]}, pair_rule="table")
    table = data.pairs["train"]
    assert np.array_equal(data.row_labels(table), TOY.row_labels(table))
    only_blind = np.column_stack([table[:, 0], np.full(len(table), -1)])
    assert (data.row_labels(only_blind) == -1).all()


def test_what_it_says_of_itself():
    assert repr(TOY) == "MultimodalData('toy', a 60, b 30, pairs by class)"
    assert TRIO["word"].name_of(1) == WORDS[1]
    assert TOY["a"].name_of(5) == "a 5"
    assert isinstance(TOY, MultimodalData)
    assert isinstance(TOY["a"], ModalityData)
    assert len(TOY["a"]) == 60
