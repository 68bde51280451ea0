"""Scaling: learned on one split, exact, invertible, and stored with the model."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isthmus.data import Preprocessing, Samples
from isthmus.errors import ConfigError

TABLE = Samples(np.array([[1.0, 10.0, 5.0], [3.0, 20.0, 5.0], [5.0, 60.0, 5.0]]))


def test_standardise_by_hand():
    p = Preprocessing.fit(TABLE, "table")
    assert p.method == "standardise"
    # means 3, 30, 5; deviations sqrt(8/3), sqrt(1400/3), and 1 for the constant column
    assert torch.allclose(p.shift, torch.tensor([3.0, 30.0, 5.0]))
    assert torch.allclose(p.scale, torch.tensor([(8 / 3) ** 0.5, (1400 / 3) ** 0.5, 1.0]))
    x = p(TABLE.all())
    assert torch.allclose(x.mean(0), torch.zeros(3), atol=1e-6)
    assert x[:, 2].tolist() == [0, 0, 0]


def test_centre_by_hand():
    p = Preprocessing.fit(TABLE, "vector")
    assert p.method == "centre"
    # sums of squares 8, 1400, 0 over 9 values
    assert p.scale.shape == (1,)
    assert p.scale.item() == pytest.approx((1408 / 9) ** 0.5)
    x = p(TABLE.all())
    assert x.square().mean().item() == pytest.approx(1.0)


def test_unit_uses_the_nominal_range_or_what_it_saw():
    nominal = Preprocessing.fit(TABLE, "image", "unit", range=(0.0, 100.0))
    assert nominal(torch.tensor([[0.0, 50.0, 100.0]])).tolist() == [[0.0, 0.5, 1.0]]
    assert nominal.output_range == (0.0, 1.0)
    seen = Preprocessing.fit(TABLE, "table", "unit")
    assert (seen.shift.item(), seen.scale.item()) == (1.0, 59.0)
    assert seen.output_range is None


def test_none_changes_nothing():
    p = Preprocessing.fit(TABLE, "table", "none")
    assert torch.equal(p(TABLE.all()), TABLE.all())
    assert torch.equal(Preprocessing.identity((3,))(TABLE.all()), TABLE.all())


def test_images_are_standardised_by_channel():
    generator = np.random.default_rng(0)
    pictures = generator.normal([[[[5.0]], [[-2.0]]]], [[[[3.0]], [[0.5]]]], (40, 2, 8, 8))
    p = Preprocessing.fit(Samples(pictures), "image", "standardise")
    assert p.scale.shape == (2, 1, 1)
    expected = pictures.transpose(1, 0, 2, 3).reshape(2, -1)
    assert torch.allclose(p.shift.flatten(), torch.tensor(expected.mean(1)).float())
    assert torch.allclose(p.scale.flatten(), torch.tensor(expected.std(1)).float())


def test_only_the_rows_of_the_split_are_learned_from():
    values = np.concatenate([np.zeros((5, 2)), np.full((5, 2), 1e6)])
    values[:5] = np.arange(10).reshape(5, 2)
    p = Preprocessing.fit(Samples(values, None, np.arange(5)), "table")
    assert torch.allclose(p.shift, torch.tensor([4.0, 5.0]))


def test_constant_columns_keep_scale_one_even_where_rounding_makes_a_spread():
    values = np.full((10_001, 2), 0.1, np.float32)
    values[:, 1] = np.linspace(0, 1, 10_001)
    p = Preprocessing.fit(Samples(values), "table")
    assert p.scale[0].item() == 1.0
    assert p(torch.tensor(values))[:, 0].abs().max() < 1e-6
    assert "1 with scale 1 because they never change" in p.describe()


def test_all_constant_data_stay_finite_by_every_method():
    samples = Samples(np.full((4, 3), 7.0))
    for method in ("unit", "standardise", "centre", "none"):
        assert torch.isfinite(Preprocessing.fit(samples, "vector", method)(samples.all())).all()


def test_streaming_agrees_with_one_pass_far_from_zero(monkeypatch):
    values = np.random.default_rng(1).normal(1000.0, 0.5, (997, 3))
    samples = Samples(values)
    monkeypatch.setattr(
        Samples, "chunks", lambda self: (values[i : i + 10] for i in range(0, 997, 10))
    )
    p = Preprocessing.fit(samples, "table")
    assert torch.allclose(p.scale, torch.tensor(values.std(0)).float(), rtol=1e-6)
    assert torch.allclose(p.shift, torch.tensor(values.mean(0)).float(), rtol=1e-7)


@settings(deadline=None, max_examples=60)
@given(
    values=arrays(np.float32, (7, 4), elements=st.floats(-1e3, 1e3, width=32)),
    method=st.sampled_from(["unit", "standardise", "centre", "none"]),
)
def test_inverse_undoes_forward(values, method):
    p = Preprocessing.fit(Samples(values), "vector", method)
    raw = torch.from_numpy(values)
    back = p.inverse(p(raw))
    assert torch.allclose(back, raw, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(values).max())))


@pytest.mark.parametrize("method", ["unit", "standardise", "centre", "none"])
@pytest.mark.parametrize("kind", ["image", "vector"])
def test_config_and_state_restore_the_module(kind, method):
    shape = (2, 8, 8) if kind == "image" else (5,)
    samples = Samples(np.random.default_rng(0).random((9, *shape)))
    p = Preprocessing.fit(samples, kind, method, range=(0.0, 1.0))
    restored = Preprocessing.from_config(json.loads(json.dumps(p.config())))
    restored.load_state_dict(p.state_dict())
    assert torch.equal(restored(samples.all()), p(samples.all()))
    assert restored.config() == p.config()
    assert restored.describe() == p.describe()


@pytest.mark.parametrize(
    "damage",
    [
        {"method": "magic"},
        {"shape": "abc"},
        {"shift_shape": [4]},
        {"scale_shape": [3, 3]},
        {"range": [1]},
        {"shape": None},
    ],
)
def test_a_damaged_config_is_refused(damage):
    config = Preprocessing.fit(TABLE, "table").config() | damage
    with pytest.raises(ConfigError, match="damaged"):
        Preprocessing.from_config(config)


def test_unknown_methods_and_kinds_are_refused():
    with pytest.raises(ConfigError, match="choose one of: auto, unit"):
        Preprocessing.fit(TABLE, "table", "minmax")
    with pytest.raises(ConfigError, match="sound"):
        Preprocessing.fit(TABLE, "sound")


def test_bytes_in_forward_and_plain_words():
    p = Preprocessing.fit(Samples(np.zeros((2, 1, 8, 8), np.uint8)), "image", range=(0.0, 255.0))
    assert p(torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)).max() == 1.0
    assert p.describe() == "values from 0 to 255 are mapped to 0 to 1"
    assert "unit, shape=(1, 8, 8), range=(0.0, 255.0)" in repr(p)
    assert "mean square is 1" in Preprocessing.fit(TABLE, "vector").describe()
