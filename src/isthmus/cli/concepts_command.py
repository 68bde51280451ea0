"""`isthmus concepts`: the concepts of an index or of a dictionary's run, made readable."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from isthmus.cli import concept_changes, concept_diff
from isthmus.cli.options import Debug, Json, Quiet, help_text
from isthmus.cli.screen import Screen
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.concepts import Concept


class _Listing(TyperGroup):
    """A group whose command is `list` where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "--"):
            near = difflib.get_close_matches(args[0], self.commands, 1)
            if near and not Path(args[0]).exists():
                raise ConfigError(
                    f"there is no index or run {args[0]!r}, and no command of that name",
                    fix=f"did you mean {near[0]!r}? see: isthmus concepts --help",
                )
            args = ["list", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=_Listing,
    add_completion=False,
    rich_markup_mode="rich",
    no_args_is_help=False,
    help=help_text(
        "isthmus concepts notes.index",
        'isthmus concepts show notes.index "rail travel"',
        "The concepts of an index, or of the run of a sparse dictionary: list, show, rename, "
        "compare. Without a command they are listed. A concept is given by its name, a part of "
        "it, or its number. Every command takes --json.",
    ),
)

Place = Annotated[
    Path, typer.Argument(metavar="INDEX|RUN", help="An index, or the run of a dictionary.")
]
Texts = Annotated[
    str | None,
    typer.Option(
        "--texts",
        metavar="CORPUS",
        help="For a run: the texts that its vectors were made of, in their order; the names that "
        "they give are kept in the run's folder.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="For a run: the vectors to look at. Default: its own.",
        show_default=False,
    ),
]

_LAST = float("-inf")
_ORDERS: Mapping[str, Callable[[Concept], Any]] = MappingProxyType(
    {
        "frequency": lambda c: (-c.statistics.passages, c.id),
        "score": lambda c: (-(c.score.precision if c.score is not None else _LAST), c.id),
        "stability": lambda c: (-(c.stability if c.stability is not None else _LAST), c.id),
        "name": lambda c: (c.name is None, (c.name or "").casefold(), c.id),
        "id": lambda c: c.id,
    }
)
"""The orders of a list."""


@app.command(
    "list",
    short_help="List concepts, named ones first asked for.",
    help=help_text(
        "isthmus concepts notes.index --find cook",
        "isthmus concepts runs/vectors-topk --texts texts.jsonl --sort score",
        "List concepts with their names, the words that set them apart, how many passages have "
        "them, and how well the name alone finds those passages among held-out ones, beside "
        "shuffled names. Of a run without texts rows are counted and nothing is named.",
    ),
)
def list_(
    place: Place,
    find: Annotated[
        str | None,
        typer.Option(
            "--find",
            metavar="TEXT",
            help="Only those with this in their name or words.",
            show_default=False,
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option("--sort", metavar="ORDER", help="frequency, score, name, id or stability."),
    ] = "frequency",
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="INT", help="Lines at most.")] = 30,
    everything: Annotated[
        bool,
        typer.Option("--all", metavar=" ", help="Those without a name, hidden and dead ones, too."),
    ] = False,
    texts: Texts = None,
    data: Data = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List concepts."""
    from isthmus.cli.concept_pages import brief, show_list
    from isthmus.cli.concept_sources import open_source

    screen = Screen(as_json=as_json, quiet=quiet)
    if sort not in _ORDERS:
        raise ConfigError(f"unknown order {sort!r}", fix=f"one of {', '.join(_ORDERS)}")
    if limit < 1:
        raise ConfigError("the limit must be 1 or more", where=f"--limit {limit}")
    source = open_source(place, texts=texts, data=data)
    nameless = all(concept.name is None for concept in source.concepts)
    # where nothing could be named there is nothing to choose from: all living ones are shown
    kept = [
        c
        for c in source.concepts
        if everything or (not c.hidden and not c.dead and (c.name is not None or nameless))
    ]
    if find is not None:
        kept = [concept for concept in kept if _has(concept, find)]
    chosen = sorted(kept, key=_ORDERS[sort])[:limit]
    if not as_json:
        show_list(screen, source, chosen, len(kept))
        return
    report = source.concepts.report
    screen.json(
        {
            source.kind: str(place),
            "latents": len(source.concepts),
            "active": sum(not c.dead for c in source.concepts),
            "named": sum(c.name is not None for c in source.concepts),
            "passages": source.concepts.passages,
            "names": None if report is None else _as_dict(report),
            "found": len(kept),
            "concepts": [brief(concept) for concept in chosen],
        }
    )


def _has(concept: Concept, text: str) -> bool:
    folded = text.strip().casefold()
    said = [concept.name or "", *(word.text for word in concept.words), f"#{concept.id}"]
    return any(folded in one.casefold() for one in said)


def _as_dict(report: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(report)


@app.command(
    short_help="Show all that is known of a concept.",
    help=help_text(
        'isthmus concepts show notes.index "rail travel"',
        "isthmus concepts show notes.index 12 --json",
        "Show a concept: its name and how well that finds its passages, the words that set it "
        "apart, how active it is, passages from the top, the middle and the low part of its "
        "range, near ones, those that are active along with it, and its family.",
    ),
)
def show(
    place: Place,
    concept: Annotated[str, typer.Argument(metavar="CONCEPT", help="Its name or number.")],
    texts: Texts = None,
    data: Data = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show a concept."""
    from isthmus.cli.concept_pages import full, show_concept
    from isthmus.cli.concept_sources import open_source

    screen = Screen(as_json=as_json, quiet=quiet)
    source = open_source(place, texts=texts, data=data)
    found = source.concepts.find(concept)
    if as_json:
        screen.json({source.kind: str(place), "concept": full(source, found)})
        return
    show_concept(screen, source, found)


@app.command(
    short_help="Show families, from general to particular.",
    help=help_text(
        "isthmus concepts family notes.index",
        'isthmus concepts family notes.index "travel"',
        "Show families of concepts: under each the special cases of it, whose passages have it, "
        "too. With a concept, only its own family.",
    ),
)
def family(
    place: Place,
    concept: Annotated[
        str | None, typer.Argument(metavar="CONCEPT", help="Its name or number.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="INT", help="Lines at most.")] = 60,
    texts: Texts = None,
    data: Data = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show families."""
    from isthmus.cli.concept_pages import family_lines
    from isthmus.cli.concept_sources import open_source

    screen = Screen(as_json=as_json, quiet=quiet)
    source = open_source(place, texts=texts, data=data)
    concepts = source.concepts
    roots = concepts.roots() if concept is None else (concepts.find(concept),)
    if as_json:
        links = [
            {"id": c.id, "name": c.name, "parent": c.parent, "children": list(c.children)}
            for c in concepts
            if c.children or c.parent is not None
        ]
        screen.json({source.kind: str(place), "roots": [r.id for r in roots], "families": links})
        return
    lines = family_lines(concepts, roots, limit)
    for line in lines:
        screen.line(line)
    if not lines:
        screen.line("no concept is a special case of another")


concept_changes.register(app)
concept_diff.register(app)
