"""Likelihoods: hand-worked values, torch's own densities, finite differences, the words."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.configs import from_json, to_json
from isthmus.errors import ConfigError, DataError
from isthmus.likelihoods import (
    LIKELIHOODS,
    MSE,
    Bernoulli,
    Categorical,
    Cosine,
    Gaussian,
    Laplace,
    Likelihood,
)

EVERY = [
    MSE(),
    MSE(output="sigmoid"),
    Gaussian(0.3),
    Gaussian("learned"),
    Gaussian("per-element", output="sigmoid"),
    Gaussian("optimal"),
    Bernoulli(),
    Laplace(0.7),
    Laplace("learned", output="sigmoid"),
    Categorical(5),
    Cosine(2.5),
]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float32)


def random_pair(likelihood, shape=(2, 3, 4), batch=3, seed=0):
    """A decoder's output and samples in the likelihood's support."""
    generator = torch.Generator().manual_seed(seed)
    out = torch.randn(
        batch,
        likelihood.per_element * shape[0],
        *shape[1:],
        generator=generator,
        dtype=torch.double,
    )
    x = torch.rand(batch, *shape, generator=generator, dtype=torch.double)
    return out, x


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("likelihood", "out", "x", "expected"),
    [
        (MSE(), (0.0, 0.0), (1.0, 2.0), 2.5),
        (MSE(output="sigmoid"), (0.0, 0.0), (0.5, 1.0), 0.125),
        (Gaussian(4.0), (0.0,), (2.0,), 0.5 * (1 + math.log(4) + math.log(2 * math.pi))),
        (Gaussian(1.0), (0.0, 0.0), (1.0, 3.0), 5 + math.log(2 * math.pi)),
        (Bernoulli(), (0.0, 0.0), (0.0, 1.0), 2 * math.log(2)),
        (Bernoulli(), (2.0,), (1.0,), math.log(1 + math.exp(-2))),
        (Bernoulli(), (math.log(3),), (0.5,), -0.5 * math.log(0.75) - 0.5 * math.log(0.25)),
        (Laplace(0.5), (0.0,), (3.0,), 6.0),
        (Laplace(2.0), (1.0, 1.0), (0.0, 3.0), 1.5 + 2 * math.log(4)),
        (Cosine(), (1.0, 1.0), (1.0, 0.0), 1 - math.sqrt(0.5)),
        (Cosine(3.0), (-2.0, 0.0), (5.0, 0.0), 6.0),
    ],
)
def test_distortions_by_hand(likelihood, out, x, expected):
    readout = likelihood.build((len(x),))
    got = readout.distortion(tensor(out), tensor(x))
    torch.testing.assert_close(got, tensor(expected), rtol=1e-5, atol=1e-6)


def test_categorical_by_hand():
    readout = Categorical(3).build((1,))
    out = tensor((0.0, 0.0, math.log(2)))  # probabilities 1/4, 1/4, 1/2 of 0, 0.5, 1
    assert float(readout.distortion(out, tensor((0.5,)))) == pytest.approx(math.log(4))
    assert float(readout.distortion(out, tensor((1.0,)))) == pytest.approx(math.log(2))
    assert float(readout.mean(out)) == pytest.approx(0.625)


def test_categorical_reads_level_major_blocks():
    """Channel c of level l stands at l * C + c, as torch's own cross-entropy wants it."""
    likelihood = Categorical(4)
    out, _ = random_pair(likelihood, (2, 3, 3), batch=5)
    levels = torch.randint(0, 4, (5, 2, 3, 3), generator=torch.Generator().manual_seed(1))
    logits = out.reshape(5, 4, 2, 3, 3)
    expected = torch.nn.functional.cross_entropy(logits, levels, reduction="none").flatten(1).sum(1)
    got = likelihood.build((2, 3, 3)).distortion(out, levels / 3)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_bernoulli_is_finite_at_extreme_logits(logit):
    readout = Bernoulli().build((1,))
    wrong = tensor((1.0 if logit < 0 else 0.0,))
    assert float(readout.distortion(tensor((logit,)), wrong)) == 1000.0
    assert float(readout.distortion(tensor((logit,)), 1 - wrong)) == 0.0


