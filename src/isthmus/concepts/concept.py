"""What is known of a concept: numbers, examples, words, relatives, and a name with its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "CoFiring",
    "Concept",
    "Example",
    "NameScore",
    "Neighbour",
    "Origin",
    "Statistics",
    "Word",
]

Origin = Literal["rule", "user", "model"]
"""Who gave a name: the rule of this package, a person, or a language model."""


class Example(NamedTuple):
    """A passage on which a concept is active."""

    row: int
    """Number of the passage."""
    activation: float
    """How strongly."""


class Word(NamedTuple):
    """A word that sets the passages of a concept apart from the rest of the corpus."""

    text: str
    """The word as it is mostly written."""
    weight: float
    """Its log-odds in units of their standard deviation (`isthmus.concepts.keywords`)."""
    passages: int
    """The strong passages of the naming part that hold it."""


class Neighbour(NamedTuple):
    """Another concept of nearly the same direction."""

    id: int
    """The other concept."""
    cosine: float
    """Cosine of the two decoder rows."""
    correlation: float
    """Pearson correlation of the two activations over all passages."""


class CoFiring(NamedTuple):
    """Another concept that is active on the same passages more often than by chance."""

    id: int
    """The other concept."""
    passages: int
    """Passages on which both are active."""
    lift: float
    """Those over the number expected if the two were independent."""
    pmi: float
    """Pointwise mutual information in bits, log2 of `lift`."""


@dataclass(frozen=True)
class NameScore:
    """How well a name alone finds the passages of its concept among held-out ones."""

    precision: float
    """Average precision of the name's own ranking of the held-out passages."""
    shuffled: float
    """The same, mean over names of other concepts that fire about as often."""
    chance: float
    """The same of a ranking by lot."""
    p: float
    """Probability that a shuffled name does as well."""
    fit: float
    """Share of the ten held-out passages on which the concept is strongest that hold a word of
    the name."""
    passages: int
    """Held-out passages that were to be found: those on which the concept is strong."""
    direction: float | None = None
    """Share of all other names whose embedding lies less along the concept's direction; None:
    names were not embedded."""


@dataclass(frozen=True)
class Statistics:
    """How a concept is active over the passages."""

    passages: int
    """Passages on which it is active."""
    rate: float
    """Their share of all passages."""
    mean: float
    """Mean activation where it is active; 0 if it is dead."""
    max: float
    """Largest activation."""
    quantiles: tuple[float, float, float, float, float]
    """5 %, 25 %, 50 %, 75 % and 95 % quantile of the activations where it is active."""
    histogram: tuple[int, ...]
    """Passages by activation, in bins of equal width from 0 to `max`."""


@dataclass(frozen=True)
class Concept:
    """A latent of a dictionary with what makes it readable."""

    id: int
    """Number of the latent."""
    statistics: Statistics
    """How it is active."""
    name: str | None = None
    """Its name; None: none that could be trusted."""
    origin: Origin | None = None
    """Who gave the name."""
    score: NameScore | None = None
    """The score of the name, or of `proposed` where that was refused; None: none was measured."""
    proposed: str | None = None
    """What the rule would call it, whether or not that scored well enough to be its name."""
    words: tuple[Word, ...] = ()
    """The words that set it apart, the most telling first."""
    top: tuple[Example, ...] = ()
    """The passages on which it is strongest."""
    middle: tuple[Example, ...] = ()
    """Passages about the median of its activations."""
    low: tuple[Example, ...] = ()
    """Passages about the 10 % quantile of its activations."""
    near: tuple[Neighbour, ...] = ()
    """Concepts of nearly the same direction, the nearest first."""
    together: tuple[CoFiring, ...] = ()
    """Concepts that are active along with it."""
    parent: int | None = None
    """The concept of which it is a special case."""
    children: tuple[int, ...] = ()
    """Its own special cases."""
    stability: float | None = None
    """Mean cosine of its direction with its best match in other trainings; None: not measured."""
    hidden: bool = False
    """Whether a person asked not to see it."""
    note: str = ""
    """What a person noted about it."""

    @property
    def dead(self) -> bool:
        """Whether it is active on no passage."""
        return self.statistics.passages == 0

    @property
    def label(self) -> str:
        """The name, or the number after a "#" where there is none."""
        return self.name if self.name is not None else f"#{self.id}"
