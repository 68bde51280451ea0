"""What only variational models can do: importance weights, interpolation, traversal."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.bottlenecks.gaussian import GaussianWaist, gaussian_kl
from isthmus.errors import ConfigError
from isthmus.models.autoencoder import Autoencoder

__all__ = ["gaussian_waist", "interpolate", "kl_per_latent", "log_weights", "traverse"]


def gaussian_waist(model: Autoencoder) -> GaussianWaist:
    """Return the model's Gaussian bottleneck.

    Raises
    ------
    ConfigError
        If it has another.
    """
    if not isinstance(model.waist, GaussianWaist):
        raise ConfigError(
            f"this needs a variational model, and the bottleneck is {model.bottleneck}",
            fix="train with the preset vae",
        )
    return model.waist


def log_weights(model: Autoencoder, x: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Return ``log p(x, z) - log q(z | x)`` for posterior draws z, (samples, B), in nats.

    Their log-mean-exp estimates the log-likelihood from below (Burda et al.,
    arXiv:1509.00519).

    Parameters
    ----------
    x
        Preprocessed samples (B, *shape).
    """
    waist = gaussian_waist(model)
    mean, log_variance = waist.posterior(model.encoder(x).float())
    size = (samples, *mean.shape)
    noise = torch.randn(size, generator=generator, device=x.device)
    z = mean + (0.5 * log_variance).exp() * noise
    out = model.decoder(z.flatten(0, 1)).float()
    distortion = model.readout.distortion(out.reshape(samples, len(x), *out.shape[1:]), x)
    log_ratio = 0.5 * (z.square() - noise.square() - log_variance).sum(-1)
    return -distortion - log_ratio


def kl_per_latent(model: Autoencoder, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the KL of each latent and the posterior means, each (B, N), in nats."""
    mean, log_variance = gaussian_waist(model).posterior(model.encoder(x).float())
    return gaussian_kl(mean, log_variance), mean


def interpolate(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Return codes (steps, B, N) on the straight lines from ``start`` to ``end``, both (B, N)."""
    t = torch.linspace(0, 1, steps, device=start.device)[:, None, None]
    return torch.lerp(start[None], end[None], t)


def traverse(code: Tensor, latents: list[int], values: Tensor) -> Tensor:
    """Return codes (len(latents), len(values), N): one latent at a time set to each value.

    Parameters
    ----------
    code
        The code (N,) that is varied.
    """
    grid = code.expand(len(latents), len(values), -1).clone()
    for row, latent in enumerate(latents):
        grid[row, :, latent] = values
    return grid
