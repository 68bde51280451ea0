"""The log-mel front end and the way back, against what is known in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.audio.clip import Audio
from isthmus.data.audio.front_end import LogMel
from isthmus.data.audio.griffin_lim import griffin_lim, spectral_convergence
from isthmus.data.audio.inversion import round_trip, sounds_from
from isthmus.data.audio.spectra import Spectra, mel_matrix
from isthmus.errors import ConfigError, DataError
from sound_tools import chirp, sine

FRONT = LogMel()
TALL = LogMel(rate=16_000, samples=16_384, n_fft=1024, window=512, hop=256, mels=64)


# ---------------------------------------------------------------- the mel matrix


@pytest.mark.parametrize(
    "front", [FRONT, TALL, LogMel(mels=32), LogMel(mels=80), LogMel(n_fft=256, mels=40)]
)
def test_the_mel_matrix_is_well_conditioned(front):
    values = torch.linalg.svdvals(mel_matrix(front).double())
    assert float(values[0] / values[-1]) < 10


def test_too_many_bands_for_the_transform_are_refused():
    # 64 bands at n_fft 256 have rank 62: some hold no frequency of their own
    with pytest.raises(ConfigError, match="too narrow"):
        LogMel(n_fft=256, mels=64)


def test_the_mel_matrix_by_hand():
    mel = mel_matrix(FRONT)
    assert mel.shape == (40, 257)
    edges = FRONT.edges()
    assert edges[0] == 0
    assert edges[-1] == pytest.approx(4000)
    # HTK: 1000 Hz is at 1000 mel
    assert 2595 * np.log10(1 + 1000 / 700) == pytest.approx(1000, abs=0.02)
    np.testing.assert_allclose(np.diff(2595 * np.log10(1 + edges / 700)), 2146.06 / 41, rtol=1e-4)
    # between the first peak and the last, the triangles add up to one
    inside = (np.linspace(0, 4000, 257) >= edges[1]) & (np.linspace(0, 4000, 257) <= edges[-2])
    np.testing.assert_allclose(mel.sum(0).numpy()[inside], 1, atol=1e-5)
    assert float(mel.min()) == 0


def test_a_sine_has_a_quarter_of_its_squared_amplitude():
    spectra = Spectra(FRONT)
    time = torch.arange(8192) / 8000
    power = spectra.stft(torch.sin(2 * torch.pi * 1000 * time)[None]).abs() ** 2 / spectra.scale
    assert float(power[0, 64, 20]) == pytest.approx(0.25, rel=1e-4)


def test_the_frames_are_what_the_settings_say():
    assert FRONT.shape == (1, 40, 64)
    assert FRONT.seconds == 1.024
    assert FRONT.log_power([sine(), chirp()]).shape == (2, 40, 64)
    assert TALL.log_power([sine(rate=16000)]).shape == (1, *TALL.shape[1:])


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"rate": 500}, "rate"),
        ({"hop": 200}, "2 \\* hop"),
        ({"window": 1024}, "2 \\* hop"),
        ({"hop": 0}, "2 \\* hop"),
        ({"samples": 8000}, "multiple of hop"),
        ({"samples": 256}, "multiple of hop"),
        ({"high": 5000.0}, "half the rate"),
        ({"low": 4000.0}, "half the rate"),
        ({"align": "right"}, "alignment"),
        ({"floor": 0.0}, "above 0"),
        ({"clamp": -1.0}, "above 0"),
        ({"mels": 1}, "at least 2"),
        ({"mels": 200}, "too narrow"),
    ],
)
def test_settings_that_can_not_work_are_refused(settings_, words):
    with pytest.raises(ConfigError, match=words):
        LogMel(**settings_)


# ---------------------------------------------------------------- placing


@pytest.mark.parametrize("gain", [1e-3, 0.1, 1.0])
def test_loudness_does_not_matter(gain):
    clip = chirp()
    quiet = Audio(clip.samples * np.float32(gain), 8000)
    placed, _ = FRONT.placed(quiet)
    assert float(np.sqrt(np.mean(placed.astype(float) ** 2))) == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(
        FRONT.log_power([quiet]), FRONT.log_power([clip]), rtol=1e-3, atol=1e-3
    )


def test_a_constant_offset_does_not_matter():
    clip = chirp()
    raised = Audio(clip.samples + np.float32(0.3), 8000)
    assert np.abs(FRONT.placed(raised)[0] - FRONT.placed(clip)[0]).max() < 1e-4


@pytest.mark.parametrize(("align", "offset"), [("centre", 2896), ("left", 0)])
def test_a_short_clip_is_placed_whole(align, offset):
    clip = sine(seconds=0.3)  # 2,400 samples, audible from end to end
    placed, found = LogMel(align=align).placed(clip)
    assert found == offset
    kept = placed[found : found + 2400]
    assert np.abs(placed).sum() == pytest.approx(np.abs(kept).sum())
    ratio = kept[1:5] / clip.samples[1:5]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


def test_silence_around_a_sound_does_not_move_it():
    word = chirp(seconds=0.3).samples
    for before, after in ((0, 0), (1200, 0), (0, 1600), (800, 2400)):
        clip = Audio(np.pad(word, (before, after)), 8000)
        for align in ("centre", "left"):
            placed, offset = LogMel(align=align).placed(clip)
            bare, bare_offset = LogMel(align=align).placed(Audio(word, 8000))
            moved = offset + before - bare_offset
            assert abs(moved) <= (80 if align == "centre" or not before else before)
            assert np.abs(placed).max() == pytest.approx(np.abs(bare).max(), rel=1e-3)


def test_of_a_long_clip_the_audible_part_is_kept():
    word = chirp(seconds=0.5).samples
    clip = Audio(np.pad(word, (12_000, 20_000)), 8000)
    placed, offset = FRONT.placed(clip)
    assert offset < 0
    energy = np.cumsum(placed.astype(float) ** 2)
    middle = np.searchsorted(energy, energy[-1] / 2)
    assert abs(middle - 4096) < 200


def test_a_sound_longer_than_the_window_is_cut_at_both_ends():
    placed, offset = FRONT.placed(sine(seconds=2))
    assert offset == -(16_000 - 8192) // 2
    assert np.abs(placed[:100]).max() > 0.5


def test_silence_in_the_window_is_refused():
    with pytest.raises(DataError, match="silent"):
        FRONT.placed(Audio(np.full(1000, 0.25, np.float32), 8000))


@settings(max_examples=25, deadline=None)
@given(st.integers(200, 20_000), st.integers(0, 1000))
def test_every_clip_gets_a_window_of_finite_numbers(n, seed):
    clip = Audio(np.random.default_rng(seed).normal(size=n).astype(np.float32), 8000)
    placed, offset = FRONT.placed(clip)
    assert placed.shape == (8192,)
    assert np.isfinite(placed).all()
    assert n <= 8192 or offset <= 0
    assert float(np.sqrt(np.mean(placed**2.0))) == pytest.approx(1, rel=1e-4)


def test_a_clip_does_not_depend_on_its_neighbours():
    clips = [sine(300 + 5 * i) for i in range(300)]  # more than go through at once
    together = FRONT.log_power(clips)
    torch.testing.assert_close(together[280:281], FRONT.log_power(clips[280:281]))


# ---------------------------------------------------------------- and back


def test_the_transform_is_undone_exactly():
    spectra = Spectra(FRONT)
    sound = torch.from_numpy(FRONT.placed(chirp())[0])[None]
    torch.testing.assert_close(spectra.istft(spectra.stft(sound)), sound, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("clip", [sine(440), sine(1700), chirp(), chirp(3000, 200)])
def test_griffin_lim_finds_a_sound_with_the_magnitudes(clip):
    spectra = Spectra(FRONT)
    wanted = spectra.stft(torch.from_numpy(FRONT.placed(clip)[0])[None]).abs()
    errors = [
        float(
            spectral_convergence(
                spectra.stft(griffin_lim(spectra, wanted, iterations=n)).abs(), wanted
            )
        )
        for n in (0, 60)
    ]
    assert errors[1] < 0.06
    assert errors[1] < errors[0] / 5


def test_a_tone_comes_back_as_the_same_tone():
    for frequency in (440, 1250, 2600):
        (back,) = sounds_from(FRONT, FRONT.log_power([sine(frequency)]))
        spectrum = np.abs(np.fft.rfft(back.samples))
        found = np.fft.rfftfreq(8192, 1 / 8000)[spectrum.argmax()]
        assert found == pytest.approx(frequency, rel=0.03)
        assert back.rms == pytest.approx(FRONT.loudness, rel=1e-4)


def test_momentum_is_worth_it():
    spectra = Spectra(FRONT)
    wanted = spectra.stft(torch.from_numpy(FRONT.placed(chirp())[0])[None]).abs()
    plain, fast = (
        float(
            spectral_convergence(
                spectra.stft(griffin_lim(spectra, wanted, iterations=32, momentum=m)).abs(), wanted
            )
        )
        for m in (0.0, 0.99)
    )
    assert fast < plain


def test_bands_become_frequencies_that_have_these_bands():
    spectra = Spectra(FRONT)
    bands = FRONT.log_power([chirp(), sine()]).exp() - FRONT.floor
    power = spectra.linear_power(bands.clamp(min=0))
    assert float(power.min()) >= 0
    again = torch.matmul(spectra.mel, power)
    assert float((again - bands).norm() / bands.norm()) < 1e-3
    alone = spectra.linear_power(bands.clamp(min=0), iterations=0)
    assert float((torch.matmul(spectra.mel, alone) - bands).norm() / bands.norm()) > 1e-3


def test_the_same_picture_gives_the_same_sound_whatever_stands_beside():
    power = FRONT.log_power([chirp(), sine()])
    both = sounds_from(FRONT, power, iterations=8)
    alone = sounds_from(FRONT, power[1:], iterations=8)
    np.testing.assert_allclose(both[1].samples, alone[0].samples, atol=1e-6)
    other = sounds_from(FRONT, power[1:], iterations=8, seed=1)
    assert np.abs(other[0].samples - alone[0].samples).max() > 1e-3


def test_a_picture_of_silence_gives_silence():
    (back,) = sounds_from(FRONT, torch.full((1, 40, 64), float(np.log(FRONT.floor))))
    assert np.abs(back.samples).max() < 1e-6


@pytest.mark.parametrize("front", [FRONT, TALL])
def test_the_report_of_a_round_trip(front):
    report = round_trip(front, [chirp(), sine(700), chirp(2000, 400, 0.4)])
    assert report.clips == 3
    assert 0 < report.mel_error <= report.worst < 0.15
    assert report.is_good
    assert f"{report.mel_error:.3f}" in report.text()
    assert not round_trip(front, [chirp()], iterations=0).is_good


def test_convergence_by_hand():
    wanted = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    found = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    torch.testing.assert_close(spectral_convergence(found, wanted), torch.tensor([0.0, 0.5]))
