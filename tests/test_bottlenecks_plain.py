"""The plain and the contractive bottleneck, and what every bottleneck promises."""

import math

import pytest
import torch

from isthmus.bottlenecks import (
    BOTTLENECKS,
    FSQ,
    L1,
    VQ,
    BatchTopK,
    Bottleneck,
    Contractive,
    Gaussian,
    KLSparse,
    Plain,
    TopK,
)
from isthmus.bottlenecks.contractive import jacobian_norm
from isthmus.configs import from_json, to_json
from isthmus.errors import ConfigError
from isthmus.models import Autoencoder
from isthmus.networks import MLP, Conv, Linear
from isthmus.training import Training, fit
from toys import digits, fitted_to

EVERY = [
    Plain(6),
    Contractive(6, weight=0.01),
    L1(6, weight=0.01),
    L1(6, l0=2),
    L1(6, mean_activation=0.1, unit="sigmoid"),
    KLSparse(6, target=0.2, weight=0.1),
    KLSparse(6),
    TopK(6, k=2),
    BatchTopK(6, k=2),
    Gaussian(6),
    Gaussian(6, samples=3, bound="iwae"),
    Gaussian(6, capacity=2.0),
    VQ(6, groups=3, codebook=8),
    FSQ(6, levels=4),
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("config", EVERY, ids=str)
def test_every_bottleneck_keeps_its_promises(config):
    """Shapes, one term a sample, finite gradients that reach the encoder, a code that stays."""
    assert isinstance(config, Bottleneck)
    assert from_json(to_json(config), BOTTLENECKS) == config
    waist = config.build()
    h = torch.randn(9, waist.encoded, generator=seeded(), requires_grad=True)
    inputs = None
    if waist.needs_inputs:
        inputs = torch.randn(9, 4, generator=seeded(), requires_grad=True)
        h = inputs @ torch.randn(4, waist.encoded, generator=seeded(1))
        h.retain_grad()
    code = waist(h, generator=seeded(), inputs=inputs)
    assert code.z.shape[-2:] == (9, 6)
    for term in (code.rate, code.penalty):
        assert term is None or term.shape == code.z.shape[:-1]
    assert all(value.ndim == 0 and not value.requires_grad for value in code.logs.values())
    total = code.z.square().sum() + sum(t.sum() for t in (code.rate, code.penalty) if t is not None)
    total.backward()
    assert bool(h.grad.isfinite().all())
    assert bool(h.grad.any())
    waist.eval()
    with torch.no_grad():
        embedded = waist.embed(h)
    assert embedded.shape == (9, 6)
    assert torch.equal(embedded, waist.embed(h))
    assert all(isinstance(line, str) and line for line in waist.describe())


@pytest.mark.parametrize("config", EVERY, ids=str)
def test_evaluation_changes_no_state(config):
    waist = config.build().eval()
    before = {k: v.clone() for k, v in waist.state_dict().items()}
    inputs = torch.randn(9, waist.encoded, generator=seeded(), requires_grad=True)
    waist(inputs * 1.0, generator=seeded())
    waist.embed(inputs)
    after = waist.state_dict()
    assert all(torch.equal(before[k].nan_to_num(7), after[k].nan_to_num(7)) for k in before)


@pytest.mark.parametrize("config", EVERY, ids=str)
def test_a_code_outside_training_depends_on_its_own_sample_alone(config):
    """After some training batches, each row is encoded alike alone and in any batch."""
    waist = config.build()
    for seed in range(5):
        waist(torch.randn(32, waist.encoded, generator=seeded(seed)), generator=seeded(seed))
    waist.eval()
    h = torch.randn(10, waist.encoded, generator=seeded(9))
    whole = waist.embed(h)
    alone = torch.cat([waist.embed(row[None]) for row in h])
    torch.testing.assert_close(whole, alone)
    torch.testing.assert_close(waist.embed(h.flip(0)).flip(0), whole)


@pytest.mark.parametrize("config", EVERY, ids=str)
def test_a_last_batch_of_one_sample_trains(config):
    waist = config.build()
    generator = seeded()
    waist(torch.randn(8, waist.encoded, generator=generator), generator=generator)
    code = waist(torch.randn(1, waist.encoded, generator=generator), generator=generator)
    assert bool(code.z.isfinite().all())
    assert all(bool(v.isfinite().all()) for v in waist.state_dict().values())


@pytest.mark.parametrize("config", [c for c in EVERY if not isinstance(c, Gaussian | VQ | FSQ)])
def test_only_bottlenecks_with_a_prior_generate(config):
    with pytest.raises(ConfigError, match="no prior"):
        config.build().sample(3)


@pytest.mark.parametrize(
    "build",
    [
        *(lambda c=c: c(latent=0) for c in (Plain, Contractive, L1, KLSparse, Gaussian, VQ, FSQ)),
        lambda: Contractive(weight=-1.0),
        lambda: Contractive(probes=0),
        lambda: VQ(latent=10, groups=3),
        lambda: VQ(codebook=1),
        lambda: VQ(commitment=-0.1),
        lambda: VQ(memory=1.0),
        lambda: FSQ(levels=1),
        lambda: TopK(latent=4, k=5),
        lambda: TopK(latent=4, k=0),
        lambda: BatchTopK(latent=4, k=5),
        lambda: L1(weight=0.1, l0=3),
        lambda: L1(weight=-0.1),
        lambda: L1(latent=8, l0=8),
        lambda: L1(latent=8, l0=0),
        lambda: L1(l0=3, unit="sigmoid"),
        lambda: KLSparse(target=0.0),
        lambda: KLSparse(target=1.0),
        lambda: KLSparse(weight=-1.0),
        lambda: Gaussian(beta=-1.0),
        lambda: Gaussian(samples=0),
        lambda: Gaussian(free_bits=-0.1),
        lambda: Gaussian(capacity=-1.0),
        lambda: Gaussian(gamma=-1.0),
        lambda: Gaussian(bound="iwae", free_bits=0.5),
        lambda: Gaussian(bound="iwae", capacity=5.0),
    ],
)
def test_bad_settings_are_refused(build):
    with pytest.raises(ConfigError):
        build()


# ---------------------------------------------------------------- plain


def test_the_plain_code_is_what_the_encoder_says():
    waist = Plain(3).build()
    h = torch.randn(4, 3)
    code = waist(h)
    assert torch.equal(code.z, h)
    assert torch.equal(waist.embed(h), h)
    assert code.rate is None
    assert code.penalty is None


# ---------------------------------------------------------------- contractive


def one_sigmoid_layer(**settings):
    """An encoder of one linear layer and the closed form of its squared Jacobian norm."""
    model = Autoencoder((5,), Linear(), Contractive(4, **settings), seed=2)
    x = torch.randn(7, 5, generator=seeded())
    weight = model.encoder[1].weight.detach()
    h = torch.sigmoid(model.encoder(x).detach())
    closed = ((h * (1 - h)).square() * weight.square().sum(1)).sum(1)
    return model, x, closed


def test_the_closed_form_of_one_sigmoid_layer():
    """sum_j (h_j (1 - h_j))^2 ||W_j||^2 (Rifai et al. 2011)."""
    model, x, closed = one_sigmoid_layer(weight=0.3, exact_up_to=4)
    terms = model.terms(x)
    torch.testing.assert_close(terms.penalty, 0.3 * closed, rtol=1e-5, atol=0)
    assert float(terms.logs["jacobian"]) == pytest.approx(float(closed.mean()), rel=1e-5)


def test_the_charge_outside_training_under_no_grad_is_the_same():
    model, x, closed = one_sigmoid_layer(weight=0.3, exact_up_to=4)
    model.eval()
    with torch.no_grad():
        terms = model.terms(x)
    torch.testing.assert_close(terms.penalty, 0.3 * closed, rtol=1e-5, atol=0)
    assert not terms.distortion.requires_grad


def test_random_sign_vectors_estimate_the_norm_without_bias():
    """The mean of 2,000 estimates lies within 4 of its own standard errors of the exact norm."""
    x = torch.randn(1, 5, dtype=torch.double, generator=seeded())
    weight = torch.randn(4, 5, dtype=torch.double, generator=seeded(3))
    inputs = x.requires_grad_()
    z = torch.sigmoid(inputs @ weight.t())
    exact = float(jacobian_norm(z, inputs)[0].detach())
    jacobian = ((z * (1 - z)).t() * weight).detach()
    gram = jacobian @ jacobian.t()
    assert exact == pytest.approx(float(gram.trace()), rel=1e-9)
    off = gram - gram.diag().diag()
    deviation = math.sqrt(2 * float(off.square().sum()) / 2000)
    estimate = float(jacobian_norm(z, inputs, 2000, seeded(4), keep_graph=False)[0])
    assert abs(estimate - exact) < 4 * deviation
    assert deviation < 0.05 * exact


def test_one_latent_is_estimated_exactly():
    inputs = torch.randn(3, 5, generator=seeded(), requires_grad=True)
    z = torch.sigmoid(inputs.sum(1, keepdim=True))
    exact, estimate = jacobian_norm(z, inputs), jacobian_norm(z, inputs, 1, seeded())
    torch.testing.assert_close(exact, estimate)


def test_the_gradient_of_the_charge_by_finite_differences():
    x = torch.randn(3, 4, dtype=torch.double, generator=seeded())
    weight = torch.randn(2, 4, dtype=torch.double, generator=seeded(1), requires_grad=True)

    def charge(w):
        inputs = x.clone().requires_grad_()
        return jacobian_norm(torch.sigmoid(inputs @ w.t()), inputs)

    assert torch.autograd.gradcheck(charge, weight)


def test_the_charge_makes_codes_move_less():
    data = digits()
    norms = []
    for weight in (0.0, 0.5):
        model = Autoencoder(data.shape, MLP((32,)), Contractive(8, weight), seed=0)
        history = fit(fitted_to(model, data), data, Training(epochs=4, seed=0)).history
        norms.append(history["validation_jacobian"][-1])
    assert norms[1] < 0.5 * norms[0]


def test_the_contractive_code_works_with_images():
    model = Autoencoder((2, 9, 8), Conv((3, 4)), Contractive(3))
    terms = model.terms(torch.rand(4, 2, 9, 8), seeded())
    terms.loss.backward()
    assert terms.penalty.shape == (4,)
    assert all(p.grad is not None for p in model.parameters())
