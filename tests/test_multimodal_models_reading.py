"""Draws that are read back: certainty by hand, what is redrawn, what is left alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.mixture_parts import drawn
from isthmus.models.multimodal.mixture_use import fit_to, imagine, translations
from isthmus.models.multimodal.reading_back import CLEAR, ROUNDS, Reader, read_back
from multimodal_models import modality, small
from multimodal_toys import toy

LABELS = np.array([0, 0, 1, -1])


class Echo:
    """A model whose items are their own shared codes."""

    def encode(self, items):
        (values,) = items.values()
        return SimpleNamespace(shared=values)


def reader(labels=LABELS):
    """Components on the axes: two of class 0, one of class 1, one of none."""
    means = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 2.0, 0], [0, 0, 0, 1.0]])
    covariances = np.stack([np.eye(4)] * 4)
    mixture = JointMixture({"a/shared": 4}, np.full(4, 0.25), means, covariances, labels)
    return Reader(Echo(), mixture)


def test_certainty_by_hand():
    codes = torch.tensor([[3.0, 0, 0, 0], [0, 0, 1.0, 0], [1.0, 0, 1.0, 0], [1.0, 0, 0, 0]])
    found = reader().certainty({"a": codes}, np.array([1, 2, 0, 3]))
    sure = np.exp(10) / (np.exp(10) + 1)  # cosine 1 with one class, 0 with the other, over 0.1
    # the first is of class 0 by its other component; the third lies between; the last has no class
    assert found == pytest.approx([sure, sure, 0.5, 1.0])
    assert reader().certainty({"a": codes[:1]}, np.array([2])) == pytest.approx([1 - sure])


def test_the_least_clear_item_of_a_row_counts():
    both = reader()
    both.mixture.places["b/shared"] = both.mixture.places["a/shared"]
    clear, odd = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[1.0, 0, 1.0, 0]])
    assert both.certainty({"a": clear, "b": odd}, np.array([0])) == pytest.approx([0.5])


def test_without_two_classes_nothing_is_read():
    codes = torch.zeros(2, 4)
    for labels in (np.full(4, -1), np.array([0, 0, 0, -1])):
        assert reader(labels).certainty({"a": codes}, np.array([0, 3])).tolist() == [1, 1]


def test_only_what_is_not_clear_is_drawn_again_and_the_clearest_stays():
    right = torch.tensor([1.0, 0, 0, 0])
    wrong, between = torch.tensor([0, 0, 1.0, 0]), torch.tensor([1.0, 0, 1.0, 0])
    asked = []

    def again(rows):
        asked.append(rows.tolist())
        better = {1: right, 2: between if len(asked) == 1 else wrong}
        return {"a": torch.stack([better[row] for row in rows.tolist()])}

    made = {"a": torch.stack([right * 5, wrong, wrong])}
    found = read_back(reader(), made, np.array([0, 0, 0]), again)["a"]
    assert asked == [[1, 2], *[[2]] * (ROUNDS - 1)]
    assert torch.equal(found, torch.stack([right * 5, right, between]))
    assert torch.equal(made["a"][1], wrong)  # what was given is left as it is


def test_what_is_clear_is_not_drawn_again():
    def again(rows):
        raise AssertionError("nothing was to be drawn")

    made = {"a": torch.tensor([[1.0, 0, 0, 0]])}
    assert torch.equal(read_back(reader(), made, np.array([1]), again)["a"], made["a"])


def test_reading_back_makes_draws_clearer_and_keeps_their_components():
    data = toy(rule="table")
    model = small("aligned", [modality("a", (4,)), modality("b", (4,))])
    mixture = fit_to(model, data)
    given = {"b": data["b"].items[:8]}
    plain = translations(model, mixture, given, "a", samples=20, checked=False)
    checked = translations(model, mixture, given, "a", samples=20)
    assert np.array_equal(plain.weights, checked.weights)
    picks = drawn(plain.weights, 20, np.random.default_rng(0)).reshape(-1)
    read = Reader(model, mixture)
    before, after = (read.certainty({"a": t.items.flatten(0, 1)}, picks) for t in (plain, checked))
    assert (after >= before - 1e-6).all()
    assert after.mean() > before.mean()
    same = (plain.items == checked.items).all(-1).flatten().numpy()
    assert same[before >= CLEAR].all()
    assert not same.all()
    rows = imagine(model, mixture, 30)
    bare = imagine(model, mixture, 30, checked=False)
    assert rows["a"].shape == bare["a"].shape == (30, 4)
