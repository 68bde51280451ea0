"""Products, divergences, densities and mixtures of diagonal normals against brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.models.multimodal.gaussians import LARGEST, SMALLEST, Normal, product, standard
from isthmus.models.multimodal.variational import log_mixture, mixture_moments, subsets

FLOATS = st.floats(-3, 3, width=32)


def normal(mean, variance):
    return Normal(torch.tensor(mean), torch.tensor(variance).log())


def yes(count=1):
    return torch.ones(count, dtype=torch.bool)


def test_product_by_hand():
    # T = 1/1 + 1/0.25 = 5; mu = (1 * 1 + 4 * 2) / 5
    found = product(
        [normal([[1.0]], [[1.0]]), normal([[2.0]], [[0.25]])], [yes(), yes()], prior=False
    )
    assert found.mean.item() == pytest.approx(1.8)
    assert found.log_variance.exp().item() == pytest.approx(0.2)
    found = product(
        [normal([[1.0]], [[1.0]]), normal([[2.0]], [[0.25]])], [yes(), yes()], prior=True
    )
    assert found.mean.item() == pytest.approx(9 / 6)
    assert found.log_variance.exp().item() == pytest.approx(1 / 6)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=4), st.booleans())
def test_product_is_the_normalised_product_of_densities(parts, prior):
    experts = [normal([[m]], [[math.exp(v)]]) for m, v in parts]
    found = product(experts, [yes()] * len(experts), prior=prior)
    grid = torch.linspace(-40, 40, 40001, dtype=torch.float64)[:, None]
    log = sum(Normal(e.mean.double(), e.log_variance.double()).log_density(grid) for e in experts)
    if prior:
        log = log + standard(grid).log_density(grid)
    density = (log - log.max()).exp()
    density = density / density.sum()
    mean = (density * grid[:, 0]).sum()
    variance = (density * (grid[:, 0] - mean) ** 2).sum()
    assert found.mean.item() == pytest.approx(mean.item(), abs=2e-3)
    assert found.log_variance.exp().item() == pytest.approx(variance.item(), rel=5e-3)


@pytest.mark.parametrize("prior", [False, True])
def test_a_row_without_experts_is_the_prior_and_gives_no_nan(prior):
    means = torch.randn(2, 3, requires_grad=True)
    logs = torch.randn(2, 3, requires_grad=True)
    mask = torch.tensor([False, True])
    found = product([Normal(means, logs)], [mask], prior=prior)
    assert torch.equal(found.mean[0], torch.zeros(3))
    assert torch.equal(found.log_variance[0].abs(), torch.zeros(3))
    (found.mean.sum() + found.log_variance.sum()).backward()
    assert means.grad.isfinite().all()
    assert logs.grad.isfinite().all()
    assert (means.grad[0] == 0).all()
    assert (logs.grad[0] == 0).all()
    assert (means.grad[1] != 0).all()


def test_what_is_missing_is_no_factor_whatever_it_holds():
    one, wild = normal([[1.0]], [[0.5]]), normal([[1e30]], [[1e-6]])
    alone = product([one], [yes()], prior=True)
    both = product([one, wild], [yes(), ~yes()], prior=True)
    assert torch.equal(alone.mean, both.mean)
    assert torch.equal(alone.log_variance, both.log_variance)


def test_kl_against_monte_carlo_and_by_hand():
    p = normal([[0.5, -1.0]], [[0.3, 2.0]])
    q = normal([[0.0, 1.0]], [[1.5, 0.7]])
    generator = torch.Generator().manual_seed(0)
    wide = Normal(p.mean.expand(400_000, 2), p.log_variance.expand(400_000, 2))
    z = wide.sample(generator)
    estimate = (p.log_density(z) - q.log_density(z)).mean().item()
    assert p.kl(q).item() == pytest.approx(estimate, abs=0.02)
    # KL(N(1, 1) || N(0, 1)) = 1/2
    assert normal([[1.0]], [[1.0]]).kl_standard().item() == pytest.approx(0.5)
    assert p.kl_standard().item() == pytest.approx(p.kl(standard(p.mean)).item(), rel=1e-6)
    assert p.kl(p).item() == 0


def test_log_variances_are_bounded():
    head = torch.tensor([[0.0, 0.0, -1e9, 1e9]])
    assert Normal.read(head).log_variance.tolist() == [[SMALLEST, LARGEST]]


def test_density_of_torch():
    p = normal([[0.5, -1.0]], [[0.3, 2.0]])
    z = torch.tensor([[0.1, 0.2]])
    theirs = torch.distributions.Normal(p.mean, (0.5 * p.log_variance).exp()).log_prob(z).sum()
    assert p.log_density(z).item() == pytest.approx(theirs.item(), rel=1e-6)


def test_mixture_moments_and_density_by_hand():
    parts = [normal([[1.0], [5.0]], [[0.5], [1.0]]), normal([[3.0], [9.0]], [[1.5], [1.0]])]
    masks = [torch.tensor([True, True]), torch.tensor([True, False])]
    found = mixture_moments(parts, masks, standard(parts[0].mean))
    # even mixture: mean 2, variance (0.5 + 1.5)/2 + 1
    assert found.mean[:, 0].tolist() == pytest.approx([2.0, 5.0])
    assert found.log_variance.exp()[:, 0].tolist() == pytest.approx([2.0, 1.0])
    z = torch.tensor([[1.5], [4.0]])
    got = log_mixture(z, parts, masks)
    by_hand = np.log(0.5 * (_pdf(1.5, 1, 0.5) + _pdf(1.5, 3, 1.5)))
    assert got.tolist() == pytest.approx([by_hand, np.log(_pdf(4.0, 5, 1.0))], rel=1e-5)
    none = log_mixture(z, parts, [~yes(2), ~yes(2)])
    assert none.tolist() == pytest.approx(standard(z).log_density(z).tolist())


def _pdf(x, mean, variance):
    return math.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def test_subsets_are_all_and_each_once():
    assert len(list(subsets("abcd"))) == 15
    assert len(set(subsets("abcd"))) == 15
