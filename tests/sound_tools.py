"""Sounds and WAV files for tests, made by hand."""

import struct

import numpy as np

from isthmus.data.audio.clip import Audio


def sine(frequency=440.0, seconds=0.4, rate=8000, amplitude=0.5):
    time = np.arange(int(seconds * rate)) / rate
    return Audio((amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32), rate)


def chirp(low=300.0, high=3000.0, seconds=0.6, rate=8000):
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (low * time + (high - low) * time**2 / (2 * seconds))
    return Audio((0.5 * np.sin(phase) * np.hanning(len(time))).astype(np.float32), rate)


def hiss(seconds=0.5, rate=8000, seed=0):
    samples = np.random.default_rng(seed).normal(size=int(seconds * rate)) * 0.1
    return Audio(samples.astype(np.float32), rate)


def wav(
    body, *, code=1, channels=1, rate=8000, bits=16, riff=None, data=None, extra=b"", block=None
):
    """A WAV file by hand; ``riff`` and ``data`` are the lengths that it claims."""
    block = channels * bits // 8 if block is None else block
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(body) if data is None else data) + body
    return b"RIFF" + struct.pack("<I", len(chunks) + 4 if riff is None else riff) + b"WAVE" + chunks


def noise16(n=800, seed=0):
    return (np.random.default_rng(seed).normal(size=n) * 3000).astype("<i2").tobytes()
