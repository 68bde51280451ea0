"""The course notes' own mistakes, each shown to be impossible here."""

import numpy as np
import pytest
import torch

from isthmus.bottlenecks import L1, KLSparse, Plain
from isthmus.errors import ConfigError
from isthmus.models import Autoencoder, preset
from isthmus.networks import MLP, Conv
from isthmus.training import Training, fit
from toys import digits, fitted_to


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


X = torch.randn(64, 6, generator=seeded())
SPARSE = [
    KLSparse(5, target=0.05, weight=1.0),
    L1(5, weight=0.1, unit="sigmoid"),
    L1(5, weight=0.1),
]


def read_by_the_decoder(model, x):
    """The code as the bottleneck gave it, what the decoder was given, and the loss's terms."""
    codes, seen = [], []
    handles = [
        model.waist.register_forward_hook(lambda *hooked: codes.append(hooked[-1].z)),
        model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])),
    ]
    terms = model.terms(x)
    for handle in handles:
        handle.remove()
    return codes[0], seen[0], terms


@pytest.mark.parametrize("bottleneck", SPARSE, ids=str)
def test_the_penalty_is_a_function_of_exactly_what_the_decoder_reads(bottleneck):
    """The notes charged sigmoid(z) and decoded z. Here one tensor is charged, decoded, and given
    to the user as the code."""
    model = Autoencoder((6,), MLP((8,)), bottleneck)
    code, read, terms = read_by_the_decoder(model, X)
    assert read.data_ptr() == code.data_ptr()
    (slope,) = torch.autograd.grad(terms.penalty.sum(), code, retain_graph=True)
    assert bool((slope[code > 0] != 0).any())  # the charge pulls at the decoded tensor itself
    said = model.encoder[-1].weight
    (through,) = torch.autograd.grad((code * slope).sum(), said, retain_graph=True)
    (whole,) = torch.autograd.grad(terms.penalty.sum(), said)
    torch.testing.assert_close(through, whole)  # and at nothing else on its way to the encoder
    model.eval()
    assert torch.equal(model.encode(X), read_by_the_decoder(model, X)[1])


def test_the_kl_charge_is_that_of_the_decoded_means():
    bottleneck = KLSparse(5, target=0.05, weight=2.0, correct=0.0, memory=0.0)
    _, read, terms = read_by_the_decoder(Autoencoder((6,), MLP((8,)), bottleneck), X)
    rho = read.detach().double().mean(0)
    divergence = 0.05 * (0.05 / rho).log() + 0.95 * (0.95 / (1 - rho)).log()
    expected = torch.full((64,), 2 * float(divergence.sum()))
    torch.testing.assert_close(terms.penalty.detach(), expected, rtol=1e-3, atol=1e-7)


def best_undone_error(before, after, weight):
    """How much of the decoder's first layer no bias can make good after a change of the code."""
    moved = (after - before) @ weight.t()
    return float((moved - moved.mean(0)).square().mean() / (before @ weight.t()).var(0).mean())


def test_shifting_the_encoder_cannot_be_undone_by_the_decoders_bias():
    """Their loophole: add -3.5 to every z and give it back in the decoder's bias; the penalty
    falls to nothing and the model is the same. A decoder that reads sigmoid(z) changes."""
    waist = KLSparse(5, target=0.05, weight=1.0, correct=0.0, memory=0.0).build()
    model = Autoencoder((6,), MLP(()), Plain(5))
    weight = model.decoder[0].weight.detach()
    h = model.encoder(X).detach() - waist.embed(torch.zeros(1, 5)).detach().logit()
    assert best_undone_error(h, h - 3, weight) < 1e-10  # the notes' decoder reads h
    codes = [waist(h - shift) for shift in (0.0, 3.0)]
    charges = [float(code.penalty[0].detach()) for code in codes]
    assert charges[1] < 0.1 * charges[0]  # the charge does fall
    assert best_undone_error(codes[0].z.detach(), codes[1].z.detach(), weight) > 0.3


