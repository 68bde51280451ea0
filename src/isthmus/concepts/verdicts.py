"""Which names are good enough: held against the names of other concepts on held-out passages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.columns import tidy
from isthmus.concepts.concept import NameScore
from isthmus.concepts.naming import Naming
from isthmus.concepts.proposals import Proposal
from isthmus.concepts.ranking import Postings, Strong
from isthmus.concepts.report import NameReport
from isthmus.metrics.bootstrap import bootstrap_mean

__all__ = ["Verdicts", "judged", "passing", "report_of"]

Array = NDArray[Any]
_POOL = 32
_FIRST = 10
_LEAST = 1000


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The score of each concept's proposed name, and whether it passed."""

    scores: list[NameScore | None]
    """Scores; None: there was nothing to score."""
    passed: NDArray[np.bool_]
    """Which names are good enough (N,)."""


def judged(
    proposals: list[Proposal | None],
    strong: Strong,
    postings: Postings,
    config: Naming,
) -> Verdicts:
    """Score proposed names on held-out passages.

    Each name ranks all passages (BM25 over its words; ties in expectation), and its average
    precision is that of finding the passages on which the concept is strong. The same is done
    with the names of ``shuffles`` other concepts that are strong about as often. ``p`` is the
    share of such shuffled precisions that are as high, over this concept and the 32 nearest in
    strong passages; where that makes fewer than 1,000, the precisions of names for passages drawn
    by lot fill up the number. A name passes if it beats the mean of its shuffles by ``margin``,
    if a word of it stands in a share ``fit`` of the ten strongest passages, and if Benjamini and
    Hochberg's procedure (1995) at the rate ``false`` keeps it.

    Parameters
    ----------
    proposals
        A proposed name a concept, or None.
    strong, postings
        Strong passages and words of the held-out part.
    """
    count = len(proposals)
    scorable = [
        j
        for j, proposal in enumerate(proposals)
        if proposal is not None and strong.counts[j] >= config.passages
    ]
    scores: list[NameScore | None] = [None] * count
    passed = np.zeros(count, dtype=np.bool_)
    if len(scorable) < 2:  # there is no other name to hold one against
        return Verdicts(scores, passed)
    order = np.array(scorable)[np.argsort(strong.counts[scorable], kind="stable")]
    others = _others(len(order), config)
    names = [() if p is None else p.words for p in proposals]
    owners = np.repeat(order, others.shape[1])
    own = postings.precisions(names, strong, np.column_stack([order, order]))
    pairs = np.column_stack([order[others].ravel(), owners])
    shuffled = postings.precisions(names, strong, pairs).reshape(others.shape)
    chance = postings.chance(strong)[order]
    lots = _by_lot(order, names, strong, postings, others.shape[1], config.seed)
    p = _tail(own, np.hstack([shuffled, lots]), chance)
    mean = shuffled.mean(axis=1)
    fit = np.array([postings.share_of(names[j], strong.first(j, _FIRST)) for j in order.tolist()])
    wide = (own - mean >= config.margin) & (fit >= config.fit)
    passed[order] = passing(p, config.false) & wide
    columns = (tidy(values).tolist() for values in (own, mean, chance, p, fit))
    for j, (a, b, c, d, e) in zip(order.tolist(), zip(*columns, strict=True), strict=True):
        scores[j] = NameScore(a, b, c, d, e, int(strong.counts[j]))
    return Verdicts(scores, passed)


def _others(count: int, config: Naming) -> Array:
    """Draw other places near each of ``count`` places in a row (count, shuffles)."""
    rng = np.random.default_rng([config.seed, 1])
    reach = min(count - 1, 2 * config.shuffles)
    start = np.clip(np.arange(count) - reach // 2, 0, count - 1 - reach)
    draws = min(config.shuffles, reach)
    # keys sorted: as many different ones as are wanted
    picked = np.argsort(rng.random((count, reach)), axis=1)[:, :draws] + start[:, None]
    return picked + (picked >= np.arange(count)[:, None])


def _by_lot(
    order: Array,
    names: list[tuple[int, ...]],
    strong: Strong,
    postings: Postings,
    shuffles: int,
    seed: int,
) -> NDArray[np.float64]:
    """Return precisions of names for as many random passages, where other names are too few."""
    pool = min(len(order), _POOL)
    rounds = max(0, -(-(_LEAST - pool * shuffles) // pool))
    rng = np.random.default_rng([seed, 3])
    found = np.zeros((len(order), rounds))
    own = np.column_stack([order, order])
    for column in range(rounds):
        rows = [rng.choice(postings.passages, n, replace=False) for n in strong.counts.tolist()]
        drawn = Strong(strong.indptr, np.concatenate(rows), strong.weights)
        found[:, column] = postings.precisions(names, drawn, own)
    return found


def _tail(own: Array, shuffled: Array, chance: Array) -> NDArray[np.float64]:
    """Share of pooled shuffles that do as well, both counted from chance to perfection."""
    above = (shuffled - chance[:, None]) / np.maximum(1 - chance[:, None], 1e-12)
    reached = (own - chance) / np.maximum(1 - chance, 1e-12)
    found = np.empty(len(own))
    for j in range(len(own)):
        first = int(np.clip(j - _POOL // 2, 0, max(len(own) - _POOL, 0)))
        pool = above[first : first + _POOL]
        found[j] = (1 + int((pool >= reached[j]).sum())) / (1 + pool.size)
    return found


def passing(p: Array, rate: float) -> NDArray[np.bool_]:
    """Keep hypotheses at a false-discovery rate.

    The largest k with ``p_(k) <= k rate / m`` and all smaller ones. Source: Benjamini and
    Hochberg, "Controlling the false discovery rate", 1995.

    Examples
    --------
    >>> passing(np.array([0.01, 0.04, 0.03, 0.5]), 0.05).tolist()
    [True, False, False, False]
    """
    order = np.argsort(p, kind="stable")
    ranked = np.asarray(p)[order] <= rate * np.arange(1, len(order) + 1) / max(len(order), 1)
    kept = np.zeros(len(order), dtype=np.bool_)
    if ranked.any():
        kept[order[: int(np.flatnonzero(ranked)[-1]) + 1]] = True
    return kept


def report_of(verdicts: Verdicts, alive: int, made: int, held: int, config: Naming) -> NameReport:
    """Sum up the verdicts on a dictionary's names."""
    scored = [score for score in verdicts.scores if score is not None]
    passed = [s for s, ok in zip(verdicts.scores, verdicts.passed, strict=True) if ok and s]
    own, other, chance = (
        np.array([getattr(score, name) for score in scored])
        for name in ("precision", "shuffled", "chance")
    )
    return NameReport(
        concepts=alive,
        scored=len(scored),
        named=len(passed),
        precision=bootstrap_mean(own, seed=config.seed) if scored else None,
        shuffled=float(other.mean()) if scored else 0.0,
        chance=float(chance.mean()) if scored else 0.0,
        difference=bootstrap_mean(own - other, seed=config.seed) if scored else None,
        named_precision=float(np.mean([s.precision for s in passed])) if passed else 0.0,
        made=made,
        held=held,
        margin=config.margin,
        fit=config.fit,
        false=config.false,
    )
