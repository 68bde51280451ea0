"""Sparsity held by a common offset: worked by hand, and the L0 asked for reached."""

import math

import pytest
import torch

from dictionary_toys import filled, fitted, mixtures, plain
from isthmus.bottlenecks import L1, Gated, JumpReLU
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.steered import SteeredObjective, slow_controller


def moved(measured, l0=2.0):
    """A dictionary after a step that moved its biases and thresholds, then steered."""
    model = plain(4, JumpReLU(4, l0=l0))
    objective = model.objective
    before = [p.detach().clone() for p in objective.shared(model)]
    filled(
        model,
        bias=torch.tensor([1.0, 2.0, 3.0, 6.0]),
        objective__log_threshold=before[1] + torch.tensor([0.4, 0.0, 0.0, 0.0]),
        objective__measured=measured,
    )
    objective.steer(model, before)
    return model.bias.detach(), objective.log_threshold.detach() - before[1]


@pytest.mark.parametrize(
    ("measured", "offset"),
    [
        (2 * math.exp(0.5), 0.01),  # too many: thresholds rise by .02 times the log error
        (2 * math.exp(-0.5), -0.01),
        (2.0, 0.0),
        (200.0, 0.02),  # the error counts up to 1
        (0.01, -0.02),
    ],
)
def test_the_common_move_is_taken_back_and_the_offset_is_the_log_error(measured, offset):
    bias, thresholds = moved(measured)
    assert bias.tolist() == pytest.approx([-2, -1, 0, 3])  # 3 on average taken back
    wanted = [0.3 + offset, *[offset - 0.1] * 3]
    assert thresholds.tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("measured", "l0"), [(math.nan, 2.0), (3.0, None)])
def test_nothing_is_steered_before_a_batch_was_seen_or_without_a_target(measured, l0):
    bias, thresholds = moved(measured, l0)
    assert bias.tolist() == [1, 2, 3, 6]
    assert thresholds.tolist() == pytest.approx([0.4, 0, 0, 0], abs=1e-6)


def test_measured_l0_remembers_four_fifths():
    objective = SteeredObjective(2.0)
    objective.note(torch.tensor(4.0))
    assert float(objective.measured) == 4  # the first as it is
    objective.note(torch.tensor(9.0))
    assert float(objective.measured) == pytest.approx(0.8 * 4 + 0.2 * 9)
    objective.eval()
    objective.note(torch.tensor(100.0))
    assert float(objective.measured) == pytest.approx(5)
    silent = SteeredObjective(2.0)
    silent.note(torch.tensor(0.0))
    assert float(silent.measured) == pytest.approx(1e-3)  # whose logarithm is finite


@pytest.mark.parametrize(
    ("l0", "active"),
    [(2, 8), (5, 20), (10, 25), (40, 40)],  # 4 times, up to a quarter, or those asked for
)
def test_thresholds_start_where_four_times_the_target_are_active(l0, active):
    rows = torch.stack([torch.arange(1.0, 101.0).roll(n) for n in range(100)])
    model = plain(100, JumpReLU(100, l0=l0))
    model.objective.begin(model, rows)
    codes = model.objective.codes(model.preactivations(rows))
    assert (codes > 0).sum(1).tolist() == [active] * 100


def test_a_level_below_the_setting_starts_at_the_setting():
    """A threshold of zero could never be raised by a share of itself."""
    model = plain(10, JumpReLU(10, l0=2, threshold=0.05))
    model.objective.begin(model, -torch.ones(4, 10))
    assert model.objective.threshold.tolist() == pytest.approx([0.05] * 10)


def test_without_a_target_the_start_is_the_setting():
    model = plain(10, JumpReLU(10, weight=0.1, threshold=0.05))
    model.objective.begin(model, torch.ones(4, 10))
    assert model.objective.threshold.tolist() == pytest.approx([0.05] * 10)


def test_by_default_biases_carry_the_offset():
    class Lowered(SteeredObjective):
        def offset(self, model, error):
            return -3 * error

    model, objective = plain(4, L1(4)), Lowered(2.0)
    with torch.no_grad():
        objective.start_at(model, 0.5)
    assert model.bias.tolist() == [-0.5] * 4
    filled(objective, measured=torch.tensor(2 * math.exp(0.5)))
    objective.steer(model, [model.bias.detach().clone()])
    assert model.bias.tolist() == pytest.approx([-0.5 - 3 * 0.01] * 4)
    # unit encoder rows over 16 dimensions: pre-activations spread by a quarter of the inputs
    assert SteeredObjective(2.0).offset(plain(16, L1(16)), 0.1) == pytest.approx(-0.1 / 4)


@pytest.mark.parametrize("l0", [2, 3, 4])
def test_the_l0_asked_for_is_reached(l0):
    """By the rows trained on; few rows held out, which fit less well, have a few fewer active."""
    _, left = fitted(JumpReLU(24, l0=l0), mixtures(1200, 12), epochs=15)
    assert left.history["train_l0"][0] > 1.1 * l0
    assert left.history["train_l0"][-1] == pytest.approx(l0, rel=0.05)
    assert left.history["validation_l0"][-1] == pytest.approx(l0, rel=0.15)
    assert not any("not reached" in note for note in left.notes)


@pytest.mark.parametrize("kind", [L1, Gated])
def test_charged_codes_have_a_slow_controller_and_a_fifth_of_the_rate(kind):
    objective = SparseDictionary(8, kind(16, l0=3)).objective
    controller = objective.controller
    assert (controller.target, controller.gain, controller.memory) == (3, 0.006, 0.9)
    assert float(controller.weight) == pytest.approx(0.02)
    assert objective.pace == SteeredObjective.pace == 0.2
    assert SparseDictionary(8, kind(16)).objective.controller is None


def test_the_slow_controller_moves_by_a_gain_of_six_thousandths():
    controller = slow_controller(4.0)
    controller.step(torch.tensor(4 * math.exp(0.5)))
    assert float(controller.weight) == pytest.approx(0.02 * math.exp(0.003))
