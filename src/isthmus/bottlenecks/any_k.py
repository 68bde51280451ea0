"""The any-k bottleneck: one dictionary that is good at every k up to its largest."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.bottlenecks.base import positive
from isthmus.bottlenecks.linear_only import LinearOnly
from isthmus.errors import ConfigError

__all__ = ["AnyK"]


@dataclass(frozen=True)
class AnyK(LinearOnly):
    """TopK whose partial sums, taken from the largest activation down, all count.

    With a_(1) >= ... >= a_(k) the sorted activations of a sample and x_hat_j the reconstruction
    from the first j of them,

        loss = (1 / k) sum_{j <= k} ||x - x_hat_j||^2,

    so that encoding with any j <= k is near what a dictionary trained for j alone reaches.
    Source: Balagansky et al., "Train one sparse autoencoder across multiple sparsity budgets",
    arXiv:2505.24473. The mean over all j is taken over the levels 1, 2, 3, 4, 6, 8, 12, ... k,
    each standing for the j's around it: neighbouring partial sums are nearly alike, and the
    pulls of all k levels would take k times the memory of the residual.
    """

    k: int = 32
    """Largest number of active latents of a sample."""
    levels: tuple[int, ...] = ()
    """The j's whose partial sums count, rising, the last k; by default 1, 2, 3, 4, 6, 8, ... k."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(k=self.k)
        if self.k > self.latent:
            raise ConfigError(f"k = {self.k} is larger than the number of latents, {self.latent}")
        ends = self.ends
        if any(b <= a for a, b in zip((0, *ends), ends, strict=False)) or ends[-1] != self.k:
            raise ConfigError(f"the levels must rise from above 0 to k = {self.k}, not {ends}")

    @property
    def ends(self) -> tuple[int, ...]:
        """The levels in force.

        Examples
        --------
        >>> AnyK(64, k=16).ends
        (1, 2, 3, 4, 6, 8, 12, 16)
        """
        if self.levels:
            return self.levels
        steps = [scale * 2**power for power in range(40) for scale in (2, 3)]
        return tuple(sorted({1, *(s for s in steps if s < self.k), self.k}))

    @property
    def weights(self) -> tuple[float, ...]:
        """How much each level counts: its share of the j's, each given to the next level up.

        Examples
        --------
        >>> AnyK(64, k=4, levels=(1, 2, 4)).weights
        (0.25, 0.25, 0.5)
        """
        ends = self.ends
        return tuple((b - a) / self.k for a, b in zip((0, *ends), ends, strict=False))
