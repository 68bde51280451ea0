"""What is known exactly: linear models are PCA and probabilistic PCA; sampled likelihoods are true.

On ``digits`` everywhere; on MNIST, with the published numbers, where the data are.
"""

import functools
import math

import numpy as np
import pytest
import torch

import isthmus as im
from isthmus.data import Dataset
from isthmus.metrics import PCABaseline, linear_gaussian_nll
from isthmus.models import Autoencoder
from isthmus.training import Training, fit
from toys import digits, fitted_to

LATENT = 8


def flat(data: Dataset, model: Autoencoder, split: str) -> np.ndarray:
    """A split as the model sees it, (N, D) in float64."""
    x = model.preprocessing(data[split].all())
    return x.flatten(1).double().numpy()


@functools.cache
def pca(dims: int = LATENT) -> PCABaseline:
    data = digits()
    model = fitted_to(Autoencoder(data.shape, im.Linear(), im.Plain(dims)), data)
    return PCABaseline.fit(flat(data, model, "train"), dims)


def trained(data, bottleneck, likelihood=None, **settings):
    model = fitted_to(Autoencoder(data.shape, im.Linear(), bottleneck, likelihood), data)
    fit(model, data, Training(**settings))
    return model


@functools.cache
def linear() -> Autoencoder:
    return trained(digits(), im.Plain(LATENT), epochs=150, batch_size=128, lr=3e-2)


@functools.cache
def probabilistic(variance="learned", latent=LATENT) -> Autoencoder:
    likelihood = im.GaussianLikelihood(variance=variance)
    settings = {"epochs": 400, "batch_size": 256} if latent > LATENT else {"epochs": 150}
    return trained(digits(), im.Gaussian(latent), likelihood, lr=1e-2, **settings)


def decoder_of(model: Autoencoder) -> tuple[np.ndarray, np.ndarray]:
    """Weights (D, d) and bias (D,) of a linear decoder, in float64."""
    (layer,) = (m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear))
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def exact_nll(model: Autoencoder, x: np.ndarray) -> np.ndarray:
    weights, bias = decoder_of(model)
    return linear_gaussian_nll(x, bias, weights, float(model.readout.variance.detach()))


def sampled(model: Autoencoder, data: Dataset, split="test", samples=400, rows=0):
    """The importance-sampled likelihood of a split."""
    options = im.Evaluation(nll_samples=samples, nll_rows=rows)
    return im.evaluate(model, data, options, (split,))[split]


# ---------------------------------------------------------------- PCA


def test_a_linear_autoencoder_reaches_pcas_error():
    data, model = digits(), linear()
    x = flat(data, model, "test")
    expected = float(np.mean((x - pca().reconstruct(x)) ** 2))
    found = im.evaluate(model, data, splits=("test",))["test"]
    assert found.mse == pytest.approx(expected, rel=0.01)
    assert found.pca_mse == pytest.approx(expected, rel=1e-4)
    # and its columns span PCA's subspace, though they are not its components; the eighth
    # eigenvalue is so near the ninth that the last direction is not well determined
    own = np.linalg.qr(decoder_of(model)[0])[0]
    theirs = np.linalg.qr(pca().decode(np.eye(LATENT)).T - pca().mean.reshape(-1, 1))[0]
    assert np.linalg.svd(own.T @ theirs)[1][-2] > 0.999


def test_no_linear_autoencoder_beats_pca_on_what_it_was_trained_on():
    data, model = digits(), linear()
    x = flat(data, model, "train")
    assert im.evaluate(model, data, splits=("train",))["train"].mse >= 0.9999 * float(
        np.mean((x - pca().reconstruct(x)) ** 2)
    )


# ---------------------------------------------------------------- probabilistic PCA


def test_a_linear_vae_reaches_probabilistic_pcas_likelihood_and_variance():
    data, model = digits(), probabilistic()
    for split in ("train", "test"):
        x = flat(data, model, split)
        assert exact_nll(model, x).mean() == pytest.approx(pca().nll(x, LATENT).mean(), abs=0.5)
    expected = pca().noise_variance(LATENT)
    assert float(model.readout.variance.detach()) == pytest.approx(expected, rel=0.02)


def test_probabilistic_pca_is_the_best_that_a_linear_vae_can_do():
    """The exact likelihood of the training split is a maximum: nothing may exceed it."""
    x = flat(digits(), probabilistic(), "train")
    assert exact_nll(probabilistic(), x).mean() >= pca().nll(x, LATENT).mean() - 1e-3


