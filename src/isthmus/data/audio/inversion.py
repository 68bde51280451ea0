"""From log-mel pictures back to sounds, and how much is lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from isthmus.data.audio.clip import Audio
from isthmus.data.audio.front_end import LogMel
from isthmus.data.audio.griffin_lim import griffin_lim, spectral_convergence
from isthmus.data.audio.spectra import Spectra

__all__ = ["RoundTrip", "round_trip", "sounds_from"]

_AT_ONCE = 128
_SILENT = 1e-3
"""Pictures are of sounds of root mean square 1: this is 60 decibels below."""


def sounds_from(
    front: LogMel, log_power: torch.Tensor, *, iterations: int = 48, seed: int = 0
) -> list[Audio]:
    """Turn log-mel power into sounds: mel bands to frequencies, then phases.

    Parameters
    ----------
    front
        The settings that the pictures were made with.
    log_power
        ``log(floor + mel power)``, shape (n, mels, frames).
    iterations
        Steps of Griffin-Lim.
    seed
        Of its first phases.

    Returns
    -------
    list of Audio
        One a picture, ``front.samples`` long, their root mean square brought to ``front.loudness``
        (a picture of silence gives silence).
    """
    spectra = Spectra(front)
    clips = []
    for begin in range(0, len(log_power), _AT_ONCE):
        part = log_power[begin : begin + _AT_ONCE].float()
        power = spectra.linear_power((part.exp() - front.floor).clamp(min=0))
        magnitudes = (power * spectra.scale).sqrt()
        # the transform has one frame more than the picture, at the very end
        magnitudes = torch.cat([magnitudes, magnitudes[..., -1:]], dim=-1)
        sounds = griffin_lim(spectra, magnitudes, iterations=iterations, seed=seed)
        rms = sounds.square().mean(1, keepdim=True).sqrt()
        sounds = sounds * torch.where(rms > _SILENT, front.loudness / rms.clamp(min=_SILENT), 0.0)
        clips += [Audio(sound, front.rate) for sound in sounds.numpy().astype(np.float32)]
    return clips


@dataclass(frozen=True)
class RoundTrip:
    """What a sound loses on the way to a picture and back."""

    clips: int
    """How many clips were tried."""
    mel_error: float
    """Mean spectral convergence ``|S - S'| / |S|`` of mel magnitudes; 0 is perfect."""
    worst: float
    """That of the worst clip."""
    log_error: float
    """Mean absolute difference of ``log(floor + mel power)``, in nepers of power."""
    seconds_per_clip: float
    """Time of the way back, a clip."""

    @property
    def is_good(self) -> bool:
        """Whether the mean error is below .15, the bound for real clips."""
        return self.mel_error < 0.15

    def text(self) -> str:
        """Write it in a line."""
        return (
            f"round trip of {self.clips} clips: mel error {self.mel_error:.3f} (worst "
            f"{self.worst:.3f}; good is below 0.15), log-mel {self.log_error:.3f}, "
            f"{self.seconds_per_clip * 1000:.0f} ms a clip"
        )


def round_trip(
    front: LogMel, clips: Sequence[Audio], *, iterations: int = 48, seed: int = 0
) -> RoundTrip:
    """Send clips to log-mel pictures, back to sounds, and to pictures again.

    Parameters
    ----------
    front
        The settings.
    clips
        At least one.
    iterations, seed
        As for :func:`sounds_from`.
    """
    import time

    spectra = Spectra(front)
    before = front.log_power(clips)
    start = time.perf_counter()
    back = sounds_from(front, before, iterations=iterations, seed=seed)
    seconds = time.perf_counter() - start
    # the window is kept as it is: placing it again could shift it
    sounds = torch.from_numpy(np.stack([clip.samples for clip in back])) / front.loudness
    after = spectra.log_power(sounds)
    magnitudes = [(x.exp() - front.floor).clamp(min=0).sqrt() for x in (after, before)]
    errors = spectral_convergence(*magnitudes)
    return RoundTrip(
        len(clips),
        float(errors.mean()),
        float(errors.max()),
        float((after - before).abs().mean()),
        seconds / len(clips),
    )
