"""Training batches changed at random: sounds and pictures that a class would still own.

Everything works on whole batches of transformed items and draws from the generator that is
given, so that the same seed gives the same batch. Nothing changes its argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from isthmus.data.modalities.shifting import elastic_offsets, sound_grid, uniform
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.data.modalities.audio import AudioAdapter

__all__ = ["ImageAugment", "SoundAugment", "SoundChanger", "augment_images", "mask_bands"]


@dataclass(frozen=True)
class SoundAugment:
    """How far a sound may be changed; 0 leaves a property alone."""

    shift: float = 0.1
    """Largest shift in time, as a share of the window, both ways."""
    slowest: float = 0.8
    """Smallest tempo; 1 is as recorded."""
    fastest: float = 1.25
    """Largest tempo."""
    bend: float = 0.03
    """Largest local hurry or delay inside a sound, as a share of the window."""
    tract: float = 0.15
    """Largest change of the vocal tract's length: frequencies are stretched by up to this."""
    gain: float = 6.0
    """Largest change of loudness, in decibels, both ways."""
    tilt: float = 6.0
    """Largest difference of an equaliser between lowest and highest band, in decibels, both
    ways."""
    bumps: float = 3.0
    """Largest gain or loss of an equaliser around a few places of the scale, in decibels."""
    noise: float = -20.0
    """Loudest noise that is laid under it, in decibels below the sound; 60 below is the least."""
    noisy: float = 0.5
    """Share of sounds that get noise."""
    mix: float = -20.0
    """Loudest other sound of the batch that is laid under it, in decibels below."""
    mixed: float = 0.0
    """Share of sounds that get another one laid under."""
    time_masks: int = 1
    """Blocks of frames that are blanked (SpecAugment, Park and others, 2019)."""
    time_width: int = 8
    """Most frames of one block."""
    band_masks: int = 1
    """Blocks of bands that are blanked."""
    band_width: int = 5
    """Most bands of one block."""

    def __post_init__(self) -> None:
        if not 0 < self.slowest <= 1 <= self.fastest or not 0 <= self.tract < 0.5:
            raise ConfigError(
                "0 < slowest <= 1 <= fastest and 0 <= tract < 0.5 must hold",
                where=f"slowest={self.slowest}, fastest={self.fastest}, tract={self.tract}",
            )
        amounts = (self.shift, self.bend, self.gain, self.tilt, self.bumps)
        counts = (self.time_masks, self.time_width, self.band_masks, self.band_width)
        shares = (self.noisy, self.mixed)
        if min(*amounts, *counts) < 0 or not all(0 <= share <= 1 for share in shares):
            raise ConfigError("amounts and counts must be 0 or more, and shares from 0 to 1")


@dataclass(frozen=True)
class ImageAugment:
    """How far a picture may be changed; 0 leaves a property alone."""

    shift: float = 0.07
    """Largest shift, as a share of the side, both ways."""
    rotation: float = 10.0
    """Largest turn, in degrees, both ways."""
    scale: float = 0.1
    """Largest change of size, both ways."""
    shear: float = 0.1
    """Largest slant, both ways."""
    elastic: float = 0.02
    """Typical distance that smooth local waves move a pixel, as a share of the side."""
    background: float = 0.0
    """What comes in from outside."""

    def __post_init__(self) -> None:
        if min(self.shift, self.rotation, self.scale, self.shear, self.elastic) < 0:
            raise ConfigError("amounts must be 0 or more")
        if self.scale >= 1:
            raise ConfigError("scale must be below 1", where=f"scale={self.scale}")


