"""Who moves the joint code: shares of what leaving a modality out changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import DataError
from isthmus.metrics.multimodal import leave_one_out


def test_shares_by_hand():
    """Without a the code turns by a right angle, without c by arccos 0.6, without b not at all."""
    whole = np.array([[2.0, 0.0], [0.0, 1.0]])
    without = {
        "a": np.array([[0.0, 5.0], [0.0, 1.0]]),
        "b": np.array([[1.0, 0.0], [0.0, 2.0]]),
        "c": np.array([[3.0, 4.0], [0.0, 3.0]]),
    }
    shares = leave_one_out(whole, without)
    # 1 - cos: 1, 0, 0.4; in the second row nothing moves
    assert shares["a"] == pytest.approx([1 / 1.4, 0])
    assert shares["b"] == pytest.approx([0, 0])
    assert shares["c"] == pytest.approx([0.4 / 1.4, 0])


@given(st.integers(3, 5), st.integers(1, 6), st.integers(0, 2**16))
def test_shares_sum_to_one_whatever_the_scale(modalities, rows, seed):
    generator = np.random.default_rng(seed)
    codes = generator.normal(size=(modalities + 1, rows, 4))
    without = {str(i): part for i, part in enumerate(codes[1:])}
    shares = leave_one_out(codes[0], without)
    assert sum(shares.values()) == pytest.approx(np.ones(rows))
    scaled = leave_one_out(codes[0] * 7, {name: part * 3 for name, part in without.items()})
    assert all(scaled[name] == pytest.approx(shares[name]) for name in shares)


def test_an_opposite_code_turns_furthest():
    whole = np.array([[1.0, 0.0]])
    without = {"a": -whole, "b": np.array([[0.0, 1.0]]), "c": whole}
    shares = leave_one_out(whole, without)
    assert [float(shares[name][0]) for name in "abc"] == pytest.approx([2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ({"a": np.ones((2, 3)), "b": np.ones((2, 3))}, "fewer than three"),
        ({"a": np.ones((2, 3)), "b": np.ones((3, 3)), "c": np.ones((2, 3))}, "with and without"),
        ({"a": np.ones((2, 3)), "b": np.full((2, 3), np.nan), "c": np.ones((2, 3))}, "without b"),
    ],
)
def test_what_tells_nothing_is_refused(without, said):
    with pytest.raises(DataError, match=said):
        leave_one_out(np.ones((2, 3)), without)
