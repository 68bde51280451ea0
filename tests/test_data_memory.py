"""Arrays, tensors, torch data sets and dicts; layouts, ranges, guards."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, Subset, TensorDataset

from isthmus.data import Dataset, load
from isthmus.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


class Items(TorchDataset):
    """A map-style data set made of a list."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize(
    ("shape", "expected", "kind"),
    [
        ((20, 5), (5,), "vector"),
        ((20, 8, 9), (1, 8, 9), "image"),
        ((20, 8, 9, 1), (1, 8, 9), "image"),
        ((20, 8, 9, 3), (3, 8, 9), "image"),
        ((20, 8, 9, 4), (4, 8, 9), "image"),
        ((20, 3, 8, 9), (3, 8, 9), "image"),
        ((20, 1, 8, 9), (1, 8, 9), "image"),
        ((20, 3, 9, 3), (3, 9, 3), "image"),
        ((20, 3, 3, 4), (4, 3, 3), "image"),
        ((20, 2, 8, 8), (2, 8, 8), "image"),
    ],
)
def test_layouts(shape, expected, kind):
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    data = load(values)
    assert (data.shape, data.kind) == (expected, kind)
    assert np.shares_memory(data["train"].values, values)


def test_channels_last_pixels_arrive_at_the_right_place():
    values = RNG.integers(0, 256, (10, 8, 9, 3), dtype=np.uint8)
    data = load(values, validation=0, test=0)
    assert np.array_equal(data["train"].all().numpy(), values.transpose(0, 3, 1, 2))


def test_what_could_be_read_two_ways_is_noted():
    assert "could be read two ways" in load(RNG.random((9, 3, 9, 3))).notes[0]
    assert "no axis of 1, 3 or 4" in load(RNG.random((9, 2, 8, 8))).notes[0]
    assert "read as grey images 8 x 9" in load(RNG.random((9, 8, 9))).notes[0]


def test_tensors_are_channels_first_where_both_are_possible():
    values = RNG.random((9, 3, 3, 4))
    assert load(values).shape == (4, 3, 3)
    assert load(torch.from_numpy(values)).shape == (3, 3, 4)


@pytest.mark.parametrize("shape", [(20,), (20, 1, 2, 3, 4), (20, 0), (20, 0, 8)])
def test_shapes_that_are_no_samples_are_refused(shape):
    with pytest.raises(DataError, match="can't be read as samples"):
        load(np.zeros(shape))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.array([[1, None]] * 5, object), "pickle"),
        (np.ones((5, 2), complex), "complex"),
        (np.array([["a", "b"]] * 5), "text"),
        (np.zeros((5, 2), [("a", "f4")]), "named fields"),
        (np.zeros((5, 2), "M8[s]"), "dates"),
    ],
)
def test_types_that_are_no_real_numbers_are_refused(values, why):
    with pytest.raises(DataError, match=why):
        load(values)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_are_refused(n):
    with pytest.raises(DataError, match=r"fewer than 2 samples|no samples"):
        load(np.zeros((n, 3)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RNG.integers(0, 256, (30, 8, 8), dtype=np.uint8), (0, 255)),
        (RNG.integers(0, 2, (30, 8, 8), dtype=np.uint8), (0, 1)),
        (RNG.integers(0, 2, (30, 8, 8)).astype(bool), (0, 1)),
        (RNG.random((30, 8, 8)), (0, 1)),
        (RNG.random((30, 8, 8)) * 2 - 1, (-1, 1)),
        (RNG.integers(0, 256, (30, 8, 8)), (0, 255)),
        (RNG.integers(0, 17, (30, 8, 8)), None),
        (RNG.normal(size=(30, 8, 8)), None),
        (RNG.integers(0, 256, (30, 8), dtype=np.uint8), (0, 255)),
        (RNG.normal(size=(30, 8)), None),
    ],
)
def test_the_nominal_range(values, expected):
    assert load(values).range == expected


def test_bytes_that_are_only_zero_and_one_are_noted():
    data = load(RNG.integers(0, 2, (30, 8, 8), dtype=np.uint8))
    assert "The values are 0 and 1 only; their range was taken as 0 to 1, not to 255." in data.notes


def test_bytes_in_one_split_and_floats_in_another_have_no_known_range():
    data = load({"train": np.full((9, 4), 200, np.uint8), "test": RNG.random((3, 4))})
    assert data.range is None


def test_large_splits_are_not_searched_for_copies(monkeypatch):
    values = RNG.random((40, 3))
    splits = {"train": values, "test": values[:4]}
    monkeypatch.setattr("isthmus.data.guards._HASHED_BYTES", 40 * 3 * 8)
    assert not any("copies" in note for note in load(splits).notes)


