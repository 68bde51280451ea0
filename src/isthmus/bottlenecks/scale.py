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
        self.slowest = momentum

    def forward(self, input: Tensor) -> Tensor:
        """Return pre-activations (B, N) of mean 0 and variance 1 over the data."""
        if not self.training or len(input) == 1 or self.num_batches_tracked is None:
            return self.settled(input)
        self.num_batches_tracked.add_(1)
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            training=True,
            momentum=max(self.slowest, 1 / int(self.num_batches_tracked)),
            eps=self.eps,
        )

    def settled(self, input: Tensor) -> Tensor:
        """Return pre-activations (B, N) scaled by the running estimates, as outside training."""
        return F.batch_norm(input, self.running_mean, self.running_var, eps=self.eps)
