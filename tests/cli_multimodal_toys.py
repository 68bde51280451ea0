"""Runs of several modalities that the tests of the commands share, and files to try on them."""

import csv
import functools
import wave

import numpy as np
from PIL import Image

from cli_tools import succeeded
from isthmus.data.audio.wav_writing import write_wav
from isthmus.data.multimodal.digits_words import tone

MEASURED = (
    *("--queries", "20", "--samples", "2", "--joint", "20", "--round-trip", "4"),
    *("--train-rows", "200", "--rates", "0,0.5", "--judge-steps", "40"),
)
"""Measuring that takes a second or two."""
BRISK = ("--threads", "1", "--batch-size", "100", "--no-figures")
BARE = (*BRISK, "--epochs", "1", "--no-measure")
"""A training of which only the folder matters."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@functools.cache
def trio(base):
    """A run of pictures, sounds and words that is trained for some seconds, once a session.

    Returns its folder, and what the command said.
    """
    folder = base / "multimodal-trio"
    words = ("--threads", "1", "--batch-size", "100", "--epochs", "3")
    answer = succeeded(
        *("train", "digits-words", "--model", "aligned", *words),
        *(*MEASURED, "--out", folder, "--json"),
    )
    return folder, answer


def picture(path, digit, take=0, side=8):
    """Write one of scikit-learn's digits as a PNG file."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    values = bunch.images[np.flatnonzero(bunch.target == digit)[take]]
    pixels = np.round(values * (255 / 16)).astype(np.uint8)
    Image.fromarray(pixels).resize((side, side)).save(path)
    return path


def clip(path, digit, voice=1, take=99):
    """Write a made-up sound of a digit as a WAV file."""
    write_wav(tone(digit, voice, take), path)
    return path


def wav_facts(path):
    """Channels, bytes a sample, rate and frames, as the standard library reads the header."""
    with wave.open(str(path), "rb") as file:
        frames = file.readframes(file.getnframes())
        assert len(frames) == file.getnframes() * file.getnchannels() * file.getsampwidth()
        return file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()


def table(path, head, rows):
    """Write a pair table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path
