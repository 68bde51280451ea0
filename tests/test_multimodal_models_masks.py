"""Every model with every mask: the prior, exact zeros, and nothing that depends on order."""

import dataclasses

import pytest
import torch

from isthmus.errors import ConfigError, DataError
from isthmus.models.multimodal import MultimodalAutoencoder, Rows
from multimodal_models import NAMES, described, items, modality, rows, small

pytestmark = pytest.mark.parametrize("name", NAMES)


def test_a_row_with_nothing_is_the_prior(name):
    model = small(name)
    mask = {key: torch.tensor([False, True]) for key in "abc"}
    codes = model.encode(items(2), mask)
    assert torch.equal(codes.shared[0], torch.zeros(4))
    assert torch.equal(codes.log_variance[0].abs(), torch.zeros(4))
    assert all(float(weight[0]) == 0 for weight in codes.weight.values())
    assert all(not w[0].any() for w in codes.private.values())
    assert codes.shared[1].abs().sum() > 0


def test_a_row_with_nothing_costs_nothing_and_gives_no_nan(name):
    model = small(name).train()
    batch = rows(4, missing={(1, key) for key in "abc"})
    terms = model.terms(batch, torch.Generator().manual_seed(0))
    terms.loss.backward()
    assert terms.distortion[1] == 0
    assert abs(terms.rate[1].item()) < 1e-6
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert all(g.isfinite().all() for g in grads)


def test_rows_of_nothing_alone_give_no_nan(name):
    model = small(name).train()
    batch = rows(2, missing={(row, key) for row in (0, 1) for key in "abc"})
    loss = model.terms(batch, torch.Generator().manual_seed(0)).loss
    assert loss.isfinite()


@pytest.mark.parametrize("gone", ["a", "b", "c"])
def test_the_encoder_of_a_missing_modality_gets_exactly_no_gradient(name, gone):
    model = small(name).train()
    batch = rows(6, missing={(row, gone) for row in range(6)})
    model.terms(batch, torch.Generator().manual_seed(0)).loss.backward()
    for part in ("encoder", "decoder"):
        for parameter in getattr(model.channel(gone), part).parameters():
            assert parameter.grad is None or not parameter.grad.any()
    for other in set("abc") - {gone}:
        assert any(p.grad.any() for p in model.channel(other).encoder.parameters())


def test_what_a_masked_item_holds_makes_no_difference(name):
    model = small(name).train()
    clean = rows(6, missing={(0, "a"), (3, "a"), (3, "b"), (5, "c")})
    spoilt = dict(clean.items)
    spoilt["a"] = torch.where(clean.mask["a"][:, None], clean.items["a"], torch.tensor(1e9))
    other = Rows(spoilt, clean.mask, clean.labels)
    results = [model.terms(r, torch.Generator().manual_seed(0)).loss for r in (clean, other)]
    assert torch.equal(*results)
    hidden = dict(clean.items, a=spoilt["a"].masked_fill(~clean.mask["a"][:, None], float("nan")))
    assert model.encode(hidden, clean.mask).shared.isfinite().all()


def test_masked_equals_dropped(name):
    model = small(name)
    everything = items(5)
    masked = model.encode(everything, {"b": torch.zeros(5, dtype=torch.bool)})
    dropped = model.encode({key: everything[key] for key in "ac"})
    assert torch.equal(masked.shared, dropped.shared)
    assert torch.equal(masked.log_variance, dropped.log_variance)
    # and for the terms: a model that never had the modality, with the same weights
    full = small(name, [modality("a", (5,)), modality("b", (5,))])
    without = MultimodalAutoencoder([modality("a", (5,))], full.objective)
    state = full.state_dict()
    without.load_state_dict({key: state[key] for key in without.state_dict()})
    x = torch.randn(4, 5)
    there, gone = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
    labels = torch.arange(4)
    one = without.eval().terms(Rows({"a": x}, {"a": there}, labels), _seeded())
    two = full.eval().terms(Rows({"a": x, "b": x}, {"a": there, "b": gone}, labels), _seeded())
    assert torch.allclose(one.rate, two.rate, atol=1e-5)
    if name != "mopoe":  # whose draws of subsets leave other noise for the code
        assert torch.allclose(one.distortion, two.distortion, atol=1e-5)


