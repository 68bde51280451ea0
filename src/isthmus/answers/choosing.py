"""Which sentence of a passage answers a question.

The sentence's cosine with the question, and the share of the question's words that it contains,
each weighed by how few of the candidate sentences contain it. On the questions of XQuAD, whose
passages have five sentences, that picks a sentence with the answer for five in six, the cosine
alone for three in four (``benchmarks/answer_sentences.py``).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.sentences import sentences
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError, DataError

__all__ = ["ChoiceConfig", "Sentence", "Vectors", "choose_sentences", "leans_on_the_last"]

Vectors = Callable[[Sequence[str]], NDArray[np.floating]]
"""Gives the vectors (n, D) of n texts."""

_LEANING = re.compile(
    r"(?:(?:and|but|so|then|yet|however|also|moreover|furthermore|therefore|thus|hence|instead"
    r"|nevertheless|in addition|as a result|for example|for instance)\b[\s,]*)*"
    r"(?:it|its|he|him|his|she|her|hers|they|them|their|theirs|this|that|these|those|such|both"
    r"|the (?:former|latter|same|other|others|two)|(?:one|two|some|many|most|all) of"
    r" (?:them|these|those))\b",
    re.IGNORECASE,
)
_OPENING = " \t\r\n\"'“‘„«([*_>-"
_FURTHEST = 2
"""Sentences that a quotation goes back at most, to what a pronoun stands for."""


@dataclass(frozen=True)
class ChoiceConfig:
    """How much each sign counts that a sentence answers."""

    similarity: float = 1.0
    """Weight of the cosine between question and sentence; without vectors there is none."""
    overlap: float = 0.75
    """Weight of the share of the question's words that the sentence contains, each counted by its
    idf among the sentences to choose from."""
    context: float = 0.5
    """How much counts what the sentence before adds to either, for a sentence that leans on it."""

    def __post_init__(self) -> None:
        weights = (self.similarity, self.overlap, self.context)
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
            raise ConfigError("the weights of a choice of sentences are finite and not negative")


@dataclass(frozen=True)
class Sentence:
    """The sentence of a passage that answers best."""

    start: int
    """Where it begins in the passage's text."""
    end: int
    """Where it ends there."""
    quote_start: int
    """Where a quotation of it begins: earlier, where it leans on the sentences before."""
    score: float
    """Its score; only comparable for one question."""


def leans_on_the_last(sentence: str) -> bool:
    """Say whether a sentence begins with a word that stands for something said before (English).

    Examples
    --------
    >>> leans_on_the_last("However, it is 330 metres tall."), leans_on_the_last("Iron is heavy.")
    (True, False)
    """
    return _LEANING.match(sentence.lstrip(_OPENING)) is not None


def choose_sentences(
    question: str,
    passages: Sequence[str],
    *,
    question_vectors: Vectors | None = None,
    vectors: Vectors | None = None,
    words: Words | None = None,
    config: ChoiceConfig | None = None,
) -> list[Sentence | None]:
    """Choose the sentence of each passage that answers a question best.

    Parameters
    ----------
    question
        The question.
    passages
        Texts of the passages.
    question_vectors, vectors
        Give the vectors of questions and of sentences; None: words alone decide.
    words
        How texts are taken apart; None: English.
    config
        Weights.

    Returns
    -------
    list
        A sentence for each passage; None for one without any. Of equally good ones the first.

    Raises
    ------
    DataError
        If the vectors do not fit the sentences, or are not finite.
    """
    config, words = config or ChoiceConfig(), words or Words()
    spans = [sentences(text) for text in passages]
    said = [[text[a:b] for a, b in found] for text, found in zip(passages, spans, strict=True)]
    flat = [sentence for texts in said for sentence in texts]
    # A passage's first sentence leans on nothing that could be quoted.
    leaning = [i > 0 and leans_on_the_last(text) for texts in said for i, text in enumerate(texts)]
    scores = config.overlap * _overlaps(question, flat, leaning, words, config.context)
    if vectors is not None and flat:
        asked = _unit((question_vectors or vectors)([question]), 1)
        rows = _unit(vectors(flat), len(flat))
        scores += config.similarity * _similarities(asked, rows, leaning, config.context)
    chosen: list[Sentence | None] = []
    first = 0
    for found, texts in zip(spans, said, strict=True):
        part = scores[first : first + len(found)]
        first += len(found)
        chosen.append(_chosen(found, texts, part) if found else None)
    return chosen


def _chosen(
    spans: Sequence[tuple[int, int]], texts: Sequence[str], scores: NDArray[np.float64]
) -> Sentence:
    best = int(np.argmax(scores))
    first = best
    while first > max(0, best - _FURTHEST) and leans_on_the_last(texts[first]):
        first -= 1
    return Sentence(*spans[best], spans[first][0], float(scores[best]))


def _overlaps(
    question: str, texts: Sequence[str], leaning: Sequence[bool], words: Words, context: float
) -> NDArray[np.float64]:
    """Return the share of the question's words in each text, by idf as in BM25."""
    asked = set(words.tokens(question))
    there = [asked.intersection(words.tokens(text)) for text in texts]
    count = Counter(stem for stems in there for stem in stems)
    idf = {
        stem: math.log1p((len(texts) - count[stem] + 0.5) / (count[stem] + 0.5)) for stem in asked
    }
    total = math.fsum(idf.values()) or 1.0
    shares = []
    for i, stems in enumerate(there):
        lent = there[i - 1] - stems if leaning[i] else set()
        own, more = (math.fsum(idf[stem] for stem in part) for part in (stems, lent))
        shares.append((own + context * more) / total)
    return np.array(shares, np.float64)


def _similarities(
    asked: NDArray[np.float64],
    rows: NDArray[np.float64],
    leaning: Sequence[bool],
    context: float,
) -> NDArray[np.float64]:
    """Return the cosine of the question with each sentence, raised by the one it leans on."""
    if rows.shape[1] != asked.shape[1]:
        raise DataError(
            "question and sentences have vectors of different width",
            why=f"{asked.shape[1]} and {rows.shape[1]} numbers",
        )
    cosines: NDArray[np.float64] = rows @ asked[0]
    raised = cosines.copy()
    for i in np.flatnonzero(leaning):
        both = rows[i - 1] + rows[i]
        pair = float(both @ asked[0]) / max(float(np.linalg.norm(both)), 1e-12)
        raised[i] += context * max(0.0, pair - cosines[i])
    return raised


def _unit(found: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    rows = np.asarray(found, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != count or not np.isfinite(rows).all():
        raise DataError(
            "the vectors of the sentences can't be used",
            why=f"{count} rows of finite numbers were expected, shape {rows.shape} came",
            fix="look at the embedder, or leave it out: words alone decide then",
        )
    unit: NDArray[np.float64] = rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), 1e-12
    )
    return unit
