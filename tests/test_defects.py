"""Mistakes that others made, each kept out by a test; first the course notes', then libraries'.

The numbers of the second part are those of the catalogue that was collected from well-known
autoencoder libraries; what several tests elsewhere already hold is not repeated.
"""

import logging
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import isthmus as im
from isthmus.bottlenecks import L1, Contractive, Gaussian, KLSparse, Plain, TopK
from isthmus.errors import DataError
from isthmus.likelihoods import Bernoulli
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.metrics import CodeSums
from isthmus.models import Autoencoder
from isthmus.models.variational import log_weights
from isthmus.networks import MLP, Linear
from isthmus.training import Training, fit
from toys import digits, fitted_to, vectors

SOURCE = Path(im.__file__).parent


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- the notes' mistakes


class Recorder(nn.Module):
    """A decoder that remembers what it read."""

    def __init__(self, latent, width):
        super().__init__()
        self.layer, self.read = nn.Linear(latent, width), None

    def forward(self, z):
        self.read = z
        return self.layer(z)


@pytest.mark.parametrize(
    "bottleneck",
    [KLSparse(5, weight=1.0), L1(5, weight=0.1), L1(5, weight=0.1, unit="sigmoid")],
    ids=str,
)
def test_the_code_that_is_charged_is_the_code_that_is_decoded(bottleneck):
    """Not a sigmoid of it in the penalty alone: the decoder reads what ``encode`` returns, which
    lies in the unit's range, and the penalty falls where exactly that code falls."""
    decoder = Recorder(5, 6)
    model = Autoencoder((6,), bottleneck=bottleneck, encoder=nn.Linear(6, 5), decoder=decoder)
    x = torch.randn(64, 6, generator=seeded())
    model.eval()
    codes = []
    model.waist.register_forward_hook(lambda module, inputs, code: codes.append(code.z))
    penalty = model.terms(x).penalty
    (code,) = codes
    assert torch.equal(decoder.read, code)
    assert torch.equal(model.encode(x), code)
    assert bool((code >= 0).all())
    (slope,) = torch.autograd.grad(penalty.sum(), code)
    assert bool((slope[code > 0] != 0).all())


def digits_code(weight, correct=0.002):
    data = digits()
    bottleneck = KLSparse(32, target=0.05, weight=weight, correct=correct)
    model = fitted_to(Autoencoder(data.shape, MLP((64,), "GELU"), bottleneck), data)
    settings = Training(epochs=60, batch_size=64, lr=3e-3, weight_decay=1e-4)
    history = fit(model, data, settings).history
    codes = model.encode(data["train"].all()).numpy()
    sums = CodeSums(32, model.waist.threshold)
    sums.update(codes)
    return sums.result(), codes, history["validation_mse"][-1]


def test_the_kl_penalty_changes_the_code_and_does_not_merely_shift_it():
    """Against the same model without the weight: fewer latents fire on a sample, its activations
    are more unequal, and what is left differs from sample to sample and carries the image."""
    sparse, codes, error = digits_code(0.003)
    dense, before, _ = digits_code(0.0)
    assert sparse.l0 < 0.5 * dense.l0
    assert sparse.hoyer > dense.hoyer + 0.15
    assert sparse.mean_activation < 0.5 * dense.mean_activation
    # a mere shift of the logits would keep their correlation over samples latent by latent
    shape = [np.sort(each / each.mean(0), axis=0) for each in (codes, before)]
    assert np.abs(shape[0] - shape[1]).mean() > 0.1
    assert sparse.dead_fraction == 0
    assert error < 0.3 * 0.073  # the mean image leaves 0.073


