"""Where every point of a changed picture comes from: the grids behind augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from isthmus.data.audio.front_end import LogMel
    from isthmus.data.modalities.augment import SoundAugment

__all__ = ["elastic_offsets", "frequency_positions", "sound_grid", "time_positions", "uniform"]

_COARSE = 4
_BEND = 0.85
"""Frequencies are stretched evenly up to this share of the highest one."""


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """Return n numbers drawn evenly between low and high, float32."""
    return torch.rand(n, generator=generator) * (high - low) + low


def time_positions(
    frames: int,
    tempo: torch.Tensor,
    shift: torch.Tensor,
    bend: torch.Tensor,
    phase: torch.Tensor,
) -> torch.Tensor:
    """Return the frame that each new frame is taken from, shape (B, frames), fractional.

    A new frame at distance d from the middle comes from ``d * tempo - shift`` and a wave of
    amplitude ``bend`` over the window.

    Parameters
    ----------
    frames
        Frames of the window.
    tempo
        1 is as recorded, more is faster; shape (B,).
    shift
        Frames that the sound moves to the right, shape (B,).
    bend, phase
        Amplitude in frames and phase in radians of the wave, shape (B,).
    """
    middle = (frames - 1) / 2
    away = torch.arange(frames, dtype=torch.float32) - middle
    wave = (away / frames * 2 * torch.pi + phase[:, None]).sin() * bend[:, None]
    return (away - shift[:, None]) * tempo[:, None] + middle + wave


def frequency_positions(front: LogMel, stretch: torch.Tensor) -> torch.Tensor:
    """Return the band that each new band is taken from, shape (B, mels), fractional.

    The new power at frequency f is the old one at ``f * stretch``; near the top the map bends so
    that the highest frequency stays where it is (vocal-tract-length perturbation, Jaitly and
    Hinton, 2013).

    Parameters
    ----------
    front
        The front end, for the mel scale.
    stretch
        Shape (B,); above 1 moves resonances down, as a longer vocal tract does.
    """
    edges = torch.from_numpy(front.edges()).float()
    centres, top = edges[1:-1], front.top
    stretch = stretch[:, None]
    knee = _BEND * top * stretch.clamp(max=1) / stretch
    even = centres * stretch
    slope = (top - knee * stretch) / (top - knee)
    bent = top - slope * (top - centres)
    wanted = torch.where(centres <= knee, even, bent)
    low, high = (_mel(edges[i]) for i in (0, -1))
    step = (high - low) / (front.mels + 1)
    return ((_mel(wanted) - low) / step - 1).clamp(0, front.mels - 1)


def _mel(frequency: torch.Tensor) -> torch.Tensor:
    return 2595 * torch.log10(1 + frequency / 700)


def sound_grid(
    front: LogMel, augment: SoundAugment, n: int, generator: torch.Generator
) -> torch.Tensor:
    """Return the sampling grid of a batch of changed sounds, shape (n, mels, frames, 2).

    Tempo and stretch are drawn evenly in their logarithm.
    """
    frames, mels = front.frames, front.mels
    bounds = torch.tensor([augment.slowest, augment.fastest, 1 + augment.tract]).log().tolist()
    times = time_positions(
        frames,
        uniform(n, bounds[0], bounds[1], generator).exp(),
        uniform(n, -augment.shift * frames, augment.shift * frames, generator),
        uniform(n, 0, augment.bend * frames, generator),
        uniform(n, 0, 2 * torch.pi, generator),
    )
    bands = frequency_positions(front, uniform(n, -bounds[2], bounds[2], generator).exp())
    grid = torch.empty(n, mels, frames, 2)
    grid[..., 0] = (times * (2 / (frames - 1)) - 1)[:, None, :]
    grid[..., 1] = (bands * (2 / (mels - 1)) - 1)[:, :, None]
    return grid


def elastic_offsets(
    n: int, size: Sequence[int], amount: float, generator: torch.Generator
) -> torch.Tensor:
    """Return smooth random offsets in the grid's units, shape (n, H, W, 2).

    A coarse field of normal numbers is interpolated (bicubic).
    """
    coarse = torch.randn(n, 2, _COARSE, _COARSE, generator=generator) * (2 * amount)
    fine = functional.interpolate(coarse, size=list(size), mode="bicubic", align_corners=True)
    return fine.movedim(1, -1)
