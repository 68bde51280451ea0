"""The hourglass: its terms, its faces, the user's own halves, presets and variational helpers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.bottlenecks import L1, Contractive, Gaussian, KLSparse, Plain, TopK
from isthmus.data.dataset import Dataset, Samples
from isthmus.errors import ConfigError, DataError
from isthmus.likelihoods import MSE, Bernoulli
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.models import PRESETS, Autoencoder, Masking, Noise, preset
from isthmus.models.variational import (
    gaussian_waist,
    interpolate,
    kl_per_latent,
    log_weights,
    traverse,
)
from isthmus.networks import MLP, Conv, Linear
from isthmus.training import Training, fit
from toys import digits, fitted_to, same_state, vectors

IMAGES = np.random.default_rng(0).integers(0, 17, (30, 1, 8, 8)).astype(np.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def image_model(**parts):
    return fitted_to(Autoencoder((1, 8, 8), Conv((4, 6)), Plain(5), **parts), digits())


# ---------------------------------------------------------------- terms


def test_the_loss_is_the_mean_of_the_plain_sum_of_three_named_terms():
    model = Autoencoder((6,), MLP((5,)), L1(4, weight=0.1, unit="sigmoid"))
    x = torch.randn(7, 6, generator=seeded())
    terms = model.terms(x)
    codes = torch.sigmoid(model.encoder(x))
    out = model.decoder(codes)
    torch.testing.assert_close(terms.distortion, (out - x).square().mean(1))
    torch.testing.assert_close(terms.penalty, 0.1 * codes.sum(1))
    assert torch.equal(terms.rate, torch.zeros(7))
    total = (terms.distortion + terms.rate + terms.penalty).mean()
    torch.testing.assert_close(terms.loss, total)


def test_outside_training_the_squared_error_is_logged_whatever_the_likelihood():
    model = Autoencoder((6,), MLP((5,)), Gaussian(3, samples=4, bound="iwae"), Bernoulli())
    x = torch.rand(7, 6, generator=seeded())
    assert "mse" not in model.terms(x, seeded()).logs
    model.eval()
    z = model.waist(model.encoder(x), generator=seeded()).z
    expected = (torch.sigmoid(model.decoder(z.reshape(-1, 3)).reshape(4, 7, 6)) - x).square().mean()
    torch.testing.assert_close(model.terms(x, seeded()).logs["mse"], expected)


@pytest.mark.parametrize("corruption", [Masking(0.5), Noise(0.3)], ids=str)
def test_the_input_alone_is_corrupted_and_only_in_training(corruption):
    model = Autoencoder((6,), Linear(), Plain(3), corruption=corruption)
    x = torch.randn(9, 6, generator=seeded())
    noisy = model.terms(x, seeded(1))
    seen = corruption(x, seeded(1))
    out = model.decoder(model.encoder(seen))
    torch.testing.assert_close(noisy.distortion, (out - x).square().mean(1))  # the target is clean
    assert not torch.equal(noisy.distortion, model.terms(x, seeded(2)).distortion)
    model.eval()
    clean = (model.decoder(model.encoder(x)) - x).square().mean(1)
    torch.testing.assert_close(model.terms(x, seeded(1)).distortion, clean)


def test_corruptions_have_their_share_and_deviation():
    x = torch.ones(200, 50)
    assert float((Masking(0.3)(x, seeded()) == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float((Noise(0.2)(x, seeded()) - x).std()) == pytest.approx(0.2, rel=0.03)
    for build in (lambda: Masking(1.0), lambda: Masking(-0.1), lambda: Noise(-1.0)):
        with pytest.raises(ConfigError):
            build()


# ---------------------------------------------------------------- arrays in, arrays out


def test_what_goes_in_is_of_the_kind_that_comes_out():
    model = image_model()
    codes = model.encode(IMAGES)
    assert isinstance(codes, np.ndarray)
    assert codes.shape == (30, 5)
    assert codes.dtype == np.float32
    as_tensor = model.encode(torch.from_numpy(IMAGES))
    assert isinstance(as_tensor, torch.Tensor)
    np.testing.assert_array_equal(as_tensor.numpy(), codes)
    assert model.decode(codes).shape == (30, 1, 8, 8)
    np.testing.assert_array_equal(model.reconstruct(IMAGES), model.decode(codes))


def test_encoding_does_not_depend_on_the_batch_size():
    model = image_model()
    np.testing.assert_allclose(
        model.encode(IMAGES), model.encode(IMAGES, batch_size=7), rtol=1e-5, atol=1e-6
    )


def test_decoding_returns_raw_units():
    """Preprocessing maps 0..16 to 0..1; what is decoded is mapped back."""
    model = image_model()
    x = model.reconstruction(model.embed(torch.from_numpy(IMAGES / 16).float()))
    np.testing.assert_allclose(model.reconstruct(IMAGES), 16 * x.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a.astype(">f8"),
        lambda a: np.asfortranarray(a),
        lambda a: a.tolist(),
        lambda a: a.astype(np.float16),
        lambda a: a.astype(np.int64),
        lambda a: a[:0],
    ],
    ids=["reversed", "big-endian", "fortran", "list", "float16", "int64", "empty"],
)
def test_arrays_of_any_layout_are_read(view):
    given = view(IMAGES)
    plain = np.array(given, dtype=np.float32).reshape(-1, 1, 8, 8)
    model = image_model()
    np.testing.assert_allclose(model.encode(given), model.encode(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 8, 8)),
        np.zeros((3, 1, 8, 9)),
        np.full((3, 1, 8, 8), np.nan),
        np.full((3, 1, 8, 8), np.inf),
        np.full((3, 1, 8, 8), 1e300),
        np.full((3, 1, 8, 8), "a"),
        np.full((3, 1, 8, 8), None),
    ],
    ids=["flat", "wide", "nan", "infinite", "beyond float32", "text", "objects"],
)
def test_bad_samples_are_refused_and_the_mode_is_kept(bad):
    model = image_model().train()
    with pytest.raises(DataError):
        model.encode(bad)
    assert model.training
    model.encode(IMAGES)
    assert model.training


def test_users_see_no_gradient_and_no_noise():
    model = Autoencoder((6,), MLP((5,), dropout=0.5), Gaussian(3), corruption=Noise(1.0)).train()
    x = torch.randn(4, 6)
    codes = model.encode(x)
    assert not codes.requires_grad
    assert torch.equal(codes, model.encode(x))
    assert torch.equal(model.reconstruct(x), model.decode(codes))


# ---------------------------------------------------------------- seeds


def test_weights_depend_on_the_seed_alone_and_leave_the_global_state():
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    one = Autoencoder((6,), seed=5)
    assert torch.equal(torch.rand(3), expected)
    assert same_state(one, Autoencoder((6,), seed=5))
    assert not same_state(one, Autoencoder((6,), seed=6))


# ---------------------------------------------------------------- the user's own halves


class OwnEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.gru(x)[1][0]


def own_halves(width=4):
    return OwnEncoder(), nn.Sequential(nn.Linear(width, 15), nn.Unflatten(1, (5, 3)))


def test_any_module_plugs_in_without_subclassing_and_trains():
    encoder, decoder = own_halves()
    model = Autoencoder((5, 3), bottleneck=Plain(4), encoder=encoder, decoder=decoder)
    values = vectors(80, 15)["train"].all().numpy().reshape(80, 5, 3)
    data = Dataset("sequences", "made here", {"train": Samples(values)}, "vector")
    history = fit(model, data, Training(epochs=15, batch_size=16, lr=1e-2)).history
    assert history["train_loss"][-1] < 0.8 * history["train_loss"][0]
    assert model.encode(values).shape == (80, 4)
    assert encoder.training is False


@pytest.mark.parametrize(
    ("bottleneck", "halves", "words"),
    [
        (Plain(6), own_halves(6), ["encoder", "(2, 4)", "(2, 6)", "nn.Linear(..., 6)"]),
        (Gaussian(4), own_halves(4), ["encoder", "(2, 4)", "(2, 8)", "nn.Linear(..., 8)"]),
        (
            Plain(4),
            (OwnEncoder(), nn.Linear(4, 15)),
            ["decoder", "(2, 15)", "(2, 5, 3)", "nn.Unflatten"],
        ),
    ],
)
def test_halves_of_the_wrong_shape_are_told_how_to_mend(bottleneck, halves, words):
    with pytest.raises(ConfigError) as caught:
        Autoencoder((5, 3), bottleneck=bottleneck, encoder=halves[0], decoder=halves[1])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_half_a_pair_of_halves_is_refused():
    with pytest.raises(ConfigError, match="both"):
        Autoencoder((5, 3), encoder=OwnEncoder())


# ---------------------------------------------------------------- presets


@pytest.mark.parametrize("one", PRESETS, ids=lambda p: p.name)
def test_every_preset_builds_and_takes_a_step(one):
    model = one.model((1, 8, 8), (0.0, 1.0))
    terms = model.terms(torch.rand(16, 1, 8, 8, generator=seeded()), seeded())
    terms.loss.backward()
    assert math.isfinite(float(terms.loss.detach()))
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert all(line for line in model.describe())


def test_settings_go_to_the_parts_that_have_them():
    changed, rest = preset("topk").with_settings({"latent": 20, "hidden": (9,), "lr": 0.1})
    assert changed.bottleneck == TopK(20, k=8)
    assert changed.network.hidden == (9,)
    assert rest == {"lr": 0.1}
    assert preset("topk").bottleneck.latent == 64


def test_parts_are_swapped_by_name():
    changed, _ = preset("dense").with_settings({"network": "conv", "likelihood": "bernoulli"})
    assert changed.network == Conv()
    assert changed.likelihood == Bernoulli()
    denoising, _ = preset("dense").with_settings({"corruption": "masking", "share": 0.1})
    assert denoising.corruption == Masking(0.1)
    assert preset("denoising").with_settings({"corruption": None})[0].corruption is None


def test_a_result_asked_for_replaces_the_presets_own():
    changed, _ = preset("sparse-l1").with_settings({"weight": 0.5})
    assert (changed.bottleneck.weight, changed.bottleneck.l0) == (0.5, None)


@pytest.mark.parametrize(
    "settings", [{"network": "gnn"}, {"latent": "wide"}, {"latent": -1}, {"k": 1000}]
)
def test_settings_that_do_not_fit_are_refused(settings):
    with pytest.raises(ConfigError):
        preset("topk").with_settings(settings)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'contractive'"):
        preset("contractiv")


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(("beta", "effective"), [(1.0, 392), (0.5, 196)])
def test_the_words_give_the_effective_beta_of_an_averaged_error(beta, effective):
    """mean over D of the squared error + w KL is a beta of w D / 2 at unit variance."""
    said = " ".join(
        Autoencoder((1, 28, 28), bottleneck=Gaussian(5, beta), likelihood=MSE()).describe()
    )
    assert f"effective beta of {effective} at unit variance" in said
    assert f"variance {effective}" in said


def test_the_words_name_the_corruption_and_the_sparsity():
    said = " ".join(Autoencoder((6,), bottleneck=TopK(8, k=2), corruption=Noise(0.1)).describe())
    assert "at most 2 of 8 latents (25.0%)" in said
    assert "Noise(deviation=0.1)" in said
    assert "about 3.2 of 64" in " ".join(Autoencoder((6,), bottleneck=KLSparse(64)).describe())


# ---------------------------------------------------------------- variational helpers


def test_log_weights_are_the_joint_over_the_posterior_by_torchs_densities():
    model = Autoencoder((6,), MLP((5,)), Gaussian(2), GaussianLikelihood(0.3))
    x = torch.randn(4, 6, generator=seeded())
    got = log_weights(model, x, 3, seeded(1))
    mean, log_variance = gaussian_waist(model).posterior(model.encoder(x))
    deviation = (0.5 * log_variance).exp()
    z = mean + deviation * torch.randn(3, 4, 2, generator=seeded(1))
    posterior = torch.distributions.Normal(mean, deviation).log_prob(z).sum(-1)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    out = model.decoder(z.reshape(12, 2)).reshape(3, 4, 6)
    likelihood = model.readout.distribution(out).log_prob(x)
    torch.testing.assert_close(got, likelihood + prior - posterior, rtol=1e-4, atol=1e-4)
    kl, means = kl_per_latent(model, x)
    assert torch.equal(means, mean)
    assert kl.shape == (4, 2)


def test_only_variational_models_have_them():
    with pytest.raises(ConfigError, match="variational"):
        gaussian_waist(Autoencoder((6,), bottleneck=Contractive(3)))
    with pytest.raises(ConfigError, match="no prior"):
        Autoencoder((6,)).sample(3)


def test_interpolations_and_traversals_by_hand():
    path = interpolate(torch.tensor([[0.0, 4.0]]), torch.tensor([[8.0, 0.0]]), 5)
    assert path[:, 0].tolist() == [[0, 4], [2, 3], [4, 2], [6, 1], [8, 0]]
    grid = traverse(torch.tensor([1.0, 2.0, 3.0]), [2, 0], torch.tensor([-1.0, 5.0]))
    assert grid.tolist() == [[[1, 2, -1], [1, 2, 5]], [[-1, 2, 3], [5, 2, 3]]]


def test_samples_are_seeded_and_in_raw_units():
    model = Autoencoder((1, 8, 8), Conv((4,)), Gaussian(3), Bernoulli())
    fitted_to(model, digits())
    drawn = model.sample(6, seed=1)
    assert drawn.shape == (6, 1, 8, 8)
    assert drawn.min() >= 0
    assert 1 < drawn.max() <= 16
    np.testing.assert_array_equal(drawn, model.sample(6, seed=1))
    assert not np.array_equal(drawn, model.sample(6, seed=2))