def test_the_order_of_modalities_makes_no_difference(name):
    model, turned = small(name), small(name, described()[::-1])
    assert all(torch.equal(v, turned.state_dict()[k]) for k, v in model.state_dict().items())
    given = items(4)
    mask = {"a": torch.tensor([True, False, True, False])}
    one = model.encode(given, mask)
    two = turned.encode(dict(reversed(given.items())), mask)
    assert torch.allclose(one.shared, two.shared, atol=1e-6)
    assert torch.allclose(one.log_variance, two.log_variance, atol=1e-5)
    for key in "abc":
        assert torch.allclose(one.each[key], two.each[key], atol=1e-6)


def test_shares_of_the_joint_code_add_up(name):
    codes = small(name).encode(items(5), {"b": torch.tensor([True, False, True, True, False])})
    total = torch.stack(list(codes.weight.values())).sum(0)
    assert (total <= 1 + 1e-5).all()
    assert (total > 0).all()
    assert codes.weight["b"][1] == 0
    assert codes.weight["b"][0] > 0
    if name != "poe":  # there the prior has a share
        assert torch.allclose(total, torch.ones(5), atol=1e-5)


def test_a_single_modality_is_enough_at_prediction(name):
    model = small(name)
    out = model.translate({"a": items(3)["a"]}, "c")
    assert out.shape == (3, 4)
    assert out.dtype == torch.int64
    assert model.translate({"c": items(3)["c"]}, "b").shape == (3, 3)
    drawn = model.translate({"c": items(3)["c"]}, "a", sample=True, generator=_seeded())
    assert drawn.shape == (3, 5)
    assert drawn.isfinite().all()
    again = model.translate({"c": items(3)["c"]}, "a", sample=True, generator=_seeded())
    assert torch.equal(drawn, again)


def test_what_is_wrong_is_said(name):
    model = small(name)
    with pytest.raises(ConfigError, match="no modality 'smell'"):
        model.encode({"smell": torch.zeros(2, 5)})
    with pytest.raises(ConfigError, match="no modality is given"):
        model.encode({})
    with pytest.raises(ConfigError, match="no modality 'smell'"):
        model.translate(items(2), "smell")
    with pytest.raises(DataError, match="the shape"):
        model.encode({"a": torch.zeros(2, 4)})
    with pytest.raises(DataError, match="differ in number"):
        model.encode({"a": torch.zeros(2, 5), "b": torch.zeros(3, 3)})
    with pytest.raises(DataError, match="NaN"):
        model.encode({"a": torch.full((2, 5), float("nan"))})
    with pytest.raises(DataError, match="whole numbers"):
        model.encode({"c": torch.full((2, 4), 6)})
    with pytest.raises(DataError, match="symbols"):
        model.encode({"c": torch.zeros(2, 4)})
    with pytest.raises(DataError, match="mask"):
        model.encode({"a": torch.zeros(2, 5)}, {"a": torch.ones(3, dtype=torch.bool)})
    with pytest.raises(DataError, match="shared codes"):
        model.decode(torch.zeros(2, 3))


def test_saving_and_loading_gives_the_same_model(name, tmp_path):
    model = small(name, seed=3)
    model.save_pretrained(tmp_path / "m")
    again = MultimodalAutoencoder.from_pretrained(tmp_path / "m")
    assert again.objective == model.objective
    assert again.names == model.names
    assert torch.equal(again.encode(items(3)).shared, model.encode(items(3)).shared)
    assert (tmp_path / "m" / "README.md").read_text().startswith("---")
    assert model.describe() == again.describe()


def test_weights_depend_on_the_seed_alone(name):
    torch.manual_seed(1)
    one, before = small(name, seed=5), torch.get_rng_state()
    torch.manual_seed(2)
    two = small(name, seed=5)
    assert all(torch.equal(v, two.state_dict()[k]) for k, v in one.state_dict().items())
    other = small(name, seed=6)
    assert any(not torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())
    torch.manual_seed(1)
    assert torch.equal(before, torch.get_rng_state())


def test_every_field_of_the_objective_is_documented(name):
    from isthmus.configs import field_docs

    objective = small(name).objective
    names = {f.name for f in dataclasses.fields(objective)}
    assert names == set(field_docs(type(objective)))


def _seeded():
    return torch.Generator().manual_seed(0)
