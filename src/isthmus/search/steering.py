"""Steering: concepts of a query turned up, turned down or taken out, before the search.

A change is in units of the query: 1 adds to a concept what the query's strongest concept has,
-1 takes as much away, so that the same change means the same for every query. What is taken away
may go below zero: passages with the concept then lose by it. A concept can also be removed, which
is not the same: the query then says nothing about it.

Steering changes a query and is none by itself: with negative weights alone, a search would find
nothing but the passages that have what is not wanted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError

__all__ = ["Moved", "Steering", "steered", "without_directions"]

_STEP = 1.0


@dataclass(frozen=True)
class Moved:
    """A concept of the query that steering changed."""

    id: int
    """The concept."""
    before: float
    """Its activation in the query's own code."""
    after: float
    """The activation that was searched with."""


@dataclass(frozen=True)
class Steering:
    """What is to be changed about a query, by the concepts' numbers."""

    change: Mapping[int, float] = field(default_factory=dict)
    """What is added to each, in units of the query's strongest concept; negative for less."""
    remove: frozenset[int] = frozenset()
    """Concepts about which the query shall say nothing."""

    def __post_init__(self) -> None:
        for concept, amount in self.change.items():
            if not math.isfinite(amount):
                raise ConfigError(f"concept #{concept} can't be changed by {amount}")
        both = self.remove & set(self.change)
        if both:
            raise ConfigError(
                f"concept #{min(both)} is both changed and removed", fix="do one of the two"
            )

    def __bool__(self) -> bool:
        return bool(self.change or self.remove)

    @classmethod
    def of(
        cls, more: Iterable[int] = (), less: Iterable[int] = (), without: Iterable[int] = ()
    ) -> Steering:
        """Make a steering of steps: one up for each mention, one down, or removal.

        Examples
        --------
        >>> Steering.of(more=[3, 3], less=[5])
        Steering(change={3: 2.0, 5: -1.0}, remove=frozenset())
        """
        change: dict[int, float] = {}
        for concepts, step in ((more, _STEP), (less, -_STEP)):
            for concept in concepts:
                change[concept] = change.get(concept, 0.0) + step
        return cls({c: amount for c, amount in change.items() if amount}, frozenset(without))


def steered(
    concepts: NDArray[np.int64], activations: NDArray[np.float64], steering: Steering
) -> tuple[NDArray[np.int64], NDArray[np.float64], tuple[Moved, ...]]:
    """Change a query's code.

    Parameters
    ----------
    concepts, activations
        The query's active concepts (K,), rising, and how active they are.
    steering
        What to change.

    Returns
    -------
    tuple
        Concepts (L,), rising, their activations, none of them zero, and what moved.

    Examples
    --------
    >>> found = steered(np.array([2, 7]), np.array([0.5, 0.2]), Steering({7: 1, 9: -1}))
    >>> found[0].tolist(), found[1].round(3).tolist()
    ([2, 7, 9], [0.5, 0.7, -0.5])
    """
    unit = float(activations.max(initial=0.0)) or 1.0
    code = dict(zip(concepts.tolist(), activations.tolist(), strict=True))
    moved = []
    for concept in sorted({*steering.change, *steering.remove}):
        before = code.get(concept, 0.0)
        after = 0.0 if concept in steering.remove else before + unit * steering.change[concept]
        code[concept] = after
        moved.append(Moved(concept, before, after))
    kept = sorted((concept, value) for concept, value in code.items() if value != 0)
    ids = np.array([concept for concept, _ in kept], np.int64)
    return ids, np.array([value for _, value in kept], np.float64), tuple(moved)


def without_directions(
    vector: NDArray[np.float64], directions_SD: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what is left of a query's vector (D,) beside the removed concepts' directions (S, D).

    The nearest vector that is at right angles to all of them: none adds to a product with it.

    Examples
    --------
    >>> without_directions(np.array([3.0, 4.0]), np.array([[0.0, 2.0]])).round(9).tolist()
    [3.0, 0.0]
    """
    if not len(directions_SD):
        return vector
    parts, sizes, _ = np.linalg.svd(directions_SD.T, full_matrices=False)
    basis = parts[:, sizes > 1e-9 * sizes.max(initial=0.0)]
    left = vector - basis @ (basis.T @ vector)
    left = left - basis @ (basis.T @ left)  # once more, for what rounding left
    gone = np.linalg.norm(left) <= 1e-9 * np.linalg.norm(vector)
    return np.zeros_like(left) if gone else left
