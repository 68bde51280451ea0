"""The Gaussian bottleneck: KL, warm-up, capacity, free bits, and the importance-weighted bound."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.bottlenecks import Gaussian
from isthmus.bottlenecks.gaussian import gaussian_kl
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.models import Autoencoder
from isthmus.models.variational import log_weights
from isthmus.networks import Linear
from isthmus.training import Training, fit
from toys import vectors


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def said(mean, log_variance):
    """What an encoder must emit for a posterior: the log-variance passes a smooth bound."""
    raw = 12 * torch.atanh(torch.as_tensor(log_variance, dtype=torch.float32) / 12)
    return torch.cat([torch.as_tensor(mean, dtype=torch.float32), raw], dim=-1)


H = said([[1.0, 0.0], [0.0, 2.0]], [[0.0, math.log(0.25)], [0.0, math.log(4.0)]])
# by latent: 1/2 of (mean^2 + variance - 1 - log variance)
KL = torch.tensor([[0.5, 0.5 * (0.25 - 1 + math.log(4))], [0.0, 0.5 * (4 + 4 - 1 - math.log(4))]])


# ---------------------------------------------------------------- the divergence


def test_the_divergence_by_hand():
    code = Gaussian(2).build()(H, generator=seeded())
    torch.testing.assert_close(code.rate, KL.sum(1))
    assert float(code.logs["kl"]) == pytest.approx(float(KL.sum(1).mean()))
    assert code.z.shape == (2, 2)


@settings(max_examples=30, deadline=None)
@given(mean=st.floats(-3, 3), log_variance=st.floats(-4, 3))
def test_the_divergence_is_torchs_own(mean, log_variance):
    posterior = torch.distributions.Normal(
        torch.tensor(mean).double(), torch.tensor(0.5 * log_variance).double().exp()
    )
    prior = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())
    expected = torch.distributions.kl_divergence(posterior, prior)
    got = gaussian_kl(torch.tensor(mean).double(), torch.tensor(log_variance).double())
    torch.testing.assert_close(got, expected)


def test_beta_multiplies_the_rate_and_nothing_else():
    one, four = (Gaussian(2, beta=beta).build()(H, generator=seeded()) for beta in (1.0, 4.0))
    torch.testing.assert_close(four.rate, 4 * one.rate)
    assert torch.equal(four.z, one.z)
    assert four.logs["kl"] == one.logs["kl"]  # the history's KL is not weighted


def test_draws_have_the_posteriors_moments():
    waist = Gaussian(2, samples=20_000).build()
    z = waist(H, generator=seeded()).z
    assert z.shape == (20_000, 2, 2)
    torch.testing.assert_close(z.mean(0), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), atol=0.05, rtol=0)
    torch.testing.assert_close(z.var(0), torch.tensor([[1.0, 0.25], [1.0, 4.0]]), atol=0, rtol=0.06)
    assert torch.equal(waist.embed(H), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))


def test_extreme_log_variances_neither_overflow_nor_lose_their_gradient():
    raw = torch.tensor([[0.0, -60.0], [0.0, 60.0]], requires_grad=True)
    code = Gaussian(1).build()(raw, generator=seeded())
    code.rate.sum().backward()
    assert bool(code.rate.isfinite().all())
    assert bool((raw.grad[:, 1] != 0).all())


# ---------------------------------------------------------------- warm-up and capacity


def test_the_warm_up_counts_optimiser_steps_in_training_alone():
    waist = Gaussian(2, beta=2.0, kl_warmup_steps=4).build()
    rates = []
    for _ in range(6):
        rates.append(float(waist(H, generator=seeded()).rate[0]))
        waist.eval()
        whole = waist(H, generator=seeded()).rate[0]  # validation: the whole weight, uncounted
        assert float(whole) == pytest.approx(2 * float(KL[0].sum()))
        waist.train()
    shares = [rate / (2 * float(KL[0].sum())) for rate in rates]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    assert int(waist.steps) == 6


def test_the_step_count_is_part_of_the_state():
    waist = Gaussian(2, kl_warmup_steps=10).build()
    for _ in range(5):
        waist(H, generator=seeded())
    twin = Gaussian(2, kl_warmup_steps=10).build()
    twin.load_state_dict(waist.state_dict())
    assert twin.beta == waist.beta == 0.5


def test_the_capacity_is_charged_on_both_sides():
    low, high = float(KL[0].sum()), float(KL[1].sum())  # 0.81 and 2.81 nats
    assert low < 2 < high
    waist = Gaussian(2, capacity=2.0, capacity_steps=1, gamma=10.0).build()
    rate = waist(H, generator=seeded()).rate
    assert rate.tolist() == pytest.approx([10 * (2 - low), 10 * (high - 2)], rel=1e-5)


def test_the_capacity_rises_in_training_and_is_whole_outside():
    waist = Gaussian(2, capacity=8.0, capacity_steps=4).build()
    held = []
    for _ in range(5):
        waist(H, generator=seeded())
        held.append(waist.target_capacity)
    assert held == [2.0, 4.0, 6.0, 8.0, 8.0]
    assert Gaussian(2, capacity=8.0).build().eval().target_capacity == 8.0


# ---------------------------------------------------------------- free bits


def test_the_free_bits_floor_applies_after_the_batch_mean():
    """Latent means over the batch are 0.25 and 1.56 nats: the first lies below 0.5, though its
    first sample alone lies at it; the second above, though its first sample lies below."""
    waist = Gaussian(2, free_bits=0.5).build()
    got = float(waist(H, generator=seeded()).rate.mean())
    mean = KL.mean(0)
    after = float(torch.maximum(mean, torch.tensor(0.5)).sum())
    before = float(torch.maximum(KL, torch.tensor(0.5)).mean(0).sum())
    assert abs(after - before) > 0.05
    assert got == pytest.approx(after, rel=1e-5)


def test_free_latents_have_no_gradient_and_charged_ones_their_own():
    h = H.clone().requires_grad_()
    Gaussian(2, free_bits=0.5).build()(h, generator=seeded()).rate.mean().backward()
    free, charged = h.grad[:, [0, 2]], h.grad[:, [1, 3]]
    assert not free.any()
    torch.testing.assert_close(charged[:, 0], H[:, 1] / 2)  # d KL / d mean over a batch of two


def test_validation_reports_the_whole_divergence():
    waist = Gaussian(2, free_bits=0.5).build().eval()
    torch.testing.assert_close(waist(H, generator=seeded()).rate, KL.sum(1))


# ---------------------------------------------------------------- several samples


def variational(seed=0, **settings):
    return Autoencoder((6,), Linear(), Gaussian(2, **settings), GaussianLikelihood(0.5), seed=seed)


X = torch.randn(4, 6, generator=seeded(5))


def test_distortion_plus_rate_is_the_importance_weighted_bound():
    model = variational(samples=7, bound="iwae")
    terms = model.terms(X, seeded(1))
    log_w = log_weights(model, X, 7, seeded(1))
    bound = -(log_w.logsumexp(0) - math.log(7))
    assert terms.distortion.shape == (4,)
    torch.testing.assert_close(terms.distortion + terms.rate, bound)


def test_the_importance_weighted_gradient_weighs_samples_by_their_softmax():
    """d bound = sum_s w_s d(-log w_s), with normalised weights held constant."""
    model = variational(samples=5, bound="iwae")
    model.terms(X, seeded(1)).loss.backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    log_w = log_weights(model, X, 5, seeded(1))
    weights = log_w.detach().softmax(0)
    assert float(weights.max()) < 0.999  # several samples count
    (-(weights * log_w).sum(0)).mean().backward()
    for mine, parameter in zip(got, model.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad)


def test_one_sample_gives_the_elbo_in_expectation():
    """With k = 1 the bound is -log w, whose mean over draws is the analytic ELBO."""
    model = variational(samples=1, bound="iwae").eval()
    elbo = variational(samples=1).eval()
    elbo.load_state_dict(model.state_dict())
    rows = X[:1].expand(20_000, -1)
    with torch.no_grad():
        single = model.terms(rows, seeded(2))
        analytic = elbo.terms(rows, seeded(3))
    values = (single.distortion + single.rate).double()
    other = (analytic.distortion + analytic.rate).double()
    error = math.sqrt(float(values.var() + other.var()) / 20_000)
    assert abs(float(values.mean() - other.mean())) < 4 * error
    assert error < 0.05


def test_more_samples_tighten_the_bound():
    losses = []
    rows = X[:1].expand(4_000, -1)
    for k in (1, 5, 50):
        model = variational(samples=k, bound="iwae").eval()
        with torch.no_grad():
            losses.append(float(model.terms(rows, seeded(1)).loss))
    assert losses[0] > losses[1] + 0.02
    assert losses[1] > losses[2] + 0.005


def test_the_elbo_of_several_samples_averages_them():
    model = variational(samples=6)
    terms = model.terms(X, seeded(1))
    waist, readout = model.waist, model.readout
    mean, log_variance = waist.posterior(model.encoder(X).float())
    noise = torch.randn(6, 4, 2, generator=seeded(1))
    z = mean + (0.5 * log_variance).exp() * noise
    each = torch.stack([readout.distortion(model.decoder(part), X) for part in z])
    torch.testing.assert_close(terms.distortion, each.mean(0), rtol=1e-4, atol=1e-4)
    kl = gaussian_kl(mean, log_variance).sum(1)
    torch.testing.assert_close(terms.rate, kl, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- prior, words, collapse


def test_the_prior_is_standard_normal_and_seeded():
    waist = Gaussian(3).build()
    z = waist.sample(20_000, seeded())
    assert z.shape == (20_000, 3)
    assert float(z.mean().abs()) < 0.02
    assert float(z.std()) == pytest.approx(1, abs=0.02)
    assert torch.equal(waist.sample(5, seeded(7)), waist.sample(5, seeded(7)))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Gaussian(4, beta=2.5), "2.5 times the KL divergence, summed over 4 latents"),
        (Gaussian(4, kl_warmup_steps=700), "first 700 steps"),
        (Gaussian(4, free_bits=0.25), "0.25 nats"),
        (Gaussian(4, capacity=12.0, gamma=9.0), "9 times the distance of KL from 12 nats"),
        (Gaussian(4, samples=8, bound="iwae"), "importance-weighted over 8 samples"),
    ],
)
def test_the_words_say_how_the_rate_is_weighed(config, words):
    assert words in " ".join(config.build().describe())


def test_a_held_capacity_is_reached_in_training():
    data = vectors(256, 6)
    settings = Gaussian(3, capacity=3.0, capacity_steps=100)
    model = Autoencoder((6,), Linear(), settings, GaussianLikelihood(0.05))
    history = fit(model, data, Training(epochs=60, batch_size=64, lr=1e-2)).history
    assert history["train_kl"][-1] == pytest.approx(3.0, rel=0.1)
