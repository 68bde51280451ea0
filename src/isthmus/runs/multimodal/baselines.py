"""What any model must beat at retrieval, and the bound that it can't: the ladder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.multimodal import MultimodalData
from isthmus.metrics.multimodal import (
    Canonical,
    CrossRetrieval,
    Principal,
    canonical,
    cosines,
    principal,
    ridge,
    scored_retrieval,
)
from isthmus.runs.multimodal.judge import Judge

__all__ = ["BASELINES", "Asked", "Ladder", "asked_items", "asked_pair", "features_of", "ladder"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
BASELINES = ("random", "paired", "cca", "ridge", "oracle")
"""The ladder's rungs: random codes; the nearest training item and what it is paired with;
canonical correlation on principal components; ridge regression between separate codes; two
supervised classifiers, scored by the product of their probabilities."""
_PAIRS = 10_000
_CELLS = 20_000_000  # similarities that are held at once: 160 MB


@dataclass(frozen=True, eq=False)
class Asked:
    """The test items of a modality."""

    rows: Labels
    """Their numbers."""
    labels: Labels
    """Their classes, none unknown."""
    groups: Labels | None
    """What the interval resamples (speakers), or None: each item by itself."""


def asked_items(data: MultimodalData, name: str, most: int = 10_000) -> Asked:
    """Return the test items of a modality whose class is known, at most so many, evenly spread."""
    modality = data[name]
    rows = modality.rows("test")
    rows = rows[modality.labels[rows] >= 0]
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    groups = next((v[rows] for v in modality.factors.values() if len(np.unique(v[rows])) > 1), None)
    return Asked(rows, modality.labels[rows], groups)


def asked_pair(
    data: MultimodalData, one: str, other: str, most: int = 10_000
) -> tuple[Asked, Asked]:
    """Return the test items of two modalities, fewer of both where all pairs would be too many."""
    left, right = asked_items(data, one, most), asked_items(data, other, most)
    if len(left.rows) * len(right.rows) <= _CELLS:
        return left, right
    least = min(len(left.rows), len(right.rows), int(_CELLS**0.5))
    most = max(least, _CELLS // least)
    return asked_items(data, one, most), asked_items(data, other, most)


def features_of(data: MultimodalData, name: str, rows: Labels) -> Floats:
    """Return items as flat rows of numbers, symbols as one-hot, float64 (n, D)."""
    modality = data[name]
    items = modality.items[torch.from_numpy(rows)]
    if not items.is_floating_point():
        count = int(modality.items.max()) + 1
        items = torch.nn.functional.one_hot(items, count).float()
    return items.flatten(1).double().numpy()


Codes = Callable[[str, Labels], Floats]
"""Codes of some items of a modality, by its name and their numbers."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """The scores of every rung in every direction."""

    scores: Mapping[str, Mapping[str, CrossRetrieval]]
    """By direction (``image->audio``) and rung."""

    def of(self, direction: str) -> dict[str, float]:
        """Return mAP of each rung in a direction."""
        return {rung: found.map for rung, found in self.scores[direction].items()}


def ladder(
    data: MultimodalData,
    oracle: Mapping[str, Judge] | None = None,
    *,
    separate: Codes | None = None,
    components: int = 100,
    directions: int = 9,
    most: int = 10_000,
    seed: int = 0,
) -> Ladder:
    """Score the baselines of retrieval between all modalities.

    Everything is fitted to training items and pairs.

    Parameters
    ----------
    oracle
        Supervised classifiers by modality, which give the bound; None leaves it out.
    separate
        Codes of autoencoders that were trained apart, for the ridge rung; default: principal
        components, the best linear autoencoder.
    components
        Principal components.
    directions
        Canonical directions: with ten classes, nine can tell them apart.
    most
        Test items of a modality.
    seed
        Of random codes, and of the training pairs drawn.

    Raises
    ------
    DataError
        If classes are unknown.
    """
    table = data.table("train", seed)[:_PAIRS]
    rungs = _Rungs(data, table, components, separate)
    generator = np.random.default_rng(seed)
    found: dict[str, dict[str, CrossRetrieval]] = {}
    for one in data.names:
        for other in data.names:
            if one == other:
                continue
            left, right = asked_pair(data, one, other, most)
            noise = generator.standard_normal((len(left.rows), len(right.rows)))
            scores = {"random": noise}
            scores |= rungs.scores(one, other, left.rows, right.rows, directions)
            if oracle is not None:
                scores["oracle"] = _oracle(data, oracle, one, other, left.rows, right.rows)
            found[f"{one}->{other}"] = {
                rung: scored_retrieval(
                    values, left.labels, right.labels, groups=left.groups, seed=seed
                )
                for rung, values in scores.items()
            }
    return Ladder(found)


def _oracle(
    data: MultimodalData,
    oracle: Mapping[str, Judge],
    one: str,
    other: str,
    left: Labels,
    right: Labels,
) -> Floats:
    """Return ``<p(y | x), p(y | x')>`` of two supervised classifiers."""
    sides = [
        oracle[name].probabilities(data[name].items[torch.from_numpy(rows)])
        for name, rows in ((one, left), (other, right))
    ]
    return np.round(sides[0] @ sides[1].T, 12)


class _Rungs:
    """What is fitted once to training items and used in several directions."""

    def __init__(
        self, data: MultimodalData, table: Labels, components: int, separate: Codes | None
    ) -> None:
        self.data, self.table, self.components = data, table, components
        self.maps: dict[str, Principal] = {}
        self.separate = separate or self.coordinates
        self._canonical: dict[tuple[str, str], Canonical] = {}

    def coordinates(self, name: str, rows: Labels) -> Floats:
        """Return principal coordinates of items."""
        if name not in self.maps:
            train = self.data[name].rows("train")[
                :: max(1, len(self.data[name].rows("train")) // _PAIRS)
            ]
            self.maps[name] = principal(
                features_of(self.data, name, train), self.components, limit=_PAIRS
            )
        return self.maps[name](features_of(self.data, name, rows))

    def scores(
        self, one: str, other: str, left: Labels, right: Labels, directions: int
    ) -> dict[str, Floats]:
        i, j = self.data.names.index(one), self.data.names.index(other)
        pairs = self.table[(self.table[:, i] >= 0) & (self.table[:, j] >= 0)]
        if len(pairs) < 2:
            return {}
        a, b = pairs[:, i], pairs[:, j]
        return {
            "paired": self._paired(one, other, (a, b), left, right),
            "cca": self._correlated(one, other, (a, b), left, right, directions),
            "ridge": self._ridged(one, other, (a, b), left, right),
        }

    def _paired(
        self, one: str, other: str, pairs: tuple[Labels, Labels], left: Labels, right: Labels
    ) -> Floats:
        """Return the cosine of gallery items with what the nearest training item is paired with."""
        from isthmus.metrics.neighbours import nearest

        known, index = np.unique(pairs[0], return_index=True)
        close = nearest(self.coordinates(one, known), self.coordinates(one, left), 1)
        partner = pairs[1][index][close.index[:, 0]]
        middle = self.coordinates(other, partner)
        return cosines(middle, self.coordinates(other, right))

    def _correlated(
        self,
        one: str,
        other: str,
        pairs: tuple[Labels, Labels],
        left: Labels,
        right: Labels,
        directions: int,
    ) -> Floats:
        if (one, other) not in self._canonical:
            sides = self.coordinates(one, pairs[0]), self.coordinates(other, pairs[1])
            self._canonical[one, other] = canonical(*sides, directions)
        found = self._canonical[one, other]
        return cosines(
            found.of_left(self.coordinates(one, left)),
            found.of_right(self.coordinates(other, right)),
        )

    def _ridged(
        self, one: str, other: str, pairs: tuple[Labels, Labels], left: Labels, right: Labels
    ) -> Floats:
        """Map the codes of one modality to those of the other, each brought to unit scale."""
        inputs, outputs = self.separate(one, pairs[0]), self.separate(other, pairs[1])
        middle, about = inputs.mean(axis=0), outputs.mean(axis=0)
        width, scale = inputs.std(axis=0) + 1e-9, outputs.std(axis=0) + 1e-9
        weights, offset = ridge((inputs - middle) / width, (outputs - about) / scale)
        made = (self.separate(one, left) - middle) / width @ weights + offset
        return cosines(made, (self.separate(other, right) - about) / scale)
