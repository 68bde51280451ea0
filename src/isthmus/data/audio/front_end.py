"""The log-mel front end: from a clip to a small picture of fixed size, and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.data.audio.clip import Audio
from isthmus.data.audio.resampling import resampled
from isthmus.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

__all__ = ["LogMel"]

_ALIGN = ("centre", "left")
_FRAMES_AT_ONCE = 1 << 14
_BLOCK = 80  # placing looks at loudness a hundred times a second at 8 kHz


@dataclass(frozen=True)
class LogMel:
    """How a clip becomes a log-mel picture of shape (1, mels, frames).

    The clip is resampled, freed of its mean, placed in a window of fixed length, brought to one
    loudness (root mean square 1 over the window), and turned into ``log(floor + mel power)``.
    Power is that of the windowed Fourier transform over the squared sum of the window, so that a
    sine of amplitude a has a^2 / 4 whatever the window. Mel scale: 2595 log10(1 + f / 700)
    (O'Shaughnessy, 1987; HTK's).

    Examples
    --------
    >>> LogMel().frames, LogMel().shape
    (64, (1, 40, 64))
    """

    rate: int = 8_000
    """Samples a second that clips are resampled to."""
    samples: int = 8_192
    """Samples of the window that a clip is cropped or padded to; a multiple of ``hop``."""
    n_fft: int = 512
    """Length of the Fourier transform."""
    window: int = 256
    """Length of the Hann window, at most ``n_fft``."""
    hop: int = 128
    """Samples between two frames, at most half of ``window``."""
    mels: int = 40
    """Number of mel bands."""
    low: float = 0.0
    """Lowest frequency, in Hz."""
    high: float | None = None
    """Highest frequency, in Hz; None: half of the rate."""
    floor: float = 1e-5
    """Added to the power, of clips of root mean square 1: what is quieter by far is silence."""
    clamp: float = 4.0
    """Standardised values are kept within this many standard deviations."""
    align: str = "centre"
    """Where the audible part of a clip goes: ``centre`` or ``left`` of the window."""
    audible: float = 30.0
    """Decibels below the loudest moment at which a clip still counts as audible."""
    loudness: float = 0.1
    """Root mean square of the sounds that pictures are turned back into."""

    def __post_init__(self) -> None:
        fix = "the defaults are meant for short words at 8,000 Hz"
        if not 1_000 <= self.rate <= 48_000:
            raise ConfigError("the rate must be 1,000 to 48,000 Hz", where=f"{self.rate}", fix=fix)
        if not 2 <= 2 * self.hop <= self.window <= self.n_fft:
            raise ConfigError(
                "2 * hop <= window <= n_fft must hold, or frames can't be turned back into sound",
                where=f"hop={self.hop}, window={self.window}, n_fft={self.n_fft}",
            )
        if self.samples < self.n_fft or self.samples % self.hop:
            raise ConfigError(
                "samples must be a multiple of hop and at least n_fft",
                where=f"samples={self.samples}, hop={self.hop}, n_fft={self.n_fft}",
            )
        if not 0 <= self.low < self.top <= self.rate / 2:
            raise ConfigError(
                "0 <= low < high <= half the rate must hold",
                where=f"low={self.low}, high={self.high}, rate={self.rate}",
            )
        if self.align not in _ALIGN:
            raise ConfigError(
                f"unknown alignment {self.align!r}", fix=f"choose {' or '.join(_ALIGN)}"
            )
        if min(self.floor, self.clamp, self.audible, self.loudness) <= 0:
            raise ConfigError("floor, clamp, audible and loudness must be above 0")
        self._check_mels()

    def _check_mels(self) -> None:
        """Refuse bands so narrow that some hold no frequency of their own."""
        if self.mels < 2:
            raise ConfigError("there must be at least 2 mel bands", where=f"mels={self.mels}")
        step = self.rate / self.n_fft
        edges = self.edges()
        if (edges[2] - edges[0]) / 2 < step:
            raise ConfigError(
                "the mel bands are too narrow for the Fourier transform",
                where=f"mels={self.mels}, n_fft={self.n_fft}",
                why=f"the first is {edges[2] - edges[0]:.0f} Hz wide and frequencies are "
                f"{step:.1f} Hz apart",
                fix="choose fewer mels or a longer n_fft",
            )

    @property
    def top(self) -> float:
        """Highest frequency, in Hz."""
        return self.rate / 2 if self.high is None else self.high

    @property
    def frames(self) -> int:
        """Number of frames of a picture."""
        return self.samples // self.hop

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, mels, frames)."""
        return 1, self.mels, self.frames

    @property
    def seconds(self) -> float:
        """How long the window lasts."""
        return self.samples / self.rate

    def edges(self) -> NDArray[np.float64]:
        """Return the frequencies at which bands begin, peak and end, shape (mels + 2,), in Hz."""
        low, high = (2595 * np.log10(1 + f / 700) for f in (self.low, self.top))
        return np.asarray(700 * (10 ** (np.linspace(low, high, self.mels + 2) / 2595) - 1))

    def placed(self, clip: Audio) -> tuple[NDArray[np.float32], int]:
        """Put a clip into the window, at one loudness.

        Parameters
        ----------
        clip
            At any rate.

        Returns
        -------
        tuple
            Samples of shape (samples,) whose root mean square is 1, and the offset: the
            position in the window of the clip's first sample, below 0 where it was cropped.

        Raises
        ------
        DataError
            If what falls into the window is silent.
        """
        sound = resampled(clip, self.rate).samples
        sound = sound - sound.mean(dtype=np.float64).astype(np.float32)
        start, stop = _audible(sound, self.audible)
        begin = start
        if self.align == "centre" or stop - start > self.samples:
            begin = (start + stop - self.samples) // 2
        offset = -begin
        if len(sound) <= self.samples:  # a clip that fits is never cut
            offset = min(max(offset, 0), self.samples - len(sound))
        placed = np.zeros(self.samples, np.float32)
        first, last = max(0, -offset), min(len(sound), self.samples - offset)
        placed[first + offset : last + offset] = sound[first:last]
        rms = float(np.sqrt(np.mean(placed.astype(np.float64) ** 2)))
        if rms < 1e-9:
            raise DataError(
                "the clip is silent where it was cut to the window",
                why="its loudness can't be normalised",
                fix="cut the clip so that the sound is at its start",
            )
        return placed * np.float32(1 / rms), offset

    def log_power(self, clips: Sequence[Audio]) -> torch.Tensor:
        """Return log-mel power before standardising, shape (n, mels, frames), float32."""
        import torch

        from isthmus.data.audio.spectra import Spectra

        spectra = Spectra(self)
        step = max(1, _FRAMES_AT_ONCE // self.frames)
        out = torch.empty(len(clips), self.mels, self.frames)
        for begin in range(0, len(clips), step):
            placed = np.stack([self.placed(clip)[0] for clip in clips[begin : begin + step]])
            out[begin : begin + step] = spectra.log_power(torch.from_numpy(placed))
        return out


def _audible(sound: NDArray[np.float32], decibels: float) -> tuple[int, int]:
    """Return the samples between which the sound is no more than so much below its loudest."""
    blocks = -(-len(sound) // _BLOCK)
    padded = np.zeros(blocks * _BLOCK, np.float32)
    padded[: len(sound)] = sound
    power = (padded.reshape(blocks, _BLOCK) ** 2).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-decibels / 10))
    return int(loud[0]) * _BLOCK, min(len(sound), (int(loud[-1]) + 1) * _BLOCK)