def test_saturated_units_do_not_count_as_active():
    """|sigmoid(z) - 0.5| > 0.4 calls a unit that is off "sparse-active": a code that meets a
    mean of 0.05 scores 100 %. Activity here is an activation above the waist's threshold."""
    waist = KLSparse(5, target=0.05, weight=1.0).build().eval()
    offset = waist.embed(torch.zeros(1, 5)).detach().logit()
    code = waist(torch.full((40, 5), 0.05).logit() - offset).z
    notes_share = float(((code - 0.5).abs() > 0.4).float().mean())
    ours = float((code.abs() > waist.threshold).float().mean())
    assert (notes_share, ours) == (1.0, 0.0)
    on = waist(torch.full((40, 5), 0.9).logit() - offset).z
    assert float((on.abs() > waist.threshold).float().mean()) == 1.0


@pytest.mark.parametrize("unit", ["sigmoid", "relu"])
def test_a_target_that_is_asked_for_is_read(unit):
    """Their L1 model took a sparsity target of 0.05 that no line of the loss ever used: two
    targets must here give two weights, in the right order."""
    weights = []
    for target in (0.02, 0.5):
        model = Autoencoder((6,), MLP((8,)), L1(5, mean_activation=target, unit=unit))
        for step in range(50):
            model.terms(torch.randn(64, 6, generator=seeded(step)))
        weights.append(float(model.terms(X).logs["weight"]))
    assert weights[0] > weights[1]


def test_a_kl_target_that_is_asked_for_is_read():
    """A code at the other target is charged, and at its own not at all."""
    for asked, other in ((0.05, 0.5), (0.5, 0.05)):
        waist = KLSparse(5, target=asked, weight=1.0, correct=0.0, memory=0.0).build()
        offset = waist.embed(torch.zeros(1, 5)).detach().logit()
        charges = [
            float(waist(torch.full((9, 5), mean).logit() - offset).penalty[0].detach())
            for mean in (asked, other)
        ]
        assert charges[0] == pytest.approx(0, abs=1e-5)
        assert charges[1] > 1


def test_a_charge_names_one_strength():
    """A target beside a weight would leave one of them unread: asking for both is refused."""
    for both in ({"weight": 0.1, "mean_activation": 0.05}, {"weight": 0.1, "l0": 4}):
        with pytest.raises(ConfigError, match="one of"):
            L1(16, **both)


def test_the_strength_of_the_notes_does_something():
    """Their default of 0.001 did nothing, 0.1 killed 72 %: each strength here moves the code."""
    means = []
    for weight in (0.0, 0.01, 0.1):
        model = Autoencoder((1, 8, 8), MLP((32,)), L1(16, weight=weight, unit="sigmoid"))
        fit(fitted_to(model, digits()), digits(), Training(epochs=5, batch_size=32))
        means.append(float(model.encode(digits()["test"].all()).mean()))
    assert means[0] > 1.5 * means[1] > 1.5 * means[2]


def test_the_convolutional_exercise_trains_in_the_same_loop():
    """Their loop flattened every image, so that the exercise's own model failed in it."""
    data = digits()
    model = fitted_to(preset("conv").model(data.shape, (0.0, 1.0)), data)
    history = fit(model, data, Training(epochs=2)).history
    assert isinstance(model.network, Conv)
    assert history["validation_mse"][-1] < history["validation_mse"][0]


def test_codes_of_different_widths_are_measured_alike():
    """Their comparison crashed on two widths and measured each model in another way."""
    images = digits()["test"].all()
    for latent in (4, 9):
        for bottleneck in (Plain(latent), KLSparse(latent), L1(latent, weight=0.1)):
            model = fitted_to(Autoencoder((1, 8, 8), MLP((8,)), bottleneck), digits())
            codes = model.encode(images)
            active = (codes.abs() > model.waist.threshold).float().mean()
            assert codes.shape == (180, latent)
            assert 0 <= float(active) <= 1


def test_every_run_has_a_seed_and_a_validation_number():
    """Their program had neither: two runs differed, and nothing was measured off the training."""
    rows = []
    for _ in range(2):
        model = fitted_to(Autoencoder((1, 8, 8), MLP((16,)), Plain(4), seed=7), digits())
        history = fit(model, digits(), Training(epochs=1, seed=7)).history
        rows.append({k: v for k, v in history.rows[0].items() if "second" not in k})
    assert rows[0] == rows[1]
    assert np.isfinite(rows[0]["validation_mse"])
