"""The Matryoshka bottleneck: every prefix of the dictionary is a dictionary of its own."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.bottlenecks.base import positive
from isthmus.bottlenecks.linear_only import LinearOnly
from isthmus.errors import ConfigError

__all__ = ["Matryoshka"]


@dataclass(frozen=True)
class Matryoshka(LinearOnly):
    """BatchTopK over all latents, with the squared error of every prefix in the loss.

    With prefixes m_1 < ... < m_L = N and one selection of the k x B largest activations,

        loss = sum_l w_l ||x - (a[:m_l] D[:m_l] + c)||^2,    sum_l w_l = 1.

    General concepts come to stand in the first prefixes and stay whole when the dictionary
    grows. Source: Bussmann et al., "Learning multi-level features with Matryoshka sparse
    autoencoders", arXiv:2503.17547. Equal weights make small prefixes hedge: they fold several
    concepts into one latent (Chanin et al., arXiv:2505.11756); ``balance`` below 1 gives later
    prefixes more. The weights sum to 1, so that a learning rate means the same with any number
    of prefixes.
    """

    k: int = 32
    """Mean number of active latents of a sample."""
    prefixes: tuple[int, ...] = ()
    """Sizes of the prefixes, rising, the last all latents; by default N/16, N/8, ..., N."""
    balance: float = 0.75
    """Weight of each prefix relative to the next larger one."""
    memory: float = 0.99
    """Share of the running threshold kept at each step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(k=self.k, balance=self.balance)
        if self.k > self.latent:
            raise ConfigError(f"k = {self.k} is larger than the number of latents, {self.latent}")
        ends = self.ends
        if any(b <= a for a, b in zip((0, *ends), ends, strict=False)) or ends[-1] != self.latent:
            raise ConfigError(
                f"the prefixes must rise from above 0 to all {self.latent} latents, not {ends}"
            )

    @property
    def ends(self) -> tuple[int, ...]:
        """The sizes of the prefixes in force."""
        return self.prefixes or tuple(sorted({max(1, self.latent >> shift) for shift in range(5)}))

    @property
    def weights(self) -> tuple[float, ...]:
        """How much each prefix' squared error counts.

        Examples
        --------
        >>> [round(w, 3) for w in Matryoshka(64, k=4, prefixes=(16, 64), balance=0.5).weights]
        [0.333, 0.667]
        """
        raw = [self.balance ** (len(self.ends) - 1 - i) for i in range(len(self.ends))]
        return tuple(w / sum(raw) for w in raw)