class SoundChanger:
    """Changes batches of standardised log-mel pictures of one adapter.

    Loudness, equaliser, noise and mixing act on power, as they would on the sound itself; warps
    act on the picture.

    Parameters
    ----------
    adapter
        The fitted adapter that the pictures came from.
    augment
        How far they may be changed.
    """

    def __init__(self, adapter: AudioAdapter, augment: SoundAugment | None = None) -> None:
        self.augment = augment or SoundAugment()
        self.front = adapter.front
        mean, spread = adapter.statistics()
        self.mean, self.spread = mean, spread
        bound = self.front.clamp
        floor = torch.tensor(self.front.floor).log()
        self.silence = ((floor - mean) / spread).clamp(-bound, bound)

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return a changed batch, shape (B, 1, mels, frames)."""
        changed = self.warped(batch, generator)
        changed = self.equalised(changed, generator)
        return mask_bands(changed, self.augment, generator)

    def warped(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Shift, stretch and bend in time, and stretch frequencies (vocal-tract length).

        What comes in from outside the window is silence.
        """
        a = self.augment
        if not (a.shift or a.bend or a.tract or a.slowest < 1 or a.fastest > 1):
            return batch
        grid = sound_grid(self.front, a, len(batch), generator)
        moved = functional.grid_sample(
            batch - self.silence, grid, mode="bilinear", padding_mode="zeros", align_corners=True
        )
        return moved.add_(self.silence)

    def equalised(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Change loudness and spectrum, and lay noise and other sounds under, on power."""
        a, n = self.augment, len(batch)
        if not (a.gain or a.tilt or a.bumps or a.noisy or a.mixed):
            return batch
        power = torch.addcmul(self.mean, batch, self.spread).exp_().sub_(self.front.floor)
        power.clamp_(min=0)
        loudness = power.mean((2, 3), keepdim=True)  # of each sound, over window and bands
        if a.mixed:
            other = power[torch.randperm(n, generator=generator)]
            level = _decibels(uniform(n, a.mix - 20, a.mix, generator))
            chosen = torch.rand(n, generator=generator) < a.mixed
            power = power + other * (level * chosen).view(n, 1, 1, 1)
        if a.noisy:
            power += self._noise(batch, loudness, generator)
        power *= self._equaliser(n, generator)
        logs = power.add_(self.front.floor).log_()
        bound = self.front.clamp
        return logs.sub_(self.mean).div_(self.spread).clamp_(-bound, bound)

    def _noise(
        self, batch: torch.Tensor, loudness: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the power of noise of random level and colour, as a transform would show it."""
        a, n = self.augment, len(batch)
        level = _decibels(uniform(n, min(-60.0, a.noise), a.noise, generator))
        chosen = torch.rand(n, generator=generator) < a.noisy
        bands = torch.linspace(-1, 1, self.front.mels)
        colour = (uniform(n, -1.5, 1.5, generator)[:, None] * bands).exp()
        size = (level * chosen)[:, None] * colour
        # noise in a mel band is the sum of many squares: its power wavers about its mean
        grain = torch.rand(batch.shape, generator=generator).add_(0.5)
        return grain.mul_(size.view(n, 1, -1, 1) * loudness)

    def _equaliser(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Return what each band's power is multiplied with, shape (n, 1, mels, 1)."""
        a, bands = self.augment, torch.linspace(-1, 1, self.front.mels)
        curve = uniform(n, -a.gain, a.gain, generator)[:, None]
        curve = curve + uniform(n, -a.tilt, a.tilt, generator)[:, None] * bands / 2
        for _ in range(3 if a.bumps else 0):
            place = uniform(n, -1, 1, generator)[:, None]
            height = uniform(n, -a.bumps, a.bumps, generator)[:, None]
            curve = curve + height * (-((bands - place) ** 2) / 0.08).exp()
        return _decibels(curve).view(n, 1, -1, 1)


def _decibels(values: torch.Tensor) -> torch.Tensor:
    """Return the power ratios of decibels."""
    return torch.pow(10.0, values / 10)


def mask_bands(
    batch: torch.Tensor, augment: SoundAugment, generator: torch.Generator
) -> torch.Tensor:
    """Blank blocks of frames and of bands: they become 0, the mean of their band.

    Parameters
    ----------
    batch
        Shape (B, 1, mels, frames).
    augment
        How many blocks, and how wide.
    generator
        Decides widths, from 0 to the widest, and places.
    """
    n, _, mels, frames = batch.shape
    keep_time = _blocks(n, frames, augment.time_masks, augment.time_width, generator)
    keep_band = _blocks(n, mels, augment.band_masks, augment.band_width, generator)
    return batch * keep_time[:, None, None, :] * keep_band[:, None, :, None]


def _blocks(
    n: int, length: int, count: int, width: int, generator: torch.Generator
) -> torch.Tensor:
    """Return 1 where kept and 0 in ``count`` blocks, shape (n, length)."""
    kept = torch.ones(n, length)
    positions = torch.arange(length)
    for _ in range(count if width else 0):
        wide = torch.randint(0, min(width, length) + 1, (n, 1), generator=generator)
        start = (torch.rand(n, 1, generator=generator) * (length - wide + 1)).long()
        kept *= ((positions < start) | (positions >= start + wide)).float()
    return kept


def augment_images(
    batch: torch.Tensor, generator: torch.Generator, augment: ImageAugment | None = None
) -> torch.Tensor:
    """Shift, turn, scale, slant and wave pictures.

    Parameters
    ----------
    batch
        Shape (B, C, H, W).
    generator
        What is drawn from.
    augment
        How far; None: the defaults.

    Returns
    -------
    torch.Tensor
        The same shape; bilinear, ``background`` comes in from outside.
    """
    a, n = augment or ImageAugment(), len(batch)
    turn = torch.deg2rad(uniform(n, -a.rotation, a.rotation, generator))
    size = 1 + uniform(n, -a.scale, a.scale, generator)
    slant = uniform(n, -a.shear, a.shear, generator)
    cos, sin = turn.cos() / size, turn.sin() / size
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = cos, slant * cos - sin
    matrix[:, 1, 0], matrix[:, 1, 1] = sin, slant * sin + cos
    # a whole side is 2 in the grid's units
    matrix[:, :, 2] = uniform(n * 2, -2 * a.shift, 2 * a.shift, generator).view(n, 2)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    if a.elastic:
        grid = grid + elastic_offsets(n, batch.shape[-2:], a.elastic, generator)
    moved = functional.grid_sample(
        batch - a.background, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved.add_(a.background)