def test_a_saturated_sigmoid_is_not_called_sparse():
    """|sigmoid(z) - 0.5| > 0.4 counts zeros as active: here an activation is active where it is
    large, so that a code of zeros has L0 0 and a code of ones is full."""
    for bottleneck in (KLSparse(4), L1(4, unit="sigmoid"), Contractive(4)):
        waist = bottleneck.build()
        assert waist.threshold == 0.1
        sums = CodeSums(4, waist.threshold)
        sums.update(np.array([[0.01, 0.02, 0.0, 0.05], [0.95, 0.99, 1.0, 0.5]]))
        found = sums.result()
        assert found.l0 == 2.0  # none of the first row, all of the second
        assert found.dead_fraction == 0


@pytest.mark.parametrize(
    "pair",
    [
        (KLSparse(8, target=0.05, weight=0.1), KLSparse(8, target=0.4, weight=0.1)),
        (L1(8, mean_activation=0.02), L1(8, mean_activation=2.0)),
        (L1(8, l0=1), L1(8, l0=7)),
        (TopK(8, k=1), TopK(8, k=7)),
        (L1(8, weight=0.0), L1(8, weight=0.1)),
        (Gaussian(4, beta=0.0), Gaussian(4, beta=2.0)),  # 31: beta unused
        (Gaussian(4, capacity=0.0), Gaussian(4, capacity=9.0)),
    ],
    ids=str,
)
def test_every_target_and_weight_is_read_by_the_loss(pair):
    """A setting that nothing reads leaves the same weights behind."""
    data, states = vectors(64), []
    for bottleneck in pair:
        model = Autoencoder((6,), MLP((8,)), bottleneck, seed=0)
        if isinstance(bottleneck, KLSparse):  # the start depends on the target; the loss must too
            with torch.no_grad():
                model.waist.bias.zero_()
        fit(model, data, Training(epochs=60, batch_size=16, lr=1e-2))
        states.append(model.decoder[0].weight.detach())
    assert not torch.allclose(*states, rtol=1e-3, atol=1e-4)


