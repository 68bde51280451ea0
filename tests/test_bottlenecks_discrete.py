"""Vector quantisation and finite scalar quantisation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.bottlenecks import FSQ, VQ
from isthmus.models import Autoencoder
from isthmus.networks import MLP
from isthmus.training import Training, fit
from toys import digits, fitted_to


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def started(config, entries):
    """A waist whose codebook is given, as after its first batch."""
    waist = config.build()
    waist.entries.copy_(torch.tensor(entries))
    waist.sums.copy_(waist.entries)
    waist.counts.fill_(1.0)
    waist.started.fill_(True)
    return waist


SQUARE = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]]


# ---------------------------------------------------------------- VQ


def test_groups_go_to_their_nearest_entries():
    waist = started(VQ(4, groups=2, codebook=4), SQUARE).eval()
    h = torch.tensor([[0.3, 0.4, 3.0, 1.0], [1.9, 2.1, 9.0, 9.0]])
    assert waist.assign(h).tolist() == [[0, 1], [2, 3]]
    assert waist.embed(h).tolist() == [[0, 0, 4, 0], [0, 4, 4, 4]]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_entry_is_nearer_than_the_chosen_one(seed):
    waist = started(VQ(6, groups=2, codebook=7), torch.randn(7, 3, generator=seeded(1)).tolist())
    h = torch.randn(5, 6, generator=seeded(seed))
    distances = torch.cdist(h.reshape(10, 3), waist.entries)
    chosen = distances.gather(1, waist.assign(h).reshape(10, 1)).squeeze(1)
    torch.testing.assert_close(chosen, distances.min(1).values)


def test_rate_and_commitment_by_hand():
    waist = started(VQ(4, groups=2, codebook=4, commitment=0.5), SQUARE).eval()
    h = torch.tensor([[0.3, 0.4, 4.0, 0.0], [0.0, 3.0, 4.0, 6.0]])
    code = waist(h)
    assert code.rate.tolist() == pytest.approx([2 * math.log(4)] * 2)
    assert code.penalty.tolist() == pytest.approx([0.5 * 0.25 / 4, 0.5 * (1 + 4) / 4])
    # three entries in use, one of them twice: entropy of (1/4, 1/4, 1/4, 1/4)
    assert float(code.logs["perplexity"]) == pytest.approx(4.0)
    assert float(waist(h[:1]).logs["perplexity"]) == pytest.approx(2.0)


def test_the_gradient_passes_straight_through():
    waist = started(VQ(4, groups=2, codebook=4, commitment=0.5), SQUARE).eval()
    h = torch.tensor([[0.3, 0.4, 3.0, 1.0]], requires_grad=True)
    code = waist(h)
    assert code.z.tolist() == [[0.0, 0.0, 4.0, 0.0]]
    slope = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    (through,) = torch.autograd.grad((code.z * slope).sum(), h, retain_graph=True)
    assert torch.equal(through, slope)
    (pull,) = torch.autograd.grad(code.penalty.sum(), h)
    torch.testing.assert_close(pull, torch.tensor([[0.3, 0.4, -1.0, 1.0]]) / 4)  # 2 * 0.5 * (h - e)


def test_the_codebook_follows_moving_averages_by_hand():
    waist = started(VQ(2, groups=1, codebook=2, memory=0.75, revive_below=0.0), [[0.0, 0], [8, 8]])
    waist(torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [9.0, 7.0]]), generator=seeded())
    # counts 0.75 + 0.25 * (3, 1); sums 0.75 * entries + 0.25 * what was assigned
    torch.testing.assert_close(waist.counts, torch.tensor([1.5, 1.0]))
    first = torch.tensor([1.0, 0.5]) / 1.5
    second = 0.75 * torch.tensor([8.0, 8.0]) + 0.25 * torch.tensor([9.0, 7.0])
    torch.testing.assert_close(waist.entries, torch.stack([first, second]))


def test_entries_out_of_use_are_revived_from_the_batch():
    waist = started(VQ(2, groups=1, codebook=3, memory=0.5), [[0.0, 0], [100, 100], [200, 0]])
    data = torch.randn(60, 2, generator=seeded())
    for step in range(12):
        waist(data, generator=seeded(step))
    nearest = torch.cdist(waist.entries, data).min(1).values
    assert float(nearest.max()) < 1.0  # the two far entries came to where the data are
    assert len(set(waist.assign(data).flatten().tolist())) == 3


def test_the_codebook_starts_among_the_first_batch():
    """Whatever the size of batch and codebook, the first step leaves entries among the data."""
    for batch, codebook in ((8, 32), (512, 4)):
        waist = VQ(2, groups=1, codebook=codebook).build()
        vectors = 50 + torch.randn(batch, 2, generator=seeded())
        waist(vectors, generator=seeded(1))
        assert bool(waist.started)
        assert float(torch.cdist(waist.entries, vectors).min(1).values.max()) < 3


def test_a_codebook_in_even_use_is_not_replaced():
    """After the start each entry goes on from where it was: no second start at step two."""
    waist = VQ(2, groups=1, codebook=4, memory=0.99).build()
    corners = torch.tensor(SQUARE).repeat(64, 1)
    seed = next(s for s in range(200) if len(set(_start_of(corners, s))) == 4)
    waist(corners, generator=seeded(seed))
    before = waist.entries.clone()
    assert float(torch.cdist(torch.tensor(SQUARE), before).min(1).values.max()) < 0.05
    waist(corners, generator=seeded(99))
    torch.testing.assert_close(waist.entries, before, atol=0.05, rtol=0)
    assert len(set(waist.assign(torch.tensor(SQUARE)).flatten().tolist())) == 4


def _start_of(vectors, seed):
    """Which corners the codebook starts from with this seed."""
    rows = torch.randint(len(vectors), (4,), generator=seeded(seed))
    return [tuple(vectors[row].tolist()) for row in rows]


def test_samples_are_entries():
    waist = started(VQ(4, groups=2, codebook=4), SQUARE)
    z = waist.sample(50, seeded())
    assert z.shape == (50, 4)
    assert {tuple(row) for row in z.reshape(100, 2).tolist()} == {tuple(e) for e in SQUARE}


def test_bits_in_words():
    assert "40 bits" in VQ(10, groups=5, codebook=256).build().describe()[0]
    assert "10 bits" in FSQ(5, levels=4).build().describe()[0]


def test_the_codebook_is_in_use_after_training():
    data = digits()
    model = fitted_to(Autoencoder(data.shape, MLP((64,)), VQ(16, groups=4, codebook=32)), data)
    history = fit(model, data, Training(epochs=20, batch_size=64)).history
    assert history["validation_perplexity"][-1] > 16
    assert history["validation_mse"][-1] < 0.05  # the mean image stays at 0.073
    assert history["validation_rate"][-1] == pytest.approx(4 * math.log(32))


# ---------------------------------------------------------------- FSQ


@pytest.mark.parametrize("levels", range(2, 10))
def test_exactly_so_many_levels_evenly_over_minus_one_to_one(levels):
    waist = FSQ(1, levels=levels).build()
    h = torch.linspace(-12, 12, 4001)[:, None]
    values = waist.embed(h).unique()
    torch.testing.assert_close(values, torch.linspace(-1, 1, levels), atol=1e-6, rtol=0)
    rising = waist.embed(h).flatten().diff()
    assert bool((rising >= 0).all())


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8])
def test_no_level_is_out_of_reach_of_ordinary_activations(levels):
    """Standard normal activations, as an untrained encoder emits them, use several levels."""
    h = torch.randn(4000, 1, generator=seeded())
    shares = torch.bincount(
        ((FSQ(1, levels=levels).build().embed(h).flatten() + 1) * (levels - 1) / 2).round().long(),
        minlength=levels,
    ) / len(h)
    assert float(shares.max()) < 0.75


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_the_gradient_is_that_of_the_smooth_bound(levels):
    """Straight through the rounding: the slope of tanh, with no dead zone around zero."""
    waist = FSQ(1, levels=levels).build()
    h = torch.linspace(-1.5, 1.5, 31)[:, None].requires_grad_()
    z = waist(h).z
    (slope,) = torch.autograd.grad(z.sum(), h)
    assert bool((slope > 0).all())
    step = 1e-2
    half = (levels - 1) / 2
    smooth = [waist._bounded(h.detach() + d) / half for d in (step, -step)]
    torch.testing.assert_close(slope, (smooth[0] - smooth[1]) / (2 * step), atol=1e-3, rtol=1e-2)


def test_the_rate_is_the_cost_of_the_levels():
    code = FSQ(7, levels=5).build()(torch.randn(3, 7))
    assert code.rate.tolist() == pytest.approx([7 * math.log(5)] * 3)
    assert code.penalty is None


@pytest.mark.parametrize("levels", [2, 5, 6])
def test_samples_are_levels(levels):
    z = FSQ(3, levels=levels).build().sample(500, seeded())
    assert z.shape == (500, 3)
    torch.testing.assert_close(z.unique(), torch.linspace(-1, 1, levels))


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_few_levels_train(levels):
    data = digits()
    model = fitted_to(Autoencoder(data.shape, MLP((64,)), FSQ(16, levels=levels)), data)
    history = fit(model, data, Training(epochs=15, batch_size=64)).history
    assert history["validation_mse"][-1] < 0.05  # the mean image stays at 0.073
