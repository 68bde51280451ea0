"""What a sweep holds constant is held, by number and not only by name."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.bottlenecks import L1, VQ, BatchTopK, Gaussian, KLSparse, Plain, TopK
from isthmus.errors import ConfigError
from isthmus.likelihoods import MSE, Bernoulli, Cosine, Laplace
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.models import Autoencoder, preset
from isthmus.networks import MLP
from isthmus.runs.holding import (
    HOLDS,
    TOLERANCE,
    effective_beta,
    expected_l0,
    held,
    parameters_of,
)

SHAPE = (1, 8, 8)


def test_what_can_be_held():
    assert set(HOLDS) == {"beta", "l0", "parameters"}
    with pytest.raises(ConfigError, match="can't hold 'width'") as caught:
        held("width", preset("dense"), {}, {}, SHAPE)
    assert "beta, l0, parameters" in str(caught.value)


# --- effective beta -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "beta", "effective"),
    [
        (MSE(), 0.01, 3.92),  # 0.01 * 784 / 2
        (GaussianLikelihood(0.5), 2.0, 1.0),
        (GaussianLikelihood(1.0), 4.0, 4.0),
        (GaussianLikelihood("learned"), 4.0, 4.0),
        (Bernoulli(), 3.0, 3.0),
        (Laplace(), 3.0, 3.0),
    ],
)
def test_effective_beta_by_hand(likelihood, beta, effective):
    assert effective_beta(likelihood, beta, 784) == pytest.approx(effective, rel=1e-12)


@pytest.mark.parametrize("variance", [0.1, 1.0, 3.0])
def test_equal_effective_betas_weigh_the_same_objective(variance):
    """Up to one factor and a constant the two losses are the same function of the weights."""
    D, beta = 6, 0.3
    x = torch.randn(20, D, generator=torch.Generator().manual_seed(0))

    def terms(likelihood, beta):
        model = Autoencoder((D,), MLP((5,)), Gaussian(2, beta=beta), likelihood, seed=1)
        return model.terms(x, torch.Generator().manual_seed(2))

    goal = effective_beta(MSE(), beta, D)
    other = goal / effective_beta(GaussianLikelihood(variance), 1.0, D)
    assert effective_beta(GaussianLikelihood(variance), other, D) == pytest.approx(goal)
    mse, gaussian = terms(MSE(), beta), terms(GaussianLikelihood(variance), other)
    constant = D / 2 * math.log(2 * math.pi * variance)
    one = (mse.distortion + mse.rate) * D / 2
    two = (gaussian.distortion - constant + gaussian.rate) * variance
    assert torch.allclose(one, two, atol=1e-5)


@given(
    st.floats(1e-4, 10),
    st.sampled_from([MSE(), GaussianLikelihood(0.2), GaussianLikelihood("learned"), Bernoulli()]),
    st.integers(1, 64),
)
def test_beta_is_held_exactly_when_likelihood_or_width_moves(beta, likelihood, latent):
    base = {"beta": beta, "likelihood": MSE()}
    every = base | {"likelihood": likelihood, "latent": latent}
    found = held("beta", preset("vae"), base, every, SHAPE)
    after, _ = preset("vae").with_settings(found.settings)
    goal = effective_beta(MSE(), beta, 64)
    assert effective_beta(likelihood, after.bottleneck.beta, 64) == pytest.approx(goal, rel=1e-12)
    assert after.bottleneck.latent == latent
    assert set(found.adjusted) <= {"beta"}


def test_beta_needs_no_change_when_only_the_width_moves():
    found = held("beta", preset("beta-vae"), {}, {"latent": 5}, SHAPE)
    assert (found.adjusted, found.settings) == ({}, {"latent": 5})
    assert "4 needs no change" in found.sentence


@pytest.mark.parametrize(
    ("name", "base", "said"),
    [
        ("dense", {}, "no beta to hold"),
        ("vae", {"capacity": 5.0}, "no beta to hold"),
        ("vae", {"likelihood": Cosine()}, "no effective beta"),
    ],
)
def test_models_without_an_effective_beta(name, base, said):
    with pytest.raises(ConfigError, match=said):
        held("beta", preset(name), base, base, SHAPE)


# --- L0 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waist", "l0"),
    [
        (TopK(32, k=5), 5.0),
        (BatchTopK(32, k=6), 6.0),
        (KLSparse(40, target=0.1), 4.0),
        (L1(64, l0=7.5), 7.5),
    ],
)
def test_expected_l0(waist, l0):
    assert expected_l0(waist) == pytest.approx(l0)


@pytest.mark.parametrize("waist", [Plain(4), L1(64, weight=0.1), Gaussian(4), VQ(8)])
def test_no_l0_is_asked_of_these(waist):
    with pytest.raises(ConfigError, match="no L0 to hold"):
        expected_l0(waist)


@given(st.sampled_from(["topk", "batch-topk", "sparse-l1", "sparse-kl"]), st.integers(9, 500))
def test_l0_is_held_exactly_when_the_width_moves(name, latent):
    base = preset(name)
    found = held("l0", base, {}, {"latent": latent}, SHAPE)
    after, rest = base.with_settings(found.settings)
    assert rest == {}
    assert after.bottleneck.latent == latent
    assert expected_l0(after.bottleneck) == pytest.approx(expected_l0(base.bottleneck), rel=1e-12)
    assert found.sentence


def test_l0_is_held_across_bottlenecks():
    base = {"bottleneck": TopK(64, k=8)}
    kl = held("l0", preset("topk"), base, {"bottleneck": KLSparse(32)}, SHAPE)
    assert kl.adjusted == {"target": 0.25}
    l1 = held("l0", preset("topk"), base, {"bottleneck": L1(32, weight=1.0)}, SHAPE)
    after, _ = preset("topk").with_settings(l1.settings)
    assert (after.bottleneck.l0, after.bottleneck.weight) == (8.0, None)


@pytest.mark.parametrize(
    ("base", "every", "said"),
    [
        ({}, {"latent": 8}, "8 active latents can't be held with 8 latents"),
        ({"bottleneck": KLSparse(64)}, {"bottleneck": TopK(64)}, "whole number"),
        ({}, {"bottleneck": Plain(64)}, "can't hold an L0"),
        ({"bottleneck": Plain(64)}, {}, "no L0 to hold"),
    ],
)
def test_an_l0_that_can_not_be_held(base, every, said):
    with pytest.raises(ConfigError, match=said):
        held("l0", preset("topk"), base, every, SHAPE)


# --- number of parameters -------------------------------------------------------------------------


def test_parameters_by_hand():
    # 64 -> 10 -> 3 -> 10 -> 64
    small, _ = preset("dense").with_settings({"hidden": (10,), "latent": 3})
    assert parameters_of(small, SHAPE) == (640 + 10) + (30 + 3) + (30 + 10) + (640 + 64)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 128), st.sampled_from([(256,), (64, 64), (512, 256, 128)]))
def test_parameters_are_held_within_tolerance(latent, hidden):
    base = preset("dense")
    found = held("parameters", base, {}, {"latent": latent, "hidden": hidden}, SHAPE)
    after, _ = base.with_settings(found.settings)
    goal = parameters_of(base, SHAPE)
    assert abs(parameters_of(after, SHAPE) - goal) <= TOLERANCE * goal
    assert after.bottleneck.latent == latent
    assert len(after.network.hidden) == len(hidden)
    assert f"{parameters_of(after, SHAPE):,} parameters" in found.sentence


def test_parameters_of_a_convolutional_network_are_held():
    base = preset("conv")
    found = held("parameters", base, {}, {"latent": 64}, (1, 28, 28))
    after, _ = base.with_settings(found.settings)
    goal = parameters_of(base, (1, 28, 28))
    assert abs(parameters_of(after, (1, 28, 28)) - goal) <= TOLERANCE * goal
    assert "channels" in found.adjusted


def test_nothing_is_adjusted_where_the_number_is_the_same():
    found = held("parameters", preset("dense"), {}, {"activation": "Tanh"}, SHAPE)
    assert found.adjusted == {}
    assert "nothing to adjust" in found.sentence


def test_a_network_without_hidden_widths_can_not_be_scaled():
    with pytest.raises(ConfigError, match="no hidden widths to scale"):
        held("parameters", preset("linear"), {}, {"latent": 4}, SHAPE)


def test_a_number_that_no_width_gives():
    base = {"hidden": (1,), "latent": 1}
    with pytest.raises(ConfigError, match="within 2%"):
        held("parameters", preset("dense"), base, {"hidden": (1,), "latent": 50}, SHAPE)
