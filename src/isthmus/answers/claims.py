"""Claims of a written answer, each with what the gate says of its quotation."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from isthmus.answers.citations import Citation, Citations, Verdict
from isthmus.answers.gate import Gate, GateConfig
from isthmus.answers.inner import inner_quotations, without_quote_marks
from isthmus.answers.plain import in_one_line, without_links
from isthmus.search.hits import Hit

__all__ = ["Claim", "Draft", "check_claims", "check_draft"]

_LONGEST = 1000
_BRACKETS = str.maketrans("[]［］【】〔〕⟦⟧", "()()()()()")


@dataclass(frozen=True)
class Draft:
    """A claim as a model made it: nothing in it is to be trusted."""

    claim: str
    """What it says."""
    passage: str
    """The passage that it names, by number or id."""
    quote: str
    """What it says that the passage says."""


@dataclass(frozen=True)
class Claim:
    """A claim and what became of it; everything in it is plain text on one line."""

    text: str
    """What it says, without controls, links and anything that looks like a citation's number."""
    verdict: Verdict
    """What became of its quotation; shown as supported only if "found"."""
    citation: Citation | None = None
    """The quotation, where it was found; else nothing is quoted."""
    reason: str = ""
    """Why it is struck out."""
    passage: str = ""
    """The passage that it named."""
    elsewhere: str | None = None
    """Id of the passage that holds the quotation instead."""
    unbacked: tuple[str, ...] = ()
    """Numbers, codes and names in the claim that stand neither in the cited passage nor in the
    question: to be looked at, since a true quotation need not support what is claimed."""
    related: bool = True
    """Whether it shares a word, by its stem, with the cited passage; a claim in another language
    need not."""

    @property
    def supported(self) -> bool:
        """Whether its quotation stands in its passage."""
        return self.verdict == "found" and self.citation is not None

    def line(self) -> str:
        """Return it as it is shown: with its citation's number, or struck out with the reason."""
        if self.citation is None:
            return f"[struck out: {self.text} ({self.reason})]"
        line = f"{self.text} [{self.citation.number}]"
        if not self.related:
            return f"{line} (no word of this stands in the cited passage)"
        if self.unbacked:
            return f"{line} (not in the cited passage: {', '.join(self.unbacked)})"
        return line

    def json(self) -> dict[str, Any]:
        """Return it as `ask --json` prints it."""
        return {
            "claim": self.text,
            "verdict": self.verdict,
            "citation": self.citation.number if self.citation else None,
            "passage": self.passage,
            "reason": self.reason,
            "elsewhere": self.elsewhere,
            "unbacked": list(self.unbacked),
            "related": self.related,
        }


def check_claims(
    drafts: Sequence[Draft],
    hits: Sequence[Hit],
    *,
    question: str = "",
    config: GateConfig | None = None,
) -> list[Claim]:
    """Hold every claim's quotation against its passage, word for word.

    What is found is replaced by the passage's own characters, so that whatever is shown as a
    quotation stands in the cited passage; everything else quotes nothing. Quotations inside the
    claim's own words must stand in the cited passage too.

    Parameters
    ----------
    drafts
        The claims, as a model made them.
    hits
        The passages that were shown to it, in this order.
    question
        What was asked; its words need no passage.
    config
        What counts as a quotation.

    Examples
    --------
    >>> tower = Hit("t#0", 1.0, "The tower is 330 metres tall.", "t")
    >>> good = Draft("It has 330 metres.", "1", "is 330 metres tall")
    >>> [claim.line() for claim in check_claims([good], [tower])]
    ['It has 330 metres. [1]']
    >>> bad = Draft("It has 300 metres.", "1", "is 300 metres tall")
    >>> [claim.line() for claim in check_claims([bad], [tower])]
    ['[struck out: It has 300 metres. (these words do not stand in the passage)]']
    """
    gate, citations = Gate(hits, config), Citations(hits)
    return [check_draft(draft, gate, citations, question) for draft in drafts]


def check_draft(draft: Draft, gate: Gate, citations: Citations, question: str = "") -> Claim:
    """Hold one claim against its passage; its citation is added to those of the answer."""
    finding = gate.check(draft.quote, draft.passage)
    named = _named(draft.passage, gate)
    if finding.verdict != "found" or finding.hit is None:
        elsewhere = None if finding.hit is None else gate.hits[finding.hit].id
        said = without_quote_marks(_said(draft.claim, ""))
        return Claim(said, finding.verdict, None, finding.reason, named, elsewhere)
    hit = gate.hits[finding.hit]
    text = _said(draft.claim, hit.text)
    if not any(map(str.isalnum, text)):
        return Claim(without_quote_marks(text), "not found", None, "the claim says nothing", named)
    inner = inner_quotations(text, gate, finding.hit)
    if inner is None:
        reason = "the claim itself quotes words that do not stand in the passage"
        return Claim(without_quote_marks(text), "not found", None, reason, named)
    citation = citations.of(finding.hit, finding.start, finding.end)
    there = gate.words_of(finding.hit)
    unbacked = _unbacked(inner, gate, there | gate.tokens(f"{question} {hit.source}"))
    own = gate.tokens(inner)
    related = not own or not own.isdisjoint(there)
    return Claim(inner, "found", citation, "", named, None, unbacked, related)


def _said(claim: str, passage: str) -> str:
    """Return the claim as plain text on one line: no links, no brackets as citations have."""
    line = in_one_line(claim[: 4 * _LONGEST], visible=False)
    line = without_links(line, passage).translate(_BRACKETS)
    return in_one_line(line, longest=_LONGEST)


def _named(passage: str, gate: Gate) -> str:
    place = gate.place_of(passage)
    return in_one_line(passage, longest=80) if place is None else gate.hits[place].id


def _unbacked(claim: str, gate: Gate, known: Set[str]) -> tuple[str, ...]:
    """Return words with a digit, or with a capital within a sentence, that are not known."""
    kept: dict[str, None] = {}
    for token, start, end in gate.words.spans(claim):
        written = claim[start:end]
        first = claim[:start].rstrip(" \"'(“‘")[-1:] in ("", ".", "!", "?", ":")
        named = written[1:] != written[1:].lower() or (written[0].isupper() and not first)
        if (named or any(map(str.isdigit, written))) and token not in known:
            kept.setdefault(written)
    return tuple(kept)
