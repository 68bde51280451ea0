"""Written answers: a model writes, the gate decides what is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from isthmus.answers.answer import NOT_FOUND, WRITTEN, Answer
from isthmus.answers.choosing import Vectors
from isthmus.answers.citations import Citations
from isthmus.answers.claims import Claim, Draft, check_draft
from isthmus.answers.coverage import coverage
from isthmus.answers.drafts import Stream, TooMuch
from isthmus.answers.gate import Gate, GateConfig
from isthmus.answers.prompt import SCHEMA, messages_for
from isthmus.answers.quoted import SentenceEmbedder, asked, quoted_answer
from isthmus.answers.reading import Reading, read_answer
from isthmus.errors import ConfigError, RemoteError
from isthmus.search.hits import Hit

__all__ = ["Chat", "WritingConfig", "written_answer"]

INSUFFICIENT = "The model finds no answer in the passages that were shown to it."
NOTHING_STANDS = "Nothing of what the model wrote could be shown: no quotation was found."


class Chat(Protocol):
    """What an endpoint must be able to do here; `isthmus.remote.Endpoint` does."""

    @property
    def base_url(self) -> str:
        """Where it is."""

    def chat(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        *,
        schema: Mapping[str, Any] | None = None,
        on_text: Callable[[str], None] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
    ) -> str:
        """Return what a model answers."""


@dataclass(frozen=True)
class WritingConfig:
    """What a model is given, and how much of its answer is taken."""

    passages: int = 6
    """Passages that are shown to it."""
    characters: int = 24_000
    """Characters of passages that are shown to it; passages beyond that are left out."""
    claims: int = 20
    """Claims that are taken."""
    answer_characters: int = 200_000
    """Characters of its answer, thoughts included; when there are more it is cut off."""
    max_tokens: int = 2048
    """Tokens that it may write."""
    gate: GateConfig = field(default_factory=GateConfig)
    """What counts as a quotation."""

    def __post_init__(self) -> None:
        if min(self.passages, self.characters, self.claims, self.answer_characters) < 1:
            raise ConfigError("limits of a written answer must be positive")


def written_answer(
    question: str,
    hits: Sequence[Hit],
    endpoint: Chat,
    model: str,
    *,
    on_text: Callable[[str], None] | None = None,
    fall_back: bool = False,
    embedder: SentenceEmbedder | Vectors | None = None,
    concepts: Sequence[tuple[int, str | None]] = (),
    config: WritingConfig | None = None,
) -> Answer:
    """Let a model answer from passages, and show what its quotations bear out.

    Every claim comes with a quotation that is checked word for word (`check_claims`); what fails
    is struck out. The passages are fenced by a random word and declared to be data, the model
    has no tools, and its answer is shown as plain text without links. That keeps misquotations
    out, not false claims beside true quotations: `Claim.unbacked` points at some of them, and
    ``benchmarks/poisoned_passages.py`` counts what else gets through.

    Parameters
    ----------
    question
        The question.
    hits
        What a search found, the best first. Where there is nothing, the model is not asked.
    endpoint
        Where the model is; the question and the passages are sent there.
    model
        Its name there.
    on_text
        Called with each claim, as it is shown, as soon as its quotation has been checked; claims
        that fail are not handed on.
    fall_back
        Whether to quote where the endpoint is away or its answer can't be read.
    embedder
        Chooses sentences then; None: words alone do.
    concepts
        Id and name of the question's concepts, for the coverage.
    config
        Limits.

    Raises
    ------
    ConfigError
        If the question is empty or too long.
    RemoteError
        If the endpoint is away or its answer can't be read, unless it falls back. Where it breaks
        off after some claims, those are shown.
    """
    question, config = asked(question), config or WritingConfig()
    shown, left = _shown(hits, config)
    if not shown:
        return quoted_answer(question, (), concepts=concepts)
    work = _Work(question, shown, config, on_text)
    try:
        reading = work.read(endpoint, model)
    except RemoteError as error:
        if not fall_back:
            raise
        why = f"{error.what}; nothing was generated, the passages are quoted instead"
        return quoted_answer(question, hits, embedder=embedder, concepts=concepts, warnings=[why])
    claims = work.checked(reading)
    return Answer(
        question,
        "written",
        WRITTEN if any(claim.supported for claim in claims) else NOT_FOUND,
        _text(claims),
        work.citations.all(),
        tuple(claims),
        coverage(question, shown, concepts=concepts),
        model,
        endpoint.base_url,
        (*left, *work.trouble, *_warnings(reading, claims)),
    )


class _Work:
    """One answer while it is written."""

    def __init__(
        self,
        question: str,
        shown: Sequence[Hit],
        config: WritingConfig,
        on_text: Callable[[str], None] | None,
    ) -> None:
        self.question, self.shown, self.config, self.on_text = question, shown, config, on_text
        self.gate, self.citations = Gate(shown, config.gate), Citations(shown)
        self.done: list[tuple[Draft, Claim]] = []
        self.trouble: list[str] = []

    def read(self, endpoint: Chat, model: str) -> Reading:
        """Ask, and read the answer; claims are checked as they come."""
        words = self.config.gate.words
        messages = messages_for(self.question, self.shown, words=words)
        try:
            said = self._said(endpoint, model, messages, SCHEMA)
        except RemoteError as error:
            # Servers that know no schemas refuse the request; the format is in the prompt too.
            if not re.search(r"\b(?:400|422|501)\b", error.what):
                raise
            said = self._said(endpoint, model, messages, None)
        reading = read_answer(said, most=self.config.claims)
        if reading is None:
            raise RemoteError(
                "the model's answer can't be used",
                where=f"{model} at {endpoint.base_url}",
                why="it holds no claims with quotations, neither as JSON nor as text",
                fix="try another model, or ask without one: passages are quoted then",
            )
        return reading

    def checked(self, reading: Reading) -> list[Claim]:
        """Return every claim of the answer, checked; those that were streamed come first."""
        known = [draft for draft, _ in self.done]
        if known != list(reading.drafts[: len(known)]):
            # What was handed on while it was written is not what the whole says: check it anew.
            self.citations, self.done = Citations(self.shown), []
        for draft in reading.drafts[len(self.done) :]:
            self.take(draft)
        return [claim for _, claim in self.done]

    def take(self, draft: Draft) -> None:
        """Check a claim, and hand it on if it stands."""
        claim = check_draft(draft, self.gate, self.citations, self.question)
        self.done.append((draft, claim))
        if self.on_text is not None and claim.supported:
            self.on_text(claim.line() + "\n")

    def _said(
        self,
        endpoint: Chat,
        model: str,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any] | None,
    ) -> str:
        limits = self.config.answer_characters, self.config.claims
        stream = Stream(self.take, *limits)
        most = self.config.max_tokens
        try:
            endpoint.chat(model, messages, schema=schema, on_text=stream.feed, max_tokens=most)
        except TooMuch:
            self.trouble.append("the model did not stop; what came after was left out")
        except RemoteError as error:
            if not self.done:
                raise
            self.trouble.append(f"{error.what}; what came before is shown")
        return stream.text


def _shown(hits: Sequence[Hit], config: WritingConfig) -> tuple[list[Hit], list[str]]:
    """Return the passages that fit, and what to say of those that do not."""
    shown, room = list[Hit](), config.characters
    wanted = [hit for hit in hits[: config.passages] if hit.text.strip()]
    for hit in wanted:
        room -= len(hit.text)
        if room < 0:
            break
        shown.append(hit)
    if wanted and not shown:
        shown = [replace(wanted[0], text=wanted[0].text[: config.characters], end=0, end_byte=None)]
    left = len(wanted) - len(shown)
    return shown, [f"{left} passages were too long to be shown to the model"] if left else []


def _text(claims: Sequence[Claim]) -> str:
    if not claims:
        return INSUFFICIENT
    lines = [claim.line() for claim in claims]
    if not any(claim.supported for claim in claims):
        lines = [NOTHING_STANDS, *lines]
    return "\n".join(lines)


def _warnings(reading: Reading, claims: Sequence[Claim]) -> list[str]:
    struck = sum(not claim.supported for claim in claims)
    said = []
    if struck:
        said.append(f"{struck} of {len(claims)} claims were struck out")
    if reading.malformed:
        said.append(f"{reading.malformed} parts of the model's answer were left out")
    if reading.insufficient and claims:
        said.append("the model says that the passages do not answer the question")
    if reading.plain:
        said.append("the model did not answer in the form that was asked for")
    return said
