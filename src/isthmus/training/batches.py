"""Batches without per-item overhead: from memory where they fit, else from the source."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isthmus.data.dataset import Samples
from isthmus.data.preprocessing import Preprocessing

__all__ = ["IN_MEMORY_BYTES", "Batches", "order_of"]

IN_MEMORY_BYTES = 2 << 30


class Batches:
    """Preprocessed samples of a split by their positions.

    A split of at most ``limit`` bytes is preprocessed once and kept on the device; a larger
    one is read, preprocessed and moved batch by batch, with the same values.
    """

    def __init__(
        self,
        samples: Samples,
        preprocessing: Preprocessing,
        device: torch.device,
        *,
        dynamic: bool = False,
        channels_last: bool = False,
        limit: int = IN_MEMORY_BYTES,
    ) -> None:
        self.samples, self.preprocessing, self.device = samples, preprocessing, device
        self.dynamic, self.channels_last = dynamic, channels_last and len(samples.shape) == 3
        self._kept: Tensor | None = None
        if 4 * len(samples) * math.prod(samples.shape) <= limit:
            parts = [
                self._ready(torch.arange(start, min(start + 8192, len(samples))))
                for start in range(0, len(samples), 8192)
            ]
            self._kept = torch.cat(parts)

    def __len__(self) -> int:
        return len(self.samples)

    @torch.no_grad()
    def _ready(self, index: Tensor) -> Tensor:
        ready: Tensor = self.preprocessing(self.samples.batch(index).to(self.device))
        return ready

    def at(self, index: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return samples (B, *shape); bits are drawn anew where binarisation is dynamic."""
        x = self._ready(index) if self._kept is None else self._kept[index.to(self.device)]
        if self.dynamic:
            x = (torch.rand(x.shape, generator=generator, device=x.device) < x).float()
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x


def order_of(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the samples in an epoch, a function of seed and epoch alone."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % (1 << 63))
    return torch.randperm(count, generator=generator)
