"""The loop: what its history means, seeds, schedules, early stopping, decay, divergence."""

import io
import math
import random
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.bottlenecks import L1, VQ, Gaussian, KLSparse, Plain, TopK
from isthmus.data.preprocessing import Preprocessing
from isthmus.errors import RunError
from isthmus.likelihoods import Bernoulli
from isthmus.models import Autoencoder, Noise
from isthmus.networks import MLP, Conv, Linear
from isthmus.training import History, Training, fit, plan
from isthmus.training.batches import Batches, order_of
from isthmus.training.progress import lines_to
from isthmus.training.schedule import rate_at
from toys import digits, fitted_to, same_state, vectors

STILL = 1e-30  # a learning rate that moves no float32 weight
CPU = torch.device("cpu")


def small(width=6, **parts):
    return Autoencoder((width,), MLP((8,)), parts.pop("bottleneck", Plain(3)), **parts)


# ---------------------------------------------------------------- the history


def test_an_epochs_loss_is_the_mean_over_samples_with_a_short_last_batch():
    """Ten samples in batches of 4, 4 and 2: neither the last batch's loss, nor the mean of the
    batches' means, which weighs the last two samples double."""
    data = vectors(10)
    data["train"].values[order_of(10, 0, 0)[-1]] *= 30  # the last batch is far off
    model = small()
    history = fit(model, data, Training(epochs=1, batch_size=4, lr=STILL, seed=0)).history
    losses = model.terms(data["train"].all()).distortion.detach()[order_of(10, 0, 0)]
    means = [float(part.mean()) for part in losses.split(4)]
    assert history["train_loss"][0] == pytest.approx(float(losses.mean()), rel=1e-5)
    assert history["train_distortion"] == history["train_loss"]
    assert abs(sum(means) / 3 - float(losses.mean())) > 0.2 * float(losses.mean())
    assert abs(means[-1] - float(losses.mean())) > float(losses.mean())


def test_validation_is_the_mean_over_its_samples_in_evaluation_mode():
    data = vectors(8, 6, validation=1030)  # more than one of its batches of 1024
    model = small(corruption=Noise(5.0))
    row = fit(model, data, Training(epochs=1, lr=STILL)).history.rows[0]
    loss = model.terms(data["validation"].all()).loss.detach()
    assert row["validation_loss"] == pytest.approx(float(loss), rel=1e-5)
    assert row["validation_mse"] == pytest.approx(float(loss), rel=1e-5)
    clean = float(model.terms(data["train"].all()).loss.detach())
    assert row["train_loss"] != pytest.approx(clean, rel=0.05)  # the noise is in training alone


def test_the_terms_of_the_history_add_up_to_the_loss():
    data = vectors(50, 6, validation=20)
    for bottleneck in (Gaussian(3, beta=0.5), L1(4, weight=0.1), VQ(4, groups=2, codebook=8)):
        for row in fit(small(bottleneck=bottleneck), data, Training(epochs=2)).history:
            for part in ("train_", "validation_"):
                terms = sum(row[part + name] for name in ("distortion", "rate", "penalty"))
                assert row[part + "loss"] == pytest.approx(terms, rel=1e-4)


def test_validation_noise_is_the_same_in_every_epoch_and_training_noise_is_not():
    model = small(bottleneck=Gaussian(3))
    history = fit(model, vectors(40, 6, validation=30), Training(epochs=3, lr=STILL)).history
    assert len(set(history["validation_distortion"])) == 1
    assert len(set(history["train_distortion"])) == 3


def test_the_loss_falls_and_rows_count_steps_and_rates():
    data = digits()
    model = fitted_to(Autoencoder(data.shape, MLP((32,)), Plain(8)), data)
    fitted = fit(model, data, Training(epochs=5, batch_size=100, lr=3e-3))
    history = fitted.history
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]
    assert history["epoch"] == [1, 2, 3, 4, 5]
    assert history["steps"] == [15, 30, 45, 60, 75]  # 1437 samples: 15 steps an epoch
    assert history["lr"][0] == pytest.approx(rate_at(14, 75, Training(lr=3e-3)))
    assert fitted.seconds == pytest.approx(sum(history["seconds"]))
    assert fitted.samples_per_second == pytest.approx(5 * 1437 / fitted.seconds)
    assert not model.training


def test_fewer_samples_than_a_batch_still_train():
    model, before = small(), small()
    history = fit(model, vectors(5), Training(epochs=2, batch_size=128)).history
    assert history["steps"] == [1, 2]
    assert not same_state(model, before)


@pytest.mark.parametrize("bottleneck", [L1(4, l0=2), TopK(4, k=2), KLSparse(4), Gaussian(3)])
def test_a_last_batch_of_one_sample_trains(bottleneck):
    history = fit(
        small(bottleneck=bottleneck), vectors(17), Training(epochs=2, batch_size=8)
    ).history
    assert all(math.isfinite(loss) for loss in history["train_loss"])


def test_histories_are_written_and_read_exactly(tmp_path):
    history = History([{"epoch": 1, "train_loss": 0.1 + 0.2}, {"epoch": 2, "late": 1e-300}])
    history.save(tmp_path / "h.csv")
    assert History.open(tmp_path / "h.csv").rows == history.rows
    assert math.isnan(history["late"][0])
    with pytest.raises(KeyError, match="train_loss"):
        history["validation_loss"]
    for text in ("epoch,train_loss\n1,low\n", 'epoch\n"1\n', "epoch\n1,2,3\n"):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(RunError, match="damaged"):
            History.open(tmp_path / "bad.csv")
    with pytest.raises(RunError, match="missing"):
        History.open(tmp_path / "none.csv")


