"""What is known before training: moments in float64, constants, duplicates, bad rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isthmus.data.streams import checked, facts, open_vectors
from isthmus.data.streams.facts import _hashes
from isthmus.errors import DataError

VALUES = np.random.default_rng(0).normal(2, 3, (500, 8)).astype(np.float32)


@pytest.mark.parametrize("chunk", [64, 1 << 22])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_moments_are_those_of_float64_however_rows_are_cut(monkeypatch, chunk, offset):
    monkeypatch.setattr(facts, "_CHUNK_BYTES", chunk)
    values = VALUES + np.float32(offset)
    wide = values.astype(np.float64)
    found = checked(open_vectors(values))
    assert np.allclose(found.mean, wide.mean(axis=0), rtol=1e-13)
    assert found.variance == pytest.approx(wide.var(axis=0).sum(), rel=1e-10)
    lengths = np.linalg.norm(wide, axis=1)
    assert found.mean_norm == pytest.approx(lengths.mean(), rel=1e-12)
    assert found.norms == pytest.approx((lengths.min(), lengths.max()), rel=1e-12)
    assert (found.rows, found.dim, found.seen) == (500, 8, 500)
    assert (found.duplicates, found.bad_rows, len(found.constant_columns)) == (0, 0, 0)
    assert found.mean.dtype == np.float64


def test_the_variance_is_what_fvu_divides_by():
    found = checked(open_vectors(np.array([[0.0, 0.0], [2.0, 4.0]])))
    assert found.variance == 1 + 4
    assert found.mean.tolist() == [1, 2]


def test_constant_columns_are_noted_and_allowed():
    values = VALUES.copy()
    values[:, 3], values[:, 6] = 5, 0
    found = checked(open_vectors(values))
    assert found.constant_columns.tolist() == [3, 6]
    assert "2 of 8 columns never change: 3, 6." in found.notes


def test_many_constant_columns_are_not_all_listed():
    found = checked(open_vectors(np.ones((3, 20))))
    assert "20 of 20 columns never change: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...." in found.notes


@pytest.mark.parametrize("chunk", [64, 1 << 22])
def test_duplicates_are_counted_exactly(monkeypatch, chunk):
    monkeypatch.setattr(facts, "_CHUNK_BYTES", chunk)
    values = VALUES.copy()
    values[[10, 20, 499]] = values[[9, 9, 0]]
    values[30, 0], values[31] = 0.0, values[30]
    values[31, 0] = -0.0  # the same number
    values[40] = values[41]
    values[40, 7] = np.nextafter(values[41, 7], 9, dtype=np.float32)  # not the same
    values[50] = values[51][::-1]
    found = checked(open_vectors(values))
    assert found.duplicates == 4
    assert "4 of the 500 rows are exact copies of an earlier one." in found.notes


@settings(deadline=None)
@given(
    values=arrays.arrays(np.float32, (4, 5), elements=st.floats(width=32)),
    factors=arrays.arrays(np.uint64, (2, 6)),
)
def test_hashes_are_the_multilinear_ones_in_whole_numbers(values, factors):
    bits = np.where(values == 0, np.float32(0), values).view(np.uint32)
    for row, found in zip(bits, _hashes(values, factors), strict=True):
        halves = []
        for c in factors.tolist():
            total = c[0] + sum(a * int(b) for a, b in zip(c[1:], row, strict=True))
            halves.append(total % (1 << 64) >> 32)
        assert int(found) == (halves[0] << 32) + halves[1]


def test_normalised_vectors_get_no_note():
    unit = VALUES / np.linalg.norm(VALUES, axis=1, keepdims=True)
    assert checked(open_vectors(unit)).notes == ()
    (note,) = checked(open_vectors(2 * unit)).notes
    assert note == "The vectors are not normalised: their lengths run from 2 to 2."


def test_bad_rows_are_named_with_their_number_or_left_out_and_counted():
    values = VALUES.copy()
    values[7, 2], values[7, 4], values[300, 0] = np.nan, np.inf, -np.inf
    with pytest.raises(DataError, match=r"2 of the 500 rows do[\s\S]*row 7, column 2: NaN"):
        checked(open_vectors(values))
    found = checked(open_vectors(values), drop_bad=True)
    rest = np.delete(values, [7, 300], axis=0).astype(np.float64)
    assert found.bad_rows == 2
    assert (found.rows, found.seen) == (500, 498)
    assert found.variance == pytest.approx(rest.var(axis=0).sum(), rel=1e-12)
    assert any("2 of the 500 rows hold NaN or infinite values" in note for note in found.notes)


def test_more_rows_than_asked_for_are_sampled_by_seed():
    values = np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32)
    values[:, 0] += np.linspace(0, 10, 20_000)  # sorted: a sample of one place would be off
    found = checked(open_vectors(values), sample_rows=2000, seed=1)
    assert found.seen == 2000
    assert found.mean[0] == pytest.approx(5, abs=0.3)
    assert "The 2,000 rows looked at are a sample of 20,000." in found.notes
    again = checked(open_vectors(values), sample_rows=2000, seed=1)
    assert np.array_equal(found.mean, again.mean)
    other = checked(open_vectors(values), sample_rows=2000, seed=2)
    assert not np.array_equal(found.mean, other.mean)


def test_fewer_than_two_good_rows_are_refused():
    with pytest.raises(DataError, match="fewer than 2 vectors"):
        checked(open_vectors(np.ones((1, 3))))
    values = np.full((5, 3), np.nan)
    values[2] = 1
    with pytest.raises(DataError, match="fewer than 2 vectors"):
        checked(open_vectors(values), drop_bad=True)
