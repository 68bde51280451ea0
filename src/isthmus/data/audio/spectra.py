"""Fourier and mel transforms of batches of placed clips, both ways, on torch's STFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from isthmus.data.audio.front_end import LogMel

__all__ = ["Spectra", "mel_matrix"]

_TINY = 1e-12


def mel_matrix(front: LogMel) -> torch.Tensor:
    """Return the mel bands as triangles over frequencies, shape (mels, n_fft / 2 + 1).

    Each rises from the peak of the band below to 1 at its own and falls to the peak of the band
    above; the areas are not normalised (HTK's convention).
    """
    edges = torch.from_numpy(front.edges())
    bins = torch.linspace(0, front.rate / 2, front.n_fft // 2 + 1, dtype=torch.float64)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rise, fall).clamp(min=0).float()


class Spectra:
    """The transforms of one front end."""

    def __init__(self, front: LogMel) -> None:
        self.front = front
        self.mel = mel_matrix(front)
        self.window = torch.hann_window(front.window)
        self.scale = float(self.window.sum()) ** 2

    def stft(self, sounds: torch.Tensor) -> torch.Tensor:
        """Return the transform of (n, samples), shape (n, n_fft / 2 + 1, frames + 1), complex."""
        front = self.front
        return torch.stft(
            sounds,
            front.n_fft,
            front.hop,
            front.window,
            self.window.to(sounds.dtype),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )

    def istft(self, spectra: torch.Tensor) -> torch.Tensor:
        """Return the sounds (n, samples) that fit the spectra best, by least squares."""
        front = self.front
        return torch.istft(
            spectra,
            front.n_fft,
            front.hop,
            front.window,
            self.window.to(spectra.real.dtype),
            center=True,
            length=front.samples,
        )

    def mel_power(self, sounds: torch.Tensor) -> torch.Tensor:
        """Return the mel power of (n, samples), shape (n, mels, frames)."""
        power = self.stft(sounds)[..., : self.front.frames].abs().square_().div_(self.scale)
        return torch.matmul(self.mel, power)

    def log_power(self, sounds: torch.Tensor) -> torch.Tensor:
        """Return ``log(floor + mel power)``, shape (n, mels, frames)."""
        return self.mel_power(sounds).add_(self.front.floor).log_()

    def linear_power(self, mel_power: torch.Tensor, iterations: int = 60) -> torch.Tensor:
        """Return the power over frequencies that has this mel power, never below 0.

        It starts at the pseudo-inverse, cut off at 0, and goes on with the multiplicative rule
        for least squares (Lee and Seung, 2001), on magnitudes so that quiet bands count too.

        Parameters
        ----------
        mel_power
            Shape (n, mels, frames), 0 or more.
        iterations
            Steps of the rule; 0: the pseudo-inverse alone.

        Returns
        -------
        torch.Tensor
            Shape (n, n_fft / 2 + 1, frames).
        """
        mel = self.mel
        target = mel_power.clamp(min=0)
        peak = target.amax(1, keepdim=True).clamp(min=_TINY)
        # a smooth start keeps bins alive that the pseudo-inverse would cut to 0 for good
        smooth = torch.matmul(mel.T / mel.sum(1), target)
        power = torch.matmul(torch.linalg.pinv(mel), target)
        power = torch.maximum(power, 0.05 * smooth) + 1e-9 * peak * (mel.sum(0) > 0)[:, None]
        weight = (target + 1e-4 * peak).reciprocal()  # quiet bands count as much as loud ones
        above = torch.matmul(mel.T, weight * target)
        for _ in range(iterations):
            below = torch.matmul(mel.T, weight * torch.matmul(mel, power))
            power = power * (above / below.clamp(min=_TINY))
        return power
