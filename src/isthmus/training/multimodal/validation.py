"""The terms of a loss over validation rows."""

from __future__ import annotations

import torch

from isthmus.models.autoencoder import evaluating
from isthmus.models.multimodal.model import MultimodalAutoencoder
from isthmus.training.multimodal.feeding import Feed
from isthmus.training.sums import add, named

__all__ = ["validated"]

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