# ---------------------------------------------------------------- torch's own densities


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    likelihood=st.sampled_from(
        [
            Gaussian(0.3),
            Gaussian("learned"),
            Gaussian("per-element"),
            Gaussian(2.0, output="sigmoid"),
            Laplace(0.2),
            Laplace("learned", output="sigmoid"),
        ]
    ),
)
def test_distortion_is_minus_the_log_density(seed, likelihood):
    readout = likelihood.build((2, 3, 4)).double()
    out, x = random_pair(likelihood, seed=seed)
    distribution = readout.distribution(out)
    assert distribution.event_shape == (2, 3, 4)
    torch.testing.assert_close(readout.distortion(out, x), -distribution.log_prob(x))
    torch.testing.assert_close(readout.mean(out), distribution.mean)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_bernoulli_distortion_is_minus_the_log_mass_of_bits(seed):
    readout = Bernoulli().build((2, 3, 4))
    out, x = random_pair(Bernoulli(), seed=seed)
    bits = x.round()
    expected = -readout.distribution(out).log_prob(bits)
    torch.testing.assert_close(readout.distortion(out, bits), expected)
    on_grey = torch.nn.functional.binary_cross_entropy_with_logits(out, x, reduction="none")
    torch.testing.assert_close(readout.distortion(out, x), on_grey.flatten(1).sum(1))


@pytest.mark.parametrize("likelihood", [MSE(), Cosine()])
def test_what_is_no_likelihood_says_so(likelihood):
    with pytest.raises(TypeError, match="not a normalised likelihood"):
        likelihood.build((3,)).distribution(torch.zeros(1, 3))


# ---------------------------------------------------------------- the optimal variance


def test_the_optimal_variance_is_the_mean_squared_error():
    """Summed over D elements the distortion averages D/2 * log(2 pi e MSE) (Rybkin et al.)."""
    readout = Gaussian("optimal").build((10,))
    x = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    for scale in (0.1, 1.0, 7.0):
        out = x * (1 - scale)
        mse = float((out - x).square().mean())
        got = float(readout.distortion(out, x).mean())
        assert got == pytest.approx(5 * math.log(2 * math.pi * math.e * mse), rel=1e-5)
        assert float(readout.variance) == pytest.approx(mse, rel=1e-5)
    readout.eval()
    readout.distortion(x, x)  # outside training the variance stays where it was
    assert float(readout.variance) == pytest.approx(mse, rel=1e-5)