def test_the_importance_sampled_likelihood_is_the_exact_one_within_its_own_error():
    data, model = digits(), probabilistic()
    found = sampled(model, data)
    expected = exact_nll(model, flat(data, model, "test")).mean()
    assert found.nll_rows == len(data["test"])
    assert 0 < found.nll_error < 0.1
    assert abs(found.nll - expected) < 4 * found.nll_error + 1e-3
    # the bound is below the likelihood, and close: the true posterior is a diagonal normal
    # up to a rotation, which training finds
    assert found.nll < -found.elbo < found.nll + 1
    assert found.rate + found.distortion == pytest.approx(-found.elbo)


def test_an_untrained_posterior_gives_the_same_likelihood_with_few_effective_samples():
    """The estimate corrects for whatever posterior it draws from; the effective size tells."""
    data, model = digits(), probabilistic()
    spoilt = fitted_to(
        Autoencoder(data.shape, im.Linear(), im.Gaussian(LATENT), model.likelihood), data
    )
    spoilt.load_state_dict(model.state_dict())
    with torch.no_grad():  # a posterior e^0.5 times too wide in every direction
        layer = next(m for m in spoilt.encoder.modules() if isinstance(m, torch.nn.Linear))
        layer.bias[LATENT:] += 1.0
    good, bad = (sampled(each, data, samples=2000) for each in (model, spoilt))
    assert bad.nll_ess < 0.5 * good.nll_ess
    assert bad.nll_error > 2 * good.nll_error
    expected = exact_nll(model, flat(data, model, "test")).mean()
    assert abs(bad.nll - expected) < 4 * bad.nll_error + 0.02
    assert -bad.elbo > -good.elbo + 1


# ---------------------------------------------------------------- active units


@pytest.mark.parametrize("variance", [0.33, 0.47, 0.6])
def test_active_units_are_the_eigenvalues_above_the_decoders_variance(variance):
    """A linear VAE of fixed variance keeps a latent for each larger eigenvalue, no more."""
    latent = 16
    model = probabilistic(variance, latent)
    expected = pca(latent).eigenvalues_above(variance)
    assert 1 <= expected < latent
    found = sampled(model, digits(), samples=1)
    assert found.active_units == expected
    means = model.encode(digits()["test"].all()).numpy()
    assert int((means.var(axis=0) > 0.01).sum()) == expected
    assert sum(kl > 0.01 for kl in found.kl_per_latent) == expected


# ---------------------------------------------------------------- MNIST


@pytest.fixture
def mnist(data_home, monkeypatch):
    monkeypatch.setenv("ISTHMUS_DATA", str(data_home))
    return im.load("mnist", validation=0)


@pytest.mark.needs_data
def test_mnist_a_linear_autoencoder_reaches_pcas_error(mnist):
    model = trained(mnist, im.Plain(32), epochs=8, batch_size=256, lr=1e-2)
    found = im.evaluate(model, mnist, splits=("test",))["test"]
    assert found.mse == pytest.approx(0.01683, rel=0.01)
    assert found.pca_mse == pytest.approx(0.01683, rel=1e-3)


@pytest.mark.needs_data
def test_mnist_a_linear_vae_reaches_probabilistic_pcas_likelihood(mnist):
    likelihood = im.GaussianLikelihood(variance="learned")
    settings = {"epochs": 32, "batch_size": 256, "lr": 1.5e-2, "beta2": 0.99}
    model = trained(mnist, im.Gaussian(32), likelihood, **settings)
    x = flat(mnist, model, "test")
    assert exact_nll(model, x).mean() == pytest.approx(-409.4, abs=0.5)
    assert float(model.readout.variance.detach()) == pytest.approx(0.01798, rel=0.02)
    found = sampled(model, mnist, samples=100, rows=200)
    part = mnist["test"].take(200, 0).all()
    exact = exact_nll(model, model.preprocessing(part).flatten(1).double().numpy()).mean()
    assert abs(found.nll - exact) < 4 * found.nll_error + 0.01


@pytest.mark.needs_data
def test_mnist_has_twelve_active_units_at_variance_one(mnist):
    likelihood = im.GaussianLikelihood(variance=1.0)
    model = trained(mnist, im.Gaussian(32), likelihood, epochs=15, batch_size=256, lr=3e-3)
    means = model.encode(mnist["test"].all()).numpy()
    assert int((means.var(axis=0) > 0.01).sum()) == 12


def test_the_numbers_of_probabilistic_pca_by_hand():
    """Two dimensions, variances 4 and 1, one latent: the noise is the rest, 1."""
    x = np.array([[2.0, 1.0], [-2.0, 1.0], [2.0, -1.0], [-2.0, -1.0]])
    found = PCABaseline.fit(x, 1)
    assert found.noise_variance(1) == pytest.approx(1.0)
    expected = 0.5 * (2 * math.log(2 * math.pi) + math.log(4) + 1 + 1)
    assert found.nll(x, 1) == pytest.approx([expected] * 4)
