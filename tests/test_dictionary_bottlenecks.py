"""The descriptions of bottlenecks that belong to dictionaries: defaults, weights, refusals."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isthmus.bottlenecks import (
    BOTTLENECKS,
    DICTIONARY_BOTTLENECKS,
    FSQ,
    L1,
    AnyK,
    BatchTopK,
    Contrastive,
    Gated,
    JumpReLU,
    KLSparse,
    Matryoshka,
    Plain,
    TopK,
)
from isthmus.bottlenecks.jumprelu import jump, step
from isthmus.configs import field_docs, from_json, to_json
from isthmus.errors import ConfigError
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.registry import OBJECTIVES

KINDS = [TopK, BatchTopK, Matryoshka, AnyK, L1, JumpReLU, Gated, KLSparse, Contrastive]


def test_every_bottleneck_of_the_issue_has_an_objective():
    assert set(OBJECTIVES) == set(KINDS)
    assert set(DICTIONARY_BOTTLENECKS.values()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_go_through_json_and_are_documented(kind):
    config = kind(latent=80)
    assert from_json(to_json(config), DICTIONARY_BOTTLENECKS) == config
    docs = field_docs(kind)
    assert all(docs[name].endswith((".", ").")) for name in vars(config)), docs


@pytest.mark.parametrize("kind", KINDS)
def test_latents_must_be_positive(kind):
    with pytest.raises(ConfigError, match="latent must be above 0"):
        kind(latent=0)


@pytest.mark.parametrize("kind", [Matryoshka, AnyK, Gated, Contrastive])
def test_those_of_a_linear_decoder_are_no_waists(kind):
    with pytest.raises(ConfigError, match=f"{kind.__name__} needs a linear decoder") as caught:
        kind(latent=80).build()
    assert f"SparseDictionary(dim, {kind.__name__}" in caught.value.fix
    assert kind.__name__ not in BOTTLENECKS


@pytest.mark.parametrize("bottleneck", [Plain(4), FSQ()])
def test_a_dictionary_refuses_what_it_can_not_have(bottleneck):
    with pytest.raises(ConfigError, match="can't have a") as caught:
        SparseDictionary(3, bottleneck)
    assert "Matryoshka" in caught.value.why


@pytest.mark.parametrize("kind", [TopK, BatchTopK, Matryoshka, AnyK, Contrastive])
@pytest.mark.parametrize("k", [0, -1, 9])
def test_k_must_fit(kind, k):
    with pytest.raises(ConfigError, match="k"):
        kind(latent=8, k=k)


@pytest.mark.parametrize("kind", [JumpReLU, Gated, L1])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"l0": 3, "weight": 0.1}, "ask for one of weight"),
        ({"l0": 0}, "l0 must lie between 0 and 8"),
        ({"l0": 8}, "l0 must lie between 0 and 8"),
        ({"weight": -0.1}, "can't be negative"),
    ],
)
def test_a_charge_is_a_weight_or_an_l0(kind, settings, said):
    with pytest.raises(ConfigError, match=said):
        kind(latent=8, **settings)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (L1(latent=8, unit="sigmoid"), "rectified"),
        (L1(latent=8, mean_activation=0.1), "l0, not for a mean activation"),
    ],
)
def test_a_dictionarys_l1_code_is_rectified_and_counted(config, said):
    with pytest.raises(ConfigError, match=said):
        SparseDictionary(3, config)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (Contrastive, {"mask": 1.0}, "mask must be in"),
        (Contrastive, {"mask": -0.1}, "mask must be in"),
        (Contrastive, {"weight": -1.0}, "weight can't be negative"),
        (Contrastive, {"temperature": 0.0}, "temperature must be above 0"),
        (JumpReLU, {"bandwidth": 0.0}, "bandwidth must be above 0"),
        (JumpReLU, {"threshold": 0.0}, "threshold must be above 0"),
        (Matryoshka, {"balance": 0.0}, "balance must be above 0"),
        (Matryoshka, {"prefixes": (2, 4)}, "all 8 latents"),
        (Matryoshka, {"prefixes": (4, 4, 8)}, "must rise"),
        (Matryoshka, {"prefixes": (0, 8)}, "must rise"),
        (AnyK, {"levels": (1, 2)}, "to k = 4"),
        (AnyK, {"levels": (2, 1, 4)}, "must rise"),
        (AnyK, {"levels": (0, 4)}, "must rise"),
    ],
)
def test_settings_that_make_no_sense(kind, settings, said):
    sizes = {"latent": 8} | ({} if kind is JumpReLU else {"k": 4})
    with pytest.raises(ConfigError, match=said):
        kind(**sizes, **settings)


# --- Matryoshka and any-k: how much each part counts --------------------------------------------


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=8, unique=True),
    st.floats(0.05, 20, allow_nan=False),
)
def test_prefix_weights_sum_to_one_and_stand_in_the_asked_ratio(sizes, balance):
    ends = tuple(sorted(sizes))
    weights = Matryoshka(ends[-1], k=1, prefixes=ends, balance=balance).weights
    assert math.isclose(sum(weights), 1)
    for smaller, larger in itertools.pairwise(weights):
        assert math.isclose(smaller, balance * larger, rel_tol=1e-9)


@pytest.mark.parametrize("latent", [1, 2, 3, 17, 3072])
def test_default_prefixes_double_up_to_all_latents(latent):
    ends = Matryoshka(latent, k=1).ends
    assert ends[-1] == latent
    assert all(1 <= a < b for a, b in itertools.pairwise(ends))
    if latent == 3072:
        assert ends == (192, 384, 768, 1536, 3072)


@given(st.integers(1, 3000))
def test_default_levels_rise_to_k_and_their_weights_sum_to_one(k):
    config = AnyK(3000, k=k)
    assert config.ends[-1] == k
    assert config.ends[0] == 1
    assert math.isclose(sum(config.weights), 1)
    # neighbouring levels are within a factor 2
    assert all(b <= 2 * a for a, b in zip(config.ends, config.ends[1:], strict=False))


def test_every_j_counts_the_same_with_all_levels():
    assert AnyK(9, k=5, levels=(1, 2, 3, 4, 5)).weights == (0.2,) * 5


# --- straight-through derivatives ---------------------------------------------------------------


@given(st.floats(0.05, 3), st.floats(0.01, 1), st.floats(-1, 4), st.floats(-3, 3).filter(bool))
def test_straight_through_derivatives_are_the_papers(theta, width, h, pull):
    """Equations 11 and 12 of arXiv:2407.14435, written for one number."""
    pre = torch.tensor([[h]], dtype=torch.float64, requires_grad=True)
    edge = torch.tensor([theta], dtype=torch.float64, requires_grad=True)
    inside = abs((h - theta) / width) < 0.5
    (pull * jump(pre, edge, width)).sum().backward()
    assert float(edge.grad) == pytest.approx(-pull * theta / width * inside)
    assert float(pre.grad) == (pull if h > theta else 0)
    edge.grad = pre.grad = None
    (pull * step(pre, edge, width)).sum().backward()
    assert float(edge.grad) == pytest.approx(-pull / width * inside)
    assert pre.grad is None or float(pre.grad) == 0


def test_the_window_lies_on_both_sides_of_the_threshold():
    edge = torch.tensor([1.0], requires_grad=True)
    pre = torch.tensor([[0.89], [0.95], [1.05], [1.11]])
    step(pre, edge, 0.2).sum().backward()
    assert float(edge.grad) == pytest.approx(-2 / 0.2)  # one of the two is below: not active
    assert step(pre, edge, 0.2)[:, 0].tolist() == [0, 0, 1, 1]