def test_a_stated_range_is_taken_and_checked():
    values = RNG.integers(0, 17, (30, 8, 8), dtype=np.uint8)
    assert load(values, range=(0.0, 16.0)).range == (0.0, 16.0)
    values[3, 4, 5] = 17
    with pytest.raises(DataError, match="outside the range given"):
        load(values, range=(0.0, 16.0))
    with pytest.raises(ConfigError, match="from low to high"):
        load(values, range=(1.0, 1.0))


@pytest.mark.parametrize(
    ("bad", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")]
)
def test_the_first_bad_value_is_named_with_row_and_column_and_how_many(bad, word):
    values = RNG.random((50, 7))
    values[31, 2] = bad
    values[12, 5] = bad
    values[12, 6] = bad
    with pytest.raises(DataError) as caught:
        load(values)
    message = str(caught.value)
    assert "3 values are NaN or infinite, in 2 of 50 rows" in message
    assert f"row 12, column 5 is the first: {word}" in message
    assert "drop_bad_rows=True" in message


@given(rows=st.sets(st.integers(0, 39), min_size=1, max_size=20), chunk=st.integers(1, 50))
def test_bad_rows_are_all_found_whatever_the_chunks(rows, chunk):
    from isthmus.data.dataset import Samples
    from isthmus.data.guards import scan

    values = np.arange(120, dtype=np.float64).reshape(40, 3)
    values[sorted(rows), 1] = np.nan

    class Chunked(Samples):
        def chunks(self, rows=None):
            return super().chunks(chunk)

    found = scan(Chunked(values))
    assert found.bad.tolist() == sorted(rows)
    assert found.first == (min(rows), 1, "NaN")
    assert found.count == len(rows)
    assert (found.low, found.high) == (np.nanmin(values), np.nanmax(values))


def test_values_beyond_single_precision_count_as_infinite():
    values = RNG.random((10, 2))
    values[4, 1] = 1e39
    with pytest.raises(DataError, match="row 4, column 1 is the first: infinite"):
        load(values)


def test_bad_rows_are_left_out_by_choice_and_counted():
    values = np.stack([np.arange(50.0), RNG.random(50)], axis=1)
    values[[3, 30], 1] = [np.nan, np.inf]
    data = load((values, np.arange(50)), drop_bad_rows=True)
    assert "Left out 2 of 50 rows with NaN or infinite values." in data.notes
    kept = sorted(int(i) for split in data for i in data[split].all()[:, 0])
    assert kept == [i for i in range(50) if i not in (3, 30)]
    for split in data:
        assert data[split].label_array().tolist() == data[split].all()[:, 0].int().tolist()


def test_dropping_bad_rows_must_leave_something():
    with pytest.raises(DataError, match="fewer than 2 rows are free"):
        load(np.full((5, 2), np.nan), drop_bad_rows=True)


def test_constant_columns_are_counted():
    values = RNG.random((40, 5))
    values[:, [1, 3]] = 0.25
    assert any("2 of 5 columns never change" in note for note in load(values).notes)


def test_a_column_that_changes_once_late_is_not_constant():
    values = np.zeros((5000, 2))
    values[:, 0] = RNG.random(5000)
    values[4999, 1] = 1
    assert not any("never change" in note for note in load(values, validation=0, test=0).notes)


def test_the_kind_and_the_shape_must_agree():
    with pytest.raises(DataError, match="a table needs two axes"):
        Dataset.from_arrays(np.zeros((4, 8, 8)), kind="table")


def test_exact_copies_across_splits_are_noted():
    train = RNG.random((40, 3))
    test = np.concatenate([RNG.random((5, 3)), train[:4]])
    data = load({"train": train, "test": test}, validation=0)
    assert "4 of 9 test samples are exact copies of training samples." in data.notes
    clean = load({"train": train, "test": test[:5]}, validation=0)
    assert not any("copies" in note for note in clean.notes)


def test_labels_of_another_length_are_refused():
    with pytest.raises(DataError, match="9 labels for 10 samples"):
        load((np.zeros((10, 2)), np.zeros(9)))


@pytest.mark.parametrize("labels", [np.full(10, 0.5), np.array([np.nan] + [0.0] * 9)])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(DataError, match="labels must be whole numbers"):
        load((RNG.random((10, 2)), labels))


def test_labels_may_be_texts_a_column_or_whole_floats():
    values = RNG.random((4, 2))
    data = load((values, np.array(["b", "a", "c", "a"])), validation=0, test=0)
    assert data["train"].label_array().tolist() == [1, 0, 2, 0]
    assert data.label_names == ("a", "b", "c")
    column = load((values, np.array([[3.0], [1.0], [2.0], [1.0]])), validation=0, test=0)
    assert column["train"].label_array().tolist() == [3, 1, 2, 1]
    assert column["train"].label_array().dtype == np.int64


def test_text_labels_have_the_same_number_in_every_split():
    values = RNG.random((3, 2))
    data = load(
        {
            "train": (values, np.array(["b", "c", "c"])),
            "test": (values + 1, np.array(["a", "c", "b"])),
        },
        validation=0,
    )
    assert data.label_names == ("a", "b", "c")
    assert data["train"].label_array().tolist() == [1, 2, 2]
    assert data["test"].label_array().tolist() == [0, 2, 1]


def test_text_labels_that_are_numbers_sort_as_numbers():
    data = load((RNG.random((3, 2)), np.array(["10", "9", "2"])), validation=0, test=0)
    assert data.label_names == ("2", "9", "10")


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: TensorDataset(x, y),
        lambda x, y: Items([(x[i], y[i]) for i in range(len(x))]),
        lambda x, y: Items([(x[i].numpy(), int(y[i])) for i in range(len(x))]),
        lambda x, y: Subset(TensorDataset(x, y), range(len(x))),
        lambda x, y: (x, y),
        lambda x, y: (x.numpy(), y.numpy()),
    ],
)
def test_torch_data_sets_tensors_and_pairs_give_the_same(make):
    x = torch.rand(12, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    y = torch.arange(12)
    data = load(make(x, y), validation=0, test=0)
    assert torch.equal(data["train"].all(), x)
    assert data["train"].label_array().tolist() == y.tolist()


def test_torch_data_sets_without_labels_and_as_splits():
    items = Items([torch.full((4,), float(i)) for i in range(10)])
    data = load({"train": items, "test": Items(items.items[:3])}, validation=0)
    assert data["train"].labels is None
    assert [len(data[split]) for split in data] == [10, 3]


def test_pictures_in_a_torch_data_set_become_channels_first():
    from PIL import Image

    pixels = RNG.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
    data = load(Items([(Image.fromarray(p), 1) for p in pixels]), validation=0, test=0)
    assert np.array_equal(data["train"].values, pixels.transpose(0, 3, 1, 2))
    assert data.range == (0, 255)


def test_bfloat16_tensors_are_widened():
    values = torch.tensor([[1.5, 2.0], [3.0, -4.0]], dtype=torch.bfloat16)
    assert torch.equal(load(values, validation=0, test=0)["train"].all(), values.float())


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Items([torch.zeros(3), torch.zeros(4)]), r"item 1: shape \(4,\); item 0: \(3,\)"),
        (Items([(torch.zeros(3), 0), torch.zeros(3)]), "differ in shape or in having a label"),
        (Items([{"x": torch.zeros(3)}] * 3), "are dicts"),
        (Items([(torch.zeros(3), torch.zeros(10))] * 3), "one-hot"),
        (Items([torch.zeros(3)]), "fewer than 2 samples"),
        (Endless(), "only iterates"),
        ({"train": np.zeros((3, 2)), "holdout": np.zeros((3, 2))}, "'holdout'"),
        ({"train": np.zeros((3, 2)), "val": np.ones((3, 2)), "dev": np.ones((3, 2))}, "each once"),
        ({"test": np.zeros((3, 2))}, "needs the key train"),
        ({"train": 3}, "a int"),
        ({}, "needs the key train"),
        (3.5, "a float can't be read"),
    ],
)
def test_what_memory_can_not_be(source, message):
    with pytest.raises(DataError, match=message):
        load(source)


