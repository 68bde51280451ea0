"""The two halves: their shapes, their arithmetic, tied weights, and what is refused."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isthmus.bottlenecks import L1, Plain
from isthmus.configs import from_json, to_json
from isthmus.errors import ConfigError
from isthmus.likelihoods import Categorical
from isthmus.models import Autoencoder, preset
from isthmus.networks import MLP, NETWORKS, Conv, Linear
from isthmus.networks.base import Sizes, activation_name
from isthmus.training import Training
from isthmus.training.loop import fit
from isthmus.training.optimiser import optimiser_for
from toys import same_state, vectors

MNIST = (1, 28, 28)


def plain_sizes(shape, latent):
    return Sizes(shape, latent, latent, shape)


def matrices(half):
    return [tuple(p.shape) for p in half.parameters() if p.ndim >= 2]


# ---------------------------------------------------------------- shapes of the notes


@pytest.mark.parametrize(
    ("hidden", "latent"),
    [((128,), 32), ((256, 128), 32), ((64,), 32), ((32,), 16), ((256,), 64)],
    ids=["784-128-32", "784-256-128-32", "784-64-32", "784-32-16", "784-256-64"],
)
def test_dense_halves_mirror_each_other(hidden, latent):
    halves = MLP(hidden=hidden).build(plain_sizes(MNIST, latent))
    widths = [784, *hidden, latent]
    assert matrices(halves.encoder) == list(zip(widths[1:], widths[:-1], strict=True))
    back = widths[::-1]
    assert matrices(halves.decoder) == list(zip(back[1:], back[:-1], strict=True))
    assert halves.encoder(torch.zeros(3, *MNIST)).shape == (3, latent)
    assert halves.decoder(torch.zeros(3, latent)).shape == (3, *MNIST)


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("basic", [(128, 784), (32, 128)]),
        ("deep", [(256, 784), (128, 256), (32, 128)]),
        ("notes-l1", [(64, 784), (32, 64)]),
        ("notes-kl", [(256, 784), (64, 256)]),
        ("conv", [(32, 1, 3, 3), (64, 32, 3, 3), (32, 64 * 7 * 7)]),
    ],
)
def test_presets_have_the_notes_shapes(name, encoder):
    model = preset(name).model(MNIST)
    assert matrices(model.encoder) == encoder


def test_the_notes_convolutional_exercise():
    halves = Conv().build(plain_sizes(MNIST, 32))
    strides = [m.stride for m in halves.encoder if isinstance(m, nn.Conv2d)]
    assert strides == [(2, 2), (2, 2)]
    # transposed convolutions keep their weights as (in, out, side, side)
    assert matrices(halves.decoder) == [(64 * 7 * 7, 32), (64, 32, 3, 3), (32, 1, 3, 3)]


def test_parameter_counts_by_hand():
    by_hand = 784 * 128 + 128 + 128 * 32 + 32 + 32 * 128 + 128 + 128 * 784 + 784
    assert Autoencoder(MNIST, MLP((128,))).parameters_count == by_hand
    assert Autoencoder((5,), Linear(), Plain(2)).parameters_count == 5 * 2 + 2 + 2 * 5 + 5


# ---------------------------------------------------------------- any image


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    channels=st.integers(1, 4),
    kernel=st.sampled_from([3, 5]),
    hidden=st.sampled_from([0, 6]),
)
def test_convolutions_restore_any_image_size(height, width, channels, kernel, hidden):
    shape = (channels, height, width)
    halves = Conv(channels=(3, 5), kernel=kernel, hidden=hidden).build(plain_sizes(shape, 4))
    codes = halves.encoder(torch.zeros(2, *shape))
    assert codes.shape == (2, 4)
    assert halves.decoder(codes).shape == (2, *shape)


@settings(max_examples=20, deadline=None)
@given(side=st.integers(8, 40), stages=st.integers(1, 6))
def test_stages_are_refused_exactly_when_a_side_would_shrink_below_two(side, stages):
    network = Conv(channels=(2,) * stages)
    sizes = plain_sizes((1, side, side), 3)
    if math.ceil(side / 2**stages) < 2:
        with pytest.raises(ConfigError, match="fewer channels"):
            network.build(sizes)
    else:
        assert network.build(sizes).decoder(torch.zeros(1, 3)).shape == (1, 1, side, side)


def test_several_numbers_an_element_widen_the_first_axis():
    model = Autoencoder((3, 9, 11), Conv((4,)), Plain(5), Categorical(levels=7))
    assert model.decoder(torch.zeros(2, 5)).shape == (2, 21, 9, 11)
    assert model.reconstruct(np.zeros((2, 3, 9, 11))).shape == (2, 3, 9, 11)


# ---------------------------------------------------------------- arithmetic


def test_a_dense_network_by_hand():
    """Activation after hidden layers only: neither the code nor the output is squashed."""
    torch.manual_seed(0)
    encoder, decoder = MLP(hidden=(4, 3), activation="Tanh").build(plain_sizes((2, 3), 2))
    x = torch.randn(5, 2, 3)
    w = [p.detach().double().numpy() for p in encoder.parameters()]
    v = [p.detach().double().numpy() for p in decoder.parameters()]
    flat = x.flatten(1).double().numpy()
    code = np.tanh(np.tanh(flat @ w[0].T + w[1]) @ w[2].T + w[3]) @ w[4].T + w[5]
    out = np.tanh(np.tanh(code @ v[0].T + v[1]) @ v[2].T + v[3]) @ v[4].T + v[5]
    np.testing.assert_allclose(encoder(x).detach().numpy(), code, atol=1e-6)
    got = decoder(encoder(x)).detach().numpy()
    np.testing.assert_allclose(got, out.reshape(5, 2, 3), atol=1e-6)


@pytest.mark.parametrize("given", [nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.Sigmoid])
def test_activations_by_name_class_and_case(given):
    assert activation_name(given) == given.__name__
    assert activation_name(given.__name__.lower()) == given.__name__
    halves = MLP(hidden=(3,), activation=given.__name__).build(plain_sizes((4,), 2))
    assert type(halves.encoder[2]) is given


def test_dropout_stands_between_layers_and_rests_outside_training():
    torch.manual_seed(0)
    encoder, decoder = MLP(hidden=(50, 40), dropout=0.5).build(plain_sizes((6,), 3))
    assert [type(m).__name__ for m in encoder][-1] == "Linear"
    assert sum(isinstance(m, nn.Dropout) for m in (*encoder, *decoder)) == 4
    x = torch.randn(4, 6)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))


# ---------------------------------------------------------------- tied weights


def tied(hidden=(5, 4)):
    return Autoencoder((7,), MLP(hidden=hidden, tied=True), Plain(3), seed=3)


def still_tied(model):
    """Changing the encoder's weight changes the decoder, to the transposed arithmetic."""
    first = next(m for m in model.encoder if isinstance(m, nn.Linear))
    codes = torch.randn(2, 3, dtype=first.weight.dtype)
    before = model.decoder(codes).detach()
    with torch.no_grad():
        first.weight.mul_(2)
    after = model.decoder(codes).detach()
    bias = model.decoder.biases[-1].detach()
    torch.testing.assert_close(after - bias, 2 * (before - bias))
    assert not torch.equal(after, before)
    return True


