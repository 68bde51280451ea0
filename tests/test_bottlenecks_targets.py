"""Sparsity asked for as a result is reached on real images, and no latent dies."""

import functools

import numpy as np
import pytest

from isthmus.bottlenecks import L1, BatchTopK, KLSparse, TopK
from isthmus.models import Autoencoder
from isthmus.networks import MLP
from isthmus.training import Training, fit
from toys import digits, fitted_to

LATENT = 32
MEAN_IMAGE = 0.073  # mean squared error of the mean image


@functools.cache
def trained(bottleneck, weight_decay=0.0, epochs=120, batch_size=64):
    """Codes of the training images, the threshold of activity, and the validation error."""
    data = digits()
    network = MLP((64,), activation="GELU")
    model = fitted_to(Autoencoder(data.shape, network, bottleneck, seed=0), data)
    settings = Training(
        epochs=epochs, batch_size=batch_size, lr=3e-3, weight_decay=weight_decay, seed=0
    )
    history = fit(model, data, settings).history
    return model.encode(data["train"].all()).numpy(), model.waist.threshold, history


def l0_of(codes, threshold):
    return float((np.abs(codes) > threshold).sum(1).mean())


@pytest.mark.parametrize("wanted", [4, 8])
def test_an_l0_asked_for_is_met_within_five_per_cent(wanted):
    codes, threshold, history = trained(L1(LATENT, l0=wanted), epochs=200, batch_size=128)
    assert l0_of(codes, threshold) == pytest.approx(wanted, rel=0.05)
    assert (codes > threshold).any(0).all()  # no dead latent
    assert history["validation_mse"][-1] < 0.5 * MEAN_IMAGE


def test_a_mean_activation_asked_for_is_met_within_five_per_cent():
    for config in (
        L1(LATENT, mean_activation=0.1),
        L1(LATENT, mean_activation=0.1, unit="sigmoid"),
    ):
        codes, _, history = trained(config)
        assert float(codes.mean()) == pytest.approx(0.1, rel=0.05), config
        assert history["validation_mse"][-1] < 0.6 * MEAN_IMAGE


def test_every_kl_sparse_latent_is_within_ten_per_cent_of_the_target():
    codes, threshold, history = trained(KLSparse(LATENT, target=0.1), 1e-4)
    np.testing.assert_allclose(codes.mean(0), 0.1, rtol=0.1)
    assert (codes > threshold).any(0).all()
    # a constant code would meet the target too: this one carries the image
    assert history["validation_mse"][-1] < 0.2 * MEAN_IMAGE


def test_without_its_correction_the_same_small_weight_misses_the_target():
    codes, _, _ = trained(KLSparse(LATENT, target=0.1, correct=0.0), 1e-4)
    assert np.abs(codes.mean(0) / 0.1 - 1).max() > 0.15


@pytest.mark.parametrize("config", [TopK(LATENT, k=4), BatchTopK(LATENT, k=4)], ids=str)
def test_balanced_choices_leave_no_latent_dead(config):
    codes, threshold, history = trained(config, epochs=60)
    assert l0_of(codes, threshold) == pytest.approx(4, rel=0.05)
    assert (codes > threshold).any(0).all()
    assert history["validation_mse"][-1] < 0.5 * MEAN_IMAGE
