"""From a dictionary's codes and its passages to concepts: everything at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from isthmus.concepts.columns import columns_of, examples_of, statistics_of
from isthmus.concepts.concept import Concept
from isthmus.concepts.families import children_of
from isthmus.concepts.naming import Naming
from isthmus.concepts.passages import Passages
from isthmus.concepts.relations import Relating, relations_of
from isthmus.concepts.table import Concepts
from isthmus.concepts.working import Embed, Workings, named
from isthmus.errors import ConfigError
from isthmus.metrics.sparse_codes import Codes

__all__ = ["Describing", "describe"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Describing:
    """What is worked out about concepts, and how much of it is kept."""

    examples: int = 8
    """Examples from each of the top, the middle and the low part of a concept's range."""
    words: int = 10
    """Words that set a concept apart, kept."""
    bins: int = 20
    """Bins of a concept's histogram."""
    relating: Relating = field(default_factory=Relating)
    """When concepts count as related."""
    naming: Naming = field(default_factory=Naming)
    """How they are named."""

    def __post_init__(self) -> None:
        for name in ("examples", "words", "bins"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")


def describe(
    codes: Codes,
    passages: Passages | None = None,
    *,
    decoder: Array | None = None,
    embed: Embed | None = None,
    config: Describing | None = None,
    progress: Callable[[str], None] | None = None,
) -> Concepts:
    """Make a dictionary readable: statistics, examples, words, names, relatives of its concepts.

    Parameters
    ----------
    codes
        Codes of P passages (P, N); what is not above zero counts as not active.
    passages
        What the passages say; None: no concept gets words or a name.
    decoder
        Directions (N, D), for near-duplicates; None: those are left out.
    embed
        Turns names into vectors (n, D) of the space of the decoder; then each score says how well
        the name points along its concept, too.
    config
        Settings; None: the defaults.
    progress
        Told what is being done, in a few words.

    Returns
    -------
    Concepts
        All N concepts, those that are never active included, and a report on the names.

    Raises
    ------
    DataError
        If there is no passage, or codes, decoder and passages do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0.9, 0.0], [0.8, 0.2], [0.0, 0.5], [0.7, 0.0]])
    >>> concepts = describe(codes)
    >>> concepts[0].statistics.passages, [example.row for example in concepts[0].top]
    (3, [0, 1, 3])
    """
    config, tell = config or Describing(), progress or _silent
    columns = columns_of(codes)
    work = None if passages is None else Workings.of(columns, passages, config.naming)
    tell("statistics and examples")
    statistics = statistics_of(columns, config.bins)
    examples = examples_of(columns, config.examples)
    tell("relations between concepts")
    relations = relations_of(columns, decoder, config.relating)
    children = children_of(relations.parent, columns.counts)
    found = None
    if work is not None:
        tell("words and names")
        options: dict[str, Any] = {"words": config.words, "decoder": decoder, "embed": embed}
        found = named(work, config.naming, **options)
    concepts = [
        Concept(
            j,
            statistics[j],
            top=tuple(top),
            middle=tuple(middle),
            low=tuple(low),
            near=relations.near[j],
            together=relations.together[j],
            parent=int(relations.parent[j]) if relations.parent[j] >= 0 else None,
            children=tuple(children[j]),
            **({} if found is None else found.of(j)),
        )
        for j, (top, middle, low) in enumerate(examples)
    ]
    return Concepts(concepts, columns.passages, None if found is None else found.report)


def _silent(_: str) -> None:
    """Tell nobody."""
