"""``digits-words``: scikit-learn's digits, made-up sounds and words; anywhere, offline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isthmus.data.audio.clip import Audio
from isthmus.data.audio.front_end import LogMel
from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.image import ImageAdapter
from isthmus.data.multimodal.dataset import ModalityData, MultimodalData
from isthmus.data.multimodal.digit_trio import assembled, text_modality
from isthmus.data.multimodal.drawing import stable_order
from isthmus.errors import ConfigError

__all__ = ["TONE_FRONT", "digits_words", "tone"]

TONE_FRONT = LogMel(samples=2_048, n_fft=256, window=256, mels=20)
"""The front end of the made-up sounds: 16 frames of 20 bands."""
_ROWS = {"train": 3_000, "validation": 300, "test": 300}
_VOWELS = (
    *((730, 1090), (270, 2290), (300, 870), (530, 1840), (570, 840)),
    *((660, 1720), (440, 1020), (640, 1190), (490, 1350), (390, 1990)),
)
_SECOND = (3, 7, 1, 9, 5, 0, 8, 2, 6, 4)
_VOICES = (95.0, 120.0, 160.0, 215.0)
_EACH = 24


def digits_words(*, text: str = "word", sounds: bool = True) -> MultimodalData:
    """Load a small set of three modalities that every machine has.

    Images are scikit-learn's 1,797 digits of 8 x 8. Sounds are made up: a glide between two
    vowel-like pairs of resonances that belongs to the digit, by four voices of different pitch.

    Parameters
    ----------
    text
        ``word`` or ``templates``.
    sounds
        Whether the sounds are there; without them it is images and words.
    """
    if not isinstance(sounds, bool):
        raise ConfigError("sounds is true or false", where=f"sounds={sounds!r}")
    modalities = {"image": _images()}
    if sounds:
        modalities["audio"] = _tones()
    modalities["text"] = text_modality(text)
    source = "scikit-learn's digits, " + ("made-up sounds and words" if sounds else "and words")
    return assembled("digits-words", source, modalities, _ROWS)


def _split(labels: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """Give a sixth of each class to test and a twelfth to validation."""
    bits = np.random.PCG64(seed)
    split = np.zeros(len(labels), np.uint8)
    for number in np.unique(labels):
        rows = np.flatnonzero(labels == number)
        rows = rows[stable_order(len(rows), bits)]
        split[rows[: len(rows) // 6]] = 2
        split[rows[len(rows) // 6 : len(rows) // 4]] = 1
    return split


def _images() -> ModalityData:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    adapter = ImageAdapter(shape=(1, 8, 8))
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return ModalityData(adapter, adapter.transform(pixels), labels, _split(labels, 8))


def _tones() -> ModalityData:
    rows = [
        (digit, voice, take)
        for digit in range(10)
        for voice in range(len(_VOICES))
        for take in range(_EACH)
    ]
    clips = [tone(digit, voice, take) for digit, voice, take in rows]
    labels = np.array([digit for digit, _, _ in rows], np.int64)
    split = _split(labels, 9)
    adapter = AudioAdapter(front=TONE_FRONT)
    adapter = adapter.fit([clip for clip, part in zip(clips, split, strict=True) if part == 0])
    return ModalityData(
        adapter,
        adapter.transform(clips),
        labels,
        split,
        {"speaker": np.array([voice for _, voice, _ in rows], np.int64)},
        {"speaker": tuple(f"voice at {pitch:.0f} Hz" for pitch in _VOICES)},
        tuple(f"{digit}_voice{voice}_{take}" for digit, voice, take in rows),
    )


def tone(digit: int, voice: int, take: int) -> Audio:
    """Make the sound of a digit: harmonics shaped by two gliding resonances.

    Parameters
    ----------
    digit
        0 to 9: decides the resonances.
    voice
        0 to 3: decides the pitch.
    take
        Any number: varies pitch, length, tilt and noise.
    """
    generator = np.random.default_rng([digit, voice, take])
    rate, pitch = TONE_FRONT.rate, _VOICES[voice] * generator.uniform(0.93, 1.07)
    n = int(rate * generator.uniform(0.13, 0.22))
    time = np.arange(n) / rate
    glide = 1 / (1 + np.exp(-12 * (time / time[-1] - generator.uniform(0.4, 0.6))))
    stretch = generator.uniform(0.92, 1.08)
    first, second = (
        stretch * ((1 - glide) * _VOWELS[digit][i] + glide * _VOWELS[_SECOND[digit]][i])
        for i in (0, 1)
    )
    f = pitch * np.arange(1, int(3_800 / pitch))[:, None]  # a harmonic a row
    phase = generator.uniform(0, 2 * np.pi, f.shape)
    shape = 1 / (1 + ((f - first) / 90) ** 2) + 0.6 / (1 + ((f - second) / 120) ** 2)
    shape *= f ** generator.uniform(-0.3, 0)
    sound = (shape * np.sin(2 * np.pi * f * time + phase)).sum(axis=0)
    sound *= np.hanning(n) ** 0.5
    sound += generator.normal(size=n) * 0.01 * np.abs(sound).max()
    return Audio((0.5 * sound / np.abs(sound).max()).astype(np.float32), rate)