def test_the_optimal_variance_has_the_gradient_of_log_mse():
    readout = Gaussian("optimal").build((6,)).double()
    x = torch.randn(8, 6, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    out = torch.zeros(8, 6, dtype=torch.double, requires_grad=True)
    (got,) = torch.autograd.grad(readout.distortion(out, x).mean(), out)
    (expected,) = torch.autograd.grad(3 * (out - x).square().mean().log(), out)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("error", [0.0, 1e-9, 1e5, 1e12])
def test_the_optimal_variance_stays_finite(error):
    readout = Gaussian("optimal").build((2,))
    distortion = readout.distortion(torch.zeros(3, 2), torch.full((3, 2), error))
    assert bool(distortion.isfinite().all())
    assert 0 < float(readout.variance) < math.inf


def test_a_learned_variance_settles_on_the_mean_squared_error():
    readout = Gaussian("learned").build((4,))
    x = 0.3 * torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(readout.parameters(), lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        readout.distortion(torch.zeros_like(x), x).mean().backward()
        optimiser.step()
    assert float(readout.variance.detach()) == pytest.approx(float(x.square().mean()), rel=1e-3)


# ---------------------------------------------------------------- gradients, shapes, words


@pytest.mark.parametrize("likelihood", EVERY, ids=str)
def test_gradients_by_finite_differences(likelihood):
    readout = likelihood.build((2, 3, 4)).double().eval()
    out, x = random_pair(likelihood)
    assert torch.autograd.gradcheck(
        lambda o: readout.distortion(o, x), out.requires_grad_(), atol=1e-6
    )
    for name, parameter in readout.named_parameters():
        assert torch.autograd.gradcheck(
            lambda p, name=name: torch.func.functional_call(
                _Distortion(readout), {f"readout.{name}": p}, (out.detach(), x)
            ),
            parameter,
            atol=1e-6,
        )


class _Distortion(torch.nn.Module):
    def __init__(self, readout):
        super().__init__()
        self.readout = readout

    def forward(self, out, x):
        return self.readout.distortion(out, x)


@pytest.mark.parametrize("likelihood", EVERY, ids=str)
def test_several_posterior_samples_broadcast(likelihood):
    readout = likelihood.build((2, 3, 4)).double().eval()
    outs = torch.stack([random_pair(likelihood, seed=s)[0] for s in range(4)])
    _, x = random_pair(likelihood)
    got = readout.distortion(outs, x)
    assert got.shape == (4, 3)
    torch.testing.assert_close(got, torch.stack([readout.distortion(o, x) for o in outs]))
    assert readout.mean(outs).shape == (4, 3, 2, 3, 4)
    torch.testing.assert_close(readout.mean(outs)[2], readout.mean(outs[2]))


@pytest.mark.parametrize("likelihood", EVERY, ids=str)
def test_each_sample_is_compared_with_itself_alone(likelihood):
    readout = likelihood.build((2, 3, 4)).double().eval()
    out, x = random_pair(likelihood)
    whole = readout.distortion(out, x)
    torch.testing.assert_close(whole[1:2], readout.distortion(out[1:2], x[1:2]))


@pytest.mark.parametrize("likelihood", [Bernoulli(), Categorical(4)])
@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0])
def test_values_outside_the_unit_interval_are_refused(likelihood, value):
    readout = likelihood.build((2,))
    readout.check(torch.tensor([[0.0, 1.0]]))
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        readout.check(torch.tensor([[0.5, value]]))


def test_real_valued_likelihoods_take_any_value():
    for likelihood in (MSE(), Gaussian(), Laplace(), Cosine()):
        likelihood.build((2,)).check(torch.tensor([[-1e3, 1e3]]))


@pytest.mark.parametrize(
    ("likelihood", "words"),
    [
        (MSE(), ["784 elements", "variance 392"]),
        (Gaussian(0.25), ["nats", "variance 0.25", "fixed"]),
        (Gaussian(), ["nats", "variance 0.136", "learned"]),
        (Bernoulli(), ["cross-entropy", "summed", "nats"]),
        (Laplace(0.5), ["nats", "scale 0.5"]),
        (Categorical(9), ["9 levels", "nats"]),
        (Cosine(2.0), ["2 times one minus the cosine"]),
    ],
)
def test_the_words_name_units_and_variance(likelihood, words):
    said = likelihood.build((1, 28, 28)).describe()
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    "build",
    [
        lambda: Gaussian(0.0),
        lambda: Gaussian(-1.0),
        lambda: Laplace(0.0),
        lambda: Categorical(1),
        lambda: Categorical(257),
        lambda: Cosine(0.0),
        lambda: from_json({"kind": "Gaussian", "variance": "huge"}, LIKELIHOODS),
    ],
)
def test_bad_settings_are_refused(build):
    with pytest.raises(ConfigError):
        build()


@pytest.mark.parametrize("likelihood", EVERY, ids=str)
def test_likelihoods_go_to_json_and_back(likelihood):
    assert isinstance(likelihood, Likelihood)
    assert from_json(to_json(likelihood), LIKELIHOODS) == likelihood