def test_a_torch_data_set_larger_than_the_limit_is_refused_after_one_item():
    class Counted(Items):
        reads = 0

        def __getitem__(self, i):
            Counted.reads += 1
            return torch.zeros(1000)

    with pytest.raises(DataError, match="the limit is"):
        load(Counted([0] * 1000), limit=100_000)
    assert Counted.reads == 1


def test_choices_that_would_be_ignored_are_refused():
    values = RNG.random((10, 2))
    with pytest.raises(ConfigError, match="colour, resize can't be chosen for data in memory"):
        load(values, resize=32, colour="grey")
    data = load(values)
    assert load(data) is data
    with pytest.raises(ConfigError, match="seed can't be chosen for a data set that is loaded"):
        load(data, seed=1)
    assert isinstance(data, Dataset)


def test_the_limit_may_come_from_the_environment(monkeypatch):
    from isthmus.data.options import default_limit

    monkeypatch.delenv("ISTHMUS_LIMIT", raising=False)
    assert default_limit() == 8 * 2**30
    monkeypatch.setenv("ISTHMUS_LIMIT", "1000")
    assert default_limit() == 1000
    for wrong in ("many", "0", "-5"):
        monkeypatch.setenv("ISTHMUS_LIMIT", wrong)
        with pytest.raises(ConfigError, match="ISTHMUS_LIMIT"):
            load(RNG.random((10, 2)))
