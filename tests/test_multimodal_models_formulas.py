"""Each objective against its formula computed another way, and a likelihood known exactly."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.errors import ConfigError
from isthmus.likelihoods import Gaussian
from isthmus.models.multimodal import (
    MVTCAE,
    Aligned,
    MMVAEPlus,
    Modality,
    MoE,
    MoPoE,
    MultimodalAutoencoder,
    PoE,
    Rows,
)
from isthmus.models.multimodal.contrast import Look, contrast, covariance, guessed, variance
from isthmus.models.multimodal.gaussians import Normal
from isthmus.models.multimodal.modality import balanced
from isthmus.networks.base import Halves
from multimodal_models import modality, rows, small


class Fixed(nn.Module):
    """An encoder that gives (B, width) whatever it sees, differing by row."""

    def __init__(self, width, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.values = torch.randn(64, width, generator=generator)

    def forward(self, x):
        return self.values[: len(x)]


class Blind(nn.Module):
    """A decoder that gives zeros, whatever the code: the likelihood is the same for every z."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, code):
        return torch.zeros(len(code), *self.shape)


def blind(objective, private=0):
    """A model whose likelihoods don't depend on the code, so that only the rate does."""
    parts = [
        Modality("a", (4,), None, Gaussian(1.0), private=private),
        Modality("b", (2,), None, Gaussian(1.0), private=private),
    ]
    width = objective.width(parts[0]).encoded
    halves = {
        "a": Halves(Fixed(width, 1), Blind((4,))),
        "b": Halves(Fixed(width, 2), Blind((2,))),
    }
    return MultimodalAutoencoder(parts, objective, halves=halves)


def batch(count=5, missing=()):
    generator = torch.Generator().manual_seed(9)
    items = {
        "a": torch.randn(count, 4, generator=generator),
        "b": torch.randn(count, 2, generator=generator),
    }
    mask = {name: torch.ones(count, dtype=torch.bool) for name in items}
    for row, name in missing:
        mask[name][row] = False
    return Rows(items, mask, torch.full((count,), -1))


def nats(given):
    """-log N(x; 0, I) of each modality, by hand."""
    return {
        name: 0.5 * (x.square().sum(1) + x.shape[1] * math.log(2 * math.pi))
        for name, x in given.items.items()
    }


def experts(model, given):
    half = model.shared
    return {
        name: Normal.read(model.channel(name).encoder(given.items[name])[:, : 2 * half])
        for name in "ab"
    }


def test_mvtcae_is_its_formula():
    model = blind(MVTCAE(3, alpha=0.6, beta=1.7))
    given = batch()
    cost, q = nats(given), experts(model, given)
    weights = balanced(list(model.modalities.values()))
    assert weights == {"a": 1.0, "b": 2.0}
    terms = model.terms(given, torch.Generator().manual_seed(0))
    assert torch.allclose(terms.distortion, (2 - 0.6) / 2 * (cost["a"] + 2 * cost["b"]))
    precision = {n: (-e.log_variance).exp() for n, e in q.items()}
    total = precision["a"] + precision["b"]
    mean = sum(precision[n] * q[n].mean for n in "ab") / total
    joint = torch.distributions.Normal(mean, total.rsqrt())

    def kl(other):
        return torch.distributions.kl_divergence(joint, other).sum(1)

    foresight = sum(
        kl(torch.distributions.Normal(e.mean, (0.5 * e.log_variance).exp())) for e in q.values()
    )
    prior = kl(torch.distributions.Normal(torch.zeros(3), torch.ones(3)))
    wanted = 1.7 * (0.4 * prior + 0.6 / 2 * foresight)
    assert torch.allclose(terms.rate, wanted, rtol=1e-4)


def test_mvtcae_of_one_modality_foresees_itself():
    model = blind(MVTCAE(3, alpha=0.6, beta=1.0))
    given = batch(missing=[(0, "b")])
    terms = model.terms(given, torch.Generator().manual_seed(0))
    own = experts(model, given)["a"]
    assert terms.rate[0].item() == pytest.approx(0.4 * own.kl_standard()[0].item(), rel=1e-5)
    assert terms.distortion[0].item() == pytest.approx(0.4 * nats(given)["a"][0].item(), rel=1e-5)