def test_a_tied_decoder_is_the_transposed_encoder_by_hand():
    model = Autoencoder((4,), Linear(tied=True), Plain(2), seed=1)
    weight = model.encoder[1].weight.detach()
    bias = torch.arange(4.0)
    model.decoder.biases[0].data.copy_(bias)
    codes = torch.randn(3, 2)
    torch.testing.assert_close(model.decoder(codes), codes @ weight + bias)
    assert model.parameters_count == 4 * 2 + 2 + 4


def test_ties_survive_conversion_copy_and_storage(tmp_path):
    assert still_tied(tied())
    assert still_tied(tied().double())
    assert still_tied(tied().to(torch.float64).to(torch.float32))
    original = tied()
    twin = copy.deepcopy(original)
    assert still_tied(twin)
    assert not same_state(original, twin)  # the copy is tied to itself, not to the original
    original.save_pretrained(tmp_path)
    back = Autoencoder.from_pretrained(tmp_path)
    assert same_state(back, original)
    assert still_tied(back)


def test_tied_weights_have_one_optimiser_state_and_both_gradients():
    model = tied(hidden=())
    assert sum(p.numel() for p in model.parameters()) == 7 * 3 + 3 + 7
    optimiser = optimiser_for(model, Training(), torch.device("cpu"))
    assert sum(len(g["params"]) for g in optimiser.param_groups) == 3
    x = torch.randn(8, 7)
    model.terms(x).loss.backward()
    weight = model.encoder[1].weight
    w = weight.detach().double().requires_grad_()
    b, c = (p.detach().double() for p in (model.encoder[1].bias, model.decoder.biases[0]))
    out = (x.double() @ w.t() + b) @ w + c
    (out - x.double()).square().mean().backward()
    torch.testing.assert_close(weight.grad.double(), w.grad, atol=1e-6, rtol=1e-5)


