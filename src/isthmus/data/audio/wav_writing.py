"""Sounds to WAV files of 16 bits."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from isthmus.data.audio.clip import Audio
from isthmus.errors import DataError
from isthmus.files import written_whole

__all__ = ["wav_bytes", "write_wav"]


def write_wav(clip: Audio, path: str | Path) -> bool:
    """Write a clip as mono WAV of 16 bits, whole or not at all.

    Parameters
    ----------
    clip
        What to write. If a sample exceeds full scale, all are scaled down to fit.
    path
        The file.

    Returns
    -------
    bool
        Whether it was scaled down.

    Raises
    ------
    DataError
        If the clip is empty or holds NaN or infinite samples.
    RunError
        If the file can't be written.
    """
    content = wav_bytes(clip, str(path))
    with written_whole(Path(path)) as temporary:
        temporary.write_bytes(content)
    return float(np.abs(clip.samples).max()) > 1


def wav_bytes(clip: Audio, where: str = "a sound") -> bytes:
    """Return a clip as the bytes of a mono WAV file of 16 bits.

    Parameters
    ----------
    clip
        What to write; scaled down as a whole where it exceeds full scale.
    where
        Its name, for messages.

    Raises
    ------
    DataError
        If the clip is empty or holds NaN or infinite samples.
    """
    import io

    samples = clip.samples
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise DataError("the sound is empty or holds NaN or infinite samples", where=where)
    loudest = max(1.0, float(np.abs(samples).max()))
    whole = np.round(samples.astype(np.float64) / loudest * 32767).astype("<i2")
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(clip.rate)
        file.writeframes(whole.tobytes())
    return memory.getvalue()
