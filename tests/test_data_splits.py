"""Splits: seeded, disjoint, complete, never mixed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.data import load
from isthmus.data.splits import carve, held_out_sizes
from isthmus.errors import ConfigError


def marked(n, start=0):
    """Vectors that tell which sample they are."""
    return np.stack([np.arange(start, start + n), np.random.default_rng(0).random(n)], axis=1)


def members(samples):
    return samples.all()[:, 0].int().tolist()


@given(n=st.integers(3, 300), seed=st.integers(0, 2**31), labelled=st.booleans())
def test_three_splits_are_disjoint_and_hold_everything(n, seed, labelled):
    labels = np.arange(n) % 3 if labelled else None
    n_validation, n_test = held_out_sizes(n, None, None, has_test=False, has_validation=False)
    parts = carve(np.arange(n) * 2, n_validation, n_test, seed, labels)
    assert [len(part) for part in parts] == [n - n_validation - n_test, n_validation, n_test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(0, 2 * n, 2))
    assert all(len(part) for part in parts)


def test_the_seed_decides_the_split():
    data = marked(200)
    first, again, other = load(data, seed=1), load(data, seed=1), load(data, seed=2)
    for split in ("train", "validation", "test"):
        assert members(first[split]) == members(again[split])
        assert members(first[split]) != members(other[split])


def test_unsplit_data_get_a_tenth_for_each_held_out_split():
    data = load(marked(200))
    assert [len(data[split]) for split in data] == [160, 20, 20]
    assert sorted(i for split in data for i in members(data[split])) == list(range(200))
    assert data.notes[0] == (
        "Held out 20 for validation and 20 for test of 200 samples, drawn with seed 0."
    )


def test_an_official_test_split_is_kept_and_validation_comes_from_training():
    data = load({"train": marked(100), "test": marked(30, 1000)})
    assert members(data["test"]) == list(range(1000, 1030))
    assert len(data["validation"]) == 5
    assert sorted(members(data["train"]) + members(data["validation"])) == list(range(100))


def test_all_three_official_splits_are_kept():
    data = load({"train": marked(50), "val": marked(10, 100), "test": marked(20, 200)})
    assert members(data["validation"]) == list(range(100, 110))
    assert members(data["train"]) == list(range(50))


def test_an_official_validation_split_without_test_gives_a_test_from_training():
    data = load({"train": marked(50), "dev": marked(10, 100)})
    assert [len(data[split]) for split in data] == [45, 10, 5]


def test_validation_of_an_official_set_has_at_most_5000_samples():
    assert held_out_sizes(60_000, None, None, has_test=True, has_validation=False) == (3000, 0)
    assert held_out_sizes(400_000, None, None, has_test=True, has_validation=False) == (5000, 0)


def test_shares_and_numbers_are_both_understood():
    sizes = {
        split: len(part) for split, part in load(marked(100), validation=7, test=0.2).splits.items()
    }
    assert sizes == {"train": 73, "validation": 7, "test": 20}
    assert list(load(marked(100), validation=0, test=0)) == ["train"]


def test_two_samples_leave_one_to_train_on():
    data = load(marked(2))
    assert [len(data[split]) for split in data] == [1, 1]
    assert "validation" not in data


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (60, 60), (100, 0)])
def test_splits_that_leave_nothing_are_refused(validation, test):
    with pytest.raises(ConfigError, match="no sample is left to train on"):
        load(marked(100), validation=validation, test=test)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ConfigError, match="a share from 0 to below 1"):
        load(marked(100), validation=share)


@given(seed=st.integers(0, 1000))
def test_stratified_splits_keep_each_class_within_one_sample(seed):
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    _, validation, test = carve(np.arange(1000), 100, 100, seed, labels)
    for part in (validation, test):
        counts = np.bincount(labels[part], minlength=3)
        assert np.abs(counts - [70, 25, 5]).max() <= 1


def test_splits_of_a_memory_map_copy_nothing(tmp_path):
    np.save(tmp_path / "x.npy", marked(100))
    data = load(tmp_path / "x.npy")
    assert data["train"].values is data["test"].values
    assert isinstance(data["train"].values, np.memmap)