# ---------------------------------------------------------------- seeds

KINDS = {
    "dropout": lambda: Autoencoder((6,), MLP((8,), dropout=0.3), Plain(3), corruption=Noise(0.1)),
    "vae": lambda: small(bottleneck=Gaussian(3)),
    "vq": lambda: small(bottleneck=VQ(4, groups=2, codebook=8)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_of_the_weights(kind, tmp_path):
    written = []
    for run, seed in enumerate((3, 3, 4)):
        torch.rand(run + 1)  # whatever ran before
        model = KINDS[kind]()
        fit(model, vectors(50), Training(epochs=3, batch_size=16, seed=seed))
        model.save_pretrained(tmp_path / str(run))
        written.append((tmp_path / str(run) / "model.safetensors").read_bytes())
    assert written[0] == written[1]
    assert written[0] != written[2]


def test_training_leaves_the_global_random_states_and_threads_alone():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    threads = torch.get_num_threads()
    model = KINDS["dropout"]()
    fit(model, vectors(30, 6, validation=9), Training(epochs=2, threads=threads + 1))
    plan(model, vectors(30), Training())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]
    assert torch.get_num_threads() == threads


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 300), seed=st.integers(0, 2**62), epoch=st.integers(0, 1000))
def test_each_epoch_visits_every_sample_once_in_its_own_order(count, seed, epoch):
    order = order_of(count, seed, epoch)
    assert sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, order_of(count, seed, epoch))
    if count > 50:
        assert not torch.equal(order, order_of(count, seed, epoch + 1))
        assert not torch.equal(order, order_of(count, seed + 1, epoch))


# ---------------------------------------------------------------- batches


@pytest.mark.parametrize("channels_last", [False, True])
def test_batches_from_memory_and_from_the_source_are_equal(channels_last):
    train = digits()["train"]
    scale = Preprocessing.fit(train, "image", range=(0.0, 16.0))
    kept, read = (
        Batches(train, scale, CPU, channels_last=channels_last, limit=limit)
        for limit in (1 << 30, 0)
    )
    index = order_of(len(train), 0, 0)[:77]
    assert torch.equal(kept.at(index), read.at(index))
    torch.testing.assert_close(kept.at(index), train.batch(index) / 16)
    assert kept._kept is not None
    assert read._kept is None


def test_dynamic_binarisation_draws_new_bits_at_every_step():
    train = digits()["train"]
    scale = Preprocessing.fit(train, "image", range=(0.0, 16.0))
    batches = Batches(train, scale, CPU, dynamic=True)
    index = torch.arange(50)
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([batches.at(index, generator) for _ in range(400)])
    assert draws.unique().tolist() == [0.0, 1.0]
    assert not torch.equal(draws[0], draws[1])
    torch.testing.assert_close(draws.mean(0), train.batch(index) / 16, atol=0.12, rtol=0)
    again = batches.at(index, torch.Generator().manual_seed(0))
    assert torch.equal(draws[0], again)


def test_dynamic_binarisation_reaches_the_loop_and_holds_still_in_validation():
    data = digits()
    model = fitted_to(Autoencoder(data.shape, Linear(), Plain(2), Bernoulli()), data)
    history = fit(model, data, Training(epochs=2, lr=STILL, binarise="dynamic")).history
    assert history["train_loss"][0] != history["train_loss"][1]
    assert history["validation_loss"][0] == history["validation_loss"][1]
    grey = fit(model, data, Training(epochs=2, lr=STILL)).history
    assert grey["train_loss"][0] == pytest.approx(grey["train_loss"][1], rel=1e-6)


# ---------------------------------------------------------------- the rest


def test_half_precision_arithmetic_keeps_float32_weights_and_learns():
    data = digits()
    losses = []
    for precision in ("float32", "bf16"):
        model = fitted_to(Autoencoder(data.shape, Conv((8, 8)), Plain(8)), data)
        config = Training(epochs=2, batch_size=64, precision=precision)
        losses.append(fit(model, data, config).history["validation_mse"][-1])
        assert all(p.dtype == torch.float32 for p in model.parameters())
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_the_plan_counts_and_changes_nothing():
    data = digits()
    model = Autoencoder(data.shape, MLP((128,)), Plain(32))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = plan(model, data, Training(epochs=3, batch_size=100))
    assert found.parameters == 64 * 128 + 128 + 128 * 32 + 32 + 32 * 128 + 128 + 128 * 64 + 64
    assert found.steps == 45
    assert found.memory_bytes == 16 * found.parameters + 4 * 1437 * 64
    assert found.seconds > 0
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_progress_is_told_after_each_epoch_and_written_as_lines():
    told, stream = [], io.StringIO()
    lines = lines_to(stream)

    def watch(progress):
        told.append(progress)
        lines(progress)

    fit(small(), vectors(20, 6, validation=5), Training(epochs=3, batch_size=8), watch=watch)
    ends = [p for p in told if p.row is not None]
    assert [(p.epoch, p.samples, p.total) for p in ends] == [(1, 20, 60), (2, 40, 60), (3, 60, 60)]
    assert ends[-1].seconds_left == 0
    written = stream.getvalue().splitlines()
    assert len(written) == 3
    assert written[0].startswith("epoch 1/3  loss ")
    assert "validation" in written[0]


def test_training_works_outside_the_main_thread():
    done = []
    thread = threading.Thread(
        target=lambda: done.append(fit(small(), vectors(20), Training(epochs=1)))
    )
    thread.start()
    thread.join(30)
    assert len(done[0].history) == 1
