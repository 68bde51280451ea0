"""Where things are printed: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["NOTHING", "Screen", "finite", "number", "percent"]

NOTHING = "–"
"""Stands where a number has no meaning."""


class Screen:
    """Prints for people, or one JSON object for programs.

    Parameters
    ----------
    as_json
        Whether standard output carries one JSON object and nothing else.
    quiet
        Whether messages on standard error are left out (errors never are).
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    def say(self, text: str = "", style: str = "") -> None:
        """Write a message to standard error."""
        if not self.quiet:
            self.err.print(Text(text, style=style), soft_wrap=True)

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Write names and what they are to standard error, a pair a line."""
        if not self.quiet:
            _write_pairs(self.err, pairs)

    def failed(self, parts: Mapping[str, str], title: str) -> None:
        """Write what went wrong, where, why and what to do to standard error."""
        self.err.print(Text.assemble((f"{title}: ", "bold red"), parts["what"]), soft_wrap=True)
        for name, word in (("where", "where:"), ("why", "why:"), ("fix", "to do:")):
            if parts[name]:
                self.err.print(Text(f"  {word:<7}{parts[name]}"), soft_wrap=True)

    def json(self, value: Mapping[str, Any]) -> None:
        """Write the one JSON object to standard output; numbers that are none become null."""
        sys.stdout.write(json.dumps(finite(value), indent=2, allow_nan=False) + "\n")
        sys.stdout.flush()

    def line(self, text: str = "", style: str = "") -> None:
        """Write a line of the result to standard output."""
        self.out.print(Text(text, style=style), soft_wrap=True)

    def words(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Write names and sentences about them to standard output, a pair a line."""
        _write_pairs(self.out, pairs)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
        """Write a table of the result; the first ``left`` columns stand to the left."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for index, name in enumerate(head):
            right = index >= left
            table.add_column(
                name, justify="right" if right else "left", no_wrap=right, overflow="fold"
            )
        for row in rows:
            table.add_row(*row)
        with self.out.capture() as drawn:
            self.out.print(table)
        lines = [line.rstrip() for line in drawn.get().splitlines()]
        self.out.file.write("\n".join(line for line in lines if line) + "\n")


def _write_pairs(console: Console, pairs: Iterable[tuple[str, str]]) -> None:
    """Write ``name  text`` with the texts below one another, wrapped at spaces only."""
    found = list(pairs)
    indent = 2 + max((len(name) for name, _ in found), default=0)
    for name, text in found:
        # commands and paths are never cut, however narrow the window is
        lines = textwrap.wrap(
            text,
            max(20, console.width - indent),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for number_, line in enumerate(lines or [""]):
            head = (f"{name if number_ == 0 else '':<{indent}}", "bold")
            console.print(Text.assemble(head, line), soft_wrap=True)


def _console(stream: TextIO) -> Console:
    """Return a console that prints what it is given; a file gets lines of 120 characters."""
    wide = None if stream.isatty() or os.environ.get("COLUMNS") else 120
    return Console(file=stream, width=wide, markup=False, highlight=False, emoji=False)


def finite(value: Any) -> Any:
    """Return JSON values, with None for what is no finite number.

    Examples
    --------
    >>> finite({"a": float("nan"), "b": (1, 2.5)})
    {'a': None, 'b': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [finite(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return finite(value.item() if getattr(value, "ndim", 0) == 0 else value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def number(value: float | None) -> str:
    """Write a number for reading: 4 significant figures, whole numbers in full.

    Examples
    --------
    >>> number(0.0052341), number(70000), number(None), number(1234.5)
    ('0.005234', '70,000', '–', '1,234')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(value: float | None) -> str:
    """Write a share as a percentage.

    Examples
    --------
    >>> percent(0.9756)
    '97.56 %'
    """
    return NOTHING if value is None else f"{100 * value:.4g} %"