def test_the_loss_of_an_epoch_is_not_that_of_its_last_batch():
    """Also 15: nor the mean of the batches' means."""
    data = vectors(9)
    data["train"].values[:] = 1.0
    model = Autoencoder((6,), Linear(), Plain(2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # every sample's loss is its mean square
    from isthmus.training.batches import order_of

    order = order_of(9, 0, 0)
    data["train"].values[order[8]] = 10.0  # the last batch of one
    row = fit(model, data, Training(epochs=1, batch_size=4, lr=1e-30)).history.rows[0]
    assert row["train_loss"] == pytest.approx((8 * 1 + 100) / 9, rel=1e-5)


# ---------------------------------------------------------------- libraries' mistakes


def variational(**settings):
    return Autoencoder((6,), MLP((8,)), Gaussian(3, **settings), GaussianLikelihood())


def test_01_a_capacity_of_zero_still_charges_every_nat():
    waist = Gaussian(3, capacity=0.0, gamma=2.0).build().eval()
    h = torch.randn(5, 6, generator=seeded())
    code = waist(h, generator=seeded())
    mean, log_variance = waist.posterior(h)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    torch.testing.assert_close(code.rate, 2 * kl)


def test_02_11_codes_and_reconstructions_of_a_variational_model_are_repeatable():
    model = variational()
    x = torch.randn(7, 6, generator=seeded())
    with torch.no_grad():
        mean, _ = model.waist.posterior(model.encoder(x))
    for _ in range(2):
        torch.testing.assert_close(model.encode(x), mean)
        assert torch.equal(model.reconstruct(x), model.decode(model.encode(x)))


def test_03_13_building_and_training_leave_the_global_seed_and_use_their_own():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = variational()
    torch.manual_seed(2)
    two = variational()
    assert torch.equal(one.encoder[1].weight, two.encoder[1].weight)
    torch.set_rng_state(state)
    fit(one, vectors(5), Training(epochs=1, batch_size=128))  # fewer samples than a batch
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(one.encoder[1].weight, two.encoder[1].weight)


def test_04_10_the_importance_weighted_loss_is_the_bound_and_favours_the_best_sample():
    """Two samples of log-weights -1 and -5: the bound is their log-mean-exp, not the weighted
    mean of the logarithms, which exceeds it; and the better one has the larger gradient."""
    waist = Gaussian(3, samples=2, bound="iwae").build()
    distortion = torch.tensor([[1.0], [5.0]], requires_grad=True)
    loss = sum(waist.bound(distortion, torch.zeros(2, 1)))
    assert float(loss.detach()) == pytest.approx(-math.log((math.exp(-1) + math.exp(-5)) / 2))
    (slope,) = torch.autograd.grad(loss.sum(), distortion)
    assert float(slope[0]) == pytest.approx(1 / (1 + math.exp(-4)), rel=1e-5)


def test_05_a_weight_is_the_same_in_training_and_in_validation():
    model = variational(beta=7.0)
    data = vectors(200, 6, validation=200)
    data["validation"].values[:] = data["train"].values
    row = fit(model, data, Training(epochs=1, batch_size=200, lr=1e-30)).history.rows[0]
    assert row["train_rate"] == pytest.approx(row["validation_rate"], rel=1e-5)
    assert row["train_rate"] == pytest.approx(7 * row["train_kl"], rel=1e-5)


def test_06_validation_and_test_samples_are_never_the_same():
    data = im.load(np.arange(300, dtype=np.float32)[:, None] * np.ones((1, 2), np.float32))
    held = [set(data[s].all()[:, 0].tolist()) for s in ("train", "validation", "test")]
    assert sum(map(len, held)) == len(set.union(*held)) == 300


def test_07_the_divergence_is_logged_with_its_sign():
    history = fit(variational(), vectors(50, 6, validation=9), Training(epochs=2)).history
    for column in ("train_kl", "validation_kl", "train_rate", "validation_rate"):
        assert all(value > 0 for value in history[column])


def test_08_the_users_lists_are_left_as_they_are():
    widths, channels = [16, 8], [4, 8]
    Autoencoder((1, 8, 8), MLP(widths)), Autoencoder((3, 12, 9), im.Conv(channels))
    assert (widths, channels) == ([16, 8], [4, 8])


def one_known_density(width=3):
    """A model that ignores its code: log p(x) is that of N(0, 0.25), whatever is sampled."""
    model = Autoencoder((width,), Linear(), Gaussian(2), GaussianLikelihood(variance=0.25))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


@pytest.mark.parametrize("samples", [1, 7, 50, 70, 130])
def test_09_22_the_likelihood_has_its_sign_and_any_number_of_samples_is_unbiased(samples):
    """Neither a remainder that is dropped nor one that is counted twice moves the estimate."""
    data = vectors(130, 3)
    x = data["train"].all().double().numpy()
    expected = 0.5 * (x**2 / 0.25 + math.log(2 * math.pi * 0.25)).sum(1).mean()
    model = one_known_density()
    options = im.Evaluation(nll_samples=samples, nll_rows=0)
    found = im.evaluate(model, data, options)["train"]
    assert found.nll == pytest.approx(expected, rel=1e-5)
    assert found.elbo == pytest.approx(-expected, rel=1e-5)
    assert (found.nll_samples, found.nll_rows) == (samples, 130)
    assert found.nll_ess == pytest.approx(samples, rel=1e-6)
    draws = log_weights(model, data["train"].all(), samples, seeded())
    assert draws.shape == (samples, 130)


def test_16_early_stopping_copes_with_losses_of_any_size():
    data = vectors(60, 6, validation=20)
    for split in ("train", "validation"):
        data[split].values[:] *= 1e7
    model = Autoencoder((6,), MLP((8,)), Plain(3))
    fitted = fit(model, data, Training(epochs=3, patience=2))
    assert fitted.history["validation_loss"][0] > 1e12
    assert fitted.best_epoch >= 1


def test_17_the_output_is_squashed_only_where_the_data_are_known_to_lie_in_a_range():
    table = im.train("dense", vectors(60, 6), epochs=1, latent=2, hidden=(8,))
    assert table.model.likelihood.output == "linear"
    image = im.train("dense", "digits", epochs=1, latent=2, hidden=(8,))
    assert image.model.likelihood.output == "sigmoid"


def test_18_decoded_values_do_not_wrap_around():
    model = fitted_to(Autoencoder((1, 8, 8), Linear(), Plain(2)), digits())
    out = model.decode(np.array([[1e3, -1e3]], np.float32))
    assert out.dtype == np.float32
    assert out.max() > 16 or out.min() < 0  # as the model says, not modulo 256


def test_19_20_24_nothing_is_unpickled_no_handler_added_no_global_set():
    text = "\n".join(path.read_text() for path in sorted(SOURCE.rglob("*.py")))
    for bad in (
        r"^\s*(import|from) (cloud)?pickle",
        r"torch\.load\((?!.*weights_only=True)",  # another library's file, when asked for
        r"allow_pickle\s*=\s*True",
        r"suppress_errors\s*=",
        r"logging\.basicConfig",
        r"addHandler\(",
    ):
        assert not re.search(bad, text, re.M), bad
    script = "import logging, isthmus, isthmus.models, isthmus.runs.training, isthmus.figures\n"
    script += "print(len(logging.getLogger().handlers), len(logging.getLogger('isthmus').handlers))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["0", "0"]
    assert logging.getLogger("isthmus").handlers == []


def test_26_the_variance_that_is_sampled_is_the_variance_that_is_charged():
    """Standard deviation 2 in one latent: draws spread by 2, and the charge is that of 4."""
    waist = Gaussian(1).build().eval()
    raw = 12 * math.atanh(math.log(4.0) / 12)
    code = waist(torch.tensor([[0.0, raw]]).expand(20_000, 2), generator=seeded())
    assert float(code.z.std()) == pytest.approx(2.0, rel=0.02)
    assert float(code.rate[0]) == pytest.approx(0.5 * (4 - 1 - math.log(4)), rel=1e-4)


def test_27_28_29_a_penalty_is_per_sample_and_does_not_know_the_size_of_the_batch():
    """The mean over the batch of each latent, summed over latents: the same samples eight times
    cost the same for each. Other samples with the same means cost the same too."""
    h = torch.randn(16, 5, generator=seeded())
    for bottleneck in (KLSparse(5, weight=1.0, memory=0.0), L1(5, weight=0.1, unit="sigmoid")):
        one = bottleneck.build().eval()(h).penalty.detach()
        many = bottleneck.build().eval()(h.repeat(8, 1)).penalty.detach()
        assert float(one.mean()) > 1e-3
        torch.testing.assert_close(many.mean(), one.mean(), rtol=1e-4, atol=1e-6)
    waist = KLSparse(5, weight=1.0, memory=0.0).build().eval()
    shuffled = torch.stack([h[torch.randperm(16, generator=seeded(j)), j] for j in range(5)], 1)
    torch.testing.assert_close(waist(shuffled).penalty, waist(h).penalty, rtol=1e-4, atol=1e-6)


def test_30_sparsity_is_charged_on_codes_not_on_weights():
    model = Autoencoder((6,), MLP((8,)), L1(4, weight=0.1, unit="sigmoid")).eval()
    quiet, loud = (model.terms(torch.full((2, 6), v)).penalty.detach() for v in (-3.0, 3.0))
    assert not torch.allclose(quiet, loud)  # the same weights, other inputs


def test_32_33_cross_entropy_is_one_and_refuses_what_is_no_probability():
    readout = Bernoulli().build((2,))
    found = readout.distortion(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.25]]))
    p = 1 / (1 + math.exp(-2))
    expected = math.log(2) - 0.25 * math.log(p) - 0.75 * math.log(1 - p)
    assert found.tolist() == pytest.approx([expected], rel=1e-5)
    model = Autoencoder((6,), MLP((8,)), Plain(2), Bernoulli())
    with pytest.raises((DataError, ValueError), match=r"\[0, 1\]|0 (to|and) 1"):
        fit(model, vectors(20), Training(epochs=1))
