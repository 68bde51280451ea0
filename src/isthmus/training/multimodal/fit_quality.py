"""How well each modality is reconstructed, and an alarm when one collapses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from isthmus.data.multimodal import MultimodalData
from isthmus.models.autoencoder import evaluating
from isthmus.models.multimodal.channel import Channel
from isthmus.models.multimodal.model import MultimodalAutoencoder

__all__ = ["LEAST", "WORSE", "alarms", "explained"]

LEAST = 0.05
"""A modality of which less than this share is explained has collapsed."""
WORSE = 0.1
"""How far below its own unimodal autoencoder a modality may fall."""


@torch.no_grad()
def explained(
    model: MultimodalAutoencoder, data: MultimodalData, split: str = "validation", most: int = 1024
) -> dict[str, float]:
    """Return R^2 of each modality's own reconstruction, pooled over a split's items.

    One minus the squared error over the squares about the *training* mean, in float64; for texts
    of probabilities against symbols, up to each text's end. Codes come from the modality alone.

    Parameters
    ----------
    most
        Items of a modality that are looked at, the first of the split, and as many of training
        for the mean.
    """
    found = {}
    with evaluating(model):
        for name in model.names:
            modality, channel = data[name], model.channel(name)
            rows = modality.rows(split)[:most]
            if not len(rows):
                continue
            x = modality.items[torch.from_numpy(rows)].to(model.device)
            known = _spread(modality.rows("train"), most)
            mean = _mean(channel, modality.items[torch.from_numpy(known)])
            codes = model.encode({name: x})
            own = codes.private.get(name)
            code = model.decoder_input(name, codes.shared, own)
            truth, counts = channel.comparable(x).double(), channel.counted(x)
            error = (channel.expected(code).double() - truth).square().mul(counts).sum()
            about = (truth - mean.to(truth.device)).square().mul(counts).sum()
            found[name] = 1 - float(error) / max(float(about), 1e-12)
    return found


def _mean(channel: Channel, x: Tensor) -> Tensor:
    """Return the mean (K,) of what counts; 0 where nothing does."""
    counts = channel.counted(x).double()
    total = channel.comparable(x).double().mul(counts).sum(0)
    return total / counts.sum(0).clamp_min(1)


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """Return up to ``most`` of the rows, evenly spread: files are often sorted by class."""
    return rows[:: max(1, len(rows) // most)][:most]


def alarms(
    found: Mapping[str, float], references: Mapping[str, float] | None, epoch: int
) -> Sequence[str]:
    """Return a sentence for each modality that has collapsed.

    Parameters
    ----------
    references
        R^2 of each modality's own unimodal autoencoder, where known.
    """
    said = []
    for name, value in found.items():
        reference = (references or {}).get(name)
        if value < LEAST:
            said.append(
                f"epoch {epoch}: {name} has collapsed: its reconstruction explains "
                f"{max(value, 0.0):.0%} of its variance"
            )
        elif reference is not None and value < reference - WORSE:
            said.append(
                f"epoch {epoch}: {name} is drowned by other modalities: its reconstruction "
                f"explains {value:.0%} of its variance, and {reference:.0%} where it is alone"
            )
    return said
