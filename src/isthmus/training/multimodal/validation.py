"""The terms of a loss over validation rows, and sums of batches as means."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from isthmus.models.autoencoder import Terms, evaluating
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.training.multimodal.feeding import Feed

__all__ = ["add", "means", "named", "validated"]

MOST = 1024
"""Validation rows that are looked at, the first of the fixed table."""


@torch.no_grad()
def validated(model: MultimodalAutoencoder, feed: Feed, seed: int) -> dict[str, float]:
    """Return the sums over validation rows, with the same noise in every epoch."""
    generator = torch.Generator(model.device).manual_seed(seed)
    sums: dict[str, float] = {}
    table = feed.data.table("validation")[:MOST]
    with evaluating(model):
        for start in range(0, len(table), 256):
            rows = feed.rows(table[start : start + 256], None)
            terms = model.terms(rows, generator)
            logs = {name: float(value) for name, value in terms.logs.items()}
            add(sums, {"loss": float(terms.loss)} | named(terms) | logs, len(rows))
    return sums


def named(terms: Terms) -> dict[str, float]:
    """Return the three terms as batch means."""
    return {
        "distortion": float(terms.distortion.detach().mean()),
        "rate": float(terms.rate.detach().mean()),
        "penalty": float(terms.penalty.detach().mean()),
    }


def add(sums: dict[str, float], values: Mapping[str, float], count: int) -> None:
    """Add a batch's means, each weighted by its number of rows."""
    for name, value in ({"count": 1.0} | dict(values)).items():
        sums[name] = sums.get(name, 0.0) + count * value


def means(prefix: str, sums: Mapping[str, float]) -> dict[str, float]:
    """Return sums as means over rows, under prefixed names."""
    return {prefix + k: v / sums["count"] for k, v in sums.items() if k != "count"}
