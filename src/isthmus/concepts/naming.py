"""Names without a language model: made on one part of the passages, scored on the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.columns import Columns
from isthmus.concepts.loops import distinctive_words, strong_levels
from isthmus.concepts.ranking import Postings, Strong, postings_of
from isthmus.errors import ConfigError, DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Keywords", "Naming", "Parts", "keywords_of", "parts_of", "strong_passages"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Naming:
    """How concepts are named, and when a name is good enough."""

    strong: float = 0.5
    """Share of its full activation (the mean of its ten largest of the naming part) from which a
    concept is strong on a passage: names are to find these passages."""
    candidates: int = 16
    """Words that a name is chosen from."""
    most: int = 3
    """Words or phrases of a name."""
    gain: float = 1.15
    """Factor by which every further word must raise the precision on the naming part."""
    rare: int = 3
    """Passages of the naming part that must hold a word at least."""
    common: float = 0.2
    """Share of the naming part's passages that may hold a word at most."""
    share: float = 0.06
    """Share of the strong passages that must hold a word at least, and never fewer than two."""
    prior: float = 500.0
    """Words that the prior of the log-odds is worth."""
    strongest: int = 256
    """Passages of a concept that its words are drawn from, the strongest."""
    passages: int = 5
    """Held-out passages that a concept must be strong on for its name to be scored."""
    shuffles: int = 50
    """Names of other concepts that each name is held against."""
    margin: float = 0.1
    """Average precision by which a name must beat the mean of those."""
    fit: float = 0.3
    """Share of its ten strongest held-out passages that must hold a word of the name."""
    false: float = 0.01
    """Share of names that may have passed by luck (Benjamini-Hochberg)."""
    seed: int = 0
    """Seed of the split and of the shuffles."""

    def __post_init__(self) -> None:
        for name in ("strong", "common", "false"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share above 0, not {getattr(self, name)}")
        for name in ("candidates", "most", "rare", "strongest", "passages", "shuffles"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.gain < 1 or not self.prior > 0:
            raise ConfigError("gain must be at least 1, and prior above 0")
        for name in ("margin", "share", "fit"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Parts:
    """Passages apart: some that names are made from, the others that they are scored on."""

    made: NDArray[np.int64]
    """Rows of the naming part, rising."""
    held: NDArray[np.int64]
    """Rows held out, rising."""


def parts_of(counts: csr_array, seed: int = 0, groups: Sequence[object] | None = None) -> Parts:
    """Split passages in halves by a hash of what they say.

    Passages with the same words, or of the same group, are never on both sides; what others the
    corpus holds does not matter, so that a passage stays where it is when the corpus grows.

    Parameters
    ----------
    counts
        Word counts (P, V).
    groups
        What each passage belongs to (its document's id); None: each to itself.

    Raises
    ------
    DataError
        If there is not one group a passage.
    """
    passages = counts.shape[0]
    if groups is not None:
        if len(groups) != passages:
            raise DataError("every passage needs its group", why=f"{len(groups)} for {passages}")
        known = {group: _hash_of(str(group)) for group in dict.fromkeys(groups)}
        keys = np.array([known[group] for group in groups], dtype=np.uint64)
    else:
        keys = _bags(counts)
    with np.errstate(over="ignore"):
        side = _mixed(keys + np.uint64(seed % 2**64)) >> np.uint64(63)
    return Parts(np.flatnonzero(side == 0), np.flatnonzero(side == 1))


def _hash_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers (Steele, Lea and Flood, splitmix64, 2014)."""
    with np.errstate(over="ignore"):
        z = keys + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


def _bags(counts: csr_array) -> NDArray[np.uint64]:
    """Return a number for each passage that depends on its words alone; empty ones: their row."""
    words = _mixed(np.arange(counts.shape[1], dtype=np.uint64))
    with np.errstate(over="ignore"):
        terms = words[counts.indices] * counts.data.astype(np.uint64)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
        keys = sums[counts.indptr[1:]] - sums[counts.indptr[:-1]]
    empty = np.diff(counts.indptr) == 0
    keys[empty] = np.flatnonzero(empty).astype(np.uint64)
    return np.asarray(keys)


def strong_passages(columns: Columns, parts: Parts, config: Naming) -> tuple[Strong, Strong]:
    """Return where each concept is strong: in the naming part, and in the held-out part.

    The level is learned on the naming part alone.
    """
    made = np.zeros(columns.passages, dtype=np.bool_)
    made[parts.made] = True
    level = np.zeros(columns.latents)
    strong_levels(columns.indptr, columns.rows, columns.values, made, 10, level)
    owner = np.repeat(np.arange(columns.latents), columns.counts)
    full = level[owner]
    strong = columns.values >= config.strong * full
    place = np.zeros(columns.passages, dtype=np.int64)
    found = []
    for rows, inside in ((parts.made, made), (parts.held, ~made)):
        place[rows] = np.arange(len(rows))
        kept = np.flatnonzero(strong & inside[columns.rows])
        counts = np.bincount(owner[kept], minlength=columns.latents)
        found.append(
            Strong(
                np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
                place[columns.rows[kept]],
                np.minimum(columns.values[kept] / full[kept], 1.0),
            )
        )
    return found[0], found[1]


@dataclass(frozen=True, eq=False)
class Keywords:
    """The words that set each concept apart, by falling score; -1 where there are no more."""

    words: NDArray[np.int64]
    """Words by number (N, C)."""
    scores: NDArray[np.float64]
    """Their log-odds over the standard deviation (N, C)."""
    passages: NDArray[np.int64]
    """Strong passages that hold them (N, C)."""


def keywords_of(counts: csr_array, strong: Strong, config: Naming) -> Keywords:
    """Score the words of each concept's strong passages against those of all the other passages.

    With counts y weighted by activation inside (n in all), Y in the rest (m in all) and a prior
    ``a_w`` proportional to the word's frequency in the corpus (``a`` in all):

        z = [ln (y + a_w) / (n + a - y - a_w)  -  ln (Y + a_w) / (m + a - Y - a_w)]
            / sqrt(1 / (y + a_w) + 1 / (Y + a_w))

    Source: Monroe, Colaresi and Quinn, "Fightin' words", 2008: log-odds with an informative
    Dirichlet prior.

    Parameters
    ----------
    counts
        Word counts (P, V) of the naming part.
    strong
        Strong passages as rows of that part.
    """
    passages, vocabulary = counts.shape
    holders = np.bincount(counts.indices, minlength=vocabulary)
    total = np.bincount(counts.indices, counts.data, minlength=vocabulary)
    prior = config.prior * total / max(float(total.sum()), 1.0)
    prior[(holders < config.rare) | (holders > max(config.common * passages, config.rare))] = 0.0
    shape = (len(strong.indptr) - 1, config.candidates)
    words, found = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    scores = np.zeros(shape)
    kept = _strongest(strong, config.strongest)
    distinctive_words(
        kept.indptr,
        kept.rows,
        kept.weights,
        counts.indptr.astype(np.int64),
        counts.indices.astype(np.int64),
        counts.data.astype(np.float64),
        total.astype(np.float64),
        prior,
        config.prior,
        2,
        config.share,
        words,
        scores,
        found,
    )
    return Keywords(words, scores, found)


def _strongest(strong: Strong, most: int) -> Strong:
    """Keep the first ``most`` passages of each concept: they fall by activation."""
    place = np.arange(strong.rows.size) - np.repeat(strong.indptr[:-1], strong.counts)
    kept = place < most
    counts = np.minimum(strong.counts, most)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Strong(indptr, strong.rows[kept], strong.weights[kept])


def part_of(counts: csr_array, rows: Array) -> tuple[csr_array, Postings]:
    """Return the word counts of some passages, and their postings."""
    part = counts[rows]
    return part, postings_of(part)
