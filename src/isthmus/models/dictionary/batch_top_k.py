"""BatchTopK and Matryoshka: one selection over the batch, a stored threshold at inference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from isthmus.bottlenecks import BatchTopK, Matryoshka
from isthmus.kernels.code import SparseCode
from isthmus.kernels.rules import Above, Levels, RowTopK, Rule
from isthmus.kernels.rules import BatchTopK as BatchRule
from isthmus.models.dictionary.objective import Objective, chosen_k

__all__ = ["BatchTopKObjective", "MatryoshkaObjective"]


class BatchTopKObjective(Objective):
    """The k x B largest pre-activations of the batch; a threshold outside training.

    The threshold is the running mean over batches of the smallest activation kept. Source:
    Bussmann, Leask and Nanda, arXiv:2412.06410.
    """

    sparse = True
    watches = True
    k: int
    threshold: Tensor
    batches: Tensor

    def __init__(self, config: BatchTopK | Matryoshka) -> None:
        super().__init__()
        self.latent, self.k, self.memory = config.latent, config.k, config.memory
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def rule(self, k: int | None = None) -> Rule:
        """Say which latents are active while training."""
        return BatchRule(chosen_k(k, self.k, self.latent))

    def inference(self, k: int | None = None) -> Rule:
        """Say which latents are active: those above the threshold, or each sample's k largest."""
        if k is not None:
            return RowTopK(chosen_k(k, self.k, self.latent))
        return Above(np.full(self.latent, float(self.threshold), np.float32))

    def codes(self, pre_BN: Tensor) -> Tensor:
        """Return the dense codes of inference."""
        return pre_BN * (pre_BN > self.threshold.clamp_min(0))

    def observed(self, code: SparseCode, least: Callable[[float], float] = float) -> None:
        """Move the threshold towards the smallest activation kept."""
        positive = code.values[code.values > 0]
        smallest = least(float(positive.min(initial=np.inf)))
        if smallest == np.inf:
            return
        self.batches += 1
        # the mean of all batches at first, a running mean later: no value to start from
        share = max(1 - self.memory, 1 / int(self.batches))
        self.threshold += share * (smallest - self.threshold)

    def calibrate(self, code: SparseCode) -> None:
        """Set the threshold to the smallest activation kept: L0 is then k on such rows.

        Rows that were trained on with noise have larger activations than clean ones, and their
        running threshold would leave clean rows with fewer than k.
        """
        positive = code.values[code.values > 0]
        if len(positive):
            # a threshold is exceeded, not reached
            least = np.nextafter(positive.min(), np.float32(0), dtype=np.float32)
            self.threshold.fill_(float(least))

    def rescale(self, factor: float) -> None:
        """Scale the threshold."""
        self.threshold *= factor

    def describe(self) -> list[str]:
        """Say how sparse the code is."""
        return [f"{self.k} of {self.latent} latents a sample on average, by one threshold"]


class MatryoshkaObjective(BatchTopKObjective):
    """See :class:`~isthmus.bottlenecks.Matryoshka`."""

    def __init__(self, config: Matryoshka) -> None:
        super().__init__(config)
        self._levels = Levels(config.ends, config.weights, by_rank=False)

    def levels(self) -> Levels:
        """Say which prefixes count."""
        return self._levels

    def describe(self) -> list[str]:
        """Say where the prefixes end."""
        ends = ", ".join(map(str, self._levels.ends))
        return [*super().describe(), f"the first {ends} latents each reconstruct by themselves"]
