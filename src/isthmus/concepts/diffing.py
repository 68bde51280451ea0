"""Two dictionaries held against each other: what was kept, split, merged, is new, is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.concepts.activity import Activity
from isthmus.concepts.pieces import Pieces, assembled
from isthmus.concepts.thresholds import chance_cosine
from isthmus.errors import ConfigError
from isthmus.metrics.arrays import Array, Floats
from isthmus.metrics.coherence import unit_rows
from isthmus.metrics.sparse_codes import Codes
from isthmus.metrics.stability import match_decoders

__all__ = ["DictionaryDiff", "Diffing", "Kept", "Merged", "Split", "diff"]


@dataclass(frozen=True)
class Diffing:
    """When a concept counts as the same, or as the sum of others."""

    cosine: float = 0.7
    """Cosine from which two matched directions are the same concept; never below what a random
    dictionary reaches (its 99.9 % quantile)."""
    correlation: float = 0.5
    """Correlation of their activations from which they are, where codes are given."""
    part: float = 0.3
    """Cosine from which a direction may be a part of another."""
    parts: int = 4
    """Parts of a concept at most."""
    coverage: float = 0.5
    """Share of a concept's passages on which one of its parts must be active, and mean share of
    the parts' passages on which the concept must, where codes are given; both beyond chance:
    0 is what independence gives, 1 is all."""
    signed: bool = True
    """Whether opposite directions differ."""
    seed: int = 0
    """Seed of the random directions."""

    def __post_init__(self) -> None:
        for name in ("cosine", "correlation", "part", "coverage"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be above 0 and at most 1")
        if self.parts < 2:
            raise ConfigError("what is split has at least two parts", why=f"parts={self.parts}")


@dataclass(frozen=True)
class Kept:
    """A concept that both dictionaries have."""

    a: int
    """Its number in A."""
    b: int
    """Its number in B."""
    cosine: float
    """Cosine of the two directions."""
    correlation: float | None = None
    """Correlation of the two activations; None without codes."""
    jaccard: float | None = None
    """Passages on which both are active over those on which either is; None without codes."""


@dataclass(frozen=True)
class Split:
    """A concept of A that is several of B."""

    a: int
    """Its number in A."""
    b: tuple[int, ...]
    """Its parts in B, the largest share first."""
    cosine: float
    """Cosine of its direction with the best non-negative sum of theirs."""
    coverage: float | None = None
    """Share of its passages on which a part is active; None without codes."""


@dataclass(frozen=True)
class Merged:
    """Several concepts of A that are one of B."""

    a: tuple[int, ...]
    """Their numbers in A, the largest share first."""
    b: int
    """Its number in B."""
    cosine: float
    """Cosine of its direction with the best non-negative sum of theirs."""
    coverage: float | None = None
    """Share of its passages on which one of them is active; None without codes."""


@dataclass(frozen=True, eq=False)
class DictionaryDiff:
    """What became of the concepts of dictionary A in dictionary B."""

    kept: tuple[Kept, ...]
    """Concepts of both."""
    split: tuple[Split, ...]
    """Concepts of A that are several of B."""
    merged: tuple[Merged, ...]
    """Concepts of B that are several of A."""
    new: tuple[int, ...]
    """Concepts of B that A has not, not even in parts."""
    lost: tuple[int, ...]
    """Concepts of A that B has not, not even in parts."""
    sizes: tuple[int, int]
    """Concepts of A and of B, without rows of zeros."""
    cosine: float
    """Cosine from which concepts counted as kept."""
    sum_cosine: float
    """Cosine from which a sum of parts counted as the concept."""
    chance: float
    """Cosine that random directions hardly reach."""

    def summary(self) -> str:
        """Say it in a sentence.

        Examples
        --------
        >>> diff(np.eye(3), np.eye(3)[:2]).summary()
        '2 of 3 concepts kept (67%), 0 split, 0 merged into 0, 1 lost; 0 new of 2'
        """
        sources = sum(len(merged.a) for merged in self.merged)
        share = len(self.kept) / self.sizes[0]
        return (
            f"{len(self.kept)} of {self.sizes[0]} concepts kept ({share:.0%}), "
            f"{len(self.split)} split, {sources} merged into {len(self.merged)}, "
            f"{len(self.lost)} lost; {len(self.new)} new of {self.sizes[1]}"
        )


def diff(
    a_ND: Array,
    b_MD: Array,
    codes_a: Codes | None = None,
    codes_b: Codes | None = None,
    config: Diffing | None = None,
) -> DictionaryDiff:
    """Match the concepts of two dictionaries.

    1. Kept: pairs of the one-to-one matching with the largest summed cosine (Hungarian; greedy
       for very large ones) whose cosine and, with codes, correlation are high enough.
    2. Split: a concept left over in A whose direction is a non-negative sum of two or more left
       over in B; merged: the same with A and B exchanged. Each part must have cosine ``part``
       with the whole, and the sum ``sum_cosine`` (``cosine``, or what sums of random directions
       hardly reach where that is more). With codes the parts must also be active where the whole
       is, and the whole where they are.
    3. Everything else is lost or new.

    Parameters
    ----------
    a_ND, b_MD
        Two decoders over the same space.
    codes_a, codes_b
        Codes of the same P passages by each (P, N) and (P, M); None: directions alone decide.
    config
        Thresholds; None: the defaults.

    Raises
    ------
    ConfigError
        If only one kind of codes is given.
    DataError
        If widths differ, a side has no direction, or codes do not fit.
    """
    config = config or Diffing()
    if (codes_a is None) != (codes_b is None):
        raise ConfigError("give codes of both dictionaries over the same passages, or of none")
    (_, a_rows), (_, b_rows) = unit_rows(a_ND, "A"), unit_rows(b_MD, "B")
    matching = match_decoders(a_ND, b_MD, signed=config.signed)
    chance = chance_cosine(a_ND, b_MD, signed=config.signed, seed=config.seed)
    threshold = max(config.cosine, min(chance, 1.0))
    activity = None
    if codes_a is not None and codes_b is not None:
        activity = Activity.of(codes_a, codes_b, len(a_ND), len(b_MD))
    kept = _kept(matching.a, matching.b, matching.cosine, threshold, activity, config)
    left_a = np.setdiff1d(a_rows, [pair.a for pair in kept])
    left_b = np.setdiff1d(b_rows, [pair.b for pair in kept])
    split = assembled(a_ND, b_MD, left_a, left_b, config, threshold)
    merged = assembled(b_MD, a_ND, left_b, left_a, config, threshold)
    flipped = None if activity is None else Activity(activity.b, activity.a)
    splits = _covered(split, activity, config)
    merges = _covered(merged, flipped, config)
    gone = {whole for whole, *_ in splits} | {j for _, parts, *_ in merges for j in parts}
    come = {whole for whole, *_ in merges} | {j for _, parts, *_ in splits for j in parts}
    return DictionaryDiff(
        tuple(kept),
        tuple(Split(*found) for found in splits),
        tuple(Merged(parts, whole, cosine, share) for whole, parts, cosine, share in merges),
        tuple(j for j in left_b.tolist() if j not in come),
        tuple(j for j in left_a.tolist() if j not in gone),
        (len(a_rows), len(b_rows)),
        threshold,
        max(split.threshold, merged.threshold),
        chance,
    )


def _kept(
    a: Array,
    b: Array,
    cosine: Floats,
    threshold: float,
    activity: Activity | None,
    config: Diffing,
) -> list[Kept]:
    near = cosine >= threshold - 1e-9
    a, b, cosine = a[near], b[near], cosine[near]
    if activity is None:
        rows = zip(a.tolist(), b.tolist(), cosine.tolist(), strict=True)
        return [Kept(i, j, value) for i, j, value in rows]
    correlation, jaccard = activity.pairs(a, b)
    columns = (v.tolist() for v in (a, b, cosine, correlation, jaccard))
    return [
        Kept(i, j, value, same, over)
        for i, j, value, same, over in zip(*columns, strict=True)
        if same >= config.correlation
    ]


def _covered(
    pieces: Pieces, activity: Activity | None, config: Diffing
) -> list[tuple[int, tuple[int, ...], float, float | None]]:
    """Drop sums whose parts are active elsewhere."""
    found: list[tuple[int, tuple[int, ...], float, float | None]] = []
    for whole, parts, cosine in pieces.found:
        if activity is None:
            found.append((whole, parts, cosine, None))
            continue
        share, beyond = activity.coverage(whole, parts)
        if beyond >= config.coverage:
            found.append((whole, parts, cosine, share))
    return found
