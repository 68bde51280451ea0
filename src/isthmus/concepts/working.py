"""What names are made and scored with, and the naming itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.columns import Columns, tidy
from isthmus.concepts.concept import NameScore, Word
from isthmus.concepts.naming import (
    Keywords,
    Naming,
    Parts,
    keywords_of,
    parts_of,
    strong_passages,
)
from isthmus.concepts.passages import Passages
from isthmus.concepts.proposals import Proposal, Wording, proposed_names
from isthmus.concepts.ranking import Postings, Strong, postings_of
from isthmus.concepts.reading import Reader
from isthmus.concepts.report import NameReport
from isthmus.concepts.verdicts import Verdicts, judged, report_of
from isthmus.errors import DataError
from isthmus.metrics.arrays import as_matrix

__all__ = ["Embed", "Named", "Workings", "named"]

Array = NDArray[Any]
Embed = Callable[[list[str]], Array]
"""Turns names into vectors (n, D) of the space of the decoder."""


@dataclass(frozen=True, eq=False)
class Workings:
    """What names are made and scored with."""

    passages: Passages
    """What the passages say."""
    parts: Parts
    """Which of them names are made from, and which they are scored on."""
    strong: tuple[Strong, Strong]
    """Where concepts are strong, in the two parts."""
    postings: tuple[Postings, Postings]
    """The words of the two parts."""
    keywords: Keywords
    """The words that set each concept apart in the naming part."""
    alive: int
    """Concepts that are active on any passage."""

    @classmethod
    def of(cls, columns: Columns, passages: Passages, config: Naming) -> Workings:
        """Prepare the naming of all concepts.

        Raises
        ------
        DataError
            If there are not as many passages as codes.
        """
        counts = passages.counts
        if counts.shape[0] != columns.passages:
            raise DataError(
                "words must be counted on the passages of the codes",
                why=f"{counts.shape[0]} rows of counts, {columns.passages} of codes",
            )
        parts = parts_of(counts, config.seed, passages.groups)
        strong = strong_passages(columns, parts, config)
        made, held = counts[parts.made], counts[parts.held]
        postings = postings_of(made), postings_of(held)
        alive = int((columns.counts > 0).sum())
        keywords = keywords_of(made, strong[0], config)
        return cls(passages, parts, strong, postings, keywords, alive)

    def wording(self) -> Wording:
        """Return how words and phrases are written."""
        said, reader = self.passages, None
        if said.texts is not None and said.words is not None:
            reader = Reader(said.texts, said.words, said.vocabulary)
        return Wording(
            said.vocabulary,
            said.surfaces,
            reader,
            self.parts.made,
            self.strong[0],
            self.postings[0],
            self.keywords,
        )


@dataclass(frozen=True, eq=False)
class Named:
    """Names of all concepts with their scores."""

    proposals: list[Proposal | None]
    """What each would be called."""
    verdicts: Verdicts
    """How good that is."""
    words: list[tuple[Word, ...]]
    """The words that set each apart."""
    report: NameReport
    """How good the names are in all."""

    def of(self, concept: int) -> dict[str, Any]:
        """Return the fields of a concept that are about its name."""
        proposal, passed = self.proposals[concept], bool(self.verdicts.passed[concept])
        text = proposal.text if proposal is not None else None
        return {
            "name": text if passed else None,
            "origin": "rule" if passed else None,
            "score": self.verdicts.scores[concept],
            "proposed": text,
            "words": self.words[concept],
        }


def named(
    work: Workings,
    config: Naming,
    *,
    words: int = 10,
    decoder: Array | None = None,
    embed: Embed | None = None,
) -> Named:
    """Name all concepts by rule, and score the names.

    Parameters
    ----------
    words
        Words that set a concept apart, kept.
    decoder, embed
        Directions (N, D), and what turns names into vectors of their space: each score then says
        how well its name points along its concept, too.

    Raises
    ------
    DataError
        If names are embedded in another space than the decoder's.
    """
    wording = work.wording()
    proposals = proposed_names(work.keywords, work.strong[0], work.postings[0], wording, config)
    verdicts = judged(proposals, work.strong[1], work.postings[1], config)
    if embed is not None and decoder is not None:
        verdicts = _directed(proposals, verdicts, decoder, embed)
    sizes = len(work.parts.made), len(work.parts.held)
    report = report_of(verdicts, work.alive, *sizes, config)
    return Named(proposals, verdicts, _words(work.keywords, wording, words), report)


def _words(keywords: Keywords, wording: Wording, most: int) -> list[tuple[Word, ...]]:
    kept = keywords.words[:, :most]
    texts = {w: wording.word(w) for w in np.unique(kept).tolist() if w >= 0}
    columns = kept.tolist(), tidy(keywords.scores, 4).tolist(), keywords.passages.tolist()
    return [
        tuple(Word(texts[w], score, n) for w, score, n in zip(*row, strict=False) if w >= 0)
        for row in zip(*columns, strict=True)
    ]


def _directed(
    proposals: list[Proposal | None], verdicts: Verdicts, decoder: Array, embed: Embed
) -> Verdicts:
    """Add to each score how its name points along the concept, among all names."""
    ids = [j for j, score in enumerate(verdicts.scores) if score is not None]
    if len(ids) < 2:
        return verdicts
    texts = [proposal.text for j in ids if (proposal := proposals[j]) is not None]
    vectors = as_matrix(embed(texts), "the embedded names")
    if vectors.shape != (len(ids), decoder.shape[1]):
        raise DataError(
            "names were embedded in another space than the dictionary's",
            why=f"shape {vectors.shape} for {len(ids)} names and {decoder.shape[1]} dimensions",
        )
    along = (vectors - vectors.mean(0)) @ np.asarray(decoder, np.float64)[ids].T
    own = np.diagonal(along)
    under = ((along < own).sum(0) + ((along == own).sum(0) - 1) / 2) / (len(ids) - 1)
    scores: list[NameScore | None] = list(verdicts.scores)
    for j, share in zip(ids, tidy(under, 4).tolist(), strict=True):
        score = scores[j]
        scores[j] = replace(score, direction=share) if score is not None else None
    return Verdicts(scores, verdicts.passed)
