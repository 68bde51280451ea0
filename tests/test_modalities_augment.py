"""Random changes of training batches: what they move, what they leave, and that seeds decide."""

import numpy as np
import pytest
import torch

from isthmus.data.audio.front_end import LogMel
from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.augment import (
    ImageAugment,
    SoundAugment,
    SoundChanger,
    augment_images,
    mask_bands,
)
from isthmus.data.modalities.shifting import frequency_positions, time_positions
from isthmus.errors import ConfigError
from sound_tools import chirp, hiss, sine

FRONT = LogMel()
STILL = SoundAugment(
    **dict.fromkeys(("shift", "bend", "tract", "gain", "tilt", "bumps", "noisy", "mixed"), 0.0),
    slowest=1.0,
    fastest=1.0,
    time_masks=0,
    band_masks=0,
)
ADAPTER = AudioAdapter().fit([hiss(), hiss(1.0), chirp(), chirp(3000, 100)])
BATCH = ADAPTER.transform([chirp(), sine(800), sine(1600), chirp(2500, 300)])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def changed(**settings_):
    from dataclasses import replace

    return SoundChanger(ADAPTER, replace(STILL, **settings_))


def test_no_change_changes_nothing():
    torch.testing.assert_close(SoundChanger(ADAPTER, STILL)(BATCH, seeded()), BATCH)
    picture = torch.rand(3, 1, 28, 28)
    still = augment_images(picture, seeded(), ImageAugment(0, 0, 0, 0, 0))
    torch.testing.assert_close(still, picture, rtol=1e-4, atol=1e-4)


