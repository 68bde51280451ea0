"""A sound from magnitudes alone: fast Griffin-Lim.

Source: Perraudin, Balazs and Søndergaard, A fast Griffin-Lim algorithm, WASPAA 2013.
"""

from __future__ import annotations

import torch

from isthmus.data.audio.spectra import Spectra

__all__ = ["griffin_lim", "spectral_convergence"]


def griffin_lim(
    spectra: Spectra,
    magnitudes: torch.Tensor,
    *,
    iterations: int = 48,
    momentum: float = 0.99,
    seed: int = 0,
) -> torch.Tensor:
    """Return sounds whose spectra have these magnitudes as nearly as any sound's can.

    Phases start at random and are made consistent by going to sound and back; each step goes on
    in the direction of the last one.

    Parameters
    ----------
    spectra
        The transform.
    magnitudes
        Shape (n, n_fft / 2 + 1, frames + 1), float32, in the units of ``spectra.stft``.
    iterations
        Steps.
    momentum
        How far a step goes on; 0 is the plain algorithm of Griffin and Lim (1984).
    seed
        Of the first phases, which are the same for every sound of the batch, so that a sound
        does not depend on its neighbours.

    Returns
    -------
    torch.Tensor
        Shape (n, samples), float32.
    """
    generator = torch.Generator().manual_seed(seed)
    phases = torch.rand(magnitudes.shape[1:], generator=generator) * (2 * torch.pi)
    current = magnitudes * torch.polar(torch.ones_like(phases), phases)
    before = torch.zeros_like(current)
    for _ in range(iterations):
        consistent = spectra.stft(spectra.istft(current))
        ahead = torch.add(consistent, consistent - before, alpha=momentum)
        before = consistent
        current = magnitudes * (ahead / ahead.abs().clamp(min=1e-12))
    return spectra.istft(current)


def spectral_convergence(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return ``|found - wanted| / |wanted|`` by the Frobenius norm of each item, shape (n,).

    Examples
    --------
    >>> wanted = torch.tensor([[3.0, 4.0]])
    >>> spectral_convergence(wanted * 1.1, wanted)
    tensor([0.1000])
    """
    norm = torch.linalg.vector_norm
    apart, whole = norm((found - wanted).flatten(1), dim=1), norm(wanted.flatten(1), dim=1)
    ratio: torch.Tensor = apart / whole.clamp(min=1e-30)
    return ratio
