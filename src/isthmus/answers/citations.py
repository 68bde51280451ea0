"""Citations: a quotation, and everything that is needed to find it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from isthmus.answers.plain import in_one_line
from isthmus.errors import DataError
from isthmus.search.hits import Hit

__all__ = ["Citation", "Citations", "Verdict", "cite"]

Verdict = Literal["found", "misattributed", "stitched", "not found", "too short"]
"""What became of a quotation: it stands in its passage; it stands in another one; its pieces stand
there, but not together; it does not stand there; it is too short to show anything."""

_CONTEXT = 160


@dataclass(frozen=True)
class Citation:
    """A quotation that stands in its passage word for word."""

    number: int
    """Its number in the answer, from 1."""
    passage: str
    """The passage's id."""
    source: str
    """The file, relative to the corpus' root."""
    row: int | None
    """Line or row in that file, from 1; None: the document is the whole file."""
    start: int
    """Where the quotation begins in the document's text, in characters."""
    end: int
    """Where it ends there."""
    start_byte: int | None
    """Where it begins in the file, in bytes; None: the text does not stand there word for word."""
    end_byte: int | None
    """Where it ends there."""
    quote: str
    """The quotation: the passage's own characters, ``document.text[start:end]``."""
    verdict: Verdict = "found"
    """Always "found": what is not found does not become a citation."""
    title: str = ""
    """The document's heading."""
    before: str = field(default="", repr=False)
    """The passage's text before the quotation."""
    after: str = field(default="", repr=False)
    """The passage's text after it."""

    @property
    def place(self) -> str:
        """The place in words: file, row, characters."""
        source = in_one_line(self.source or self.passage, longest=200)
        row = "" if self.row is None else f", line {self.row}"
        return f"{source}{row}, characters {self.start}-{self.end}"

    def shown(self, context: int = _CONTEXT) -> str:
        """Return the quotation between ``>>`` and ``<<`` with what stands around it, in a line.

        Parameters
        ----------
        context
            Characters shown of what stands before, and after; cut where a word ends.
        """
        before = in_one_line(self.before[-4 * context - 4 :]) if context else ""
        after = in_one_line(self.after[: 4 * context + 4]) if context else ""
        if len(before) > context:
            before = "…" + before[-context:].partition(" ")[2]
        if len(after) > context:
            after = after[:context].rpartition(" ")[0] + "…"
        left = " " if before and self.before[-1:].isspace() else ""
        right = " " if after and self.after[:1].isspace() else ""
        return f"{before}{left}>>{in_one_line(self.quote)}<<{right}{after}"

    def json(self) -> dict[str, Any]:
        """Return it as `ask --json` prints it."""
        return {
            "number": self.number,
            "passage": self.passage,
            "source": self.source,
            "row": self.row,
            "start": self.start,
            "end": self.end,
            "start_byte": self.start_byte,
            "end_byte": self.end_byte,
            "quote": self.quote,
            "verdict": self.verdict,
            "title": self.title,
        }


def cite(hit: Hit, start: int, end: int, number: int) -> Citation:
    """Return the citation of a part of a passage.

    Parameters
    ----------
    hit
        The passage.
    start, end
        Span of the quotation in the passage's text, in characters.
    number
        The citation's number in the answer.

    Raises
    ------
    DataError
        If the span is empty or not in the passage, or the passage's length is not what its place
        in the document says.
    """
    if not 0 <= start < end <= len(hit.text):
        raise DataError(
            f"no quotation at characters {start} to {end}",
            where=f"passage {hit.id}",
            why=f"it holds {len(hit.text)} characters",
        )
    if hit.end and hit.end - hit.start != len(hit.text):
        raise DataError(
            "the passage's text does not fit its place in the document",
            where=f"passage {hit.id}",
            why=f"{len(hit.text)} characters at {hit.start} to {hit.end}",
            fix="build the index again",
        )
    first = last = None
    if hit.start_byte is not None:
        first = hit.start_byte + _bytes(hit.text[:start])
        last = first + _bytes(hit.text[start:end])
    return Citation(
        number=number,
        passage=hit.id,
        source=hit.source,
        row=hit.row,
        start=hit.start + start,
        end=hit.start + end,
        start_byte=first,
        end_byte=last,
        quote=hit.text[start:end],
        title=hit.title,
        before=hit.text[:start],
        after=hit.text[end:],
    )


class Citations:
    """The citations of an answer while it is made: the same place has one number.

    Parameters
    ----------
    hits
        The passages that were shown.
    """

    def __init__(self, hits: Sequence[Hit]) -> None:
        self._hits = hits
        self._made: dict[tuple[int, int, int], Citation] = {}

    def of(self, hit: int, start: int, end: int) -> Citation:
        """Return the citation of a span of the passage with this place among the hits."""
        key = (hit, start, end)
        if key not in self._made:
            self._made[key] = cite(self._hits[hit], start, end, len(self._made) + 1)
        return self._made[key]

    def all(self) -> tuple[Citation, ...]:
        """Return them in the order of their numbers."""
        return tuple(self._made.values())


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