def test_poe_sums_over_all_and_each_alone():
    model = blind(PoE(3, beta=2.0))
    given = batch()
    cost, q = nats(given), experts(model, given)
    terms = model.terms(given, torch.Generator().manual_seed(0))
    assert torch.allclose(terms.distortion, 2 * (cost["a"] + 2 * cost["b"]))

    def joint(names):
        total = 1 + sum((-q[n].log_variance).exp() for n in names)
        mean = sum((-q[n].log_variance).exp() * q[n].mean for n in names) / total
        one = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
        two = torch.distributions.Normal(mean, total.rsqrt())
        return torch.distributions.kl_divergence(two, one).sum(1)

    wanted = 2 * (joint("ab") + joint("a") + joint("b"))
    assert torch.allclose(terms.rate, wanted, rtol=1e-4)


def test_moe_rate_is_its_expectation():
    model = blind(MoE(2, beta=1.0))
    given = batch(2)
    q = experts(model, given)
    generator = torch.Generator().manual_seed(0)
    found = torch.stack([model.terms(given, generator).rate for _ in range(4000)]).mean(0)
    wanted = torch.zeros(2)
    for e in q.values():
        z = Normal(e.mean.expand(40_000, 2, 2), e.log_variance.expand(40_000, 2, 2)).sample(
            generator
        )
        log_q = torch.stack([other.log_density(z) for other in q.values()]).logsumexp(0) - math.log(
            2
        )
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        wanted += (log_q - prior).mean(0) / 2
    assert torch.allclose(found, wanted, atol=0.08)
    cost = nats(given)
    distortion = model.terms(given, generator).distortion
    assert torch.allclose(distortion, cost["a"] + 2 * cost["b"], rtol=1e-5)


def test_mopoe_rate_is_the_mean_over_subsets():
    model = blind(MoPoE(2, beta=1.5))
    given = batch(2, missing=[(1, "b")])
    q = experts(model, given)
    generator = torch.Generator().manual_seed(0)
    found = torch.stack([model.terms(given, generator).rate for _ in range(3000)]).mean(0)
    total = sum((-e.log_variance).exp() for e in q.values())
    mean = sum((-e.log_variance).exp() * e.mean for e in q.values()) / total
    both = Normal(mean, -total.log()).kl_standard()
    first = 1.5 * (both + q["a"].kl_standard() + q["b"].kl_standard()) / 3
    assert found[0].item() == pytest.approx(first[0].item(), rel=0.05)
    assert found[1].item() == pytest.approx(1.5 * q["a"].kl_standard()[1].item(), rel=1e-5)


def test_mopoe_refuses_too_many_modalities():
    with pytest.raises(ConfigError, match="at most 6"):
        MultimodalAutoencoder([modality(f"m{i}", (3,)) for i in range(7)], MoPoE())


def test_mmvae_plus_charges_for_both_codes():
    model = blind(MMVAEPlus(2, beta=1.0), private=2)
    given = batch(2)
    q = experts(model, given)
    private = {n: Normal.read(model.channel(n).encoder(given.items[n])[:, 4:]) for n in "ab"}
    generator = torch.Generator().manual_seed(0)
    found = torch.stack([model.terms(given, generator).rate for _ in range(4000)]).mean(0)
    wanted = sum(p.kl_standard() for p in private.values()) / 2
    for e in q.values():
        z = Normal(e.mean.expand(40_000, 2, 2), e.log_variance.expand(40_000, 2, 2)).sample(
            generator
        )
        log_q = torch.stack([other.log_density(z) for other in q.values()]).logsumexp(0) - math.log(
            2
        )
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        wanted = wanted + (log_q - prior).mean(0) / 2
    assert torch.allclose(found, wanted, atol=0.1)


def test_mmvae_plus_takes_no_shortcut_through_private_codes():
    """What one modality decodes of another must not depend on the other's private code."""
    model = small("mmvae-plus").eval()
    given = rows(3)
    codes = model.encode(given.items)
    assert codes.private["a"].abs().sum() > 0
    mean, deviation = model.joining.private_prior("a", codes.shared)
    assert torch.equal(mean, torch.zeros(2))
    assert torch.allclose(deviation, torch.ones(2))
    own = model.joining.auxiliary["of a"]
    model.train().terms(given, torch.Generator().manual_seed(0)).loss.backward()
    assert own.grad is not None
    assert own.grad.any()


def linear_model():
    """Linear normal decoders, and the exact posterior as encoders: p(x) is known."""
    generator = np.random.default_rng(0)
    loadings = {"a": generator.normal(size=(4, 2)), "b": generator.normal(size=(3, 2))}
    parts = [Modality(n, (len(w),), None, Gaussian(0.25), private=0) for n, w in loadings.items()]
    halves = {}
    for name, w in loadings.items():
        decoder = nn.Linear(2, len(w), bias=False)
        decoder.weight.data = torch.from_numpy(w).float()
        halves[name] = (Diagonal(w), decoder)
    model = MultimodalAutoencoder(parts, PoE(2), halves=halves)
    return model, loadings


