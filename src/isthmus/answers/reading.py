"""What a model answered, read strictly: claims as they are complete, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from isthmus.answers.claims import Draft
from isthmus.answers.drafts import Stream, draft_of, json_of

__all__ = ["Reading", "read_answer"]

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.IGNORECASE)
_LONGEST = 4000
"""Characters of a line that holds a claim as plain text."""
_INSUFFICIENT = re.compile(
    r"insufficient[\s_-]*(?:evidence|information|context)?|(?:the )?passages do not answer"
    r"(?: the question)?|(?:i )?(?:don't|do not|cannot|can't) (?:know|answer)",
    re.IGNORECASE,
)
_LINE = re.compile(
    # - The claim. [2] "the quotation"
    r"\s*(?:[-*•]|\d+[.)])?\s*(?P<claim>[^\[\]]+?)\s*[\[(](?:passage\s*)?(?P<passage>\d{1,4})[\])]"
    r"[\s.:,;–—-]*(?:quote:?\s*)?(?P<quote>[\"“«„].+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reading:
    """What was understood of a model's answer."""

    drafts: tuple[Draft, ...] = ()
    """The claims that it made, unchecked."""
    insufficient: bool = False
    """Whether it says that the passages do not answer."""
    malformed: int = 0
    """Items that were no claim, and claims beyond the limit."""
    plain: bool = False
    """Whether it had to be read from plain text, not from JSON."""


def read_answer(text: str, *, most: int = 20) -> Reading | None:
    r"""Read a model's answer; None: there is nothing in it that could be understood.

    Thoughts between ``<think>`` tags and code fences are passed over. JSON comes first: an object
    with ``claims``, or a list of them; where there is none, lines of the form
    ``claim [2] "quotation"``.

    Parameters
    ----------
    text
        All that it said.
    most
        Claims that are read; more are left out and counted.

    Examples
    --------
    >>> read_answer('{"claims": [{"claim": "A.", "passage": 1, "quote": "b"}]}').drafts
    (Draft(claim='A.', passage='1', quote='b'),)
    >>> read_answer('- It is tall. [1] "is 330 metres tall"').drafts[0].quote
    'is 330 metres tall'
    >>> read_answer("I am a teapot.") is None
    True
    """
    text = _THOUGHT.sub("", text).strip()
    found = _whole(text)
    if found is not None:
        return _from_json(found, most)
    cut: list[Draft] = []
    Stream(cut.append, len(text), most).feed(text)
    if cut:
        return Reading(tuple(cut), malformed=1)
    lines = [_LINE.fullmatch(line) for line in text.splitlines() if len(line) <= _LONGEST]
    drafts = [Draft(m["claim"].strip(), m["passage"], _unwrapped(m["quote"])) for m in lines if m]
    if drafts:
        return Reading(tuple(drafts[:most]), False, max(0, len(drafts) - most), True)
    if len(text) < 200 and _INSUFFICIENT.search(text):
        return Reading(insufficient=True, plain=True)
    return None


def _whole(text: str) -> Any:
    """Return the first JSON value that could hold claims: in the open, or in a fence."""
    fenced = re.search(
        r"```(?:json)?[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", text, re.DOTALL | re.IGNORECASE
    )
    for candidate in (text, fenced.group(1) if fenced else ""):
        begins = re.search(r"[{\[]\s*[\"{\]]", candidate)
        if begins is None:
            continue
        found = json_of(candidate[begins.start() :], loose=True)
        if isinstance(found, dict | list):
            return found
    return None


def _from_json(found: Any, most: int) -> Reading | None:
    items = found.get("claims") if isinstance(found, dict) else found
    said = isinstance(found, dict) and any(
        found.get(key) is True for key in ("insufficient", "insufficient_evidence")
    )
    if not isinstance(items, list):
        single = draft_of(found)
        if single is not None:
            return Reading((single,))
        return Reading(insufficient=True) if said else None
    drafts = [draft_of(item) for item in items]
    good = [draft for draft in drafts if draft is not None]
    if items and not good:
        return None
    malformed = len(drafts) - len(good) + max(0, len(good) - most)
    return Reading(tuple(good[:most]), said or not items, malformed)


def _unwrapped(quote: str) -> str:
    return quote.strip().rstrip(".").strip('"“”«»„ ')