def test_the_seed_decides_and_the_argument_stays_as_it_is():
    changer, before = SoundChanger(ADAPTER, SoundAugment(mixed=0.5)), BATCH.clone()
    one, same, other = (changer(BATCH, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(BATCH, before)
    assert one.shape == BATCH.shape
    assert torch.isfinite(one).all()
    assert float(one.abs().max()) <= FRONT.clamp
    picture = torch.rand(3, 1, 28, 28)
    kept = picture.clone()
    one, same, other = (augment_images(picture, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(picture, kept)


def test_torch_own_random_state_is_left_alone():
    before = torch.get_rng_state()
    SoundChanger(ADAPTER)(BATCH, seeded())
    augment_images(torch.rand(2, 1, 8, 8, generator=seeded()), seeded())
    assert torch.equal(before, torch.get_rng_state())


def test_time_positions_by_hand():
    zero, one = torch.zeros(1), torch.ones(1)
    plain = time_positions(5, one, zero, zero, zero)
    assert plain.tolist() == [[0, 1, 2, 3, 4]]
    # moved to the right by one: the new frame 1 is the old frame 0
    assert time_positions(5, one, one, zero, zero).tolist() == [[-1, 0, 1, 2, 3]]
    # twice as fast about the middle
    assert time_positions(5, 2 * one, zero, zero, zero).tolist() == [[-2, 0, 2, 4, 6]]


def test_a_longer_vocal_tract_moves_a_tone_down_by_that_much():
    for stretch in (0.87, 1.0, 1.15):
        positions = frequency_positions(FRONT, torch.tensor([stretch]))[0]
        edges = FRONT.edges()
        found = np.interp(positions.numpy(), np.arange(40), edges[1:-1])
        below = (edges[1:-1] < 2800) & (edges[1:-1] * stretch > edges[1])
        np.testing.assert_allclose(found[below], stretch * edges[1:-1][below], rtol=0.01)
        assert (np.diff(positions.numpy()) > -1e-6).all()
        assert float(positions.min()) >= 0
        assert float(positions.max()) <= 39


def test_a_warp_of_frequencies_is_what_the_sound_would_do():
    # the picture of a tone at 1500 Hz, stretched by s, is that of a tone at 1500 / s Hz
    changer = changed(tract=0.15)
    tone = ADAPTER.transform([sine(1500)])
    moved = changer.warped(tone.expand(64, -1, -1, -1), seeded(3))
    drawn = torch.rand(64 * 5, generator=seeded(3))[-64:]
    stretch = ((drawn * 2 - 1) * np.log(1.15)).exp()
    peaks = moved[:, 0, :, 28:36].mean(2).argmax(1)
    for s, peak in zip(stretch, peaks, strict=True):
        wanted = ADAPTER.transform([sine(1500 / float(s))])[0, 0, :, 28:36].mean(1).argmax()
        assert abs(int(wanted) - int(peak)) <= 1


def test_shifts_move_and_bring_silence_in():
    changer = changed(shift=0.1)
    moved = changer.warped(BATCH[:1].expand(64, -1, -1, -1), seeded())
    weight = (moved - changer.silence).clamp(min=0).sum((1, 2))
    centre = (weight * torch.arange(64)).sum(1) / weight.sum(1)
    own = (BATCH[:1] - changer.silence).clamp(min=0).sum((1, 2))
    middle = float((own * torch.arange(64)).sum() / own.sum())
    assert float((centre - middle).abs().max()) <= 6.4 + 0.1
    assert float((centre - middle).abs().max()) > 4
    assert abs(float((centre - middle).mean())) < 1.5
    edge = changer.silence[:, 0]
    assert torch.allclose(moved[:, 0, :, 0].amin(0), edge, atol=1e-4)


def test_tempo_stretches_both_ways():
    changer = changed(slowest=0.8, fastest=1.25)
    moved = changer.warped(BATCH[:1].expand(64, -1, -1, -1), seeded())
    long = ((moved - changer.silence).amax(2) > 0.5).sum((1, 2)).float()
    own = float(((BATCH[:1] - changer.silence).amax(2) > 0.5).sum())
    assert float(long.min()) < 0.87 * own
    assert float(long.max()) > 1.15 * own


def test_gain_is_that_of_the_sound():
    changer = changed(gain=6.0)
    louder = changer.equalised(BATCH, seeded())
    before, after = (ADAPTER.power_of(x).exp() - FRONT.floor for x in (BATCH, louder))
    loud = (before > 1e-2) & (louder[:, 0] < 3.99) & (BATCH[:, 0] < 3.99)
    ratios = 10 * torch.log10(after / before)
    for ratio, where in zip(ratios, loud, strict=True):
        found = ratio[where]
        assert float(found.std()) < 0.05  # the same everywhere
        assert abs(float(found.mean())) <= 6.01


def test_tilt_changes_the_two_ends_in_opposite_ways():
    changer = changed(tilt=12.0)
    curve = 10 * torch.log10(changer._equaliser(200, seeded())[:, 0, :, 0])
    torch.testing.assert_close(curve[:, 0], -curve[:, -1], rtol=1e-4, atol=1e-4)
    assert 5 < float(curve.abs().max()) <= 6.01


def test_noise_has_its_level():
    changer = changed(noisy=1.0, noise=-10.0)
    noisy = changer.equalised(BATCH, seeded())
    added = noisy - BATCH
    assert float(added.min()) >= -1e-4  # noise never takes power away
    assert float(added.mean()) > 0
    changer = changed(noisy=0.5, noise=-10.0)
    many = BATCH[:1].expand(400, -1, -1, -1)
    touched = ((changer.equalised(many, seeded()) - many).abs().amax((1, 2, 3)) > 1e-3).float()
    assert 0.4 < float(touched.mean()) < 0.6


def test_mixing_lays_another_sound_under():
    changer = changed(mixed=1.0, mix=-3.0)
    mixed = changer.equalised(BATCH, seeded())
    assert float((mixed - BATCH).min()) >= -1e-4
    assert float((mixed - BATCH).max()) > 0.5


def test_masks_are_blocks_of_the_mean():
    whole = torch.full((200, 1, 40, 64), 2.0)
    augment = SoundAugment(time_masks=1, time_width=8, band_masks=1, band_width=5)
    masked = mask_bands(whole, augment, seeded())
    assert set(masked.unique().tolist()) == {0.0, 2.0}
    frames = (masked[:, 0].amax(1) == 0).sum(1)
    bands = (masked[:, 0].amax(2) == 0).sum(1)
    assert set(frames.tolist()) == set(range(9))
    assert set(bands.tolist()) == set(range(6))
    first = (masked[:, 0].amax(1) == 0).float()
    starts = ((first[:, 1:] - first[:, :-1]) > 0).sum(1) + first[:, 0]
    assert float(starts.max()) == 1  # one block each
    assert torch.equal(whole, torch.full((200, 1, 40, 64), 2.0))


def test_pictures_are_moved_as_far_as_allowed():
    dot = torch.zeros(256, 1, 29, 29)
    dot[:, :, 14, 14] = 1
    spread = torch.nn.functional.avg_pool2d(dot, 3, 1, 1)
    moved = augment_images(spread, seeded(), ImageAugment(0.1, 0, 0, 0, 0))
    rows = (moved.sum((1, 3)) * torch.arange(29)).sum(1) / moved.sum((1, 2, 3))
    assert float((rows - 14).abs().max()) <= 2.91
    assert float((rows - 14).abs().max()) > 2.5
    # a turn leaves the middle where it is and takes a point above it aside
    above = torch.zeros(256, 1, 29, 29)
    above[:, :, 3:6, 13:16] = 1
    turned = augment_images(above, seeded(), ImageAugment(0, 30, 0, 0, 0))
    columns = (turned.sum((1, 2)) * torch.arange(29)).sum(1) / turned.sum((1, 2, 3))
    assert float(columns.min()) == pytest.approx(14 - 10 * np.sin(np.pi / 6), abs=0.3)
    assert float(columns.max()) == pytest.approx(14 + 10 * np.sin(np.pi / 6), abs=0.3)


def test_the_background_comes_in():
    white = augment_images(torch.ones(8, 1, 16, 16), seeded(), ImageAugment(0.3, background=1.0))
    torch.testing.assert_close(white, torch.ones(8, 1, 16, 16))
    black = augment_images(torch.ones(8, 1, 16, 16), seeded(), ImageAugment(0.3))
    assert float(black.min()) == 0


@pytest.mark.parametrize(
    ("kind", "settings_"),
    [
        (SoundAugment, {"slowest": 0.0}),
        (SoundAugment, {"slowest": 1.1}),
        (SoundAugment, {"fastest": 0.9}),
        (SoundAugment, {"tract": 0.6}),
        (SoundAugment, {"noisy": 1.5}),
        (SoundAugment, {"time_masks": -1}),
        (SoundAugment, {"gain": -1.0}),
        (ImageAugment, {"scale": 1.0}),
        (ImageAugment, {"shift": -0.1}),
    ],
)
def test_settings_that_can_not_work_are_refused(kind, settings_):
    with pytest.raises(ConfigError):
        kind(**settings_)
