"""Sound files to :class:`Audio`: WAV by our own reader, other kinds through soundfile."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isthmus.data.audio.clip import Audio, checked_sound
from isthmus.data.audio.limits import AudioLimits, check_shape_of
from isthmus.data.audio.wav_header import WavHeader, read_header
from isthmus.errors import DataError, MissingDataError

__all__ = ["read_audio", "read_wav_bytes"]

_WAV_ENDINGS = frozenset({".wav", ".wave"})
_MIXED = "Stereo was mixed down to mono by the mean of its channels."
_ALL = AudioLimits()


def read_audio(path: str | Path, limits: AudioLimits = _ALL) -> Audio:
    """Read a sound file, mixed down to one channel, at its own rate.

    Parameters
    ----------
    path
        A WAV file (PCM of 8, 16, 24 or 32 bits, or floats), or what soundfile reads where that
        is installed (FLAC, Ogg Vorbis, MP3, AIFF); the kind is told by the first bytes.
    limits
        What is refused before memory is spent.

    Returns
    -------
    Audio
        float32; its notes say whether it was mixed down or is clipped.

    Raises
    ------
    MissingDataError
        If there is no such file.
    DataError
        If it is empty, silent, too long, lies about its length, or can't be decoded.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingDataError("there is no such sound file", where=str(path))
    with path.open("rb") as handle:
        size = path.stat().st_size
        start = handle.read(4)
        handle.seek(0)
        if start == b"RIFF" or path.suffix.lower() in _WAV_ENDINGS:
            return _read_wav(handle, size, str(path), limits)
    return _read_other(path, limits)


def read_wav_bytes(content: bytes, where: str, limits: AudioLimits = _ALL) -> Audio:
    """Read a WAV file that is in memory, as :func:`read_audio` does.

    Parameters
    ----------
    content
        The whole file.
    where
        Its name, for messages.
    limits
        What is refused.
    """
    return _read_wav(io.BytesIO(content), len(content), where, limits)


def _read_wav(handle: BinaryIO, size: int, where: str, limits: AudioLimits) -> Audio:
    header = read_header(handle, size, where)
    check_shape_of(header.rate, header.channels, header.frames, limits, where)
    handle.seek(header.start)
    content = handle.read(header.frames * header.channels * header.bits // 8)
    samples = _decoded(content, header).reshape(-1, header.channels)
    return _finished(samples, header.rate, where)


def _decoded(content: bytes, header: WavHeader) -> NDArray[np.float32]:
    """Turn bytes into float32 between -1 and 1."""
    if header.is_float:
        with np.errstate(over="ignore"):
            return np.frombuffer(content, f"<f{header.bits // 8}").astype(np.float32)
    if header.bits == 8:  # the only width without a sign
        unsigned = np.frombuffer(content, np.uint8).astype(np.float32)
        return (unsigned - np.float32(128)) / np.float32(128)
    if header.bits == 24:
        wide = np.zeros((len(content) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        whole: NDArray[Any] = wide.view("<i4")[:, 0]
        return whole.astype(np.float32) / np.float32(2**31)
    whole = np.frombuffer(content, f"<i{header.bits // 8}")
    return whole.astype(np.float32) / np.float32(2 ** (header.bits - 1))


def _finished(samples: NDArray[np.float32], rate: int, where: str) -> Audio:
    """Mix down (frames, channels), and check what came out."""
    notes = (_MIXED,) if samples.shape[1] > 1 else ()
    mono = samples.mean(axis=1, dtype=np.float32) if notes else samples[:, 0]
    return checked_sound(Audio(np.ascontiguousarray(mono), rate, notes), where)


def _read_other(path: Path, limits: AudioLimits) -> Audio:
    """Read what is not WAV through soundfile."""
    try:
        import soundfile
    except ImportError as error:
        raise DataError(
            "only WAV files are read without the package soundfile",
            where=str(path),
            fix="convert it to WAV, or: pip install soundfile",
        ) from error
    try:
        with soundfile.SoundFile(path) as file:
            check_shape_of(file.samplerate, file.channels, file.frames, limits, str(path))
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "the sound file can't be read",
            where=str(path),
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="convert it to WAV, 16 bits",
        ) from error
    return _finished(samples, file.samplerate, str(path))
