"""How a question is answered on the command line: quoted, or written by a model and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.cli.endpoints import Writer
from isthmus.cli.hits import Labels, moved_lines
from isthmus.cli.plain_text import line_of
from isthmus.cli.screen import Screen

if TYPE_CHECKING:
    from isthmus.answers import Answer
    from isthmus.search.filters import Condition
    from isthmus.search.index.index import Index, Results
    from isthmus.search.steering import Steering

__all__ = ["Asking", "answered"]

_QUOTED, _WRITTEN = 3, 6
_CONCEPTS = 8


@dataclass(frozen=True)
class Asking:
    """A question, and how much is looked at."""

    question: str
    """The question."""
    passages: int | None
    """Passages to answer from; None: the defaults."""
    fall_back: bool
    """Whether passages are quoted where the model is away."""


def answered(
    screen: Screen,
    index: Index,
    asking: Asking,
    by: str,
    steering: Steering,
    where: Sequence[Condition],
    writer: Writer | None,
) -> None:
    """Search, answer, and show the answer."""
    from isthmus.answers.quoted import asked

    question = asked(asking.question)
    limit = asking.passages or (_QUOTED if writer is None else _WRITTEN)
    results = index.search(question, limit=limit, by=by, steering=steering, where=where)
    answer = (
        _quoted(index, results, question, limit)
        if writer is None
        else _written(screen, index, results, question, limit, asking, writer)
    )
    if screen.as_json:
        screen.json(answer.json())
        return
    screen.say(f"embedder: {line_of(str(index.manifest.embedder.get('description')))}")
    screen.words(moved_lines(results, Labels(index)))
    screen.line(answer.show())


def _concepts(results: Results) -> list[tuple[int, str | None]]:
    """Return the question's strongest concepts that have a name, for the coverage."""
    named = [c for c in results.concepts if c.contribution > 0 and c.name is not None]
    return [(c.id, c.name) for c in named[:_CONCEPTS]]


def _quoted(index: Index, results: Results, question: str, limit: int) -> Answer:
    from isthmus.answers import quoted_answer

    return quoted_answer(
        question,
        results.hits,
        embedder=index.embedder,
        passages=limit,
        concepts=_concepts(results),
        words=index.words,
    )


def _written(
    screen: Screen,
    index: Index,
    results: Results,
    question: str,
    limit: int,
    asking: Asking,
    writer: Writer,
) -> Answer:
    from isthmus.answers import WritingConfig, written_answer

    count = len(results.hits)
    screen.say(f"sending the question and {count} passages to {writer.endpoint.base_url}")
    return written_answer(
        question,
        results.hits,
        writer.endpoint,
        writer.model,
        # claims appear as they are checked; the whole answer, with what failed, comes at the end
        on_text=lambda text: screen.say(text.rstrip("\n")),
        fall_back=asking.fall_back,
        embedder=index.embedder,
        concepts=_concepts(results),
        config=WritingConfig(passages=limit),
    )
