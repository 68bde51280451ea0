"""How good the names of a dictionary are, in figures and in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isthmus.metrics.bootstrap import BootstrapInterval

__all__ = ["NameReport"]


@dataclass(frozen=True)
class NameReport:
    """How good the names of a dictionary are, on passages that they were not made from."""

    concepts: int
    """Concepts that are active on any passage."""
    scored: int
    """Those whose proposed name could be scored: enough held-out passages, some word."""
    named: int
    """Those whose name passed."""
    precision: BootstrapInterval | None
    """Mean average precision of all proposed names that were scored, whether they passed or not,
    with its bootstrap interval over concepts; None: none was scored."""
    shuffled: float
    """The same of the names of other concepts that fire about as often, mean."""
    chance: float
    """The same of a ranking by lot, mean."""
    difference: BootstrapInterval | None
    """Precision less that of shuffled names, concept by concept."""
    named_precision: float
    """Mean average precision of the names that passed (chosen by that very score: a little too
    high)."""
    made: int
    """Passages that names were made from."""
    held: int
    """Passages that they were scored on."""
    margin: float
    """Average precision by which a name had to beat shuffled ones."""
    fit: float
    """Share of the ten strongest held-out passages that had to hold a word of it."""
    false: float
    """Share of the names that may have passed by luck."""

    @property
    def share(self) -> float:
        """Share of the active concepts that have a name."""
        return self.named / self.concepts if self.concepts else 0.0

    def describe(self) -> str:
        """Say it in a sentence."""
        if self.precision is None or self.difference is None:
            return f"none of {self.concepts} concepts could be named: too few held-out passages"
        low, high = self.precision.low, self.precision.high
        return (
            f"{self.named} of {self.concepts} concepts named ({self.share:.0%}); on {self.held} "
            f"held-out passages names rank with a mean average precision of "
            f"{self.precision.value:.3f} [{low:.3f}, {high:.3f}], shuffled names "
            f"{self.shuffled:.3f}, chance {self.chance:.3f}"
        )