class Diagonal(nn.Module):
    """The factor p(x|z) as a normal of z, where loadings are orthogonal; else near it."""

    def __init__(self, w):
        super().__init__()
        self.precision = (w**2).sum(0) / 0.25
        self.map = torch.from_numpy(w / 0.25 / self.precision).float()

    def forward(self, x):
        logs = torch.from_numpy(-np.log(self.precision)).float().expand(len(x), -1)
        return torch.cat([x @ self.map, logs], 1)


def exact_nll(x, w, variance=0.25):
    covariance = w @ w.T + variance * np.eye(len(w))
    sign, log_det = np.linalg.slogdet(covariance)
    assert sign > 0
    return 0.5 * (
        np.einsum("ni,ij,nj->n", x, np.linalg.inv(covariance), x)
        + log_det
        + len(w) * math.log(2 * math.pi)
    )


def test_nll_of_a_linear_model_is_exact():
    model, loadings = linear_model()
    generator = np.random.default_rng(1)
    items = {n: generator.normal(size=(3, len(w))).astype(np.float32) for n, w in loadings.items()}
    mask = {"b": torch.tensor([True, True, False])}
    given = model.rows({n: torch.from_numpy(x) for n, x in items.items()}, mask)
    found = model.nll(given, 20_000, torch.Generator().manual_seed(0)).numpy()
    both = exact_nll(
        np.concatenate([items["a"], items["b"]], 1), np.concatenate(list(loadings.values()))
    )
    alone = exact_nll(items["a"], loadings["a"])
    assert found[:2] == pytest.approx(both[:2], abs=0.05)
    assert found[2] == pytest.approx(alone[2], abs=0.05)


def test_one_sample_is_exact_where_the_posterior_is():
    model, _loadings = linear_model()
    w = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 2)))[0]
    model.channel("a").encoder.__init__(w)
    model.channel("a").decoder.weight.data = torch.from_numpy(w).float()
    x = np.random.default_rng(4).normal(size=(5, 4)).astype(np.float32)
    found = model.nll(model.rows({"a": torch.from_numpy(x)}), 1, torch.Generator().manual_seed(0))
    assert found.numpy() == pytest.approx(exact_nll(x, w), rel=1e-5)


def test_aligned_has_no_likelihood_and_says_so():
    model = small("aligned")
    with pytest.raises(ConfigError, match="joint mixture"):
        model.nll(rows(2))


# --- the contrast ------------------------------------------------------------


def looks(*codes, there=None):
    yes = torch.ones(len(codes[0]), dtype=torch.bool)
    return [Look(c, yes if there is None else there[i]) for i, c in enumerate(codes)]


def test_contrast_by_hand():
    u = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([-1, -1])
    found = contrast(looks(u, u), labels, torch.tensor(2.0))
    # each row: -log(e^2 / (e^2 + e^0))
    assert found.tolist() == pytest.approx([math.log(1 + math.exp(-2))] * 2)


def test_contrast_of_equal_codes_is_the_logarithm_of_the_batch():
    u = torch.ones(8, 2) / math.sqrt(2)
    found = contrast(looks(u, u, u), torch.full((8,), -1), torch.tensor(10.0))
    assert found.tolist() == pytest.approx([math.log(8)] * 8)


@pytest.mark.parametrize(
    ("alike", "wanted"),
    [
        # row 0: candidates with scores 1, 1, 0 times s = 1, of which the first two share its class
        ("negative", math.log((2 * math.e + 1) / math.e)),
        ("masked", math.log((math.e + 1) / math.e)),
        ("positive", math.log((2 * math.e + 1) / math.e)),
    ],
)
def test_rows_of_a_class(alike, wanted):
    u = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = contrast(looks(u, u), torch.tensor([4, 4, 7]), torch.tensor(1.0), alike)
    assert found[0].item() == pytest.approx(wanted)


def test_positive_rows_average_their_costs():
    u = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    v = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = contrast(looks(u, v), torch.tensor([1, 1]), torch.tensor(1.0), "positive")
    # u_0 with v: scores 1, 0; its mean over both positives; v_0 with u: scores 1, 1
    forth = math.log(math.e + 1) - 0.5
    assert found[0].item() == pytest.approx((forth + math.log(2)) / 2)


