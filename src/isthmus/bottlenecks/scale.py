"""Unit variance for each pre-activation, also where a batch holds a single sample."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Scale"]


class Scale(nn.BatchNorm1d):
    """Batch normalisation without learned factors, which takes a last batch of one sample.

    One sample has no variance: it is scaled by the running estimates, which it leaves alone.
    The running estimates are plain means over the first ``1 / momentum`` batches, so that they
    do not lean on where they started however short the training was.
    """

    def __init__(self, latent: int, momentum: float = 0.1) -> None:
        super().__init__(latent, momentum=momentum, affine=False)
        self.momentum: float = momentum

    def forward(self, input: Tensor) -> Tensor:
        """Return pre-activations (B, N) of mean 0 and variance 1 over the data."""
        if self.training and len(input) == 1:
            return self.settled(input)
        slow = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.momentum = max(slow, 1 / (1 + int(self.num_batches_tracked)))
        try:
            return super().forward(input)
        finally:
            self.momentum = slow

    def settled(self, input: Tensor) -> Tensor:
        """Return pre-activations (B, N) scaled by the running estimates, as outside training."""
        return F.batch_norm(input, self.running_mean, self.running_var, eps=self.eps)
