"""What files and models say, made safe for a terminal and cut to its width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

__all__ = ["aligned", "bar", "label_of", "line_of", "wrapped"]

_BLOCKS = " ▏▎▍▌▋▊▉█"


def line_of(text: str, longest: int | None = None) -> str:
    r"""Return text on one line, without anything that a terminal would act on.

    Examples
    --------
    >>> line_of("\x1b[31mred\nrose", 8)
    'red rose'
    """
    from isthmus.answers.plain import in_one_line

    return in_one_line(text, visible=False, longest=longest)


def label_of(concept: int, name: str | None, longest: int = 40) -> str:
    """Return what a concept is called: its name and number, or the number alone.

    Examples
    --------
    >>> label_of(3, "rail travel"), label_of(4, None)
    ('rail travel #3', '#4')
    """
    return f"#{concept}" if name is None else f"{line_of(name, longest)} #{concept}"


def wrapped(text: str, width: int, indent: str = "    ") -> list[str]:
    """Return a text's lines, indented, words kept whole where they fit."""
    room = max(20, width - len(indent))
    return [indent + line for line in textwrap.wrap(text, room)]


def bar(value: float, largest: float, width: int = 12) -> str:
    """Return a bar of eighths of blocks for the size of a number.

    Examples
    --------
    >>> bar(0.5, 1.0, 4), bar(-1.0, 1.0, 4), bar(0.0, 1.0, 4)
    ('██', '████', '')
    """
    if largest <= 0:
        return ""
    eighths = round(8 * width * min(1.0, abs(value) / largest))
    whole, rest = divmod(eighths, 8)
    return _BLOCKS[8] * whole + (_BLOCKS[rest] if rest else "")


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Return rows as lines with columns below one another, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]
