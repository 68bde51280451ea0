"""Samples and data sets: what a batch is, what a split is, what is refused."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isthmus.data import Dataset, Samples, load
from isthmus.errors import ConfigError, DataError


def numbered(n=6, shape=(2,), dtype=np.float32):
    """Samples whose every value is the number of the sample."""
    values = np.zeros((n, *shape), dtype)
    values += np.arange(n, dtype=dtype).reshape(n, *[1] * len(shape))
    return values


@pytest.mark.parametrize("dtype", ["u1", "i2", "<f4", ">f4", "<f8", ">i4", "f2"])
def test_a_batch_is_raw_values_as_float32_whatever_the_type(dtype):
    batch = Samples(numbered(dtype=dtype)).batch(torch.tensor([4, 0, 4]))
    assert batch.dtype == torch.float32
    assert torch.equal(batch, torch.tensor([[4.0, 4.0], [0.0, 0.0], [4.0, 4.0]]))


def test_rows_choose_which_samples_belong():
    samples = Samples(numbered(), np.arange(6) * 10, np.array([5, 1, 3]))
    assert len(samples) == 3
    assert samples.batch(np.array([0, 2]))[:, 0].tolist() == [5, 3]
    assert samples.batch(slice(1, None))[:, 0].tolist() == [1, 3]
    assert samples.all()[:, 0].tolist() == [5, 1, 3]
    assert samples.label_array().tolist() == [50, 10, 30]


def test_a_mask_chooses_like_positions():
    mask = np.array([True, False, True])
    for rows in (None, np.array([5, 1, 3])):
        samples = Samples(numbered(6 if rows is not None else 3), None, rows)
        assert torch.equal(samples.batch(mask), samples.batch(np.array([0, 2])))


@pytest.mark.parametrize("index", [slice(0, 4), np.array([0, 1]), slice(None)])
def test_changing_a_batch_never_changes_the_data(index):
    values = numbered()
    Samples(values).batch(index).fill_(-1)
    assert values.min() == 0


def test_batches_of_a_view_with_channels_last_match_a_copy():
    pictures = np.random.default_rng(0).integers(0, 255, (5, 4, 6, 3), dtype=np.uint8)
    view = np.moveaxis(pictures, 3, 1)
    batch = Samples(view).batch(np.array([3, 1]))
    assert batch.is_contiguous()
    assert np.array_equal(batch.numpy(), np.ascontiguousarray(view)[[3, 1]].astype(np.float32))


@given(n=st.integers(1, 40), step=st.integers(1, 50), use_rows=st.booleans())
def test_chunks_cover_every_sample_once_in_order(n, step, use_rows):
    rows = np.arange(n)[::-1].copy() if use_rows else None
    samples = Samples(numbered(n), None, rows)
    chunks = list(samples.chunks(step))
    assert all(len(chunk) <= step for chunk in chunks)
    assert np.array_equal(np.concatenate(chunks), samples.all().numpy())


def test_take_draws_distinct_samples_and_repeats_with_its_seed():
    samples = Samples(numbered(100), np.arange(100), np.arange(20, 100))
    taken = samples.take(10, seed=1)
    assert len(set(taken.label_array().tolist())) == 10
    assert taken.label_array().min() >= 20
    assert np.array_equal(taken.rows, samples.take(10, seed=1).rows)
    assert not np.array_equal(taken.rows, samples.take(10, seed=2).rows)
    assert samples.take(1000, seed=1) is samples


def test_splits_are_shown_in_their_order_and_unknown_ones_are_named():
    data = Dataset.from_arrays(numbered(), test=numbered(2), validation=numbered(3))
    assert list(data) == ["train", "validation", "test"]
    assert "test" in data
    with pytest.raises(ConfigError, match="choose one of: train, validation, test"):
        data["holdout"]
    assert repr(data) == "Dataset('arrays', vector (2,), train 6, validation 3, test 2)"
    assert repr(data["test"]) == "Samples(2 of shape (2,), float32)"


def test_a_data_set_can_be_sent_to_another_process():
    data = load(np.random.default_rng(0).random((20, 3)))
    there = copy.deepcopy(data)
    assert torch.equal(there["test"].all(), data["test"].all())


def test_splits_of_different_shapes_are_refused():
    with pytest.raises(DataError, match=r"train \(2,\), test \(3,\)"):
        Dataset.from_arrays(numbered(shape=(2,)), test=numbered(shape=(3,)))


def test_a_data_set_without_training_samples_is_refused():
    with pytest.raises(DataError, match="needs a split called train"):
        Dataset("x", "x", {"test": Samples(numbered())}, "vector")


def test_from_arrays_takes_pairs_arranges_images_and_copies_nothing():
    pictures = np.zeros((4, 8, 9), np.uint8)
    data = Dataset.from_arrays((pictures, [3, 1, 2, 0]), test=torch.zeros(2, 8, 9).byte())
    assert (data.kind, data.shape, data.range) == ("image", (1, 8, 9), (0.0, 255.0))
    assert data["train"].label_array().tolist() == [3, 1, 2, 0]
    assert np.shares_memory(data["train"].values, pictures)


def test_from_arrays_refuses_labels_of_another_length():
    with pytest.raises(DataError, match="3 labels for 6 samples"):
        Dataset.from_arrays((numbered(), [1, 2, 3]))


def test_static_binarisation_draws_with_the_scaled_value_as_probability():
    values = np.repeat(np.array([[0, 4, 12, 16]], np.uint8), 20_000, axis=0)
    data = Dataset.from_arrays(values, test=values[:100], range=(0.0, 16.0))
    drawn = data.binarised(seed=3)
    train = drawn["train"].values
    assert train.dtype == np.uint8
    assert set(np.unique(train)) == {0, 1}
    assert drawn.range == (0.0, 1.0)
    share = train.mean(axis=0)
    assert share[0] == 0
    assert share[3] == 1
    assert np.abs(share[1:3] - [0.25, 0.75]).max() < 5 * np.sqrt(0.25 * 0.75 / 20_000)
    assert "seed 3" in drawn.notes[-1]


def test_static_binarisation_depends_on_the_seed_and_the_split_alone():
    values = np.full((50, 30), 128, np.uint8)
    data = Dataset.from_arrays((values, np.arange(50)), test=values)
    first, again, other = data.binarised(0), data.binarised(0), data.binarised(1)
    assert np.array_equal(first["test"].values, again["test"].values)
    assert not np.array_equal(first["test"].values, other["test"].values)
    assert not np.array_equal(first["test"].values, first["train"].values)
    assert first["train"].label_array().tolist() == list(range(50))
    alone = Dataset.from_arrays(values).binarised(0)
    assert np.array_equal(alone["train"].values, first["train"].values)


def test_binarising_needs_a_range_and_values_inside_it():
    with pytest.raises(ConfigError, match="unknown range"):
        Dataset.from_arrays(numbered()).binarised(0)
    with pytest.raises(DataError, match="outside the range 0 to 1"):
        Dataset.from_arrays(numbered(), range=(0.0, 1.0)).binarised(0)


def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, isthmus.data; print(sorted({'torch', 'numpy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_an_array_does_not_load_torch():
    code = (
        "import sys, numpy as np; from isthmus.data import load;"
        "load(np.random.rand(30, 3)); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there_and_unknown_ones_are_not():
    import isthmus.data

    for name in isthmus.data.__all__:
        assert getattr(isthmus.data, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        isthmus.data.nonsense  # noqa: B018
