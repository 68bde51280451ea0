"""An answer: quoted or written, with its citations and what it does not say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from isthmus.answers.citations import Citation
from isthmus.answers.claims import Claim
from isthmus.answers.coverage import Coverage
from isthmus.answers.plain import in_one_line

__all__ = ["NOT_FOUND", "QUOTED", "WRITTEN", "Answer"]

QUOTED = "Quoted from your corpus, not generated"
WRITTEN = "Written by a model; every quotation was checked word for word, the claims were not"
NOT_FOUND = "Not found"


@dataclass(frozen=True)
class Answer:
    """What is said in reply to a question."""

    question: str
    """The question."""
    mode: Literal["quoted", "written"]
    """Whether it consists of quotations alone, or was written by a model."""
    heading: str
    """What it is, in a line that is always shown with it."""
    text: str
    """The answer in plain text; ``[1]`` is the number of a citation, ``[struck out: ...]`` a claim
    whose quotation was not found."""
    citations: tuple[Citation, ...] = ()
    """The quotations, in the order of their numbers; each stands in its passage word for word."""
    claims: tuple[Claim, ...] = ()
    """The claims of a written answer in their order, also those that are struck out."""
    coverage: Coverage = field(default_factory=Coverage)
    """What of the question stands in the passages."""
    model: str | None = None
    """The model that wrote it."""
    endpoint: str | None = None
    """The address that the question and the passages were sent to."""
    warnings: tuple[str, ...] = ()
    """What the reader should know besides."""

    @property
    def found(self) -> bool:
        """Whether there is anything to show: a quotation that stands in its passage."""
        return bool(self.citations)

    def show(self) -> str:
        """Return all of it as plain text: heading, answer, citations, coverage, warnings."""
        blocks = [self.heading if self.model is None else f"{self.heading} ({self._writer()})"]
        blocks.append(self.text)
        if self.mode == "written":
            blocks += [f"[{c.number}] {c.place}\n    {c.shown()}" for c in self.citations]
        notes = [*self.coverage.lines(), *(f"note: {warning}" for warning in self.warnings)]
        return "\n\n".join(block for block in (*blocks, "\n".join(notes)) if block)

    def json(self) -> dict[str, Any]:
        """Return it as `ask --json` prints it.

        ``citations`` holds one entry for everything that was checked. Where the verdict is not
        "found", nothing is quoted: ``quote`` is empty, ``start`` and ``end`` are None.
        """
        refused = [claim for claim in self.claims if not claim.supported]
        return {
            "question": self.question,
            "mode": self.mode,
            "answer": self.text,
            "citations": [c.json() for c in self.citations] + [_refused(c) for c in refused],
            "heading": self.heading,
            "found": self.found,
            "claims": [claim.json() for claim in self.claims],
            "coverage": self.coverage.json(),
            "model": self.model,
            "endpoint": self.endpoint,
            "warnings": list(self.warnings),
        }

    def _writer(self) -> str:
        return f"{in_one_line(self.model or '', longest=80)} at {self.endpoint or 'this machine'}"


def _refused(claim: Claim) -> dict[str, Any]:
    return {
        "number": None,
        "passage": claim.passage,
        "source": "",
        "row": None,
        "start": None,
        "end": None,
        "start_byte": None,
        "end_byte": None,
        "quote": "",
        "verdict": claim.verdict,
        "title": "",
    }
