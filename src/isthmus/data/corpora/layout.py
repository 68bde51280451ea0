"""Blocks of a text that its layout tells apart: paragraphs, headings, items, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Block", "blocks"]

_LAYOUT = re.compile(
    r"""[^\S\n]*(?:
    (?P<empty>(?=\n|\Z))
    | (?P<fence>```|~~~)
    | (?P<rule>([=\-*_~^])(?:[^\S\n]?\4){2,}[^\S\n]*(?=\n|\Z))
    | (?P<heading>\#{1,6}[^\S\n])
    | (?P<row>\|[^\n]*\|[^\S\n]*(?=\n|\Z))
    | (?P<prompt>>>>[ ])
    | (?P<item>(?:[-*+•‣·]|\(?(?:1|[a-z])\)|1\.|:[A-Za-z][^:\n]{0,60}:)[^\S\n]+(?=\S))
    | (?P<number>\(?\d{1,3}[.)][^\S\n]+(?=\S))
    )""",
    re.VERBOSE,
)
# As numpy's documentation strings name parameters: "name : type", and an indented line.
_PARAMETER = re.compile(r"([^\S\n]*)[*\w]+(?:,[ ][*\w]+)*[ ]:[ ](?=[^\n]*\n\1[^\S\n]+\S)")


@dataclass(frozen=True)
class Block:
    """A stretch of text at whose ends sentences end."""

    start: int
    """Its first character."""
    body: int
    """Where its text begins, behind the mark of an item ("1.")."""
    end: int
    """The character behind its last."""
    whole: bool = False
    """Whether stops end nothing in it: headings, rows of tables, code."""


def blocks(text: str) -> Iterator[Block]:
    r"""Cut a text into blocks.

    A block ends at an empty line, at a heading (Markdown's, underlined ones too), before an item
    of a list, a field of a documentation string, a row of a table, a code block or a line with
    Python's prompt. A number with a stop begins an item only behind another item, or where a
    paragraph begins, so that a line which happens to begin with ``10.`` breaks nothing.

    Examples
    --------
    >>> [(b.start, b.body, b.end, b.whole) for b in blocks("# One\n- two\n")]
    [(0, 0, 6, True), (6, 8, 12, False)]
    """
    return (block for block in _blocks(text) if block.start < block.end)


def _blocks(text: str) -> Iterator[Block]:
    start = body = place = 0
    fence, whole, listed = "", False, False
    for line in text.splitlines(keepends=True):
        here, place = place, place + len(line)
        found = _LAYOUT.match(text, here, place)
        kind = found.lastgroup if found else None
        if fence or whole:
            closed = kind == "fence" and found is not None and found[kind] == fence
            if closed or kind == "empty":
                yield Block(start, start, place, True)
                start = body = place
                fence, whole = "" if closed else fence, bool(fence) and not closed
        elif kind == "empty":
            yield Block(start, body, place)
            start = body = place
            listed = False
        elif kind == "rule":
            yield Block(start, body, place, text.count("\n", start, here) < 2)
            start = body = place
        elif kind in ("heading", "row"):
            yield Block(start, body, here)
            yield Block(here, here, place, True)
            start = body = place
        elif kind in ("fence", "prompt"):
            yield Block(start, body, here)
            start, body, whole = here, here, True
            fence = found["fence"] or "" if found else ""
        elif kind == "item" or (kind == "number" and (listed or here == start)):
            yield Block(start, body, here)
            start, body, listed = here, found.end() if found else here, True
        elif parameter := _PARAMETER.match(text, here):
            yield Block(start, body, here)
            start, body = here, parameter.end()
    yield Block(start, body, len(text), whole)
