"""Steps and stops of a training: rates, decay, clipping, early stopping, divergence, refusals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from isthmus.bottlenecks import L1, Gaussian, Plain, TopK
from isthmus.data.dataset import Dataset
from isthmus.errors import ConfigError, DataError, DivergedError
from isthmus.likelihoods import Bernoulli
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.models import Autoencoder
from isthmus.networks import MLP, Conv
from isthmus.training import Training, fit
from isthmus.training.optimiser import optimiser_for
from isthmus.training.schedule import rate_at
from toys import digits, fitted_to, vectors


def small(width=6, **parts):
    return Autoencoder((width,), MLP((8,)), Plain(3), **parts)


# ---------------------------------------------------------------- rates, decay, clipping


def test_schedules_by_hand():
    cosine = Training(lr=2.0)
    assert rate_at(0, 8, cosine) == 2.0
    assert rate_at(4, 8, cosine) == pytest.approx(1.0)
    assert rate_at(6, 8, cosine) == pytest.approx(1 + math.cos(0.75 * math.pi))
    steps = Training(lr=1.0, schedule="step", step_at=(0.25, 0.5), step_factor=0.5)
    assert [rate_at(s, 4, steps) for s in range(4)] == [1.0, 0.5, 0.25, 0.25]
    warm = Training(lr=1.0, schedule="constant", warmup_steps=4)
    assert [rate_at(s, 9, warm) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@given(step=st.integers(0, 999), schedule=st.sampled_from(["cosine", "step", "constant"]))
def test_rates_stay_between_nothing_and_the_largest(step, schedule):
    config = Training(lr=0.5, schedule=schedule, warmup_steps=50)
    assert 0 < rate_at(step, 1000, config) <= 0.5


def test_weight_decay_shrinks_matrices_and_nothing_else():
    model = Autoencoder((1, 8, 8), Conv((3,)), Plain(4), GaussianLikelihood("per-element"), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = optimiser_for(model, Training(lr=0.1, weight_decay=0.5), torch.device("cpu"))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, parameter in model.named_parameters():
        factor = 0.95 if name.endswith("weight") else 1.0  # 1 - lr * decay
        torch.testing.assert_close(parameter.detach(), factor * before[name], msg=name)


def test_the_gradient_is_clipped_to_its_norm():
    norms = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **kwargs):
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        return step(self, *args, **kwargs)

    data = vectors(64)
    data["train"].values[:] *= 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", watched)
        fit(small(), data, Training(epochs=1, batch_size=16))
        fit(small(), data, Training(epochs=1, batch_size=16, clip=0.25))
    assert min(norms[:4]) > 1
    assert norms[4:] == pytest.approx([0.25] * 4, rel=1e-3)


# ---------------------------------------------------------------- stopping


def overfitting():
    draws = np.random.default_rng(0)
    values = draws.normal(size=(72, 10)).astype(np.float32)  # nothing to learn but the samples
    data = Dataset.from_arrays(values[:24], validation=values[24:])
    return Autoencoder((10,), MLP((64,)), Plain(8), seed=0), data


def test_early_stopping_keeps_the_best_epochs_weights():
    model, data = overfitting()
    config = Training(epochs=200, batch_size=8, lr=1e-2, schedule="constant", patience=4)
    fitted = fit(model, data, config)
    losses = fitted.history["validation_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 4 < 200
    assert fitted.best_epoch == best + 1
    with torch.no_grad():
        now = float(model.terms(data["validation"].all()).loss)
    assert now == pytest.approx(min(losses), rel=1e-5)
    assert losses[-1] > min(losses)


def test_without_patience_the_last_weights_stay():
    model, data = overfitting()
    fitted = fit(model, data, Training(epochs=30, batch_size=8, lr=1e-2, schedule="constant"))
    with torch.no_grad():
        now = float(model.terms(data["validation"].all()).loss)
    assert now == pytest.approx(fitted.history["validation_loss"][-1], rel=1e-5)
    assert fitted.best_epoch == 30 == len(fitted.history)


@pytest.mark.parametrize("bottleneck", [Plain(3), L1(3, l0=1), TopK(3, k=1)], ids=str)
def test_a_diverging_loss_stops_the_run_and_keeps_a_finite_checkpoint(bottleneck, tmp_path):
    data = vectors(64, 6)
    model = Autoencoder((6,), MLP((16, 16)), bottleneck)
    config = Training(epochs=50, batch_size=8, lr=1e25, checkpoint_seconds=0)
    with pytest.raises(DivergedError) as caught:
        fit(model, data, config, checkpoints=tmp_path)
    assert all(word in str(caught.value) for word in ("--lr", "--clip", str(tmp_path)))
    with safe_open(tmp_path / "last.safetensors", framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            if name.startswith("model.") and file.get_tensor(name).is_floating_point():
                assert not bool(file.get_tensor(name).isinf().any()), name


def test_a_learning_rate_of_a_million_is_told_what_to_try(tmp_path):
    data = digits()
    model = fitted_to(Autoencoder(data.shape, MLP((64, 32)), Gaussian(8), Bernoulli()), data)
    with pytest.raises(DivergedError, match="lower --lr"):
        fit(model, data, Training(epochs=30, lr=1e6), checkpoints=tmp_path)
    assert (tmp_path / "last.safetensors").exists()


# ---------------------------------------------------------------- what is refused


def test_data_that_do_not_fit_are_refused_before_anything_happens(tmp_path):
    with pytest.raises(ConfigError, match=r"\(6,\)"):
        fit(small(5), vectors(20), checkpoints=tmp_path)
    with pytest.raises(DataError, match="at least two"):
        fit(small(), vectors(1), checkpoints=tmp_path)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        fit(small(likelihood=Bernoulli()), vectors(20), checkpoints=tmp_path)
    with pytest.raises(ConfigError, match="device"):
        fit(small(), vectors(20), Training(device="abacus"), checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"lr": -1.0},
        {"lr": float("nan")},
        {"clip": -1.0},
        {"patience": -1},
        {"weight_decay": -0.1},
        {"beta1": 1.0},
        {"beta2": -0.1},
        {"eps": 0.0},
        {"seed": -1},
        {"step_at": (0.7, 0.3)},
        {"step_at": (0.5, 1.0)},
    ],
    ids=str,
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ConfigError):
        Training(**bad)