def test_contrast_leaves_out_what_is_missing():
    torch.manual_seed(0)
    u, v = (torch.nn.functional.normalize(torch.randn(4, 3), dim=1) for _ in range(2))
    there = [torch.tensor([True, True, False, True]), torch.tensor([True, True, True, False])]
    labels = torch.full((4,), -1)
    found = contrast(looks(u, v, there=there), labels, torch.tensor(3.0))
    assert found[2] == 0
    assert found[3] == 0
    forth = (3 * u[:2] @ v[:3].T).log_softmax(1).diagonal()
    back = (3 * v[:2] @ u[[0, 1, 3]].T).log_softmax(1).diagonal()
    assert found[:2].tolist() == pytest.approx((-(forth + back) / 2).tolist(), rel=1e-5)


def test_guesses_by_hand():
    u = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.99, 0.141], [0.0, 0.0]])
    labels = torch.tensor([4, 7, -1, -1, -1])
    there = torch.tensor([True, True, True, True, False])
    scale = torch.tensor(5.0)
    # row 2: e^4 / (e^4 + e^3) = 0.73; row 3: 0.986; row 4 has nothing
    cases = ((0.7, [4, 7, 4, 4, -1]), (0.9, [4, 7, -1, 4, -1]), (0.99, [4, 7, -1, -1, -1]))
    for least, wanted in cases:
        assert guessed([Look(u, there)], labels, least, scale).tolist() == wanted
    # a second look of the other mind makes row 3 uncertain
    other = u.clone()
    other[3] = torch.tensor([0.0, 1.0])
    both = [Look(u, there), Look(other, there)]
    assert guessed(both, labels, 0.7, scale).tolist() == [4, 7, 4, -1, -1]
    assert guessed(both, torch.full((5,), -1), 0.5, scale).tolist() == [-1] * 5
    assert guessed(both, torch.arange(5), 0.5, scale).tolist() == list(range(5))


def test_spread_by_hand():
    codes = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
    # variances 2 and 2, covariance 2: no shortfall below 1, and 2 * 2^2 / 2
    assert variance(codes, 1.0).item() == 0
    assert covariance(codes).item() == pytest.approx(4.0)
    assert variance(torch.ones(3, 2), 0.5).item() == pytest.approx(0.49)
    assert variance(torch.ones(1, 2), 0.5).item() == covariance(torch.ones(1, 2)).item() == 0


def test_aligned_decoders_read_every_modality():
    """With cross = 1 a decoder never reads its own modality's code."""
    from dataclasses import replace

    for cross, own in ((1.0, False), (0.0, True)):
        model = small("aligned").train()
        joining = model.joining
        joining.config = replace(joining.config, cross=cross, contrast=0.0, spread=0.0)
        given = rows(6, missing={(row, "c") for row in range(6)})
        found = model.passed(given, torch.Generator().manual_seed(0))
        shared = found.shared["a"]
        nothing = {n: torch.zeros(6, dtype=torch.bool) for n in "bc"}
        only_a = Rows(given.items, {**given.mask, **nothing}, given.labels)
        assert only_a.there.tolist() == [1.0] * 6
        gradient = torch.autograd.grad(
            model.joining._source("a", {**found.shared}, given, torch.Generator()).sum(),
            shared,
            allow_unused=True,
        )[0]
        assert (gradient is not None and bool(gradient.any())) is own
        # a row with nothing else reads its own code
        kept = joining._source("a", found.shared, only_a, torch.Generator())
        assert torch.equal(kept, shared)


def test_shared_codes_of_aligned_lie_on_a_sphere():
    codes = small("aligned").encode(rows(4).items)
    assert codes.shared.norm(dim=1).tolist() == pytest.approx([2.0] * 4, rel=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Aligned(shared=0),
        lambda: Aligned(cross=1.5),
        lambda: Aligned(temperature=0.0),
        lambda: Aligned(contrast=-1.0),
        lambda: Aligned(guess=0.0),
        lambda: MVTCAE(alpha=1.2),
        lambda: MVTCAE(beta=float("nan")),
        lambda: PoE(drawn=-1),
        lambda: Modality("a.b", (3,)),
        lambda: Modality("", (3,)),
        lambda: Modality("a", (0,)),
        lambda: Modality("a", (3,), weight=-1.0),
        lambda: MultimodalAutoencoder([]),
        lambda: MultimodalAutoencoder([modality("a", (3,)), modality("a", (3,))]),
        lambda: MultimodalAutoencoder([Modality("a", (3,))]),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()
