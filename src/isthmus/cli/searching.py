"""Options of searching an index, and how they are read: for `search` and `ask`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from isthmus.search.filters import Condition
    from isthmus.search.index.index import Index

__all__ = [
    "By",
    "IndexFolder",
    "Less",
    "More",
    "Threads",
    "Where",
    "Without",
    "conditions",
    "opened",
]

_STEERING = "Steering"

IndexFolder = Annotated[
    Path,
    typer.Argument(
        metavar="INDEX", help="The folder of an index; or texts, whose index is made if need be."
    ),
]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--more",
        metavar="CONCEPT",
        help="Turn a concept up by what the query's strongest one has; by name or number, several "
        "times for several steps.",
        show_default=False,
        rich_help_panel=_STEERING,
    ),
]
Less = Annotated[
    list[str] | None,
    typer.Option(
        "--less",
        metavar="CONCEPT",
        help="Turn a concept down by as much; below zero passages that have it lose by it.",
        show_default=False,
        rich_help_panel=_STEERING,
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="CONCEPT",
        help="Take a concept out of the query, which then says nothing about it.",
        show_default=False,
        rich_help_panel=_STEERING,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="FIELD=VALUE",
        help="Only passages whose metadata meet this: field=value, field=a|b, field!=value, "
        "field>=value, ...; source, document and title are fields, too.",
        show_default=False,
    ),
]
By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="WAY",
        help="What passages are ranked by: concepts, reconstruction, dense, words or hybrid.",
    ),
]
Threads = Annotated[int, typer.Option("--threads", metavar="INT", help="Threads of the search.")]


def opened(folder: Path, threads: int = 1) -> Index:
    """Open an index for searching.

    Raises
    ------
    RunError
        If there is none, or it is damaged.
    """
    from isthmus.search.embedders import EmbedderOptions
    from isthmus.search.index.index import Index

    return Index(folder, threads=threads, options=EmbedderOptions(threads=max(1, threads)))


def conditions(texts: Sequence[str] | None) -> list[Condition]:
    """Read the conditions that hits must meet.

    Raises
    ------
    ConfigError
        If one can't be read.
    """
    from isthmus.search.filters import read_condition

    return [read_condition(text) for text in texts or ()]
