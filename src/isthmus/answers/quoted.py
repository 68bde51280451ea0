"""Quoted answers: the best passages, the sentence that answers marked, nothing generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from isthmus.answers.answer import NOT_FOUND, QUOTED, Answer
from isthmus.answers.choosing import ChoiceConfig, Sentence, Vectors, choose_sentences
from isthmus.answers.citations import Citation, Citations
from isthmus.answers.coverage import Coverage, coverage
from isthmus.answers.plain import in_one_line
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError
from isthmus.search.hits import Hit

__all__ = ["SentenceEmbedder", "asked", "quoted_answer"]

_LONGEST = 10_000


@runtime_checkable
class SentenceEmbedder(Protocol):
    """What an embedder must be able to do here."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts (n, D)."""

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of questions (n, D)."""


def quoted_answer(
    question: str,
    hits: Sequence[Hit],
    *,
    embedder: SentenceEmbedder | Vectors | None = None,
    passages: int = 3,
    concepts: Sequence[tuple[int, str | None]] = (),
    words: Words | None = None,
    choice: ChoiceConfig | None = None,
    warnings: Sequence[str] = (),
) -> Answer:
    """Answer with passages of the corpus, the sentence that answers best marked in each.

    Passages, and not sentences alone: "It is 330 metres tall" answers nothing without the
    sentence before it. Where the chosen sentence begins with such a word, the quotation begins
    up to two sentences earlier. "Not found" is said only if there is no passage, or none shares
    a word or a concept with the question; a low score is no reason, since none tells answerable
    questions from others.

    Parameters
    ----------
    question
        The question.
    hits
        What a search found, the best first.
    embedder
        Gives vectors of sentences: an embedder, or a function of texts; None: words alone choose.
    passages
        Passages to show.
    concepts
        Id and name of the question's concepts, for the coverage.
    words
        How texts are taken apart; None: English.
    choice
        What counts in the choice of sentences.
    warnings
        To be shown with the answer.

    Raises
    ------
    ConfigError
        If the question is empty or too long, or no passage is to be shown.
    DataError
        If a passage does not fit its place, or vectors do not fit the sentences.

    Examples
    --------
    >>> text = "The tower was built in 1889. It is 330 metres tall. Paint keeps it from rust."
    >>> found = quoted_answer("How tall is the tower?", [Hit("t#0", 1.0, text, "t")])
    >>> found.citations[0].quote
    'The tower was built in 1889. It is 330 metres tall.'
    >>> print(found.text)
    [1] t#0, characters 0-51
        >>The tower was built in 1889. It is 330 metres tall.<< Paint keeps it from rust.
    """
    question = asked(question)
    if passages < 1:
        raise ConfigError("at least one passage must be shown", where=f"passages={passages}")
    words = words or Words()
    shown = hits[:passages]
    covered = coverage(question, shown, concepts=concepts, words=words)
    nothing = _nothing(shown, covered)
    if nothing:
        return Answer(
            question, "quoted", NOT_FOUND, nothing, (), (), covered, None, None, tuple(warnings)
        )
    embed = embedder.embed if isinstance(embedder, SentenceEmbedder) else embedder
    ask = embedder.embed_queries if isinstance(embedder, SentenceEmbedder) else embedder
    texts = [hit.text for hit in shown]
    chosen = choose_sentences(
        question, texts, question_vectors=ask, vectors=embed, words=words, config=choice
    )
    made = _cited(shown, chosen)
    text = "\n\n".join(_block(citation) for citation in made)
    return Answer(question, "quoted", QUOTED, text, made, (), covered, None, None, tuple(warnings))


def asked(question: str) -> str:
    """Return a question as it is used and shown.

    Raises
    ------
    ConfigError
        If it is empty or too long.
    """
    question = in_one_line(question, visible=False)
    if not question:
        raise ConfigError("the question is empty", fix="ask something")
    if len(question) > _LONGEST:
        raise ConfigError(
            "the question is too long", where=f"{len(question):,} characters, at most {_LONGEST:,}"
        )
    return question


def _cited(shown: Sequence[Hit], chosen: Sequence[Sentence | None]) -> tuple[Citation, ...]:
    """Quote the chosen sentences, each once: passages that overlap can hold the same one."""
    citations, done = Citations(shown), set[tuple[str, int, int]]()
    for number, (hit, sentence) in enumerate(zip(shown, chosen, strict=True)):
        if sentence is None:
            continue
        place = hit.document, hit.start + sentence.start, hit.start + sentence.end
        if place not in done:
            citations.of(number, sentence.quote_start, sentence.end)
        done.add(place)
    return citations.all()


def _nothing(shown: Sequence[Hit], covered: Coverage) -> str:
    """Say why nothing is shown, if nothing is; stop words alone are missed nowhere."""
    if not any(hit.text.strip() for hit in shown):
        return "The search found no passage."
    if not covered.shared and (covered.words or covered.concepts):
        return "No passage that was found shares a word or a concept with the question."
    return ""


def _block(citation: Citation) -> str:
    title = in_one_line(citation.title, longest=120)
    place = f"{title} ({citation.place})" if title else citation.place
    return f"[{citation.number}] {place}\n    {citation.shown(context=10_000)}"
