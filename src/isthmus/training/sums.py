"""Terms of a loss over an epoch: sums of batches, and their means."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.models.autoencoder import Terms

__all__ = ["add", "means", "named"]


def named(terms: Terms) -> dict[str, float]:
    """Return the three terms as batch means."""
    return {
        "distortion": float(terms.distortion.detach().mean()),
        "rate": float(terms.rate.detach().mean()),
        "penalty": float(terms.penalty.detach().mean()),
    }


def add(sums: dict[str, float], values: Mapping[str, float], count: int) -> None:
    """Add a batch's means, each weighted by its number of samples."""
    for name, value in ({"count": 1.0} | dict(values)).items():
        sums[name] = sums.get(name, 0.0) + count * value


def means(prefix: str, sums: Mapping[str, float]) -> dict[str, float]:
    """Return sums as means over samples, under prefixed names."""
    return {prefix + k: v / sums["count"] for k, v in sums.items() if k != "count"}