def test_ties_hold_after_training():
    model = tied(hidden=())
    fit(model, vectors(64, 7), Training(epochs=2, batch_size=16))
    weight, bias = model.encoder[1].weight.detach(), model.decoder.biases[0].detach()
    codes = torch.randn(3, 3)
    torch.testing.assert_close(model.decoder(codes).detach(), codes @ weight + bias)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "build",
    [
        lambda: MLP(hidden=(0,)),
        lambda: MLP(hidden=(16, -1)),
        lambda: MLP(dropout=1.0),
        lambda: MLP(dropout=-0.1),
        lambda: MLP(activation="relux"),
        lambda: MLP(activation="MultiheadAttention"),
        lambda: Conv(channels=()),
        lambda: Conv(channels=(4, 0)),
        lambda: Conv(kernel=4),
        lambda: Conv(kernel=1),
        lambda: Conv(hidden=-1),
        lambda: Conv().build(plain_sizes((1, 7, 30), 3)),
        lambda: Conv().build(plain_sizes((64,), 3)),
        lambda: MLP(tied=True).build(Sizes((6,), 8, 4, (6,))),
        lambda: MLP(tied=True).build(Sizes((6,), 4, 4, (12,))),
        lambda: Autoencoder((6,), "transformer"),
        lambda: Autoencoder(()),
        lambda: Autoencoder((3, 0)),
    ],
)
def test_bad_settings_are_refused(build):
    with pytest.raises(ConfigError):
        build()


def test_what_the_caller_gave_is_left_alone():
    hidden, channels = [8, 4], [3, 5]
    network, conv = MLP(hidden=hidden), Conv(channels=channels)
    network.build(plain_sizes((6,), 2))
    conv.build(plain_sizes((1, 9, 9), 2))
    assert hidden == [8, 4]
    assert channels == [3, 5]
    hidden.append(1)
    assert network.hidden == (8, 4)


@pytest.mark.parametrize(
    "network", [MLP((9, 4), "Tanh", tied=True, dropout=0.25), Conv((3,), 5, "ELU", 7), Linear(True)]
)
def test_networks_go_to_json_and_back(network):
    assert from_json(to_json(network), NETWORKS) == network


def test_a_sigmoid_code_twice_the_width_before_it():
    """The notes' 784-2c-c with a sigmoid code: the decoder reads values in (0, 1)."""
    model = Autoencoder(MNIST, MLP((20,)), L1(10, weight=0.001, unit="sigmoid"))
    codes = model.encode(np.random.default_rng(0).random((3, *MNIST)))
    assert matrices(model.encoder) == [(20, 784), (10, 20)]
    assert ((codes > 0) & (codes < 1)).all()
